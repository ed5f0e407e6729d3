//! [`System`]: the coordinator, its lock and the ways to the shards. [`Engine`](super::Engine) runs it on threads,
//! [`Simulation`](super::Simulation) on one thread in an order of its own.

use std::future::Future;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use super::assemble::{Assembled, Blueprint, Made, assemble, assemble_table};
use super::coordinator::Coordinator;
use super::job::Phase;
use super::protocol::Links;
use super::shard::{Shard, micros_until};
use super::{EngineConfig, JobId, JobRequest, JobState, JobStatus};
use crate::checkpoint::archive::Archive;
use crate::error::{EngineError, Result};
use crate::message::Delta;
use crate::plan::RelationId;
use crate::time::ProcessingTime;

/// See the module.
pub(super) struct System {
    pub(super) links: Arc<Links>,
    pub(super) coordinator: Mutex<Coordinator>,
    /// The checkpoints, once they are opened.
    pub(super) archive: Mutex<Option<Arc<Archive>>>,
}

impl System {
    /// The system, and the shards that somebody must run.
    pub(super) fn new(config: EngineConfig) -> (Arc<Self>, Vec<Shard>) {
        let links = Arc::new(Links::new(config));
        let shards = (0..links.config.shards).map(|index| Shard::new(index, Arc::clone(&links))).collect();
        let coordinator = Mutex::new(Coordinator::new(Arc::clone(&links)));
        (Arc::new(Self { links, coordinator, archive: Mutex::default() }), shards)
    }

    /// Takes in what the shards told and does what is due. Gives whether there was something, and when to look again.
    pub(super) fn pump(&self) -> (bool, Option<ProcessingTime>) {
        let mut coordinator = self.coordinator.lock();
        let (events, epoch) = (self.links.coordinator.take(), coordinator.last_epoch());
        let told = !events.is_empty();
        for event in events {
            coordinator.handle(event);
        }
        let next = coordinator.tick();
        (told || coordinator.last_epoch() != epoch, next)
    }

    /// The loop of the coordinator's thread, until the engine stops.
    pub(super) fn run(&self) {
        while !self.coordinator.lock().stopped {
            let (_, next) = self.pump();
            let wait = next.map(|at| micros_until(at, self.links.config.clock.now()));
            self.links.coordinator.waker().park(wait);
        }
    }

    /// Changes something under the lock, then does what became due by it.
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut Coordinator) -> Result<T>) -> Result<T> {
        let mut coordinator = self.coordinator.lock();
        let result = change(&mut coordinator);
        if coordinator.tick().is_some() {
            self.links.coordinator.waker().wake();
        }
        result
    }

    pub(super) fn submit(self: &Arc<Self>, request: &JobRequest) -> Result<JobId> {
        let id = self.coordinator.lock().next_job();
        let (name, dataflow, policy) = (request.name.as_str(), &*request.dataflow, request.policy);
        let assembled =
            assemble(id, &Blueprint { name, dataflow, policy, durable: None, continued: None }, &self.links)?;
        self.deploy_one(assembled)?;
        Ok(id)
    }

    pub(super) fn create_table(self: &Arc<Self>, relation: RelationId, name: &str, schema: SchemaRef) -> Result<()> {
        let id = self.coordinator.lock().next_job();
        self.deploy_one(assemble_table(id, Made { relation, name: name.to_owned(), schema }, &self.links))
    }

    fn deploy_one(&self, assembled: Assembled) -> Result<()> {
        self.with(|coordinator| coordinator.deploy(vec![assembled]))?.into_iter().collect()
    }

    /// Gives what to await for [`Engine::insert`](super::Engine::insert). The rows are on their way already.
    pub(super) fn insert(
        self: &Arc<Self>,
        relation: RelationId,
        delta: Delta,
        number: u64,
    ) -> Result<impl Future<Output = Result<()>> + Send + use<>> {
        let (job, visible) = self.with(|coordinator| coordinator.insert(relation, delta, number))?;
        let system = Arc::clone(self);
        Ok(async move {
            if visible.await.is_ok() && !system.job(job).is_some_and(|table| table.state.is_terminal()) {
                return Ok(());
            }
            let error = system.job(job).and_then(|table| table.error);
            let error = error.unwrap_or_else(|| "it was dropped".into());
            Err(EngineError::Gone(format!("the table did not take the rows: {error}")))
        })
    }

    /// See [`Engine::flush`](super::Engine::flush). The sources have been asked already.
    pub(super) fn flush(self: &Arc<Self>) -> Result<impl Future<Output = Result<()>> + use<>> {
        let read = self.with(|coordinator| coordinator.begin_flush(None))?;
        let system = Arc::clone(self);
        Ok(async move {
            let finishing = read.await.map_err(|_| stopped())?;
            let visible = system.with(|coordinator| Ok(coordinator.epoch_of_all()))?;
            for epoch in visible {
                // An error says that the jobs of the component are gone: then nobody waits for them.
                let _: Result<(), oneshot::error::RecvError> = epoch.await;
            }
            for job in finishing {
                // So does this.
                if let Ok(phase) = system.phase(job) {
                    wait_for(phase, |phase| phase.state.is_terminal()).await?;
                }
            }
            Ok(())
        })
    }

    /// See [`Engine::finished`](super::Engine::finished).
    pub(super) async fn finished(&self, job: JobId) -> Result<JobStatus> {
        wait_for(self.phase(job)?, |phase| phase.state.is_terminal()).await?;
        self.job(job).ok_or_else(stopped)
    }

    /// See [`Engine::published`](super::Engine::published).
    pub(super) async fn published(&self, job: JobId) -> Result<()> {
        let phase = wait_for(self.phase(job)?, |phase| phase.published || phase.state.is_terminal()).await?;
        if phase.published {
            return Ok(());
        }
        let status = self.job(job).ok_or_else(stopped)?;
        Err(match status.state {
            JobState::Failed => EngineError::BadRow {
                message: status.error.unwrap_or_else(|| format!("job {job} failed")),
                hint: status.hint,
            },
            JobState::Running | JobState::Finished | JobState::Canceled => {
                EngineError::Gone(format!("job {job} was canceled"))
            }
        })
    }

    pub(super) fn job(&self, job: JobId) -> Option<JobStatus> {
        self.coordinator.lock().status(job)
    }

    /// The loop of the thread that writes checkpoints, until the engine stops.
    pub(super) fn run_writer(&self) {
        while !self.coordinator.lock().stopped {
            if !self.links.write_checkpoints() {
                self.links.writer.waker().park(None);
            }
        }
    }

    /// Stops everything that runs.
    pub(super) fn stop(&self) {
        self.coordinator.lock().stop();
        self.links.writer.waker().wake();
        self.links.coordinator.waker().wake();
    }

    fn phase(&self, job: JobId) -> Result<watch::Receiver<Phase>> {
        self.coordinator.lock().phase(job)
    }
}

async fn wait_for(mut phase: watch::Receiver<Phase>, is: impl Fn(&Phase) -> bool) -> Result<Phase> {
    // The sender goes with the table that was dropped, or with the engine.
    let last = *phase.borrow();
    if is(&last) {
        return Ok(last);
    }
    phase.wait_for(is).await.map(|phase| *phase).map_err(|_| stopped())
}

fn stopped() -> EngineError {
    EngineError::Gone("the engine is shut down".into())
}
