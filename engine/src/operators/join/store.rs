//! [`Store`]: the rows of one input of a join, chained by the slot of their key.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::NONE;
use super::chunks::Chunks;
use crate::checkpoint::table::Table;
use crate::error::Result;

/// Dead rows below which a store is not compacted.
const DEAD_ROWS_MIN: usize = 1_024;

/// Rows by number. Those of one slot form a doubly linked chain, the newest first. Rows of slot [`NONE`] are in none.
pub(crate) struct Store {
    pub(crate) rows: Chunks,
    slots: Vec<u32>,
    live: Vec<bool>,
    dead: usize,
    /// First row by slot; the neighbours of each row in its chain.
    heads: Vec<u32>,
    next: Vec<u32>,
    previous: Vec<u32>,
}

impl Store {
    pub(crate) fn new(schema: SchemaRef) -> Self {
        Self {
            rows: Chunks::new(schema),
            slots: Vec::new(),
            live: Vec::new(),
            dead: 0,
            heads: Vec::new(),
            next: Vec::new(),
            previous: Vec::new(),
        }
    }

    /// Rows ever added, dead ones included: the least number that no row has.
    pub(crate) fn len(&self) -> u32 {
        // `Chunks` holds fewer than 2^32 rows.
        self.slots.len() as u32
    }

    /// Appends rows with the slots of their keys; they get the next numbers.
    ///
    /// # Errors
    /// As [`Chunks::push`].
    pub(crate) fn add(&mut self, batch: RecordBatch, slots: &[u32]) -> Result<()> {
        self.rows.push(batch)?;
        for &slot in slots {
            self.link(slot);
        }
        Ok(())
    }

    fn link(&mut self, slot: u32) {
        let row = self.len();
        self.slots.push(slot);
        self.live.push(true);
        self.previous.push(NONE);
        if slot == NONE {
            self.next.push(NONE);
            return;
        }
        if self.heads.len() <= slot as usize {
            self.heads.resize(slot as usize + 1, NONE);
        }
        let first = std::mem::replace(&mut self.heads[slot as usize], row);
        self.next.push(first);
        if first != NONE {
            self.previous[first as usize] = row;
        }
    }

    /// Forgets a row. Gives its slot, where that was the last row of it.
    pub(crate) fn remove(&mut self, row: u32) -> Option<u32> {
        let at = row as usize;
        if !std::mem::replace(&mut self.live[at], false) {
            return None;
        }
        self.dead += 1;
        let slot = self.slots[at];
        if slot == NONE {
            return None;
        }
        let (before, after) = (self.previous[at], self.next[at]);
        if after != NONE {
            self.previous[after as usize] = before;
        }
        if before != NONE {
            self.next[before as usize] = after;
            return None;
        }
        self.heads[slot as usize] = after;
        (after == NONE).then_some(slot)
    }

    pub(crate) fn is_live(&self, row: u32) -> bool {
        self.live.get(row as usize).copied().unwrap_or(false)
    }

    /// Whether each row is live.
    pub(crate) fn live(&self) -> &[bool] {
        &self.live
    }

    /// The live rows as a table of a state.
    pub(crate) fn table(&self, name: &str) -> Table {
        let pieces = self.rows.pieces((self.dead > 0).then_some(&self.live[..]));
        Table::in_pieces(name, self.rows.schema(), pieces)
    }

    /// Lets all rows of one slot be rows of another one; gives them.
    pub(crate) fn move_rows(&mut self, from: u32, into: u32) -> Vec<u32> {
        let mut moved = Vec::new();
        let mut row = self.first(from);
        while row != NONE {
            moved.push(row);
            row = self.after(row);
        }
        let (Some(&newest), Some(&oldest)) = (moved.first(), moved.last()) else { return moved };
        self.heads[from as usize] = NONE;
        if self.heads.len() <= into as usize {
            self.heads.resize(into as usize + 1, NONE);
        }
        let before = std::mem::replace(&mut self.heads[into as usize], newest);
        self.next[oldest as usize] = before;
        if before != NONE {
            self.previous[before as usize] = oldest;
        }
        moved.iter().for_each(|&row| self.slots[row as usize] = into);
        moved
    }

    /// The slot of a row's key.
    pub(crate) fn slot(&self, row: u32) -> u32 {
        self.slots[row as usize]
    }

    /// The newest row of a slot, or [`NONE`].
    pub(crate) fn first(&self, slot: u32) -> u32 {
        self.heads.get(slot as usize).copied().unwrap_or(NONE)
    }

    /// The row before this one in its slot's chain, or [`NONE`].
    pub(crate) fn after(&self, row: u32) -> u32 {
        self.next[row as usize]
    }

    /// The live rows, ascending.
    pub(crate) fn live_rows(&self) -> Vec<u32> {
        (0..).zip(&self.live).filter(|(_, live)| **live).map(|(row, _)| row).collect()
    }

    /// Renumbers the live rows where most are dead. Gives the old number of each row: what is kept beside the store
    /// by row number must be renumbered by [`keep`].
    ///
    /// # Errors
    /// Where Arrow cannot build a column.
    pub(crate) fn compact(&mut self) -> Result<Option<Vec<u32>>> {
        if self.dead < DEAD_ROWS_MIN || self.dead * 2 < self.live.len() {
            return Ok(None);
        }
        let kept = self.live_rows();
        self.rows = self.rows.retained(&kept)?;
        let slots: Vec<u32> = kept.iter().map(|&row| self.slots[row as usize]).collect();
        self.dead = 0;
        self.heads.clear();
        self.slots.clear();
        self.live.clear();
        self.next.clear();
        self.previous.clear();
        slots.into_iter().for_each(|slot| self.link(slot));
        Ok(Some(kept))
    }
}

/// Renumbers values by row.
pub(crate) fn keep<T: Copy>(values: &mut Vec<T>, kept: &[u32]) {
    *values = kept.iter().filter_map(|&row| values.get(row as usize).copied()).collect();
}
