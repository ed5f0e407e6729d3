//! [`GroupChanges`]: which groups have changed since their results were emitted, and what those results were.
//!
//! When a group is first touched its result so far is read and kept; that is what was emitted last, so nothing else has to be
//! remembered. When the changes are taken, old and new results are compared, and equal ones left out.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, RecordBatch, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::{concat, take};
use arrow::datatypes::UInt32Type;

use super::OperatorState;
use super::aggregate::{AggregateSet, find_table, table_of};
use super::told::Telling;
use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};

/// See the module. Groups are known by the slots of an [`AggregateSet`].
#[derive(Default)]
pub(crate) struct GroupChanges {
    /// Slots whose row is out.
    emitted: Vec<bool>,
    /// Slots touched since the changes were taken.
    touched: Vec<bool>,
    dirty: Vec<u32>,
    /// Results of the dirty slots that were out, in the order of `dirty`, before they were touched.
    before: Vec<Vec<ArrayRef>>,
}

/// The rows that groups lost and gained, an old row just before its new one.
pub(crate) struct Changed {
    /// The group of each row.
    pub(crate) slots: Vec<u32>,
    /// The columns of the results.
    pub(crate) results: Vec<ArrayRef>,
    /// Which rows are retracted.
    pub(crate) retracts: BooleanBuffer,
    /// All groups that had been touched, whether their results differ or not.
    pub(crate) touched: Vec<u32>,
}

impl GroupChanges {
    /// Makes room for slots `0 .. slots`.
    pub(crate) fn resize(&mut self, slots: usize) {
        let slots = slots.max(self.emitted.len());
        self.emitted.resize(slots, false);
        self.touched.resize(slots, false);
    }

    /// Whether no group has been touched.
    pub(crate) fn is_empty(&self) -> bool {
        self.dirty.is_empty()
    }

    /// Whether a group's row is out.
    pub(crate) fn is_emitted(&self, slot: u32) -> bool {
        self.emitted[slot as usize]
    }

    /// Notes that a group's row is out, or that it is not: it has been forgotten.
    pub(crate) fn set_emitted(&mut self, slot: u32, emitted: bool) {
        self.emitted[slot as usize] = emitted;
    }

