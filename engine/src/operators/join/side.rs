//! [`Side`]: the rows of one input of a join, by key and, where they may be retracted, by content.

use hashbrown::HashMap;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;

use super::store::{NONE, RowStore};
use crate::error::{EngineError, Result};
use crate::time::ProcessingTime;

/// Dead rows from which on a rebuild is thought of.
const DEAD_MIN: usize = 8_192;

/// What a row's 128-bit hash of all columns is: rows with equal ones are taken for equal.
pub(super) type Identity = u128;

/// See the module. Rows of one key are a list through `next` and `prev`.
pub(super) struct Side {
    pub(super) store: RowStore,
    /// The first row of each key slot.
    heads: Vec<u32>,
    next: Vec<u32>,
    prev: Vec<u32>,
    /// The key slot of each row; [`NONE`] where it has a null that equals nothing.
    pub(super) slots: Vec<u32>,
    /// How often each row is there; 0: it is dead.
    pub(super) weights: Vec<i64>,
    /// How many rows of the other side are partners of each row, with their multiplicity.
    pub(super) partners: Vec<i64>,
    /// When each row came, in processing time; empty without a time-to-live.
    came_us: Vec<i64>,
    identities: Vec<Identity>,
    by_identity: Option<HashMap<Identity, u32>>,
    ttl_us: Option<i64>,
    /// The first row that may still have to expire.
    oldest: u32,
    dead: usize,
}

/// Rows with their multiplicities, to be put into or taken from a side.
pub(super) struct Weighted {
    pub(super) rows: RecordBatch,
    pub(super) slots: Vec<u32>,
    pub(super) weights: Vec<i64>,
    /// Empty where the side does not retract.
    pub(super) identities: Vec<Identity>,
}

impl Side {
    /// A side without rows.
    pub(super) fn new(schema: &Schema, retracts: bool, ttl_us: Option<i64>) -> Result<Self> {
        Ok(Self {
            store: RowStore::new(schema)?,
            heads: Vec::new(),
            next: Vec::new(),
            prev: Vec::new(),
            slots: Vec::new(),
            weights: Vec::new(),
            partners: Vec::new(),
            came_us: Vec::new(),
            identities: Vec::new(),
            by_identity: retracts.then(HashMap::new),
            ttl_us,
            oldest: 0,
            dead: 0,
        })
    }

    /// The first row of a key.
    pub(super) fn head(&self, slot: u32) -> u32 {
        self.heads.get(slot as usize).copied().unwrap_or(NONE)
    }

    /// The row of the same key after this one.
    pub(super) fn next(&self, row: u32) -> u32 {
        self.next[row as usize]
    }

    /// The numbers of all rows that are there.
    pub(super) fn live(&self) -> Vec<u32> {
        (0..self.store.len()).filter(|row| self.weights[*row as usize] > 0).collect()
    }

    /// Adds rows; gives the number of each. A row that is there already only gains weight.
    pub(super) fn insert(&mut self, rows: &Weighted, now: ProcessingTime) -> Result<Vec<u32>> {
        let Some(known) = &mut self.by_identity else {
            let first = self.store.push(&rows.rows)?;
            for (index, (&slot, &weight)) in rows.slots.iter().zip(&rows.weights).enumerate() {
                self.link(first + index as u32, slot, weight, now);
            }
            return Ok((first..self.store.len()).collect());
        };
        let base = self.store.len();
        let (mut ids, mut new) = (Vec::with_capacity(rows.weights.len()), Vec::new());
        for (index, identity) in rows.identities.iter().enumerate() {
            let id = *known.entry(*identity).or_insert_with(|| {
                new.push(index as u32);
                base + new.len() as u32 - 1
            });
            ids.push(id);
        }
        let added = arrow::compute::take_record_batch(&rows.rows, &arrow::array::UInt32Array::from(new.clone()))?;
        self.store.push(&added)?;
        for (position, &index) in new.iter().enumerate() {
            self.link(base + position as u32, rows.slots[index as usize], 0, now);
            self.identities.push(rows.identities[index as usize]);
        }
        for (&id, &weight) in ids.iter().zip(&rows.weights) {
            self.weights[id as usize] += weight;
        }
        Ok(ids)
    }

