//! What shards count and everybody may read: counters of a job, progress of a split.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use super::{JobId, JobMetrics, SplitStatus};
use crate::time::EventTime;

/// Counters of one job. Written by its shards, read by anybody.
#[derive(Debug, Default)]
pub(super) struct JobCounters {
    pub(super) rows_in: AtomicU64,
    pub(super) rows_out: AtomicU64,
    pub(super) late_rows: AtomicU64,
    pub(super) bad_rows: AtomicU64,
    /// Something happened since the last epoch was asked for.
    pub(super) dirty: AtomicBool,
    /// One watermark a shard, of what its sources have emitted.
    pub(super) watermarks: Vec<AtomicI64>,
    /// The splits of all sources and shards.
    pub(super) splits: Vec<SplitProgress>,
}

/// How far a split has come.
#[derive(Debug)]
pub(super) struct SplitProgress {
    pub(super) table: String,
    pub(super) split: String,
    pub(super) watermark: AtomicI64,
    pub(super) idle: AtomicBool,
    pub(super) rows: AtomicU64,
}

impl JobCounters {
    pub(super) fn new(shards: usize, splits: Vec<SplitProgress>) -> Self {
        let watermarks = (0..shards).map(|_| AtomicI64::new(i64::MIN)).collect();
        Self { watermarks, splits, ..Self::default() }
    }

    pub(super) fn metrics(&self) -> JobMetrics {
        let watermark = self.watermarks.iter().map(|at| at.load(Ordering::Relaxed)).min();
        JobMetrics {
            rows_in: self.rows_in.load(Ordering::Relaxed),
            rows_out: self.rows_out.load(Ordering::Relaxed),
            late_rows: self.late_rows.load(Ordering::Relaxed),
            bad_rows: self.bad_rows.load(Ordering::Relaxed),
            watermark: EventTime(watermark.unwrap_or(i64::MIN)),
        }
    }

    pub(super) fn splits(&self, job: JobId) -> impl Iterator<Item = SplitStatus> {
        self.splits.iter().map(move |split| SplitStatus {
            job,
            table: split.table.clone(),
            split: split.split.clone(),
            watermark: EventTime(split.watermark.load(Ordering::Relaxed)),
            idle: split.idle.load(Ordering::Relaxed),
            rows: split.rows.load(Ordering::Relaxed),
        })
    }
}

impl SplitProgress {
    pub(super) fn new(table: &str, split: &str) -> Self {
        Self {
            table: table.to_owned(),
            split: split.to_owned(),
            watermark: AtomicI64::new(i64::MIN),
            idle: AtomicBool::new(false),
            rows: AtomicU64::new(0),
        }
    }
}
