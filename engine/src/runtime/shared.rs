//! What a job's shards count and everybody may read: [`JobShared`], [`SplitProgress`]. Relaxed atomics, no locks.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use parking_lot::RwLock;

use super::protocol::Links;
use super::signal::Signal;
use super::{JobId, JobMetrics, JobPolicy, MemoryGuard, SplitStatus};
use crate::message::Epoch;
use crate::plan::SourceSpec;
use crate::rejects::{OnError, RejectCounts, RejectEntry, RejectLog, RejectOrigin, Rejects};
use crate::time::{Clock, EventTime, ProcessingTime};

/// What the parts of one job share, on all shards.
pub(super) struct JobShared {
    pub(super) id: JobId,
    /// Rows moved since the last epoch was asked for.
    pub(super) dirty: AtomicBool,
    /// The epoch whose barrier is a checkpoint: of the second grade. Set before that barrier is asked for.
    checkpoint: AtomicU64,
    /// The epoch of the checkpoint that this one may tell changes of; 0: there is none. Set before `checkpoint`.
    base: AtomicU64,
    /// One a shard.
    pub(super) signals: Vec<Arc<Signal>>,
    /// One a shard.
    pub(super) counters: Vec<Counters>,
    /// The splits of all sources. A source may get more while it runs.
    splits: RwLock<Vec<Arc<SplitProgress>>>,
    /// It has sources.
    reads: bool,
    pub(super) name: Arc<str>,
    /// What is done with rows that operators cannot compute.
    pub(super) on_error: OnError,
    rejects: Arc<RejectLog>,
    pub(super) memory: Arc<MemoryGuard>,
    pub(super) clock: Arc<dyn Clock>,
    /// How long an evaluation may take. `None`: as long as it likes.
    pub(super) evaluation_limit_us: Option<i64>,
    /// It has ended, however it did: what still computes for it stops.
    over: AtomicBool,
}

impl fmt::Debug for JobShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobShared").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

/// Where a node stands, for people.
#[derive(Debug, Clone)]
pub(super) struct NodeLabel {
    /// The word that `EXPLAIN` begins its line with.
    pub(super) operator: Arc<str>,
    /// The table that it reads or writes.
    pub(super) relation: Option<Arc<str>>,
    /// What checkpoints call it; empty where it is part of none.
    pub(super) id: Arc<str>,
}

impl NodeLabel {
    pub(super) fn new(operator: &str, relation: Option<&str>) -> Self {
        Self { operator: operator.into(), relation: relation.map(Into::into), id: "".into() }
    }
}

/// Where and when rows were rejected.
#[derive(Debug, Clone, Copy)]
pub(super) struct RejectedAt<'a> {
    pub(super) shard: usize,
    pub(super) label: &'a NodeLabel,
    /// The last barrier that the node has passed.
    pub(super) passed: Epoch,
    pub(super) now: ProcessingTime,
}

/// The counters of one job on one shard, on cache lines of their own.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Counters {
    rows_in: AtomicU64,
    rows_out: AtomicU64,
    late_rows: AtomicU64,
    evicted_keys: AtomicU64,
    bad_rows: AtomicU64,
    sink_errors: AtomicU64,
    watermark: AtomicI64,
    idle: AtomicBool,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            rows_in: AtomicU64::new(0),
            rows_out: AtomicU64::new(0),
            late_rows: AtomicU64::new(0),
            evicted_keys: AtomicU64::new(0),
            bad_rows: AtomicU64::new(0),
            sink_errors: AtomicU64::new(0),
            watermark: AtomicI64::new(i64::MIN),
            idle: AtomicBool::new(false),
        }
    }
}

impl Counters {
    pub(super) fn count_in(&self, rows: usize) {
        self.rows_in.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(super) fn count_out(&self, rows: usize) {
        self.rows_out.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(super) fn count_evicted(&self, keys: u64) {
        self.evicted_keys.fetch_add(keys, Ordering::Relaxed);
    }

    fn count_rejects(&self, counts: RejectCounts) {
        self.late_rows.fetch_add(counts.late, Ordering::Relaxed);
        self.bad_rows.fetch_add(counts.bad, Ordering::Relaxed);
        self.sink_errors.fetch_add(counts.sink, Ordering::Relaxed);
    }

    /// The watermark of the sources of this shard.
    pub(super) fn set_watermark(&self, progress: Progress) {
        self.watermark.store(progress.watermark.0, Ordering::Relaxed);
        self.idle.store(progress.idle, Ordering::Relaxed);
    }

    fn progress(&self) -> Progress {
        let watermark = EventTime(self.watermark.load(Ordering::Relaxed));
        Progress { watermark, idle: self.idle.load(Ordering::Relaxed) }
    }
}

/// How far event time has come somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) watermark: EventTime,
    /// Whether it holds nobody back.
    pub(super) idle: bool,
}

impl Progress {
    /// The least of those that are not idle; the greatest where all are. `None` where there are none.
    pub(super) fn least(all: impl Iterator<Item = Self> + Clone) -> Option<Self> {
        let active = all.clone().filter(|progress| !progress.idle).min_by_key(|progress| progress.watermark);
        active.or_else(|| all.max_by_key(|progress| progress.watermark))
    }
}

impl JobShared {
    pub(super) fn new(
        id: JobId,
        name: &str,
        policy: JobPolicy,
        signals: Vec<Arc<Signal>>,
        splits: Vec<Arc<SplitProgress>>,
        links: &Links,
    ) -> Self {
        let counters = signals.iter().map(|_| Counters::default()).collect();
        let (dirty, name, rejects) = (AtomicBool::new(false), name.into(), Arc::clone(&links.rejects));
        let (memory, clock) = (Arc::clone(&links.config.memory), Arc::clone(&links.config.clock));
        let (checkpoint, base) = (AtomicU64::new(0), AtomicU64::new(0));
        let (reads, splits, over) = (!splits.is_empty(), RwLock::new(splits), AtomicBool::new(false));
        let JobPolicy { on_error, evaluation_limit_us, .. } = policy;
        Self {
            id,
            dirty,
            checkpoint,
            base,
            signals,
            counters,
            splits,
            reads,
            name,
            on_error,
            rejects,
            memory,
            clock,
            evaluation_limit_us,
            over,
        }
    }

