//! [`Table`]: a query that is built verb by verb.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::environment::TableEnvironment;
use crate::expression::{Expression, ToExpression};
use crate::grouped::{GroupedTable, TableWindow};
use crate::pipeline::TablePipeline;
use crate::plan::{ColumnChange, JoinKind, Plan};
use crate::result::TableResult;
use crate::{Result, SqlError};

/// A query over tables of one [`TableEnvironment`]. Verbs give new tables and never fail: what is wrong is told when the
/// table is used. Cheap to clone.
///
/// A text where an expression is asked for is SQL: `table.filter("price > 100")`.
#[derive(Clone)]
pub struct Table {
    environment: TableEnvironment,
    plan: Arc<Plan>,
}

/// Collects what may be expressions or SQL.
pub(crate) fn expressions<E: ToExpression>(items: impl IntoIterator<Item = E>) -> Vec<Expression> {
    items.into_iter().map(ToExpression::to_expression).collect()
}

/// Columns and rows.
impl Table {
    pub(crate) fn new(environment: TableEnvironment, plan: Plan) -> Self {
        Self { environment, plan: Arc::new(plan) }
    }

    pub(crate) fn environment(&self) -> &TableEnvironment {
        &self.environment
    }

    pub(crate) fn with(&self, verb: impl FnOnce(Arc<Plan>) -> Plan) -> Self {
        Self::new(self.environment.clone(), verb(Arc::clone(&self.plan)))
    }

    /// These columns. Aggregates among them are over all rows.
    #[must_use]
    pub fn select<E: ToExpression>(&self, items: impl IntoIterator<Item = E>) -> Self {
        let items = expressions(items);
        self.with(|input| Plan::Select { input, items })
    }

    /// The rows for which a condition is true.
    #[must_use]
    pub fn filter(&self, condition: impl ToExpression) -> Self {
        let condition = condition.to_expression();
        self.with(|input| Plan::Filter { input, condition })
    }

    /// As [`filter`](Self::filter) (Flink's `where`).
    #[must_use]
    pub fn where_(&self, condition: impl ToExpression) -> Self {
        self.filter(condition)
    }

    /// All columns under other names (Flink's `as`).
    #[must_use]
    pub fn alias<N: Into<String>>(&self, names: impl IntoIterator<Item = N>) -> Self {
        let names = names.into_iter().map(Into::into).collect();
        self.with(|input| match input.as_ref() {
            Plan::Named { input, .. } if matches!(input.as_ref(), Plan::Values(_)) => {
                Plan::Named { input: Arc::clone(input), names }
            }
            _ => Plan::Named { input, names },
        })
    }

    fn change(&self, change: ColumnChange) -> Self {
        self.with(|input| Plan::Columns { input, change })
    }

    /// More columns, behind those that are there.
    #[must_use]
    pub fn add_columns<E: ToExpression>(&self, items: impl IntoIterator<Item = E>) -> Self {
        self.change(ColumnChange::Add(expressions(items)))
    }

    /// More columns; one with the name of a column that is there takes its place.
    #[must_use]
    pub fn add_or_replace_columns<E: ToExpression>(&self, items: impl IntoIterator<Item = E>) -> Self {
        self.change(ColumnChange::AddOrReplace(expressions(items)))
    }

    /// Some columns under other names: `col("old").alias("new")`.
    #[must_use]
    pub fn rename_columns<E: ToExpression>(&self, items: impl IntoIterator<Item = E>) -> Self {
        self.change(ColumnChange::Rename(expressions(items)))
    }

    /// Without some columns.
    #[must_use]
    pub fn drop_columns<E: ToExpression>(&self, items: impl IntoIterator<Item = E>) -> Self {
        self.change(ColumnChange::Drop(expressions(items)))
    }

    /// Each row once.
    #[must_use]
    pub fn distinct(&self) -> Self {
        self.with(Plan::Distinct)
    }

    /// In this order. A stream has an order only where [`fetch`](Self::fetch) takes the first rows of it.
    #[must_use]
    pub fn order_by<E: ToExpression>(&self, keys: impl IntoIterator<Item = E>) -> Self {
        let keys = expressions(keys);
        self.with(|input| Plan::Order { input, keys })
    }

    /// The first so many rows.
    #[must_use]
    pub fn fetch(&self, rows: u64) -> Self {
        self.with(|input| Plan::Slice { input, offset: None, fetch: Some(rows) })
    }

    /// Without the first so many rows.
    #[must_use]
    pub fn offset(&self, rows: u64) -> Self {
        self.with(|input| Plan::Slice { input, offset: Some(rows), fetch: None })
    }

    /// [`offset`](Self::offset), then [`fetch`](Self::fetch).
    #[must_use]
    pub fn limit(&self, offset: u64, fetch: u64) -> Self {
        self.offset(offset).fetch(fetch)
    }
}

/// Groups and windows.
impl Table {
    /// One row for each value of the keys.
    #[must_use]
    pub fn group_by<E: ToExpression>(&self, keys: impl IntoIterator<Item = E>) -> GroupedTable {
        GroupedTable::new(self.clone(), None, expressions(keys))
    }

    /// Windows: a [`GroupWindow`](crate::GroupWindow) for `group_by`, one or several [`OverWindow`](crate::OverWindow)s for
    /// [`over`](Expression::over).
    #[must_use]
    pub fn window<W: TableWindow>(&self, window: W) -> W::Windowed {
        window.of(self.clone())
    }
}

