//! [`Job`]: what the coordinator knows of one job.

use std::sync::Arc;

use tokio::sync::watch;

use super::assemble::Made;
use super::capture::DurablePlan;
use super::shared::JobShared;
use super::{CheckpointStatus, JobState, JobStatus, StopReason};
use crate::message::Epoch;
use crate::plan::RelationId;
use crate::time::ProcessingTime;

/// A job as the coordinator knows it.
pub(super) struct Job {
    pub(super) name: String,
    /// Internal tables are not shown among the jobs.
    pub(super) table: bool,
    pub(super) shared: Arc<JobShared>,
    pub(super) makes: Vec<Made>,
    pub(super) reads: Vec<RelationId>,
    pub(super) component: u64,
    /// Shards that nothing comes out of any more.
    pub(super) drained: usize,
    /// Told when the job is published for the first time, and when it ends.
    pub(super) phase: watch::Sender<Phase>,
    pub(super) error: Option<String>,
    pub(super) hint: Option<String>,
    /// It failed in a way that it would fail in again.
    pub(super) hopeless: bool,
    /// Why it was stopped, where it was.
    pub(super) stop_reason: StopReason,
    pub(super) started: ProcessingTime,
    /// What checkpoints know of it, where it is part of them.
    pub(super) durable: Option<Arc<DurablePlan>>,
    /// It has a sink that commits with checkpoints.
    pub(super) transactional: bool,
    /// Its checkpoints.
    pub(super) saves: CheckpointStatus,
    pub(super) save_began: Option<ProcessingTime>,
    /// The epoch of the checkpoint that the next one may tell changes of, as the writer last told.
    pub(super) save_base: Option<Epoch>,
    /// The epoch of the checkpoint that it continued from.
    pub(super) restored: Option<Epoch>,
}

/// What one can wait for in a job's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Phase {
    pub(super) state: JobState,
    /// Its first epoch has been published.
    pub(super) published: bool,
}

impl Job {
    /// Where it is in its life.
    pub(super) fn state(&self) -> JobState {
        self.phase.borrow().state
    }

    /// As it is now, for callers.
    pub(super) fn status(&self) -> JobStatus {
        JobStatus {
            id: self.shared.id,
            name: self.name.clone(),
            state: self.state(),
            error: self.error.clone(),
            hint: self.hint.clone(),
            hopeless: self.hopeless,
            held_back: self.state() == JobState::Running && self.shared.is_held_back(),
            started: self.started,
            metrics: self.shared.metrics(),
        }
    }
}
