//! Stateless steps, fused: filters, projections, the assignment of windows, grouping sets and elements, batch by batch.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, TimestampMillisecondArray, UInt32Array, new_null_array,
};
use arrow::compute::{cast, interleave, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef};

use super::event_time::event_times;
use super::unnest::unnested;
use super::windows::{windows_most, windows_of};
use super::{Context, Operator, OperatorState};
use crate::checkpoint::table::Table;
use crate::error::Result;
use crate::expr::{EvalContext, fused};
use crate::message::{BATCH_ROWS, Delta, Epoch, Sign};
use crate::plan::{GroupingSet, StatelessSpec, Step, Window, WindowTime};
use crate::rejects::{OnError, RejectKind, Rejects, narrow};
use crate::time::{EventTime, ProcessingTime};

/// Runs the steps of a node on each delta.
pub struct Stateless {
    steps: Vec<Step>,
}

impl Stateless {
    /// The operator over rows of `input`.
    ///
    /// # Errors
    /// Where an expression does not fit the columns.
    pub fn new(spec: &StatelessSpec, input: &SchemaRef) -> Result<Self> {
        Ok(Self { steps: fused(&spec.steps, input)? })
    }
}

/// Runs steps over a delta and passes on what comes of it, in deltas of not many more rows than a batch should have:
/// steps that multiply rows take the delta in pieces. Empty deltas are not passed on.
///
/// # Errors
/// Where a row cannot be evaluated; what `pass` gives.
pub fn run_steps(
    steps: &[Step],
    delta: Delta,
    now: ProcessingTime,
    pass: &mut dyn FnMut(Delta) -> Result<()>,
) -> Result<()> {
    let mut delta = delta;
    for (index, step) in steps.iter().enumerate() {
        let rest = steps.get(index + 1..).unwrap_or_default();
        if delta.rows() == 0 {
            return Ok(());
        }
        delta = match step {
            Step::Filter(condition) => {
                let keep = condition.evaluate_predicate(&delta.batch, EvalContext { now })?;
                if keep.true_count() == keep.len() { delta } else { delta.filter(&keep)? }
            }
            Step::Project { exprs, schema } => {
                let columns = exprs.iter().map(|expr| expr.evaluate(&delta.batch, EvalContext { now }));
                let columns = columns.collect::<Result<Vec<_>>>()?;
                let options = RecordBatchOptions::new().with_row_count(Some(delta.rows()));
                let batch = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?;
                delta.with_batch(batch)
            }
            Step::AssignWindows { window, time, schema } => match pieces(delta.rows(), windows_most(*window)) {
                None => assign(*window, *time, schema, &delta, now)?,
                Some(pieces) => {
                    for (from, rows) in pieces {
                        run_steps(rest, assign(*window, *time, schema, &delta.slice(from, rows), now)?, now, pass)?;
                    }
                    return Ok(());
                }
            },
            Step::Expand { sets, schema } => match pieces(delta.rows(), sets.len()) {
                None => expand(sets, schema, &delta)?,
                Some(pieces) => {
                    for (from, rows) in pieces {
                        run_steps(rest, expand(sets, schema, &delta.slice(from, rows))?, now, pass)?;
                    }
                    return Ok(());
                }
            },
            Step::Unnest { list, schema } => {
                let lists = list.evaluate(&delta.batch, EvalContext { now })?;
                return unnested(&delta, &lists, schema, &mut |part| run_steps(rest, part, now, pass));
            }
        };
    }
    if delta.rows() > 0 { pass(delta) } else { Ok(()) }
}

/// As [`run_steps`], but rows that cannot be evaluated are rejected where they are not to fail the job. `check` is asked between
/// chunks.
///
/// # Errors
/// As [`run_steps`], and what `check` gives.
pub fn run_steps_rejecting(
    steps: &[Step],
    delta: Delta,
    now: ProcessingTime,
    rejects: &mut Rejects,
    check: &dyn Fn() -> Result<()>,
    pass: &mut dyn FnMut(Delta) -> Result<()>,
) -> Result<()> {
    if rejects.on_error == OnError::Fail {
        return run_steps(steps, delta, now, &mut |delta| {
            check()?;
            pass(delta)
        });
    }
    // What came out before the row that fails must not come out again with the halves.
    let done = narrow(RejectKind::Bad, &delta, rejects, &mut |part| {
        let mut out = Vec::new();
        run_steps(steps, part.clone(), now, &mut |delta| {
            out.push(delta);
            check()
        })?;
        Ok(out)
    })?;
    done.into_iter().flatten().try_for_each(pass)
}

