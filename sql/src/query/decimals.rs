//! Arithmetic and rounding of decimals with Flink's types. Before the analyzer, which gives whole numbers more digits than Flink does.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result as PlanResult, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, cast, lit};

use super::rewrite;
use super::types::type_of;
use crate::error::Result;
use crate::functions::{Decimal, decimal_operator};

/// A plan whose sums, products, quotients and remainders of decimals have the types that they have in Flink.
pub(super) fn typed(plan: LogicalPlan) -> Result<LogicalPlan> {
    rewrite::expressions(plan, |expr, input| match expr {
        Expr::ScalarFunction(call) => rounded(call, input),
        other => operator(other, input),
    })
}

/// `ROUND` and `TRUNCATE` to a number of digits, with so many behind the point.
fn rounded(call: ScalarFunction, input: &DFSchema) -> PlanResult<Transformed<Expr>> {
    let (value, digits) = match (call.name(), call.args.as_slice()) {
        ("round" | "trunc", [value]) => (value, Some(0)),
        ("round" | "trunc", [value, digits]) => (value, small(digits)),
        _ => return Ok(Transformed::no(Expr::ScalarFunction(call))),
    };
    let narrower = match (type_of(value, input), digits) {
        (Ok(DataType::Decimal128(precision, scale)), Some(digits)) => i8::try_from(digits.max(0))
            .ok()
            .filter(|digits| *digits < scale)
            .map(|digits| (precision.saturating_sub((scale - digits).unsigned_abs()).saturating_add(1), digits)),
        _ => None,
    };
    let call = Expr::ScalarFunction(call);
    Ok(match narrower {
        Some((precision, scale)) => Transformed::yes(cast(call, DataType::Decimal128(precision, scale))),
        None => Transformed::no(call),
    })
}

fn operator(expr: Expr, input: &DFSchema) -> PlanResult<Transformed<Expr>> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return Ok(Transformed::no(expr)) };
    let as_it_was = |left, right| Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })));
    let arithmetic =
        matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo);
    if !arithmetic {
        return as_it_was(left, right);
    }
    let (Ok(left_type), Ok(right_type)) = (type_of(&left, input), type_of(&right, input)) else {
        return as_it_was(left, right);
    };
    let decimal = |data_type: &DataType| matches!(data_type, DataType::Decimal128(..));
    if !decimal(&left_type) && !decimal(&right_type) {
        return as_it_was(left, right);
    }
    let (Some(left_digits), Some(right_digits)) = (digits(&left_type), digits(&right_type)) else {
        return as_it_was(left, right);
    };
    let (left, right) = (as_decimal(*left, &left_type, left_digits), as_decimal(*right, &right_type, right_digits));
    Ok(Transformed::yes(match decimal_operator(op, left_digits, right_digits) {
        Some(function) => function.call(vec![left, right]),
        None => Expr::BinaryExpr(BinaryExpr { left: Box::new(left), op, right: Box::new(right) }),
    }))
}

/// The decimal that a value is in arithmetic; `None` where it is none.
fn digits(data_type: &DataType) -> Option<Decimal> {
    match data_type {
        DataType::Decimal128(precision, scale) => Some((*precision, *scale)),
        DataType::Int8 | DataType::UInt8 => Some((3, 0)),
        DataType::Int16 | DataType::UInt16 => Some((5, 0)),
        DataType::Int32 | DataType::UInt32 => Some((10, 0)),
        DataType::Int64 => Some((19, 0)),
        DataType::UInt64 => Some((20, 0)),
        _ => None,
    }
}

/// An `INT` that stands in the text of the query.
fn small(expr: &Expr) -> Option<i32> {
    match expr {
        Expr::Literal(ScalarValue::Int32(value), _) => *value,
        Expr::Negative(inner) => small(inner).and_then(i32::checked_neg),
        _ => None,
    }
}

fn as_decimal(expr: Expr, data_type: &DataType, (precision, scale): Decimal) -> Expr {
    if matches!(data_type, DataType::Decimal128(..)) {
        return expr;
    }
    match small(&expr) {
        Some(value) => lit(ScalarValue::Decimal128(Some(value.into()), precision, scale)),
        None => cast(expr, DataType::Decimal128(precision, scale)),
    }
}