    /// Takes a new row into the list of its key.
    fn link(&mut self, row: u32, slot: u32, weight: i64, now: ProcessingTime) {
        self.slots.push(slot);
        self.weights.push(weight);
        self.partners.push(0);
        self.prev.push(NONE);
        if self.ttl_us.is_some() {
            self.came_us.push(now.0);
        }
        if slot == NONE {
            self.next.push(NONE);
            return;
        }
        if self.heads.len() <= slot as usize {
            self.heads.resize(slot as usize + 1, NONE);
        }
        let head = std::mem::replace(&mut self.heads[slot as usize], row);
        self.next.push(head);
        if head != NONE {
            self.prev[head as usize] = row;
        }
    }

    /// The number of a row that is to be retracted. `None`: it was forgotten.
    ///
    /// # Errors
    /// Where it never was there.
    pub(super) fn find(&self, identity: Identity) -> Result<Option<u32>> {
        match self.by_identity.as_ref().and_then(|known| known.get(&identity)) {
            Some(row) => Ok(Some(*row)),
            None if self.ttl_us.is_some() => Ok(None),
            None => Err(EngineError::Internal("a join's input retracts a row that is not there".into())),
        }
    }

    /// Takes weight from a row; without any left it is dead. Its columns can be taken until [`Self::shrink`].
    pub(super) fn lighten(&mut self, row: u32, weight: i64) -> Result<()> {
        let left = self.weights[row as usize] - weight;
        if left < 0 {
            return Err(EngineError::Internal("a join's input retracts a row more often than it came".into()));
        }
        self.weights[row as usize] = left;
        if left == 0 {
            self.unlink(row);
        }
        Ok(())
    }

    fn unlink(&mut self, row: u32) {
        self.dead += 1;
        let (before, after) = (self.prev[row as usize], self.next[row as usize]);
        let slot = self.slots[row as usize];
        if before != NONE {
            self.next[before as usize] = after;
        } else if slot != NONE {
            self.heads[slot as usize] = after;
        }
        if after != NONE {
            self.prev[after as usize] = before;
        }
        if let (Some(known), Some(identity)) = (&mut self.by_identity, self.identities.get(row as usize)) {
            known.remove(identity);
        }
    }

    /// Forgets the rows that came too long ago; gives their key slots.
    pub(super) fn expire(&mut self, now: ProcessingTime) -> Vec<u32> {
        let mut gone = Vec::new();
        let Some(ttl) = self.ttl_us else { return gone };
        while self.came_us.get(self.oldest as usize).is_some_and(|came| came.saturating_add(ttl) <= now.0) {
            let row = self.oldest;
            self.oldest += 1;
            if self.weights[row as usize] > 0 {
                self.weights[row as usize] = 0;
                self.unlink(row);
                gone.push(self.slots[row as usize]);
            }
        }
        gone
    }

    /// Rebuilds the side from what lives, where most of it is dead. Numbers change.
    pub(super) fn shrink(&mut self) -> Result<()> {
        if self.dead < DEAD_MIN || self.dead * 2 < self.weights.len() {
            return Ok(());
        }
        let live = self.live();
        let old = std::mem::replace(self, Self::new(self.store.schema(), self.by_identity.is_some(), self.ttl_us)?);
        for part in live.chunks(crate::message::BATCH_ROWS) {
            let of = |values: &[i64]| part.iter().map(|row| values[*row as usize]).collect::<Vec<_>>();
            let rows = Weighted {
                rows: old.store.take(part)?,
                slots: part.iter().map(|row| old.slots[*row as usize]).collect(),
                weights: of(&old.weights),
                identities: part.iter().filter_map(|row| old.identities.get(*row as usize).copied()).collect(),
            };
            let ids = self.insert(&rows, ProcessingTime(0))?;
            for (&new, &was) in ids.iter().zip(part) {
                self.partners[new as usize] = old.partners[was as usize];
                if let (Some(came), Some(at)) = (self.came_us.get_mut(new as usize), old.came_us.get(was as usize)) {
                    *came = *at;
                }
            }
        }
        Ok(())
    }

    /// When each of these rows came, where that counts.
    pub(super) fn came_us(&self, rows: &[u32]) -> Vec<i64> {
        rows.iter().map(|row| self.came_us.get(*row as usize).copied().unwrap_or(0)).collect()
    }

    /// Sets when a row came.
    pub(super) fn set_came_us(&mut self, row: u32, at: i64) {
        if let Some(came) = self.came_us.get_mut(row as usize) {
            *came = at;
        }
    }
}
