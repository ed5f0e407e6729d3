//! [`FirstArrived`]: the first row of each partition that arrives, at once. Only keys are kept.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{Schema, SchemaRef};

use super::expiry::Expiry;
use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};
use crate::message::{Delta, Epoch, Sign};
use crate::operators::aggregate::{find_table, table_of};
use crate::operators::group_table::GroupTable;
use crate::operators::told::Told;
use crate::operators::{Context, Operator, OperatorState};
use crate::plan::RankSpec;
use crate::time::EventTime;

/// See the module. Output: the input columns, then the rank, which is 1, if asked for.
pub(super) struct FirstArrived {
    partition: Vec<usize>,
    output: SchemaRef,
    table: GroupTable,
    seen: Vec<bool>,
    /// New keys of this epoch, for the expiry.
    fresh: Vec<u32>,
    expiry: Option<Expiry>,
    told: Told,
}

impl FirstArrived {
    /// The operator.
    ///
    /// # Errors
    /// Where a column has a type that cannot be compared.
    pub(super) fn new(spec: &RankSpec, input: &Schema, output: SchemaRef) -> Result<Self> {
        let types: Vec<_> = spec.partition.iter().map(|&column| input.field(column).data_type().clone()).collect();
        Ok(Self {
            partition: spec.partition.clone(),
            output,
            table: GroupTable::new(&types)?,
            seen: Vec::new(),
            fresh: Vec::new(),
            expiry: spec.ttl_us.map(Expiry::new),
            told: Told::default(),
        })
    }

    /// The rows whose keys are new, by number.
    fn first_rows(&mut self, keys: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
        let mut slots = Vec::new();
        self.table.intern(keys, rows, &mut slots)?;
        self.seen.resize(self.table.capacity_slots(), false);
        let mut first = Vec::new();
        for (row, slot) in (0_u32..).zip(slots) {
            if !std::mem::replace(&mut self.seen[slot as usize], true) {
                first.push(row);
                self.told.touch([slot]);
                if self.expiry.is_some() {
                    self.fresh.push(slot);
                }
            }
        }
        Ok(first)
    }
}

impl Operator for FirstArrived {
    fn on_delta(&mut self, _port: usize, delta: Delta, context: &mut Context<'_>) -> Result<()> {
        if delta.sign != Sign::AppendOnly {
            return Err(EngineError::Internal("retractions into a rank over insertions".into()));
        }
        let keys: Vec<ArrayRef> = self.partition.iter().map(|&column| Arc::clone(delta.batch.column(column))).collect();
        let first = self.first_rows(&keys, delta.rows())?;
        if first.is_empty() {
            return Ok(());
        }
        let rows = UInt32Array::from(first);
        let mut columns = take_record_batch(&delta.batch, &rows)?.columns().to_vec();
        if let Some(field) = self.output.fields().get(columns.len()) {
            columns.push(cast(&UInt64Array::from(vec![1; rows.len()]), field.data_type())?);
        }
        context.emit(Delta::append(RecordBatch::try_new(Arc::clone(&self.output), columns)?));
        Ok(())
    }

    fn on_watermark(&mut self, watermark: EventTime, context: &mut Context<'_>) -> Result<()> {
        context.emit_watermark(watermark);
        Ok(())
    }

    fn on_barrier(&mut self, _epoch: Epoch, context: &mut Context<'_>) -> Result<()> {
        let Some(expiry) = &mut self.expiry else { return Ok(()) };
        expiry.touch(self.fresh.drain(..), context.now);
        if expiry.is_due(context.now) {
            let expired = expiry.expired(&self.table.live_slots(), context.now);
            expired.iter().for_each(|&slot| self.seen[slot as usize] = false);
            self.table.remove(&expired);
        }
        Ok(())
    }

    fn on_end(&mut self, _context: &mut Context<'_>) -> Result<()> {
        Ok(())
    }

    fn capture(&mut self, epoch: Epoch, base: Option<Epoch>) -> Result<Vec<Table>> {
        let telling = self.told.tell(epoch, base, self.table.live());
        let keys = table_of(self.table.keys(&telling.slots)?, telling.slots.len())?;
        Ok(vec![telling.table("keys", keys)])
    }

    fn restore(&mut self, state: OperatorState) -> Result<()> {
        let keys = find_table(&state, "keys")?;
        self.first_rows(keys.columns(), keys.num_rows())?;
        self.fresh.clear();
        Ok(())
    }
}
