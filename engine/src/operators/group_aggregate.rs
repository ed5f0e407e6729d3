//! [`GroupAggregate`]: aggregation without a window; emits the net change of each key at the barrier.
//!
//! When a key is first touched in an epoch its result so far is read and kept; that is what was emitted last, so nothing
//! else has to be remembered. At the barrier old and new results are compared, and equal ones are not emitted. Where the
//! input retracts rows they are counted by key, and a key without rows is retracted and forgotten.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, Int64Array, RecordBatch, UInt32Array,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::{concat, take};
use arrow::datatypes::{Int64Type, SchemaRef};

use super::aggregate::{AggregateSet, find_table, table_of};
use super::group_table::GroupTable;
use super::idle_keys::IdleKeys;
use super::{Context, Operator, OperatorState};
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
    /// Slots whose row is out.
    emitted: Vec<bool>,
    /// Slots touched in this epoch.
    touched: Vec<bool>,
    dirty: Vec<u32>,
    /// Results before this epoch of the dirty slots that were out, in the order of `dirty`.
    before: Vec<Vec<ArrayRef>>,
    /// The row that exists without input has to be emitted.
    owes_empty_row: bool,
    /// How many rows each slot has, where the input retracts rows.
    rows: Option<Vec<i64>>,
    /// When each slot was touched last, where keys are forgotten after a time.
    idle: Option<IdleKeys>,
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
            emitted: Vec::new(),
            touched: Vec::new(),
            dirty: Vec::new(),
            before: Vec::new(),
            owes_empty_row: spec.keys.is_empty() && shard == 0,
            rows: spec.retracts.then(Vec::new),
            idle: spec.ttl_us.filter(|_| !spec.keys.is_empty()).map(IdleKeys::new),
        })
    }

    /// Makes the accumulators and flags as many as the slots.
    fn grow(&mut self) {
        let slots = self.table.capacity_slots();
        self.set.resize(slots);
        self.emitted.resize(slots, false);
        self.touched.resize(slots, false);
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

    /// Whether a slot has a row of the result. Without keys there always is one.
    fn is_present(&self, slot: u32) -> bool {
        self.keys.is_empty() || self.rows.as_ref().is_none_or(|rows| rows[slot as usize] > 0)
    }

    /// Notes slots as dirty, and the results they had.
    fn touch(&mut self, slots: &[u32]) -> Result<()> {
        let start = self.dirty.len();
        for &slot in slots {
            if !std::mem::replace(&mut self.touched[slot as usize], true) {
                self.dirty.push(slot);
            }
        }
        // Those that were out come first among the new ones, so that the kept results need no gaps.
        let emitted = &self.emitted;
        self.dirty[start..].sort_by_key(|&slot| !emitted[slot as usize]);
        let known: Vec<u32> = self.dirty[start..].iter().copied().filter(|&slot| emitted[slot as usize]).collect();
        if !known.is_empty() {
            self.before.push(self.set.read(&known)?);
        }
        Ok(())
    }

    /// Emits what changed since the last barrier.
    fn flush(&mut self, context: &mut Context<'_>) -> Result<()> {
        if std::mem::take(&mut self.owes_empty_row) {
            let mut slots = Vec::new();
            self.table.intern(&[], 1, &mut slots)?;
            self.grow();
            self.touch(&slots)?;
        }
        if self.dirty.is_empty() {
            return Ok(());
        }
        let dirty = std::mem::take(&mut self.dirty);
        let (known, new): (Vec<u32>, Vec<u32>) = dirty.iter().partition(|&&slot| self.emitted[slot as usize]);
        let before = join(&std::mem::take(&mut self.before))?;
        let new: Vec<u32> = new.into_iter().filter(|&slot| self.is_present(slot)).collect();
        let gone = match &self.rows {
            None => BooleanBuffer::new_unset(known.len()),
            Some(_) => known.iter().map(|&slot| !self.is_present(slot)).collect(),
        };
        let slots: Vec<u32> = known.iter().chain(&new).copied().collect();
        let after = self.set.read(&slots)?;
        let changed = changed(&before, &after, &gone, slots.len())?;
        self.emit(&slots, before, after, &changed, &gone, context)?;
        for &slot in &slots {
            self.emitted[slot as usize] = true;
        }
        known
            .iter()
            .zip(gone.iter())
            .filter(|(_, gone)| *gone)
            .for_each(|(&slot, _)| self.emitted[slot as usize] = false);
        dirty.iter().for_each(|&slot| self.touched[slot as usize] = false);
        self.forget_empty(&dirty);
        if let Some(idle) = &mut self.idle {
            idle.touch(&dirty, context.now);
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
        self.set.clear(&gone);
        self.table.remove(&gone);
        for &slot in &gone {
            self.emitted[slot as usize] = false;
            if let Some(rows) = &mut self.rows {
                rows[slot as usize] = 0;
            }
        }
    }

    /// Emits the old and new rows of what changed: the old rows are of the first slots, and have a new one but for those
    /// that are `gone`.
    fn emit(
        &self,
        slots: &[u32],
        before: Vec<ArrayRef>,
        after: Vec<ArrayRef>,
        changed: &BooleanBuffer,
        gone: &BooleanBuffer,
        context: &mut Context<'_>,
    ) -> Result<()> {
        // Rows are taken from the new results followed by the old ones, an old row just before its new one.
        let known = gone.len();
        let mut rows = Vec::with_capacity(slots.len() + known);
        let mut retracts = BooleanBufferBuilder::new(slots.len() + known);
        let mut of_slot = Vec::with_capacity(slots.len() + known);
        for row in changed.set_indices() {
            if row < known {
                rows.push(u32::try_from(slots.len() + row).map_err(|_| too_many())?);
                retracts.append(true);
                of_slot.push(slots[row]);
            }
            if row >= known || !gone.value(row) {
                rows.push(u32::try_from(row).map_err(|_| too_many())?);
                retracts.append(false);
                of_slot.push(slots[row]);
            }
        }
        let rows = UInt32Array::from(rows);
        let mut columns = self.table.keys(&of_slot)?;
        let mut before = before.into_iter();
        for after in after {
            let both = match before.next() {
                Some(before) => concat(&[&after, &before])?,
                None => after,
            };
            columns.push(take(&both, &rows, None)?);
        }
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.output), columns, &options)?;
        let delta = Delta::signed(batch, retracts.finish());
        for start in (0..delta.rows()).step_by(BATCH_ROWS) {
            context.emit(delta.slice(start, BATCH_ROWS.min(delta.rows() - start)));
        }
        Ok(())
    }
}

