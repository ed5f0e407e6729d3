//! [`Groups`]: the keys of one slice (or window) with their accumulators and row counts.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Int64Type, SchemaRef};

use crate::checkpoint::numbers::{NUMBERS, numbers_table};
use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};
use crate::message::{Delta, Epoch, Sign};
use crate::operators::OperatorState;
use crate::operators::aggregate::{AggregateSet, Arrival, find_table, table_of};
use crate::operators::group_changes::GroupChanges;
use crate::operators::group_table::GroupTable;
use crate::operators::told::{Telling, Told};
use crate::plan::{AggregateCall, WindowAggregateSpec};

/// How groups are made.
pub(super) struct Template {
    pub(super) input: SchemaRef,
    pub(super) keys: Vec<usize>,
    pub(super) calls: Vec<AggregateCall>,
    /// Rows may be taken back.
    pub(super) retracts: bool,
    /// Results may be replaced: changes of groups are kept.
    updates: bool,
}

/// Keys, accumulators, and how many rows each key has.
pub(super) struct Groups {
    keys: Vec<usize>,
    table: GroupTable,
    set: AggregateSet,
    rows: Vec<i64>,
    slots: Vec<u32>,
    /// Other tables than those of DISTINCT name the groups.
    numbered: bool,
    told: Told,
}

impl Template {
    /// The groups of a window aggregation.
    ///
    /// # Errors
    /// Where an aggregate is not defined for its argument's type.
    pub(super) fn new(spec: &WindowAggregateSpec, input: &SchemaRef) -> Result<Self> {
        let (keys, calls) = (spec.keys.clone(), spec.calls.clone());
        let template =
            Self { input: Arc::clone(input), keys, calls, retracts: spec.retracts, updates: spec.emit.updates() };
        template.groups()?;
        Ok(template)
    }

    pub(super) fn groups(&self) -> Result<Groups> {
        let types: Vec<DataType> = self.keys.iter().map(|&key| self.input.field(key).data_type().clone()).collect();
        Ok(Groups {
            keys: self.keys.clone(),
            table: GroupTable::new(&types)?,
            set: AggregateSet::new(&self.calls, &self.input, self.retracts)?,
            rows: Vec::new(),
            slots: Vec::new(),
            numbered: self.updates,
            told: Told::default(),
        })
    }
}

impl Groups {
    /// Adds the inserted rows and takes the retracted ones back; `arrival` tells their places among the rows of all groups.
    pub(super) fn update(&mut self, delta: &Delta, arrival: Arrival<'_>) -> Result<()> {
        self.update_noting(delta, arrival, None)
    }

    /// As [`Self::update`]; notes in `changes` which groups are about to change.
    pub(super) fn update_noting(
        &mut self,
        delta: &Delta,
        arrival: Arrival<'_>,
        changes: Option<&mut GroupChanges>,
    ) -> Result<()> {
        let batch = &delta.batch;
        let keys: Vec<ArrayRef> = self.keys.iter().map(|&key| Arc::clone(batch.column(key))).collect();
        let mut slots = std::mem::take(&mut self.slots);
        slots.clear();
        self.table.intern(&keys, batch.num_rows(), &mut slots)?;
        self.grow();
        self.told.touch(slots.iter().copied());
        if let Some(changes) = changes {
            changes.resize(self.table.capacity_slots());
            changes.touch(&slots, &self.set)?;
        }
        let retracts = match &delta.sign {
            Sign::AppendOnly => {
                slots.iter().for_each(|&slot| self.rows[slot as usize] += 1);
                None
            }
            Sign::Retracts(bits) => {
                for (&slot, retract) in slots.iter().zip(bits.iter()) {
                    self.rows[slot as usize] += if retract { -1 } else { 1 };
                }
                Some(bits)
            }
        };
        self.set.update_arrived(batch, retracts, &slots, Some(arrival))?;
        self.slots = slots;
        Ok(())
    }

    /// Adds what other groups hold.
    pub(super) fn merge(&mut self, other: &Self) -> Result<()> {
        let (from, into) = self.matched(other)?;
        for (&from, &into) in from.iter().zip(&into) {
            self.rows[into as usize] += other.rows[from as usize];
        }
        self.set.merge(&other.set, &from, &into)
    }

