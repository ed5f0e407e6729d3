//! [`GroupAggregate`]: aggregation without a window; emits the net change of each key at the barrier.
//!
//! What has changed is known to [`GroupChanges`]. Where the input retracts rows they are counted by key, and a key without
//! rows is retracted and forgotten. The watermark is passed on at the barrier, behind the rows that were in time for it.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef};

use super::aggregate::{AggregateSet, find_table, table_of};
use super::group_changes::{Changed, GroupChanges};
use super::group_table::GroupTable;
use super::held_watermark::HeldWatermark;
use super::idle_keys::IdleKeys;
use super::told::Told;
use super::{Context, Operator, OperatorState};
use crate::checkpoint::numbers::{NUMBERS, numbers_table, placed};
use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};
use crate::message::{BATCH_ROWS, Delta, Epoch, Sign};
use crate::plan::GroupAggregateSpec;
use crate::time::EventTime;

/// See the module. Output: the keys, then the calls. Without keys shard 0 always has one row.
pub struct GroupAggregate {
    keys: Vec<usize>,
    output: SchemaRef,
    table: GroupTable,
    set: AggregateSet,
    changes: GroupChanges,
    /// Old rows that have a new one are not retracted.
    upserts: bool,
    /// The row that exists without input has to be emitted.
    owes_empty_row: bool,
    held: HeldWatermark,
    /// How many rows each slot has, where the input retracts rows.
    rows: Option<Vec<i64>>,
    /// When each slot was touched last, where keys are forgotten after a time.
    idle: Option<IdleKeys>,
    told: Told,
}

impl GroupAggregate {
    /// The operator on one shard.
    ///
    /// # Errors
    /// Where an aggregate is not defined for its argument's type.
    pub fn new(spec: &GroupAggregateSpec, input: &SchemaRef, output: SchemaRef, shard: usize) -> Result<Self> {
        let types: Vec<_> = spec.keys.iter().map(|&key| input.field(key).data_type().clone()).collect();
        Ok(Self {
            keys: spec.keys.clone(),
            output,
            table: GroupTable::new(&types)?,
            set: AggregateSet::new(&spec.calls, input, spec.retracts)?,
            changes: GroupChanges::default(),
            upserts: spec.upserts,
            owes_empty_row: spec.keys.is_empty() && shard == 0,
            held: HeldWatermark::default(),
            rows: spec.retracts.then(Vec::new),
            idle: spec.ttl_us.filter(|_| !spec.keys.is_empty()).map(IdleKeys::new),
            told: Told::default(),
        })
    }

    /// Makes the accumulators and flags as many as the slots.
    fn grow(&mut self) {
        let slots = self.table.capacity_slots();
        self.set.resize(slots);
        self.changes.resize(slots);
        if let Some(rows) = &mut self.rows {
            rows.resize(slots, 0);
        }
    }

    /// Adds to the row counts; a delta of insertions needs none where no retraction can follow.
    fn count(&mut self, delta: &Delta, slots: &[u32]) {
        let Some(rows) = &mut self.rows else { return };
        match &delta.sign {
            Sign::AppendOnly => slots.iter().for_each(|&slot| rows[slot as usize] += 1),
            Sign::Retracts(bits) => {
                for (&slot, retract) in slots.iter().zip(bits.iter()) {
                    rows[slot as usize] += if retract { -1 } else { 1 };
                }
            }
        }
    }

    /// Emits what changed since the last barrier.
    fn flush(&mut self, context: &mut Context<'_>) -> Result<()> {
        if std::mem::take(&mut self.owes_empty_row) {
            let mut slots = Vec::new();
            self.table.intern(&[], 1, &mut slots)?;
            self.grow();
            self.changes.touch(&slots, &self.set)?;
        }
        let (single, rows) = (self.keys.is_empty(), self.rows.as_deref());
        let is_present = |slot: u32| is_present(single, rows, slot);
        let Some(changed) = self.changes.take(&self.set, is_present, self.upserts)? else { return Ok(()) };
        self.emit(&changed, context)?;
        self.told.touch(changed.touched.iter().copied());
        self.forget_empty(&changed.touched);
        if let Some(idle) = &mut self.idle {
            idle.touch(&changed.touched, context.now);
        }
        Ok(())
    }

    /// Forgets those of the touched slots that have no rows, and those that are short of rows because they had been
    /// forgotten before.
    fn forget_empty(&mut self, dirty: &[u32]) {
        let Some(rows) = &mut self.rows else { return };
        let forgets = self.idle.is_some();
        let is_empty = |rows: i64| rows == 0 || forgets && rows < 0;
        let empty: Vec<u32> = dirty.iter().copied().filter(|&slot| is_empty(rows[slot as usize])).collect();
        empty.iter().for_each(|&slot| rows[slot as usize] = 0);
        self.set.clear(&empty);
        if !self.keys.is_empty() {
            self.table.remove(&empty);
        }
    }

    /// Forgets the keys that no row has touched for long. Their rows stay as they are.
    fn forget_idle(&mut self, context: &mut Context<'_>) {
        let Some(idle) = &mut self.idle else { return };
        let table = &self.table;
        let gone = idle.expire(context.now, |slot| table.is_live(slot));
        if gone.is_empty() {
            return;
        }
        context.count_evicted(gone.len());
        self.told.touch(gone.iter().copied());
        self.set.clear(&gone);
        self.table.remove(&gone);
        for &slot in &gone {
            self.changes.set_emitted(slot, false);
            if let Some(rows) = &mut self.rows {
                rows[slot as usize] = 0;
            }
        }
    }

