//! `(a, b) OVERLAPS (c, d)`: whether two spans of time have a moment in common. An end may be given as an interval.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::cast;
use arrow::compute::kernels::numeric::add;
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::ScalarUDF;

use super::calendar::MICROS;
use super::support::{Args, function, is_text};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    const USAGE: &str = "(start, end) OVERLAPS (start, end)";
    vec![
        function("overlaps", &[], USAGE, types, |args| overlaps(args, false)),
        function("flink_overlaps", &[], USAGE, types, |args| overlaps(args, true)),
    ]
}

fn types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    let moment = |of: &DataType| matches!(of, DataType::Timestamp(..) | DataType::Date32 | DataType::Null);
    let time = |of: &DataType| matches!(of, DataType::Time32(_) | DataType::Time64(_));
    let point = |of: &DataType| match of {
        of if time(of) => Some(of.clone()),
        of if moment(of) || is_text(of) => Some(MICROS),
        _ => None,
    };
    let [a, b, c, d] = types else { return None };
    let end = |of: &DataType| if matches!(of, DataType::Interval(_)) { Some(of.clone()) } else { point(of) };
    Some((DataType::Boolean, vec![point(a)?, end(b)?, point(c)?, end(d)?]))
}

/// Microseconds.
fn moments(column: &ArrayRef) -> Result<ArrayRef> {
    match column.data_type() {
        DataType::Time32(_) | DataType::Time64(_) => {
            let micros = cast(column, &DataType::Time64(arrow::datatypes::TimeUnit::Microsecond))?;
            let micros = cast(&micros, &DataType::Int64)?;
            let micros = micros.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
            Ok(Arc::new(micros.reinterpret_cast::<TimestampMicrosecondType>()))
        }
        _ => Ok(cast(column, &MICROS)?),
    }
}

fn wrong() -> DataFusionError {
    DataFusionError::Internal("OVERLAPS of what is no time".into())
}

/// `closed`: the end of a span belongs to it, as in Flink; in PostgreSQL only where it is its start.
fn overlaps(args: &Args, closed: bool) -> Result<ArrayRef> {
    let span = |index: usize| -> Result<(ArrayRef, ArrayRef)> {
        let (start, end) = (moments(&args.column(index)?)?, args.column(index + 1)?);
        let end = match end.data_type() {
            DataType::Interval(_) => add(&start, &end)?,
            _ => moments(&end)?,
        };
        Ok((start, end))
    };
    let ((a, b), (c, d)) = (span(0)?, span(2)?);
    let value = |column: &ArrayRef, row: usize| {
        let column = column.as_primitive_opt::<TimestampMicrosecondType>()?;
        column.is_valid(row).then(|| column.value(row))
    };
    let row = |row: usize| {
        let sorted = |one: Option<i64>, other: Option<i64>| Some((one?.min(other?), one?.max(other?)));
        let (first, first_end) = sorted(value(&a, row), value(&b, row))?;
        let (second, second_end) = sorted(value(&c, row), value(&d, row))?;
        Some(match closed {
            true => first <= second_end && second <= first_end,
            false => first == second || (first < second_end && second < first_end),
        })
    };
    Ok(Arc::new((0..args.rows).map(row).collect::<BooleanArray>()))
}
