//! Tests of the window aggregation as text: what is emitted, and when.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use arrow::array::StringArray;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::util::display::array_value_to_string;
use expect_test::{Expect, expect};

use super::*;
use crate::operators::{Emitted, Outbox};
use crate::plan::{AggregateCall, AggregateFunction, Window, WindowEmit};

/// An operator with what it emitted, as lines; times in seconds.
struct Bench {
    operator: WindowAggregate,
    window: Window,
    time: WindowTime,
    keyed: bool,
    functions: Vec<AggregateFunction>,
    now: i64,
    lines: String,
}

const SECOND: i64 = 1_000_000;

impl Bench {
    fn new(window: Window, time: WindowTime, keyed: bool, functions: &[AggregateFunction]) -> Self {
        let operator = operator(window, time, keyed, functions);
        Self { operator, window, time, keyed, functions: functions.to_vec(), now: 0, lines: String::new() }
    }

    fn run(&mut self, call: impl FnOnce(&mut WindowAggregate, &mut Context<'_>) -> Result<()>) -> Option<i64> {
        let mut out = Outbox::default();
        call(&mut self.operator, &mut Context::new(ProcessingTime(self.now * SECOND), &mut out)).unwrap();
        for item in out.items {
            match item {
                Emitted::Watermark(watermark) => self.lines += &format!("watermark {watermark}\n"),
                Emitted::Delta(delta) => {
                    let mut rows: Vec<String> = (0..delta.rows()).map(|row| line(&delta, row)).collect();
                    rows.sort();
                    self.lines += &rows.concat();
                }
            }
        }
        let late = out.rejects.counts.late;
        if late > 0 {
            self.lines += &format!("late {late}\n");
        }
        out.timer.map(|timer| timer.0 / SECOND)
    }

    /// Rows of key, second and value.
    fn rows(&mut self, rows: &[(&str, i64, i64)]) -> Option<i64> {
        let batch = batch(rows);
        self.run(|operator, context| operator.on_delta(0, Delta::append(batch), context))
    }

    fn watermark(&mut self, second: i64) {
        self.run(|operator, context| operator.on_watermark(EventTime(second * SECOND), context));
    }

    fn restart(&mut self) {
        let state = self.operator.snapshot().unwrap();
        self.operator = operator(self.window, self.time, self.keyed, &self.functions);
        self.operator.restore(state).unwrap();
    }

    fn check(mut self, expect: &Expect) {
        self.run(|operator, context| {
            operator.on_watermark(EventTime::MAX, context)?;
            operator.on_end(context)
        });
        expect.assert_eq(&self.lines);
    }
}

fn batch(rows: &[(&str, i64, i64)]) -> RecordBatch {
    let keys: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0)));
    let times: ArrayRef = Arc::new(TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.1 * 1_000)));
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2)));
    RecordBatch::try_from_iter([("k", keys), ("ts", times), ("v", values)]).unwrap()
}

fn operator(window: Window, time: WindowTime, keyed: bool, functions: &[AggregateFunction]) -> WindowAggregate {
    let calls = functions.iter().map(|function| AggregateCall {
        function: function.clone(),
        args: vec![2],
        order_by: Vec::new(),
        distinct: false,
        filter: None,
        output: Arc::new(Field::new("c", DataType::Int64, true)),
    });
    let calls: Vec<AggregateCall> = calls.collect();
    let keys = if keyed { vec![0] } else { Vec::new() };
    let millis = |name| Field::new(name, DataType::Timestamp(TimeUnit::Millisecond, None), true);
    let mut fields: Vec<Field> = keys.iter().map(|_| Field::new("k", DataType::Utf8, true)).collect();
    fields.extend(calls.iter().map(|call| call.output.as_ref().clone()));
    fields.extend(["window_start", "window_end", "window_time"].map(millis));
    let (window, emit) = (WindowInput::Assign { window, time }, WindowEmit::default());
    let spec = WindowAggregateSpec { window, keys, calls, retracts: false, emit };
    WindowAggregate::new(&spec, &batch(&[]).schema(), Arc::new(Schema::new(fields))).unwrap()
}

fn line(delta: &Delta, row: usize) -> String {
    let sign = if delta.is_retract(row) { '-' } else { '+' };
    let cell = |column: &ArrayRef| match column.as_primitive_opt::<arrow::datatypes::TimestampMillisecondType>() {
        Some(times) => format!("{}s", times.value(row) as f64 / 1_000.0),
        None => array_value_to_string(column, row).unwrap(),
    };
    format!("{sign} {}\n", delta.batch.columns().iter().map(cell).collect::<Vec<_>>().join(" "))
}

fn hop(slide: i64, size: i64) -> Window {
    Window::Hop { slide_us: slide * SECOND, size_us: size * SECOND, offset_us: 0 }
}

const EVENT: WindowTime = WindowTime::Event(1);
const COUNT_SUM: &[AggregateFunction] = &[AggregateFunction::Count, AggregateFunction::Sum];

