//! Windows: which there are, how rows find theirs, what is computed over them, and when results come out.

use super::AggregateCall;

/// Where the time that places a row in a window comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowTime {
    /// Event time: this column, a timestamp. Null is an error of the row.
    Event(usize),
    /// Processing time: the clock, when the row arrives at the operator.
    Processing,
}

/// A window function. All spans in microseconds; `offset` shifts the boundaries, which else are multiples of the
/// slide since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// Windows `[n·size + offset, (n+1)·size + offset)`.
    Tumble {
        /// Length.
        size_us: i64,
        /// Shift.
        offset_us: i64,
    },
    /// Windows of length `size` that start every `slide`.
    Hop {
        /// Distance of starts.
        slide_us: i64,
        /// Length.
        size_us: i64,
        /// Shift.
        offset_us: i64,
    },
    /// Windows that start every `size` and end every `step` up to `size`.
    Cumulate {
        /// Distance of ends. Divides `size`.
        step_us: i64,
        /// Greatest length.
        size_us: i64,
        /// Shift.
        offset_us: i64,
    },
    /// Rows of one key with no gap above `gap` between them. Ends `gap` after the last row.
    Session {
        /// The gap that closes the session.
        gap_us: i64,
    },
}

/// Where the windows of an aggregation come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowInput {
    /// The operator places each row.
    Assign {
        /// The windows. Not a session.
        window: Window,
        /// Where the time of a row comes from.
        time: WindowTime,
    },
    /// The rows carry their window already, in these timestamp columns.
    Attached {
        /// Column of the window's start.
        start: usize,
        /// Column of the window's end.
        end: usize,
    },
}

/// An aggregation per key and aligned window.
///
/// Output: the keys, the calls, then `window_start`, `window_end`, `window_time` (`TIMESTAMP(3)`).
#[derive(Debug, Clone)]
pub struct WindowAggregateSpec {
    /// Where windows come from.
    pub window: WindowInput,
    /// Grouping columns, without the window's.
    pub keys: Vec<usize>,
    /// The aggregates.
    pub calls: Vec<AggregateCall>,
    /// The input retracts rows. Those of an open window may change.
    pub retracts: bool,
    /// When results come out.
    pub emit: WindowEmit,
}

/// An aggregation per key and session. Output as [`WindowAggregateSpec`].
#[derive(Debug, Clone)]
pub struct SessionAggregateSpec {
    /// The gap that closes a session, in microseconds.
    pub gap_us: i64,
    /// Where the time of a row comes from.
    pub time: WindowTime,
    /// Grouping columns.
    pub keys: Vec<usize>,
    /// The aggregates.
    pub calls: Vec<AggregateCall>,
}

/// Rows with their session. Output: the input columns, then `window_start`, `window_end`, `window_time`.
///
/// Rows come out when their session closes, and once; where `emit` says otherwise they come out with the session that they
/// belong to so far, and again with another one when it has grown.
#[derive(Debug, Clone)]
pub struct SessionAssignSpec {
    /// The gap that closes a session, in microseconds.
    pub gap_us: i64,
    /// Where the time of a row comes from.
    pub time: WindowTime,
    /// `PARTITION BY` columns.
    pub keys: Vec<usize>,
    /// The input retracts rows: a session may shrink, or fall into two.
    pub retracts: bool,
    /// When rows come out. [`EarlyEmit::Every`] is [`EarlyEmit::EachEpoch`] here: the aggregation behind it waits.
    pub emit: WindowEmit,
}

/// When the results of windows come out, besides at their close. By default only then, and late rows are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WindowEmit {
    /// Results before the close.
    pub early: EarlyEmit,
    /// So many microseconds of event time after its close a window still takes rows; its result is replaced then.
    pub lateness_us: i64,
    /// The watermark that an aggregation passes on is behind by the lateness, so that what is replaced is not late for who
    /// reads it. Not so where the next operator takes late rows itself.
    pub holds_watermark: bool,
}

/// Whether the results of windows come out before their close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EarlyEmit {
    /// They do not.
    #[default]
    Never,
    /// What has changed comes out with each epoch.
    EachEpoch,
    /// What has changed comes out every so many microseconds of processing time.
    Every(i64),
}

impl WindowEmit {
    /// Whether results are replaced by later ones.
    pub fn updates(self) -> bool {
        self.early != EarlyEmit::Never || self.lateness_us > 0
    }
}
