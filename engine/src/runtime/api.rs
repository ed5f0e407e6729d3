//! What the rest of the system says to the runtime, and what it hears back.

use std::fmt;
use std::sync::Arc;

use super::MemoryGuard;
use super::durable::CheckpointConfig;
use crate::message::BATCH_ROWS;
use crate::plan::Dataflow;
use crate::rejects::{OnError, RejectLimits};
use crate::time::{Clock, EventTime, ProcessingTime, SystemClock};

/// How an engine is started.
#[derive(Clone)]
pub struct EngineConfig {
    /// Number of shards: threads that each run the whole dataflow of every job for their share of the keys.
    pub shards: usize,
    /// Milliseconds between two epochs while rows flow.
    pub epoch_interval_ms: u64,
    /// Rows that a source is asked for at a time.
    pub batch_rows: usize,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// How many rejected rows are kept.
    pub rejects: RejectLimits,
    /// Tells whether sources are to be held back.
    pub memory: Arc<MemoryGuard>,
    /// Where and when checkpoints are made. `None`: never.
    pub checkpoints: Option<CheckpointConfig>,
}

impl Default for EngineConfig {
    fn default() -> Self {
        let shards = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            shards,
            epoch_interval_ms: 100,
            batch_rows: BATCH_ROWS,
            clock: Arc::new(SystemClock),
            rejects: RejectLimits::default(),
            memory: Arc::new(MemoryGuard::unlimited()),
            checkpoints: None,
        }
    }
}

/// Identifies a job. Never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A dataflow to run.
#[derive(Debug, Clone)]
pub struct JobRequest {
    /// For people: the view's name, `insert into t`.
    pub name: String,
    /// What to run.
    pub dataflow: Arc<Dataflow>,
    /// How it is run.
    pub policy: JobPolicy,
}

/// How a job is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JobPolicy {
    /// What is done with rows that its operators cannot compute. Sources and sinks have policies of their own.
    pub on_error: OnError,
    /// Microseconds that one evaluation may take, between two turns of other jobs; one that takes longer fails the job. `None`:
    /// there is no limit.
    pub evaluation_limit_us: Option<i64>,
    /// Its input ends, and whoever waits for that may begin it again: what it writes becomes visible when it has ended, where its
    /// sinks can withhold it so long and no checkpoints are made of it.
    pub ends: bool,
}

/// Where a job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// It reads.
    Running,
    /// All its sources have ended and all its rows are out.
    Finished,
    /// It hit an error, told in [`JobStatus::error`]; its views keep what they last published.
    Failed,
    /// Somebody cancelled it.
    Canceled,
}

impl JobState {
    /// Whether nothing comes after.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Running => false,
            Self::Finished | Self::Failed | Self::Canceled => true,
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "RUNNING",
            Self::Finished => "FINISHED",
            Self::Failed => "FAILED",
            Self::Canceled => "CANCELED",
        })
    }
}

/// Why a job is stopped: for those that read its views.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// Somebody wants it to.
    Asked,
    /// It goes back to a checkpoint.
    Restart,
    /// Another job takes its place.
    Replaced,
}

impl StopReason {
    /// What has become of a view, for a job that reads it; and what its user can do.
    pub(super) fn of_reader(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Asked => ("is gone: its job was canceled", None),
            Self::Restart => (
                "went back to a checkpoint",
                Some("Start the statement again: it begins with the rows that are there."),
            ),
            Self::Replaced => {
                ("was replaced: it has another query now", Some("Start the statement again to read its new rows."))
            }
        }
    }
}

/// A job as seen from outside, at one moment.
#[derive(Debug, Clone)]
pub struct JobStatus {
    /// Which job.
    pub id: JobId,
    /// Its name.
    pub name: String,
    /// Where it is in its life.
    pub state: JobState,
    /// Why it failed.
    pub error: Option<String>,
    /// What the user can do about the failure.
    pub hint: Option<String>,
    /// It failed in a way that it would fail in again.
    pub hopeless: bool,
    /// Its sources are not read now: the process holds more memory than it may.
    pub held_back: bool,
    /// When it was submitted.
    pub started: ProcessingTime,
    /// Its counters.
    pub metrics: JobMetrics,
}

/// Counters of a job, summed over shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobMetrics {
    /// Rows read from connectors and views.
    pub rows_in: u64,
    /// Rows that reached sinks and views.
    pub rows_out: u64,
    /// Rows dropped because their windows were closed.
    pub late_rows: u64,
    /// Keys whose state was dropped because no row had touched them for their time to live.
    pub evicted_keys: u64,
    /// Rows that could not be parsed or computed: dropped, or kept with nulls.
    pub bad_rows: u64,
    /// Rows that the sinks refused.
    pub sink_errors: u64,
    /// Late, bad and refused rows that the log of rejected rows does not hold, or not any more.
    pub forgotten_rows: u64,
    /// The least watermark of its sources.
    pub watermark: EventTime,
}

/// How far one split of a source has come.
#[derive(Debug, Clone)]
pub struct SplitStatus {
    /// The job that reads it.
    pub job: JobId,
    /// The table.
    pub table: String,
    /// The split.
    pub split: String,
    /// Its watermark.
    pub watermark: EventTime,
    /// Whether it is left out of the minimum because nothing came for the idle timeout.
    pub idle: bool,
    /// Rows read from it.
    pub rows: u64,
}
