//! Window functions: what is kept, and what is refused.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::{sort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef, TimeUnit};

use super::build;
use crate::checkpoint::numbers::placed;
use crate::message::{Delta, Epoch};
use crate::operators::aggregate::find_table;
use crate::operators::{Context, Emitted, Operator, OperatorState, Outbox};
use crate::plan::{
    AggregateFunction, Frame, FrameBound, FrameUnits, OverCall, OverEmit, OverFunction, OverSpec, SortKey,
};
use crate::time::{EventTime, ProcessingTime};

fn input() -> SchemaRef {
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("ts", micros, true),
        Field::new("v", DataType::Int64, true),
        Field::new("f", DataType::Float64, true),
    ]))
}

fn rows(rows: &[(i64, i64, i64)]) -> Delta {
    let column = |of: &dyn Fn(&(i64, i64, i64)) -> i64| rows.iter().map(of).collect::<Vec<_>>();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(column(&|row| row.0))),
        Arc::new(TimestampMicrosecondArray::from(column(&|row| row.1))),
        Arc::new(Int64Array::from(column(&|row| row.2))),
        arrow::array::new_null_array(&DataType::Float64, rows.len()),
    ];
    Delta::append(RecordBatch::try_new(input(), columns).unwrap())
}

fn call(function: OverFunction, units: FrameUnits, start: FrameBound, end: FrameBound) -> OverCall {
    let output = Arc::new(Field::new("out", DataType::Int64, true));
    let frame = Frame { units, start, end };
    OverCall { function, args: vec![2], distinct: false, frame, filter: None, ignore_nulls: false, output }
}

const SUM: OverFunction = OverFunction::Aggregate(AggregateFunction::Sum);

fn try_over(call: OverCall, emit: OverEmit, by: usize) -> crate::error::Result<Box<dyn Operator>> {
    let fields = input().fields().iter().cloned().chain([Arc::clone(&call.output)]).collect::<Vec<_>>();
    let order = vec![SortKey { column: by, descending: false, nulls_first: false }];
    let spec = OverSpec { partition: vec![0], order, calls: vec![call], emit, retracts: false };
    build(&spec, &input(), Arc::new(Schema::new(fields)))
}

