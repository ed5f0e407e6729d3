//! Versioned tables: what has a key, and an event time from which on each of its rows is valid.
//!
//! A table with a primary key and a watermark is one; so is a view that keeps the last row of each key by event time
//! (`ROW_NUMBER() … = 1`). Of such a view the join reads the rows before they are numbered: they are the versions, while
//! the view itself only has the last one of each epoch.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::expr::WindowFunctionParams;
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprFunctionExt, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Window, col,
};

use super::{first_number, is_one};
use crate::catalog::RelationKind;
use crate::error::{Result, SqlError, SqlState};
use crate::query::from_datafusion;
use crate::query::nodes::Watermark;
use crate::relation_source::RelationSource;

/// The column of the numbering that keeps the newest versions. Not to be met in user tables.
const NUMBER: &str = "__millstream_version";

/// The versions of a table, by columns of `plan`.
pub(super) struct Versioned {
    /// All versions.
    pub(super) plan: LogicalPlan,
    /// The columns that identify a row of the table.
    pub(super) key: Vec<usize>,
    /// The column from whose time on a version is valid.
    pub(super) time: usize,
}

/// The versions of the right side of a join.
///
/// # Errors
/// Where it is no versioned table: it has no key, no event time, or something that only one version passes.
pub(super) fn versioned(plan: &LogicalPlan) -> Result<Versioned> {
    if let Some(watermark) = Watermark::of(plan) {
        let time = index_of(&watermark.column, plan);
        let key = table_key(&watermark.input).filter(|key| !key.is_empty());
        return match (key, time) {
            (Some(key), Some(time)) => Ok(Versioned { plan: plan.clone(), key, time }),
            (None, _) => Err(no_version("it has no primary key", "declare PRIMARY KEY (…) NOT ENFORCED")),
            (_, None) => Err(no_version("it has no event time", "declare WATERMARK FOR its time column")),
        };
    }
    match plan {
        LogicalPlan::SubqueryAlias(alias) => {
            let inner = versioned(&alias.input)?;
            let plan = LogicalPlanBuilder::from(inner.plan).alias(alias.alias.clone());
            let plan = plan.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
            Ok(Versioned { plan, ..inner })
        }
        LogicalPlan::Projection(projection) => {
            let inner = versioned(&projection.input)?;
            let place = |index: usize| {
                let is_it = |expr: &Expr| index_of(expr, &inner.plan) == Some(index);
                let gone = || no_version("its view leaves out the key or the event time", "select these columns too");
                projection.expr.iter().position(is_it).ok_or_else(gone)
            };
            let key = inner.key.iter().map(|&index| place(index)).collect::<Result<_>>()?;
            let time = place(inner.time)?;
            let plan = LogicalPlanBuilder::from(inner.plan).project(projection.expr.clone());
            let plan = plan.and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
            Ok(Versioned { plan, key, time })
        }
        LogicalPlan::Filter(filter) => deduplicated(filter)?.ok_or_else(|| {
            no_version("a filter may hide some versions of it", "put the condition into the ON of the join")
        }),
        LogicalPlan::TableScan(scan) => {
            let relation = scan.source.downcast_ref::<RelationSource>().map(|source| &source.relation.kind);
            Err(match relation {
                Some(RelationKind::MaterializedView { .. }) => no_version(
                    "a materialized view keeps the last rows only",
                    "join its query as a plain view, or as of processing time",
                ),
                _ => no_version(
                    "it has no event time",
                    "declare WATERMARK FOR its time column, or join as of processing time",
                ),
            })
        }
        _ => Err(no_version(
            "it is a view that does not tell the time of its versions",
            "keep the last row of each key with ROW_NUMBER() OVER (PARTITION BY key ORDER BY time DESC) = 1",
        )),
    }
}

/// A versioned table as of now: the newest version of each key. `None` for other tables, which are as they are.
pub(super) fn newest(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    if !is_table(plan) {
        return Ok(None);
    }
    let Ok(table) = versioned(plan) else { return Ok(None) };
    let schema = Arc::clone(table.plan.schema());
    let column = |index: usize| Expr::from(schema.qualified_field(index));
    let newest = || {
        let number = row_number()
            .partition_by(table.key.iter().map(|&index| column(index)).collect())
            .order_by(vec![column(table.time).sort(false, false)])
            .build()?
            .alias(NUMBER);
        LogicalPlanBuilder::from(table.plan.clone())
            .window([number])?
            .filter(col(NUMBER).eq(first_number()))?
            .project((0..schema.fields().len()).map(column))?
            .build()
    };
    newest().map(Some).map_err(from_datafusion)
}

/// Whether the plan is a table with a watermark, under whatever name.
fn is_table(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => is_table(&alias.input),
        other => Watermark::of(other).is_some(),
    }
}

