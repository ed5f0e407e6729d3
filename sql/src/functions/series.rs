//! `generate_series` and `range`: DataFusion's, with a bound on how long a series may be.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, IntervalMonthDayNanoType, TimeUnit};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::ScalarUDF;

use super::checked::{Check, checked};

/// Elements that the series of one batch of rows may have: what they take must fit into memory.
const ELEMENTS_MAX: i128 = 1 << 24;

/// The names of the functions, which are DataFusion's.
pub(super) const NAMES: [&str; 2] = ["generate_series", "range"];

/// One of these functions, its calls looked at before they are made.
pub(super) fn bounded(function: &Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    checked(function, Bounded)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded;

impl Check for Bounded {
    fn check(&self, name: &str, columns: &[ArrayRef], rows: usize) -> Result<()> {
        let mut total: i128 = 0;
        for row in 0..rows {
            total = total.saturating_add(length(columns, row)?.unwrap_or(0));
            if total > ELEMENTS_MAX {
                let message = format!("{name} gives more than {ELEMENTS_MAX} values at once");
                return Err(DataFusionError::ResourcesExhausted(message));
            }
        }
        Ok(())
    }
}

/// About how many elements a series has; `None` where an argument is null.
fn length(columns: &[ArrayRef], row: usize) -> Result<Option<i128>> {
    let (start, stop, step) = match columns {
        [stop] => (None, stop, None),
        [start, stop] => (Some(start), stop, None),
        [start, stop, step, ..] => (Some(start), stop, Some(step)),
        [] => return Ok(None),
    };
    if columns.iter().any(|column| *column.data_type() == DataType::Null || column.is_null(row)) {
        return Ok(None);
    }
    let start = match start {
        Some(start) => position(start, row)?,
        None => 0,
    };
    let step = match step {
        Some(step) => stride(step, row)?,
        None => 1,
    };
    if step == 0 {
        return Ok(None);
    }
    Ok(Some(((position(stop, row)? - start) / step).max(0).saturating_add(1)))
}

/// A number, or microseconds.
fn position(column: &ArrayRef, row: usize) -> Result<i128> {
    let column = column.slice(row, 1);
    let numbers = match column.data_type() {
        DataType::Int64 => column,
        _ => cast(&cast(&column, &DataType::Timestamp(TimeUnit::Microsecond, None))?, &DataType::Int64)?,
    };
    Ok(i128::from(numbers.as_primitive::<Int64Type>().value(0)))
}

/// A number, or about as many microseconds; a stride below one counts as one.
fn stride(column: &ArrayRef, row: usize) -> Result<i128> {
    match column.as_primitive_opt::<IntervalMonthDayNanoType>() {
        Some(spans) => {
            let span = spans.value(row);
            let days = i128::from(span.months) * 28 + i128::from(span.days);
            let micros = days * 86_400_000_000 + i128::from(span.nanoseconds) / 1_000;
            Ok(if micros == 0 { i128::from(span.nanoseconds.signum()) } else { micros })
        }
        None => position(column, row),
    }
}
