//! [`Rel`]: rows in the making, and what is known of them.

use std::collections::BTreeSet;

use arrow::datatypes::SchemaRef;
use millstream_engine::plan::{ChangelogMode, NodeId, Step, WindowEmit};

/// The rows of a node with steps on top of it.
#[derive(Debug, Clone)]
pub(super) struct Rel {
    /// What gives the rows.
    pub(super) node: NodeId,
    /// What is still to be done with them.
    pub(super) steps: Vec<Step>,
    /// The columns after the steps.
    pub(super) schema: SchemaRef,
    pub(super) changelog: ChangelogMode,
    /// Columns that identify a row; `None`: the whole row.
    pub(super) stream_key: Option<Vec<usize>>,
    /// The event-time column.
    pub(super) time_column: Option<usize>,
    /// Columns that are `PROCTIME()`.
    pub(super) proctime: BTreeSet<usize>,
    /// Columns of the window that the rows are of.
    pub(super) window: WindowColumns,
    /// When the results of those windows come out.
    pub(super) emit: WindowEmit,
    /// How long state over the rows is kept, where a hint says it.
    pub(super) ttl_us: Option<i64>,
    pub(super) spread: Spread,
}

/// Which columns hold the start and the end of a row's window. All of one kind are equal.
#[derive(Debug, Clone, Default)]
pub(super) struct WindowColumns {
    pub(super) start: BTreeSet<usize>,
    pub(super) end: BTreeSet<usize>,
    pub(super) time: BTreeSet<usize>,
}

/// Which rows are on one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Spread {
    /// Any.
    Any,
    /// All are on shard 0.
    Single,
    /// As after an exchange by these columns, in this order.
    Hash(Vec<usize>),
}

impl Rel {
    /// New rows of which nothing is known but their columns.
    pub(super) fn new(node: NodeId, schema: SchemaRef) -> Self {
        Self {
            node,
            steps: Vec::new(),
            schema,
            changelog: ChangelogMode::Append,
            stream_key: None,
            time_column: None,
            proctime: BTreeSet::new(),
            window: WindowColumns::default(),
            emit: WindowEmit::default(),
            ttl_us: None,
            spread: Spread::Any,
        }
    }

    /// What is known when each output column `i` is the input column `from[i]`, or something new where there is none.
    pub(super) fn mapped(mut self, from: &[Option<usize>], schema: SchemaRef) -> Self {
        let places =
            |column: usize| from.iter().enumerate().filter(move |(_, of)| **of == Some(column)).map(|(to, _)| to);
        let first = |column: &usize| places(*column).next();
        let all = |columns: &BTreeSet<usize>| columns.iter().flat_map(|column| places(*column)).collect();
        let whole = |columns: &[usize]| columns.iter().map(first).collect::<Option<Vec<_>>>();
        self.stream_key = self.stream_key.as_deref().and_then(whole);
        self.time_column = self.time_column.as_ref().and_then(first);
        self.proctime = all(&self.proctime);
        self.window =
            WindowColumns { start: all(&self.window.start), end: all(&self.window.end), time: all(&self.window.time) };
        self.spread = match self.spread {
            Spread::Hash(columns) => whole(&columns).map_or(Spread::Any, Spread::Hash),
            other => other,
        };
        self.schema = schema;
        self
    }
}
