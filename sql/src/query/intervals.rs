//! Intervals are compared by their lengths, as in PostgreSQL: a month has 30 days and a day 24 hours. Arrow compares months,
//! days and time one after the other.
//!
//! What compares, orders and joins compares lengths; `MIN` and `MAX` take the interval with the length. Grouping is in
//! [`super::interval_groups`].

use std::sync::Arc;

use arrow::datatypes::{DataType, IntervalUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result as PlanResult, ScalarValue};
use datafusion::logical_expr::expr::{InSubquery, SetComparison};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Subquery, WindowFunctionDefinition, cast,
};

use super::doubles::compares;
use super::types::type_of;
use super::{from_datafusion, rewrite};
use crate::error::Result;
use crate::functions::{interval_bytes, interval_length, interval_of_bytes};

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

/// A plan whose intervals are compared by length. After the analyzer, when types are settled.
pub(super) fn by_length(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = rewrite::expressions(plan, |mut expr, input| {
        let changed = within(&mut expr, input)?;
        Ok(Transformed::new_transformed(expr, changed))
    })?;
    let plan = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Sort(_) | LogicalPlan::Join(_) => keys(node),
        LogicalPlan::Aggregate(_) | LogicalPlan::Window(_) => extremes(node),
        other => Ok(Transformed::no(other)),
    });
    Ok(plan.map_err(from_datafusion)?.data)
}

/// A plan whose window functions go by the lengths of intervals. Before the analyzer, which knows no ranges of intervals.
pub(super) fn ordered(plan: LogicalPlan) -> Result<LogicalPlan> {
    rewrite::expressions(plan, |mut expr, input| {
        let changed = match &mut expr {
            Expr::WindowFunction(call) => {
                let order = call.params.order_by.iter_mut().map(|order| &mut order.expr);
                lengths(order.chain(&mut call.params.partition_by), input)
            }
            _ => false,
        };
        Ok(Transformed::new_transformed(expr, changed))
    })
}

/// Replaces what an expression itself compares; whether it does.
fn within(expr: &mut Expr, input: &DFSchema) -> PlanResult<bool> {
    Ok(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(*op) => {
            lengths([left.as_mut(), right.as_mut()], input)
        }
        Expr::Between(between) => lengths([between.expr.as_mut(), between.low.as_mut(), between.high.as_mut()], input),
        Expr::InList(list) => lengths(std::iter::once(list.expr.as_mut()).chain(&mut list.list), input),
        Expr::InSubquery(InSubquery { expr, subquery, .. })
        | Expr::SetComparison(SetComparison { expr, subquery, .. }) => {
            let changed = lengths([expr.as_mut()], input);
            if changed {
                *subquery = of_rows(subquery)?;
            }
            changed
        }
        Expr::Case(case) => match &mut case.expr {
            Some(compared) => {
                let whens = case.when_then_expr.iter_mut().map(|(when, _)| when.as_mut());
                lengths(std::iter::once(compared.as_mut()).chain(whens), input)
            }
            None => false,
        },
        _ => false,
    })
}

/// Replaces the intervals among expressions by their lengths; whether there are any.
pub(super) fn lengths<'e>(exprs: impl IntoIterator<Item = &'e mut Expr>, input: &DFSchema) -> bool {
    let mut changed = false;
    for expr in exprs {
        if is_interval(expr, input) {
            *expr = interval_length().call(vec![of_cast(std::mem::take(expr))]);
            changed = true;
        }
    }
    changed
}

pub(super) fn is_interval(expr: &Expr, input: &DFSchema) -> bool {
    matches!(type_of(expr, input), Ok(DataType::Interval(_) | DataType::Duration(_)))
}

pub(super) fn of_cast(expr: Expr) -> Expr {
    match expr {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(_), _) => expr,
        other => cast(other, INTERVAL),
    }
}

/// The rows of a subquery as lengths.
fn of_rows(subquery: &Subquery) -> PlanResult<Subquery> {
    let columns = subquery.subquery.schema().iter().map(|(table, field)| {
        let length = interval_length().call(vec![of_cast(Expr::from((table, field)))]);
        length.alias_qualified(table.cloned(), field.name())
    });
    let plan =
        LogicalPlanBuilder::from(Arc::clone(&subquery.subquery)).project(columns.collect::<Vec<_>>())?.build()?;
    Ok(Subquery { subquery: Arc::new(plan), ..subquery.clone() })
}

/// A sort or a join by the lengths of its keys.
fn keys(node: LogicalPlan) -> PlanResult<Transformed<LogicalPlan>> {
    Ok(match node {
        LogicalPlan::Sort(mut sort) => {
            let changed = lengths(sort.expr.iter_mut().map(|key| &mut key.expr), sort.input.schema());
            Transformed::new_transformed(LogicalPlan::Sort(sort), changed)
        }
        LogicalPlan::Join(mut join) => {
            let mut changed = false;
            for (left, right) in &mut join.on {
                changed |= lengths([left], join.left.schema());
                changed |= lengths([right], join.right.schema());
            }
            Transformed::new_transformed(LogicalPlan::Join(join), changed)
        }
        other => Transformed::no(other),
    })
}

/// An aggregation or window whose least and greatest intervals are found as bytes in the order of their lengths.
fn extremes(node: LogicalPlan) -> PlanResult<Transformed<LogicalPlan>> {
    let Some(input) = node.inputs().first().map(|input| Arc::clone(input.schema())) else {
        return Ok(Transformed::no(node));
    };
    let names = NamePreserver::new(&node);
    let mut found: Vec<String> = Vec::new();
    let mapped = node.map_expressions(|expr| {
        let name = names.save(&expr);
        let column = expr.schema_name().to_string();
        let rewritten = expr.transform_up(|mut expr| {
            let changed = extreme(&mut expr).is_some_and(|arg| as_bytes(arg, &input));
            Ok(Transformed::new_transformed(expr, changed))
        })?;
        if rewritten.transformed {
            found.push(column);
        }
        Ok(if rewritten.transformed { rewritten.update_data(|expr| name.restore(expr)) } else { rewritten })
    })?;
    if !mapped.transformed {
        return Ok(mapped);
    }
    let plan = mapped.data.recompute_schema()?;
    let columns = plan.schema().iter().map(|(table, field)| {
        let column = Expr::from((table, field));
        if table.is_some() || !found.contains(field.name()) {
            return column;
        }
        interval_of_bytes().call(vec![column]).alias(field.name())
    });
    let columns: Vec<Expr> = columns.collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build().map(Transformed::yes)
}

/// The argument of a `MIN` or `MAX`.
fn extreme(expr: &mut Expr) -> Option<&mut Expr> {
    let (name, args) = match expr {
        Expr::AggregateFunction(call) => (call.func.name().to_owned(), &mut call.params.args),
        Expr::WindowFunction(call) => match &call.fun {
            WindowFunctionDefinition::AggregateUDF(function) => (function.name().to_owned(), &mut call.params.args),
            WindowFunctionDefinition::WindowUDF(_) => return None,
        },
        _ => return None,
    };
    match (name.as_str(), args.as_mut_slice()) {
        ("min" | "max", [arg]) => Some(arg),
        _ => None,
    }
}

fn as_bytes(arg: &mut Expr, input: &DFSchema) -> bool {
    let is = is_interval(arg, input);
    if is {
        *arg = interval_bytes().call(vec![of_cast(std::mem::take(arg))]);
    }
    is
}
