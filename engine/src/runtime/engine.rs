//! [`Engine`]: the handle that the server holds.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::{EngineConfig, JobId, JobRequest, JobStatus, SplitStatus};
use crate::error::Result;
use crate::message::Delta;
use crate::plan::RelationId;
use crate::view::GlobalSnapshot;

/// A running engine. Cheap to clone; the shards stop when the last handle is dropped or on [`Engine::shutdown`].
#[derive(Clone)]
pub struct Engine {}

impl Engine {
    /// Starts the shards.
    ///
    /// # Errors
    /// Where a thread cannot be made.
    pub fn start(_config: EngineConfig) -> Result<Self> {
        todo!("runtime helper")
    }

    /// How it was started.
    pub fn config(&self) -> &EngineConfig {
        todo!("runtime helper")
    }

    /// Runs a dataflow. Blocks on the listing of splits: call it from a blocking thread. A `Materialize` node makes its
    /// relation readable (empty at first).
    ///
    /// # Errors
    /// Where a source cannot be listed, a sink cannot be opened, or a view it reads is gone.
    pub fn submit(&self, _request: JobRequest) -> Result<JobId> {
        todo!("runtime helper")
    }

    /// Stops a job; what it published stays.
    ///
    /// # Errors
    /// Where there is no such job.
    pub fn cancel(&self, _job: JobId) -> Result<()> {
        todo!("runtime helper")
    }

    /// A job as it is now.
    pub fn job(&self, _job: JobId) -> Option<JobStatus> {
        todo!("runtime helper")
    }

    /// All jobs since the start, by id.
    pub fn jobs(&self) -> Vec<JobStatus> {
        todo!("runtime helper")
    }

    /// How far every split of every running job has come.
    pub fn splits(&self) -> Vec<SplitStatus> {
        todo!("runtime helper")
    }

    /// Returns when the job has ended, however it ended, and its last epoch is published.
    ///
    /// # Errors
    /// Where there is no such job.
    pub async fn finished(&self, _job: JobId) -> Result<JobStatus> {
        todo!("runtime helper")
    }

    /// Returns when the first epoch of the job, with the snapshots of the views that it reads, is published.
    ///
    /// # Errors
    /// Where there is no such job, or it failed before.
    pub async fn published(&self, _job: JobId) -> Result<()> {
        todo!("runtime helper")
    }

    /// Makes an internal table: an empty relation that [`Engine::insert`] fills and jobs can read.
    ///
    /// # Errors
    /// Where the engine is shut down.
    pub fn create_table(&self, _relation: RelationId, _name: &str, _schema: SchemaRef) -> Result<()> {
        todo!("runtime helper")
    }

    /// Changes the rows of an internal table. Returns when the change is published, there and in every view that
    /// depends on it.
    ///
    /// # Errors
    /// Where there is no such table, or the engine is shut down.
    pub async fn insert(&self, _relation: RelationId, _delta: Delta) -> Result<()> {
        todo!("runtime helper")
    }

    /// Forgets a view or internal table and stops the job that fills it. Jobs that read it must be gone before.
    ///
    /// # Errors
    /// Where there is no such relation.
    pub fn drop_relation(&self, _relation: RelationId) -> Result<()> {
        todo!("runtime helper")
    }

    /// What readers see now.
    pub fn snapshot(&self) -> Arc<GlobalSnapshot> {
        todo!("runtime helper")
    }

    /// Returns when all that the sources of all running jobs had at the time of the call, to the end for bounded
    /// ones, is visible in every view and written to every sink. Jobs that fail meanwhile are not waited for.
    ///
    /// # Errors
    /// Where the engine is shut down.
    pub async fn flush(&self) -> Result<()> {
        todo!("runtime helper")
    }

    /// Stops all jobs and shards.
    pub fn shutdown(&self) {
        todo!("runtime helper")
    }
}