/// How to cut rows of which each becomes up to `most`: start and length of each piece. None where one batch is enough.
fn pieces(rows: usize, most: usize) -> Option<impl Iterator<Item = (usize, usize)>> {
    let piece = (BATCH_ROWS / most.max(1)).max(1);
    (most > 1 && rows > piece).then(|| (0..rows).step_by(piece).map(move |from| (from, piece.min(rows - from))))
}

/// Each row once for each set, with null in what the set leaves out, and the number of the set.
fn expand(sets: &[GroupingSet], schema: &SchemaRef, delta: &Delta) -> Result<Delta> {
    let rows = delta.rows();
    let repeated: UInt32Array = (0_u32..).take(rows).flat_map(|row| std::iter::repeat_n(row, sets.len())).collect();
    let mut columns = Vec::with_capacity(delta.batch.num_columns() + 1);
    for (index, column) in delta.batch.columns().iter().enumerate() {
        let left_out: Vec<bool> = sets.iter().map(|set| set.left_out.contains(&index)).collect();
        columns.push(if left_out.contains(&true) {
            let null = new_null_array(column.data_type(), 1);
            let of_row = |row: usize| left_out.iter().map(move |out| if *out { (1, 0) } else { (0, row) });
            interleave(&[column.as_ref(), null.as_ref()], &(0..rows).flat_map(of_row).collect::<Vec<_>>())?
        } else {
            arrow::compute::take(column, &repeated, None)?
        });
    }
    let ids = Int64Array::from_iter_values((0..rows).flat_map(|_| sets.iter().map(|set| set.id)));
    let id_type = schema.fields().last().map_or(&DataType::Int64, |field| field.data_type());
    columns.push(cast(&ids, id_type)?);
    let sign = repeated_sign(&delta.sign, repeated.values());
    Ok(Delta { batch: RecordBatch::try_new(Arc::clone(schema), columns)?, sign })
}

/// The signs of these rows.
pub(super) fn repeated_sign(sign: &Sign, rows: &[u32]) -> Sign {
    match sign {
        Sign::AppendOnly => Sign::AppendOnly,
        Sign::Retracts(bits) => Sign::Retracts(rows.iter().map(|&row| bits.value(row as usize)).collect()),
    }
}

/// Appends the window columns, one row for each window of a row.
fn assign(window: Window, time: WindowTime, schema: &SchemaRef, delta: &Delta, now: ProcessingTime) -> Result<Delta> {
    let rows = delta.rows();
    let (mut places, mut starts, mut ends) = (Vec::with_capacity(rows), Vec::new(), Vec::new());
    let mut place = |row: u32, at: i64| {
        for (start, end) in windows_of(window, at) {
            places.push(row);
            starts.push(start);
            ends.push(end);
        }
    };
    match time {
        WindowTime::Processing => (0_u32..).take(rows).for_each(|row| place(row, now.0)),
        WindowTime::Event(column) => {
            let times = event_times(&delta.batch, column)?;
            (0_u32..).zip(times.iter()).for_each(|(row, at)| place(row, *at));
        }
    }
    let millis = |micros: &[i64], back: i64| -> ArrayRef {
        let values = micros.iter().map(|at| (at - back).div_euclid(1_000));
        Arc::new(TimestampMillisecondArray::from_iter_values(values))
    };
    let windows = [millis(&starts, 0), millis(&ends, 0), millis(&ends, 1_000)];
    let same = places.len() == rows && (0_u32..).zip(&places).all(|(row, place)| row == *place);
    let (batch, sign) = if same {
        (delta.batch.clone(), delta.sign.clone())
    } else {
        let sign = repeated_sign(&delta.sign, &places);
        (take_record_batch(&delta.batch, &UInt32Array::from(places))?, sign)
    };
    let mut columns = batch.columns().to_vec();
    columns.extend(windows);
    Ok(Delta { batch: RecordBatch::try_new(Arc::clone(schema), columns)?, sign })
}

impl Operator for Stateless {
    fn on_delta(&mut self, _port: usize, delta: Delta, context: &mut Context<'_>) -> Result<()> {
        let (now, budget, mut out) = (context.now, context.budget(), Vec::new());
        let check = || budget.as_ref().map_or(Ok(()), |budget| budget.check());
        run_steps_rejecting(&self.steps, delta, now, context.rejects(), &check, &mut |delta| {
            out.push(delta);
            Ok(())
        })?;
        for delta in out {
            // One row may have more windows than a batch has rows.
            for start in (0..delta.rows()).step_by(BATCH_ROWS) {
                context.emit(delta.slice(start, BATCH_ROWS.min(delta.rows() - start)));
            }
        }
        Ok(())
    }

