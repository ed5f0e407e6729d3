//! The description of a dataflow: what the SQL front end lowers to and the runtime instantiates on every shard.
//!
//! A [`Dataflow`] is a list of [`Node`]s in topological order. Each node names its operator by an
//! [`OperatorSpec`], its inputs with the [`Partitioning`] of the edge, and the [`Edge`] properties of its output.
//! Operators see columns by index; every expression stands in a [`Step`] of a stateless node or of a source.

mod aggregate;
mod join;
mod over;
mod rank;
mod window;

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

pub use self::aggregate::{AggregateCall, AggregateFunction, PairStatistic, Percentile};
pub use self::join::{
    AsofMatch, CurrentJoinSpec, IntervalJoinSpec, JoinKey, JoinKind, JoinSpec, LookupJoinSpec, MultiJoinSpec,
    TemporalJoinSpec, WindowJoinSpec,
};
pub use self::over::{Frame, FrameBound, FrameUnits, OverCall, OverEmit, OverFunction, OverSpec};
pub use self::rank::{RankEmit, RankFunction, RankSpec};
pub use self::window::{
    EarlyEmit, SessionAggregateSpec, SessionAssignSpec, Window, WindowAggregateSpec, WindowEmit, WindowInput,
    WindowTime,
};
use crate::expr::Scalar;
use crate::ports::{Sink, Source};

/// Identifies a view or internal table. Given by the catalog, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelationId(pub u64);

/// Position of a node in its dataflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// A job's operators and the edges between them. Nodes come after their inputs; a node may feed several.
#[derive(Debug, Clone, Default)]
pub struct Dataflow {
    /// The nodes; `nodes[i].id.0 == i`.
    pub nodes: Vec<Node>,
}

/// One operator of a dataflow.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its position.
    pub id: NodeId,
    /// What it does.
    pub spec: OperatorSpec,
    /// Its input ports in order. Sources have none.
    pub inputs: Vec<Input>,
    /// What comes out.
    pub edge: Edge,
}

/// An input port of a node.
#[derive(Debug, Clone)]
pub struct Input {
    /// The node that feeds it.
    pub from: NodeId,
    /// How rows find their shard.
    pub partitioning: Partitioning,
}

/// How the rows of an edge find their shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Partitioning {
    /// They stay on the shard that made them.
    Forward,
    /// By the key group of these columns. No columns: as [`Self::Single`].
    Hash(Vec<usize>),
    /// All to shard 0.
    Single,
}

/// What is known of the rows on an edge.
#[derive(Debug, Clone)]
pub struct Edge {
    /// Their columns.
    pub schema: SchemaRef,
    /// Which changes occur.
    pub changelog: ChangelogMode,
    /// Columns that identify a row. `None`: the whole row, with multiplicity.
    pub stream_key: Option<Vec<usize>>,
    /// The column that watermarks speak of.
    pub time_column: Option<usize>,
}

/// Which changes occur on an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangelogMode {
    /// Insertions only.
    Append,
    /// Insertions and retractions.
    Retract,
    /// An insertion replaces the row of its stream key, if one is there; a retraction takes it away. Only before a sink
    /// that replaces rows itself.
    Upsert,
}

impl fmt::Display for ChangelogMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Append => "append",
            Self::Retract => "retract",
            Self::Upsert => "upsert",
        })
    }
}

