//! What a child process is told, and what it tells.

use serde::{Deserialize, Serialize};

/// What a child process does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Task {
    /// Statements that are carried out for what they leave behind.
    Prepare { script: String },
    /// Runs `INSERT`s and answers with a [`Measure`].
    Measure(Work),
    /// Computes a query and answers with [`Digest`]; columns at some places are left out.
    Digest { setup: String, select: String, mode: Mode, left_out: Vec<usize> },
    /// Follows a view and answers with [`super::latency::Latency`].
    Latency(super::latency::Follow),
    /// Fills a view in a data directory, answers with the [`Digest`] of its rows and ends without a word.
    Fill(super::recovery::Fill),
    /// Starts with what [`Self::Fill`] left and answers with [`super::recovery::Recovery`] and a [`Digest`].
    Recover(super::recovery::Recover),
}

/// What is measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Work {
    /// What the figures are of.
    pub(super) name: String,
    /// Statements that come before.
    pub(super) setup: String,
    /// `INSERT` statements, which run at the same time.
    pub(super) inserts: Vec<String>,
    /// Rows that the sources of all inserts give.
    pub(super) events: u64,
    /// So many of them are read before anything counts, so that state has grown.
    pub(super) warmup: u64,
}

/// Where queries are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
pub(super) enum Mode {
    /// As a dataflow
    Streaming,
    /// In DataFusion
    Batch,
}

impl Mode {
    /// The value of `execution.runtime-mode`.
    pub(super) fn setting(self) -> &'static str {
        match self {
            Self::Streaming => "streaming",
            Self::Batch => "batch",
        }
    }
}

/// What one piece of work took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Measure {
    pub(super) query: String,
    /// Events behind the warm-up.
    pub(super) events: u64,
    pub(super) warmup_events: u64,
    /// Seconds and CPU seconds behind the warm-up.
    pub(super) seconds: f64,
    pub(super) cpu_seconds: f64,
    pub(super) events_per_cpu_second: f64,
    /// The most the process ever held.
    pub(super) peak_memory_bytes: u64,
    /// Row changes that reached the sinks, over all events.
    pub(super) rows_out: u64,
}

/// The rows of a result without their order: how many, and the sum of their hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Digest {
    pub(super) rows: u64,
    pub(super) sum: u64,
}
