//! Tests of edits: whatever happened to a table, they give it back; and where little happened, they are few.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::Int64Type;
use proptest::prelude::*;

use super::*;
use crate::checkpoint::fingerprint::fingerprints;
use crate::checkpoint::gathered::Gathered;

fn table(values: &[i64]) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
    RecordBatch::try_from_iter([("v", column)]).unwrap()
}

/// The new table by way of edits, and how many edits and new rows there were; `None` where they were too many.
fn through(before: &[i64], after: &[i64]) -> Option<(Vec<i64>, usize, usize)> {
    let (old, new) = (table(before), table(after));
    let prints = |batch: &RecordBatch| fingerprints(std::slice::from_ref(batch)).unwrap();
    let (edits, fresh) = edits(&prints(&old), &prints(&new))?;
    let numbers = (edits.len(), fresh.len());
    let fresh = take_record_batch(&new, &UInt32Array::from(fresh)).unwrap();
    let gathered = Gathered::whole(
        &old.schema(),
        &[old.slice(0, before.len() / 2), old.slice(before.len() / 2, before.len() - before.len() / 2)],
    );
    let rows = gathered.unwrap().changed(&edits, &[fresh]).unwrap().batches().unwrap().remove(0);
    Some((rows.column(0).as_primitive::<Int64Type>().values().to_vec(), numbers.0, numbers.1))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_table_comes_back(
        before in prop::collection::vec(0..6_i64, 0..80),
        steps in prop::collection::vec((0..4_u8, 0..100_usize, 0..8_i64), 0..12),
    ) {
        let mut after = before.clone();
        for (kind, at, value) in steps {
            let at = at % (after.len() + 1);
            match kind {
                0 => after.insert(at, value),
                1 if at < after.len() => drop(after.remove(at)),
                2 if at < after.len() => after[at] = value,
                _ => after.rotate_left(at),
            }
        }
        if let Some((rows, _, fresh)) = through(&before, &after) {
            prop_assert_eq!(&rows, &after);
            prop_assert!(fresh * 2 <= after.len());
        }
    }
}

#[test]
fn replaced_dropped_and_added_rows_cost_an_edit_each() {
    // Values of few kinds, as counts are.
    let before: Vec<i64> = (0..100_000).map(|n: i64| n.wrapping_mul(0x9e37_79b9) >> 7 & 15).collect();
    let mut after = before.clone();
    for at in (0..1_000).map(|n| n * 97) {
        after[at] += 100;
    }
    let (rows, edits, fresh) = through(&before, &after).unwrap();
    assert_eq!((rows == after, fresh), (true, 1_000));
    assert!(edits <= 1_001, "{edits}");
    for at in (0..1_000).rev().map(|n| n * 90) {
        after.remove(at);
    }
    after.extend([7; 50]);
    let (rows, edits, fresh) = through(&before, &after).unwrap();
    assert!(rows == after && edits < 2_600 && fresh < 1_500, "{edits} edits, {fresh} new rows");
}

#[test]
fn rows_that_moved_far_are_found() {
    let before: Vec<i64> = (0..10_000).collect();
    let mut after: Vec<i64> = (0..10_000).filter(|n| !(300..4_000).contains(n)).collect();
    after.rotate_left(1_000);
    let (rows, edits, fresh) = through(&before, &after).unwrap();
    assert!(rows == after && edits < 20 && fresh == 0, "{edits} edits, {fresh} new rows");
    assert_eq!(through(&[], &[1, 2]), None);
    assert_eq!(through(&[1, 2], &[]).unwrap().0, Vec::<i64>::new());
    assert_eq!(through(&[1, 2, 3], &[4, 5, 6]), None);
}

#[test]
fn edits_of_another_table_are_refused() {
    let gathered = Gathered::whole(&table(&[1]).schema(), &[table(&[1, 2])]).unwrap();
    let edit = |from, rows, fresh| [Edit { from, rows, fresh }];
    assert!(gathered.clone().changed(&edit(1, 2, 0), &[]).is_err());
    assert!(gathered.clone().changed(&edit(u32::MAX, u32::MAX, 0), &[]).is_err());
    assert!(gathered.clone().changed(&edit(0, 1, 1), &[]).is_err());
    assert!(gathered.clone().changed(&edit(0, 1, 1), &[table(&[1, 2])]).is_err());
    assert!(gathered.changed(&edit(0, 1, 2), &[table(&[1, 2])]).is_ok());
}
