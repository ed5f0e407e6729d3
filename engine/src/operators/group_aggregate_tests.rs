//! Tests of the unbounded aggregation: net changes at barriers, nothing where nothing changed.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use arrow::array::Int64Array;
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field, Schema};

use super::*;
use crate::operators::{Emitted, Outbox};
use crate::plan::{AggregateCall, AggregateFunction};
use crate::time::ProcessingTime;

fn call(function: AggregateFunction, args: Vec<usize>, distinct: bool) -> AggregateCall {
    let output = Arc::new(Field::new("r", DataType::Int64, true));
    AggregateCall { function, args, order_by: Vec::new(), distinct, filter: None, output }
}

fn operator(keys: Vec<usize>, shard: usize) -> GroupAggregate {
    over(keys, shard, false, None)
}

fn over(keys: Vec<usize>, shard: usize, retracts: bool, ttl_us: Option<i64>) -> GroupAggregate {
    let field = |name| Field::new(name, DataType::Int64, true);
    let input = Arc::new(Schema::new(vec![field("k"), field("v")]));
    let calls = vec![call(AggregateFunction::Count, vec![], false), call(AggregateFunction::Sum, vec![1], true)];
    let names = keys.iter().map(|_| "k").chain(["n", "s"]);
    let output = Arc::new(Schema::new(names.map(field).collect::<Vec<_>>()));
    let spec = GroupAggregateSpec { keys, calls, retracts, ttl_us, upserts: false };
    GroupAggregate::new(&spec, &input, output, shard).unwrap()
}

fn rows(keys: &[i64], values: &[i64]) -> Delta {
    let column = |values: &[i64]| -> ArrayRef { Arc::new(Int64Array::from(values.to_vec())) };
    Delta::append(RecordBatch::try_from_iter([("k", column(keys)), ("v", column(values))]).unwrap())
}

fn retracted(keys: &[i64], values: &[i64]) -> Delta {
    let delta = rows(keys, values);
    let bits = BooleanBuffer::new_set(delta.rows());
    Delta::signed(delta.batch, bits)
}

fn barrier(operator: &mut GroupAggregate) -> Vec<String> {
    barrier_at(operator, 0)
}

/// What a barrier at that time answers, and how many keys are evicted.
fn barrier_at(operator: &mut GroupAggregate, now: i64) -> Vec<String> {
    let mut out = Outbox::default();
    operator.on_barrier(Epoch(1), &mut Context::new(ProcessingTime(now), &mut out)).unwrap();
    let mut lines = Vec::new();
    for item in out.items {
        let Emitted::Delta(delta) = item else { continue };
        for row in 0..delta.rows() {
            let value = |column: &ArrayRef| arrow::util::display::array_value_to_string(column, row).unwrap();
            let values: Vec<String> = delta.batch.columns().iter().map(value).collect();
            lines.push(format!("{} {}", if delta.is_retract(row) { '-' } else { '+' }, values.join(" ")));
        }
    }
    if out.evicted_keys > 0 {
        lines.push(format!("evicted {}", out.evicted_keys));
    }
    lines
}

fn add(operator: &mut GroupAggregate, delta: Delta) {
    let mut out = Outbox::default();
    operator.on_delta(0, delta, &mut Context::new(ProcessingTime(0), &mut out)).unwrap();
    assert!(out.items.is_empty());
}

#[test]
fn only_the_net_change_is_emitted() {
    let mut operator = operator(vec![0], 0);
    add(&mut operator, rows(&[1, 2, 1], &[5, 6, 5]));
    assert_eq!(barrier(&mut operator), ["+ 1 2 5", "+ 2 1 6"]);
    assert!(barrier(&mut operator).is_empty());
    add(&mut operator, rows(&[3, 1], &[0, 7]));
    add(&mut operator, rows(&[1], &[9]));
    assert_eq!(barrier(&mut operator), ["- 1 2 5", "+ 1 4 21", "+ 3 1 0"]);
}

#[test]
fn without_keys_there_is_always_one_row() {
    assert_eq!(barrier(&mut operator(vec![], 0)), ["+ 0 "]);
    assert!(barrier(&mut operator(vec![], 1)).is_empty());
}

#[test]
fn restored_goes_on() {
    let mut first = operator(vec![0], 0);
    add(&mut first, rows(&[1, 2], &[5, 6]));
    barrier(&mut first);
    let mut second = operator(vec![0], 0);
    second.restore(first.snapshot().unwrap()).unwrap();
    add(&mut second, rows(&[2, 2], &[6, 1]));
    assert_eq!(barrier(&mut second), ["- 2 1 6", "+ 2 3 7"]);
}

