//! `INTERVAL '1' DAY * 2`, `2 * INTERVAL '1' DAY`, `INTERVAL '1' DAY / 2` as calls. Before the analyzer, which knows no such
//! operators.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result as PlanResult};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};

use super::rewrite;
use crate::error::Result;
use crate::functions::{DIVIDED, TIMES, registry};

/// A plan without them.
pub(super) fn scaled(plan: LogicalPlan) -> Result<LogicalPlan> {
    rewrite::expressions(plan, operator)
}

fn operator(expr: Expr, input: &DFSchema) -> PlanResult<Transformed<Expr>> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return Ok(Transformed::no(expr)) };
    let name = match op {
        Operator::Multiply => TIMES,
        Operator::Divide => DIVIDED,
        _ => return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))),
    };
    let types = (left.get_type(input), right.get_type(input));
    let interval = |of: &PlanResult<DataType>| matches!(of, Ok(DataType::Interval(_)));
    let number = |of: &PlanResult<DataType>| of.as_ref().is_ok_and(DataType::is_numeric);
    let args = if interval(&types.0) && number(&types.1) {
        [left, right]
    } else if op == Operator::Multiply && number(&types.0) && interval(&types.1) {
        [right, left]
    } else {
        return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })));
    };
    let args = args.into_iter().map(|arg| *arg).collect();
    match registry().scalar.get(name) {
        Some(function) => Ok(Transformed::yes(function.call(args))),
        None => Err(datafusion::common::DataFusionError::Internal(format!("there is no function {name}"))),
    }
}
