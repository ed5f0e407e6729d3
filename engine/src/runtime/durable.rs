//! What callers say about jobs that survive the process: how checkpoints are made, what is deployed together, and what it
//! continues from.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::{JobId, JobRequest};
use crate::checkpoint::archive::Owner;
use crate::message::Epoch;
use crate::plan::{Dataflow, OperatorSpec, RelationId};
use crate::ports::StateStore;

/// How checkpoints are made.
#[derive(Debug, Clone)]
pub struct CheckpointConfig {
    /// Where they are kept. Two engines must not share one: the one that opens it last shuts the other out.
    pub store: Arc<dyn StateStore>,
    /// Whose they are; `None`: of whoever opens them.
    pub owner: Option<Owner>,
    /// Milliseconds from the start of a checkpoint to the start of the next one of the same jobs.
    pub interval_ms: u64,
    /// Milliseconds after which a checkpoint that is not complete is given up.
    pub timeout_ms: u64,
    /// Milliseconds between the end of a checkpoint and the start of the next one.
    pub min_pause_ms: u64,
    /// Checkpoints that are kept for each job, at least 1.
    pub retained: usize,
}

impl CheckpointConfig {
    /// Checkpoints every 10 s, one at a time; the last two are kept.
    pub fn new(store: Arc<dyn StateStore>) -> Self {
        Self { store, owner: None, interval_ms: 10_000, timeout_ms: 600_000, min_pause_ms: 500, retained: 2 }
    }
}

/// A job or an internal table that is started.
#[derive(Debug, Clone)]
pub struct Member {
    /// Tells it apart from all others, over restarts: what a checkpoint knows it by. Not empty. `None`: it is part of no
    /// checkpoint.
    pub uid: Option<String>,
    /// The number that it runs under: of a job that is over, or that was given or kept for it. `None`: a new one.
    pub job: Option<JobId>,
    /// What it is.
    pub kind: MemberKind,
}

/// What a [`Member`] is.
#[derive(Debug, Clone)]
pub enum MemberKind {
    /// A dataflow. The views that it reads are there or stand before it in the list.
    Job(JobRequest),
    /// An internal table.
    Table {
        /// Which relation it fills.
        relation: RelationId,
        /// Its name, for people.
        name: String,
        /// Its columns.
        schema: SchemaRef,
    },
}

impl Member {
    /// Whether all that it has comes out of views: it can be made anew without reading or writing anything twice.
    pub fn rebuilds(&self) -> bool {
        match &self.kind {
            MemberKind::Job(request) => rebuilds(&request.dataflow),
            MemberKind::Table { .. } => false,
        }
    }
}

/// Whether a dataflow neither reads nor writes anything but views.
pub(super) fn rebuilds(dataflow: &Dataflow) -> bool {
    !dataflow.nodes.iter().any(|node| matches!(node.spec, OperatorSpec::Source(_) | OperatorSpec::Sink(_)))
}

/// What members continue from.
#[derive(Debug, Clone)]
pub enum Restore {
    /// Nothing: they start from the beginning.
    Nothing,
    /// Each from its newest checkpoint that can be read; who is in none starts from the beginning.
    Latest,
    /// The savepoint of this name.
    Savepoint(String),
    /// The savepoint that [`savepoint_to`](super::Engine::savepoint_to) has written there.
    From(Arc<dyn StateStore>),
}

/// A member that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployed {
    /// Its job.
    pub job: JobId,
    /// The epoch of the checkpoint that it continues from.
    pub restored: Option<Epoch>,
    /// Of an internal table: the number of the last [`begin_insert`](super::Engine::begin_insert) whose rows the
    /// checkpoint has. What came after must be inserted again. 0: none.
    pub inserted: u64,
}

/// A savepoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavepointStatus {
    /// What [`Restore::Savepoint`] names it by.
    pub name: String,
    /// Its epoch.
    pub epoch: Epoch,
    /// Names of the jobs and tables that are in it.
    pub members: Vec<String>,
    /// Bytes of its runs, which checkpoints may share.
    pub bytes: u64,
}

/// The last checkpoints of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckpointStatus {
    /// The epoch of the last complete one.
    pub completed: Option<Epoch>,
    /// Complete ones since the start.
    pub completed_count: u64,
    /// Ones that failed or took too long, since the start.
    pub failed_count: u64,
    /// Bytes that the last complete one has written.
    pub written_bytes: u64,
    /// Milliseconds that the last complete one took.
    pub duration_ms: u64,
    /// Why the last one that failed did.
    pub error: Option<String>,
}
