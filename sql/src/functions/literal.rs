//! Whole numbers that stand in the text of a query and are cast to another type of whole numbers: literals of that type. So the
//! planner sees numbers whose type is not its own, as `query::literals` marks them.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::planner::{
    ExprPlanner, PlannerResult, RawAggregateExpr, RawBinaryExpr, RawFieldAccessExpr, RawWindowExpr,
};
use datafusion::logical_expr::{Expr, GetFieldAccess};

/// The literal that a cast is; other expressions, and casts to types that do not hold the number, as they are.
pub(crate) fn whole_literal(expr: Expr) -> Transformed<Expr> {
    let literal = match &expr {
        Expr::Cast(cast) if cast.field.data_type().is_signed_integer() => match cast.expr.as_ref() {
            Expr::Literal(number, _) if number.data_type().is_signed_integer() && !number.is_null() => {
                number.cast_to(cast.field.data_type()).ok().filter(|number| !number.is_null())
            }
            _ => None,
        },
        _ => None,
    };
    literal.map_or_else(|| Transformed::no(expr), |literal| Transformed::yes(Expr::Literal(literal, None)))
}

/// Gives operators, aggregates and window functions their literals before the planner makes names of them.
#[derive(Debug)]
pub(super) struct Literals;

impl ExprPlanner for Literals {
    fn plan_binary_op(&self, mut binary: RawBinaryExpr, _schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        for side in [&mut binary.left, &mut binary.right] {
            *side = whole_literal(std::mem::take(side)).data;
        }
        Ok(PlannerResult::Original(binary))
    }

    fn plan_field_access(
        &self,
        mut access: RawFieldAccessExpr,
        _schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        if let GetFieldAccess::ListIndex { key } = &mut access.field_access {
            **key = whole_literal(std::mem::take(key)).data;
        }
        Ok(PlannerResult::Original(access))
    }

    fn plan_aggregate(&self, mut call: RawAggregateExpr) -> Result<PlannerResult<RawAggregateExpr>> {
        within(&mut call.args)?;
        if let Some(filter) = &mut call.filter {
            within(std::slice::from_mut(filter.as_mut()))?;
        }
        Ok(PlannerResult::Original(call))
    }

    fn plan_window(&self, mut call: RawWindowExpr) -> Result<PlannerResult<RawWindowExpr>> {
        within(&mut call.args)?;
        within(&mut call.partition_by)?;
        if let Some(filter) = &mut call.filter {
            within(std::slice::from_mut(filter.as_mut()))?;
        }
        Ok(PlannerResult::Original(call))
    }
}

fn within(exprs: &mut [Expr]) -> Result<()> {
    for expr in exprs {
        *expr = std::mem::take(expr).transform_up(|expr| Ok(whole_literal(expr)))?.data;
    }
    Ok(())
}
