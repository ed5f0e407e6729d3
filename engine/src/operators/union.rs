//! [`Union`]: all rows of all inputs.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::{Context, Operator, OperatorState};
use crate::checkpoint::table::Table;
use crate::error::Result;
use crate::message::{Delta, Epoch};
use crate::time::EventTime;

/// Passes rows on under the names of its output; its watermark is the least of its inputs'.
pub struct Union {
    output: SchemaRef,
}

impl Union {
    /// The operator.
    pub fn new(output: SchemaRef) -> Self {
        Self { output }
    }
}

impl Operator for Union {
    fn on_delta(&mut self, _port: usize, delta: Delta, context: &mut Context<'_>) -> Result<()> {
        let batch = RecordBatch::try_new(Arc::clone(&self.output), delta.batch.columns().to_vec())?;
        context.emit(delta.with_batch(batch));
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
