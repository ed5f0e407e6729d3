//! Intervals in the order of their lengths, with a month of 30 days and a day of 24 hours, as PostgreSQL has it. The functions
//! have no names that a user can call.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryBuilder, Decimal128Array, IntervalMonthDayNanoArray};
use arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::ScalarUDF;

use super::support::{Args, Types, function};

const LENGTH: DataType = DataType::Decimal128(38, 0);
const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
const NANOS_A_DAY: i128 = 86_400_000_000_000;
const DAYS_A_MONTH: i128 = 30;

/// The length of an interval, nanoseconds.
pub(crate) fn interval_length() -> Arc<ScalarUDF> {
    let types: Types = |types| (types == [INTERVAL]).then(|| (LENGTH, types.to_vec()));
    function("interval_length", &[], "interval_length(interval)", types, |args| {
        let lengths: Decimal128Array = intervals(args)?.as_primitive::<IntervalMonthDayNanoType>().unary(length);
        Ok(Arc::new(lengths.with_data_type(LENGTH)))
    })
}

/// An interval as bytes: those of a longer one are greater, and they tell which one it is.
pub(crate) fn interval_bytes() -> Arc<ScalarUDF> {
    let types: Types = |types| (types == [INTERVAL]).then(|| (DataType::Binary, types.to_vec()));
    function("interval_bytes", &[], "interval_bytes(interval)", types, |args| {
        let column = intervals(args)?;
        let mut bytes = BinaryBuilder::with_capacity(column.len(), column.len() * 2 * WIDTH);
        for interval in column.as_primitive::<IntervalMonthDayNanoType>() {
            bytes.append_option(interval.map(ordered));
        }
        Ok(Arc::new(bytes.finish()))
    })
}

/// The interval of such bytes.
pub(crate) fn interval_of_bytes() -> Arc<ScalarUDF> {
    let types: Types = |types| (types == [DataType::Binary]).then(|| (INTERVAL, types.to_vec()));
    function("interval_of_bytes", &[], "interval_of_bytes(bytes)", types, |args| {
        let column = args.column(0)?;
        let read = column.as_binary::<i32>().iter().map(|bytes| bytes.map(of_ordered).transpose());
        Ok(Arc::new(read.collect::<Result<IntervalMonthDayNanoArray>>()?))
    })
}

fn intervals(args: &Args) -> Result<ArrayRef> {
    let column = args.column(0)?;
    match column.data_type() {
        &INTERVAL => Ok(column),
        other => Err(DataFusionError::Internal(format!("the length of a {other}"))),
    }
}

/// In nanoseconds.
fn length(interval: IntervalMonthDayNano) -> i128 {
    let days = i128::from(interval.months) * DAYS_A_MONTH + i128::from(interval.days);
    days * NANOS_A_DAY + i128::from(interval.nanoseconds)
}

/// Bytes of a length, and of an interval.
const WIDTH: usize = 16;

/// The length with its sign turned, most significant byte first; then the interval.
fn ordered(interval: IntervalMonthDayNano) -> [u8; 2 * WIDTH] {
    let mut bytes = [0; 2 * WIDTH];
    let (order, value) = bytes.split_at_mut(WIDTH);
    order.copy_from_slice(&(length(interval) ^ i128::MIN).to_be_bytes());
    let [months, days] = [interval.months, interval.days].map(i32::to_be_bytes);
    let parts = months.into_iter().chain(days).chain(interval.nanoseconds.to_be_bytes());
    value.iter_mut().zip(parts).for_each(|(into, byte)| *into = byte);
    bytes
}

fn of_ordered(bytes: &[u8]) -> Result<IntervalMonthDayNano> {
    let value = bytes.get(WIDTH..).and_then(|value| value.first_chunk::<WIDTH>());
    let Some([a, b, c, d, e, f, g, h, nanos @ ..]) = value else {
        return Err(DataFusionError::Internal(format!("an interval of {} bytes", bytes.len())));
    };
    let (months, days) = (i32::from_be_bytes([*a, *b, *c, *d]), i32::from_be_bytes([*e, *f, *g, *h]));
    Ok(IntervalMonthDayNano::new(months, days, i64::from_be_bytes(*nanos)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_in_the_order_of_lengths() {
        let interval = IntervalMonthDayNano::new;
        let hour = 3_600_000_000_000;
        let rising = [
            interval(i32::MIN, i32::MIN, i64::MIN),
            interval(-1, 0, 0),
            interval(0, 0, -1),
            interval(0, 0, 0),
            interval(0, 1, -hour),
            interval(0, 0, 24 * hour + 1),
            interval(0, 31, 0),
            interval(2, -28, 0),
            interval(i32::MAX, i32::MAX, i64::MAX),
        ];
        assert!(rising.windows(2).all(|pair| ordered(pair[0]) < ordered(pair[1])));
        for one in rising {
            assert_eq!(of_ordered(&ordered(one)).unwrap(), one);
        }
        assert_eq!(length(interval(0, 0, 24 * hour)), length(interval(0, 1, 0)));
    }
}
