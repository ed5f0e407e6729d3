//! [`DistinctTable`]: the values that DISTINCT aggregates of one column have seen, one entry a (slot, value), with a bit
//! for each aggregate, so that aggregates that differ only in their FILTER share one look-up.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::take;
use arrow::datatypes::DataType;

use super::super::group_table::GroupTable;
use crate::error::{EngineError, Result};

/// See the module.
pub(super) struct DistinctTable {
    arg: usize,
    table: GroupTable,
    /// By entry, which aggregates have seen it. Never 0 for a live one.
    masks: Vec<u32>,
    /// By slot, its youngest entry; by entry, the next older one of the same slot. So a slot is read and cleared
    /// without a look at the others.
    heads: Vec<u32>,
    next: Vec<u32>,
    bits: u32,
}

/// No entry.
const NONE: u32 = u32::MAX;

/// Values that one aggregate has not seen before.
pub(super) struct Fresh {
    pub(super) bit: u32,
    pub(super) values: ArrayRef,
    pub(super) slots: Vec<u32>,
}

/// Entries of some slots, as columns.
pub(super) struct Entries {
    /// For each entry the position of its slot in the list that was asked for.
    pub(super) slots: Vec<u32>,
    pub(super) values: ArrayRef,
    pub(super) masks: Vec<u32>,
}

impl DistinctTable {
    pub(super) fn new(arg: usize, arg_type: &DataType) -> Result<Self> {
        let table = GroupTable::new(&[DataType::Int64, arg_type.clone()])?;
        Ok(Self { arg, table, masks: Vec::new(), heads: Vec::new(), next: Vec::new(), bits: 0 })
    }

    /// The column of the values.
    pub(super) fn arg(&self) -> usize {
        self.arg
    }

    /// Whether another aggregate can join.
    pub(super) fn has_room(&self) -> bool {
        self.bits < u32::BITS
    }

    /// A bit for another aggregate.
    pub(super) fn add_bit(&mut self) -> u32 {
        self.bits += 1;
        self.bits - 1
    }

    /// Adds rows; gives what is new to each aggregate. `bits`: an aggregate's bit and the rows that pass its filter.
    pub(super) fn update(
        &mut self,
        values: &ArrayRef,
        bits: &[(u32, Option<&BooleanBuffer>)],
        slots: &[u32],
    ) -> Result<Vec<Fresh>> {
        let mut masks = vec![0_u32; slots.len()];
        for (bit, keep) in bits {
            match keep {
                None => masks.iter_mut().for_each(|mask| *mask |= 1 << bit),
                Some(keep) => keep.set_indices().for_each(|row| masks[row] |= 1 << bit),
            }
        }
        if let Some(nulls) = values.logical_nulls().filter(|nulls| nulls.null_count() > 0) {
            masks.iter_mut().zip(nulls.iter()).filter(|(_, valid)| !valid).for_each(|(mask, _)| *mask = 0);
        }
        self.merge(values, &masks, slots)
    }

    /// Adds values whose mask tells which aggregates count them; those that none counts are not kept.
    pub(super) fn merge(&mut self, values: &ArrayRef, masks: &[u32], slots: &[u32]) -> Result<Vec<Fresh>> {
        if !masks.contains(&0) {
            return self.merge_counted(values, masks, slots);
        }
        let counted: Vec<u32> = (0..).zip(masks).filter(|(_, mask)| **mask != 0).map(|(row, _)| row).collect();
        let of = |all: &[u32]| -> Vec<u32> { counted.iter().map(|&row| all[row as usize]).collect() };
        let (masks, slots) = (of(masks), of(slots));
        let values = take(values, &UInt32Array::from(counted), None)?;
        self.merge_counted(&values, &masks, &slots)
    }

    fn merge_counted(&mut self, values: &ArrayRef, masks: &[u32], slots: &[u32]) -> Result<Vec<Fresh>> {
        let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(slots.iter().map(|&slot| i64::from(slot))));
        let mut entries = Vec::with_capacity(slots.len());
        self.table.intern(&[keys, Arc::clone(values)], slots.len(), &mut entries)?;
        self.masks.resize(self.table.capacity_slots(), 0);
        self.next.resize(self.table.capacity_slots(), NONE);
        let mut fresh: Vec<Vec<u32>> = vec![Vec::new(); self.bits as usize];
        for ((row, &entry), &mask) in (0_u32..).zip(&entries).zip(masks) {
            let seen = &mut self.masks[entry as usize];
            if *seen == 0 {
                let slot = slots[row as usize] as usize;
                if slot >= self.heads.len() {
                    self.heads.resize(slot + 1, NONE);
                }
                self.next[entry as usize] = std::mem::replace(&mut self.heads[slot], entry);
            }
            let mut new = mask & !*seen;
            *seen |= mask;
            while new != 0 {
                fresh[new.trailing_zeros() as usize].push(row);
                new &= new - 1;
            }
        }
        let of = |(bit, rows): (u32, Vec<u32>)| {
            let slots = rows.iter().map(|&row| slots[row as usize]).collect();
            let values = take(values, &UInt32Array::from(rows), None)?;
            Ok(Fresh { bit, values, slots })
        };
        (0..).zip(fresh).filter(|(_, rows)| !rows.is_empty()).map(of).collect()
    }

    /// The entries of one slot, the youngest first.
    fn entries_of(&self, slot: u32) -> impl Iterator<Item = u32> {
        let some = |entry: &u32| *entry != NONE;
        let head = self.heads.get(slot as usize).copied().filter(some);
        std::iter::successors(head, move |entry| self.next.get(*entry as usize).copied().filter(some))
    }

    /// The entries of these slots.
    pub(super) fn entries(&self, slots: &[u32]) -> Result<Entries> {
        let (mut entries, mut at) = (Vec::new(), Vec::new());
        for (position, &slot) in (0_u32..).zip(slots) {
            entries.extend(self.entries_of(slot));
            at.resize(entries.len(), position);
        }
        let [_, values] = self.table.keys(&entries)?.try_into().map_err(|_| form())?;
        let masks = entries.iter().map(|&entry| self.masks[entry as usize]).collect();
        Ok(Entries { slots: at, values, masks })
    }

    /// Forgets the entries of these slots.
    pub(super) fn clear(&mut self, slots: &[u32]) {
        let dead: Vec<u32> = slots.iter().flat_map(|&slot| self.entries_of(slot)).collect();
        dead.iter().for_each(|&entry| self.masks[entry as usize] = 0);
        for &slot in slots {
            if let Some(head) = self.heads.get_mut(slot as usize) {
                *head = NONE;
            }
        }
        self.table.remove(&dead);
    }
}

fn form() -> EngineError {
    EngineError::Internal("a distinct table of another form".into())
}
