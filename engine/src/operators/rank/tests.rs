//! Ranks over many rows: what is kept, and large partitions that change.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch, StringArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};

use super::build;
use crate::message::{BATCH_ROWS, Delta, Epoch};
use crate::operators::aggregate::find_table;
use crate::operators::{Context, Emitted, Operator, Outbox};
use crate::plan::{RankEmit, RankFunction, RankSpec, SortKey};
use crate::time::ProcessingTime;

fn input() -> SchemaRef {
    Arc::new(Schema::new(["k", "v", "id"].map(|name| Field::new(name, DataType::Int64, false)).to_vec()))
}

fn rank(function: RankFunction, (from, to): (u64, u64), keyed: bool, retracts: bool) -> Box<dyn Operator> {
    let spec = RankSpec {
        function,
        partition: if keyed { vec![0] } else { Vec::new() },
        order: vec![SortKey { column: 1, descending: false, nulls_first: false }],
        from,
        to,
        rank_column: None,
        retracts,
        ttl_us: None,
        emit: RankEmit::NetChange,
        window_end: None,
    };
    build(&spec, &input(), input()).unwrap()
}

/// A number out of a row's number, far from its neighbours'.
fn scattered(number: i64) -> i64 {
    number.wrapping_mul(2_654_435_761).rem_euclid(1_009)
}

fn rows(numbers: impl Iterator<Item = i64>, keys: i64, retracts: bool) -> Delta {
    let numbers: Vec<i64> = numbers.collect();
    let column = |of: &dyn Fn(i64) -> i64| Int64Array::from_iter_values(numbers.iter().map(|number| of(*number)));
    let columns = [column(&|number| number % keys), column(&scattered), column(&|number| number)];
    let batch = RecordBatch::try_new(input(), columns.map(|column| Arc::new(column) as _).to_vec()).unwrap();
    let bits = if retracts { BooleanBuffer::new_set(numbers.len()) } else { BooleanBuffer::new_unset(numbers.len()) };
    Delta::signed(batch, bits)
}

/// Feeds deltas and closes the epoch; gives the numbers of the rows that came and went.
fn epoch(operator: &mut dyn Operator, deltas: Vec<Delta>) -> (Vec<i64>, Vec<i64>) {
    let mut out = Outbox::default();
    let mut context = Context::new(ProcessingTime(0), &mut out);
    for delta in deltas {
        operator.on_delta(0, delta, &mut context).unwrap();
    }
    operator.on_barrier(Epoch(1), &mut context).unwrap();
    let (mut came, mut went) = (Vec::new(), Vec::new());
    for item in out.items {
        let Emitted::Delta(delta) = item else { continue };
        assert!(delta.rows() <= BATCH_ROWS, "a batch of {} rows", delta.rows());
        for (row, id) in delta.batch.column(2).as_primitive::<Int64Type>().values().iter().enumerate() {
            if delta.is_retract(row) { went.push(*id) } else { came.push(*id) }
        }
    }
    (came, went)
}

fn kept(operator: &mut dyn Operator) -> usize {
    find_table(&operator.snapshot().unwrap(), "rows").unwrap().num_rows()
}

#[test]
fn of_insertions_only_the_first_are_kept() {
    for (function, to, most) in [
        (RankFunction::RowNumber, 1, 10),
        (RankFunction::RowNumber, 3, 30),
        // Rows of equal values are ten at most: thirty thousand rows, ten keys, about a thousand values.
        (RankFunction::Rank, 3, 10 * 13),
        (RankFunction::DenseRank, 3, 10 * 30),
    ] {
        let mut operator = rank(function, (1, to), true, false);
        for start in (0..30_000).step_by(3_000) {
            epoch(operator.as_mut(), vec![rows(start..start + 3_000, 10, false)]);
            let rows = kept(operator.as_mut());
            assert!(rows <= most, "{function:?} {to}: {rows} rows");
        }
        assert!(kept(operator.as_mut()) >= 10 * to as usize);
    }
}

