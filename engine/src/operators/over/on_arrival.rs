//! [`OverOnArrival`]: window functions in order of arrival; rows come out at once.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;

use super::running::{Running, Sorted};
use crate::checkpoint::numbers::placed;
use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};
use crate::message::{Delta, Epoch, Sign};
use crate::operators::{Context, Operator, OperatorState};
use crate::plan::OverSpec;
use crate::time::EventTime;

/// See the module. Output: the input columns, then the calls.
pub(super) struct OverOnArrival {
    running: Running,
    output: SchemaRef,
}

impl OverOnArrival {
    /// The operator.
    ///
    /// # Errors
    /// Where a call cannot work on the way.
    pub(super) fn new(spec: &OverSpec, input: &SchemaRef, output: SchemaRef) -> Result<Self> {
        Ok(Self { running: Running::new(spec, input, false)?, output })
    }
}

impl Operator for OverOnArrival {
    fn on_delta(&mut self, _port: usize, delta: Delta, context: &mut Context<'_>) -> Result<()> {
        if delta.sign != Sign::AppendOnly {
            return Err(EngineError::Internal("retractions into window functions over insertions".into()));
        }
        let batch = delta.batch;
        let rows = u32::try_from(batch.num_rows()).map_err(|_| EngineError::Internal("a batch of 2^32 rows".into()))?;
        let slots = self.running.slots(&batch)?;
        let now = context.now.0;
        let mut order: Vec<u32> = (0..rows).collect();
        order.sort_by_key(|row| slots[*row as usize]);
        let times = vec![now; slots.len()];
        let sorted = Sorted { batch: &batch, slots: &slots, times: &times, order: &order, horizon: now };
        let results = self.running.process(&sorted)?;
        // Back to the order of arrival.
        let mut places = vec![0; order.len()];
        (0..rows).zip(&order).for_each(|(place, row)| places[*row as usize] = place);
        let places = UInt32Array::from(places);
        let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
        for column in results {
            columns.push(take(&column, &places, None)?);
        }
        context.emit(Delta::append(RecordBatch::try_new(Arc::clone(&self.output), columns)?));
        Ok(())
    }

    fn on_watermark(&mut self, watermark: EventTime, context: &mut Context<'_>) -> Result<()> {
        context.emit_watermark(watermark);
        Ok(())
    }

    fn on_barrier(&mut self, _epoch: Epoch, context: &mut Context<'_>) -> Result<()> {
        self.running.sweep(context.now.0)
    }

    fn on_end(&mut self, _context: &mut Context<'_>) -> Result<()> {
        Ok(())
    }

    fn capture(&mut self, epoch: Epoch, base: Option<Epoch>) -> Result<Vec<Table>> {
        self.running.capture(epoch, base)
    }

    fn restore(&mut self, state: OperatorState) -> Result<()> {
        self.running.restore(&placed(state)?)
    }
}
