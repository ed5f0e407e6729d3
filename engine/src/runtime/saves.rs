//! [`Saves`]: the checkpoints of one component, as pure decisions: when one begins, when it is complete or given up.
//!
//! A checkpoint begins with an epoch. It is complete when all parts have passed the epoch, what they told is written, and
//! the sinks that wait for it have committed. There is one at a time.

use std::collections::{BTreeSet, HashSet};

use tokio::sync::oneshot;

use super::epochs::Due;
use super::{CheckpointConfig, JobId};
use crate::message::Epoch;
use crate::time::ProcessingTime;

/// When checkpoints are made: microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cadence {
    pub(super) interval_us: i64,
    pub(super) timeout_us: i64,
    pub(super) min_pause_us: i64,
}

impl Cadence {
    pub(super) fn new(config: &CheckpointConfig) -> Self {
        let micros = |millis: u64| i64::try_from(millis).unwrap_or(i64::MAX).saturating_mul(1_000);
        Self {
            interval_us: micros(config.interval_ms),
            timeout_us: micros(config.timeout_ms),
            min_pause_us: micros(config.min_pause_ms),
        }
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Saves {
    /// Something has moved since the last checkpoint began.
    unsaved: bool,
    /// Somebody waits for one: it does not wait for the interval.
    forced: bool,
    /// A job has failed: until it is dropped or deployed anew, nobody goes on without it.
    halted_by: BTreeSet<JobId>,
    began_at: Option<ProcessingTime>,
    ended_at: Option<ProcessingTime>,
    failed: bool,
    running: Option<Running>,
    /// Those who wait for the next one.
    waiters: Vec<oneshot::Sender<()>>,
}

struct Running {
    epoch: Epoch,
    began_at: ProcessingTime,
    jobs: BTreeSet<JobId>,
    /// Jobs that have had their last epoch, and end when this is complete.
    ending: Vec<JobId>,
    waiters: Vec<oneshot::Sender<()>>,
    /// Parts whose sinks have not committed, once it is written.
    committing: Option<HashSet<(JobId, usize)>>,
}

/// A checkpoint that is over, whether it succeeded or not.
#[derive(Default)]
pub(super) struct Saved {
    pub(super) jobs: Vec<JobId>,
    /// Jobs that had waited for it to end.
    pub(super) ending: Vec<JobId>,
    pub(super) waiters: Vec<oneshot::Sender<()>>,
}

impl Saves {
    /// Something has moved.
    pub(super) fn moved(&mut self) {
        self.unsaved = true;
    }

    /// Asks for a checkpoint as soon as may be.
    pub(super) fn force(&mut self) {
        self.forced = true;
    }

    /// Asks for a checkpoint that begins after this moment, and to be told when it is complete.
    pub(super) fn wait(&mut self) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.waiters.push(sender);
        receiver
    }

    /// Whether a checkpoint should begin now.
    pub(super) fn due(&self, now: ProcessingTime, cadence: Cadence) -> Due {
        let forced = self.forced || !self.waiters.is_empty();
        if !self.halted_by.is_empty() || self.running.is_some() || !(self.unsaved || forced) {
            return Due::No;
        }
        let pause = self.ended_at.filter(|_| self.failed || !forced).map(|at| at.plus_us(cadence.min_pause_us));
        let interval = self.began_at.filter(|_| !forced).map(|at| at.plus_us(cadence.interval_us));
        match pause.max(interval) {
            Some(at) if at > now => Due::At(at),
            Some(_) | None => Due::Now,
        }
    }

    /// Whether none is under way and nothing forbids one.
    pub(super) fn can_begin(&self) -> bool {
        self.halted_by.is_empty() && self.running.is_none()
    }

    /// Begins a checkpoint of these jobs with an epoch.
    pub(super) fn begin(&mut self, epoch: Epoch, jobs: BTreeSet<JobId>, now: ProcessingTime) {
        let waiters = std::mem::take(&mut self.waiters);
        (self.unsaved, self.forced, self.began_at) = (false, false, Some(now));
        self.running = Some(Running { epoch, began_at: now, jobs, ending: Vec::new(), waiters, committing: None });
    }

    /// Whether the epoch is a checkpoint that is under way.
    pub(super) fn is_running(&self, epoch: Epoch) -> bool {
        self.running.as_ref().is_some_and(|running| running.epoch == epoch)
    }

    /// The jobs of the checkpoint that is under way.
    pub(super) fn running_jobs(&self) -> impl Iterator<Item = JobId> {
        self.running.iter().flat_map(|running| running.jobs.iter().copied())
    }

    /// Keeps jobs alive that have had their last epoch, until the checkpoint of that epoch is complete. Gives back those
    /// that need not wait.
    pub(super) fn hold(&mut self, epoch: Epoch, ending: Vec<JobId>) -> Vec<JobId> {
        let Some(running) = self.running.as_mut().filter(|running| running.epoch == epoch) else { return ending };
        let (held, free) = ending.into_iter().partition(|job| running.jobs.contains(job));
        running.ending.extend::<Vec<JobId>>(held);
        free
    }

    /// The checkpoint is written: these parts commit now.
    pub(super) fn written(&mut self, epoch: Epoch, committing: HashSet<(JobId, usize)>) {
        if let Some(running) = self.running.as_mut().filter(|running| running.epoch == epoch) {
            running.committing = Some(committing);
        }
    }

    /// A part has committed.
    pub(super) fn committed(&mut self, job: JobId, shard: usize, epoch: Epoch) {
        if let Some(running) = self.running.as_mut().filter(|running| running.epoch == epoch)
            && let Some(committing) = &mut running.committing
        {
            committing.remove(&(job, shard));
        }
    }

    /// Takes the checkpoint that is complete.
    pub(super) fn take_complete(&mut self, now: ProcessingTime) -> Option<Saved> {
        let done = self.running.as_ref()?.committing.as_ref().is_some_and(HashSet::is_empty);
        let Running { jobs, ending, waiters, .. } = self.running.take_if(|_| done)?;
        (self.ended_at, self.failed) = (Some(now), false);
        Some(Saved { jobs: jobs.into_iter().collect(), ending, waiters })
    }

    /// Gives up a checkpoint. Who waits for it waits for the next one.
    pub(super) fn give_up(&mut self, epoch: Epoch, now: ProcessingTime) -> bool {
        let Some(running) = self.running.take_if(|running| running.epoch == epoch) else { return false };
        self.forced |= !running.ending.is_empty();
        self.waiters.extend(running.waiters);
        (self.unsaved, self.failed, self.ended_at) = (true, true, Some(now));
        true
    }

    /// The checkpoint that has taken too long; else when that will be so.
    pub(super) fn overdue(&self, now: ProcessingTime, cadence: Cadence) -> Result<Epoch, Option<ProcessingTime>> {
        match &self.running {
            Some(running) if running.committing.is_none() => {
                let until = running.began_at.plus_us(cadence.timeout_us);
                if until <= now { Ok(running.epoch) } else { Err(Some(until)) }
            }
            Some(_) | None => Err(None),
        }
    }

    /// Takes a job out. Where it was part of a checkpoint under way, that is no whole one any more: gives its epoch.
    pub(super) fn forget(&mut self, job: JobId) -> Option<Epoch> {
        self.halted_by.remove(&job);
        let running = self.running.as_mut()?;
        running.ending.retain(|of| *of != job);
        if let Some(committing) = &mut running.committing {
            committing.retain(|(of, _)| *of != job);
            return None;
        }
        running.jobs.contains(&job).then_some(running.epoch)
    }

    /// A job has failed: what it is connected to must not go on alone.
    pub(super) fn halt(&mut self, job: JobId) {
        self.halted_by.insert(job);
    }

    /// Takes in those of another component. At most one of them is under way; a second one is given up.
    pub(super) fn absorb(&mut self, mut other: Self, now: ProcessingTime) {
        self.unsaved |= other.unsaved;
        self.forced |= other.forced;
        self.halted_by.append(&mut other.halted_by);
        self.began_at = self.began_at.max(other.began_at);
        self.ended_at = self.ended_at.max(other.ended_at);
        if self.running.is_some()
            && let Some(epoch) = other.running.as_ref().map(|running| running.epoch)
        {
            other.give_up(epoch, now);
            self.forced |= other.forced;
        }
        self.waiters.append(&mut other.waiters);
        self.running = self.running.take().or(other.running);
    }
}
