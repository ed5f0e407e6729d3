//! [`Engine`]: the handle that the server holds.

use std::sync::Arc;
use std::thread;

use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;

use super::assemble::Assembly;
use super::coordinator::Coordinator;
use super::shard::{Inbox, Shard};
use super::{EngineConfig, JobId, JobRequest, JobState, JobStatus, SplitStatus};
use crate::error::{EngineError, Result};
use crate::message::{Delta, Epoch};
use crate::plan::{ChangelogMode, Dataflow, Edge, MaterializeSpec, Node, NodeId, OperatorSpec, RelationId};
use crate::view::GlobalSnapshot;

/// A running engine. Cheap to clone; the shards stop when the last handle is dropped or on [`Engine::shutdown`].
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    config: EngineConfig,
    coordinator: Arc<Coordinator>,
    inboxes: Vec<Arc<Inbox>>,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.coordinator.stop();
        for thread in self.threads.get_mut().drain(..) {
            // A shard that panicked outside a job has nothing more to tell.
            let _ = thread.join();
        }
    }
}

impl Engine {
    /// Starts the shards.
    ///
    /// # Errors
    /// Where a thread cannot be made.
    pub fn start(config: EngineConfig) -> Result<Self> {
        let (engine, shards) = Self::assemble(config);
        let spawn = |name: String, run: Box<dyn FnOnce() + Send>| {
            thread::Builder::new()
                .name(name)
                .spawn(run)
                .map_err(|error| EngineError::io("cannot start a thread", error))
        };
        let mut threads = engine.inner.threads.lock();
        for (index, shard) in shards.into_iter().enumerate() {
            threads.push(spawn(format!("shard-{index}"), Box::new(move || shard.run()))?);
        }
        let coordinator = Arc::clone(&engine.inner.coordinator);
        threads.push(spawn("epochs".into(), Box::new(move || coordinator.run()))?);
        drop(threads);
        Ok(engine)
    }

    /// The handle and the shards, none of them running.
    pub(super) fn assemble(config: EngineConfig) -> (Self, Vec<Shard>) {
        let inboxes: Vec<Arc<Inbox>> = (0..config.shards.max(1)).map(|_| Arc::default()).collect();
        let clock = Arc::clone(&config.clock);
        let coordinator = Arc::new(Coordinator::new(inboxes.clone(), config.epoch_interval_ms, clock));
        let shard = |(index, inbox): (usize, &Arc<Inbox>)| {
            let clock = Arc::clone(&config.clock);
            Shard::new(index, Arc::clone(inbox), Arc::clone(&coordinator), clock, config.batch_rows)
        };
        let shards = inboxes.iter().enumerate().map(shard).collect();
        let inner = Inner { config, coordinator, inboxes, threads: Mutex::default() };
        (Self { inner: Arc::new(inner) }, shards)
    }

    pub(super) fn coordinator(&self) -> &Coordinator {
        &self.inner.coordinator
    }

    /// How it was started.
    pub fn config(&self) -> &EngineConfig {
        &self.inner.config
    }

    /// Runs a dataflow. Blocks on the listing of splits: call it from a blocking thread. A `Materialize` node makes its
    /// relation readable (empty at first).
    ///
    /// # Errors
    /// Where a source cannot be listed, a sink cannot be opened, or a view it reads is gone.
    pub fn submit(&self, request: JobRequest) -> Result<JobId> {
        let id = self.inner.coordinator.next_job();
        let assembly = Assembly {
            id,
            name: &request.name,
            dataflow: &request.dataflow,
            wakers: self.inner.inboxes.iter().map(|inbox| Arc::clone(&inbox.waker)).collect(),
            now: self.inner.config.clock.now(),
        };
        self.inner.coordinator.deploy(id, assembly.build()?)?;
        Ok(id)
    }

    /// Stops a job; what it published stays.
    ///
    /// # Errors
    /// Where there is no such job.
    pub fn cancel(&self, job: JobId) -> Result<()> {
        self.inner.coordinator.cancel(job)
    }

    /// A job as it is now.
    pub fn job(&self, job: JobId) -> Option<JobStatus> {
        self.inner.coordinator.status(job)
    }

    /// All jobs since the start, by id.
    pub fn jobs(&self) -> Vec<JobStatus> {
        self.inner.coordinator.lock().jobs.iter().map(|(id, job)| job.status(*id)).collect()
    }