/// Which results differ: of the first, which were there before, those that are `gone` or not equal; all others.
fn changed(before: &[ArrayRef], after: &[ArrayRef], gone: &BooleanBuffer, all: usize) -> Result<BooleanBuffer> {
    let known = gone.len();
    let mut equal = !gone;
    for (before, after) in before.iter().zip(after) {
        equal = &equal & &not_distinct_values(before, &after.slice(0, known))?;
    }
    let mut changed = BooleanBufferBuilder::new(all);
    changed.append_buffer(&!&equal);
    changed.append_n(all - known, true);
    Ok(changed.finish())
}

/// Where two columns are equal, null and null too.
fn not_distinct_values(left: &ArrayRef, right: &ArrayRef) -> Result<BooleanBuffer> {
    if left.data_type().is_nested() {
        // Arrow's comparison is for flat values only.
        let equal = arrow::array::make_comparator(left, right, arrow::compute::SortOptions::default())?;
        return Ok((0..left.len()).map(|row| equal(row, row).is_eq()).collect());
    }
    let same: BooleanArray = not_distinct(left, right)?;
    Ok(same.values().clone())
}

/// Batches of columns one after another.
fn join(parts: &[Vec<ArrayRef>]) -> Result<Vec<ArrayRef>> {
    let width = parts.first().map_or(0, Vec::len);
    let column = |index: usize| {
        let pieces: Vec<&dyn Array> = parts.iter().filter_map(|part| part.get(index)).map(AsRef::as_ref).collect();
        Ok(concat(&pieces)?)
    };
    (0..width).map(column).collect()
}

/// The numbers of a table of one column.
fn numbers(state: &OperatorState, table: &str) -> Result<Vec<i64>> {
    let column = find_table(state, table)?.columns().first().and_then(|column| column.as_primitive_opt::<Int64Type>());
    column
        .map(|column| column.values().to_vec())
        .ok_or_else(|| EngineError::Internal("the state has other keys".into()))
}

fn too_many() -> EngineError {
    EngineError::Unsupported("over 2^32 changed keys in one epoch".into())
}

impl Operator for GroupAggregate {
    fn on_delta(&mut self, _port: usize, delta: Delta, _context: &mut Context<'_>) -> Result<()> {
        let keys: Vec<ArrayRef> = self.keys.iter().map(|&key| Arc::clone(delta.batch.column(key))).collect();
        let mut slots = Vec::new();
        self.table.intern(&keys, delta.rows(), &mut slots)?;
        self.grow();
        self.touch(&slots)?;
        self.count(&delta, &slots);
        self.set.update_signed(&delta, &slots)
    }

    fn on_watermark(&mut self, watermark: EventTime, context: &mut Context<'_>) -> Result<()> {
        context.emit_watermark(watermark);
        Ok(())
    }

    fn on_barrier(&mut self, _epoch: Epoch, context: &mut Context<'_>) -> Result<()> {
        self.flush(context)?;
        self.forget_idle(context);
        Ok(())
    }

    fn on_end(&mut self, context: &mut Context<'_>) -> Result<()> {
        self.flush(context)
    }

    fn snapshot(&self) -> Result<OperatorState> {
        let slots = self.table.live_slots();
        let mut state = self.set.snapshot("", &slots)?;
        let mut keys = self.table.keys(&slots)?;
        keys.push(Arc::new(BooleanArray::from_iter(slots.iter().map(|&slot| Some(self.emitted[slot as usize])))));
        state.tables.push(("keys".into(), table_of(keys, slots.len())?));
        let ints = |of: &dyn Fn(usize) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(slots.iter().map(|&slot| of(slot as usize))))
        };
        if let Some(rows) = &self.rows {
            state.tables.push(("rows".into(), table_of(vec![ints(&|slot| rows[slot])], slots.len())?));
        }
        if let Some(idle) = &self.idle {
            state.tables.push(("touched".into(), table_of(vec![ints(&|slot| idle.touched(slot))], slots.len())?));
        }
        Ok(state)
    }

    fn restore(&mut self, state: OperatorState) -> Result<()> {
        let keys = find_table(&state, "keys")?;
        let width = self.keys.len();
        let Some(emitted) = keys.columns().get(width).and_then(|column| column.as_boolean_opt()) else {
            return Err(EngineError::Internal("the state has other keys".into()));
        };
        let mut slots = Vec::new();
        self.table.intern(&keys.columns()[..width], keys.num_rows(), &mut slots)?;
        self.grow();
        for (&slot, emitted) in slots.iter().zip(emitted.values()) {
            self.emitted[slot as usize] = emitted;
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
}

#[cfg(test)]
#[path = "group_aggregate_tests.rs"]
mod tests;
