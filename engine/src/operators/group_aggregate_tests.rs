//! Tests of the unbounded aggregation: net changes at barriers, nothing where nothing changed.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use arrow::array::Int64Array;
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
    let field = |name| Field::new(name, DataType::Int64, true);
    let input = Arc::new(Schema::new(vec![field("k"), field("v")]));
    let calls = vec![call(AggregateFunction::Count, vec![], false), call(AggregateFunction::Sum, vec![1], true)];
    let names = keys.iter().map(|_| "k").chain(["n", "s"]);
    let output = Arc::new(Schema::new(names.map(field).collect::<Vec<_>>()));
    GroupAggregate::new(&GroupAggregateSpec { keys, calls, retracts: false, ttl_us: None }, &input, output, shard)
        .unwrap()
}

fn rows(keys: &[i64], values: &[i64]) -> Delta {
    let column = |values: &[i64]| -> ArrayRef { Arc::new(Int64Array::from(values.to_vec())) };
    Delta::append(RecordBatch::try_from_iter([("k", column(keys)), ("v", column(values))]).unwrap())
}

fn barrier(operator: &mut GroupAggregate) -> Vec<String> {
    let mut out = Outbox::default();
    operator.on_barrier(Epoch(1), &mut Context::new(ProcessingTime(0), &mut out)).unwrap();
    let mut lines = Vec::new();
    for item in out.items {
        let Emitted::Delta(delta) = item else { continue };
        for row in 0..delta.rows() {
            let value = |column: &ArrayRef| arrow::util::display::array_value_to_string(column, row).unwrap();
            let values: Vec<String> = delta.batch.columns().iter().map(value).collect();
            lines.push(format!("{} {}", if delta.is_retract(row) { '-' } else { '+' }, values.join(" ")));
        }
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
