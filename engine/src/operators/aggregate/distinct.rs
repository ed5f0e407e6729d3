//! [`DistinctTable`]: the values that DISTINCT aggregates of the same columns have seen, one entry a (slot, values), with a
//! bit for each aggregate, so that aggregates that differ only in their FILTER share one look-up.
//!
//! Where rows may be taken back an entry counts, for each aggregate, how often it is there; the aggregate sees the value
//! come when its count becomes positive and go when it no longer is.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Int64Type};

use super::super::group_table::GroupTable;
use super::super::told::{Telling, Told};
use super::codec::form;
use crate::error::Result;
use crate::message::Epoch;

/// See the module.
pub(super) struct DistinctTable {
    columns: Vec<usize>,
    table: GroupTable,
    /// By entry, for which aggregates it is there.
    masks: Vec<u32>,
    /// By entry and bit, how often it is there. Only where rows may be taken back.
    counts: Option<Vec<i64>>,
    chains: Chains,
    bits: u32,
    told: Told,
}

/// The entries of each slot in a list, so that a slot is read and cleared without a look at the others.
#[derive(Default)]
struct Chains {
    /// By slot, its youngest entry.
    heads: Vec<u32>,
    /// By entry, the next older and the next younger one of its slot.
    older: Vec<u32>,
    younger: Vec<u32>,
}

/// No entry.
const NONE: u32 = u32::MAX;

/// Values that came to one aggregate, or went from it, in the order in which they did.
pub(super) struct Fresh {
    pub(super) bit: u32,
    pub(super) values: Vec<ArrayRef>,
    pub(super) slots: Vec<u32>,
    /// Those that went; none where all came.
    pub(super) retracts: Option<BooleanBuffer>,
}

/// Entries of some slots, as columns.
pub(super) struct Entries {
    /// For each entry its slot, or the position of that in the list that was asked for.
    pub(super) slots: Vec<u32>,
    pub(super) values: Vec<ArrayRef>,
    pub(super) masks: Vec<u32>,
    /// By entry and bit; empty where rows are only inserted.
    pub(super) counts: Vec<i64>,
}

impl DistinctTable {
    pub(super) fn new(columns: &[usize], types: &[DataType], retracts: bool) -> Result<Self> {
        let types: Vec<DataType> = std::iter::once(DataType::Int64).chain(types.iter().cloned()).collect();
        let (columns, table) = (columns.to_vec(), GroupTable::new(&types)?);
        let counts = retracts.then(Vec::new);
        Ok(Self {
            columns,
            table,
            masks: Vec::new(),
            counts,
            chains: Chains::default(),
            bits: 0,
            told: Told::default(),
        })
    }

