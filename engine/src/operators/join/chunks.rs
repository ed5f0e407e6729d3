//! [`Chunks`]: rows by number, in batches of columns.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array, new_empty_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{concat_batches, interleave, take};
use arrow::datatypes::SchemaRef;

use super::NONE;
use crate::error::{EngineError, Result};
use crate::message::BATCH_ROWS;
use crate::pieces::{Piece, next_id};

/// Rows in the order they were pushed. Small batches are merged, so that their number stays near rows / [`BATCH_ROWS`].
pub(crate) struct Chunks {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    /// The numbers that the batches have as pieces.
    ids: Vec<u64>,
    /// Number of the first row of each batch.
    starts: Vec<usize>,
    rows: usize,
}

impl Chunks {
    pub(crate) fn new(schema: SchemaRef) -> Self {
        Self { schema, batches: Vec::new(), ids: Vec::new(), starts: Vec::new(), rows: 0 }
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Appends rows; they get the next numbers.
    ///
    /// # Errors
    /// Where there are over 2^32 rows, or Arrow cannot merge batches.
    pub(crate) fn push(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if self.rows + batch.num_rows() >= NONE as usize {
            return Err(EngineError::Unsupported("over 2^32 kept rows on one shard".into()));
        }
        self.starts.push(self.rows);
        self.rows += batch.num_rows();
        self.batches.push(batch);
        self.ids.push(next_id());
        // A batch is merged only with one at most twice its size: a row is copied a logarithmic number of times.
        while let [.., before, last] = &self.batches[..] {
            let (rows, more) = (before.num_rows(), last.num_rows());
            if rows + more > BATCH_ROWS || rows > 2 * more {
                break;
            }
            let merged = concat_batches(&self.schema, [before, last])?;
            self.batches.truncate(self.batches.len() - 2);
            self.batches.push(merged);
            self.ids.truncate(self.ids.len() - 2);
            self.ids.push(next_id());
            self.starts.pop();
        }
        Ok(())
    }

    /// Whether there is no row.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// All rows, in batches.
    pub(crate) fn into_batches(self) -> Vec<RecordBatch> {
        self.batches
    }

    /// The batches, with the number of their first row.
    pub(crate) fn batch(&self, number: usize) -> Option<(&RecordBatch, usize)> {
        Some((self.batches.get(number)?, *self.starts.get(number)?))
    }

    /// The rows in pieces, given which are live; `None`: all.
    pub(crate) fn pieces(&self, live: Option<&[bool]>) -> Vec<Piece> {
        let piece = |((rows, id), start): ((&RecordBatch, &u64), &usize)| {
            let live = live.and_then(|live| live.get(*start..start + rows.num_rows()));
            let live = live.filter(|live| live.contains(&false)).map(BooleanBuffer::from);
            Piece { id: *id, rows: rows.clone(), live }
        };
        self.batches.iter().zip(&self.ids).zip(&self.starts).map(piece).collect()
    }

    /// The number of the batch that holds a row. `guess`: a batch that may hold it.
    pub(crate) fn batch_of(&self, row: usize, guess: usize) -> usize {
        let end = |batch: usize| self.starts.get(batch + 1).copied().unwrap_or(self.rows);
        if self.starts.get(guess).is_some_and(|start| *start <= row) && row < end(guess) {
            return guess;
        }
        self.starts.partition_point(|start| *start <= row).saturating_sub(1)
    }

    /// The columns of these rows, in this order.
    ///
    /// # Errors
    /// Where Arrow cannot build a column.
    pub(crate) fn gather(&self, rows: &[u32]) -> Result<Vec<ArrayRef>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        self.gather_some(&all, rows)
    }

    /// Some columns of these rows, in this order. There are such columns.
    ///
    /// # Errors
    /// As [`Self::gather`].
    pub(crate) fn gather_some(&self, columns: &[usize], rows: &[u32]) -> Result<Vec<ArrayRef>> {
        if rows.is_empty() || columns.is_empty() {
            return Ok(columns.iter().map(|&column| new_empty_array(self.schema.field(column).data_type())).collect());
        }
        // Only the batches that are met take part, or a few rows of a large store would cost as much as many.
        let mut used: Vec<usize> = Vec::new();
        let mut order = vec![usize::MAX; self.batches.len()];
        let mut places = Vec::with_capacity(rows.len());
        let mut batch = 0;
        for &row in rows {
            batch = self.batch_of(row as usize, batch);
            if order[batch] == usize::MAX {
                order[batch] = used.len();
                used.push(batch);
            }
            places.push((order[batch], row as usize - self.starts[batch]));
        }
        if let [only] = used[..] {
            let rows: UInt32Array = rows.iter().map(|row| row - self.starts[only] as u32).collect();
            let of_batch = |&column: &usize| Ok(take(self.batches[only].column(column), &rows, None)?);
            return columns.iter().map(of_batch).collect();
        }
        let column = |&column: &usize| {
            let parts: Vec<&dyn Array> =
                used.iter().map(|&batch| self.batches[batch].column(column).as_ref()).collect();
            Ok(interleave(&parts, &places)?)
        };
        columns.iter().map(column).collect()
    }

    /// These rows as a batch.
    ///
    /// # Errors
    /// As [`Self::gather`].
    pub(crate) fn take(&self, rows: &[u32]) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), self.gather(rows)?, &options)?)
    }

    /// These rows alone, with the numbers of their order.
    ///
    /// # Errors
    /// As [`Self::gather`].
    pub(crate) fn retained(&self, rows: &[u32]) -> Result<Self> {
        let mut kept = Self::new(Arc::clone(&self.schema));
        for part in rows.chunks(BATCH_ROWS) {
            kept.push(self.take(part)?)?;
        }
        Ok(kept)
    }
}
