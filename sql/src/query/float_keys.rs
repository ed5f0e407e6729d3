//! Floating-point numbers as keys: 0.0 and −0.0 are one key and so are all `NaN`s, as in PostgreSQL and Flink.
//!
//! Both runtimes compare keys by their bits in some places and as numbers in others. So what rows are grouped, joined, told
//! apart, partitioned and ordered by is normalised in the plan.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result as PlanResult};
use datafusion::logical_expr::expr::{InSubquery, SetComparison};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Distinct, Expr, LogicalPlan, LogicalPlanBuilder, Operator, Subquery,
};

use super::from_datafusion;
use super::types::type_of;
use crate::error::Result;
use crate::functions::{FLOAT_KEY, float_key};

/// A plan whose keys are normalised. After the analyzer, when types are settled.
pub(super) fn normalised(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let keyed = keyed_rows(&input, |_| true)?;
            let changed = keyed.is_some();
            let input = keyed.map_or(input, Arc::new);
            Ok(Transformed::new_transformed(LogicalPlan::Distinct(Distinct::All(input)), changed))
        }
        LogicalPlan::TableScan(_) => Ok(Transformed::no(node)),
        LogicalPlan::Aggregate(aggregate) if matches!(aggregate.group_expr[..], [Expr::GroupingSet(_)]) => {
            keyed_node(grouping_sets(aggregate)?)
        }
        other => keyed_node(other),
    });
    Ok(plan.map_err(from_datafusion)?.data)
}

/// An aggregation whose grouping columns are normalised below it: its result has their names.
fn grouping_sets(mut aggregate: Aggregate) -> PlanResult<LogicalPlan> {
    let columns: HashSet<Column> = aggregate.group_expr.iter().flat_map(Expr::column_refs).cloned().collect();
    if let Some(input) = keyed_rows(&aggregate.input, |column| columns.contains(column))? {
        aggregate.input = Arc::new(input);
    }
    Ok(LogicalPlan::Aggregate(aggregate))
}

/// A node with normalised keys in its expressions.
fn keyed_node(node: LogicalPlan) -> PlanResult<Transformed<LogicalPlan>> {
    let mut input = DFSchema::empty();
    node.inputs().iter().for_each(|child| input.merge(child.schema()));
    let grouping = if let LogicalPlan::Aggregate(aggregate) = &node { aggregate.group_expr.len() } else { 0 };
    let joining = if let LogicalPlan::Join(join) = &node { join.on.len() * 2 } else { 0 };
    let ordering = if let LogicalPlan::Sort(sort) = &node { sort.expr.len() } else { 0 };
    let names = NamePreserver::new(&node);
    let mut at = 0;
    let mapped = node.map_expressions(|expr| {
        // The keys of a node are the first of its expressions.
        let is_key = at < grouping.max(joining).max(ordering);
        at += 1;
        let name = names.save(&expr);
        let mut inside = expr.transform_up(|expr| keyed_expr(expr, &input))?;
        if is_key {
            inside = inside.transform_data(|expr| keyed(expr, &input))?;
        }
        let kept = joining == 0 && ordering == 0;
        Ok(if inside.transformed && kept { inside.update_data(|expr| name.restore(expr)) } else { inside })
    })?;
    if mapped.transformed { mapped.map_data(LogicalPlan::recompute_schema) } else { Ok(mapped) }
}

