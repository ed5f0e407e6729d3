//! What the coordinator and the shards say to each other: [`Command`]s one way, [`Event`]s the other, through
//! [`Links`]. Each way is in order.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::capture::PartCapture;
use super::part::JobPart;
use super::shared::Progress;
use super::signal::Mailbox;
use super::view_source::Feed;
use super::write::{Bases, WriteJob, Written};
use super::{EngineConfig, JobId};
use crate::error::{EngineError, Result};
use crate::message::{Delta, Epoch};
use crate::plan::RelationId;
use crate::rejects::RejectLog;
use crate::view::{GlobalSnapshot, ViewVersion};

/// What the coordinator tells a shard.
pub(super) enum Command {
    /// Run these parts, which begin together. They join the views of running jobs at barrier `attach_at`.
    Deploy { parts: Vec<Deploy>, attach_at: Epoch },
    /// Close the epoch at the sources of these jobs.
    Barrier { epoch: Epoch, jobs: Arc<[JobId]> },
    /// The epoch is complete, or its checkpoint is: make visible what the sinks of these jobs prepared.
    Commit { epoch: Epoch, jobs: Arc<[JobId]>, checkpoint: bool },
    /// Rows for an internal table, and their number where they are numbered.
    Insert { job: JobId, delta: Delta, number: u64 },
    /// Tell when all that the sources of the job have now has been read.
    Flush { job: JobId, flush: u64 },
    /// Forget the job.
    Remove { job: JobId },
    /// Forget all jobs and stop.
    Stop,
}

/// A part to run, and the views that it reads.
pub(super) struct Deploy {
    pub(super) part: Box<JobPart>,
    pub(super) attaches: Vec<Attach>,
}

/// A reader of a view.
pub(super) struct Attach {
    /// The job that fills the view.
    pub(super) producer: JobId,
    pub(super) relation: RelationId,
    pub(super) feed: Arc<Feed>,
    /// It has the rows already: it was restored together with the view.
    pub(super) restored: bool,
}

/// What a shard tells the coordinator.
pub(super) enum Event {
    /// The first rows since the last barrier moved: an epoch is due within the interval.
    Dirty(JobId),
    /// All rows of the epoch are in the views and sinks of this part.
    Passed(Box<Passed>),
    /// The sinks of this part have made the epoch visible; `checkpoint`: that of a checkpoint.
    Committed { job: JobId, shard: usize, epoch: Epoch, checkpoint: bool },
    /// The checkpoint of this epoch is written and durable, or could not be written. `bases`: of which checkpoint the next one
    /// may tell changes, by the uid of each job.
    Saved { epoch: Epoch, bases: Bases, result: Result<Written> },
    /// Nothing comes out of this part any more.
    Drained { job: JobId },
    /// Everything that was there when the flush began has been read, or the sources ended.
    Flushed { job: JobId, shard: usize, flush: u64, ended: bool },
    /// The part is gone.
    Failed { job: JobId, error: EngineError },
}

/// What a part tells when it has passed an epoch.
pub(super) struct Passed {
    pub(super) job: JobId,
    pub(super) shard: usize,
    pub(super) epoch: Epoch,
    pub(super) staged: Vec<Staged>,
    /// Sinks wait for the epoch to be complete.
    pub(super) prepared: bool,
    /// Its state, where the epoch is a checkpoint.
    pub(super) captured: Option<PartCapture>,
}

/// One shard's part of a view as of an epoch.
#[derive(Debug, Clone)]
pub(super) struct Staged {
    pub(super) relation: RelationId,
    pub(super) progress: Progress,
    pub(super) version: Arc<ViewVersion>,
}

/// The ways between coordinator, shards and readers.
pub(super) struct Links {
    pub(super) config: EngineConfig,
    pub(super) shards: Vec<Mailbox<Command>>,
    pub(super) coordinator: Mailbox<Event>,
    /// To the thread that writes checkpoints.
    pub(super) writer: Mailbox<WriteJob>,
    pub(super) snapshot: ArcSwap<GlobalSnapshot>,
    /// The rejected rows of all jobs.
    pub(super) rejects: Arc<RejectLog>,
}

impl Links {
    pub(super) fn new(mut config: EngineConfig) -> Self {
        config.shards = config.shards.max(1);
        config.batch_rows = config.batch_rows.max(1);
        let shards = (0..config.shards).map(|_| Mailbox::default()).collect();
        let rejects = Arc::new(RejectLog::new(config.rejects));
        Self {
            config,
            shards,
            coordinator: Mailbox::default(),
            writer: Mailbox::default(),
            snapshot: ArcSwap::default(),
            rejects,
        }
    }

    /// Tells every shard.
    pub(super) fn broadcast(&self, command: impl Fn() -> Command) {
        for shard in &self.shards {
            shard.send(command());
        }
    }
}
