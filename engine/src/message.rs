//! What travels on an edge of a dataflow: deltas, watermarks, barriers and the end.
//!
//! A [`Delta`] is an Arrow batch plus the [`Sign`] of its rows. The other kinds of [`Message`] order the
//! deltas in time: a [`Watermark`](crate::time::EventTime) promises event time, a barrier closes an epoch,
//! the end closes the edge. Schemas and keys of an edge are in [`crate::plan`], not here.

use std::fmt;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;

use crate::error::EngineError;
use crate::time::EventTime;

/// Rows a batch aims at. Sources read this many; larger outputs are cut to it.
pub const BATCH_ROWS: usize = 8_192;

/// Number of an epoch: the span between two barriers. Starts at 1 and grows by at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether the rows of a delta are inserted or retracted.
#[derive(Debug, Clone, PartialEq)]
pub enum Sign {
    /// Every row is an insertion. Costs nothing.
    AppendOnly,
    /// One bit a row, as long as the batch: set means that the row is retracted.
    Retracts(BooleanBuffer),
}

/// A batch of row changes of one edge.
///
/// An update is a retraction of the old row followed, in the same epoch, by an insertion of the new one
/// with the same stream key.
#[derive(Debug, Clone)]
pub struct Delta {
    /// The changed rows, in the schema of the edge.
    pub batch: RecordBatch,
    /// The sign of each row of `batch`.
    pub sign: Sign,
}

impl Delta {
    /// A delta of insertions only.
    pub fn append(batch: RecordBatch) -> Self {
        Self { batch, sign: Sign::AppendOnly }
    }

    /// A delta with one bit a row: set means retracted. Falls back to [`Sign::AppendOnly`] where no bit is set.
    pub fn signed(batch: RecordBatch, retracts: BooleanBuffer) -> Self {
        debug_assert_eq!(batch.num_rows(), retracts.len());
        if retracts.count_set_bits() == 0 {
            return Self::append(batch);
        }
        Self { batch, sign: Sign::Retracts(retracts) }
    }

    /// Rows in the batch, insertions and retractions alike.
    pub fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    /// Whether row `row` is retracted.
    pub fn is_retract(&self, row: usize) -> bool {
        match &self.sign {
            Sign::AppendOnly => false,
            Sign::Retracts(bits) => bits.value(row),
        }
    }

    /// The same signs over another batch of as many rows.
    pub fn with_batch(&self, batch: RecordBatch) -> Self {
        debug_assert_eq!(batch.num_rows(), self.rows());
        Self { batch, sign: self.sign.clone() }
    }

    /// Rows `offset .. offset + len`, without a copy.
    pub fn slice(&self, offset: usize, len: usize) -> Self {
        let sign = match &self.sign {
            Sign::AppendOnly => Sign::AppendOnly,
            Sign::Retracts(bits) => Sign::Retracts(bits.slice(offset, len)),
        };
        Self { batch: self.batch.slice(offset, len), sign }
    }

    /// The rows where `keep` is true; null counts as false.
    ///
    /// # Errors
    /// Where Arrow cannot filter a column of this type.
    pub fn filter(&self, keep: &BooleanArray) -> Result<Self, EngineError> {
        let batch = filter_record_batch(&self.batch, keep)?;
        match &self.sign {
            Sign::AppendOnly => Ok(Self::append(batch)),
            Sign::Retracts(bits) => {
                let bits = BooleanArray::new(bits.clone(), None);
                let kept = arrow::compute::filter(&bits, keep)?;
                let kept = arrow::array::cast::as_boolean_array(&kept);
                Ok(Self::signed(batch, kept.values().clone()))
            }
        }
    }
}

/// What travels on an edge. Closed: matched without `_`.
#[derive(Debug, Clone)]
pub enum Message {
    /// Row changes.
    Delta(Delta),
    /// No row with an event time below this comes after. Never goes back.
    Watermark(EventTime),
    /// Nothing has come for the idle timeout: this edge leaves the minimum of watermarks until its next delta or
    /// watermark.
    Idle,
    /// The epoch is closed: all its rows have passed on this edge.
    Barrier(Epoch),
    /// Nothing comes after. Sent once, after a last watermark of [`EventTime::MAX`].
    End,
}
