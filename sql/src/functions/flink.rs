//! What functions mean where `sql.semantics` is `flink` and Flink's meaning is not PostgreSQL's. `docs/semantics.md` has
//! the list.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::functions::math::expr_fn::{floor, ln};
use datafusion::logical_expr::{Expr, ScalarUDF, cast, lit, when};

use super::registry;

/// What Flink means by a call; `None` where it means the same as PostgreSQL.
pub(crate) fn in_flink(function: &Arc<ScalarUDF>, args: &[Expr]) -> Option<Result<Expr>> {
    let call = || function.call(args.to_vec());
    let other = |name: &str| registry().scalar.get(name).map(|function| Ok(function.call(args.to_vec())));
    match (function.name(), args) {
        ("concat" | "greatest" | "least", _) => Some(null_with_nulls(args, call())),
        ("log", [number]) => Some(Ok(ln(number.clone()))),
        ("regexp_replace", [text, regex, new]) => {
            Some(Ok(function.call(vec![text.clone(), regex.clone(), new.clone(), lit("g")])))
        }
        ("json_exists", _) => other("flink_json_exists"),
        ("json_value", _) => other("flink_json_value"),
        ("json_object", _) => other("flink_json_object"),
        // Of a group without rows.
        ("json_arrayagg", [_, rows]) => Some(when(rows.clone().is_null(), lit("[]")).otherwise(call())),
        ("json_objectagg", [_, rows]) => {
            let object = other("flink_json_objectagg")?;
            Some(object.and_then(|object| when(rows.clone().is_null(), lit("{}")).otherwise(object)))
        }
        ("chr", [_]) => other("flink_chr"),
        ("overlaps", [_, _, _, _]) => other("flink_overlaps"),
        ("left", [_, _]) => other("flink_left"),
        ("right", [_, _]) => other("flink_right"),
        ("substr", [_, _] | [_, _, _]) => other("flink_substr"),
        ("lpad" | "rpad", [_, length, pad]) => {
            let fills = length.clone().gt_eq(lit(0_i64)).and(pad.clone().not_eq(lit("")));
            Some(when(fills, call()).end())
        }
        // The square root of less than nothing is not a number.
        ("sqrt", [number]) => {
            let number = cast(number.clone(), DataType::Float64);
            Some(when(number.lt(lit(0.0)), lit(f64::NAN)).otherwise(call()))
        }
        // From 1 for Sunday.
        ("date_part", [Expr::Literal(part, _), at]) if is_weekday(part) => other_of("dayofweek", at),
        ("date_part", [Expr::Literal(part, _), _]) => within_second(part, call()),
        ("array_position", [_, _]) => {
            Some(when(call().is_null(), lit(0_i32)).otherwise(call()).and_then(|found| null_with_nulls(args, found)))
        }
        ("array_append", [array, _]) => Some(null_with_nulls(std::slice::from_ref(array), call())),
        ("array_concat", _) => Some(null_with_nulls(args, call())),
        // The end 0 is the first element, as the start 0 is.
        ("array_slice", [array, start, end]) => {
            let end = when(end.clone().eq(lit(0_i64)), lit(1_i64)).otherwise(end.clone());
            Some(end.map(|end| function.call(vec![array.clone(), start.clone(), end])))
        }
        ("map", [_, _]) => other("flink_map"),
        ("overlay", [_, _, _] | [_, _, _, _]) => other("flink_overlay"),
        ("initcap", [_]) => other("flink_initcap"),
        _ => None,
    }
}

fn is_weekday(part: &ScalarValue) -> bool {
    let (ScalarValue::Utf8(Some(part)) | ScalarValue::Utf8View(Some(part))) = part else { return false };
    matches!(part.to_ascii_lowercase().as_str(), "dow" | "dayofweek")
}

/// A part of a moment as `BIGINT`: `EPOCH` without its fraction, parts of a second without the seconds.
fn within_second(part: &ScalarValue, call: Expr) -> Option<Result<Expr>> {
    let (ScalarValue::Utf8(Some(part)) | ScalarValue::Utf8View(Some(part))) = part else { return None };
    let per_second: i64 = match part.to_ascii_lowercase().as_str() {
        "epoch" => return Some(Ok(cast(floor(call), DataType::Int64))),
        "millisecond" | "milliseconds" => 1_000,
        "microsecond" | "microseconds" => 1_000_000,
        "nanosecond" | "nanoseconds" => 1_000_000_000,
        _ => return None,
    };
    Some(Ok(cast(call, DataType::Int64) % lit(per_second)))
}

/// The call of a function of one argument.
fn other_of(name: &str, arg: &Expr) -> Option<Result<Expr>> {
    registry().scalar.get(name).map(|function| Ok(function.call(vec![arg.clone()])))
}

/// Null where an argument is.
fn null_with_nulls(args: &[Expr], value: Expr) -> Result<Expr> {
    match args.iter().cloned().map(Expr::is_not_null).reduce(Expr::and) {
        Some(all) => when(all, value).end(),
        None => Ok(value),
    }
}
