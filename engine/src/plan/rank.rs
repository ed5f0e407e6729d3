//! Ranks: the first rows of each partition in an order.

use arrow::datatypes::FieldRef;

use super::SortKey;

/// How the rows of a partition are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RankFunction {
    /// 1, 2, 3, …: rows of equal order keys are told apart by their remaining columns.
    RowNumber,
    /// One more than the number of rows before, equal for rows of equal order keys.
    Rank,
    /// One more than the number of different order keys before.
    DenseRank,
}

/// When a rank emits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RankEmit {
    /// At the barrier: the net change of the kept rows of each partition.
    NetChange,
    /// Append-only: the first row of a partition in event time, once, when the watermark has passed its time. The spec
    /// says `RowNumber`, `from` and `to` 1, ascending order of this column, no retractions.
    OnWatermark {
        /// The event-time column.
        time_column: usize,
    },
    /// Append-only: the first row of a partition that arrives, at once. The spec says `RowNumber`, `from` and `to` 1, no
    /// retractions; its order is not looked at.
    FirstArrival,
    /// At the barrier, the net change: the last row of a partition that arrived. The spec is as for [`Self::FirstArrival`].
    LastArrival,
}

/// The rows of each partition whose rank is in `from ..= to`.
///
/// Output: the input columns; with `rank_column` then the rank. Without it, or with `RANK` and `DENSE_RANK`, all
/// retractions of a partition come before its insertions; with the column of a row number the old row of a number comes
/// right before the new one, so that the partition and the number are a stream key.
#[derive(Debug, Clone)]
pub struct RankSpec {
    /// How rows are numbered.
    pub function: RankFunction,
    /// `PARTITION BY` columns. None: one partition; all rows must be on one shard.
    pub partition: Vec<usize>,
    /// `ORDER BY`. Further ties are broken by the remaining columns, so that the result does not depend on arrival.
    pub order: Vec<SortKey>,
    /// The first rank that is kept, from 1.
    pub from: u64,
    /// The last rank that is kept, inclusive. `u64::MAX`: all.
    pub to: u64,
    /// Name and type (`Int64` or `UInt64`) of the rank in the output.
    pub rank_column: Option<FieldRef>,
    /// Whether the input retracts rows: then all rows are kept, not only the first `to`.
    pub retracts: bool,
    /// A partition without a change for so many microseconds of processing time is forgotten; what it emitted stays.
    pub ttl_us: Option<i64>,
    /// When rows come out.
    pub emit: RankEmit,
    /// The window's end, which is among the partition columns: the final rows of a window come out, append-only, when
    /// the watermark closes it. `emit` then says nothing.
    pub window_end: Option<usize>,
}
