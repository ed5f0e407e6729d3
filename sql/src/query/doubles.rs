//! Floating point beside decimals: both become doubles, as in PostgreSQL and Flink, in comparisons, branches, lists, rows of
//! `VALUES` and set operations. Before the analyzer, which would make decimals of fifteen digits of both.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result as PlanResult};
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, Union, Values, cast,
};

use super::types::type_of;
use super::{from_datafusion, rewrite};
use crate::error::Result;

/// Functions whose result is one of their arguments, or of a type that all of them have.
const OF_ONE_TYPE: [&str; 8] = ["greatest", "least", "nullif", "nvl", "nvl2", "if", "make_array", "coalesce"];

/// A plan in which they stay doubles.
pub(super) fn kept(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = rows(plan).map_err(from_datafusion)?;
    rewrite::expressions(plan, |mut expr, input| {
        let changed = match &mut expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(*op) => {
                as_doubles(&mut [left.as_mut(), right.as_mut()], input)
            }
            Expr::Between(between) => {
                as_doubles(&mut [between.expr.as_mut(), between.low.as_mut(), between.high.as_mut()], input)
            }
            Expr::InList(list) => {
                let values = std::iter::once(list.expr.as_mut()).chain(&mut list.list);
                as_doubles(&mut values.collect::<Vec<_>>(), input)
            }
            Expr::Case(case) => {
                let (whens, thens): (Vec<_>, Vec<_>) =
                    case.when_then_expr.iter_mut().map(|(when, then)| (when.as_mut(), then.as_mut())).unzip();
                let results = thens.into_iter().chain(case.else_expr.as_deref_mut());
                let results = as_doubles(&mut results.collect::<Vec<_>>(), input);
                let compared = case.expr.as_deref_mut().into_iter().chain(whens);
                as_doubles(&mut compared.collect::<Vec<_>>(), input) || results
            }
            Expr::ScalarFunction(call) if OF_ONE_TYPE.contains(&call.func.name()) => {
                as_doubles(&mut call.args.iter_mut().collect::<Vec<_>>(), input)
            }
            _ => false,
        };
        Ok(Transformed::new_transformed(expr, changed))
    })
}

/// Whether an operator compares two values of one type.
pub(super) fn compares(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

fn is_decimal(of: &DataType) -> bool {
    matches!(of, DataType::Decimal128(..) | DataType::Decimal256(..))
}

/// Makes doubles of the decimals among expressions of which one is floating; whether it did.
fn as_doubles(exprs: &mut [&mut Expr], input: &DFSchema) -> bool {
    let types: Vec<Option<DataType>> = exprs.iter().map(|expr| type_of(expr, input).ok()).collect();
    let any = |is: fn(&DataType) -> bool| types.iter().flatten().any(is);
    if !any(DataType::is_floating) || !any(is_decimal) {
        return false;
    }
    for (expr, of) in exprs.iter_mut().zip(&types) {
        if of.as_ref().is_some_and(is_decimal) {
            **expr = cast(std::mem::take(*expr), DataType::Float64);
        }
    }
    true
}

/// The same for the columns of `VALUES` and set operations.
fn rows(plan: LogicalPlan) -> PlanResult<LogicalPlan> {
    let mut changed = false;
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let other = match &node {
            LogicalPlan::Values(values) => of_values(values)?,
            LogicalPlan::Union(union) => of_union(union)?,
            _ => None,
        };
        match other {
            Some(other) => {
                changed = true;
                Ok(Transformed::yes(other))
            }
            // What is below may have got other types.
            None if changed => Ok(Transformed::yes(node.recompute_schema()?)),
            None => Ok(Transformed::no(node)),
        }
    })?;
    Ok(rewritten.data)
}

/// The planner has made decimals of them: the casts are taken away again.
fn of_values(values: &Values) -> PlanResult<Option<LogicalPlan>> {
    let none = DFSchema::empty();
    let made_decimal = |expr: &Expr| match expr {
        Expr::Cast(cast) => {
            is_decimal(cast.field.data_type()) && cast.expr.get_type(&none).is_ok_and(|of| of.is_floating())
        }
        _ => false,
    };
    let width = values.schema.fields().len();
    let columns: Vec<bool> =
        (0..width).map(|column| values.values.iter().any(|row| row.get(column).is_some_and(made_decimal))).collect();
    if !columns.contains(&true) {
        return Ok(None);
    }
    let double = |(expr, doubles): (&Expr, &bool)| match expr {
        Expr::Cast(inner) if *doubles && is_decimal(inner.field.data_type()) => {
            cast(inner.expr.as_ref().clone(), DataType::Float64)
        }
        other if *doubles => cast(other.clone(), DataType::Float64),
        other => other.clone(),
    };
    let rows = values.values.iter().map(|row| row.iter().zip(&columns).map(double).collect());
    LogicalPlanBuilder::values(rows.collect())?.build().map(Some)
}

fn of_union(union: &Union) -> PlanResult<Option<LogicalPlan>> {
    let types = |column: usize| union.inputs.iter().filter_map(move |input| input.schema().fields().get(column));
    let mixed = |column: usize| {
        types(column).any(|field| field.data_type().is_floating())
            && types(column).any(|field| is_decimal(field.data_type()))
    };
    let columns: Vec<bool> = (0..union.schema.fields().len()).map(mixed).collect();
    if !columns.contains(&true) {
        return Ok(None);
    }
    let inputs = union.inputs.iter().map(|input| {
        let exprs = input.schema().iter().zip(&columns).map(|((qualifier, field), mixed)| {
            let column = Expr::from((qualifier, field));
            if !mixed || !is_decimal(field.data_type()) {
                return column;
            }
            cast(column, DataType::Float64).alias_qualified(qualifier.cloned(), field.name())
        });
        let exprs: Vec<Expr> = exprs.collect();
        LogicalPlanBuilder::from(Arc::clone(input)).project(exprs)?.build().map(Arc::new)
    });
    let inputs = inputs.collect::<PlanResult<Vec<_>>>()?;
    Union::try_new_with_loose_types(inputs).map(|union| Some(LogicalPlan::Union(union)))
}
