//! Stateless steps, fused: filters, projections and the assignment of windows, batch by batch.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, TimestampMillisecondArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;

use super::event_time::event_times;
use super::windows::windows_of;
use super::{Context, Operator, OperatorState};
use crate::error::Result;
use crate::expr::EvalContext;
use crate::message::{BATCH_ROWS, Delta, Epoch, Sign};
use crate::plan::{StatelessSpec, Step, Window, WindowTime};
use crate::time::{EventTime, ProcessingTime};

/// Runs the steps of a node on each delta.
pub struct Stateless {
    steps: Vec<Step>,
}

impl Stateless {
    /// The operator.
    pub fn new(spec: &StatelessSpec) -> Self {
        Self { steps: spec.steps.clone() }
    }
}

/// Runs steps over a delta; `None` where no row is left.
///
/// # Errors
/// Where a row cannot be evaluated.
pub fn run_steps(steps: &[Step], delta: Delta, now: ProcessingTime) -> Result<Option<Delta>> {
    let mut delta = delta;
    for step in steps {
        if delta.rows() == 0 {
            return Ok(None);
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
            Step::AssignWindows { window, time, schema } => assign(*window, *time, schema, &delta, now)?,
        };
    }
    Ok((delta.rows() > 0).then_some(delta))
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
        let sign = match &delta.sign {
            Sign::AppendOnly => Sign::AppendOnly,
            Sign::Retracts(bits) => Sign::Retracts(places.iter().map(|&row| bits.value(row as usize)).collect()),
        };
        (take_record_batch(&delta.batch, &UInt32Array::from(places))?, sign)
    };
    let mut columns = batch.columns().to_vec();
    columns.extend(windows);
    Ok(Delta { batch: RecordBatch::try_new(Arc::clone(schema), columns)?, sign })
}

impl Operator for Stateless {
    fn on_delta(&mut self, _port: usize, delta: Delta, context: &mut Context<'_>) -> Result<()> {
        if let Some(delta) = run_steps(&self.steps, delta, context.now)? {
            // Windows may have multiplied the rows.
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

    fn snapshot(&self) -> Result<OperatorState> {
        Ok(OperatorState::default())
    }

    fn restore(&mut self, _state: OperatorState) -> Result<()> {
        Ok(())
    }
}
