//! Tests of the group table: every kind of key against a map, with removals and reuse.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use arrow::array::{Int32Array, StringArray, TimestampMillisecondArray};

use super::*;

fn intern(table: &mut GroupTable, columns: &[ArrayRef]) -> Vec<u32> {
    let mut slots = Vec::new();
    table.intern(columns, columns[0].len(), &mut slots).unwrap();
    slots
}

fn check(columns: Vec<ArrayRef>) {
    let types: Vec<DataType> = columns.iter().map(|column| column.data_type().clone()).collect();
    let mut table = GroupTable::new(&types).unwrap();
    let slots = intern(&mut table, &columns);
    assert_eq!(slots, [0, 1, 0, 2, 2, 3]);
    let keys = table.keys(&slots).unwrap();
    assert_eq!(keys, columns);
    table.remove(&[1]);
    assert_eq!((table.len(), table.live_slots()), (3, vec![0, 2, 3]));
    let again: Vec<ArrayRef> = columns.iter().map(|column| column.slice(1, 2)).collect();
    assert_eq!(intern(&mut table, &again), [1, 0]);
    assert_eq!(table.keys(&[1, 0]).unwrap(), again);
}

#[test]
fn one_integer() {
    check(vec![Arc::new(Int32Array::from(vec![Some(7), Some(0), Some(7), None, None, Some(-1)]))]);
}

#[test]
fn one_timestamp() {
    let column = TimestampMillisecondArray::from(vec![Some(7), Some(0), Some(7), None, None, Some(-1)]);
    check(vec![Arc::new(column)]);
}

#[test]
fn two_integers() {
    let first: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), Some(1), Some(1), None, None, Some(0)]));
    let second: ArrayRef = Arc::new(Int64Array::from(vec![Some(2), Some(3), Some(2), Some(0), Some(0), None]));
    check(vec![first, second]);
}

#[test]
fn strings_and_more() {
    let first: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), Some(""), Some("a"), None, None, Some("b")]));
    let second: ArrayRef = Arc::new(Int64Array::from(vec![Some(2), Some(3), Some(2), Some(0), Some(0), None]));
    check(vec![Arc::clone(&first)]);
    check(vec![first, second]);
}

#[test]
fn no_columns_is_one_group() {
    let mut table = GroupTable::new(&[]).unwrap();
    let mut slots = Vec::new();
    table.intern(&[], 3, &mut slots).unwrap();
    assert_eq!((slots, table.len()), (vec![0, 0, 0], 1));
}

#[test]
fn the_arena_shrinks() {
    let mut table = GroupTable::new(&[DataType::Utf8]).unwrap();
    for round in 0..20 {
        let keys: StringArray = (0..1000).map(|key| Some(format!("key {round} {key} with some more text"))).collect();
        let keys: ArrayRef = Arc::new(keys);
        let slots = intern(&mut table, &[Arc::clone(&keys)]);
        assert_eq!(table.keys(&slots).unwrap()[0].as_ref(), keys.as_ref());
        table.remove(&slots);
    }
    assert_eq!(table.len(), 0);
    assert!(table.size() < 1 << 20, "{} bytes", table.size());
}

#[test]
fn the_one_group_without_columns_comes_back() {
    let mut table = GroupTable::new(&[]).unwrap();
    let mut slots = Vec::new();
    table.intern(&[], 1, &mut slots).unwrap();
    table.remove(&slots);
    assert_eq!(table.len(), 0);
    table.intern(&[], 1, &mut slots).unwrap();
    assert_eq!((slots, table.live_slots(), table.capacity_slots()), (vec![0, 0], vec![0], 1));
}
