//! Timestamps and the zone of the session: the clock on the wall there, the moment when it shows a time, and timestamps as
//! text. They have no names that a user can call. `t AT TIME ZONE 'zone'` is here too.

use std::fmt::Write;
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::support::{Args, function, is_text};

/// The zone that moments are kept in.
const UTC: &str = "UTC";
const DAY_SECONDS: i64 = 86_400;

/// What is made of a timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Into {
    /// A timestamp without zone: what a clock in the zone shows.
    WallClock,
    /// The moment when a clock in the zone shows a timestamp. Of two it is the second, as PostgreSQL has it.
    Moment,
    /// The same; of two it is the first, as Flink has it.
    FlinkMoment,
    /// Seconds since 1970 on a clock in the zone, of those since the moment 1970 began in UTC.
    WallSeconds,
    /// The other way round.
    MomentSeconds,
    /// `2024-01-01 10:00:00.5`, as PostgreSQL writes it; of a moment, with the offset of the zone behind it.
    Text,
    /// `2024-01-01 10:00:00.500`, with as many digits as its type has, as Flink writes it.
    FlinkText,
}

/// What a clock in a zone shows at a moment.
pub(crate) fn wall_clock(moment: Expr, zone: &str) -> Expr {
    call(moment, zone, Into::WallClock)
}

/// When a clock in a zone shows a timestamp. Where it jumps over it, it is as long after the jump as the timestamp is.
pub(crate) fn moment_of(timestamp: Expr, zone: &str, flink: bool) -> Expr {
    call(timestamp, zone, if flink { Into::FlinkMoment } else { Into::Moment })
}

/// What a clock in a zone shows as seconds since 1970, of seconds since 1970 in UTC.
pub(crate) fn wall_seconds(seconds: Expr, zone: &str) -> Expr {
    call(seconds, zone, Into::WallSeconds)
}

/// Seconds since 1970 in UTC, of what a clock in a zone shows.
pub(crate) fn moment_seconds(seconds: Expr, zone: &str) -> Expr {
    call(seconds, zone, Into::MomentSeconds)
}

/// A timestamp as text; a moment as the clock in the zone shows it.
pub(crate) fn timestamp_text(timestamp: Expr, zone: &str, flink: bool) -> Expr {
    call(timestamp, zone, if flink { Into::FlinkText } else { Into::Text })
}

fn call(arg: Expr, zone: &str, into: Into) -> Expr {
    let zone = Tz::from_str(zone).unwrap_or(Tz::UTC);
    let function = InZone { zone, into, signature: Signature::any(1, Volatility::Immutable) };
    Arc::new(ScalarUDF::new_from_impl(function)).call(vec![arg])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct InZone {
    zone: Tz,
    into: Into,
    signature: Signature,
}

pub(super) fn per_second(unit: TimeUnit) -> (i64, usize) {
    match unit {
        TimeUnit::Second => (1, 0),
        TimeUnit::Millisecond => (1_000, 3),
        TimeUnit::Microsecond => (1_000_000, 6),
        TimeUnit::Nanosecond => (1_000_000_000, 9),
    }
}

fn wrong() -> DataFusionError {
    DataFusionError::Internal("a zone for what is no timestamp".into())
}

/// The seconds that the clock in a zone is ahead at a moment.
fn ahead(zone: Tz, seconds: i64) -> i64 {
    let moment = DateTime::from_timestamp(seconds, 0).map(|at| at.naive_utc());
    moment.map_or(0, |at| i64::from(zone.offset_from_utc_datetime(&at).fix().local_minus_utc()))
}

/// The moment in seconds when the clock in a zone shows these; of two the first where it is asked for.
pub(super) fn shown_at(zone: Tz, seconds: i64, first: bool) -> i64 {
    let offset = |offset: &<Tz as TimeZone>::Offset| i64::from(offset.fix().local_minus_utc());
    let Some(at) = DateTime::from_timestamp(seconds, 0).map(|at| at.naive_utc()) else { return seconds };
    seconds
        - match zone.offset_from_local_datetime(&at) {
            LocalResult::Single(only) => offset(&only),
            LocalResult::Ambiguous(earlier, later) => offset(if first { &earlier } else { &later }),
            // The clock jumps over it: as if it had not yet.
            LocalResult::None => ahead(zone, seconds - DAY_SECONDS),
        }
}

/// Appends a timestamp, a number of its unit; of a moment, with `zoned`, what a clock in the zone shows.
pub(super) fn push_timestamp(
    value: i64,
    (unit, zoned): (TimeUnit, bool),
    zone: Tz,
    flink: bool,
    out: &mut String,
) -> Option<()> {
    let (scale, digits) = per_second(unit);
    let (seconds, fraction) = (value.div_euclid(scale), value.rem_euclid(scale));
    let ahead = if zoned { ahead(zone, seconds) } else { 0 };
    let at: NaiveDateTime = DateTime::from_timestamp(seconds.checked_add(ahead)?, 0)?.naive_utc();
    // Writing to a string does not fail.
    let _ = write!(out, "{}", at.format("%Y-%m-%d %H:%M:%S"));
    let fraction = if digits > 0 { format!("{fraction:0digits$}") } else { String::new() };
    let shown = if flink { fraction.as_str() } else { fraction.trim_end_matches('0') };
    if !shown.is_empty() {
        let _ = write!(out, ".{shown}");
    }
    if zoned && !flink {
        let minutes = ahead.abs() / 60;
        let _ = write!(out, "{}{:02}", if ahead < 0 { '-' } else { '+' }, minutes / 60);
        if minutes % 60 != 0 {
            let _ = write!(out, ":{:02}", minutes % 60);
        }
    }
    Some(())
}

impl InZone {
    /// A column of whole numbers, each made another by `of` its seconds; what is less than a second stays.
    fn moved(values: &Int64Array, scale: i64, of: impl Fn(i64) -> i64) -> Int64Array {
        let moved =
            |value: i64| of(value.div_euclid(scale)).saturating_mul(scale).saturating_add(value.rem_euclid(scale));
        values.iter().map(|value| value.map(moved)).collect()
    }

    fn texts(&self, values: &Int64Array, of: (TimeUnit, bool)) -> ArrayRef {
        let mut out = StringBuilder::with_capacity(values.len(), values.len() * 24);
        let mut text = String::new();
        for row in 0..values.len() {
            text.clear();
            let flink = self.into == Into::FlinkText;
            let written =
                values.is_valid(row).then(|| push_timestamp(values.value(row), of, self.zone, flink, &mut text));
            out.append_option(written.flatten().map(|()| text.as_str()));
        }
        Arc::new(out.finish())
    }
}

/// What `t AT TIME ZONE zone` calls, zone first, as PostgreSQL's function of that name.
pub(crate) const AT_TIME_ZONE: &str = "timezone";

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![function(AT_TIME_ZONE, &[], "timestamp AT TIME ZONE zone", at_types, at_time_zone)]
}

