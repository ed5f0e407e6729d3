//! The description of window functions (`OVER`).

use arrow::datatypes::FieldRef;

use super::{AggregateFunction, SortKey};

/// Window functions over the rows of each partition. Output: the input columns, then the calls.
#[derive(Debug, Clone)]
pub struct OverSpec {
    /// `PARTITION BY` columns.
    pub partition: Vec<usize>,
    /// `ORDER BY`, the same for all calls. Further ties are broken by the remaining columns.
    pub order: Vec<SortKey>,
    /// What is computed.
    pub calls: Vec<OverCall>,
    /// When rows come out.
    pub emit: OverEmit,
    /// Whether the input retracts rows: with [`OverEmit::NetChange`] only.
    pub retracts: bool,
}

/// When the rows of window functions come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverEmit {
    /// The input only inserts, and the order is this event-time column, ascending: rows come out, append-only, in order
    /// of time, when the watermark has passed them. No call looks at rows after the current one and its peers. Kept are
    /// the rows that frames still reach, and accumulators of frames from `UNBOUNDED PRECEDING` to the current row; of
    /// other frames without a start all rows are kept.
    OnWatermark {
        /// The event-time column.
        column: usize,
    },
    /// At the barrier: the net change of each partition that was touched.
    NetChange,
    /// The input only inserts, and the order is arrival: rows come out at once. `RANGE` offsets are of processing time.
    /// Calls as with [`Self::OnWatermark`].
    OnArrival,
}

/// One window function.
#[derive(Debug, Clone)]
pub struct OverCall {
    /// What is computed.
    pub function: OverFunction,
    /// Columns of the arguments: none for `COUNT(*)` and the ranks, else the value.
    pub args: Vec<usize>,
    /// Each value counts once. Aggregates only.
    pub distinct: bool,
    /// The rows that are seen. The ranks, `LAG` and `LEAD` see the whole partition.
    pub frame: Frame,
    /// Boolean column: only rows with true are seen. Aggregates and values of the frame only.
    pub filter: Option<usize>,
    /// `LAG`, `LEAD` and the values of the frame skip rows whose argument is null.
    pub ignore_nulls: bool,
    /// Name and type of the result.
    pub output: FieldRef,
}

/// The window functions of the engine.
#[derive(Debug, Clone, PartialEq)]
pub enum OverFunction {
    /// An aggregate of the frame. `FirstValue` and `LastValue` ignore nulls.
    Aggregate(AggregateFunction),
    /// `ROW_NUMBER`
    RowNumber,
    /// `RANK`
    Rank,
    /// `DENSE_RANK`
    DenseRank,
    /// `PERCENT_RANK`
    PercentRank,
    /// `CUME_DIST`
    CumeDist,
    /// `NTILE`, with the number of buckets.
    Ntile(u64),
    /// The argument so many rows before.
    Lag {
        /// Rows; below 0 after.
        offset: i64,
        /// Column of the value where there is no such row. `None`: null.
        default: Option<usize>,
    },
    /// The argument so many rows after.
    Lead {
        /// Rows; below 0 before.
        offset: i64,
        /// As with `Lag`.
        default: Option<usize>,
    },
    /// The argument of the frame's first row.
    FirstValue,
    /// The argument of the frame's last row.
    LastValue,
    /// The argument of the frame's n-th row, from 1.
    NthValue(u64),
}

/// The rows that a window function sees, from a bound to a bound, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Frame {
    /// What offsets count.
    pub units: FrameUnits,
    /// The first row.
    pub start: FrameBound,
    /// The last row.
    pub end: FrameBound,
}

/// What the offsets of a frame count. With `Range` and `Groups` the current row stands for all its peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameUnits {
    /// Rows.
    Rows,
    /// Distance of the only order key: microseconds for dates and timestamps, else the number itself.
    Range,
    /// Groups of peers.
    Groups,
}

/// An end of a frame. Offsets are not below 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameBound {
    /// The first row of the partition.
    UnboundedPreceding,
    /// So many before.
    Preceding(i64),
    /// The row, or its peers.
    CurrentRow,
    /// So many after.
    Following(i64),
    /// The last row of the partition.
    UnboundedFollowing,
}
