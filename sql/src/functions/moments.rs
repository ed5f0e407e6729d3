//! Arithmetic of dates and timestamps by calendar units: `TIMESTAMPADD`, `TIMESTAMPDIFF`, `FLOOR` and `CEIL` `TO` a unit,
//! `TO_DATE`, `CONVERT_TZ`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Int32Array, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, Datelike, LocalResult, Months, NaiveDate, NaiveDateTime, TimeZone};
use chrono_tz::Tz;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::ScalarUDF;

use super::calendar::MICROS;
use super::format::Format;
use super::support::Kind::{Date, Int, Moment, Text, Whole};
use super::support::{Args, all, function, is_text, is_whole, shaped, some};
use crate::parse::{EXTRACTED, TIMESTAMPADD_DATES};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        shaped("to_date", "TO_DATE(text [, pattern])", some(1, &[Text, Text], Date), to_date),
        shaped("convert_tz", "CONVERT_TZ(text, from zone, to zone)", all(&[Text, Text, Text], Text), convert_tz),
        function("timestampadd", &[], "TIMESTAMPADD(unit, number, timestamp)", add_types, add),
        function(TIMESTAMPADD_DATES, &[], "TIMESTAMPADD(unit, number, timestamp)", add_dates_types, add),
        shaped(EXTRACTED, "EXTRACT(unit FROM timestamp)", all(&[Whole], Whole), |args| args.column(0)),
        shaped("timestampdiff", "TIMESTAMPDIFF(unit, from, to)", all(&[Text, Moment, Moment], Int), difference),
        function("floor_to", &[], "FLOOR(timestamp TO unit)", floor_types, |args| round(args, false)),
        function("ceil_to", &[], "CEIL(timestamp TO unit)", floor_types, |args| round(args, true)),
    ]
}

/// A unit of the calendar: so many months, or so many microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Months(i32),
    Micros(i64),
    /// Seven days that start on Sunday.
    Week,
}

const DAY_US: i64 = 86_400_000_000;

fn unit(name: &str) -> Result<Unit> {
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("SQL_TSI_").unwrap_or(&name);
    Ok(match name.strip_suffix('S').unwrap_or(name) {
        "MICROSECOND" => Unit::Micros(1),
        "MILLISECOND" => Unit::Micros(1_000),
        "SECOND" => Unit::Micros(1_000_000),
        "MINUTE" => Unit::Micros(60_000_000),
        "HOUR" => Unit::Micros(3_600_000_000),
        "DAY" => Unit::Micros(DAY_US),
        "WEEK" => Unit::Week,
        "MONTH" => Unit::Months(1),
        "QUARTER" => Unit::Months(3),
        "YEAR" => Unit::Months(12),
        "DECADE" => Unit::Months(120),
        "CENTURY" => Unit::Months(1_200),
        "MILLENNIUM" => Unit::Months(12_000),
        _ => return Err(DataFusionError::Plan(format!("the time unit {name} is not known"))),
    })
}

/// The unit of a call, which the parser gives as a constant.
fn unit_of(args: &Args) -> Result<Unit> {
    match args.text(0)?.get(0) {
        Some(name) => unit(name),
        None => Err(DataFusionError::Plan("a time unit may not be null".into())),
    }
}

fn naive(us: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(us).map(|at| at.naive_utc())
}

fn micros(at: NaiveDateTime) -> i64 {
    at.and_utc().timestamp_micros()
}

fn add_months(us: i64, months: i64) -> Option<i64> {
    let by = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    let at = naive(us)?;
    let moved = if months < 0 { at.checked_sub_months(by) } else { at.checked_add_months(by) };
    moved.map(micros)
}

pub(super) fn out_of_range() -> DataFusionError {
    DataFusionError::Execution("timestamp out of range".into())
}

fn add_types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    match types {
        [unit, number, at] if is_text(unit) && is_whole(number) => {
            let (given, returns) = match at {
                DataType::Timestamp(..) => (at.clone(), at.clone()),
                // Only a unit of days or more leaves a date a date, and the types do not see the unit.
                DataType::Date32 => (at.clone(), millis()),
                text if is_text(text) => (millis(), millis()),
                _ => return None,
            };
            Some((returns, vec![DataType::Utf8, DataType::Int64, given]))
        }
        _ => None,
    }
}

/// Of a unit that a date has.
fn add_dates_types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    match types {
        [_, _, DataType::Date32] => add_types(types).map(|(_, given)| (DataType::Date32, given)),
        _ => add_types(types),
    }
}

fn millis() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

