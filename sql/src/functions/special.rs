//! Functions that become expressions when a query is bound (`IF` evaluates one side only), and those whose result hangs
//! on types: `TYPEOF`, `ELEMENT`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, StringArray, UInt32Array};
use arrow::compute::{cast as cast_array, take};
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::functions::math::expr_fn::{floor, random};
use datafusion::functions_nested::expr_fn::array_sort;
use datafusion::logical_expr::{Case, Expr, ScalarUDF, cast, lit};

use super::support::{Args, function};
use super::{clock, seeded};
use crate::types::flink_name;

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function("if", &[], "IF(condition, a, b)", branches, unreplaced),
        function("localtime", &[], "LOCALTIME", time, unreplaced),
        function("localtimestamp", &[], "LOCALTIMESTAMP", timestamp, unreplaced),
        function("rand", &[], "RAND([seed])", seed, unreplaced),
        function("rand_integer", &[], "RAND_INTEGER([seed,] bound)", bound, unreplaced),
        function("typeof", &[], "TYPEOF(value)", any_to_text, unreplaced_type),
        function("element", &[], "ELEMENT(array)", element_types, element),
        function("e", &[], "E()", no_arguments, |args| {
            Ok(Arc::new(Float64Array::from(vec![std::f64::consts::E; args.rows])))
        }),
    ]
}

/// What a call stands for; `None` where it stands for itself.
pub(crate) fn replaced(name: &str, args: &[Expr]) -> Option<Result<Expr>> {
    Some(match (name, args) {
        // Its branches are given one type later.
        ("if", [condition, then, otherwise]) => {
            let branch = (Box::new(condition.clone()), Box::new(then.clone()));
            Ok(Expr::Case(Case::new(None, vec![branch], Some(Box::new(otherwise.clone())))))
        }
        ("rand", []) => Ok(random()),
        ("rand", [seed]) => constant(seed).map(|seed| seeded::call(seed, None)),
        ("rand_integer", [seed, bound]) => {
            let bound = constant(bound).map(|bound| i32::try_from(bound).unwrap_or(i32::MAX));
            bound.and_then(|bound| Ok(seeded::call(constant(seed)?, Some(bound))))
        }
        ("rand_integer", [bound]) => {
            Ok(cast(floor(random() * cast(bound.clone(), DataType::Float64)), DataType::Int32))
        }
        ("unix_timestamp", []) => {
            let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
            Ok(cast(cast(now(), micros), DataType::Int64) / lit(1_000_000_i64))
        }
        ("current_date", []) => Ok(cast(now(), DataType::Date32)),
        ("current_time" | "localtime", []) => {
            Ok(cast(cast(now(), super::calendar::MICROS), DataType::Time64(TimeUnit::Microsecond)))
        }
        ("localtimestamp", []) => Ok(cast(now(), super::calendar::MICROS)),
        ("to_timestamp_ltz", [number, Expr::Literal(precision, _)]) => return fine_moment(number, precision),
        ("coalesce" | "nvl", [first, rest @ ..]) => Ok(first_of(first, rest)),
        ("array_sort", [array, Expr::Literal(ScalarValue::Boolean(Some(up)), _)]) => Ok(sorted(array, *up, *up)),
        (
            "array_sort",
            [
                array,
                Expr::Literal(ScalarValue::Boolean(Some(up)), _),
                Expr::Literal(ScalarValue::Boolean(Some(nulls_first)), _),
            ],
        ) => Ok(sorted(array, *up, *nulls_first)),
        _ => return None,
    })
}

fn now() -> Expr {
    clock::now().call(Vec::new())
}

/// `TO_TIMESTAMP_LTZ(number, 6)` and `(number, 9)`, whose types have more digits than that of other precisions.
fn fine_moment(number: &Expr, precision: &ScalarValue) -> Option<Result<Expr>> {
    let unit = match precision {
        ScalarValue::Int32(Some(6)) => TimeUnit::Microsecond,
        ScalarValue::Int32(Some(9)) => TimeUnit::Nanosecond,
        _ => return None,
    };
    Some(Ok(cast(cast(number.clone(), DataType::Int64), DataType::Timestamp(unit, Some("UTC".into())))))
}

