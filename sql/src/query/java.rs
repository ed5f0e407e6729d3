//! Operators that mean in Flink's semantics what Java's mean, and in DataFusion another thing: the least whole number negated
//! stays as it is, and `NaN` is neither less nor greater than anything.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result as PlanResult, ScalarValue};
use datafusion::functions::math::expr_fn::isnan;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator, not};

use crate::functions::{wrapping_abs, wrapping_div, wrapping_neg};

/// An operator as Java has it. After the analyzer, when both sides have one type.
pub(super) fn operator(expr: Expr, input: &DFSchema) -> PlanResult<Transformed<Expr>> {
    let signed = |of: &Expr| of.get_type(input).is_ok_and(|of| of.is_signed_integer());
    Ok(match expr {
        Expr::Negative(of) if !matches!(*of, Expr::Literal(..)) && signed(&of) => Transformed::yes(wrapping_neg(*of)),
        Expr::ScalarFunction(call) if call.name() == "abs" && call.args.first().is_some_and(signed) => {
            Transformed::yes(wrapping_abs(call.args))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Divide, right })
            if signed(&left) && signed(&right) && may_be_minus_one(&right) =>
        {
            Transformed::yes(wrapping_div(*left, *right))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match greater(&left, op, &right) {
            Some(of) if may_be_nan(of, input) => {
                let number = not(isnan(of.clone()));
                let compared = Expr::BinaryExpr(BinaryExpr::new(left, op, right));
                Transformed::yes(compared.and(number))
            }
            _ => Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })),
        },
        other => Transformed::no(other),
    })
}

fn may_be_minus_one(divisor: &Expr) -> bool {
    match divisor {
        Expr::Literal(value, _) => matches!(value.cast_to(&DataType::Int64), Ok(ScalarValue::Int64(Some(-1)))),
        _ => true,
    }
}

/// The side that is the greater one, as `NaN` would be.
fn greater<'e>(left: &'e Expr, op: Operator, right: &'e Expr) -> Option<&'e Expr> {
    match op {
        Operator::Gt | Operator::GtEq => Some(left),
        Operator::Lt | Operator::LtEq => Some(right),
        _ => None,
    }
}

/// Whether the value is floating point, and no number that stands in the text of the query.
fn may_be_nan(of: &Expr, input: &DFSchema) -> bool {
    let literal = match of {
        Expr::Literal(ScalarValue::Float64(Some(number)), _) => !number.is_nan(),
        Expr::Literal(ScalarValue::Float32(Some(number)), _) => !number.is_nan(),
        Expr::Literal(..) => true,
        // A whole number or a decimal that is compared with floating point.
        Expr::Cast(cast) => cast.expr.get_type(input).is_ok_and(|of| of.is_integer() || of.is_decimal()),
        _ => false,
    };
    !literal && of.get_type(input).is_ok_and(|of| of.is_floating())
}
