//! [`Engine`]: the handle that the server holds, and the threads behind it.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::thread;

use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;

use super::system::System;
use super::{
    CheckpointStatus, Deployed, EngineConfig, JobId, JobRequest, JobStatus, Member, Resting, Restore, SavepointStatus,
    SplitStatus, StopReason,
};
use crate::checkpoint::change::Change;
use crate::checkpoint::format_manifest::Manifest;
use crate::checkpoint::readable::StateTable;
use crate::error::{EngineError, Result};
use crate::message::{Delta, Epoch};
use crate::plan::{Dataflow, RelationId};
use crate::ports::StateStore;
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
        let writer = Arc::clone(&system);
        engine.spawn("epochs".into(), move || system.run())?;
        engine.spawn("checkpoints".into(), move || writer.run_writer())?;
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

    /// Runs jobs and internal tables that are part of checkpoints, all from the same moment on, and continues what
    /// `restore` says. Members that read views of others stand after them. Blocks on sources, sinks and the store: call it
    /// from a blocking thread. Says of each member whether it runs; a member takes the place of one of the same uid that
    /// is over. The first call opens the store and shuts out engines that had opened it before.
    ///
    /// # Errors
    /// Where the store does not answer, no checkpoint of a member can be read, or the engine is shut down.
    pub fn deploy(&self, members: &[Member], restore: &Restore) -> Result<Vec<Result<Deployed>>> {
        self.inner.system.deploy(members, restore)
    }

    /// Makes a checkpoint of a job and all that it is connected with; returns when it is complete. One that fails is
    /// followed by the next.
    ///
    /// # Errors
    /// Where no checkpoints are made of it, or it is over.
    pub async fn checkpoint(&self, job: JobId) -> Result<()> {
        self.inner.system.checkpoint(job)?.await
    }

    /// Makes a checkpoint as [`Self::checkpoint`] does and keeps it under a name until [`Restore::Savepoint`] asks for it,
    /// whatever becomes of the job. Names are of letters, digits, `-` and `_`.
    ///
    /// # Errors
    /// As there, and where the name is taken or is none.
    pub async fn savepoint(&self, job: JobId, name: &str) -> Result<()> {
        self.checkpoint(job).await?;
        self.inner.system.pin(job, name)
    }

    /// Makes a checkpoint as [`Self::checkpoint`] does and copies it, whole, into a store of its own, which holds no other
    /// savepoint: [`Restore::From`](super::Restore::From) starts from there. Other checkpoints go on meanwhile.
    ///
    /// # Errors
    /// As there, and where the store has a savepoint or does not take it.
    pub async fn savepoint_to(&self, job: JobId, store: Arc<dyn StateStore>) -> Result<()> {
        self.checkpoint(job).await?;
        let system = Arc::clone(&self.inner.system);
        let copied = tokio::task::spawn_blocking(move || system.export(job, &*store)).await;
        copied.map_err(|_| EngineError::Internal("the copy of a savepoint broke off".into()))?
    }

    /// The savepoints, by name.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub fn savepoints(&self) -> Result<Vec<SavepointStatus>> {
        let Some(archive) = self.inner.system.open_archive()? else { return Ok(Vec::new()) };
        let status = |(name, manifest): (String, Manifest)| SavepointStatus {
            name,
            epoch: Epoch(manifest.epoch),
            members: manifest.jobs.iter().map(|job| job.name.clone()).collect(),
            bytes: manifest.runs.iter().map(|run| run.bytes).sum(),
        };
        Ok(archive.savepoints()?.into_iter().map(status).collect())
    }

    /// Drops a savepoint. `false`: there is none of this name.
    ///
    /// # Errors
    /// Where the store does not answer, or it is no name.
    pub fn drop_savepoint(&self, name: &str) -> Result<bool> {
        self.inner.system.open_archive()?.map_or(Ok(false), |archive| archive.unpin(name))
    }

    /// The state of a job's operators as of its last checkpoint, operator by operator in the order of the dataflow. Reads the
    /// whole checkpoint of the job, and blocks so long.
    ///
    /// # Errors
    /// Where there is none, or it cannot be read.
    pub fn state(&self, job: JobId) -> Result<Vec<StateTable>> {
        self.inner.system.state(job)
    }

    /// What a job would keep of its state if it computed this instead. `None`: it is part of no checkpoint.
    pub fn change(&self, job: JobId, dataflow: &Dataflow) -> Option<Change> {
        self.inner.system.change(job, dataflow)
    }

    /// The last checkpoints of a job.
    pub fn checkpoint_status(&self, job: JobId) -> Option<CheckpointStatus> {
        self.inner.system.coordinator.lock().checkpoint_status(job)
    }

    /// Keeps what is saved of these jobs and tables, whether they run or not, until [`Self::forget_saved`]: one that waits for
    /// its broker, or that was stopped, goes on where it was. Of others only what runs keeps its checkpoints.
    pub fn keep_saved(&self, uids: impl IntoIterator<Item = String>) {
        self.inner.system.coordinator.lock().kept_uids.extend(uids);
    }

    /// Shows what a job that does not run had published, and what it had rejected, as of its last checkpoint. Reads the whole
    /// checkpoint of the job, and blocks so long. `false`: there is none, or the job runs.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn recall(&self, resting: &Resting) -> Result<bool> {
        self.inner.system.recall(resting)
    }

    /// Ends [`Self::keep_saved`].
    pub fn forget_saved(&self, uid: &str) {
        self.inner.system.coordinator.lock().kept_uids.remove(uid);
    }

    /// What the checkpoints know: the uids of jobs and tables, live or not. Opens the store.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub fn saved_uids(&self) -> Result<BTreeSet<String>> {
        Ok(self.inner.system.open_archive()?.map(|archive| archive.uids()).unwrap_or_default())
    }

    /// Gives up a job that has failed: until then those that it is connected with have no checkpoints, for it could not
    /// catch up with them. It cannot continue from a checkpoint any more once they have had others.
    pub fn abandon(&self, job: JobId) {
        self.inner.system.coordinator.lock().abandon(job);
    }

    /// The jobs and tables that a job shares its epochs and checkpoints with, itself among them: after a failure they
    /// are cancelled and deployed together. Those that are over are among them too.
    pub fn connected(&self, job: JobId) -> Vec<JobId> {
        self.inner.system.coordinator.lock().connected(job)
    }

    /// Whether a job that has failed goes on from its last checkpoint alone, whatever has become meanwhile of the views that it reads.
    pub fn catches_up(&self, job: JobId) -> bool {
        self.inner.system.coordinator.lock().catches_up(job)
    }

    /// A number for a job that is about to be deployed.
    pub fn new_job(&self) -> JobId {
        self.inner.system.coordinator.lock().next_job()
    }

    /// Gives numbers up to this one to no other job.
    pub fn reserve_jobs(&self, last: JobId) {
        self.inner.system.coordinator.lock().reserve_jobs(last);
    }

    /// Stops a job; what it published stays.
    ///
    /// # Errors
    /// Where there is no such job.
    pub fn cancel(&self, job: JobId) -> Result<()> {
        self.cancel_for(job, StopReason::Asked)
    }

    /// As [`Self::cancel`], for a reason that those are told that read its views.
    ///
    /// # Errors
    /// As there.
    pub fn cancel_for(&self, job: JobId, why: StopReason) -> Result<()> {
        self.inner.system.with(|coordinator| coordinator.cancel(job, why))
    }

    /// Leaves these views as their readers see them now, whatever their jobs publish, until [`Self::show`].
    pub fn withhold(&self, views: &[RelationId]) {
        self.inner.system.coordinator.lock().withhold(views);
    }

    /// Ends [`Self::withhold`]: what was published of the views meanwhile is visible, of all of them at once.
    pub fn show(&self, views: &[RelationId]) {
        self.inner.system.coordinator.lock().release(views);
    }

    /// Returns when all that the sources of these jobs had at the time of the call is published in their views.
    ///
    /// # Errors
    /// Where the engine is shut down.
    pub async fn caught_up(&self, jobs: &[JobId]) -> Result<()> {
        self.inner.system.caught_up(jobs)?.await
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
        self.begin_insert(relation, delta, 0)?.await
    }

    /// Changes the rows of an internal table: the change is behind all that were begun before. Gives what to await until it
    /// is published, there and in every view that depends on it. Numbers grow from change to change of a table that is part
    /// of checkpoints: [`Deployed::inserted`] tells which changes a checkpoint has. 0 is no number.
    ///
    /// # Errors
    /// Where there is no such table, or the engine is shut down.
    pub fn begin_insert(
        &self,
        relation: RelationId,
        delta: Delta,
        number: u64,
    ) -> Result<impl Future<Output = Result<()>> + Send + use<>> {
        self.inner.system.insert(relation, delta, number)
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
