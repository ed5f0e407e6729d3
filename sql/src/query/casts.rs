//! Casts that DataFusion means otherwise: of `VARIANT`, which Arrow takes for a row, by its value as a text; of ROWs by
//! position.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result as PlanResult};
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::rewrite;
use super::row_cast::{is_needed, row_cast};
use super::types::type_of;
use crate::error::Result;
use crate::functions::variant_text;
use crate::types::is_variant;

/// A plan whose casts are the right ones.
pub(super) fn right(plan: LogicalPlan) -> Result<LogicalPlan> {
    rewrite::expressions(plan, cast)
}

fn cast(expr: Expr, input: &DFSchema) -> PlanResult<Transformed<Expr>> {
    let needed = |value: &Expr, to: &DataType| !is_variant(to) && type_of(value, input).is_ok_and(|of| is_variant(&of));
    let by_position = |value: &Expr, to: &DataType| type_of(value, input).is_ok_and(|of| is_needed(&of, to));
    Ok(match expr {
        Expr::Cast(mut cast) if needed(&cast.expr, cast.field.data_type()) => {
            cast.expr = Box::new(variant_text(*cast.expr));
            Transformed::yes(Expr::Cast(cast))
        }
        Expr::TryCast(mut cast) if needed(&cast.expr, cast.field.data_type()) => {
            cast.expr = Box::new(variant_text(*cast.expr));
            Transformed::yes(Expr::TryCast(cast))
        }
        Expr::Cast(cast) if by_position(&cast.expr, cast.field.data_type()) => {
            Transformed::yes(row_cast(*cast.expr, cast.field.data_type()))
        }
        Expr::TryCast(cast) if by_position(&cast.expr, cast.field.data_type()) => {
            Transformed::yes(row_cast(*cast.expr, cast.field.data_type()))
        }
        other => Transformed::no(other),
    })
}
