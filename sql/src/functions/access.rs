//! `map[key]`, `variant['key']` and `variant[1]`, before DataFusion's planner takes them for arrays and rows; `array[-1]`,
//! which for that counts from the end.

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawFieldAccessExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, GetFieldAccess, lit, when};

use super::collection::MAP_VALUE;
use super::registry;
use super::variant::VARIANT_GET;
use crate::types::is_variant;

/// Plans what is accessed by a key.
#[derive(Debug)]
pub(super) struct KeyAccess;

impl ExprPlanner for KeyAccess {
    fn plan_field_access(
        &self,
        mut access: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        let function = match access.expr.get_type(schema) {
            Ok(DataType::List(_)) => {
                if let GetFieldAccess::ListIndex { key } = &mut access.field_access
                    && !is_positive(key)
                {
                    // There is no element before the first.
                    **key = when(key.as_ref().clone().gt(lit(0_i64)), key.as_ref().clone()).end()?;
                }
                return Ok(PlannerResult::Original(access));
            }
            Ok(DataType::Map(..)) => MAP_VALUE,
            Ok(of) if is_variant(&of) => VARIANT_GET,
            _ => return Ok(PlannerResult::Original(access)),
        };
        let key = match &access.field_access {
            GetFieldAccess::NamedStructField { name } => Expr::Literal(name.clone(), None),
            GetFieldAccess::ListIndex { key } => key.as_ref().clone(),
            GetFieldAccess::ListRange { .. } => return Ok(PlannerResult::Original(access)),
        };
        Ok(match registry().scalar.get(function) {
            Some(function) => PlannerResult::Planned(function.call(vec![access.expr, key])),
            None => PlannerResult::Original(access),
        })
    }
}

/// Whether a position stands in the text of the query, and is none before the first.
fn is_positive(key: &Expr) -> bool {
    match key {
        Expr::Literal(ScalarValue::Int32(Some(position)), _) => *position > 0,
        Expr::Literal(ScalarValue::Int64(Some(position)), _) => *position > 0,
        _ => false,
    }
}
