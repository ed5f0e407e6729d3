//! Between timestamps, text and seconds since 1970: `TO_TIMESTAMP`, `UNIX_TIMESTAMP`, `FROM_UNIXTIME`.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, StringBuilder, TimestampMicrosecondArray, TimestampMillisecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;

use super::calendar::MICROS;
use super::format::Format;
use super::padded::Padding;
use super::support::{Args, function, is_text, is_whole};

/// Flink's pattern where none is given. A fraction of the second may follow in text.
const DEFAULT: &str = "yyyy-MM-dd HH:mm:ss";
const SECOND_US: i64 = 1_000_000;
/// Timestamps reach so far from 1970, in seconds.
const SECONDS_MAX: f64 = 8_210_000_000_000.0;
const MILLIS_MAX: i128 = 8_210_000_000_000_000;

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function(
            "to_timestamp",
            &[],
            "TO_TIMESTAMP(text [, pattern]) or TO_TIMESTAMP(seconds)",
            to_types,
            to_timestamp,
        ),
        function(
            "to_timestamp_ltz",
            &[],
            "TO_TIMESTAMP_LTZ(number [, 0 | 3]) or TO_TIMESTAMP_LTZ(text [, pattern [, zone]])",
            ltz_types,
            to_timestamp_ltz,
        ),
        function("unix_timestamp", &["to_unixtime"], "UNIX_TIMESTAMP(text [, pattern])", unix_types, unix_timestamp),
        function("from_unixtime", &[], "FROM_UNIXTIME(seconds [, pattern])", from_types, from_unixtime),
        // In a session whose zone is not UTC the two before are these, over what its clock shows.
        function("unix_timestamp_utc", &[], "UNIX_TIMESTAMP(text [, pattern])", unix_types, unix_timestamp),
        function("from_unixtime_utc", &[], "FROM_UNIXTIME(seconds [, pattern])", from_types, from_unixtime),
    ]
}

fn zoned(unit: TimeUnit) -> DataType {
    DataType::Timestamp(unit, Some("UTC".into()))
}

fn to_types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    let text = DataType::Timestamp(TimeUnit::Millisecond, None);
    match types {
        [value] if is_text(value) => Some((text, vec![DataType::Utf8])),
        [value, pattern] if is_text(value) && is_text(pattern) => Some((text, vec![DataType::Utf8; 2])),
        [number] if number.is_numeric() => Some((zoned(TimeUnit::Microsecond), vec![DataType::Float64])),
        [DataType::Timestamp(..) | DataType::Date32] => Some((MICROS, vec![MICROS])),
        _ => None,
    }
}

fn to_timestamp(args: &Args) -> Result<ArrayRef> {
    let column = args.column(0)?;
    match column.data_type() {
        DataType::Float64 => {
            #[expect(clippy::cast_possible_truncation, reason = "infinity saturates")]
            let micros = column.as_primitive::<Float64Type>().try_unary(|seconds| {
                let near = seconds.abs() <= SECONDS_MAX || seconds.is_infinite();
                if near { Ok((seconds * 1e6).round() as i64) } else { Err(super::moments::out_of_range()) }
            })?;
            let micros: TimestampMicrosecondArray = micros;
            Ok(Arc::new(micros.with_timezone("UTC")))
        }
        DataType::Utf8 => {
            let micros = read(args)?;
            let millis: TimestampMillisecondArray = micros.unary(|us| us.div_euclid(1_000));
            Ok(Arc::new(millis))
        }
        _ => Ok(column),
    }
}

fn ltz_types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    let returns = zoned(TimeUnit::Millisecond);
    match types {
        [number] if number.is_numeric() => Some((returns, vec![DataType::Int64])),
        [number, precision] if number.is_numeric() && is_whole(precision) => {
            Some((returns, vec![DataType::Int64, DataType::Int32]))
        }
        texts if (1..=3).contains(&texts.len()) && texts.iter().all(is_text) => {
            Some((returns, vec![DataType::Utf8; texts.len()]))
        }
        _ => None,
    }
}

fn to_timestamp_ltz(args: &Args) -> Result<ArrayRef> {
    let column = args.column(0)?;
    if *column.data_type() == DataType::Utf8 {
        return text_in_zone(args);
    }
    let numbers = column.as_primitive::<Int64Type>();
    let precision = if args.len() > 1 { Some(args.column(1)?) } else { None };
    let millis = numbers.iter().enumerate().map(|(row, number)| {
        let precision = precision.as_ref().map_or(3, |precision| precision.as_primitive::<Int32Type>().value(row));
        number.and_then(|number| scaled_millis(number, precision))
    });
    Ok(Arc::new(millis.collect::<TimestampMillisecondArray>().with_timezone("UTC")))
}

