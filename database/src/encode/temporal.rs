//! Dates, times, timestamps and intervals as PostgreSQL prints them in `ISO` style.

use std::fmt::Write;

use arrow::array::Array;
use arrow::array::cast::AsArray;
use arrow::array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, DurationMicrosecondType, DurationMillisecondType,
    DurationNanosecondType, DurationSecondType, IntervalDayTimeType, IntervalMonthDayNanoType, IntervalYearMonthType,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use chrono::{DateTime, Datelike, NaiveDateTime, Offset, TimeZone, Timelike};

use super::TextStyle;

/// A moment or a span as whole seconds and the nanoseconds that are left, 0 to 999,999,999.
type SecondsNanos = (i64, u32);

/// Appends a temporal value, which is not null.
pub(super) fn write(array: &dyn Array, row: usize, style: TextStyle, out: &mut String) {
    match array.data_type() {
        DataType::Date32 => date(i64::from(native::<Date32Type>(array, row)) * 86_400, out),
        DataType::Date64 => date(native::<Date64Type>(array, row).div_euclid(1_000), out),
        DataType::Time32(_) | DataType::Time64(_) => {
            let (seconds, nanos) = seconds_nanos(array, row);
            clock(seconds, nanos, out);
        }
        DataType::Timestamp(_, zone) => timestamp(seconds_nanos(array, row), zone.is_some(), style, out),
        DataType::Duration(_) => {
            let (seconds, nanos) = seconds_nanos(array, row);
            interval(0, 0, i128::from(seconds) * 1_000_000_000 + i128::from(nanos), out);
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            interval(native::<IntervalYearMonthType>(array, row), 0, 0, out);
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            let value = native::<IntervalDayTimeType>(array, row);
            interval(0, value.days, i128::from(value.milliseconds) * 1_000_000, out);
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let value = native::<IntervalMonthDayNanoType>(array, row);
            interval(value.months, value.days, i128::from(value.nanoseconds), out);
        }
        other => debug_assert!(false, "{other} is not temporal"),
    }
}

/// The value of a time, timestamp or duration in seconds and nanoseconds.
pub fn seconds_nanos(array: &dyn Array, row: usize) -> (i64, u32) {
    let (value, per_second) = match array.data_type() {
        DataType::Time32(TimeUnit::Second) => (i64::from(native::<Time32SecondType>(array, row)), 1),
        DataType::Time32(_) => (i64::from(native::<Time32MillisecondType>(array, row)), 1_000),
        DataType::Time64(TimeUnit::Nanosecond) => (native::<Time64NanosecondType>(array, row), 1_000_000_000),
        DataType::Time64(_) => (native::<Time64MicrosecondType>(array, row), 1_000_000),
        DataType::Timestamp(TimeUnit::Second, _) => (native::<TimestampSecondType>(array, row), 1),
        DataType::Timestamp(TimeUnit::Millisecond, _) => (native::<TimestampMillisecondType>(array, row), 1_000),
        DataType::Timestamp(TimeUnit::Microsecond, _) => (native::<TimestampMicrosecondType>(array, row), 1_000_000),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => (native::<TimestampNanosecondType>(array, row), 1_000_000_000),
        DataType::Duration(TimeUnit::Second) => (native::<DurationSecondType>(array, row), 1),
        DataType::Duration(TimeUnit::Millisecond) => (native::<DurationMillisecondType>(array, row), 1_000),
        DataType::Duration(TimeUnit::Microsecond) => (native::<DurationMicrosecondType>(array, row), 1_000_000),
        DataType::Duration(TimeUnit::Nanosecond) => (native::<DurationNanosecondType>(array, row), 1_000_000_000),
        other => {
            debug_assert!(false, "{other} has no seconds");
            (0, 1)
        }
    };
    let nanos = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
    (value.div_euclid(per_second), u32::try_from(nanos).unwrap_or(0))
}

fn native<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> T::Native {
    array.as_primitive::<T>().value(row)
}

fn date(seconds: i64, out: &mut String) {
    match DateTime::from_timestamp(seconds, 0) {
        Some(at) => day(&at.naive_utc(), out),
        None => out.push_str(if seconds > 0 { "infinity" } else { "-infinity" }),
    }
}