#[test]
fn a_key_goes_with_its_last_row() {
    let mut operator = over(vec![0], 0, true, None);
    add(&mut operator, rows(&[1, 1, 2], &[5, 6, 7]));
    assert_eq!(barrier(&mut operator), ["+ 1 2 11", "+ 2 1 7"]);
    add(&mut operator, retracted(&[1, 2], &[5, 7]));
    assert_eq!(barrier(&mut operator), ["- 1 2 11", "+ 1 1 6", "- 2 1 7"]);
    assert_eq!(operator.table.len(), 1);
    // A key that comes and goes within an epoch is never seen.
    add(&mut operator, rows(&[2, 3], &[7, 8]));
    add(&mut operator, retracted(&[3], &[8]));
    assert_eq!(barrier(&mut operator), ["+ 2 1 7"]);
    add(&mut operator, retracted(&[1], &[6]));
    add(&mut operator, rows(&[1], &[6]));
    assert!(barrier(&mut operator).is_empty());
}

#[test]
fn a_retraction_may_come_first() {
    let mut operator = over(vec![0], 0, true, None);
    add(&mut operator, retracted(&[1, 1], &[5, 5]));
    add(&mut operator, rows(&[1, 1, 1], &[5, 5, 6]));
    assert_eq!(barrier(&mut operator), ["+ 1 1 6"]);
    add(&mut operator, rows(&[1], &[7]));
    let mut second = over(vec![0], 0, true, None);
    assert_eq!(barrier(&mut operator), ["- 1 1 6", "+ 1 2 13"]);
    second.restore(operator.snapshot().unwrap()).unwrap();
    add(&mut second, retracted(&[1, 1], &[6, 7]));
    assert_eq!(barrier(&mut second), ["- 1 2 13"]);
}

#[test]
fn without_keys_the_row_outlives_its_input() {
    let mut operator = over(vec![], 0, true, None);
    add(&mut operator, rows(&[1], &[5]));
    assert_eq!(barrier(&mut operator), ["+ 1 5"]);
    add(&mut operator, retracted(&[1], &[5]));
    assert_eq!(barrier(&mut operator), ["- 1 5", "+ 0 "]);
}

#[test]
fn a_key_that_is_idle_for_too_long_starts_anew() {
    let mut operator = over(vec![0], 0, false, Some(100));
    add(&mut operator, rows(&[1, 2], &[5, 6]));
    assert_eq!(barrier_at(&mut operator, 10), ["+ 1 1 5", "+ 2 1 6"]);
    add(&mut operator, rows(&[2], &[7]));
    assert_eq!(barrier_at(&mut operator, 60), ["- 2 1 6", "+ 2 2 13"]);
    assert!(barrier_at(&mut operator, 109).is_empty());
    let mut second = over(vec![0], 0, false, Some(100));
    second.restore(operator.snapshot().unwrap()).unwrap();
    assert_eq!(barrier_at(&mut second, 110), ["evicted 1"]);
    add(&mut second, rows(&[1, 2], &[8, 1]));
    assert_eq!(barrier_at(&mut second, 120), ["- 2 2 13", "+ 2 3 14", "+ 1 1 8"]);
    assert_eq!(barrier_at(&mut second, 220), ["evicted 2"]);
}

#[test]
fn a_retraction_for_a_forgotten_key_is_ignored() {
    let mut operator = over(vec![0], 0, true, Some(100));
    add(&mut operator, rows(&[1], &[5]));
    assert_eq!(barrier_at(&mut operator, 10), ["+ 1 1 5"]);
    assert_eq!(barrier_at(&mut operator, 110), ["evicted 1"]);
    add(&mut operator, retracted(&[1], &[5]));
    assert!(barrier_at(&mut operator, 120).is_empty());
    add(&mut operator, rows(&[1], &[6]));
    assert_eq!(barrier_at(&mut operator, 130), ["+ 1 1 6"]);
}

#[test]
fn lists_are_compared_by_value() {
    let field = |name| Field::new(name, DataType::Int64, true);
    let input = Arc::new(Schema::new(vec![field("k"), field("v")]));
    let list = Arc::new(Field::new("l", DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true))), true));
    let call = AggregateCall { output: Arc::clone(&list), ..call(AggregateFunction::ArrayAgg, vec![1], false) };
    let output = Arc::new(Schema::new(vec![field("k"), list.as_ref().clone()]));
    let spec = GroupAggregateSpec { keys: vec![0], calls: vec![call], retracts: true, ttl_us: None, upserts: false };
    let mut operator = GroupAggregate::new(&spec, &input, output, 0).unwrap();
    add(&mut operator, rows(&[1, 1, 2], &[5, 6, 7]));
    assert_eq!(barrier(&mut operator), ["+ 1 [5, 6]", "+ 2 [7]"]);
    add(&mut operator, retracted(&[2, 1], &[7, 5]));
    add(&mut operator, rows(&[2, 1], &[7, 8]));
    assert_eq!(barrier(&mut operator), ["- 1 [5, 6]", "+ 1 [6, 8]"]);
}

#[test]
fn an_upsert_leaves_the_old_row_out() {
    let mut operator = over(vec![0], 0, true, None);
    operator.upserts = true;
    add(&mut operator, rows(&[1, 2], &[5, 6]));
    assert_eq!(barrier(&mut operator), ["+ 1 1 5", "+ 2 1 6"]);
    add(&mut operator, rows(&[1], &[7]));
    add(&mut operator, retracted(&[2], &[6]));
    assert_eq!(barrier(&mut operator), ["+ 1 2 12", "- 2 1 6"]);
}