/// What a node does.
#[derive(Debug, Clone)]
pub enum OperatorSpec {
    /// Reads a connector.
    Source(SourceSpec),
    /// Reads a view or an internal table: its snapshot, then its deltas.
    ViewSource(ViewSourceSpec),
    /// Fused filters and projections, row by row.
    Stateless(StatelessSpec),
    /// All rows of all inputs.
    Union,
    /// Aggregates per key and window; emits a window once, when the watermark closes it, or as its spec says.
    WindowAggregate(WindowAggregateSpec),
    /// Aggregates per key and session.
    SessionAggregate(SessionAggregateSpec),
    /// Rows with the columns of the session they belong to, when it is closed.
    SessionAssign(SessionAssignSpec),
    /// Aggregates per key without a window; emits the net change of each key at the barrier.
    GroupAggregate(GroupAggregateSpec),
    /// Joins inputs that are kept whole.
    Join(JoinSpec),
    /// Joins several inputs that are kept whole, on one key.
    MultiJoin(MultiJoinSpec),
    /// Joins rows whose event times are within bounds of one another.
    IntervalJoin(IntervalJoinSpec),
    /// Joins rows with the version of a table that is valid at their time.
    TemporalJoin(TemporalJoinSpec),
    /// Joins rows with what a table holds when they arrive.
    CurrentJoin(CurrentJoinSpec),
    /// Joins rows with those of a table outside.
    LookupJoin(LookupJoinSpec),
    /// Joins rows of equal windows, when the watermark closes the window.
    WindowJoin(WindowJoinSpec),
    /// The first rows of each partition: Top-N, deduplication, `ORDER BY … LIMIT`.
    Rank(RankSpec),
    /// Rows with the results of window functions (`OVER`).
    Over(OverSpec),
    /// Keeps the rows as a readable view.
    Materialize(MaterializeSpec),
    /// Writes to a connector.
    Sink(SinkSpec),
}

impl OperatorSpec {
    /// Its name, for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Source(_) => "Source",
            Self::ViewSource(_) => "Read",
            Self::Stateless(_) => "Stateless",
            Self::Union => "Union",
            Self::WindowAggregate(_) => "WindowAggregate",
            Self::SessionAggregate(_) => "SessionAggregate",
            Self::SessionAssign(_) => "SessionAssign",
            Self::GroupAggregate(_) => "GroupAggregate",
            Self::Join(_) => "Join",
            Self::MultiJoin(_) => "MultiJoin",
            Self::IntervalJoin(_) => "IntervalJoin",
            Self::TemporalJoin(_) => "TemporalJoin",
            Self::CurrentJoin(_) => "CurrentJoin",
            Self::LookupJoin(_) => "LookupJoin",
            Self::WindowJoin(_) => "WindowJoin",
            Self::Rank(_) => "Rank",
            Self::Over(_) => "Over",
            Self::Materialize(_) => "Materialize",
            Self::Sink(_) => "Sink",
        }
    }

    /// The name of the table or view that it reads or writes.
    pub fn relation(&self) -> Option<&str> {
        match self {
            Self::Source(spec) => Some(&spec.table),
            Self::ViewSource(spec) => Some(&spec.name),
            Self::LookupJoin(spec) => Some(&spec.table),
            Self::Materialize(spec) => Some(&spec.name),
            Self::Sink(spec) => Some(&spec.table),
            Self::Stateless(_)
            | Self::Union
            | Self::WindowAggregate(_)
            | Self::SessionAggregate(_)
            | Self::SessionAssign(_)
            | Self::GroupAggregate(_)
            | Self::Join(_)
            | Self::MultiJoin(_)
            | Self::IntervalJoin(_)
            | Self::TemporalJoin(_)
            | Self::CurrentJoin(_)
            | Self::WindowJoin(_)
            | Self::Rank(_)
            | Self::Over(_) => None,
        }
    }
}

/// Reads a connector.
#[derive(Debug, Clone)]
pub struct SourceSpec {
    /// Name of the table, for people.
    pub table: String,
    /// The opened table.
    pub source: Arc<dyn Source>,
    /// Computed columns and pushed-down filters, run on each batch of a split.
    pub steps: Vec<Step>,
    /// How event time advances, over the output of `steps`.
    pub watermark: Option<WatermarkSpec>,
}

/// How the event time of a source advances.
#[derive(Debug, Clone)]
pub struct WatermarkSpec {
    /// The event-time column.
    pub time_column: usize,
    /// The watermark that a row stands for: a timestamp, or null.
    pub expr: Scalar,
    /// After so many microseconds without a row a split no longer holds the watermark back. `None`: never.
    pub idle_timeout_us: Option<i64>,
    /// Splits that are far ahead wait for those behind. `None`: they do not.
    pub alignment: Option<Alignment>,
}