#[test]
fn tumble_drops_and_counts_late_rows() {
    let mut bench = Bench::new(Window::Tumble { size_us: 10 * SECOND, offset_us: 0 }, EVENT, true, COUNT_SUM);
    bench.rows(&[("a", 1, 1), ("b", 12, 2), ("a", 9, 3)]);
    bench.watermark(9);
    bench.watermark(10);
    bench.rows(&[("a", 9, 4), ("a", 10, 5)]);
    bench.check(&expect![[r#"
        watermark 1970-01-01 00:00:09
        + a 2 4 0s 10s 9.999s
        watermark 1970-01-01 00:00:10
        late 1
        + a 1 5 10s 20s 19.999s
        + b 1 2 10s 20s 19.999s
        watermark ∞
    "#]]);
}

#[test]
fn hop_takes_expired_slices_away() {
    let mut bench = Bench::new(hop(5, 10), EVENT, true, COUNT_SUM);
    bench.rows(&[("a", 1, 1), ("a", 6, 2), ("b", 11, 4)]);
    bench.watermark(5);
    // Late for the first window, in time for the second.
    bench.watermark(10);
    bench.rows(&[("a", 7, 8), ("a", 3, 16)]);
    bench.watermark(15);
    bench.restart();
    bench.rows(&[("c", 14, 32)]);
    bench.check(&expect![[r#"
        + a 1 1 -5s 5s 4.999s
        watermark 1970-01-01 00:00:05
        + a 2 3 0s 10s 9.999s
        watermark 1970-01-01 00:00:10
        late 1
        + a 2 10 5s 15s 14.999s
        + b 1 4 5s 15s 14.999s
        watermark 1970-01-01 00:00:15
        + b 1 4 10s 20s 19.999s
        + c 1 32 10s 20s 19.999s
        watermark ∞
    "#]]);
}

#[test]
fn hop_without_keys_goes_on_after_a_gap() {
    let mut bench = Bench::new(hop(5, 10), EVENT, false, COUNT_SUM);
    bench.rows(&[("a", 1, 1), ("a", 12, 2), ("a", 1000, 4)]);
    bench.check(&expect![[r#"
        + 1 1 -5s 5s 4.999s
        + 1 1 0s 10s 9.999s
        + 1 2 5s 15s 14.999s
        + 1 2 10s 20s 19.999s
        + 1 4 995s 1005s 1004.999s
        + 1 4 1000s 1010s 1009.999s
        watermark ∞
    "#]]);
}

#[test]
fn hop_merges_what_cannot_be_taken_away() {
    let functions = [AggregateFunction::Max, AggregateFunction::FirstValue, AggregateFunction::LastValue];
    let mut bench = Bench::new(hop(4, 10), EVENT, true, &functions);
    bench.rows(&[("x", 1, 0), ("x", 2, 0), ("a", 3, 9), ("a", 5, 1), ("a", 7, 5)]);
    bench.check(&expect![[r#"
        + x 0 0 0 -8s 2s 1.999s
        + a 9 9 1 -4s 6s 5.999s
        + x 0 0 0 -4s 6s 5.999s
        + a 9 9 5 0s 10s 9.999s
        + x 0 0 0 0s 10s 9.999s
        + a 5 1 5 4s 14s 13.999s
        watermark ∞
    "#]]);
}

#[test]
fn cumulate_grows() {
    let window = Window::Cumulate { step_us: 5 * SECOND, size_us: 15 * SECOND, offset_us: 0 };
    let mut bench = Bench::new(window, EVENT, true, COUNT_SUM);
    bench.rows(&[("a", 1, 1), ("a", 6, 2)]);
    bench.watermark(10);
    bench.rows(&[("b", 2, 4), ("a", 16, 8)]);
    bench.check(&expect![[r#"
        + a 1 1 0s 5s 4.999s
        + a 2 3 0s 10s 9.999s
        watermark 1970-01-01 00:00:10
        + a 2 3 0s 15s 14.999s
        + b 1 4 0s 15s 14.999s
        + a 1 8 15s 20s 19.999s
        + a 1 8 15s 25s 24.999s
        + a 1 8 15s 30s 29.999s
        watermark ∞
    "#]]);
}

#[test]
fn the_clock_closes_windows_of_processing_time() {
    let window = Window::Tumble { size_us: 10 * SECOND, offset_us: 0 };
    let mut bench = Bench::new(window, WindowTime::Processing, true, COUNT_SUM);
    bench.now = 3;
    assert_eq!(bench.rows(&[("a", 0, 1)]), Some(10));
    bench.watermark(100);
    bench.restart();
    assert_eq!(bench.run(|operator, context| operator.on_barrier(Epoch(1), context)), Some(10));
    bench.now = 10;
    bench.run(|operator, context| operator.on_timer(context.now, context));
    bench.now = 12;
    bench.rows(&[("b", 0, 2)]);
    bench.check(&expect![[r#"
        watermark 1970-01-01 00:01:40
        + a 1 1 0s 10s 9.999s
        watermark ∞
        + b 1 2 10s 20s 19.999s
    "#]]);
}

#[test]
fn a_null_event_time_names_its_column() {
    let mut operator = operator(hop(5, 10), EVENT, true, COUNT_SUM);
    let rows = batch(&[("a", 1, 1)]);
    let nullable = |field: &Arc<Field>| field.as_ref().clone().with_nullable(true);
    let schema = Schema::new(rows.schema().fields().iter().map(nullable).collect::<Vec<_>>());
    let mut columns = rows.columns().to_vec();
    columns[1] = Arc::new(TimestampMillisecondArray::from(vec![None::<i64>]));
    let rows = Delta::append(RecordBatch::try_new(Arc::new(schema), columns).unwrap());
    let mut out = Outbox::default();
    let error = operator.on_delta(0, rows, &mut Context::new(ProcessingTime(0), &mut out)).unwrap_err();
    assert_eq!(error.to_string(), "null event time in column \"ts\"");
}