    /// Takes out what [`Self::merge`] added; keys without rows are forgotten.
    pub(super) fn unmerge(&mut self, other: &Self) -> Result<()> {
        let (from, into) = self.matched(other)?;
        self.set.unmerge(&other.set, &from, &into)?;
        let mut empty = Vec::new();
        for (&from, &into) in from.iter().zip(&into) {
            self.rows[into as usize] -= other.rows[from as usize];
            if self.rows[into as usize] == 0 {
                empty.push(into);
            }
        }
        self.set.clear(&empty);
        self.table.remove(&empty);
        Ok(())
    }

    /// Whether [`Self::unmerge`] works.
    pub(super) fn is_invertible(&self) -> bool {
        self.set.is_invertible()
    }

    /// The keys and results of all groups that have rows.
    pub(super) fn read(&self) -> Result<(Vec<ArrayRef>, usize)> {
        let mut slots = self.table.live_slots();
        slots.retain(|&slot| self.rows[slot as usize] > 0);
        let mut columns = self.table.keys(&slots)?;
        columns.extend(self.set.read(&slots)?);
        Ok((columns, slots.len()))
    }

    /// The keys and results of the groups that changed, and which rows are retracted. Groups without rows are forgotten.
    pub(super) fn changed(&mut self, changes: &mut GroupChanges) -> Result<Option<(Vec<ArrayRef>, BooleanBuffer)>> {
        let rows = &self.rows;
        let Some(changed) = changes.take(&self.set, |slot| rows[slot as usize] > 0, false)? else { return Ok(None) };
        let mut columns = self.table.keys(&changed.slots)?;
        columns.extend(changed.results);
        self.told.touch(changed.touched.iter().copied());
        let empty: Vec<u32> = changed.touched.into_iter().filter(|&slot| self.rows[slot as usize] == 0).collect();
        self.set.clear(&empty);
        self.table.remove(&empty);
        Ok(Some((columns, changed.retracts)))
    }

    /// Whether no group has rows.
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The other's slots, and the slots of the same keys here.
    fn matched(&mut self, other: &Self) -> Result<(Vec<u32>, Vec<u32>)> {
        let from = other.table.live_slots();
        let keys = other.table.keys(&from)?;
        let mut into = Vec::with_capacity(from.len());
        self.table.intern(&keys, from.len(), &mut into)?;
        self.grow();
        Ok((from, into))
    }

    fn grow(&mut self) {
        self.set.resize(self.table.capacity_slots());
        self.rows.resize(self.table.capacity_slots(), 0);
    }

    /// The state as tables named with `prefix`, for a checkpoint at `epoch` after that of `base`; and what it is told of the groups.
    pub(super) fn capture(&mut self, prefix: &str, epoch: Epoch, base: Option<Epoch>) -> Result<(Vec<Table>, Telling)> {
        let telling = self.told.tell(epoch, base, self.table.live());
        let beside = self.beside(prefix, &telling.slots)?;
        let mut tables: Vec<Table> = beside.into_iter().map(|(name, told)| telling.table(name, told)).collect();
        tables.extend(self.set.capture_distinct(prefix, epoch, base)?);
        Ok((tables, telling))
    }

    /// The tables that have a row for each of these slots.
    fn beside(&self, prefix: &str, slots: &[u32]) -> Result<Vec<(String, RecordBatch)>> {
        let mut keys = self.table.keys(slots)?;
        keys.push(Arc::new(Int64Array::from_iter_values(slots.iter().map(|&slot| self.rows[slot as usize]))));
        let mut tables = vec![
            (format!("{prefix}calls"), self.set.calls_table(slots)?),
            (format!("{prefix}keys"), table_of(keys, slots.len())?),
        ];
        if self.numbered || self.set.has_distinct() {
            tables.push((format!("{prefix}{NUMBERS}"), numbers_table(slots)?));
        }
        Ok(tables)
    }

    /// Adds what [`Self::capture`] told, with places instead of numbers; gives the slots of its groups.
    pub(super) fn restore(&mut self, prefix: &str, state: &OperatorState) -> Result<Vec<u32>> {
        let keys = find_table(state, &format!("{prefix}keys"))?;
        let width = self.keys.len();
        let rows = keys.columns().get(width).and_then(|column| column.as_primitive_opt::<Int64Type>());
        let Some(rows) = rows else { return Err(EngineError::Internal("the state has other keys".into())) };
        let mut slots = Vec::new();
        self.table.intern(&keys.columns()[..width], rows.len(), &mut slots)?;
        self.grow();
        for (&slot, &count) in slots.iter().zip(rows.values()) {
            self.rows[slot as usize] += count;
        }
        self.set.restore(prefix, state, &slots)?;
        Ok(slots)
    }
}
