//! [`DistinctTable`]: the values that DISTINCT aggregates of one column have seen, one entry a (slot, value), with a bit
//! for each aggregate, so that aggregates that differ only in their FILTER share one look-up.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Int64Type};

use super::super::group_table::GroupTable;
use crate::error::{EngineError, Result};

/// See the module.
pub(super) struct DistinctTable {
    arg: usize,
    table: GroupTable,
    masks: Vec<u32>,
    bits: u32,
}

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
        Ok(Self { arg, table, masks: Vec::new(), bits: 0 })
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

    /// Adds values whose mask tells which aggregates count them.
    pub(super) fn merge(&mut self, values: &ArrayRef, masks: &[u32], slots: &[u32]) -> Result<Vec<Fresh>> {
        let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(slots.iter().map(|&slot| i64::from(slot))));
        let mut entries = Vec::new();
        self.table.intern(&[keys, Arc::clone(values)], slots.len(), &mut entries)?;
        self.masks.resize(self.table.capacity_slots(), 0);
        let mut fresh: Vec<Vec<u32>> = vec![Vec::new(); self.bits as usize];
        for ((row, &entry), &mask) in (0_u32..).zip(&entries).zip(masks) {
            let seen = &mut self.masks[entry as usize];
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

    /// The entries of these slots.
    pub(super) fn entries(&self, slots: &[u32]) -> Result<Entries> {
        let mut position = std::collections::HashMap::with_capacity(slots.len());
        position.extend(slots.iter().zip(0_u32..).map(|(&slot, at)| (i64::from(slot), at)));
        let live = self.table.live_slots();
        let [of, values] = self.table.keys(&live)?.try_into().map_err(|_| form())?;
        let of = of.as_primitive_opt::<Int64Type>().ok_or_else(form)?;
        let (mut rows, mut at, mut masks) = (Vec::new(), Vec::new(), Vec::new());
        for (row, entry) in (0_u32..).zip(&live) {
            if let Some(found) = position.get(&of.value(row as usize)) {
                rows.push(row);
                at.push(*found);
                masks.push(self.masks[*entry as usize]);
            }
        }
        Ok(Entries { slots: at, values: take(&values, &UInt32Array::from(rows), None)?, masks })
    }

    /// Forgets the entries of these slots.
    pub(super) fn clear(&mut self, slots: &[u32]) {
        let gone: std::collections::HashSet<i64> = slots.iter().map(|&slot| i64::from(slot)).collect();
        let live = self.table.live_slots();
        let Ok(keys) = self.table.keys(&live) else { return };
        let Some(of) = keys.first().and_then(|column| column.as_primitive_opt::<Int64Type>()) else { return };
        let dead: Vec<u32> =
            live.iter().zip(of.values()).filter(|(_, slot)| gone.contains(slot)).map(|(entry, _)| *entry).collect();
        dead.iter().for_each(|&entry| self.masks[entry as usize] = 0);
        self.table.remove(&dead);
    }
}

fn form() -> EngineError {
    EngineError::Internal("a distinct table of another form".into())
}