    /// Notes that rows are about to change these groups, and the results they have.
    ///
    /// # Errors
    /// As [`AggregateSet::read`].
    pub(crate) fn touch(&mut self, slots: &[u32], set: &AggregateSet) -> Result<()> {
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
            self.before.push(set.read(&known)?);
        }
        Ok(())
    }

    /// What has changed since the last call, where any group has been touched. `is_present`: the group has a row of the
    /// result; `upserts`: the old row of a group that has a new one is left out.
    ///
    /// # Errors
    /// As [`AggregateSet::read`]; where more than 2^32 rows change.
    pub(crate) fn take(
        &mut self,
        set: &AggregateSet,
        is_present: impl Fn(u32) -> bool,
        upserts: bool,
    ) -> Result<Option<Changed>> {
        if self.dirty.is_empty() {
            return Ok(None);
        }
        let dirty = std::mem::take(&mut self.dirty);
        let (known, new): (Vec<u32>, Vec<u32>) = dirty.iter().partition(|&&slot| self.emitted[slot as usize]);
        let before = join(&std::mem::take(&mut self.before))?;
        let new: Vec<u32> = new.into_iter().filter(|&slot| is_present(slot)).collect();
        let gone: BooleanBuffer = known.iter().map(|&slot| !is_present(slot)).collect();
        let slots: Vec<u32> = known.iter().chain(&new).copied().collect();
        let after = set.read(&slots)?;
        let differ = differ(&before, &after, &gone, slots.len())?;
        let changed = pairs(&slots, (before, after), &differ, &gone, upserts)?;
        slots.iter().for_each(|&slot| self.emitted[slot as usize] = true);
        let lost = known.iter().zip(gone.iter()).filter(|(_, gone)| *gone);
        lost.for_each(|(&slot, _)| self.emitted[slot as usize] = false);
        dirty.iter().for_each(|&slot| self.touched[slot as usize] = false);
        Ok(Some(Changed { touched: dirty, ..changed }))
    }

    /// The state of the groups of which a checkpoint is told this, as tables named with `prefix`. Those that have been touched
    /// are known by their slots.
    ///
    /// # Errors
    /// Where Arrow cannot build a column.
    pub(crate) fn capture(&self, prefix: &str, telling: &Telling) -> Result<Vec<Table>> {
        let mut tables = vec![telling.table(format!("{prefix}emitted"), self.emitted_table(&telling.slots)?)];
        tables.extend(self.dirty_tables(prefix)?);
        Ok(tables)
    }

    fn emitted_table(&self, slots: &[u32]) -> Result<RecordBatch> {
        let emitted: BooleanArray = slots.iter().map(|&slot| Some(self.emitted[slot as usize])).collect();
        table_of(vec![Arc::new(emitted)], slots.len())
    }

    /// The groups that have been touched, and their results before, by their slots.
    fn dirty_tables(&self, prefix: &str) -> Result<[Table; 2]> {
        let dirty = UInt32Array::from(self.dirty.clone());
        let known = self.dirty.iter().filter(|slot| self.emitted[**slot as usize]);
        let known: UInt32Array = known.copied().collect();
        let rows = known.len();
        let mut before: Vec<ArrayRef> = vec![Arc::new(known)];
        before.extend(join(&self.before)?);
        let dirty = table_of(vec![Arc::new(dirty)], self.dirty.len())?;
        let results = table_of(before, rows)?;
        Ok([Table::whole(&format!("{prefix}dirty"), dirty), Table::whole(&format!("{prefix}results"), results)])
    }

    /// Adds what [`Self::capture`] told, with places instead of slots, of the groups that are in `slots` now.
    ///
    /// # Errors
    /// Where the state has another form.
    pub(crate) fn restore(&mut self, prefix: &str, state: &OperatorState, slots: &[u32]) -> Result<()> {
        let form = || EngineError::Internal("not a state of changed groups".into());
        let emitted = find_table(state, &format!("{prefix}emitted"))?;
        let emitted = emitted.columns().first().and_then(|column| column.as_boolean_opt()).ok_or_else(form)?;
        for (&slot, emitted) in slots.iter().zip(emitted.values()) {
            self.emitted[slot as usize] = emitted;
        }
        let dirty = find_table(state, &format!("{prefix}dirty"))?;
        let dirty = dirty.columns().first().and_then(|column| column.as_primitive_opt::<UInt32Type>());
        for place in dirty.ok_or_else(form)?.values() {
            let slot = *slots.get(*place as usize).ok_or_else(form)?;
            self.touched[slot as usize] = true;
            self.dirty.push(slot);
        }
        // The results are in the order of the groups. Those of form 1 did not say of which they were.
        let before = match find_table(state, &format!("{prefix}results")) {
            Ok(results) => results.columns().get(1..).ok_or_else(form)?,
            Err(_) => find_table(state, &format!("{prefix}before"))?.columns(),
        };
        if before.first().is_some_and(|column| !column.is_empty()) {
            self.before.push(before.to_vec());
        }
        Ok(())
    }
}

/// The old and new rows of what differs: the old rows are of the first slots, and have a new one but for those that are
/// `gone`.
fn pairs(
    slots: &[u32],
    (before, after): (Vec<ArrayRef>, Vec<ArrayRef>),
    differ: &BooleanBuffer,
    gone: &BooleanBuffer,
    upserts: bool,
) -> Result<Changed> {
    // Rows are taken from the new results followed by the old ones, an old row just before its new one.
    let known = gone.len();
    let mut rows = Vec::with_capacity(slots.len() + known);
    let mut retracts = BooleanBufferBuilder::new(slots.len() + known);
    let mut of_slot = Vec::with_capacity(slots.len() + known);
    for row in differ.set_indices() {
        if row < known && (!upserts || gone.value(row)) {
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
    let mut results = Vec::with_capacity(after.len());
    let mut before = before.into_iter();
    for after in after {
        let both = match before.next() {
            Some(before) => concat(&[&after, &before])?,
            None => after,
        };
        results.push(take(&both, &rows, None)?);
    }
    Ok(Changed { slots: of_slot, results, retracts: retracts.finish(), touched: Vec::new() })
}

/// Which results differ: of the first, which were there before, those that are `gone` or not equal; all others.
fn differ(before: &[ArrayRef], after: &[ArrayRef], gone: &BooleanBuffer, all: usize) -> Result<BooleanBuffer> {
    let known = gone.len();
    let mut equal = !gone;
    for (before, after) in before.iter().zip(after) {
        equal = &equal & &not_distinct_values(before, &after.slice(0, known))?;
    }
    let mut differ = BooleanBufferBuilder::new(all);
    differ.append_buffer(&!&equal);
    differ.append_n(all - known, true);
    Ok(differ.finish())
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

fn too_many() -> EngineError {
    EngineError::Unsupported("over 2^32 changed keys in one epoch".into())
}