    /// It has ended: see [`Self::is_over`].
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Whether it has ended, though some of it may still compute.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// The next barrier of this epoch is a checkpoint, which may tell changes of the one of `base`.
    pub(super) fn begin_checkpoint(&self, epoch: Epoch, base: Option<Epoch>) {
        self.base.store(base.map_or(0, |base| base.0), Ordering::Relaxed);
        self.checkpoint.store(epoch.0, Ordering::Release);
    }

    /// Whether the barrier of the epoch is a checkpoint.
    pub(super) fn is_checkpoint(&self, epoch: Epoch) -> bool {
        self.checkpoint.load(Ordering::Acquire) == epoch.0
    }

    /// The epoch of the checkpoint that the one that has begun may tell changes of.
    pub(super) fn checkpoint_base(&self) -> Option<Epoch> {
        Some(Epoch(self.base.load(Ordering::Relaxed))).filter(|base| base.0 > 0)
    }

    /// Whether it has sources, and they are not read now for want of memory.
    pub(super) fn is_held_back(&self) -> bool {
        self.reads && self.memory.is_over(self.clock.now())
    }

    /// Counts and keeps what a node rejected on a shard.
    pub(super) fn reject(&self, place: RejectedAt<'_>, rejects: &mut Rejects) {
        if rejects.is_empty() {
            return;
        }
        let (counts, kept) = rejects.take();
        if let Some(counters) = self.counters.get(place.shard) {
            counters.count_rejects(counts);
        }
        for rejected in kept {
            let NodeLabel { operator, relation, id } = place.label.clone();
            let (job, name, at) = (Some(self.id), Arc::clone(&self.name), place.now);
            let origin = RejectOrigin { node: id, passed: place.passed, restored: false };
            let entry = RejectEntry { number: 0, job, name, relation, operator, at, rejected, origin };
            self.rejects.add_unless(|| self.is_over(), entry);
        }
    }

    pub(super) fn metrics(&self) -> JobMetrics {
        let sum = |counter: fn(&Counters) -> &AtomicU64| {
            self.counters.iter().map(|counters| counter(counters).load(Ordering::Relaxed)).sum()
        };
        let least = Progress::least(self.counters.iter().map(Counters::progress));
        let rejected: u64 = sum(|counters| &counters.late_rows)
            + sum(|counters| &counters.bad_rows)
            + sum(|counters| &counters.sink_errors);
        JobMetrics {
            rows_in: sum(|counters| &counters.rows_in),
            rows_out: sum(|counters| &counters.rows_out),
            late_rows: sum(|counters| &counters.late_rows),
            evicted_keys: sum(|counters| &counters.evicted_keys),
            bad_rows: sum(|counters| &counters.bad_rows),
            sink_errors: sum(|counters| &counters.sink_errors),
            forgotten_rows: rejected.saturating_sub(self.rejects.rows(self.id)),
            watermark: least.map_or(EventTime::MIN, |least| least.watermark),
        }
    }

    /// A source has one split more.
    pub(super) fn add_split(&self, split: &Arc<SplitProgress>) {
        self.splits.write().push(Arc::clone(split));
    }

    /// The least watermark of a group of splits. Those that have not begun, are idle or at their end do not count.
    pub(super) fn least_of_group(&self, group: &str) -> Option<EventTime> {
        let splits = self.splits.read();
        let counts = splits.iter().filter(|split| split.group.as_deref() == Some(group));
        let active = counts.filter(|split| !split.idle.load(Ordering::Relaxed));
        let watermarks = active.map(|split| split.watermark.load(Ordering::Relaxed));
        watermarks.filter(|watermark| !matches!(*watermark, i64::MIN | i64::MAX)).min().map(EventTime)
    }

    pub(super) fn split_statuses(&self) -> Vec<SplitStatus> {
        let status = |split: &Arc<SplitProgress>| SplitStatus {
            job: self.id,
            table: split.table.clone(),
            split: split.split.clone(),
            watermark: EventTime(split.watermark.load(Ordering::Relaxed)),
            idle: split.idle.load(Ordering::Relaxed),
            rows: split.rows.load(Ordering::Relaxed),
        };
        self.splits.read().iter().map(status).collect()
    }
}

/// How far a split has come.
#[derive(Debug)]
pub(super) struct SplitProgress {
    table: String,
    split: String,
    /// The group that it keeps together with in event time.
    group: Option<String>,
    pub(super) watermark: AtomicI64,
    pub(super) idle: AtomicBool,
    pub(super) rows: AtomicU64,
}

impl SplitProgress {
    /// Nothing is read yet of a split of a source.
    pub(super) fn new(source: &SourceSpec, split: &str) -> Self {
        let alignment = source.watermark.as_ref().and_then(|watermark| watermark.alignment.as_ref());
        Self {
            table: source.table.clone(),
            split: split.to_owned(),
            group: alignment.map(|alignment| alignment.group.clone()),
            watermark: AtomicI64::new(i64::MIN),
            idle: AtomicBool::new(false),
            rows: AtomicU64::new(0),
        }
    }
}