/// An expression with the keys that it has inside.
fn keyed_expr(expr: Expr, input: &DFSchema) -> PlanResult<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(op) && may_be_joined(&left, &right) => {
            let (left, right) = (keyed(*left, input)?, keyed(*right, input)?);
            let changed = left.transformed || right.transformed;
            let both = BinaryExpr::new(Box::new(left.data), op, Box::new(right.data));
            Ok(Transformed::new_transformed(Expr::BinaryExpr(both), changed))
        }
        Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
            let expr = keyed(*expr, input)?;
            let subquery = if expr.transformed { keyed_subquery(subquery)? } else { subquery };
            Ok(expr.update_data(|expr| Expr::InSubquery(InSubquery::new(Box::new(expr), subquery, negated))))
        }
        Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }) => {
            let expr = keyed(*expr, input)?;
            let subquery = if expr.transformed { keyed_subquery(subquery)? } else { subquery };
            Ok(expr
                .update_data(|expr| Expr::SetComparison(SetComparison::new(Box::new(expr), subquery, op, quantifier))))
        }
        Expr::WindowFunction(mut call) => {
            let mut changed = false;
            for key in &mut call.params.partition_by {
                changed |= replace(key, input)?;
            }
            for key in &mut call.params.order_by {
                changed |= replace(&mut key.expr, input)?;
            }
            Ok(Transformed::new_transformed(Expr::WindowFunction(call), changed))
        }
        Expr::AggregateFunction(mut call) if call.params.distinct => {
            let mut changed = false;
            for arg in &mut call.params.args {
                changed |= replace(arg, input)?;
            }
            Ok(Transformed::new_transformed(Expr::AggregateFunction(call), changed))
        }
        other => Ok(Transformed::no(other)),
    }
}

fn compares(op: Operator) -> bool {
    matches!(op, Operator::Eq | Operator::IsNotDistinctFrom)
}

/// Whether rows may be joined by the equality: not with a constant, and not with an outer row, whose equality the planner must
/// know again.
fn may_be_joined(left: &Expr, right: &Expr) -> bool {
    let open = |expr: &Expr| !matches!(expr, Expr::Literal(..)) && !expr.contains_outer();
    open(left) && open(right)
}

/// Normalises an expression in its place; tells whether it is one to be normalised.
fn replace(expr: &mut Expr, input: &DFSchema) -> PlanResult<bool> {
    let keyed = keyed(std::mem::take(expr), input)?;
    *expr = keyed.data;
    Ok(keyed.transformed)
}

/// An expression, normalised where it is a floating-point number.
fn keyed(expr: Expr, input: &DFSchema) -> PlanResult<Transformed<Expr>> {
    let is_key = matches!(&expr, Expr::ScalarFunction(call) if call.name() == FLOAT_KEY);
    let floats = |expr: &Expr| matches!(type_of(expr, input), Ok(DataType::Float32 | DataType::Float64));
    if is_key || matches!(expr, Expr::Literal(..)) || !floats(&expr) {
        return Ok(Transformed::no(expr));
    }
    if let Expr::Alias(alias) = expr {
        return Ok(keyed(*alias.expr, input)?.update_data(|expr| expr.alias_qualified(alias.relation, alias.name)));
    }
    Ok(Transformed::yes(float_key().call(vec![expr])))
}

/// The rows of a subquery, normalised.
fn keyed_subquery(subquery: Subquery) -> PlanResult<Subquery> {
    Ok(match keyed_rows(&subquery.subquery, |_| true)? {
        Some(plan) => Subquery { subquery: Arc::new(plan), ..subquery },
        None => subquery,
    })
}

/// The rows of a plan with the wanted columns normalised; `None` where none of them is to be.
fn keyed_rows(plan: &Arc<LogicalPlan>, wanted: impl Fn(&Column) -> bool) -> PlanResult<Option<LogicalPlan>> {
    let schema = plan.schema();
    let mut changed = false;
    let mut exprs = Vec::with_capacity(schema.fields().len());
    for column in schema.columns() {
        if !wanted(&column) {
            exprs.push(Expr::Column(column));
            continue;
        }
        let key = keyed(Expr::Column(column.clone()), schema)?;
        changed |= key.transformed;
        exprs.push(match key.transformed {
            true => key.data.alias_qualified(column.relation, column.name),
            false => key.data,
        });
    }
    if !changed {
        return Ok(None);
    }
    LogicalPlanBuilder::from(Arc::clone(plan)).project(exprs)?.build().map(Some)
}
