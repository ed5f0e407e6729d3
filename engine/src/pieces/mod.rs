//! [`Piece`]s: rows that are kept together, never change and only die; what stores of rows give away without a copy.
//!
//! A store keeps its rows in batches, each with a number that no other rows in this process ever have. Rows die by a bit of
//! the batch's [`Mask`]; what lives of several batches may be written into a new one ([`compact`] chooses). So whoever knew a
//! piece by its number, a reader or the writer of checkpoints, knows it again, and what of it has died since.

pub(crate) mod compact;

use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{BooleanArray, BooleanBufferBuilder, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;

use crate::error::Result;

/// See the module.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Its number.
    pub id: u64,
    /// All rows, dead ones too.
    pub rows: RecordBatch,
    /// Which rows are live; `None`: all.
    pub live: Option<BooleanBuffer>,
}

/// The number of the last piece.
static LAST: AtomicU64 = AtomicU64::new(0);

/// A number for a new piece.
pub(crate) fn next_id() -> u64 {
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

impl Piece {
    /// How many rows are live.
    pub fn live_rows(&self) -> usize {
        self.live.as_ref().map_or(self.rows.num_rows(), BooleanBuffer::count_set_bits)
    }

    /// The live rows, copied only where some are dead.
    ///
    /// # Errors
    /// Where Arrow cannot filter.
    pub fn live_batch(&self) -> Result<RecordBatch> {
        live_batch(&self.rows, self.live.as_ref())
    }
}

/// The rows of a batch that are live.
///
/// # Errors
/// Where Arrow cannot filter.
pub(crate) fn live_batch(rows: &RecordBatch, live: Option<&BooleanBuffer>) -> Result<RecordBatch> {
    match live {
        None => Ok(rows.clone()),
        Some(live) => Ok(filter_record_batch(rows, &BooleanArray::new(live.clone(), None))?),
    }
}

/// The numbers of the bits that are set, ascending.
pub(crate) fn set_bits(mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros())?;
        word &= word - 1;
        Some(bit)
    })
}

/// Which rows of a batch are live, while rows die.
pub(crate) struct Mask {
    rows: usize,
    live_rows: usize,
    /// `None`: all.
    live: Option<BooleanBufferBuilder>,
    /// As it was given away; gone when a row died since.
    shared: Option<BooleanBuffer>,
}

impl Mask {
    /// All of so many rows are live.
    pub(crate) fn new(rows: usize) -> Self {
        Self { rows, live_rows: rows, live: None, shared: None }
    }

    /// How many rows are live.
    pub(crate) fn live_rows(&self) -> usize {
        self.live_rows
    }

    /// Whether a row is live.
    pub(crate) fn is_live(&self, row: usize) -> bool {
        self.live.as_ref().is_none_or(|live| live.get_bit(row))
    }

    /// A live row dies.
    pub(crate) fn kill(&mut self, row: usize) {
        let rows = self.rows;
        let live = self.live.get_or_insert_with(|| {
            let mut live = BooleanBufferBuilder::new(rows);
            live.append_n(rows, true);
            live
        });
        live.set_bit(row, false);
        self.live_rows -= 1;
        self.shared = None;
    }

    /// As it is now; `None`: all rows are live.
    pub(crate) fn get(&mut self) -> Option<BooleanBuffer> {
        let live = self.live.as_ref()?;
        Some(self.shared.get_or_insert_with(|| live.finish_cloned()).clone())
    }

    /// The live rows, ascending.
    pub(crate) fn live(&self) -> impl Iterator<Item = usize> {
        (0..self.rows).filter(|row| self.is_live(*row))
    }
}
