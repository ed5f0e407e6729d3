//! [`Component`]: the epochs of connected jobs, as pure decisions: when one begins, when it is complete, what it shows.
//!
//! Jobs are connected when one reads a view of the other. They share their epochs and are published together; other
//! components do not wait for them.

use std::collections::{BTreeSet, HashSet, VecDeque};

use tokio::sync::oneshot;

use super::JobId;
use super::capture::PartCapture;
use super::protocol::{Passed, Staged};
use super::saves::{Cadence, Saves};
use crate::message::Epoch;
use crate::time::ProcessingTime;

/// Epochs of one component that may be under way at once.
const PENDING_MAX: usize = 2;

/// Connected jobs.
#[derive(Default)]
pub(super) struct Component {
    pub(super) jobs: BTreeSet<JobId>,
    /// Those whose sinks commit when they end.
    pub(super) at_end: BTreeSet<JobId>,
    /// Epochs under way, the oldest first.
    pending: VecDeque<Pending>,
    began_at: Option<ProcessingTime>,
    /// Rows have moved since the last epoch began.
    pub(super) dirty: bool,
    /// Somebody waits for an epoch.
    pub(super) wanted: bool,
    /// Those who wait for the next epoch to begin.
    waiters: Vec<oneshot::Sender<()>>,
    /// Its checkpoints.
    pub(super) saves: Saves,
}

/// What a part of a job told at a checkpoint.
pub(super) type Captured = (JobId, usize, PartCapture);

/// An epoch under way.
struct Pending {
    epoch: Epoch,
    jobs: Vec<JobId>,
    /// Jobs that had nothing more to give when it began.
    ending: Vec<JobId>,
    /// Parts that have not passed it; then those that have not committed it.
    waiting: HashSet<(JobId, usize)>,
    /// Parts whose sinks have prepared something.
    prepared: HashSet<(JobId, usize)>,
    staged: Vec<(JobId, usize, Staged)>,
    captured: Vec<Captured>,
    published: bool,
    waiters: Vec<oneshot::Sender<()>>,
}

/// Whether an epoch should begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Now,
    At(ProcessingTime),
    /// Not before something happens.
    No,
}

/// What is to be done about the oldest epoch.
pub(super) enum Action {
    /// Show these versions (job, shard, version), tell the sinks of these jobs to commit, and write what was captured.
    Publish { epoch: Epoch, staged: Vec<(JobId, usize, Staged)>, commits: Vec<JobId>, captured: Vec<Captured> },
    /// It is over: these jobs have had it, and of those the ending ones have had their last.
    Complete { epoch: Epoch, jobs: Vec<JobId>, ending: Vec<JobId>, waiters: Vec<oneshot::Sender<()>> },
}

impl Due {
    fn sooner(self, other: Self) -> Self {
        match (self, other) {
            (Self::Now, _) | (_, Self::Now) => Self::Now,
            (Self::At(one), Self::At(two)) => Self::At(one.min(two)),
            (Self::At(at), Self::No) | (Self::No, Self::At(at)) => Self::At(at),
            (Self::No, Self::No) => Self::No,
        }
    }
}

impl Component {
    /// Whether an epoch should begin now.
    pub(super) fn due(&self, now: ProcessingTime, interval_us: i64, cadence: Option<Cadence>) -> Due {
        if self.jobs.is_empty() || self.pending.len() >= PENDING_MAX {
            return Due::No;
        }
        let save = cadence.map_or(Due::No, |cadence| self.saves.due(now, cadence));
        if !(self.wanted || self.dirty) {
            return save;
        }
        let epoch = match self.began_at.map(|at| at.plus_us(interval_us)) {
            Some(at) if !self.wanted && at > now => Due::At(at),
            _ => Due::Now,
        };
        epoch.sooner(save)
    }

