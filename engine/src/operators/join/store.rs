//! [`RowStore`]: the rows of one side of a join in chunks of columns, found by number.
//!
//! Numbers are given in order and stay until the owner rebuilds the store. Small chunks are joined as they come, so that
//! there are few, and each row is copied a logarithmic number of times.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use arrow::compute::{concat_batches, interleave_record_batch, take_record_batch};
use arrow::datatypes::{Schema, SchemaRef};

use crate::error::{EngineError, Result};

/// No row: nulls are taken in its place.
pub(super) const NONE: u32 = u32::MAX;

/// Chunks of more rows are not joined to others.
const CHUNK_ROWS: usize = 65_536;

/// See the module.
pub(super) struct RowStore {
    /// The columns, all of which may be null.
    schema: SchemaRef,
    chunks: Vec<RecordBatch>,
    /// The number of the first row of each chunk.
    bases: Vec<u32>,
    /// One row of nulls.
    nulls: RecordBatch,
    rows: u32,
}

impl RowStore {
    /// A store without rows.
    pub(super) fn new(schema: &Schema) -> Result<Self> {
        let fields: Vec<_> = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let columns = schema.fields().iter().map(|field| new_null_array(field.data_type(), 1)).collect();
        let one = RecordBatchOptions::new().with_row_count(Some(1));
        let nulls = RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &one)?;
        Ok(Self { schema, chunks: Vec::new(), bases: Vec::new(), nulls, rows: 0 })
    }

    /// Rows ever kept.
    pub(super) fn len(&self) -> u32 {
        self.rows
    }

    /// The columns of the rows.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Keeps rows; gives the number of the first.
    ///
    /// # Errors
    /// Where there are over 2^32 rows.
    pub(super) fn push(&mut self, rows: &RecordBatch) -> Result<u32> {
        let first = self.rows;
        let more = u32::try_from(rows.num_rows()).ok().and_then(|more| first.checked_add(more));
        self.rows = more.filter(|rows| *rows < NONE).ok_or_else(too_many)?;
        if rows.num_rows() == 0 {
            return Ok(first);
        }
        self.chunks.push(self.nullable(rows)?);
        self.bases.push(first);
        while let [.., before, last] = self.chunks.as_slice()
            && before.num_rows() <= 2 * last.num_rows()
            && before.num_rows() + last.num_rows() <= CHUNK_ROWS
        {
            let joined = concat_batches(&self.schema, [before, last])?;
            self.chunks.truncate(self.chunks.len() - 2);
            self.bases.pop();
            self.chunks.push(joined);
        }
        Ok(first)
    }

    /// The rows of these numbers, in their order; nulls for [`NONE`].
    ///
    /// # Errors
    /// Where Arrow cannot build a column.
    pub(super) fn take(&self, ids: &[u32]) -> Result<RecordBatch> {
        if self.schema.fields().is_empty() {
            let options = RecordBatchOptions::new().with_row_count(Some(ids.len()));
            return Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), Vec::new(), &options)?);
        }
        if let ([chunk], false) = (self.chunks.as_slice(), ids.contains(&NONE)) {
            return Ok(take_record_batch(chunk, &UInt32Array::from(ids.to_vec()))?);
        }
        let place = |id: &u32| match *id {
            NONE => (self.chunks.len(), 0),
            id => {
                let chunk = self.bases.partition_point(|base| *base <= id).saturating_sub(1);
                (chunk, (id - self.bases.get(chunk).copied().unwrap_or(0)) as usize)
            }
        };
        let places: Vec<(usize, usize)> = ids.iter().map(place).collect();
        let chunks: Vec<&RecordBatch> = self.chunks.iter().chain([&self.nulls]).collect();
        Ok(interleave_record_batch(&chunks, &places)?)
    }

    /// The rows under a schema whose columns may be null.
    pub(super) fn nullable(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), rows.columns().to_vec(), &options)?)
    }
}

fn too_many() -> EngineError {
    EngineError::Unsupported("over 2^32 rows of a join's side kept on one shard".into())
}