    fn on_watermark(&mut self, watermark: EventTime, context: &mut Context<'_>) -> Result<()> {
        context.emit_watermark(watermark);
        Ok(())
    }

    fn on_barrier(&mut self, _epoch: Epoch, _context: &mut Context<'_>) -> Result<()> {
        Ok(())
    }

    fn on_end(&mut self, _context: &mut Context<'_>) -> Result<()> {
        Ok(())
    }

    fn capture(&mut self, _epoch: Epoch, _base: Option<Epoch>) -> Result<Vec<Table>> {
        Ok(Vec::new())
    }

    fn restore(&mut self, _state: OperatorState) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

    use arrow::array::{Array, AsArray};
    use arrow::buffer::BooleanBuffer;
    use arrow::datatypes::{Field, Int32Type, Int64Type, Schema, TimeUnit};

    use super::*;
    use crate::operators::{Emitted, Outbox};

    /// The deltas that come of a delta.
    fn run(steps: Vec<Step>, delta: Delta) -> Vec<Delta> {
        let mut out = Outbox::default();
        let mut operator = Stateless::new(&StatelessSpec { steps }, delta.batch.schema_ref()).unwrap();
        operator.on_delta(0, delta, &mut Context::new(ProcessingTime(0), &mut out)).unwrap();
        let delta = |item| match item {
            Emitted::Delta(delta) => delta,
            Emitted::Watermark(_) => panic!("a watermark"),
        };
        out.items.into_iter().map(delta).collect()
    }

    fn expanded(fields: Vec<Field>) -> SchemaRef {
        Arc::new(Schema::new([fields, vec![Field::new("id", DataType::Int32, false)]].concat()))
    }

    #[test]
    fn rows_are_repeated_for_each_grouping_set() {
        let schema = expanded(["a", "b", "v"].map(|name| Field::new(name, DataType::Int64, true)).to_vec());
        let column = |values: [i64; 2]| -> ArrayRef { Arc::new(Int64Array::from(values.to_vec())) };
        let columns = [("a", column([1, 2])), ("b", column([3, 4])), ("v", column([5, 6]))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let sets = [vec![], vec![1], vec![0, 1]];
        let sets = (0..).zip(sets).map(|(id, left_out)| GroupingSet { left_out, id }).collect();
        let delta = Delta::signed(batch, BooleanBuffer::from(vec![false, true]));
        let out = run(vec![Step::Expand { sets, schema }], delta);
        let [out] = out.as_slice() else { panic!("{} deltas", out.len()) };
        let of = |index: usize| out.batch.column(index).as_primitive::<Int64Type>().iter().collect::<Vec<_>>();
        assert_eq!(of(0), [Some(1), Some(1), None, Some(2), Some(2), None]);
        assert_eq!(of(1), [Some(3), None, None, Some(4), None, None]);
        assert_eq!(of(2), [5, 5, 5, 6, 6, 6].map(Some));
        assert_eq!(out.batch.column(3).as_primitive::<Int32Type>().values(), &[0, 1, 2, 0, 1, 2]);
        assert_eq!((0..6).map(|row| out.is_retract(row)).collect::<Vec<_>>(), [false, false, false, true, true, true]);
    }

    #[test]
    fn steps_that_multiply_rows_take_them_in_pieces() {
        const SECOND: i64 = 1_000_000;
        let time = Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true);
        let fields =
            ["ts", "window_start", "window_end", "window_time"].map(|name| time.clone().with_name(name)).to_vec();
        let window = Window::Hop { slide_us: SECOND, size_us: 1_000 * SECOND, offset_us: 0 };
        let assign =
            Step::AssignWindows { window, time: WindowTime::Event(0), schema: Arc::new(Schema::new(fields.clone())) };
        let sets = (0..4).map(|id| GroupingSet { left_out: vec![0], id }).collect();
        let expand = Step::Expand { sets, schema: expanded(fields) };
        let times: ArrayRef = Arc::new(TimestampMillisecondArray::from_iter_values((0..50).map(|row| row * 700)));
        let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![time])), vec![times]).unwrap();
        let out = run(vec![assign, expand], Delta::append(batch));
        assert_eq!(out.iter().map(Delta::rows).sum::<usize>(), 50 * 1_000 * 4);
        assert!(
            out.iter().all(|delta| delta.rows() <= BATCH_ROWS && delta.batch.column(0).null_count() == delta.rows())
        );
    }
}