/// The first that is not null, as conditions: the engine evaluates no `coalesce`.
fn first_of(first: &Expr, rest: &[Expr]) -> Expr {
    let conditions = |value: &Expr| (Box::new(value.clone().is_not_null()), Box::new(value.clone()));
    match rest.split_last() {
        None => first.clone(),
        Some((last, middle)) => {
            let branches = std::iter::once(first).chain(middle).map(conditions).collect();
            Expr::Case(Case::new(None, branches, Some(Box::new(last.clone()))))
        }
    }
}

fn sorted(array: &Expr, up: bool, nulls_first: bool) -> Expr {
    let nulls = if nulls_first { "NULLS FIRST" } else { "NULLS LAST" };
    array_sort(array.clone(), lit(if up { "ASC" } else { "DESC" }), lit(nulls))
}

/// The types of what is replaced before it is run; the planner asks for them.
fn branches(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    match types {
        [_, then, otherwise] => {
            let returns = if *then == DataType::Null { otherwise } else { then };
            Some((returns.clone(), types.to_vec()))
        }
        _ => None,
    }
}

fn time(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    types.is_empty().then(|| (DataType::Time64(TimeUnit::Microsecond), Vec::new()))
}

fn timestamp(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    types.is_empty().then(|| (super::calendar::MICROS, Vec::new()))
}

/// A whole number that stands in the text of the query.
fn constant(expr: &Expr) -> Result<i64> {
    let refuse = || DataFusionError::Plan("the seed and the bound of RAND must be constants".into());
    match expr {
        Expr::Negative(inner) => constant(inner)?.checked_neg().ok_or_else(refuse),
        Expr::Cast(cast) => constant(&cast.expr),
        Expr::Literal(value, _) => match value.cast_to(&DataType::Int64)? {
            ScalarValue::Int64(Some(number)) => Ok(number),
            _ => Err(refuse()),
        },
        _ => Err(refuse()),
    }
}

fn seed(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    let fits = types.len() <= 1 && types.iter().all(DataType::is_integer);
    fits.then(|| (DataType::Float64, types.to_vec()))
}

fn bound(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    match types {
        [bound] | [_, bound] if bound.is_integer() => Some((DataType::Int32, types.to_vec())),
        _ => None,
    }
}

fn unreplaced(_args: &Args) -> Result<ArrayRef> {
    Err(DataFusionError::Internal("a function was not replaced".into()))
}

fn any_to_text(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    (types.len() == 1).then(|| (DataType::Utf8, types.to_vec()))
}

fn unreplaced_type(args: &Args) -> Result<ArrayRef> {
    let name = flink_name(args.column(0)?.data_type());
    Ok(Arc::new(StringArray::from(vec![name; args.rows])))
}

fn no_arguments(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    types.is_empty().then(|| (DataType::Float64, Vec::new()))
}

fn element_types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    match types {
        [DataType::List(item)] => Some((item.data_type().clone(), vec![DataType::List(Arc::clone(item))])),
        _ => None,
    }
}

/// The only element of each array.
fn element(args: &Args) -> Result<ArrayRef> {
    let column = args.column(0)?;
    let list = column.as_list::<i32>();
    let mut places = Vec::with_capacity(list.len());
    for row in 0..list.len() {
        let length = if list.is_null(row) { 0 } else { list.value_length(row) };
        if length > 1 {
            return Err(DataFusionError::Execution("ELEMENT of an array with more than one element".into()));
        }
        let start = list.value_offsets().get(row).and_then(|start| u32::try_from(*start).ok());
        places.push(start.filter(|_| length == 1));
    }
    let found = take(list.values(), &UInt32Array::from(places), None)?;
    Ok(cast_array(&found, &args.returns)?)
}