/// Milliseconds, of a number of parts of a second with so many digits behind the point; `None` where that is no timestamp.
fn scaled_millis(number: i64, digits: i32) -> Option<i64> {
    let per_second = 10_i128.checked_pow(u32::try_from(digits).ok().filter(|digits| *digits <= 9)?)?;
    let millis = (i128::from(number) * 1_000).div_euclid(per_second);
    i64::try_from(millis).ok().filter(|_| millis.abs() <= MILLIS_MAX)
}

/// The moments of texts in a zone, UTC where none is named.
fn text_in_zone(args: &Args) -> Result<ArrayRef> {
    let micros = read(args)?;
    let zones = if args.len() > 2 { Some(args.text(2)?) } else { None };
    let mut millis = TimestampMillisecondArray::builder(micros.len());
    for row in 0..micros.len() {
        let zone = zones.as_ref().map_or(Some("UTC"), |zones| zones.get(row));
        let moment = match (micros.is_valid(row), zone) {
            (true, Some(zone)) => super::moments::in_zone(micros.value(row), zone),
            _ => None,
        };
        millis.append_option(moment.map(|micros| micros.div_euclid(1_000)));
    }
    Ok(Arc::new(millis.finish().with_timezone("UTC")))
}

fn unix_types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    match types {
        // Without arguments it is replaced by the clock (`special`).
        [] => Some((DataType::Int64, Vec::new())),
        [value] if is_text(value) => Some((DataType::Int64, vec![DataType::Utf8])),
        [value, pattern] if is_text(value) && is_text(pattern) => Some((DataType::Int64, vec![DataType::Utf8; 2])),
        [DataType::Timestamp(..) | DataType::Date32] => Some((DataType::Int64, vec![MICROS])),
        _ => None,
    }
}

fn unix_timestamp(args: &Args) -> Result<ArrayRef> {
    let column = args.column(0)?;
    let micros = match column.data_type() {
        DataType::Utf8 => read(args)?,
        _ => column.as_primitive::<TimestampMicrosecondType>().clone(),
    };
    let seconds: Int64Array = micros.unary(|us| us.div_euclid(SECOND_US));
    Ok(Arc::new(seconds))
}

fn from_types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    match types {
        [number] if is_whole(number) => Some((DataType::Utf8, vec![DataType::Int64])),
        [number, pattern] if is_whole(number) && is_text(pattern) => {
            Some((DataType::Utf8, vec![DataType::Int64, DataType::Utf8]))
        }
        _ => None,
    }
}

fn from_unixtime(args: &Args) -> Result<ArrayRef> {
    let column = args.column(0)?;
    let seconds = column.as_primitive::<Int64Type>();
    let patterns = if args.len() > 1 { Some(args.text(1)?) } else { None };
    let mut out = StringBuilder::with_capacity(seconds.len(), seconds.len() * 20);
    let mut format: Option<(String, Format)> = None;
    for row in 0..seconds.len() {
        let pattern = patterns.as_ref().map_or(Some(DEFAULT), |patterns| patterns.get(row));
        let (true, Some(pattern)) = (seconds.is_valid(row), pattern) else {
            out.append_null();
            continue;
        };
        let format = prepared(&mut format, pattern)?;
        out.append_value(format.format(seconds.value(row).saturating_mul(SECOND_US)));
    }
    Ok(Arc::new(out.finish()))
}

/// Reads the text of the first argument by the pattern of the second; null where it does not fit.
fn read(args: &Args) -> Result<TimestampMicrosecondArray> {
    let column = args.column(0)?;
    if args.len() < 2 {
        let times = cast(&super::padded::padded_column(&column, Padding::Exact)?, &MICROS)?;
        return Ok(times.as_primitive::<TimestampMicrosecondType>().clone());
    }
    let text = column.as_string::<i32>();
    let patterns = args.text(1)?;
    let mut format: Option<(String, Format)> = None;
    let mut times = TimestampMicrosecondArray::builder(text.len());
    for row in 0..text.len() {
        let time = match (text.is_valid(row), patterns.get(row)) {
            (true, Some(pattern)) => prepared(&mut format, pattern)?.read(text.value(row)),
            _ => None,
        };
        times.append_option(time);
    }
    Ok(times.finish())
}

fn prepared<'f>(known: &'f mut Option<(String, Format)>, pattern: &str) -> Result<&'f mut Format> {
    if known.as_ref().is_none_or(|(text, _)| text != pattern) {
        *known = Some((pattern.to_owned(), Format::parse(pattern)?));
    }
    match known {
        Some((_, format)) => Ok(format),
        None => Err(datafusion::common::DataFusionError::Internal("a date pattern was lost".into())),
    }
}
