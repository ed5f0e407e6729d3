//! `INTERVAL '1' DAY * 2`, `2 * INTERVAL '1' DAY` and `INTERVAL '1' DAY / 2`, which DataFusion's planner has not: functions, and
//! the planner that calls them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, IntervalMonthDayNanoArray};
use arrow::datatypes::{DataType, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit};
use datafusion::common::{DFSchema, DataFusionError, Result};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{ExprSchemable, ScalarUDF};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::support::{Args, function};

/// What `interval * number` calls.
const TIMES: &str = "interval_times";
/// What `interval / number` calls.
const DIVIDED: &str = "interval_divided";

const DAYS_A_MONTH: f64 = 30.0;
const NANOS_A_DAY: f64 = 86_400e9;

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function(TIMES, &[], "interval * number", types, |args| scaled(args, Ok)),
        function(DIVIDED, &[], "interval / number", types, |args| {
            scaled(args, |factor| {
                if factor == 0.0 { Err(arrow::error::ArrowError::DivideByZero.into()) } else { Ok(1.0 / factor) }
            })
        }),
    ]
}

/// Plans products and quotients of intervals.
#[derive(Debug)]
pub(super) struct ScaledIntervals;

impl ExprPlanner for ScaledIntervals {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let name = match expr.op {
            BinaryOperator::Multiply => TIMES,
            BinaryOperator::Divide => DIVIDED,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let types = (expr.left.get_type(schema), expr.right.get_type(schema));
        let interval = |of: &Result<DataType>| matches!(of, Ok(DataType::Interval(_)));
        let number = |of: &Result<DataType>| of.as_ref().is_ok_and(DataType::is_numeric);
        let swapped = match (interval(&types.0) && number(&types.1), number(&types.0) && interval(&types.1)) {
            (true, _) => false,
            (_, true) if name == TIMES => true,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let args = if swapped { vec![expr.right, expr.left] } else { vec![expr.left, expr.right] };
        match super::registry().scalar.get(name) {
            Some(function) => Ok(PlannerResult::Planned(function.call(args))),
            None => Err(DataFusionError::Internal(format!("there is no function {name}"))),
        }
    }
}

fn types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    let interval = DataType::Interval(IntervalUnit::MonthDayNano);
    match types {
        [DataType::Interval(_), number] if number.is_numeric() => {
            Some((interval.clone(), vec![interval, DataType::Float64]))
        }
        _ => None,
    }
}

fn scaled(args: &Args, factor: impl Fn(f64) -> Result<f64>) -> Result<ArrayRef> {
    let (intervals, numbers) = (args.column(0)?, args.column(1)?);
    let (intervals, numbers) =
        (intervals.as_primitive::<IntervalMonthDayNanoType>(), numbers.as_primitive::<Float64Type>());
    let rows = (0..args.rows).map(|row| {
        if intervals.is_null(row) || numbers.is_null(row) {
            return Ok(None);
        }
        let out_of_range = || DataFusionError::Execution("interval out of range".to_owned());
        times(intervals.value(row), factor(numbers.value(row))?).map(Some).ok_or_else(out_of_range)
    });
    Ok(Arc::new(rows.collect::<Result<IntervalMonthDayNanoArray>>()?))
}

/// As PostgreSQL: what is left of a month goes into days, what is left of a day into its time.
fn times(interval: IntervalMonthDayNano, factor: f64) -> Option<IntervalMonthDayNano> {
    let (months, days) = (f64::from(interval.months) * factor, f64::from(interval.days) * factor);
    let left_of_months = rounded(months.fract() * DAYS_A_MONTH);
    let left_of_days = rounded(days.fract() + left_of_months.fract());
    let days = days.trunc() + left_of_months.trunc() + left_of_days.trunc();
    #[expect(clippy::cast_precision_loss, reason = "a double has the digits of PostgreSQL's result")]
    let nanos = interval.nanoseconds as f64 * factor + left_of_days.fract() * NANOS_A_DAY;
    // To microseconds.
    Some(IntervalMonthDayNano::new(whole(months)?, whole(days)?, long((nanos / 1e3).round() * 1e3)?))
}

/// Without what reckoning in doubles adds.
fn rounded(days: f64) -> f64 {
    (days * 1e9).round() / 1e9
}

#[expect(clippy::cast_possible_truncation, reason = "it is looked at before")]
fn whole(number: f64) -> Option<i32> {
    let number = number.trunc();
    (number >= f64::from(i32::MIN) && number <= f64::from(i32::MAX)).then_some(number as i32)
}

#[expect(clippy::cast_possible_truncation, reason = "it is looked at before")]
fn long(number: f64) -> Option<i64> {
    (number.abs() < 9.2e18).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_unit_goes_into_the_next() {
        let interval = IntervalMonthDayNano::new;
        let hour = 3_600_000_000_000;
        assert_eq!(times(interval(0, 1, 0), 1.5), Some(interval(0, 1, 12 * hour)));
        assert_eq!(times(interval(1, 0, 0), 2.5), Some(interval(2, 15, 0)));
        assert_eq!(times(interval(1, 1, hour), -2.0), Some(interval(-2, -2, -2 * hour)));
        assert_eq!(times(interval(0, 0, hour), 1.0 / 3.0), Some(interval(0, 0, hour / 3)));
        assert_eq!(times(interval(i32::MAX, 0, 0), 2.0), None);
    }
}