fn timestamp((seconds, nanos): SecondsNanos, zoned: bool, style: TextStyle, out: &mut String) {
    let Some(utc) = DateTime::from_timestamp(seconds, nanos) else {
        out.push_str(if seconds > 0 { "infinity" } else { "-infinity" });
        return;
    };
    if !zoned {
        let at = utc.naive_utc();
        day(&at, out);
        out.push(' ');
        clock(i64::from(at.num_seconds_from_midnight()), nanos, out);
        return;
    }
    let local = style.time_zone.from_utc_datetime(&utc.naive_utc());
    let at = local.naive_local();
    day(&at, out);
    out.push(' ');
    clock(i64::from(at.num_seconds_from_midnight()), nanos, out);
    zone_offset(local.offset().fix().local_minus_utc(), out);
}

fn day(at: &NaiveDateTime, out: &mut String) {
    // Writing to a string does not fail, here and below.
    let _ = write!(out, "{:04}-{:02}-{:02}", at.year(), at.month(), at.day());
}

fn clock(seconds: i64, nanos: u32, out: &mut String) {
    let _ = write!(out, "{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    fraction(nanos, out);
}

fn fraction(nanos: u32, out: &mut String) {
    if nanos == 0 {
        return;
    }
    let digits = format!("{nanos:09}");
    out.push('.');
    out.push_str(digits.trim_end_matches('0'));
}

fn zone_offset(seconds: i32, out: &mut String) {
    let sign = if seconds < 0 { '-' } else { '+' };
    let seconds = seconds.abs();
    let _ = write!(out, "{sign}{:02}", seconds / 3_600);
    if seconds % 3_600 != 0 {
        let _ = write!(out, ":{:02}", seconds / 60 % 60);
    }
}

/// `1 year 2 mons 3 days 04:05:06.7`, as `intervalstyle = postgres`.
fn interval(months: i32, days: i32, nanos: i128, out: &mut String) {
    let start = out.len();
    let part = |count: i32, unit: &str, out: &mut String| {
        if count != 0 {
            let space = if out.len() > start { " " } else { "" };
            let plural = if count == 1 { "" } else { "s" };
            let _ = write!(out, "{space}{count} {unit}{plural}");
        }
    };
    part(months / 12, "year", out);
    part(months % 12, "mon", out);
    part(days, "day", out);
    if nanos == 0 && out.len() > start {
        return;
    }
    if out.len() > start {
        out.push(' ');
    }
    if nanos < 0 {
        out.push('-');
    }
    let nanos = nanos.unsigned_abs();
    let seconds = i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX);
    clock(seconds, u32::try_from(nanos % 1_000_000_000).unwrap_or(0), out);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Date32Array, IntervalMonthDayNanoArray, TimestampMillisecondArray};
    use arrow::datatypes::IntervalMonthDayNano;
    use chrono_tz::Tz;

    use crate::encode::{TextStyle, text_value};

    fn text(array: ArrayRef, zone: Tz) -> String {
        text_value(array.as_ref(), 0, TextStyle { time_zone: zone }).unwrap_or_default()
    }

    #[test]
    fn timestamps_lose_needless_fractions() {
        let plain = |ms| Arc::new(TimestampMillisecondArray::from(vec![ms])) as ArrayRef;
        assert_eq!(text(plain(1_436_918_401_000), Tz::UTC), "2015-07-15 00:00:01");
        assert_eq!(text(plain(1_436_918_401_250), Tz::UTC), "2015-07-15 00:00:01.25");
    }

    #[test]
    fn zoned_timestamps_show_the_session_zone() {
        let zoned = Arc::new(TimestampMillisecondArray::from(vec![1_436_918_401_000]).with_timezone("UTC"));
        assert_eq!(text(zoned.clone(), Tz::UTC), "2015-07-15 00:00:01+00");
        assert_eq!(text(zoned, Tz::Asia__Kolkata), "2015-07-15 05:30:01+05:30");
    }

    #[test]
    fn dates_and_intervals() {
        assert_eq!(text(Arc::new(Date32Array::from(vec![16_631])), Tz::UTC), "2015-07-15");
        let span = IntervalMonthDayNano::new(14, 3, 14_706_500_000_000);
        let span: ArrayRef = Arc::new(IntervalMonthDayNanoArray::from(vec![span]));
        assert_eq!(text(span, Tz::UTC), "1 year 2 mons 3 days 04:05:06.5");
    }
}