fn add(args: &Args) -> Result<ArrayRef> {
    let (unit, numbers, column) = (unit_of(args)?, args.wholes(1)?, cast(&args.column(2)?, &MICROS)?);
    let times = column.as_primitive::<TimestampMicrosecondType>();
    let moved = (0..args.rows).map(|row| {
        let (true, Some(number)) = (times.is_valid(row), numbers.get(row)) else { return Ok(None) };
        let at = times.value(row);
        let moved = match unit {
            Unit::Months(months) => number.checked_mul(i64::from(months)).and_then(|months| add_months(at, months)),
            Unit::Micros(size) => number.checked_mul(size).and_then(|by| at.checked_add(by)),
            Unit::Week => number.checked_mul(7 * DAY_US).and_then(|by| at.checked_add(by)),
        };
        moved.map(Some).ok_or_else(out_of_range)
    });
    let moved = moved.collect::<Result<TimestampMicrosecondArray>>()?;
    Ok(cast(&moved, &args.returns)?)
}

/// Whole units between two moments, cut towards zero.
fn difference(args: &Args) -> Result<ArrayRef> {
    let (unit, from, to) = (unit_of(args)?, args.column(1)?, args.column(2)?);
    let (from, to) = (from.as_primitive::<TimestampMicrosecondType>(), to.as_primitive::<TimestampMicrosecondType>());
    let between = (0..args.rows).map(|row| {
        if from.is_null(row) || to.is_null(row) {
            return Ok(None);
        }
        let (from, to) = (from.value(row), to.value(row));
        let whole = match unit {
            Unit::Months(size) => months_between(from, to).map(|months| months / i64::from(size)),
            Unit::Micros(size) => to.checked_sub(from).map(|span| span / size),
            Unit::Week => to.checked_sub(from).map(|span| span / (7 * DAY_US)),
        };
        let whole = whole.and_then(|whole| i32::try_from(whole).ok());
        whole.map(Some).ok_or_else(|| DataFusionError::Execution("integer out of range".into()))
    });
    Ok(Arc::new(between.collect::<Result<Int32Array>>()?))
}

/// The greatest number of months by which the first moment can be moved without passing the second.
fn months_between(from: i64, to: i64) -> Option<i64> {
    if to < from {
        return months_between(to, from)?.checked_neg();
    }
    let (a, b) = (naive(from)?, naive(to)?);
    let count = |at: &NaiveDateTime| i64::from(at.year()) * 12 + i64::from(at.month0());
    let months = count(&b) - count(&a);
    Some(if add_months(from, months).is_none_or(|moved| moved > to) { months - 1 } else { months })
}

fn floor_types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    match types {
        [unit, at] if is_text(unit) => match at {
            DataType::Timestamp(..) | DataType::Date32 | DataType::Time32(_) | DataType::Time64(_) => {
                Some((at.clone(), vec![DataType::Utf8, at.clone()]))
            }
            text if is_text(text) => Some((millis(), vec![DataType::Utf8, millis()])),
            _ => None,
        },
        _ => None,
    }
}

/// The start of the unit that a moment is in, or of the next one where it is past the start.
fn round(args: &Args, up: bool) -> Result<ArrayRef> {
    let (unit, column) = (unit_of(args)?, args.column(1)?);
    let of_day = matches!(column.data_type(), DataType::Time32(_) | DataType::Time64(_));
    let time = DataType::Time64(TimeUnit::Microsecond);
    let column = if of_day { cast(&cast(&column, &time)?, &DataType::Int64)? } else { column };
    let column = cast(&column, &MICROS)?;
    let times = column.as_primitive::<TimestampMicrosecondType>();
    let rounded: TimestampMicrosecondArray = times.try_unary(|at| {
        let start = floor(unit, at).ok_or_else(out_of_range)?;
        if !up || start == at {
            return Ok(start);
        }
        let next = match unit {
            Unit::Months(months) => add_months(start, i64::from(months)),
            Unit::Micros(size) => start.checked_add(size),
            Unit::Week => start.checked_add(7 * DAY_US),
        };
        next.ok_or_else(out_of_range)
    })?;
    if of_day {
        let micros = cast(&rounded, &DataType::Int64)?;
        return Ok(cast(&cast(&micros, &time)?, &args.returns)?);
    }
    Ok(cast(&rounded, &args.returns)?)
}

fn floor(unit: Unit, at: i64) -> Option<i64> {
    match unit {
        Unit::Micros(size) => at.div_euclid(size).checked_mul(size),
        // The first of January 1970 was a Thursday: the Sunday before it is four days earlier.
        Unit::Week => {
            (at.checked_add(4 * DAY_US)?.div_euclid(7 * DAY_US)).checked_mul(7 * DAY_US)?.checked_sub(4 * DAY_US)
        }
        Unit::Months(size) => {
            let date = naive(at)?;
            let year = date.year();
            let (year, month) = match size {
                1 => (year, date.month()),
                3 => (year, date.month0() / 3 * 3 + 1),
                12 => (year, 1),
                120 => (year - year.rem_euclid(10), 1),
                // Centuries and millennia start with the year 1.
                _ => (year - (year - 1).rem_euclid(size / 12), 1),
            };
            NaiveDate::from_ymd_opt(year, month, 1)?.and_hms_opt(0, 0, 0).map(micros)
        }
    }
}

