//! What readers see: immutable versions of views, swapped all at once.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::error::Result;
use crate::message::Epoch;
use crate::pieces::{Piece, live_batch};
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

/// One shard's part of a view at one epoch: immutable chunks, in which rows may be dead.
#[derive(Debug, Clone, Default)]
pub struct ViewVersion {
    /// The rows in order.
    pub chunks: Vec<Piece>,
}

impl ViewVersion {
    /// The live rows, chunk by chunk, projected to `columns`.
    ///
    /// # Errors
    /// Where Arrow cannot filter or project.
    pub fn scan(&self, columns: &[usize]) -> Result<Vec<RecordBatch>> {
        let of = |chunk: &Piece| live_batch(&chunk.rows.project(columns)?, chunk.live.as_ref());
        self.chunks.iter().map(of).collect()
    }

    /// Number of live rows.
    pub fn rows(&self) -> usize {
        self.chunks.iter().map(Piece::live_rows).sum()
    }
}