/// The versions behind `ROW_NUMBER() OVER (PARTITION BY key ORDER BY time DESC) = 1`; `None` for another filter.
fn deduplicated(filter: &Filter) -> Result<Option<Versioned>> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = &filter.predicate else { return Ok(None) };
    let number = match (is_one(left), is_one(right)) {
        (false, true) => left,
        (true, false) => right,
        _ => return Ok(None),
    };
    let Some(index) = index_of(number, &filter.input) else { return Ok(None) };
    let Some((window, columns)) = numbering(index, &filter.input) else { return Ok(None) };
    let [key @ .., time] = columns.as_slice() else { return Ok(None) };
    if event_time(&window.input) != Some(*time) {
        return Err(no_version(
            "its rows are not numbered by the event time",
            "ORDER BY the column with the watermark, DESC",
        ));
    }
    let numbered = window.clone();
    let plan = filter.input.as_ref().clone().transform_down(|node| match &node {
        LogicalPlan::Window(window) if *window == numbered => Ok(Transformed::yes(all_first(window)?)),
        _ => Ok(Transformed::no(node)),
    });
    let plan = plan.map_err(from_datafusion)?.data;
    let place = |wanted: usize| place_of(wanted, &filter.input);
    let key = key.iter().map(|&index| place(index)).collect::<Option<Vec<_>>>();
    Ok(match (key, place(*time)) {
        (Some(key), Some(time)) => Some(Versioned { plan, key, time }),
        _ => None,
    })
}

/// The rows of a window node with 1 as the number of each.
fn all_first(window: &Window) -> datafusion::common::Result<LogicalPlan> {
    let mut exprs: Vec<Expr> = window.input.schema().iter().map(Expr::from).collect();
    exprs.extend(window.window_expr.iter().map(|expr| first_number().alias(expr.schema_name().to_string())));
    LogicalPlanBuilder::from(window.input.as_ref().clone()).project(exprs)?.build()
}

/// The node that numbers the rows, where column `index` is that number: and the columns of its key and then of its time,
/// by its input.
fn numbering(index: usize, plan: &LogicalPlan) -> Option<(&Window, Vec<usize>)> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => numbering(index, &alias.input),
        LogicalPlan::Projection(projection) => {
            numbering(index_of(projection.expr.get(index)?, &projection.input)?, &projection.input)
        }
        LogicalPlan::Window(window) => {
            let ([expr], true) = (window.window_expr.as_slice(), index == window.input.schema().fields().len()) else {
                return None;
            };
            let Expr::WindowFunction(call) = expr.clone().unalias() else { return None };
            let WindowFunctionParams { partition_by, order_by, .. } = &call.params;
            let [order] = order_by.as_slice() else { return None };
            if call.fun.name() != "row_number" || order.asc || partition_by.is_empty() {
                return None;
            }
            let columns = partition_by.iter().chain([&order.expr]).map(|expr| index_of(expr, &window.input));
            Some((window, columns.collect::<Option<_>>()?))
        }
        _ => None,
    }
}

/// Where a column of the numbering node's input is among the columns of a plan above it.
fn place_of(wanted: usize, plan: &LogicalPlan) -> Option<usize> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => place_of(wanted, &alias.input),
        LogicalPlan::Projection(projection) => {
            let inner = place_of(wanted, &projection.input)?;
            projection.expr.iter().position(|expr| index_of(expr, &projection.input) == Some(inner))
        }
        LogicalPlan::Window(_) => Some(wanted),
        _ => None,
    }
}

/// The event-time column of a plan that passes its rows on.
fn event_time(plan: &LogicalPlan) -> Option<usize> {
    if let Some(watermark) = Watermark::of(plan) {
        return index_of(&watermark.column, plan);
    }
    match plan {
        LogicalPlan::SubqueryAlias(alias) => event_time(&alias.input),
        LogicalPlan::Filter(filter) => event_time(&filter.input),
        LogicalPlan::Projection(projection) => {
            let inner = event_time(&projection.input)?;
            projection.expr.iter().position(|expr| index_of(expr, &projection.input) == Some(inner))
        }
        _ => None,
    }
}

/// The primary key of a table, by columns of its plan.
fn table_key(plan: &LogicalPlan) -> Option<Vec<usize>> {
    match plan {
        LogicalPlan::TableScan(scan) => match &scan.source.downcast_ref::<RelationSource>()?.relation.kind {
            RelationKind::ConnectorTable(table) => Some(table.spec.primary_key.clone()),
            RelationKind::InternalTable(table) => Some(table.primary_key.clone()),
            RelationKind::View { .. } | RelationKind::MaterializedView { .. } => None,
        },
        LogicalPlan::SubqueryAlias(alias) => table_key(&alias.input),
        LogicalPlan::Projection(projection) => {
            let place = |index: &usize| {
                projection.expr.iter().position(|expr| index_of(expr, &projection.input) == Some(*index))
            };
            table_key(&projection.input)?.iter().map(place).collect()
        }
        _ => None,
    }
}

/// The column of a plan that an expression is.
fn index_of(expr: &Expr, plan: &LogicalPlan) -> Option<usize> {
    match super::uncast(expr) {
        Expr::Column(column) => plan.schema().maybe_index_of_column(column),
        _ => None,
    }
}

fn no_version(why: &str, hint: &str) -> SqlError {
    let message = format!("the right table of a temporal join must be versioned, but {why}");
    SqlError::new(SqlState::WRONG_OBJECT_TYPE, message).with_hint(hint)
}
