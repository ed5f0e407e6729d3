//! Forms that are written with others, so that both runtimes give them the same meaning: `DISTINCT ON`, which the planner's
//! own rule makes ordered aggregates of, `INTERSECT ALL` and `EXCEPT ALL`, whose multiplicities the planner forgets, and grouping
//! sets of expressions, which are found by their names, so that nothing could be rewritten in them.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinType, NullEquality, Result as PlanResult};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{
    Aggregate, Distinct, DistinctOn, Expr, ExprFunctionExt, Join, LogicalPlan, LogicalPlanBuilder, col, lit,
};

use super::from_datafusion;
use crate::error::Result;

/// A column with numbers of rows. Not to be met in user tables.
const NUMBER: &str = "__millstream_number";

/// A plan of the planner without such forms. Before the analyzer.
pub(super) fn written_out(plan: LogicalPlan) -> Result<LogicalPlan> {
    let written = plan.transform_up_with_subqueries(|node| match &node {
        LogicalPlan::Distinct(Distinct::On(distinct)) => Ok(Transformed::yes(first_rows(distinct)?)),
        LogicalPlan::Join(join) if keeps_multiplicities(join) => Ok(Transformed::yes(numbered(join)?)),
        LogicalPlan::Aggregate(aggregate) => match by_columns(aggregate)? {
            Some(plan) => Ok(Transformed::yes(plan)),
            None => Ok(Transformed::no(node)),
        },
        _ => Ok(Transformed::no(node)),
    });
    Ok(written.map_err(from_datafusion)?.data)
}

/// `DISTINCT ON` as the rows whose number among their equals is 1.
fn first_rows(distinct: &DistinctOn) -> PlanResult<LogicalPlan> {
    let order = distinct.sort_expr.clone().unwrap_or_default();
    let number = row_number().partition_by(distinct.on_expr.clone()).order_by(order.clone()).build()?.alias(NUMBER);
    let columns: Vec<Expr> = distinct
        .select_expr
        .iter()
        .zip(distinct.schema.iter())
        .map(|(expr, (qualifier, field))| expr.clone().unalias().alias_qualified(qualifier.cloned(), field.name()))
        .collect();
    let first = LogicalPlanBuilder::from(distinct.input.as_ref().clone())
        .window([number])?
        .filter(col(NUMBER).eq(lit(1_u64)))?;
    let ordered = if order.is_empty() { first } else { first.sort(order)? };
    ordered.project(columns)?.build()
}

/// Whether a join is an `INTERSECT ALL` or `EXCEPT ALL` of the planner. Without `ALL` its left side is a `DISTINCT`; where
/// that is the user's own, each row is there once and the meaning is the same.
fn keeps_multiplicities(join: &Join) -> bool {
    let width = join.left.schema().fields().len();
    matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
        && join.null_equality == NullEquality::NullEqualsNull
        && join.filter.is_none()
        && join.on.len() == width
        && !matches!(join.left.as_ref(), LogicalPlan::Distinct(_))
        && !join.on.iter().any(|(left, _)| matches!(left, Expr::Column(column) if column.name == NUMBER))
}

/// The join of both sides with each row numbered among its equals: the n-th is met by the n-th.
fn numbered(join: &Join) -> PlanResult<LogicalPlan> {
    let side = |plan: &Arc<LogicalPlan>| -> PlanResult<(LogicalPlan, Vec<Column>)> {
        let columns = plan.schema().columns();
        let number = row_number().partition_by(columns.iter().cloned().map(Expr::Column).collect());
        let plan = LogicalPlanBuilder::from(Arc::clone(plan)).window([number.build()?.alias(NUMBER)])?.build()?;
        Ok((plan, columns))
    };
    let ((left, columns), (right, others)) = (side(&join.left)?, side(&join.right)?);
    let number = Column::new_unqualified(NUMBER);
    let keys = |columns: &[Column]| columns.iter().cloned().chain([number.clone()]).collect::<Vec<_>>();
    LogicalPlanBuilder::from(left)
        .join_detailed(right, join.join_type, (keys(&columns), keys(&others)), None, NullEquality::NullEqualsNull)?
        .project(columns.into_iter().map(Expr::Column))?
        .build()
}

/// An aggregation whose grouping sets are of columns only, over a projection with those that were expressions; `None` where none was.
fn by_columns(aggregate: &Aggregate) -> PlanResult<Option<LogicalPlan>> {
    let sets = aggregate.group_expr.iter().filter_map(|expr| match expr {
        Expr::GroupingSet(sets) => Some(sets.distinct_expr()),
        _ => None,
    });
    let keys: Vec<Expr> = sets.flatten().filter(|key| !matches!(key, Expr::Column(_))).cloned().collect();
    if keys.is_empty() {
        return Ok(None);
    }
    let named = |key: &Expr| key.clone().alias(key.schema_name().to_string());
    let columns = aggregate.input.schema().iter().map(Expr::from).chain(keys.iter().map(named));
    let columns: Vec<Expr> = columns.collect();
    let input = LogicalPlanBuilder::from(Arc::clone(&aggregate.input)).project(columns)?.build()?;
    let replaced = |expr: &Expr| -> PlanResult<Expr> {
        let replaced = expr.clone().transform_down(|part| {
            if !keys.contains(&part) {
                return Ok(Transformed::no(part));
            }
            let column = Expr::Column(Column::new_unqualified(part.schema_name().to_string()));
            Ok(Transformed::new(column, true, TreeNodeRecursion::Jump))
        })?;
        Ok(replaced.data)
    };
    let group_by = aggregate.group_expr.iter().map(replaced).collect::<PlanResult<Vec<_>>>()?;
    let aggregates = aggregate.aggr_expr.iter().map(replaced).collect::<PlanResult<Vec<_>>>()?;
    Aggregate::try_new(Arc::new(input), group_by, aggregates).map(|plan| Some(LogicalPlan::Aggregate(plan)))
}
