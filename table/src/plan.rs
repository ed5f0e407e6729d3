//! The verbs of a table, as they were called.

use std::sync::Arc;

use crate::expression::Expression;
use crate::window::{GroupWindow, OverWindow};

/// What a table is.
#[derive(Debug)]
pub(crate) enum Plan {
    /// A table or view of the catalog: the parts of its name.
    Relation(Vec<String>),
    /// A query in SQL.
    Sql(String),
    /// Rows of expressions.
    Values(Vec<Vec<Expression>>),
    /// `SELECT items`
    Select { input: Arc<Self>, items: Vec<Expression> },
    /// `SELECT items GROUP BY keys`
    Aggregate { input: Arc<Self>, window: Option<GroupWindow>, keys: Vec<Expression>, items: Vec<Expression> },
    /// `SELECT items` over windows around each row.
    Over { input: Arc<Self>, windows: Vec<OverWindow>, items: Vec<Expression> },
    /// `WHERE condition`
    Filter { input: Arc<Self>, condition: Expression },
    /// `SELECT DISTINCT *`
    Distinct(Arc<Self>),
    /// A join.
    Join { left: Arc<Self>, right: Arc<Self>, kind: JoinKind, on: Option<Expression> },
    /// A set operation.
    Combine { left: Arc<Self>, right: Arc<Self>, operator: &'static str },
    /// `ORDER BY keys`
    Order { input: Arc<Self>, keys: Vec<Expression> },
    /// `OFFSET`, `LIMIT`
    Slice { input: Arc<Self>, offset: Option<u64>, fetch: Option<u64> },
    /// All columns under these names.
    Named { input: Arc<Self>, names: Vec<String> },
    /// All columns, some of them changed.
    Columns { input: Arc<Self>, change: ColumnChange },
}

/// What a join does with rows that find no partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JoinKind {
    Inner,
    Left,
    Right,
    Full,
    Cross,
    /// Rows of the left that have a partner.
    Semi,
    /// Rows of the left that have none.
    Anti,
}

/// How columns change.
#[derive(Debug)]
pub(crate) enum ColumnChange {
    /// More of them, behind.
    Add(Vec<Expression>),
    /// More of them, in the place of those of the same name.
    AddOrReplace(Vec<Expression>),
    /// Other names: `col("old").alias("new")`.
    Rename(Vec<Expression>),
    /// Fewer of them.
    Drop(Vec<Expression>),
}

impl ColumnChange {
    /// Whether it depends on which columns there are.
    pub(crate) fn needs_columns(&self) -> bool {
        match self {
            Self::Add(_) => false,
            Self::AddOrReplace(_) | Self::Rename(_) | Self::Drop(_) => true,
        }
    }
}

impl Plan {
    /// The tables that it is made of.
    pub(crate) fn inputs(&self) -> Vec<&Arc<Self>> {
        match self {
            Self::Relation(_) | Self::Sql(_) | Self::Values(_) => Vec::new(),
            Self::Select { input, .. }
            | Self::Aggregate { input, .. }
            | Self::Over { input, .. }
            | Self::Filter { input, .. }
            | Self::Distinct(input)
            | Self::Order { input, .. }
            | Self::Slice { input, .. }
            | Self::Named { input, .. }
            | Self::Columns { input, .. } => vec![input],
            Self::Join { left, right, .. } | Self::Combine { left, right, .. } => vec![left, right],
        }
    }
}
