//! Casts between timestamps without zone and moments (`TIMESTAMP_LTZ`) go by the clock in the zone of the session, and
//! values become text as SQL has it.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result as PlanResult};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, ScalarUDF, cast, try_cast};

use super::rewrite;
use super::types::type_of;
use crate::bound::BindContext;
use crate::catalog::Semantics;
use crate::error::Result;
use crate::functions::{
    Padding, Reading, has_own_text, is_padded, moment_of, moment_seconds, padded_time, readable_decimal, registry,
    rounded_clock, text_moment, timestamp_text, value_text, wall_clock, wall_seconds,
};

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
        _ => return of_clock(expr, input, context),
    };
    let Ok(from) = type_of(value, input) else { return Ok(Transformed::no(expr)) };
    let to_type = |value: Expr, to: DataType| if trying { try_cast(value, to) } else { cast(value, to) };
    let (zone, mut value) = (context.time_zone.as_str(), value.clone());
    let reads = is_text(&from) && is_time(&to) && !is_padded(&value);
    let flink = context.semantics == Semantics::Flink;
    if reads {
        let text = if from == DataType::Utf8 { value } else { cast(value, DataType::Utf8) };
        value = padded_time(text, padding(&to, flink));
    }
    if is_text(&from)
        && let Some(number) = readable_decimal(&value, &to)
    {
        return Ok(Transformed::yes(to_type(number, to)));
    }
    let as_text = |text: Expr, to: DataType| if to == DataType::Utf8 { text } else { cast(text, to) };
    Ok(match (&from, &to) {
        (DataType::Timestamp(..), _) if is_text(&to) => {
            Transformed::yes(as_text(timestamp_text(value, zone, flink), to))
        }
        (of, _) if is_text(&to) && has_own_text(of, flink) => {
            Transformed::yes(as_text(value_text(value, zone, flink), to))
        }
        (_, DataType::Time32(TimeUnit::Millisecond)) if reads => Transformed::yes(rounded_clock(value, trying)),
        // One clock for all.
        _ if zone == UTC && reads => Transformed::yes(to_type(value, to)),
        _ if zone == UTC => Transformed::no(expr),
        (DataType::Date32 | DataType::Timestamp(_, None), DataType::Timestamp(unit, Some(of)))
            if of.as_ref() == UTC =>
        {
            Transformed::yes(moment_of(to_type(value, DataType::Timestamp(*unit, None)), zone, flink))
        }
        (text, DataType::Timestamp(unit, Some(of))) if of.as_ref() == UTC && is_text(text) => {
            if !reads {
                return Ok(Transformed::no(expr));
            }
            Transformed::yes(text_moment(value, zone, Reading { unit: *unit, flink, trying }))
        }
        (
            DataType::Timestamp(_, Some(_)),
            DataType::Timestamp(_, None) | DataType::Date32 | DataType::Time32(_) | DataType::Time64(_),
        ) => Transformed::yes(to_type(wall_clock(value, zone), to)),
        _ if reads => Transformed::yes(to_type(value, to)),
        _ => Transformed::no(expr),
    })
}

fn is_text(of: &DataType) -> bool {
    matches!(of, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8)
}

/// What a text is to be read as for a type.
fn padding(to: &DataType, flink: bool) -> Padding {
    match to {
        DataType::Time32(_) | DataType::Time64(_) if flink => Padding::FlinkClock,
        DataType::Time32(_) | DataType::Time64(_) => Padding::Clock,
        DataType::Date32 if flink => Padding::FlinkDate,
        _ => Padding::Moment,
    }
}

fn is_time(of: &DataType) -> bool {
    matches!(of, DataType::Date32 | DataType::Time32(_) | DataType::Time64(_) | DataType::Timestamp(..))
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

/// Those of them that give a moment for a moment.
const ROUNDING: [&str; 3] = ["date_trunc", "floor_to", "ceil_to"];

fn of_clock(expr: Expr, input: &DFSchema, context: &BindContext) -> PlanResult<Transformed<Expr>> {
    let zone = context.time_zone.as_str();
    let Expr::ScalarFunction(mut call) = expr else { return Ok(Transformed::no(expr)) };
    if zone == UTC {
        return Ok(Transformed::no(Expr::ScalarFunction(call)));
    }
    if let Some(inner) = in_utc(call.name(), &call.args, input) {
        return Ok(Transformed::yes(if call.name() == FROM_UNIXTIME {
            if let Some(seconds) = call.args.first_mut() {
                *seconds = wall_seconds(std::mem::take(seconds), zone);
            }
            inner.call(call.args)
        } else {
            moment_seconds(inner.call(call.args), zone)
        }));
    }
    let moment = |arg: &Expr| matches!(arg.get_type(input), Ok(DataType::Timestamp(_, Some(_))));
    let since_1970 = call.args.first().is_some_and(is_epoch) && context.semantics == Semantics::Postgres;
    if !OF_CLOCKS.contains(&call.name()) || since_1970 || !call.args.iter().any(moment) {
        return Ok(Transformed::no(Expr::ScalarFunction(call)));
    }
    let rounds = ROUNDING.contains(&call.name());
    let args = call.args.into_iter().map(|arg| if moment(&arg) { wall_clock(arg, zone) } else { arg });
    call.args = args.collect();
    let made = Expr::ScalarFunction(call);
    Ok(Transformed::yes(if rounds { moment_of(made, zone, context.semantics == Semantics::Flink) } else { made }))
}

/// Whether it is the name of the seconds since 1970, which no clock shows; in Flink they are those of the clock.
fn is_epoch(part: &Expr) -> bool {
    matches!(part, Expr::Literal(value, _) if value.try_as_str().flatten().is_some_and(|part| part.eq_ignore_ascii_case("epoch")))
}

const FROM_UNIXTIME: &str = "from_unixtime";

/// The function that reads or writes texts by the clock in UTC, of one that does by that of the session.
fn in_utc(name: &str, args: &[Expr], input: &DFSchema) -> Option<Arc<ScalarUDF>> {
    let text = |arg: &Expr| arg.get_type(input).is_ok_and(|of| is_text(&of));
    let name = match name {
        FROM_UNIXTIME => "from_unixtime_utc",
        "unix_timestamp" if args.first().is_some_and(text) => "unix_timestamp_utc",
        _ => return None,
    };
    registry().scalar.get(name).cloned()
}
