//! Micro-benchmarks of operators: aggregates, windows, joins, Top-N, by the number of keys.
//!
//! An operator takes batches of 8,192 rows and a barrier after every eighth, as in a job; items are rows.

use std::sync::Arc;

use crate::rows::{KEY, SECONDS_A_BATCH, TIME, VALUE, batches, schema};
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use divan::Bencher;
use divan::counter::ItemsCount;
use millstream_engine::message::{BATCH_ROWS, Delta, Epoch};
use millstream_engine::operators::build::build;
use millstream_engine::operators::{Context, Operator, Outbox};
use millstream_engine::plan::{
    AggregateCall, AggregateFunction, ChangelogMode, Edge, GroupAggregateSpec, IntervalJoinSpec, JoinKey, JoinKind,
    JoinSpec, Node, NodeId, OperatorSpec, RankEmit, RankFunction, RankSpec, SortKey, Window, WindowAggregateSpec,
    WindowEmit, WindowInput, WindowTime,
};
use millstream_engine::time::{EventTime, ProcessingTime};

const BATCHES: usize = 32;
const BATCHES_AN_EPOCH: usize = 8;
const KEYS: [u64; 3] = [10, 10_000, 1_000_000];

/// The operator of a description, on one shard.
fn operator(spec: OperatorSpec, inputs: &[SchemaRef], output: Vec<FieldRef>) -> Box<dyn Operator> {
    let schema = Arc::new(Schema::new(output));
    let edge = Edge { schema, changelog: ChangelogMode::Retract, stream_key: None, time_column: None };
    build(&Node { id: NodeId(0), spec, inputs: Vec::new(), edge }, inputs, 0).expect("an operator")
}

/// Gives an operator rows on its ports in turn, with watermarks and barriers between them.
fn run(operator: &mut dyn Operator, input: &[RecordBatch], ports: usize) {
    let mut out = Outbox::default();
    for (index, batch) in input.iter().enumerate() {
        let context = &mut Context::new(ProcessingTime(0), &mut out);
        operator.on_delta(index % ports, Delta::append(batch.clone()), context).expect("rows");
        if (index + 1) % BATCHES_AN_EPOCH == 0 {
            let seconds = i64::try_from(index).unwrap_or(0) * SECONDS_A_BATCH - 4;
            operator.on_watermark(EventTime(seconds * 1_000_000), context).expect("a watermark");
            operator.on_barrier(Epoch(index as u64), context).expect("a barrier");
        }
        divan::black_box(&out.items);
        out.items.clear();
    }
}

/// Measures an operator that begins without state.
fn measure(bencher: Bencher<'_, '_>, keys: u64, ports: usize, make: impl Fn() -> Box<dyn Operator> + Sync) {
    let input = batches(BATCHES, keys);
    bencher
        .counter(ItemsCount::new(BATCHES * BATCH_ROWS))
        .with_inputs(make)
        .bench_local_refs(|operator| run(operator.as_mut(), &input, ports));
}

fn call(function: AggregateFunction, args: Vec<usize>, distinct: bool) -> AggregateCall {
    let output = Arc::new(Field::new("call", DataType::Int64, true));
    AggregateCall { function, args, order_by: Vec::new(), distinct, filter: None, output }
}

fn calls(distinct: bool) -> Vec<AggregateCall> {
    vec![
        call(AggregateFunction::Count, Vec::new(), false),
        call(AggregateFunction::Sum, vec![VALUE], false),
        call(if distinct { AggregateFunction::Count } else { AggregateFunction::Max }, vec![VALUE], distinct),
    ]
}

/// The fields of an aggregation: the keys, the calls, the window's columns.
fn aggregated(calls: &[AggregateCall], window: bool) -> Vec<FieldRef> {
    let schema = schema();
    let window_fields =
        ["window_start", "window_end", "window_time"].map(|name| Arc::new(schema.field(TIME).clone().with_name(name)));
    let key = Arc::new(schema.field(KEY).clone());
    let window_fields = window_fields.into_iter().filter(|_| window);
    std::iter::once(key).chain(calls.iter().map(|call| Arc::clone(&call.output))).chain(window_fields).collect()
}

