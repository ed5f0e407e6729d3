//! Types inside expressions (`CAST(x AS TIMESTAMP(3))`) are those of columns: see [`crate::types`]; and the types of expressions.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DFSchema, Result as PlanResult};
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable};
use datafusion::sql::sqlparser::ast as sp;

use super::literals;
use super::provider::external;
use crate::functions::own_type;

/// Maps the types of casts.
#[derive(Debug)]
pub(super) struct Types;

impl TypePlanner for Types {
    fn plan_type_field(&self, sql_type: &sp::DataType) -> PlanResult<Option<FieldRef>> {
        if literals::is_mark(sql_type) {
            return Ok(Some(Arc::new(Field::new("", DataType::Int32, true))));
        }
        let found = crate::types::from_sqlparser(sql_type).map_err(external)?;
        Ok(Some(Arc::new(Field::new("", found.arrow, true))))
    }
}

/// The type of an expression over these columns. For a chain of operators the planner's own `get_type` writes out the name of
/// every part of the chain, which for hundreds of them takes seconds.
pub(super) fn type_of(expr: &Expr, input: &DFSchema) -> PlanResult<DataType> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            BinaryTypeCoercer::new(&type_of(left, input)?, op, &type_of(right, input)?).get_result_type()
        }
        Expr::ScalarFunction(call) => {
            let types = call.args.iter().map(|arg| type_of(arg, input)).collect::<PlanResult<Vec<_>>>()?;
            own_type(&call.func, &types).map_or_else(|| expr.get_type(input), Ok)
        }
        other => other.get_type(input),
    }
}
