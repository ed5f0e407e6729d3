//! Casts between timestamps without zone and moments (`TIMESTAMP_LTZ`) go by the clock in the zone of the session, and
//! timestamps become text as SQL has it.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result as PlanResult};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, cast, try_cast};

use super::from_datafusion;
use crate::bound::BindContext;
use crate::catalog::Semantics;
use crate::error::Result;
use crate::functions::{timestamp_text, wall_clock};

/// The zone that moments are kept in.
const UTC: &str = "UTC";

/// A plan whose casts of times are the right ones. After the analyzer, whose own casts are of the same kind.
pub(super) fn applied(plan: LogicalPlan, context: &BindContext) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let mut input = DFSchema::empty();
        match &node {
            LogicalPlan::TableScan(scan) => input.merge(&scan.projected_schema),
            other => other.inputs().iter().for_each(|child| input.merge(child.schema())),
        }
        let names = NamePreserver::new(&node);
        let mapped = node.map_expressions(|expr| {
            let name = names.save(&expr);
            let rewritten = expr.transform_up(|expr| of_cast(expr, &input, context))?;
            Ok(if rewritten.transformed { Transformed::yes(name.restore(rewritten.data)) } else { rewritten })
        })?;
        if mapped.transformed { mapped.map_data(LogicalPlan::recompute_schema) } else { Ok(mapped) }
    });
    Ok(rewritten.map_err(from_datafusion)?.data)
}

fn of_cast(expr: Expr, input: &DFSchema, context: &BindContext) -> PlanResult<Transformed<Expr>> {
    let (value, to, trying) = match &expr {
        Expr::Cast(cast) => (cast.expr.as_ref(), cast.field.data_type().clone(), false),
        Expr::TryCast(cast) => (cast.expr.as_ref(), cast.field.data_type().clone(), true),
        _ => return Ok(Transformed::no(expr)),
    };
    let Ok(from) = value.get_type(input) else { return Ok(Transformed::no(expr)) };
    let to_type = |value: Expr, to: DataType| if trying { try_cast(value, to) } else { cast(value, to) };
    let (zone, value) = (context.time_zone.as_str(), value.clone());
    Ok(match (&from, &to) {
        (DataType::Timestamp(..), DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8) => {
            let text = timestamp_text(value, zone, context.semantics == Semantics::Flink);
            Transformed::yes(if to == DataType::Utf8 { text } else { cast(text, to) })
        }
        // One clock for all.
        _ if zone == UTC => Transformed::no(expr),
        (DataType::Date32, DataType::Timestamp(unit, Some(of))) if of.as_ref() == UTC => {
            let midnight = to_type(value, DataType::Timestamp(*unit, None));
            Transformed::yes(cast(to_type(midnight, DataType::Timestamp(*unit, Some(zone.into()))), to))
        }
        (
            DataType::Timestamp(_, None) | DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8,
            DataType::Timestamp(unit, Some(of)),
        ) if of.as_ref() == UTC => {
            Transformed::yes(cast(to_type(value, DataType::Timestamp(*unit, Some(zone.into()))), to))
        }
        (
            DataType::Timestamp(_, Some(_)),
            DataType::Timestamp(_, None) | DataType::Date32 | DataType::Time32(_) | DataType::Time64(_),
        ) => Transformed::yes(to_type(wall_clock(value, zone), to)),
        _ => Transformed::no(expr),
    })
}