fn at_types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    let returns = match types {
        [zone, DataType::Timestamp(unit, given)] if is_text(zone) => {
            DataType::Timestamp(*unit, given.is_none().then(|| UTC.into()))
        }
        [zone, DataType::Date32] if is_text(zone) => DataType::Timestamp(TimeUnit::Millisecond, Some(UTC.into())),
        _ => return None,
    };
    let given = match (&returns, types) {
        (DataType::Timestamp(unit, _), [_, DataType::Date32]) => DataType::Timestamp(*unit, None),
        (_, [_, given]) => given.clone(),
        _ => return None,
    };
    Some((returns, vec![DataType::Utf8, given]))
}

/// What a clock in the zone shows at a moment; the moment when it shows a timestamp.
fn at_time_zone(args: &Args) -> Result<ArrayRef> {
    let (zones, column) = (args.text(0)?, args.column(1)?);
    let DataType::Timestamp(unit, zoned) = column.data_type() else { return Err(wrong()) };
    let (scale, _) = per_second(*unit);
    let values = cast(&column, &DataType::Int64)?;
    let values = values.as_primitive::<Int64Type>();
    let mut known: Option<(&str, Tz)> = None;
    let moved = (0..args.rows).map(|row| {
        let (true, Some(name)) = (values.is_valid(row), zones.get(row)) else { return Ok(None) };
        let zone = match known {
            Some((last, zone)) if last == name => zone,
            _ => Tz::from_str(name)
                .map_err(|_| DataFusionError::Execution(format!("time zone \"{name}\" not recognized")))?,
        };
        known = Some((name, zone));
        let (seconds, rest) = (values.value(row).div_euclid(scale), values.value(row).rem_euclid(scale));
        let seconds = match zoned {
            Some(_) => seconds.saturating_add(ahead(zone, seconds)),
            None => shown_at(zone, seconds, false),
        };
        Ok(Some(seconds.saturating_mul(scale).saturating_add(rest)))
    });
    Ok(cast(&moved.collect::<Result<Int64Array>>()?, &args.returns)?)
}

impl ScalarUDFImpl for InZone {
    fn name(&self) -> &str {
        match self.into {
            Into::WallClock => "wall_clock",
            Into::Moment | Into::FlinkMoment => "moment_of",
            Into::WallSeconds => "wall_seconds",
            Into::MomentSeconds => "moment_seconds",
            Into::Text | Into::FlinkText => "timestamp_text",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match (self.into, types) {
            (Into::WallClock, [DataType::Timestamp(unit, _)]) => Ok(DataType::Timestamp(*unit, None)),
            (Into::Moment | Into::FlinkMoment, [DataType::Timestamp(unit, _)]) => {
                Ok(DataType::Timestamp(*unit, Some(UTC.into())))
            }
            (Into::WallSeconds | Into::MomentSeconds, [DataType::Int64]) => Ok(DataType::Int64),
            (Into::Text | Into::FlinkText, [DataType::Timestamp(..)]) => Ok(DataType::Utf8),
            _ => Err(wrong()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let column = args.args.first().ok_or_else(wrong)?.to_array(args.number_rows)?;
        let (unit, zoned) = match column.data_type() {
            DataType::Timestamp(unit, zone) => (*unit, zone.is_some()),
            DataType::Int64 => (TimeUnit::Second, false),
            _ => return Err(wrong()),
        };
        let values = cast(&column, &DataType::Int64)?;
        let values = values.as_primitive::<Int64Type>();
        let (zone, (scale, _)) = (self.zone, per_second(unit));
        let wall = |seconds: i64| seconds.saturating_add(ahead(zone, seconds));
        let made: ArrayRef = match self.into {
            Into::WallClock => cast(&Self::moved(values, scale, wall), &DataType::Timestamp(unit, None))?,
            Into::Moment | Into::FlinkMoment => {
                let first = self.into == Into::FlinkMoment;
                let moments = Self::moved(values, scale, |seconds| shown_at(zone, seconds, first));
                cast(&moments, &DataType::Timestamp(unit, Some(UTC.into())))?
            }
            Into::WallSeconds => Arc::new(Self::moved(values, scale, wall)),
            // Of two the second, as Java's calendar has it.
            Into::MomentSeconds => Arc::new(Self::moved(values, scale, |seconds| shown_at(zone, seconds, false))),
            Into::Text | Into::FlinkText => self.texts(values, (unit, zoned)),
        };
        Ok(ColumnarValue::Array(made))
    }
}
