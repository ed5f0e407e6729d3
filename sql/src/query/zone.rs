//! Casts between timestamps without zone and moments (`TIMESTAMP_LTZ`) go by the clock in the zone of the session, and
//! timestamps become text as SQL has it.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result as PlanResult};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, cast, try_cast};

use super::rewrite;
use crate::bound::BindContext;
use crate::catalog::Semantics;
use crate::error::Result;
use crate::functions::{timestamp_text, wall_clock};

/// The zone that moments are kept in.
const UTC: &str = "UTC";

/// A plan whose casts of times are the right ones. After the analyzer, whose own casts are of the same kind.
pub(super) fn applied(plan: LogicalPlan, context: &BindContext) -> Result<LogicalPlan> {
    rewrite::expressions(plan, |expr, input| of_cast(expr, input, context))
}

fn of_cast(expr: Expr, input: &DFSchema, context: &BindContext) -> PlanResult<Transformed<Expr>> {
    let (value, to, trying) = match &expr {
        Expr::Cast(cast) => (cast.expr.as_ref(), cast.field.data_type().clone(), false),
        Expr::TryCast(cast) => (cast.expr.as_ref(), cast.field.data_type().clone(), true),
        _ => return of_clock(expr, input, context.time_zone.as_str()),
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

/// Functions that read a clock of moments: the one on the wall in the zone.
const OF_CLOCKS: [&str; 14] = [
    "date_part",
    "date_trunc",
    "year",
    "quarter",
    "month",
    "week",
    "dayofyear",
    "dayofmonth",
    "dayofweek",
    "hour",
    "minute",
    "second",
    "floor_to",
    "ceil_to",
];

fn of_clock(expr: Expr, input: &DFSchema, zone: &str) -> PlanResult<Transformed<Expr>> {
    let Expr::ScalarFunction(mut call) = expr else { return Ok(Transformed::no(expr)) };
    let moment = |arg: &Expr| matches!(arg.get_type(input), Ok(DataType::Timestamp(_, Some(_))));
    if zone == UTC || !OF_CLOCKS.contains(&call.name()) || !call.args.iter().any(moment) {
        return Ok(Transformed::no(Expr::ScalarFunction(call)));
    }
    let args = call.args.into_iter().map(|arg| if moment(&arg) { wall_clock(arg, zone) } else { arg });
    call.args = args.collect();
    Ok(Transformed::yes(Expr::ScalarFunction(call)))
}
