//! Casts that DataFusion means otherwise: of `VARIANT`, which Arrow takes for a row, by its value as a text; of ROWs by
//! position.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result as PlanResult};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};

use super::from_datafusion;
use super::row_cast::{is_needed, row_cast};
use crate::error::Result;
use crate::functions::variant_text;
use crate::types::is_variant;

/// A plan whose casts are the right ones.
pub(super) fn right(plan: LogicalPlan) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let mut input = DFSchema::empty();
        node.inputs().iter().for_each(|child| input.merge(child.schema()));
        let names = NamePreserver::new(&node);
        let mapped = node.map_expressions(|expr| {
            let name = names.save(&expr);
            let rewritten = expr.transform_up(|expr| cast(expr, &input))?;
            Ok(if rewritten.transformed { Transformed::yes(name.restore(rewritten.data)) } else { rewritten })
        })?;
        if mapped.transformed { mapped.map_data(LogicalPlan::recompute_schema) } else { Ok(mapped) }
    });
    Ok(rewritten.map_err(from_datafusion)?.data)
}

fn cast(expr: Expr, input: &DFSchema) -> PlanResult<Transformed<Expr>> {
    let needed = |value: &Expr, to: &DataType| !is_variant(to) && value.get_type(input).is_ok_and(|of| is_variant(&of));
    let by_position = |value: &Expr, to: &DataType| value.get_type(input).is_ok_and(|of| is_needed(&of, to));
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
