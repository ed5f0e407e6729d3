//! Micro-benchmarks of what operators stand on: the hash table of groups, and the cut of a batch by shards before an
//! exchange. Items are rows.

use crate::rows::{KEY, batches, schema};
use arrow::datatypes::DataType;
use divan::Bencher;
use divan::counter::ItemsCount;
use millstream_engine::message::{BATCH_ROWS, Delta};
use millstream_engine::operators::group_table::GroupTable;
use millstream_engine::operators::key_group::split_by_shard;

const BATCHES: usize = 32;
const TEXT: usize = 3;

/// Finds the slots of keys that are all there already.
fn find(bencher: Bencher<'_, '_>, columns: &[usize], keys: u64) {
    let input = batches(BATCHES, keys);
    let types: Vec<DataType> = columns.iter().map(|&column| schema().field(column).data_type().clone()).collect();
    let input: Vec<_> =
        input.iter().map(|batch| columns.iter().map(|&at| batch.column(at).clone()).collect::<Vec<_>>()).collect();
    let mut table = GroupTable::new(&types).expect("a table");
    let mut slots = Vec::new();
    let mut intern = || {
        for batch in &input {
            table.intern(batch, BATCH_ROWS, &mut slots).expect("slots");
            divan::black_box(&slots);
        }
    };
    intern();
    bencher.counter(ItemsCount::new(BATCHES * BATCH_ROWS)).bench_local(intern);
}

#[divan::bench(args = [10, 10_000, 1_000_000])]
fn find_integer(bencher: Bencher<'_, '_>, keys: u64) {
    find(bencher, &[KEY], keys);
}

#[divan::bench]
fn find_text(bencher: Bencher<'_, '_>) {
    find(bencher, &[TEXT], 1);
}

#[divan::bench]
fn find_integer_and_text(bencher: Bencher<'_, '_>) {
    find(bencher, &[KEY, TEXT], 10_000);
}

/// Makes slots for keys in a table that is empty.
#[divan::bench(args = [10, 10_000, 1_000_000])]
fn insert_integer(bencher: Bencher<'_, '_>, keys: u64) {
    let input = batches(BATCHES, keys);
    bencher
        .counter(ItemsCount::new(BATCHES * BATCH_ROWS))
        .with_inputs(|| GroupTable::new(&[DataType::Int64]).expect("a table"))
        .bench_local_refs(|table| {
            let mut slots = Vec::new();
            for batch in &input {
                table.intern(&[batch.column(KEY).clone()], BATCH_ROWS, &mut slots).expect("slots");
            }
        });
}

/// Cuts batches by the shard that owns their keys.
#[divan::bench(args = [2, 4, 16])]
fn exchange(bencher: Bencher<'_, '_>, shards: usize) {
    let input = batches(BATCHES, 10_000);
    bencher.counter(ItemsCount::new(BATCHES * BATCH_ROWS)).bench_local(|| {
        for batch in &input {
            divan::black_box(split_by_shard(&Delta::append(batch.clone()), &[KEY], shards).expect("parts"));
        }
    });
}