    /// Begins an epoch of all jobs on all shards; `ending` are those that are drained.
    pub(super) fn begin(&mut self, epoch: Epoch, ending: Vec<JobId>, shards: usize, now: ProcessingTime) {
        let jobs: Vec<JobId> = self.jobs.iter().copied().collect();
        let waiting = jobs.iter().flat_map(|job| (0..shards).map(|shard| (*job, shard))).collect();
        self.pending.push_back(Pending {
            epoch,
            jobs,
            ending,
            waiting,
            prepared: HashSet::new(),
            staged: Vec::new(),
            captured: Vec::new(),
            published: false,
            waiters: std::mem::take(&mut self.waiters),
        });
        self.began_at = Some(now);
        self.dirty = false;
        self.wanted = false;
    }

    /// Asks for an epoch that begins after this moment, and to be told when it is complete.
    pub(super) fn wait(&mut self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.waiters.push(sender);
        self.wanted = true;
        receiver
    }

    /// A part has passed the epoch.
    pub(super) fn passed(&mut self, passed: Passed) {
        let Passed { job, shard, epoch, staged, prepared, captured } = passed;
        let Some(pending) = self.pending.iter_mut().find(|pending| pending.epoch == epoch) else { return };
        if pending.waiting.remove(&(job, shard)) {
            pending.staged.extend(staged.into_iter().map(|staged| (job, shard, staged)));
            pending.captured.extend(captured.map(|captured| (job, shard, captured)));
            if prepared {
                pending.prepared.insert((job, shard));
            }
        }
    }

    /// A part has committed the epoch.
    pub(super) fn committed(&mut self, job: JobId, shard: usize, epoch: Epoch) {
        if let Some(pending) = self.pending.iter_mut().find(|pending| pending.epoch == epoch && pending.published) {
            pending.waiting.remove(&(job, shard));
        }
    }

    /// What the oldest epoch is ready for.
    pub(super) fn advance(&mut self) -> Option<Action> {
        let front = self.pending.front_mut()?;
        if !front.waiting.is_empty() {
            return None;
        }
        if !front.published {
            front.published = true;
            front.waiting = std::mem::take(&mut front.prepared);
            front.waiting.retain(|(job, _)| !self.at_end.contains(job) || front.ending.contains(job));
            let commits: BTreeSet<JobId> = front.waiting.iter().map(|(job, _)| *job).collect();
            let staged = std::mem::take(&mut front.staged);
            let captured = std::mem::take(&mut front.captured);
            let commits = commits.into_iter().collect();
            return Some(Action::Publish { epoch: front.epoch, staged, commits, captured });
        }
        let Pending { epoch, jobs, ending, waiters, .. } = self.pending.pop_front()?;
        Some(Action::Complete { epoch, jobs, ending, waiters })
    }

    /// Takes a job out: nobody waits for it, and what it made in epochs under way is not shown.
    pub(super) fn forget(&mut self, job: JobId) {
        self.jobs.remove(&job);
        self.at_end.remove(&job);
        for pending in &mut self.pending {
            pending.jobs.retain(|of| *of != job);
            pending.ending.retain(|of| *of != job);
            pending.waiting.retain(|(of, _)| *of != job);
            pending.prepared.retain(|(of, _)| *of != job);
            pending.staged.retain(|(of, _, _)| *of != job);
            pending.captured.retain(|(of, _, _)| *of != job);
        }
    }

    /// Takes in the jobs and epochs of another component.
    pub(super) fn absorb(&mut self, other: Self, now: ProcessingTime) {
        self.saves.absorb(other.saves, now);
        self.jobs.extend(other.jobs);
        self.at_end.extend(other.at_end);
        self.pending.extend(other.pending);
        self.pending.make_contiguous().sort_by_key(|pending| pending.epoch);
        self.began_at = self.began_at.max(other.began_at);
        self.dirty |= other.dirty;
        self.wanted |= other.wanted;
        self.waiters.extend(other.waiters);
    }

    /// Whether nothing is left of it.
    pub(super) fn is_over(&self) -> bool {
        self.jobs.is_empty() && self.pending.is_empty()
    }
}