    /// The tables of a snapshot that have a row for each of these slots.
    fn beside(&self, slots: &[u32]) -> Result<Vec<(String, RecordBatch)>> {
        let mut keys = self.table.keys(slots)?;
        keys.push(Arc::new(BooleanArray::from_iter(slots.iter().map(|&slot| Some(self.changes.is_emitted(slot))))));
        let mut tables =
            vec![("calls".to_owned(), self.set.calls_table(slots)?), ("keys".to_owned(), table_of(keys, slots.len())?)];
        if let Some(rows) = &self.rows {
            tables.push(("rows".into(), table_of_numbers(slots, |slot| rows[slot])?));
        }
        if self.set.has_distinct() {
            tables.push((NUMBERS.into(), numbers_table(slots)?));
        }
        if let Some(idle) = &self.idle {
            tables.push(("touched".into(), table_of_numbers(slots, |slot| idle.touched(slot))?));
        }
        Ok(tables)
    }

    /// Emits rows that groups lost and gained.
    fn emit(&self, changed: &Changed, context: &mut Context<'_>) -> Result<()> {
        let mut columns = self.table.keys(&changed.slots)?;
        columns.extend(changed.results.iter().cloned());
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(changed.slots.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.output), columns, &options)?;
        let delta = Delta::signed(batch, changed.retracts.clone());
        for start in (0..delta.rows()).step_by(BATCH_ROWS) {
            context.emit(delta.slice(start, BATCH_ROWS.min(delta.rows() - start)));
        }
        Ok(())
    }
}

/// A number for each slot as a table.
fn table_of_numbers(slots: &[u32], number: impl Fn(usize) -> i64) -> Result<RecordBatch> {
    let column = Int64Array::from_iter_values(slots.iter().map(|&slot| number(slot as usize)));
    table_of(vec![Arc::new(column)], slots.len())
}

/// Whether a slot has a row of the result. Without keys there always is one.
fn is_present(single: bool, rows: Option<&[i64]>, slot: u32) -> bool {
    single || rows.is_none_or(|rows| rows[slot as usize] > 0)
}

/// The numbers of a table of one column.
fn numbers(state: &OperatorState, table: &str) -> Result<Vec<i64>> {
    let column = find_table(state, table)?.columns().first().and_then(|column| column.as_primitive_opt::<Int64Type>());
    column
        .map(|column| column.values().to_vec())
        .ok_or_else(|| EngineError::Internal("the state has other keys".into()))
}

impl Operator for GroupAggregate {
    fn on_delta(&mut self, _port: usize, delta: Delta, _context: &mut Context<'_>) -> Result<()> {
        let keys: Vec<ArrayRef> = self.keys.iter().map(|&key| Arc::clone(delta.batch.column(key))).collect();
        let mut slots = Vec::new();
        self.table.intern(&keys, delta.rows(), &mut slots)?;
        self.grow();
        self.changes.touch(&slots, &self.set)?;
        self.count(&delta, &slots);
        self.set.update_signed(&delta, &slots)
    }

    fn on_watermark(&mut self, watermark: EventTime, _context: &mut Context<'_>) -> Result<()> {
        self.held.hold(watermark);
        Ok(())
    }

    fn on_barrier(&mut self, _epoch: Epoch, context: &mut Context<'_>) -> Result<()> {
        self.flush(context)?;
        self.forget_idle(context);
        self.held.release(context);
        Ok(())
    }

    fn on_end(&mut self, context: &mut Context<'_>) -> Result<()> {
        self.flush(context)?;
        self.held.release(context);
        Ok(())
    }

    fn capture(&mut self, epoch: Epoch, base: Option<Epoch>) -> Result<Vec<Table>> {
        let telling = self.told.tell(epoch, base, self.table.live());
        let beside = self.beside(&telling.slots)?;
        let mut tables: Vec<Table> = beside.into_iter().map(|(name, told)| telling.table(name, told)).collect();
        tables.extend(self.set.capture_distinct("", epoch, base)?);
        Ok(tables)
    }

    fn restore(&mut self, state: OperatorState) -> Result<()> {
        let state = placed(state)?;
        let keys = find_table(&state, "keys")?;
        let width = self.keys.len();
        let Some(emitted) = keys.columns().get(width).and_then(|column| column.as_boolean_opt()) else {
            return Err(EngineError::Internal("the state has other keys".into()));
        };
        let mut slots = Vec::new();
        self.table.intern(&keys.columns()[..width], keys.num_rows(), &mut slots)?;
        self.grow();
        for (&slot, emitted) in slots.iter().zip(emitted.values()) {
            self.changes.set_emitted(slot, emitted);
            self.owes_empty_row &= !emitted;
        }
        if let Some(rows) = &mut self.rows {
            for (&slot, count) in slots.iter().zip(numbers(&state, "rows")?) {
                rows[slot as usize] = count;
            }
        }
        if let Some(idle) = &mut self.idle {
            idle.restore(&slots, &numbers(&state, "touched")?);
        }
        self.set.restore("", &state, &slots)
    }

    fn reissue(&mut self) -> Result<()> {
        let slots = self.table.live_slots();
        slots.iter().for_each(|&slot| self.changes.set_emitted(slot, false));
        self.changes.touch(&slots, &self.set)
    }
}

#[cfg(test)]
#[path = "group_aggregate_tests.rs"]
mod tests;