fn run(
    operator: &mut dyn Operator,
    now: i64,
    call: impl FnOnce(&mut dyn Operator, &mut Context<'_>),
) -> Vec<Option<i64>> {
    let mut out = Outbox::default();
    call(operator, &mut Context::new(ProcessingTime(now), &mut out));
    let results = out.items.iter().filter_map(|item| match item {
        Emitted::Delta(delta) => Some(delta.batch.column(4).as_primitive::<Int64Type>().iter().collect::<Vec<_>>()),
        Emitted::Watermark(_) => None,
    });
    results.flatten().collect()
}

fn kept(operator: &mut dyn Operator, table: &str) -> usize {
    find_table(&operator.snapshot().unwrap(), table).unwrap().num_rows()
}

const ON_WATERMARK: OverEmit = OverEmit::OnWatermark { column: 1 };

#[test]
fn rows_that_no_frame_reaches_are_dropped_with_their_partitions() {
    let ranged = call(SUM, FrameUnits::Range, FrameBound::Preceding(10), FrameBound::CurrentRow);
    let mut operator = try_over(ranged, ON_WATERMARK, 1).unwrap();
    let many: Vec<_> = (0..1_000).map(|row| (row % 7, row, 1)).collect();
    run(operator.as_mut(), 0, |operator, context| operator.on_delta(0, rows(&many), context).unwrap());
    let out = run(operator.as_mut(), 0, |operator, context| operator.on_watermark(EventTime(900), context).unwrap());
    assert_eq!(out.len(), 900);
    assert_eq!(out.last(), Some(&Some(2)), "two rows of a key in ten microseconds");
    assert_eq!((kept(operator.as_mut(), "kept"), kept(operator.as_mut(), "waiting")), (10, 100));
    run(operator.as_mut(), 0, |operator, context| operator.on_watermark(EventTime(2_000), context).unwrap());
    assert_eq!((kept(operator.as_mut(), "kept"), kept(operator.as_mut(), "keys")), (0, 0));
}

#[test]
fn so_many_rows_are_kept_as_frames_have() {
    let calls = call(SUM, FrameUnits::Rows, FrameBound::Preceding(3), FrameBound::Preceding(1));
    let mut operator = try_over(calls, OverEmit::OnArrival, 1).unwrap();
    for batch in 0..50 {
        let many: Vec<_> = (0..20).map(|row| (row % 2, 0, batch * 10 + row / 2)).collect();
        let out =
            run(operator.as_mut(), batch, |operator, context| operator.on_delta(0, rows(&many), context).unwrap());
        let before = |value: i64| (value > 0).then(|| (value - 3..value).filter(|value| *value >= 0).sum::<i64>());
        let expected: Vec<_> = many.iter().map(|(_, _, value)| before(*value)).collect();
        assert_eq!(out, expected);
        assert_eq!(kept(operator.as_mut(), "kept"), 6);
    }
}

/// The state as earlier releases told it: kept rows stood in their order, and named their partitions by places.
fn earlier(state: &OperatorState) -> OperatorState {
    let mut state = placed(state.clone()).unwrap();
    for (_, rows) in state.tables.iter_mut().filter(|(name, _)| name == "kept") {
        let last = rows.num_columns() - 1;
        let order = sort_to_indices(rows.column(last), None, None).unwrap();
        *rows = take_record_batch(rows, &order).unwrap().project(&(0..last).collect::<Vec<_>>()).unwrap();
    }
    state
}

#[test]
fn kept_rows_are_restored_in_their_order() {
    let first = call(OverFunction::FirstValue, FrameUnits::Rows, FrameBound::Preceding(3), FrameBound::Preceding(1));
    let mut operator = try_over(first.clone(), OverEmit::OnArrival, 1).unwrap();
    for value in 0..10 {
        let both = rows(&[(1, 0, value), (2, 0, value)]);
        run(operator.as_mut(), 0, |operator, context| operator.on_delta(0, both, context).unwrap());
    }
    let state = operator.snapshot().unwrap();
    for state in [earlier(&state), state] {
        let mut restored = try_over(first.clone(), OverEmit::OnArrival, 1).unwrap();
        restored.restore(state).unwrap();
        let out = run(restored.as_mut(), 0, |operator, context| {
            operator.on_delta(0, rows(&[(1, 0, 10), (2, 0, 10)]), context).unwrap();
        });
        assert_eq!(out, [Some(7), Some(7)]);
    }
}

#[test]
fn a_range_of_arrival_is_of_processing_time() {
    let calls = call(SUM, FrameUnits::Range, FrameBound::Preceding(10), FrameBound::CurrentRow);
    let mut operator = try_over(calls, OverEmit::OnArrival, 1).unwrap();
    let mut at = |now, value| {
        run(operator.as_mut(), now, |operator, context| operator.on_delta(0, rows(&[(1, 0, value)]), context).unwrap())
    };
    assert_eq!(at(100, 1), [Some(1)]);
    assert_eq!(at(105, 2), [Some(3)]);
    assert_eq!(at(110, 4), [Some(7)]);
    assert_eq!(at(111, 8), [Some(14)]);
    assert_eq!(at(200, 16), [Some(16)]);
}

#[test]
fn a_shift_beyond_the_partition_has_its_default() {
    let lag = OverFunction::Lag { offset: 2, default: Some(0) };
    let lag = call(lag, FrameUnits::Rows, FrameBound::UnboundedPreceding, FrameBound::CurrentRow);
    for emit in [OverEmit::NetChange, ON_WATERMARK, OverEmit::OnArrival] {
        let mut operator = try_over(lag.clone(), emit, 1).unwrap();
        let out = run(operator.as_mut(), 0, |operator, context| {
            operator.on_delta(0, rows(&[(7, 1, 10), (7, 2, 20), (7, 3, 30)]), context).unwrap();
            operator.on_watermark(EventTime(10), context).unwrap();
            operator.on_barrier(Epoch(1), context).unwrap();
        });
        assert_eq!(out, [Some(7), Some(7), Some(10)], "{emit:?}");
    }
}

#[test]
fn large_partitions_are_computed_whole() {
    let sum = call(SUM, FrameUnits::Rows, FrameBound::UnboundedPreceding, FrameBound::CurrentRow);
    let mut operator = try_over(sum, OverEmit::NetChange, 1).unwrap();
    let many: Vec<_> = (0..20_000).map(|row| (1, row, 1)).collect();
    let flush = |operator: &mut dyn Operator, delta: Delta| {
        run(operator, 0, |operator, context| {
            operator.on_delta(0, delta, context).unwrap();
            operator.on_barrier(Epoch(1), context).unwrap();
        })
    };
    let out = flush(operator.as_mut(), rows(&many));
    assert!(out.into_iter().eq((1..=20_000).map(Some)));
    // A row near the end changes those after it only.
    let out = flush(operator.as_mut(), rows(&[(1, 19_997, 5)]));
    assert_eq!(out, [19_999, 20_004, 20_000, 20_005, 20_003].map(Some));
}

#[test]
fn distributions_are_fractions_of_the_partition() {
    let distribution = |function| {
        let mut call = call(function, FrameUnits::Rows, FrameBound::UnboundedPreceding, FrameBound::CurrentRow);
        call.output = Arc::new(Field::new("out", DataType::Float64, true));
        let mut operator = try_over(call, OverEmit::NetChange, 2).unwrap();
        let (mut out, delta) = (Outbox::default(), rows(&[(1, 0, 10), (1, 0, 20), (1, 1, 20), (1, 0, 30), (2, 0, 1)]));
        let mut context = Context::new(ProcessingTime(0), &mut out);
        operator.on_delta(0, delta, &mut context).unwrap();
        operator.on_barrier(Epoch(1), &mut context).unwrap();
        let Some(Emitted::Delta(delta)) = out.items.first() else { panic!("nothing came out") };
        delta.batch.column(4).as_primitive::<Float64Type>().values().to_vec()
    };
    assert_eq!(distribution(OverFunction::PercentRank), [0.0, 1.0 / 3.0, 1.0 / 3.0, 1.0, 0.0]);
    assert_eq!(distribution(OverFunction::CumeDist), [0.25, 0.75, 0.75, 1.0, 1.0]);
}

#[test]
fn what_has_no_answer_is_refused() {
    use FrameBound::{CurrentRow, Following, Preceding, UnboundedPreceding};
    let refused = [
        (call(SUM, FrameUnits::Rows, CurrentRow, Following(1)), ON_WATERMARK, 1),
        (call(OverFunction::Ntile(2), FrameUnits::Rows, UnboundedPreceding, CurrentRow), OverEmit::OnArrival, 1),
        (call(SUM, FrameUnits::Rows, Preceding(-1), CurrentRow), OverEmit::NetChange, 1),
    ];
    for (call, emit, by) in refused {
        let described = format!("{call:?}");
        assert!(try_over(call, emit, by).is_err(), "{described}");
    }
}
