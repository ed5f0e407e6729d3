//! Tests of the view store: updates, equal rows, versions that do not change, memory that follows the live rows.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::Int64Type;

use super::{ViewStore, ViewVersion};
use crate::message::Delta;

fn batch(keys: &[i64], values: &[i64]) -> RecordBatch {
    let column = |values: &[i64]| -> ArrayRef { Arc::new(Int64Array::from(values.to_vec())) };
    RecordBatch::try_from_iter([("k", column(keys)), ("v", column(values))]).unwrap()
}

fn signed(rows: &[(char, i64, i64)]) -> Delta {
    let keys: Vec<i64> = rows.iter().map(|row| row.1).collect();
    let values: Vec<i64> = rows.iter().map(|row| row.2).collect();
    Delta::signed(batch(&keys, &values), rows.iter().map(|row| row.0 == '-').collect::<BooleanBuffer>())
}

fn store(key: Option<&[usize]>) -> ViewStore {
    ViewStore::new(batch(&[], &[]).schema(), key)
}

fn rows(version: &ViewVersion) -> Vec<(i64, i64)> {
    let mut rows = Vec::new();
    for batch in version.scan(&[0, 1]).unwrap() {
        let values = |index: usize| batch.column(index).as_primitive::<Int64Type>().values().to_vec();
        rows.extend(values(0).into_iter().zip(values(1)));
    }
    rows
}

#[test]
fn insertions_keep_their_order() {
    let mut store = store(None);
    for start in 0..1_000 {
        store.apply(&Delta::append(batch(&[2 * start, 2 * start + 1], &[0, 0]))).unwrap();
        store.version().unwrap();
    }
    let keys: Vec<i64> = rows(&store.version().unwrap()).into_iter().map(|row| row.0).collect();
    assert_eq!(keys, (0..2_000).collect::<Vec<i64>>());
}

#[test]
fn updates_replace_rows_and_chunks_follow_the_live_rows() {
    let mut store = store(Some(&[0]));
    store.apply(&Delta::append(batch(&[1, 2, 3], &[0, 0, 0]))).unwrap();
    for round in 1..2_000 {
        store.apply(&signed(&[('-', 2, round - 1), ('+', 2, round), ('-', 3, round - 1), ('+', 3, round)])).unwrap();
        let version = store.version().unwrap();
        assert!(version.chunks.len() <= 8, "{} chunks", version.chunks.len());
    }
    let mut found = rows(&store.version().unwrap());
    found.sort_unstable();
    assert_eq!(found, [(1, 0), (2, 1_999), (3, 1_999)]);
}

#[test]
fn many_keys_updated_at_random_keep_their_last_values() {
    const KEYS: i64 = 5_000;
    let mut store = store(Some(&[0]));
    let mut last = vec![0; KEYS as usize];
    let keys: Vec<i64> = (0..KEYS).collect();
    store.apply(&Delta::append(batch(&keys, &last))).unwrap();
    let mut random: u64 = 7;
    for round in 1..300_i64 {
        let mut delta = Vec::new();
        for _ in 0..100 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = ((random >> 33) % KEYS as u64) as i64;
            delta.extend([('-', key, last[key as usize]), ('+', key, round)]);
            last[key as usize] = round;
        }
        store.apply(&signed(&delta)).unwrap();
        let version = store.version().unwrap();
        let kept: usize = version.chunks.iter().map(|chunk| chunk.rows.num_rows()).sum();
        assert!(kept < 3 * KEYS as usize, "{kept} rows are kept for {KEYS} live ones");
    }
    let mut found = rows(&store.version().unwrap());
    found.sort_unstable();
    assert_eq!(found, keys.into_iter().zip(last).collect::<Vec<_>>());
}

#[test]
fn equal_rows_count() {
    let mut store = store(None);
    store.apply(&Delta::append(batch(&[1; 1_000], &[5; 1_000]))).unwrap();
    for _ in 0..499 {
        store.apply(&signed(&[('-', 1, 5), ('-', 1, 5)])).unwrap();
        store.version().unwrap();
    }
    assert_eq!(rows(&store.version().unwrap()), [(1, 5), (1, 5)]);
    store.apply(&signed(&[('-', 1, 5), ('+', 1, 5), ('-', 1, 5), ('-', 1, 5)])).unwrap();
    assert_eq!(rows(&store.version().unwrap()), []);
    assert!(store.apply(&signed(&[('-', 1, 5)])).is_err());
}

#[test]
fn a_new_row_of_a_key_may_come_before_the_old_one_goes() {
    let mut store = store(Some(&[0]));
    store.apply(&Delta::append(batch(&[1, 2], &[7, 8]))).unwrap();
    store.apply(&signed(&[('+', 1, 9), ('+', 2, 6), ('-', 1, 7), ('+', 1, 5), ('-', 1, 9), ('-', 2, 8)])).unwrap();
    assert_eq!(rows(&store.version().unwrap()), [(2, 6), (1, 5)]);
    store.apply(&signed(&[('-', 1, 5), ('-', 2, 6)])).unwrap();
    assert_eq!(rows(&store.version().unwrap()), []);
}

#[test]
fn a_version_does_not_change() {
    let mut store = store(Some(&[0]));
    store.apply(&Delta::append(batch(&[1, 2], &[7, 8]))).unwrap();
    let before = store.version().unwrap();
    store.apply(&signed(&[('-', 1, 7)])).unwrap();
    assert_eq!(before.rows(), 2);
    assert_eq!(rows(&store.version().unwrap()), [(2, 8)]);
}

#[test]
fn a_row_may_replace_the_one_of_its_key() {
    let mut store = store(Some(&[0])).replacing(true);
    assert!(store.apply(&Delta::append(batch(&[1, 2], &[10, 20]))).unwrap().is_none());
    let replaced = store.apply(&Delta::append(batch(&[2, 3, 3], &[21, 30, 31]))).unwrap().unwrap();
    assert_eq!((replaced.rows(), replaced.is_retract(0)), (2, true));
    assert_eq!(rows(&store.version().unwrap()), [(1, 10), (2, 21), (3, 31)]);
    assert!(store.apply(&signed(&[('-', 1, 10), ('+', 1, 11)])).unwrap().is_none());
    assert_eq!(rows(&store.version().unwrap()), [(2, 21), (3, 31), (1, 11)]);
}