#[test]
fn a_large_partition_changes_as_if_it_were_sorted_again() {
    let mut operator = rank(RankFunction::RowNumber, (100, 9_100), false, true);
    let mut present: Vec<i64> = (0..20_000).collect();
    let mut shown: Vec<i64> = Vec::new();
    let mut deltas = vec![rows(0..20_000, 1, false)];
    for round in 0..4 {
        let (came, went) = epoch(operator.as_mut(), std::mem::take(&mut deltas));
        present.sort_by_key(|number| (scattered(*number), *number));
        let expected = present[99..9_100].to_vec();
        shown.retain(|number| !went.contains(number));
        shown.extend(came);
        shown.sort_by_key(|number| (scattered(*number), *number));
        assert_eq!(shown, expected, "round {round}");
        let gone: Vec<i64> = present.iter().copied().filter(|number| number % 11 == round).collect();
        present.retain(|number| !gone.contains(number));
        let fresh = 20_000 + round * 500..20_500 + round * 500;
        present.extend(fresh.clone());
        deltas = vec![rows(fresh, 1, false), rows(gone.into_iter(), 1, true)];
    }
}

/// Rows whose sort keys begin alike, and rows that tie in them: the first by the whole row is kept, whatever the batches.
#[test]
fn ties_are_broken_by_the_whole_row() {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, false), text("s"), text("t")]));
    let spec = RankSpec {
        function: RankFunction::RowNumber,
        partition: vec![0],
        order: vec![SortKey { column: 1, descending: true, nulls_first: false }],
        from: 1,
        to: 1,
        rank_column: None,
        retracts: false,
        ttl_us: None,
        emit: RankEmit::NetChange,
        window_end: None,
    };
    let row = |number: i64| {
        let sort = (number % 5 != 0).then(|| format!("a prefix of many bytes {:03}", scattered(number) % 4));
        (number % 17, sort, format!("{:04}", scattered(number * 7) % 50))
    };
    for size in [1, 7, 1_000] {
        let mut operator = build(&spec, &schema, Arc::clone(&schema)).unwrap();
        let (mut all, mut shown) = (Vec::new(), Vec::new());
        for (at, numbers) in (0..2_000).collect::<Vec<i64>>().chunks(size).enumerate() {
            let rows: Vec<_> = numbers.iter().map(|number| row(*number)).collect();
            let keys: Int64Array = rows.iter().map(|row| row.0).collect();
            let sorts: StringArray = rows.iter().map(|row| row.1.clone()).collect();
            let texts: StringArray = rows.iter().map(|row| Some(row.2.clone())).collect();
            let columns = vec![Arc::new(keys) as _, Arc::new(sorts) as _, Arc::new(texts) as _];
            all.extend(rows);
            let mut out = Outbox::default();
            let mut context = Context::new(ProcessingTime(0), &mut out);
            let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
            operator.on_delta(0, Delta::append(batch), &mut context).unwrap();
            if at % 3 == 0 || all.len() == 2_000 {
                operator.on_barrier(Epoch(1), &mut context).unwrap();
            }
            for item in out.items {
                let Emitted::Delta(delta) = item else { continue };
                let [sorts, texts] = [1, 2].map(|column| delta.batch.column(column).as_string::<i32>().clone());
                for (at, key) in delta.batch.column(0).as_primitive::<Int64Type>().values().iter().enumerate() {
                    let row = (*key, sorts.iter().nth(at).flatten().map(str::to_owned), texts.value(at).to_owned());
                    match delta.is_retract(at) {
                        true => {
                            assert!(shown.iter().position(|old| *old == row).map(|at| shown.swap_remove(at)).is_some())
                        }
                        false => shown.push(row),
                    }
                }
            }
        }
        // Descending, nulls last; then ascending.
        all.sort_by(|left, right| left.0.cmp(&right.0).then(right.1.cmp(&left.1)).then(left.2.cmp(&right.2)));
        all.dedup_by_key(|row| row.0);
        shown.sort();
        assert_eq!(shown, all, "batches of {size}");
    }
}
