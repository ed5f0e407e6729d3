//! Joins: of inputs that are kept whole, within bounds of time, and against the versions of a table.

use std::sync::Arc;

use crate::expr::Scalar;
use crate::ports::Lookup;

/// A join of rows with equal keys and equal windows. Output: the left columns, then the right.
#[derive(Debug, Clone)]
pub struct WindowJoinSpec {
    /// Which rows come out.
    pub kind: JoinKind,
    /// Equal columns: left, right. Without the window's.
    pub keys: Vec<(usize, usize)>,
    /// Columns of the window's start: left, right.
    pub window_start: (usize, usize),
    /// Columns of the window's end: left, right.
    pub window_end: (usize, usize),
    /// A further condition over the left columns followed by the right.
    pub residual: Option<Scalar>,
}

/// Which rows a join gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    /// Pairs.
    Inner,
    /// Pairs, and left rows without a partner.
    Left,
    /// Pairs, and right rows without a partner.
    Right,
    /// Pairs, and rows of either side without a partner.
    Full,
    /// Left rows with a partner; the output is the left columns.
    Semi,
    /// Left rows without a partner; the output is the left columns.
    Anti,
    /// Left rows with a boolean that tells whether they have a partner.
    Mark,
}

/// Equal columns of two inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinKey {
    /// Column of the left input.
    pub left: usize,
    /// Column of the right input.
    pub right: usize,
    /// Nulls equal nulls.
    pub null_equal: bool,
}

/// A join of two inputs that are kept whole. Rows with equal keys must be on one shard; all, where there are no keys.
///
/// Output: the left columns, then the right ones; of `Semi` and `Anti` the left ones; of `Mark` the left ones and a
/// boolean that tells whether there is a partner. A partner is a row of the other side for which keys and residual hold.
#[derive(Debug, Clone)]
pub struct JoinSpec {
    /// Which rows come out.
    pub kind: JoinKind,
    /// Equal columns. None: every pair is a candidate.
    pub keys: Vec<JoinKey>,
    /// A further condition over the left columns followed by the right.
    pub residual: Option<Scalar>,
    /// Whether the left and the right input retract rows.
    pub retracts: (bool, bool),
    /// Of `Anti`: SQL's `NOT IN`. A null key on the right keeps every left row back, a null key on the left its row,
    /// unless the right side is empty. All rows are on one shard.
    pub null_aware: bool,
    /// Rows of the left and the right side that were not touched for so many microseconds of processing time are
    /// forgotten. `None`: never.
    pub ttl_us: (Option<i64>, Option<i64>),
}

/// The inner join of two or more append-only inputs that are kept whole, all on the same key. No input retracts a row and no
/// null equals another. Rows with equal keys must be on one shard.
///
/// Output: `columns`, of each row of the product of the rows of a key.
#[derive(Debug, Clone)]
pub struct MultiJoinSpec {
    /// The key columns of each input; as many of each, of the same types.
    pub keys: Vec<Vec<usize>>,
    /// The input of each output column, and the column there.
    pub columns: Vec<(usize, usize)>,
}

/// A join of append-only inputs within bounds of event time:
/// `right_time + lower <= left_time <= right_time + upper`. Columns as [`JoinSpec`].
#[derive(Debug, Clone)]
pub struct IntervalJoinSpec {
    /// Which rows come out.
    pub kind: JoinKind,
    /// Equal columns.
    pub keys: Vec<JoinKey>,
    /// Event-time column of the left input.
    pub left_time: usize,
    /// Event-time column of the right input.
    pub right_time: usize,
    /// Least difference of the left time from the right, in microseconds.
    pub lower_us: i64,
    /// Greatest difference.
    pub upper_us: i64,
    /// A further condition over the left columns followed by the right.
    pub residual: Option<Scalar>,
}

/// A join of append-only rows with the version of a table that is valid at their time. Output: left columns, right columns.
#[derive(Debug, Clone)]
pub struct TemporalJoinSpec {
    /// `Inner` or `Left`.
    pub kind: JoinKind,
    /// Equal columns.
    pub keys: Vec<JoinKey>,
    /// Event-time column of the left input.
    pub left_time: usize,
    /// The column of the right input from whose time on a version is valid.
    pub right_time: usize,
    /// Which version is meant.
    pub asof: AsofMatch,
    /// A further condition over the left columns followed by the right; it chooses no other version.
    pub residual: Option<Scalar>,
}

/// A join of append-only rows with what the other input holds when they arrive. Output: left columns, right columns.
#[derive(Debug, Clone)]
pub struct CurrentJoinSpec {
    /// `Inner` or `Left`.
    pub kind: JoinKind,
    /// Equal columns.
    pub keys: Vec<JoinKey>,
    /// A further condition over the left columns followed by the right.
    pub residual: Option<Scalar>,
    /// Whether the right input retracts rows.
    pub right_retracts: bool,
    /// The right input ends, and is read to its end before left rows are joined.
    pub right_ends: bool,
}

/// A join of append-only rows with the rows of a table outside that is asked for their keys. Output: left columns, the
/// columns of the answers.
#[derive(Debug, Clone)]
pub struct LookupJoinSpec {
    /// `Inner` or `Left`.
    pub kind: JoinKind,
    /// Name of the table, for people.
    pub table: String,
    /// The opened table.
    pub lookup: Arc<dyn Lookup>,
    /// Equal columns, of the input and of the answers, in the order of the keys that the table was opened with.
    pub keys: Vec<JoinKey>,
    /// A further condition over the left columns followed by those of the answers.
    pub residual: Option<Scalar>,
}

/// Which row of the right input a row is joined with: the one with the nearest time of those that are so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AsofMatch {
    /// `right_time <= left_time`: `FOR SYSTEM_TIME AS OF`.
    AtOrBefore,
    /// `right_time < left_time`.
    Before,
    /// `right_time >= left_time`. The right input inserts only.
    AtOrAfter,
    /// `right_time > left_time`. The right input inserts only.
    After,
}
