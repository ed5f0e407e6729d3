//! [`RejectLog`]: the latest rejected rows of all jobs, in memory, within a bound for each job and in total.
//!
//! Each knows before which barrier its node rejected it. So a checkpoint takes along what was rejected before its barrier, and
//! a job that goes back to it gets just that: what was rejected later comes again when the sources are read again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{RejectKind, Rejected, RejectedContent};
use crate::message::Epoch;
use crate::runtime::JobId;
use crate::time::ProcessingTime;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RejectLimits {
    /// Rows of one kind of one job.
    pub job_rows: usize,
    /// Rows of all jobs.
    pub rows: usize,
    /// Bytes of all jobs.
    pub bytes: usize,
}

impl Default for RejectLimits {
    fn default() -> Self {
        Self { job_rows: 1_000, rows: 10_000, bytes: 32 << 20 }
    }
}

/// Rejected rows with where they were.
#[derive(Debug, Clone)]
pub struct RejectEntry {
    /// Rises from entry to entry.
    pub number: u64,
    /// The job; `None` for a query that is no job.
    pub job: Option<JobId>,
    /// Its name.
    pub name: Arc<str>,
    /// The table that was read or written, where it was one.
    pub relation: Option<Arc<str>>,
    /// Which operator.
    pub operator: Arc<str>,
    /// When.
    pub at: ProcessingTime,
    /// The rows.
    pub rejected: Rejected,
    /// Of a job: where in it.
    pub origin: RejectOrigin,
}

/// Where in the course of a job rows were rejected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RejectOrigin {
    /// What checkpoints call the operator; empty where the job is part of none.
    pub node: Arc<str>,
    /// The last barrier that the operator had passed.
    pub passed: Epoch,
    /// They come out of the checkpoint that the job went on from.
    pub restored: bool,
}

/// See the module. Shared by all shards; who writes holds the lock for a few moves.
#[derive(Debug, Default)]
pub struct RejectLog {
    limits: RejectLimits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rings: HashMap<(Option<JobId>, RejectKind), Ring>,
    last_number: u64,
    rows: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Ring {
    entries: VecDeque<Arc<RejectEntry>>,
    rows: usize,
}

impl RejectLog {
    /// An empty log.
    pub fn new(limits: RejectLimits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    /// Adds rows, in place of the oldest ones where there is no room. `entry.number` is given here.
    pub fn add(&self, entry: RejectEntry) {
        self.add_to(&mut self.state.lock(), entry);
    }

    /// As [`Self::add`], unless the job that it is of is over by then: what comes after [`Self::replace`] is of its successor.
    pub fn add_unless(&self, is_over: impl FnOnce() -> bool, entry: RejectEntry) {
        let mut state = self.state.lock();
        if !is_over() {
            self.add_to(&mut state, entry);
        }
    }

    /// Has these rows of a job in place of all that it has.
    pub fn replace(&self, job: JobId, entries: Vec<RejectEntry>) {
        let mut state = self.state.lock();
        for kind in RejectKind::ALL {
            while state.rings.contains_key(&(Some(job), kind)) {
                state.forget_oldest((Some(job), kind));
            }
        }
        entries.into_iter().for_each(|entry| self.add_to(&mut state, entry));
    }

    /// What the operators of a job rejected before a barrier, the oldest first.
    pub fn before(&self, job: JobId, barrier: Epoch) -> Vec<Arc<RejectEntry>> {
        let mut before = self.of([Some(job)]);
        before.retain(|entry| entry.origin.passed < barrier);
        before
    }

    /// What these jobs rejected, `None` stands for statements that were no jobs; the oldest first.
    pub fn of(&self, jobs: impl IntoIterator<Item = Option<JobId>>) -> Vec<Arc<RejectEntry>> {
        let state = self.state.lock();
        let keys = jobs.into_iter().flat_map(|job| RejectKind::ALL.map(|kind| (job, kind)));
        let rings = keys.filter_map(|key| state.rings.get(&key));
        let mut entries: Vec<_> = rings.flat_map(|ring| &ring.entries).map(Arc::clone).collect();
        entries.sort_by_key(|entry| entry.number);
        entries
    }

    /// The number of the last entry of a job, or of statements that were none; `None`: there is none.
    pub fn last(&self, job: Option<JobId>) -> Option<u64> {
        let state = self.state.lock();
        let rings = RejectKind::ALL.iter().filter_map(|kind| state.rings.get(&(job, *kind)));
        rings.filter_map(|ring| ring.entries.back()).map(|entry| entry.number).max()
    }

    fn add_to(&self, state: &mut State, mut entry: RejectEntry) {
        let key = (entry.job, entry.rejected.kind);
        entry.rejected.content.keep_last(self.limits.job_rows.min(self.limits.rows));
        let (rows, bytes) = (entry.rejected.content.rows(), bytes_of(&entry));
        state.last_number += 1;
        entry.number = state.last_number;
        state.rows += rows;
        state.bytes += bytes;
        let ring = state.rings.entry(key).or_default();
        ring.rows += rows;
        ring.entries.push_back(Arc::new(entry));
        while state.rings.get(&key).is_some_and(|ring| ring.rows > self.limits.job_rows) {
            state.forget_oldest(key);
        }
        // Who has most gives way, so that one job cannot push out what the others told.
        while state.rows > self.limits.rows || state.bytes > self.limits.bytes {
            let Some(key) = state.rings.iter().max_by_key(|(_, ring)| ring.rows).map(|(key, _)| *key) else { break };
            state.forget_oldest(key);
        }
    }

    /// The entries of a kind, the oldest first.
    pub fn entries(&self, kind: RejectKind) -> Vec<RejectEntry> {
        let state = self.state.lock();
        let rings = state.rings.iter().filter(|((_, of), _)| *of == kind);
        let all = rings.flat_map(|(_, ring)| &ring.entries);
        let mut entries: Vec<RejectEntry> = all.map(|entry| RejectEntry::clone(entry)).collect();
        entries.sort_by_key(|entry| (entry.at, entry.number));
        entries
    }

    /// How many rows are there that a job has rejected since it was started.
    pub fn rows(&self, job: JobId) -> u64 {
        let state = self.state.lock();
        let rings = RejectKind::ALL.iter().filter_map(|kind| state.rings.get(&(Some(job), *kind)));
        let own = rings.flat_map(|ring| &ring.entries).filter(|entry| !entry.origin.restored);
        own.map(|entry| entry.rejected.content.rows() as u64).sum()
    }
}

impl State {
    fn forget_oldest(&mut self, key: (Option<JobId>, RejectKind)) {
        let Some(ring) = self.rings.get_mut(&key) else { return };
        let forgotten = ring.entries.pop_front();
        let rows = forgotten.as_ref().map_or(0, |entry| entry.rejected.content.rows());
        ring.rows -= rows;
        self.rows -= rows;
        self.bytes -= forgotten.as_deref().map_or(0, bytes_of);
        if ring.entries.is_empty() {
            self.rings.remove(&key);
        }
    }
}

fn bytes_of(entry: &RejectEntry) -> usize {
    let content = match &entry.rejected.content {
        RejectedContent::Rows(batch) => batch.get_array_memory_size(),
        RejectedContent::Record(text) => text.len(),
    };
    content + entry.rejected.reason.len() + entry.rejected.place.as_ref().map_or(0, String::len)
}