/// Which splits of a job keep together in event time, while nobody waits for all that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alignment {
    /// Sources of one group keep together.
    pub group: String,
    /// How far ahead of the least watermark of the group a split may be, in microseconds.
    pub max_drift_us: i64,
    /// How often that is looked at, in microseconds of processing time.
    pub interval_us: i64,
}

/// Reads a view or an internal table.
#[derive(Debug, Clone)]
pub struct ViewSourceSpec {
    /// The view.
    pub relation: RelationId,
    /// Its name, for people.
    pub name: String,
    /// How event time advances, where this is a table with a watermark of its own. `None`: the watermarks of the
    /// view's own input are passed on.
    pub watermark: Option<WatermarkSpec>,
}

/// Filters and projections in the order they are applied.
#[derive(Debug, Clone)]
pub struct StatelessSpec {
    /// The steps.
    pub steps: Vec<Step>,
}

/// One stateless step.
#[derive(Debug, Clone)]
pub enum Step {
    /// Keeps the rows for which the condition is true.
    Filter(Scalar),
    /// Computes each output column.
    Project {
        /// One expression a column.
        exprs: Vec<Scalar>,
        /// The output columns.
        schema: SchemaRef,
    },
    /// Appends `window_start`, `window_end`, `window_time`; one output row for each window of a row.
    AssignWindows {
        /// The windows. Not a session.
        window: Window,
        /// Where the time of a row comes from.
        time: WindowTime,
        /// The input columns and the three appended ones.
        schema: SchemaRef,
    },
    /// Repeats each row for each grouping set and appends the number of the set.
    Expand {
        /// The sets, in the order of the rows that come of one row.
        sets: Vec<GroupingSet>,
        /// The input columns, nullable where a set leaves them out, and a column of an integer type.
        schema: SchemaRef,
    },
    /// Repeats each row for each element of a list and appends the fields of the element. Without elements: no row.
    Unnest {
        /// A list of ROWs, none of which is null. A list that is null has no elements.
        list: Scalar,
        /// The input columns and the fields.
        schema: SchemaRef,
    },
}

/// A grouping set of `GROUPING SETS`, `ROLLUP` or `CUBE`.
///
/// A grouping column that is an argument of an aggregate too has to be in the row twice, for only one of them to be null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupingSet {
    /// The columns that are null in the set's rows: the grouping columns that it leaves out.
    pub left_out: Vec<usize>,
    /// What the appended column has: tells the sets apart, even of equal columns.
    pub id: i64,
}

/// An aggregation without a window. Output: the keys, then the calls. Without keys there is always one row.
#[derive(Debug, Clone)]
pub struct GroupAggregateSpec {
    /// Grouping columns.
    pub keys: Vec<usize>,
    /// The aggregates. Empty for `DISTINCT`.
    pub calls: Vec<AggregateCall>,
    /// The input retracts rows. A key whose last row is retracted is gone.
    pub retracts: bool,
    /// A key that no row touches for so many microseconds of processing time is forgotten: its row stays as it was
    /// emitted last, and it starts anew with its next row. `None`: never.
    pub ttl_us: Option<i64>,
    /// A new result of a key is not preceded by the retraction of the old one: see [`ChangelogMode::Upsert`].
    pub upserts: bool,
}

/// A column that rows are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortKey {
    /// The column.
    pub column: usize,
    /// Greatest first.
    pub descending: bool,
    /// Nulls before all values, else after them.
    pub nulls_first: bool,
}

/// Keeps rows as a readable view.
#[derive(Debug, Clone)]
pub struct MaterializeSpec {
    /// The view.
    pub relation: RelationId,
    /// Its name, for people.
    pub name: String,
    /// A row replaces the one of its stream key that is there: what made that one has forgotten it since.
    pub replaces: bool,
}

/// Writes to a connector.
#[derive(Debug, Clone)]
pub struct SinkSpec {
    /// Name of the table, for people.
    pub table: String,
    /// The opened table.
    pub sink: Arc<dyn Sink>,
}
