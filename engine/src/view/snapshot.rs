//! What readers see: immutable versions of views, swapped all at once.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;

use crate::error::Result;
use crate::message::Epoch;
use crate::plan::RelationId;
use crate::time::EventTime;

/// All published views at one moment. Views of connected jobs stand at the same epoch.
#[derive(Debug, Clone, Default)]
pub struct GlobalSnapshot {
    /// The views by id.
    pub views: HashMap<RelationId, Arc<ViewSnapshot>>,
}

/// One view at one epoch.
#[derive(Debug, Clone)]
pub struct ViewSnapshot {
    /// Its columns.
    pub schema: SchemaRef,
    /// The epoch it shows.
    pub epoch: Epoch,
    /// The watermark it had at that epoch.
    pub watermark: EventTime,
    /// The part of each shard.
    pub shards: Vec<Arc<ViewVersion>>,
}

/// One shard's part of a view at one epoch: immutable chunks, with a mask where rows are dead.
#[derive(Debug, Clone, Default)]
pub struct ViewVersion {
    /// Rows, and which of them are live; `None`: all.
    pub chunks: Vec<(RecordBatch, Option<BooleanBuffer>)>,
}

impl ViewVersion {
    /// The live rows, chunk by chunk, projected to `columns`.
    ///
    /// # Errors
    /// Where Arrow cannot filter or project.
    pub fn scan(&self, columns: &[usize]) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::with_capacity(self.chunks.len());
        for (chunk, live) in &self.chunks {
            let chunk = chunk.project(columns)?;
            batches.push(match live {
                None => chunk,
                Some(live) => filter_record_batch(&chunk, &BooleanArray::new(live.clone(), None))?,
            });
        }
        Ok(batches)
    }

    /// Number of live rows.
    pub fn rows(&self) -> usize {
        self.chunks
            .iter()
            .map(|(chunk, live)| live.as_ref().map_or(chunk.num_rows(), BooleanBuffer::count_set_bits))
            .sum()
    }
}
