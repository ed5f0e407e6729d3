//! [`Flushes`]: which parts of which jobs a `FLUSH` still waits for.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use tokio::sync::oneshot;

use super::coordinator::Coordinator;
use super::protocol::Command;
use super::{JobId, JobState};
use crate::error::Result;
use crate::plan::RelationId;

/// The flushes whose sources are still reading.
#[derive(Default)]
pub(super) struct Flushes {
    open: BTreeMap<u64, Flush>,
    last: u64,
}

struct Flush {
    jobs: Vec<JobId>,
    waiting: HashSet<(JobId, usize)>,
    /// Jobs with a source that has not ended.
    going_on: HashSet<JobId>,
    sender: oneshot::Sender<Vec<JobId>>,
}

/// A flush whose sources have read all that was there.
pub(super) struct Flushed {
    /// The jobs all of whose own sources have ended, by id.
    pub(super) ended: Vec<JobId>,
    /// To tell who waits.
    pub(super) sender: oneshot::Sender<Vec<JobId>>,
}

impl Flushes {
    /// Begins a flush of these jobs; gives its number.
    pub(super) fn begin(&mut self, jobs: &[JobId], shards: usize) -> (u64, oneshot::Receiver<Vec<JobId>>) {
        let (sender, receiver) = oneshot::channel();
        let waiting = jobs.iter().flat_map(|job| (0..shards).map(|shard| (*job, shard))).collect();
        self.last += 1;
        self.open.insert(self.last, Flush { jobs: jobs.to_vec(), waiting, going_on: HashSet::new(), sender });
        (self.last, receiver)
    }

    /// A part has read all that was there at this flush, hence at those before.
    pub(super) fn reached(&mut self, job: JobId, shard: usize, flush: u64, ended: bool) {
        for open in self.open.range_mut(..=flush).map(|(_, open)| open) {
            if open.waiting.remove(&(job, shard)) && !ended {
                open.going_on.insert(job);
            }
        }
    }

    /// A job is over: it is not waited for.
    pub(super) fn forget(&mut self, job: JobId) {
        for open in self.open.values_mut() {
            open.waiting.retain(|(of, _)| *of != job);
        }
    }

    /// Takes those that wait for nobody.
    pub(super) fn take_done(&mut self) -> Vec<Flushed> {
        let done: Vec<u64> = self.open.iter().filter(|(_, open)| open.waiting.is_empty()).map(|(id, _)| *id).collect();
        let done = done.into_iter().filter_map(|id| self.open.remove(&id));
        done.map(|Flush { jobs, going_on, sender, .. }| {
            let ended = jobs.into_iter().filter(|job| !going_on.contains(job)).collect();
            Flushed { ended, sender }
        })
        .collect()
    }
}

impl Coordinator {
    /// Begins a flush of the sources of all running jobs, or of these; the receiver is told, when they are done, which jobs are
    /// about to finish.
    pub(super) fn begin_flush(&mut self, of: Option<&[JobId]>) -> Result<oneshot::Receiver<Vec<JobId>>> {
        self.check_running()?;
        let running = self.jobs.iter().filter(|(_, job)| !job.table && job.state() == JobState::Running);
        let running = running.map(|(id, _)| *id).filter(|id| of.is_none_or(|of| of.contains(id)));
        let jobs: Vec<JobId> = running.collect();
        let (flush, receiver) = self.flushes.begin(&jobs, self.links.config.shards);
        for job in jobs {
            self.links.broadcast(|| Command::Flush { job, flush });
        }
        self.settle_flushes();
        Ok(receiver)
    }

    /// Ends the flushes whose sources are done.
    pub(super) fn settle_flushes(&mut self) {
        for done in self.flushes.take_done() {
            // Jobs without sources of their own end with those that they read, which come before them.
            let mut finishing: BTreeSet<JobId> = BTreeSet::new();
            for id in &done.ended {
                let over = |id: &JobId| self.jobs.get(id).is_none_or(|job| job.state().is_terminal());
                let ends = |read: &RelationId| {
                    self.relations.get(read).is_some_and(|producer| finishing.contains(producer) || over(producer))
                };
                if self.jobs.get(id).is_some_and(|job| job.reads.iter().all(ends)) {
                    finishing.insert(*id);
                }
            }
            // Who does not wait any more need not know.
            let _ = done.sender.send(finishing.into_iter().collect());
        }
    }
}