/// Null where the text does not fit.
fn to_date(args: &Args) -> Result<ArrayRef> {
    if args.len() < 2 {
        let texts = super::padded::padded_column(&args.column(0)?, super::padded::Padding::FlinkDate)?;
        return Ok(cast(&texts, &DataType::Date32)?);
    }
    let (texts, patterns) = (args.text(0)?, args.text(1)?);
    let mut format: Option<(String, Format)> = None;
    let mut days = Vec::with_capacity(args.rows);
    for row in 0..args.rows {
        let (Some(text), Some(pattern)) = (texts.get(row), patterns.get(row)) else {
            days.push(None);
            continue;
        };
        let format = match &mut format {
            Some((known, format)) if known == pattern => format,
            other => &mut other.insert((pattern.to_owned(), Format::parse(pattern)?)).1,
        };
        days.push(format.read(text).and_then(|us| i32::try_from(us.div_euclid(DAY_US)).ok()));
    }
    Ok(Arc::new(Date32Array::from(days)))
}

/// A zone by name, or by its distance from Greenwich: `GMT-08:00`.
enum Zone {
    Named(Tz),
    Fixed(i64),
}

fn zone(name: &str) -> Option<Zone> {
    if let Ok(zone) = name.parse::<Tz>() {
        return Some(Zone::Named(zone));
    }
    let named = match name {
        "PST" => Tz::America__Los_Angeles,
        "CST" => Tz::America__Chicago,
        "JST" => Tz::Asia__Tokyo,
        "IST" => Tz::Asia__Kolkata,
        "CTT" => Tz::Asia__Shanghai,
        _ => {
            let distance = name.strip_prefix("GMT").or_else(|| name.strip_prefix("UTC")).unwrap_or(name);
            let sign = if distance.starts_with('-') { -1 } else { 1 };
            let (hours, minutes) =
                distance.strip_prefix(['+', '-'])?.split_once(':').or(Some((distance.get(1..)?, "0")))?;
            let (hours, minutes) = (hours.parse::<i64>().ok()?, minutes.parse::<i64>().ok()?);
            return (hours <= 18 && minutes < 60).then_some(Zone::Fixed(sign * (hours * 60 + minutes) * 60_000_000));
        }
    };
    Some(Zone::Named(named))
}

/// The universal time of a local time, in microseconds; `None` where the zone is not known.
pub(super) fn in_zone(local: i64, name: &str) -> Option<i64> {
    to_utc(&zone(name)?, local, true)
}

/// Local time to universal time; in the gap of a clock change, an hour later; of two the first or the second.
fn to_utc(zone: &Zone, local: i64, first: bool) -> Option<i64> {
    match zone {
        Zone::Fixed(distance) => local.checked_sub(*distance),
        Zone::Named(zone) => {
            let at = naive(local)?;
            match zone.from_local_datetime(&at) {
                LocalResult::Single(at) => Some(at.timestamp_micros()),
                LocalResult::Ambiguous(earlier, later) => Some(if first { earlier } else { later }.timestamp_micros()),
                LocalResult::None => {
                    let before = at.checked_sub_signed(chrono::TimeDelta::hours(1))?;
                    let before = zone.from_local_datetime(&before).earliest()?;
                    before.timestamp_micros().checked_add(3_600_000_000)
                }
            }
        }
    }
}

fn to_local(zone: &Zone, us: i64) -> Option<i64> {
    match zone {
        Zone::Fixed(distance) => us.checked_add(*distance),
        Zone::Named(zone) => Some(micros(zone.from_utc_datetime(&naive(us)?).naive_local())),
    }
}

/// Null where the text is no timestamp or a zone is not known.
fn convert_tz(args: &Args) -> Result<ArrayRef> {
    let (texts, from, to) = (args.text(0)?, args.text(1)?, args.text(2)?);
    let mut format = Format::parse("yyyy-MM-dd HH:mm:ss")?;
    Ok(args.write(|row, out| {
        let at = format.read(texts.get(row)?)?;
        let (from, to) = (zone(from.get(row)?)?, zone(to.get(row)?)?);
        out.push_str(format.format(to_local(&to, to_utc(&from, at, false)?)?));
        Some(())
    }))
}