/// Joins. The columns of both tables are named without their table: names that both have must be renamed before.
impl Table {
    fn joined(&self, right: &Self, kind: JoinKind, on: Option<Expression>) -> Self {
        let right = Arc::clone(&right.plan);
        self.with(|left| Plan::Join { left, right, kind, on })
    }

    /// Pairs for which the condition is true.
    #[must_use]
    pub fn join(&self, right: &Self, on: impl ToExpression) -> Self {
        self.joined(right, JoinKind::Inner, Some(on.to_expression()))
    }

    /// All pairs; with a `filter` behind it, Flink's `join` without a condition.
    #[must_use]
    pub fn cross_join(&self, right: &Self) -> Self {
        self.joined(right, JoinKind::Cross, None)
    }

    /// As [`join`](Self::join); rows of the left without a partner stand beside nulls.
    #[must_use]
    pub fn left_outer_join(&self, right: &Self, on: impl ToExpression) -> Self {
        self.joined(right, JoinKind::Left, Some(on.to_expression()))
    }

    /// As [`join`](Self::join); rows of the right without a partner stand beside nulls.
    #[must_use]
    pub fn right_outer_join(&self, right: &Self, on: impl ToExpression) -> Self {
        self.joined(right, JoinKind::Right, Some(on.to_expression()))
    }

    /// As [`join`](Self::join); rows of both without a partner stand beside nulls.
    #[must_use]
    pub fn full_outer_join(&self, right: &Self, on: impl ToExpression) -> Self {
        self.joined(right, JoinKind::Full, Some(on.to_expression()))
    }

    /// Rows of the left that have a partner, once each.
    #[must_use]
    pub fn left_semi_join(&self, right: &Self, on: impl ToExpression) -> Self {
        self.joined(right, JoinKind::Semi, Some(on.to_expression()))
    }

    /// Rows of the left that have no partner.
    #[must_use]
    pub fn left_anti_join(&self, right: &Self, on: impl ToExpression) -> Self {
        self.joined(right, JoinKind::Anti, Some(on.to_expression()))
    }
}

/// Set operations. Both tables have as many columns, of types that go together.
impl Table {
    fn combined(&self, right: &Self, operator: &'static str) -> Self {
        let right = Arc::clone(&right.plan);
        self.with(|left| Plan::Combine { left, right, operator })
    }

    /// Rows of one or the other, each once.
    #[must_use]
    pub fn union(&self, right: &Self) -> Self {
        self.combined(right, "UNION")
    }

    /// Rows of the one and of the other.
    #[must_use]
    pub fn union_all(&self, right: &Self) -> Self {
        self.combined(right, "UNION ALL")
    }

    /// Rows of both, each once.
    #[must_use]
    pub fn intersect(&self, right: &Self) -> Self {
        self.combined(right, "INTERSECT")
    }

    /// Rows of both, as often as in that which has them less often.
    #[must_use]
    pub fn intersect_all(&self, right: &Self) -> Self {
        self.combined(right, "INTERSECT ALL")
    }

    /// Rows of the left that the right does not have, each once.
    #[must_use]
    pub fn minus(&self, right: &Self) -> Self {
        self.combined(right, "EXCEPT")
    }

    /// Rows of the left, each as often as it is there more often than in the right.
    #[must_use]
    pub fn minus_all(&self, right: &Self) -> Self {
        self.combined(right, "EXCEPT ALL")
    }
}

/// What is done with a table.
impl Table {
    /// The query as SQL, as it is parsed and bound.
    ///
    /// # Errors
    /// Where an expression cannot be written, or a verb needs columns of a query that cannot be bound.
    pub async fn to_sql(&self) -> Result<String> {
        self.environment.sql_of(&self.plan).await
    }

    /// Names and types of the columns.
    ///
    /// # Errors
    /// Where the query cannot be bound.
    pub async fn schema(&self) -> Result<SchemaRef> {
        let text = self.to_sql().await?;
        self.environment.columns_of(&text).await
    }

    /// Logical plan and dataflow, as `EXPLAIN` shows them.
    ///
    /// # Errors
    /// Where the query cannot be bound.
    pub async fn explain(&self) -> Result<String> {
        let text = self.to_sql().await?;
        self.environment.explain_sql(&text).await
    }

    /// Runs the query and gives its changes as they come: signed rows, until the input ends or the result is dropped. With
    /// `execution.runtime-mode` `batch` the query reads once and all its rows are insertions.
    ///
    /// # Errors
    /// Where the query cannot be bound or started.
    pub async fn execute(&self) -> Result<TableResult> {
        let text = self.to_sql().await?;
        self.environment.follow(&text).await
    }

    /// The rows of the query as they are now, as `SELECT` gives them.
    ///
    /// # Errors
    /// Where the query cannot be bound or fails.
    pub async fn collect(&self) -> Result<Vec<RecordBatch>> {
        let text = self.to_sql().await?;
        self.environment.execute_sql(&text).await?.collect().await
    }

    /// The rows, to be written into a table.
    pub fn insert_into(&self, table: impl Into<String>) -> TablePipeline {
        TablePipeline::new(self.clone(), table.into())
    }

    /// Writes the rows into a table: [`insert_into`](Self::insert_into) and `execute`.
    ///
    /// # Errors
    /// As [`TablePipeline::execute`].
    pub async fn execute_insert(&self, table: impl Into<String>) -> Result<TableResult, SqlError> {
        self.insert_into(table).execute().await
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Table").field(&self.plan).finish()
    }
}
