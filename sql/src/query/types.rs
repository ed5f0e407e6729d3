//! Types inside expressions (`CAST(x AS TIMESTAMP(3))`) are those of columns: see [`crate::types`].

use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef};
use datafusion::common::Result as PlanResult;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast as sp;

use super::provider::external;

/// Maps the types of casts.
#[derive(Debug)]
pub(super) struct Types;

impl TypePlanner for Types {
    fn plan_type_field(&self, sql_type: &sp::DataType) -> PlanResult<Option<FieldRef>> {
        let found = crate::types::from_sqlparser(sql_type).map_err(external)?;
        Ok(Some(Arc::new(Field::new("", found.arrow, true))))
    }
}
