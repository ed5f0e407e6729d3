//! Casts that DataFusion means otherwise: of `VARIANT`, which Arrow takes for a row, by its value as a text; of ROWs by
//! position; of texts to arrays, intervals and decimals as PostgreSQL writes them.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result as PlanResult};
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::row_cast::{is_needed, row_cast};
use super::types::type_of;
use super::{rewrite, text_cast};
use crate::catalog::Semantics;
use crate::error::Result;
use crate::functions::variant_text;
use crate::types::is_variant;

/// A plan whose casts are the right ones.
pub(super) fn right(plan: LogicalPlan, semantics: Semantics) -> Result<LogicalPlan> {
    rewrite::expressions(plan, |expr, input| cast(expr, input, semantics))
}

fn cast(expr: Expr, input: &DFSchema, semantics: Semantics) -> PlanResult<Transformed<Expr>> {
    // Flink has no text form of arrays to read.
    let read = |to: &DataType| !to.is_nested() || semantics == Semantics::Postgres;
    let of_text =
        |value: &Expr, to: &DataType| read(to) && type_of(value, input).is_ok_and(|of| text_cast::is_needed(&of, to));
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
        Expr::Cast(cast) if of_text(&cast.expr, cast.field.data_type()) => {
            Transformed::yes(text_cast::text_cast(*cast.expr, cast.field.data_type(), false))
        }
        Expr::TryCast(cast) if of_text(&cast.expr, cast.field.data_type()) => {
            Transformed::yes(text_cast::text_cast(*cast.expr, cast.field.data_type(), true))
        }
        other => Transformed::no(other),
    })
}
