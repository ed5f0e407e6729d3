//! Subqueries in the place of a value: what may give several rows is gathered into a list, and the value is taken out of the
//! list where it is needed, which fails when there is more than one.
//!
//! Both runtimes then see an aggregation of one row, and of one row a key where the subquery is correlated. A key with several
//! rows fails only the rows of the outer query that meet it.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result as PlanResult};
use datafusion::functions_aggregate::expr_fn::array_agg;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprFunctionExt, FetchType, Filter, LogicalPlan, LogicalPlanBuilder, Operator, SkipType,
    SortExpr, Subquery,
};

use super::rewrite;
use crate::error::Result;
use crate::functions::{first_row, single_row};

/// A plan of the planner whose subqueries in the place of a value give one row. Before the analyzer, which refuses others.
pub(super) fn checked(plan: LogicalPlan) -> Result<LogicalPlan> {
    rewrite::expressions(plan, |expr, input| match expr {
        Expr::ScalarSubquery(subquery) if !gives_one_row(&subquery)? => Ok(Transformed::yes(value(subquery, input)?)),
        other => Ok(Transformed::no(other)),
    })
}

/// The only value of a subquery. `input`: the columns of the outer rows.
fn value(subquery: Subquery, input: &DFSchema) -> PlanResult<Expr> {
    let columns = subquery.subquery.schema().columns();
    // The planner tells of subqueries with several columns.
    let [column] = columns.as_slice() else { return Ok(Expr::ScalarSubquery(subquery)) };
    let (rows, gathered, taken) = match first_row_of(&subquery)? {
        Some(FirstRow { rows, value, order }) if order.is_empty() => (rows, array_agg(value), first_row()),
        Some(FirstRow { rows, value, order }) => (rows, array_agg(value).order_by(order).build()?, first_row()),
        None => (Arc::clone(&subquery.subquery), array_agg(Expr::Column(column.clone())), single_row()),
    };
    let gathered = LogicalPlanBuilder::from(rows).aggregate(Vec::<Expr>::new(), [gathered])?.build()?;
    let mut args = vec![Expr::ScalarSubquery(Subquery { subquery: Arc::new(gathered), ..subquery.clone() })];
    // A column of the outer row among the arguments keeps the call where both rows have met.
    args.extend(subquery.outer_ref_columns.iter().find_map(|expr| match expr {
        Expr::OuterReferenceColumn(_, outer) if input.has_column(outer) => Some(Expr::Column(outer.clone())),
        _ => None,
    }));
    Ok(taken.call(args))
}

/// A correlated subquery that takes the first of its rows, `ORDER BY … LIMIT 1`.
struct FirstRow {
    rows: Arc<LogicalPlan>,
    value: Expr,
    order: Vec<SortExpr>,
}

/// The parts of a correlated subquery that takes the first of its rows: its limit counts for each row of the outer query, which
/// no join does.
fn first_row_of(subquery: &Subquery) -> PlanResult<Option<FirstRow>> {
    let LogicalPlan::Limit(limit) = subquery.subquery.as_ref() else { return Ok(None) };
    let first = matches!(limit.get_skip_type()?, SkipType::Literal(0))
        && matches!(limit.get_fetch_type()?, FetchType::Literal(Some(1)));
    if !first || subquery.outer_ref_columns.is_empty() {
        return Ok(None);
    }
    let first = |rows: &Arc<LogicalPlan>, order: &[SortExpr]| {
        let value = rows.schema().columns().into_iter().next().map(Expr::Column)?;
        Some(FirstRow { rows: Arc::clone(rows), value, order: order.to_vec() })
    };
    Ok(match limit.input.as_ref() {
        LogicalPlan::Sort(sort) => first(&sort.input, &sort.expr),
        LogicalPlan::Projection(projection) => match (projection.input.as_ref(), &projection.expr[..]) {
            (LogicalPlan::Sort(sort), [value]) => {
                let (rows, value) = (Arc::clone(&sort.input), value.clone().unalias());
                Some(FirstRow { rows, value, order: sort.expr.clone() })
            }
            _ => first(&limit.input, &[]),
        },
        _ => first(&limit.input, &[]),
    })
}

/// Whether a subquery cannot give more than a row for a row of the outer query.
fn gives_one_row(subquery: &Subquery) -> PlanResult<bool> {
    let plan = subquery.subquery.as_ref();
    if plan.max_rows() == Some(1) {
        return Ok(first_row_of(subquery)?.is_none());
    }
    let LogicalPlan::Aggregate(aggregate) = aggregation(plan) else { return Ok(false) };
    let fixed = fixed_by_outer_row(&aggregate.input)?;
    Ok(!aggregate.aggr_expr.is_empty() && aggregate.group_expr.iter().all(|expr| fixed.contains(expr)))
}

/// What a plan is under its projections and its condition on the groups.
fn aggregation(plan: &LogicalPlan) -> &LogicalPlan {
    match plan {
        LogicalPlan::Projection(projection) => aggregation(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => aggregation(&alias.input),
        LogicalPlan::Filter(Filter { input, .. }) if matches!(input.as_ref(), LogicalPlan::Aggregate(_)) => input,
        other => other,
    }
}

/// The expressions that equal something of the outer row.
fn fixed_by_outer_row(plan: &LogicalPlan) -> PlanResult<Vec<Expr>> {
    let mut fixed = Vec::new();
    plan.apply(|node| {
        if let LogicalPlan::Filter(filter) = node {
            for expr in split_conjunction(&filter.predicate) {
                let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = expr else { continue };
                match (left.contains_outer(), right.contains_outer()) {
                    (true, false) => fixed.push(right.as_ref().clone()),
                    (false, true) => fixed.push(left.as_ref().clone()),
                    (true, true) | (false, false) => {}
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(fixed)
}