    /// How far every split of every running job has come.
    pub fn splits(&self) -> Vec<SplitStatus> {
        let state = self.inner.coordinator.lock();
        let running = state.jobs.iter().filter(|(_, job)| job.state == JobState::Running);
        running.flat_map(|(id, job)| job.counters.splits(*id)).collect()
    }

    /// Returns when the job has ended, however it ended, and its last epoch is published.
    ///
    /// # Errors
    /// Where there is no such job.
    pub async fn finished(&self, job: JobId) -> Result<JobStatus> {
        let mut changes = self.inner.coordinator.changes();
        loop {
            let status = self.job(job).ok_or_else(|| EngineError::Gone(format!("job {job} does not exist")))?;
            if status.state.is_terminal() {
                return Ok(status);
            }
            if changes.changed().await.is_err() || self.is_stopped() {
                return Err(EngineError::Gone("the engine is shut down".into()));
            }
        }
    }

    /// Returns when the first epoch of the job, with the snapshots of the views that it reads, is published.
    ///
    /// # Errors
    /// Where there is no such job, or it failed before.
    pub async fn published(&self, job: JobId) -> Result<()> {
        self.published_after(job, Epoch(0)).await;
        match self.job(job) {
            Some(status) if status.state == JobState::Failed => Err(EngineError::BadRow {
                message: status.error.unwrap_or_else(|| format!("job {job} failed")),
                hint: status.hint,
            }),
            Some(_) => Ok(()),
            None => Err(EngineError::Gone(format!("job {job} does not exist"))),
        }
    }

    /// Makes an internal table: an empty relation that [`Engine::insert`] fills and jobs can read.
    ///
    /// # Errors
    /// Where the engine is shut down.
    pub fn create_table(&self, relation: RelationId, name: &str, schema: SchemaRef) -> Result<()> {
        let edge = Edge { schema, changelog: ChangelogMode::Retract, stream_key: None, time_column: None };
        let spec = OperatorSpec::Materialize(MaterializeSpec { relation, name: name.to_owned() });
        let node = Node { id: NodeId(0), spec, inputs: Vec::new(), edge };
        let dataflow = Arc::new(Dataflow { nodes: vec![node] });
        self.submit(JobRequest { name: format!("table {name}"), dataflow }).map(|_| ())
    }

    /// Changes the rows of an internal table. Returns when the change is published, there and in every view that
    /// depends on it.
    ///
    /// # Errors
    /// Where there is no such table, or the engine is shut down.
    pub async fn insert(&self, relation: RelationId, delta: Delta) -> Result<()> {
        let (job, after) = self.inner.coordinator.insert(relation, delta)?;
        self.published_after(job, after).await;
        match self.job(job) {
            Some(status) if status.state == JobState::Failed => {
                Err(EngineError::Internal(status.error.unwrap_or_else(|| "the table failed".into())))
            }
            _ => Ok(()),
        }
    }

    /// Forgets a view or internal table and stops the job that fills it. Jobs that read it must be gone before.
    ///
    /// # Errors
    /// Where there is no such relation.
    pub fn drop_relation(&self, relation: RelationId) -> Result<()> {
        self.inner.coordinator.drop_relation(relation)
    }

    /// What readers see now.
    pub fn snapshot(&self) -> Arc<GlobalSnapshot> {
        self.inner.coordinator.snapshot()
    }

    /// Returns when all that the sources of all running jobs had at the time of the call, to the end for bounded
    /// ones, is visible in every view and written to every sink. Jobs that fail meanwhile are not waited for.
    ///
    /// # Errors
    /// Where the engine is shut down.
    pub async fn flush(&self) -> Result<()> {
        let flush = self.inner.coordinator.begin_flush()?;
        let mut changes = self.inner.coordinator.changes();
        let (jobs, after) = loop {
            if let Some(rest) = self.inner.coordinator.sources_flushed(flush) {
                break rest;
            }
            if changes.changed().await.is_err() {
                return Err(EngineError::Gone("the engine is shut down".into()));
            }
        };
        for job in jobs {
            self.published_after(job, after).await;
        }
        Ok(())
    }

    /// Stops all jobs and shards.
    pub fn shutdown(&self) {
        self.inner.coordinator.stop();
    }

    fn is_stopped(&self) -> bool {
        self.inner.coordinator.lock().stopped
    }

    async fn published_after(&self, job: JobId, after: Epoch) {
        let mut changes = self.inner.coordinator.changes();
        while !self.inner.coordinator.published_after(job, after) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}
