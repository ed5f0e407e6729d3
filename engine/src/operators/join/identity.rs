//! [`Identity`]: finds the row of a store that equals a given one.

use std::cmp::Ordering;
use std::collections::HashMap;

use arrow::array::{ArrayRef, DynComparator, RecordBatch, make_comparator};
use arrow::compute::SortOptions;

use super::chunks::Chunks;
use super::store::keep;
use crate::error::Result;
use crate::spread_table::SpreadTable;

/// Rows by the hash of all their columns.
#[derive(Default)]
pub(super) struct Identity {
    index: SpreadTable<u32>,
    /// By row.
    hashes: Vec<u64>,
}

impl Identity {
    /// The row with this hash for which `same` holds.
    pub(super) fn find(&self, hash: u64, mut same: impl FnMut(u32) -> bool) -> Option<u32> {
        let hashes = &self.hashes;
        self.index.find(hash, |row| hashes[*row as usize] == hash && same(*row)).copied()
    }

    /// Adds the next row.
    pub(super) fn push(&mut self, hash: u64) {
        // A store holds fewer than 2^32 rows, and so does what stands beside it.
        let row = self.hashes.len() as u32;
        self.hashes.push(hash);
        let hashes = &self.hashes;
        self.index.insert_unique(hash, row, |row| hashes[*row as usize]);
    }

    /// Forgets a row.
    pub(super) fn remove(&mut self, row: u32) {
        if let Ok(found) = self.index.find_entry(self.hashes[row as usize], |other| *other == row) {
            found.remove();
        }
    }

    /// Renumbers the rows.
    pub(super) fn keep(&mut self, kept: &[u32]) {
        keep(&mut self.hashes, kept);
        let hashes = &self.hashes;
        self.index = SpreadTable::default();
        for (row, &hash) in (0..).zip(hashes) {
            self.index.insert_unique(hash, row, |row| hashes[*row as usize]);
        }
    }
}

/// Compares the rows of one batch with those of a store. What it makes for a batch of the store is kept.
pub(super) struct RowComparison<'a> {
    batch: &'a RecordBatch,
    rows: &'a Chunks,
    /// By the number of the store's batch.
    made: HashMap<usize, Vec<DynComparator>>,
    guess: usize,
}

impl<'a> RowComparison<'a> {
    pub(super) fn new(batch: &'a RecordBatch, rows: &'a Chunks) -> Self {
        Self { batch, rows, made: HashMap::new(), guess: 0 }
    }

    /// Whether row `stored` of the store equals row `row` of the batch. Nulls equal nulls.
    ///
    /// # Errors
    /// Where a column's type cannot be compared.
    pub(super) fn equal(&mut self, stored: u32, row: usize) -> Result<bool> {
        self.guess = self.rows.batch_of(stored as usize, self.guess);
        let Some((chunk, start)) = self.rows.batch(self.guess) else { return Ok(false) };
        let comparators = match self.made.entry(self.guess) {
            std::collections::hash_map::Entry::Occupied(made) => made.into_mut(),
            std::collections::hash_map::Entry::Vacant(free) => free.insert(comparators(chunk.columns(), self.batch)?),
        };
        Ok(are_equal(comparators, stored as usize - start, row))
    }
}

/// One comparator a column.
///
/// # Errors
/// Where a column's type cannot be compared.
pub(super) fn comparators(left: &[ArrayRef], right: &RecordBatch) -> Result<Vec<DynComparator>> {
    let one = |(left, right): (&ArrayRef, &ArrayRef)| Ok(make_comparator(left, right, SortOptions::default())?);
    left.iter().zip(right.columns()).map(one).collect()
}

/// Whether two rows are equal in all columns.
pub(super) fn are_equal(comparators: &[DynComparator], left: usize, right: usize) -> bool {
    comparators.iter().all(|compare| compare(left, right) == Ordering::Equal)
}