    /// The columns of the values.
    pub(super) fn columns(&self) -> &[usize] {
        &self.columns
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

    /// How many aggregates there are.
    fn bits(&self) -> usize {
        self.bits as usize
    }

    /// For how many of them it is counted how often a value is there.
    pub(super) fn counted_bits(&self) -> usize {
        if self.counts.is_some() { self.bits() } else { 0 }
    }

    /// Adds rows and takes rows back; gives what is new to each aggregate. `bits`: an aggregate's bit and the rows that
    /// count for it.
    pub(super) fn update(
        &mut self,
        values: &[ArrayRef],
        bits: &[(u32, Option<BooleanBuffer>)],
        retracts: Option<&BooleanBuffer>,
        slots: &[u32],
    ) -> Result<Vec<Fresh>> {
        let mut masks = vec![0_u32; slots.len()];
        for (bit, keep) in bits {
            match keep {
                None => masks.iter_mut().for_each(|mask| *mask |= 1 << bit),
                Some(keep) => keep.set_indices().for_each(|row| masks[row] |= 1 << bit),
            }
        }
        if self.counts.is_none() {
            return self.add(values, &masks, slots);
        }
        let retracted = |row: usize| retracts.is_some_and(|retracts| retracts.value(row));
        self.change(values, &masks, slots, &|row, _| if retracted(row) { -1 } else { 1 })
    }

    /// Adds the entries of another table of the same aggregates; `slots`: where each goes.
    pub(super) fn merge(&mut self, entries: &Entries, slots: &[u32]) -> Result<Vec<Fresh>> {
        let bits = self.bits();
        if entries.masks.iter().any(|mask| mask.checked_shr(self.bits).is_some_and(|beyond| beyond != 0)) {
            return Err(form());
        }
        if self.counts.is_none() {
            return self.add(&entries.values, &entries.masks, slots);
        }
        let count = |row: usize, bit: usize| entries.counts.get(row * bits + bit).copied().unwrap_or(0);
        let counted = |row: usize| (0..bits).filter(|bit| count(row, *bit) != 0).fold(0, |mask, bit| mask | 1 << bit);
        let masks: Vec<u32> = (0..slots.len()).map(counted).collect();
        self.change(&entries.values, &masks, slots, &count)
    }

    /// Adds values that are only inserted; those that no aggregate counts are not kept.
    fn add(&mut self, values: &[ArrayRef], masks: &[u32], slots: &[u32]) -> Result<Vec<Fresh>> {
        let Some(entries) = self.entries_of_rows(values, masks, slots)? else { return Ok(Vec::new()) };
        let mut fresh: Vec<Changes> = self.changes();
        for (row, entry) in entries.iter() {
            let (mask, seen) = (masks[row as usize], &mut self.masks[entry as usize]);
            if *seen == 0 {
                self.chains.link(slots[row as usize], entry);
            }
            let mut new = mask & !*seen;
            if new != 0 {
                self.told.touch([entry]);
            }
            *seen |= mask;
            while new != 0 {
                fresh[new.trailing_zeros() as usize].rows.push(row);
                new &= new - 1;
            }
        }
        fresh_of(fresh, values, slots)
    }

    /// Changes how often values are there, by `change` of the row and the bit.
    fn change(
        &mut self,
        values: &[ArrayRef],
        masks: &[u32],
        slots: &[u32],
        change: &dyn Fn(usize, usize) -> i64,
    ) -> Result<Vec<Fresh>> {
        let Some(entries) = self.entries_of_rows(values, masks, slots)? else { return Ok(Vec::new()) };
        let (bits, mut fresh) = (self.bits(), self.changes());
        let Some(counts) = &mut self.counts else { return Err(form()) };
        counts.resize(self.table.capacity_slots() * bits, 0);
        for (row, entry) in entries.iter() {
            if !self.chains.is_linked(slots[row as usize], entry) {
                self.chains.link(slots[row as usize], entry);
            }
            let mut left = masks[row as usize];
            while left != 0 {
                let bit = left.trailing_zeros();
                let count = &mut counts[entry as usize * bits + bit as usize];
                let before = *count > 0;
                *count += change(row as usize, bit as usize);
                if before != (*count > 0) {
                    self.masks[entry as usize] ^= 1 << bit;
                    let changes = &mut fresh[bit as usize];
                    changes.rows.push(row);
                    changes.retracts.push(before);
                }
                left &= left - 1;
            }
        }
        // What is there neither more nor less often than never is forgotten.
        let mut gone = Vec::new();
        for (row, entry) in entries.iter() {
            let slot = slots[row as usize];
            let held = counts[entry as usize * bits..][..bits].iter().any(|count| *count != 0);
            if !held && self.chains.is_linked(slot, entry) {
                self.chains.unlink(slot, entry);
                gone.push(entry);
            }
        }
        self.table.remove(&gone);
        fresh_of(fresh, values, slots)
    }

    fn changes(&self) -> Vec<Changes> {
        (0..self.bits).map(|_| Changes::default()).collect()
    }

    /// The rows that count for an aggregate, and the entry of each. None where there is no such row.
    fn entries_of_rows(&mut self, values: &[ArrayRef], masks: &[u32], slots: &[u32]) -> Result<Option<Counted>> {
        let counted = |(_, mask): &(u32, &u32)| **mask != 0;
        let rows =
            masks.contains(&0).then(|| (0..).zip(masks).filter(counted).map(|(row, _)| row).collect::<Vec<u32>>());
        let of: ArrayRef = match &rows {
            None => Arc::new(Int64Array::from_iter_values(slots.iter().map(|&slot| i64::from(slot)))),
            Some(rows) if rows.is_empty() => return Ok(None),
            Some(rows) => {
                Arc::new(Int64Array::from_iter_values(rows.iter().map(|&row| i64::from(slots[row as usize]))))
            }
        };
        let mut columns = vec![of];
        match &rows {
            None => columns.extend(values.iter().map(Arc::clone)),
            Some(rows) => {
                let rows = UInt32Array::from(rows.clone());
                for column in values {
                    columns.push(take(column, &rows, None)?);
                }
            }
        }
        let count = columns[0].len();
        let mut entries = Vec::with_capacity(count);
        self.table.intern(&columns, count, &mut entries)?;
        if self.counts.is_some() {
            self.told.touch(entries.iter().copied());
        }
        self.masks.resize(self.table.capacity_slots(), 0);
        self.chains.resize(self.table.capacity_slots());
        Ok(Some(Counted { rows, entries }))
    }

    /// The entries of these slots.
    pub(super) fn entries(&self, slots: &[u32]) -> Result<Entries> {
        let (mut entries, mut at) = (Vec::new(), Vec::new());
        for (position, &slot) in (0_u32..).zip(slots) {
            entries.extend(self.chains.of(slot));
            at.resize(entries.len(), position);
        }
        self.columns_of(&entries, at)
    }

    /// What a capture at `epoch` tells of the entries to whoever has that of `base`, and those it tells, each with its slot.
    pub(super) fn capture(&mut self, epoch: Epoch, base: Option<Epoch>) -> Result<(Telling, Entries)> {
        let telling = self.told.tell(epoch, base, self.table.live());
        let slots = self.table.keys(&telling.slots)?;
        let slots = slots.first().and_then(|column| column.as_primitive_opt::<Int64Type>()).ok_or_else(form)?;
        // They were 32 bits wide when they came in.
        let slots = slots.values().iter().map(|&slot| slot as u32).collect();
        let told = self.columns_of(&telling.slots, slots)?;
        Ok((telling, told))
    }

    /// Entries as columns, beside numbers of their slots.
    fn columns_of(&self, entries: &[u32], slots: Vec<u32>) -> Result<Entries> {
        let values = self.table.keys(entries)?.split_off(1);
        let masks = entries.iter().map(|&entry| self.masks[entry as usize]).collect();
        let bits = self.bits();
        let counts = self.counts.as_ref().map_or_else(Vec::new, |counts| {
            entries.iter().flat_map(|&entry| &counts[entry as usize * bits..][..bits]).copied().collect()
        });
        Ok(Entries { slots, values, masks, counts })
    }

    /// Forgets the entries of these slots.
    pub(super) fn clear(&mut self, slots: &[u32]) {
        let dead: Vec<u32> = slots.iter().flat_map(|&slot| self.chains.of(slot)).collect();
        let bits = self.bits();
        for &entry in &dead {
            self.masks[entry as usize] = 0;
            if let Some(counts) = &mut self.counts {
                counts[entry as usize * bits..][..bits].fill(0);
            }
        }
        slots.iter().for_each(|&slot| self.chains.cut(slot));
        self.table.remove(&dead);
    }
}

/// Rows that count, all where there is no list, and their entries.
struct Counted {
    rows: Option<Vec<u32>>,
    entries: Vec<u32>,
}

impl Counted {
    /// Row and entry.
    fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        let row = |at: usize| self.rows.as_ref().map_or(at as u32, |rows| rows[at]);
        self.entries.iter().enumerate().map(move |(at, &entry)| (row(at), entry))
    }
}