fn group(bencher: Bencher<'_, '_>, keys: u64, distinct: bool, retracts: bool) {
    measure(bencher, keys, 1, || {
        let calls = calls(distinct);
        let output = aggregated(&calls, false);
        let spec = GroupAggregateSpec { keys: vec![KEY], calls, retracts, ttl_us: None, upserts: false };
        operator(OperatorSpec::GroupAggregate(spec), &[schema()], output)
    });
}

#[divan::bench(args = KEYS)]
fn group_aggregate(bencher: Bencher<'_, '_>, keys: u64) {
    group(bencher, keys, false, false);
}

#[divan::bench(args = KEYS)]
fn group_aggregate_retractable(bencher: Bencher<'_, '_>, keys: u64) {
    group(bencher, keys, false, true);
}

#[divan::bench(args = KEYS)]
fn group_count_distinct(bencher: Bencher<'_, '_>, keys: u64) {
    group(bencher, keys, true, false);
}

fn window(bencher: Bencher<'_, '_>, keys: u64, window: Window) {
    measure(bencher, keys, 1, || {
        let calls = calls(false);
        let output = aggregated(&calls, true);
        let window = WindowInput::Assign { window, time: WindowTime::Event(TIME) };
        let spec = WindowAggregateSpec { window, keys: vec![KEY], calls, retracts: false, emit: WindowEmit::default() };
        operator(OperatorSpec::WindowAggregate(spec), &[schema()], output)
    });
}

#[divan::bench(args = KEYS)]
fn tumble(bencher: Bencher<'_, '_>, keys: u64) {
    window(bencher, keys, Window::Tumble { size_us: 10_000_000, offset_us: 0 });
}

#[divan::bench(args = KEYS)]
fn hop_of_five(bencher: Bencher<'_, '_>, keys: u64) {
    window(bencher, keys, Window::Hop { slide_us: 2_000_000, size_us: 10_000_000, offset_us: 0 });
}

fn joined() -> Vec<FieldRef> {
    let fields = schema();
    fields.fields().iter().chain(fields.fields()).cloned().collect()
}

/// A partner or two for each row, whatever the number of keys: fewer would make more pairs than rows.
#[divan::bench]
fn join(bencher: Bencher<'_, '_>) {
    measure(bencher, 100_000, 2, || {
        let spec = JoinSpec {
            kind: JoinKind::Inner,
            keys: vec![JoinKey { left: KEY, right: KEY, null_equal: false }],
            residual: None,
            retracts: (false, false),
            null_aware: false,
            ttl_us: (None, None),
        };
        operator(OperatorSpec::Join(spec), &[schema(), schema()], joined())
    });
}

#[divan::bench]
fn interval_join(bencher: Bencher<'_, '_>) {
    measure(bencher, 100_000, 2, || {
        let spec = IntervalJoinSpec {
            kind: JoinKind::Inner,
            keys: vec![JoinKey { left: KEY, right: KEY, null_equal: false }],
            left_time: TIME,
            right_time: TIME,
            lower_us: -10_000_000,
            upper_us: 10_000_000,
            residual: None,
        };
        operator(OperatorSpec::IntervalJoin(spec), &[schema(), schema()], joined())
    });
}

#[divan::bench(args = KEYS)]
fn top_ten(bencher: Bencher<'_, '_>, keys: u64) {
    measure(bencher, keys, 1, || {
        let rank = Arc::new(Field::new("place", DataType::Int64, false));
        let spec = RankSpec {
            function: RankFunction::RowNumber,
            partition: vec![KEY],
            order: vec![SortKey { column: VALUE, descending: true, nulls_first: false }],
            from: 1,
            to: 10,
            rank_column: Some(Arc::clone(&rank)),
            retracts: false,
            ttl_us: None,
            emit: RankEmit::NetChange,
            window_end: None,
        };
        let output = schema().fields().iter().cloned().chain([rank]).collect();
        operator(OperatorSpec::Rank(spec), &[schema()], output)
    });
}
