//! Rows are grouped and told apart by the lengths of intervals: `24 hours` and `1 day` are one group, as in PostgreSQL. What is
//! shown of a group is one of its intervals, the one with the fewest months and days.

use std::sync::Arc;

use datafusion::common::Result as PlanResult;
use datafusion::common::tree_node::Transformed;
use datafusion::functions_aggregate::expr_fn::min;
use datafusion::logical_expr::{Aggregate, Distinct, DistinctOn, Expr, LogicalPlan, LogicalPlanBuilder};

use super::from_datafusion;
use super::intervals::{is_interval, lengths, of_cast};
use crate::error::Result;
use crate::functions::{interval_bytes, interval_length, interval_of_bytes};

/// A plan that groups intervals by length. After the analyzer, when types are settled.
pub(super) fn by_length(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let columns: Vec<Expr> = input.schema().iter().map(Expr::from).collect();
            if !columns.iter().any(|column| is_interval(column, input.schema())) {
                return Ok(Transformed::no(LogicalPlan::Distinct(Distinct::All(input))));
            }
            grouped(Aggregate::try_new(input, columns, Vec::new())?)
        }
        LogicalPlan::Distinct(Distinct::On(DistinctOn { mut on_expr, select_expr, sort_expr, input, schema })) => {
            let changed = lengths(&mut on_expr, input.schema());
            let on = DistinctOn { on_expr, select_expr, sort_expr, input, schema };
            Ok(Transformed::new_transformed(LogicalPlan::Distinct(Distinct::On(on)), changed))
        }
        LogicalPlan::Aggregate(aggregate) => grouped(counted(aggregate)?),
        other => Ok(Transformed::no(other)),
    });
    Ok(plan.map_err(from_datafusion)?.data)
}

/// `COUNT(DISTINCT interval)` as that of the lengths.
fn counted(mut aggregate: Aggregate) -> PlanResult<Aggregate> {
    let input = Arc::clone(aggregate.input.schema());
    let mut changed = false;
    for (index, expr) in aggregate.aggr_expr.iter_mut().enumerate() {
        let Expr::AggregateFunction(call) = expr else { continue };
        if call.params.distinct && call.func.name() == "count" && lengths(&mut call.params.args, &input) {
            let (_, field) = aggregate.schema.qualified_field(aggregate.group_expr.len() + index);
            *expr = std::mem::take(expr).alias(field.name());
            changed = true;
        }
    }
    if !changed {
        return Ok(aggregate);
    }
    Aggregate::try_new(aggregate.input, aggregate.group_expr, aggregate.aggr_expr)
}

/// An aggregation with the lengths of intervals for its groups, and over it the intervals again.
fn grouped(aggregate: Aggregate) -> PlanResult<Transformed<LogicalPlan>> {
    let input = Arc::clone(aggregate.input.schema());
    let sets = aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_)));
    if sets || !aggregate.group_expr.iter().any(|expr| is_interval(expr, &input)) {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    }
    let (mut groups, mut calls) = (Vec::new(), aggregate.aggr_expr);
    let width = aggregate.group_expr.len() + calls.len();
    let mut shown: Vec<Option<usize>> = vec![None; width];
    for (index, expr) in aggregate.group_expr.into_iter().enumerate() {
        if !is_interval(&expr, &input) {
            groups.push(expr);
            continue;
        }
        let of = of_cast(expr.unalias());
        if let Some(shown) = shown.get_mut(index) {
            *shown = Some(calls.len());
        }
        let name = format!("__millstream_interval{index}");
        calls.push(min(interval_bytes().call(vec![of.clone()])).alias(&name));
        groups.push(interval_length().call(vec![of]).alias(name.replace("interval", "length")));
    }
    let of_groups = groups.len();
    let made = Aggregate::try_new(aggregate.input, groups, calls)?;
    let schema = Arc::clone(&made.schema);
    let columns = aggregate.schema.iter().enumerate().zip(shown).map(|((index, (table, field)), shown)| {
        let value = match shown {
            Some(call) => {
                let bytes = Expr::from(schema.qualified_field(of_groups + call));
                interval_of_bytes().call(vec![bytes])
            }
            None => Expr::from(schema.qualified_field(index)),
        };
        value.alias_qualified(table.cloned(), field.name())
    });
    let columns: Vec<Expr> = columns.collect();
    LogicalPlanBuilder::from(LogicalPlan::Aggregate(made)).project(columns)?.build().map(Transformed::yes)
}