/// The rows at which values came to an aggregate or went.
#[derive(Default)]
struct Changes {
    rows: Vec<u32>,
    /// Which of them went. Empty where all came.
    retracts: Vec<bool>,
}

fn fresh_of(changes: Vec<Changes>, values: &[ArrayRef], slots: &[u32]) -> Result<Vec<Fresh>> {
    let of = |(bit, Changes { rows, retracts }): (u32, Changes)| {
        let slots = rows.iter().map(|&row| slots[row as usize]).collect();
        let rows = UInt32Array::from(rows);
        let values = values.iter().map(|column| Ok(take(column, &rows, None)?)).collect::<Result<Vec<_>>>()?;
        let retracts = retracts.contains(&true).then(|| BooleanBuffer::from(retracts));
        Ok(Fresh { bit, values, slots, retracts })
    };
    (0..).zip(changes).filter(|(_, changes)| !changes.rows.is_empty()).map(of).collect()
}

impl Chains {
    fn resize(&mut self, entries: usize) {
        self.older.resize(entries, NONE);
        self.younger.resize(entries, NONE);
    }

    fn head(&self, slot: u32) -> u32 {
        self.heads.get(slot as usize).copied().unwrap_or(NONE)
    }

    /// The entries of a slot, the youngest first.
    fn of(&self, slot: u32) -> impl Iterator<Item = u32> {
        let some = |entry: &u32| *entry != NONE;
        std::iter::successors(Some(self.head(slot)).filter(some), move |entry| {
            self.older.get(*entry as usize).copied().filter(some)
        })
    }

    /// Only the youngest has no younger one.
    fn is_linked(&self, slot: u32, entry: u32) -> bool {
        self.younger[entry as usize] != NONE || self.head(slot) == entry
    }

    fn link(&mut self, slot: u32, entry: u32) {
        if slot as usize >= self.heads.len() {
            self.heads.resize(slot as usize + 1, NONE);
        }
        let before = std::mem::replace(&mut self.heads[slot as usize], entry);
        self.older[entry as usize] = before;
        if before != NONE {
            self.younger[before as usize] = entry;
        }
    }

    fn unlink(&mut self, slot: u32, entry: u32) {
        let older = std::mem::replace(&mut self.older[entry as usize], NONE);
        let younger = std::mem::replace(&mut self.younger[entry as usize], NONE);
        if older != NONE {
            self.younger[older as usize] = younger;
        }
        match younger {
            NONE => self.heads[slot as usize] = older,
            younger => self.older[younger as usize] = older,
        }
    }

    /// Takes out all entries of a slot.
    fn cut(&mut self, slot: u32) {
        let entries: Vec<u32> = self.of(slot).collect();
        for entry in entries {
            (self.older[entry as usize], self.younger[entry as usize]) = (NONE, NONE);
        }
        if let Some(head) = self.heads.get_mut(slot as usize) {
            *head = NONE;
        }
    }
}
