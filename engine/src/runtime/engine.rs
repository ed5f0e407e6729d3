//! [`Engine`]: the handle that the server holds, and the threads behind it.

use std::future::Future;
use std::sync::Arc;
use std::thread;

use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;

use super::system::System;
use super::{EngineConfig, JobId, JobRequest, JobStatus, SplitStatus};
use crate::error::{EngineError, Result};
use crate::message::{Delta, Epoch};
use crate::plan::RelationId;
use crate::rejects::RejectLog;
use crate::view::GlobalSnapshot;

/// Stack of a shard's thread: expressions are evaluated by recursion.
const SHARD_STACK_BYTES: usize = 8 << 20;

/// A running engine. Cheap to clone; the shards stop when the last handle is dropped or on [`Engine::shutdown`].
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    system: Arc<System>,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.system.stop();
    }
}

impl Engine {
    /// Starts the shards.
    ///
    /// # Errors
    /// Where a thread cannot be made.
    pub fn start(config: EngineConfig) -> Result<Self> {
        let (system, shards) = System::new(config);
        let engine = Self { inner: Arc::new(Inner { system: Arc::clone(&system), threads: Mutex::default() }) };
        for (index, shard) in shards.into_iter().enumerate() {
            engine.spawn(format!("shard-{index}"), move || shard.run())?;
        }
        engine.spawn("epochs".into(), move || system.run())?;
        Ok(engine)
    }

    fn spawn(&self, name: String, run: impl FnOnce() + Send + 'static) -> Result<()> {
        let thread = thread::Builder::new().name(name).stack_size(SHARD_STACK_BYTES).spawn(run);
        self.inner.threads.lock().push(thread.map_err(|error| EngineError::io("cannot start a thread", error))?);
        Ok(())
    }

    /// How it was started.
    pub fn config(&self) -> &EngineConfig {
        &self.inner.system.links.config
    }

    /// Runs a dataflow. Blocks on the listing of splits: call it from a blocking thread. A `Materialize` node makes its
    /// relation readable (empty at first).
    ///
    /// # Errors
    /// Where a source cannot be listed, a sink cannot be opened, or a view it reads is gone.
    pub fn submit(&self, request: JobRequest) -> Result<JobId> {
        self.inner.system.submit(&request)
    }

    /// Runs a dataflow as [`Self::submit`] does, under a number that a job had that has ended, or that was reserved. What
    /// the ended job published stays readable until the new one publishes.
    ///
    /// # Errors
    /// As [`Self::submit`]; where the job of that number runs.
    pub fn submit_as(&self, job: JobId, request: JobRequest) -> Result<()> {
        self.inner.system.submit_as(job, &request)
    }

    /// Keeps the numbers of jobs up to this one for [`Self::submit_as`].
    pub fn reserve_jobs(&self, last: JobId) {
        self.inner.system.coordinator.lock().reserve_jobs(last);
    }

    /// Stops a job; what it published stays.
    ///
    /// # Errors
    /// Where there is no such job.
    pub fn cancel(&self, job: JobId) -> Result<()> {
        self.inner.system.with(|coordinator| coordinator.cancel(job))
    }

    /// A job as it is now.
    pub fn job(&self, job: JobId) -> Option<JobStatus> {
        self.inner.system.job(job)
    }

    /// All jobs since the start, by id.
    pub fn jobs(&self) -> Vec<JobStatus> {
        self.inner.system.coordinator.lock().statuses()
    }

    /// How far every split of every running job has come.
    pub fn splits(&self) -> Vec<SplitStatus> {
        self.inner.system.coordinator.lock().splits()
    }

    /// The rejected rows of all jobs.
    pub fn rejects(&self) -> &Arc<RejectLog> {
        &self.inner.system.links.rejects
    }

    /// The epoch that began last, of any job. Stands still while no rows move and nobody waits.
    pub fn last_epoch(&self) -> Epoch {
        self.inner.system.coordinator.lock().last_epoch()
    }

    /// Returns when the job has ended, however it ended, and its last epoch is published.
    ///
    /// # Errors
    /// Where there is no such job.
    pub async fn finished(&self, job: JobId) -> Result<JobStatus> {
        self.inner.system.finished(job).await
    }

    /// Returns when the first epoch of the job, with the snapshots of the views that it reads, is published.
    ///
    /// # Errors
    /// Where there is no such job, or it failed before.
    pub async fn published(&self, job: JobId) -> Result<()> {
        self.inner.system.published(job).await
    }

    /// Makes an internal table: an empty relation that [`Engine::insert`] fills and jobs can read.
    ///
    /// # Errors
    /// Where the engine is shut down.
    pub fn create_table(&self, relation: RelationId, name: &str, schema: SchemaRef) -> Result<()> {
        self.inner.system.create_table(relation, name, schema)
    }

    /// Changes the rows of an internal table. Returns when the change is published, there and in every view that
    /// depends on it.
    ///
    /// # Errors
    /// Where there is no such table, or the engine is shut down.
    pub async fn insert(&self, relation: RelationId, delta: Delta) -> Result<()> {
        self.begin_insert(relation, delta)?.await
    }

    /// Changes the rows of an internal table: the change is behind all that were begun before. Gives what to await until it
    /// is published, there and in every view that depends on it.
    ///
    /// # Errors
    /// Where there is no such table, or the engine is shut down.
    pub fn begin_insert(
        &self,
        relation: RelationId,
        delta: Delta,
    ) -> Result<impl Future<Output = Result<()>> + Send + use<>> {
        self.inner.system.insert(relation, delta)
    }

    /// Forgets a view or internal table and stops the job that fills it. Jobs that read it must be gone before.
    ///
    /// # Errors
    /// Where there is no such relation.
    pub fn drop_relation(&self, relation: RelationId) -> Result<()> {
        self.inner.system.with(|coordinator| coordinator.drop_relation(relation))
    }

    /// What readers see now.
    pub fn snapshot(&self) -> Arc<GlobalSnapshot> {
        self.inner.system.links.snapshot.load_full()
    }

    /// Returns when all that the sources of all running jobs had at the time of the call, to the end for bounded
    /// ones, is visible in every view and written to every sink. Jobs that fail meanwhile are not waited for.
    ///
    /// # Errors
    /// Where the engine is shut down.
    pub async fn flush(&self) -> Result<()> {
        self.inner.system.flush()?.await
    }

    /// Stops all jobs and shards, and waits for their threads.
    pub fn shutdown(&self) {
        self.inner.system.stop();
        for thread in self.inner.threads.lock().drain(..) {
            // A thread that panicked has nothing more to tell.
            let _ = thread.join();
        }
    }
}
