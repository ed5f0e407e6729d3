//! Timestamps and the zone of the session: the clock on the wall there, and timestamps as text. They have no names that a
//! user can call.

use std::fmt::Write;
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use chrono::{DateTime, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// What is made of a timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Into {
    /// A timestamp without zone: what a clock in the zone shows.
    WallClock,
    /// `2024-01-01 10:00:00.5`, as PostgreSQL writes it; of a moment, with the offset of the zone behind it.
    Text,
    /// `2024-01-01 10:00:00.500`, with as many digits as its type has, as Flink writes it.
    FlinkText,
}

/// What a clock in a zone shows at a moment.
pub(crate) fn wall_clock(moment: Expr, zone: &str) -> Expr {
    call(moment, zone, Into::WallClock)
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

fn per_second(unit: TimeUnit) -> (i64, usize) {
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

impl InZone {
    /// The seconds that the clock in the zone is ahead at a moment.
    fn ahead(&self, seconds: i64) -> i64 {
        let moment = DateTime::from_timestamp(seconds, 0).map(|at| at.naive_utc());
        moment.map_or(0, |at| i64::from(self.zone.offset_from_utc_datetime(&at).fix().local_minus_utc()))
    }

    fn write(&self, value: i64, unit: TimeUnit, zoned: bool, out: &mut String) -> Option<()> {
        let (scale, digits) = per_second(unit);
        let (seconds, fraction) = (value.div_euclid(scale), value.rem_euclid(scale));
        let ahead = if zoned { self.ahead(seconds) } else { 0 };
        let at: NaiveDateTime = DateTime::from_timestamp(seconds.checked_add(ahead)?, 0)?.naive_utc();
        // Writing to a string does not fail.
        let _ = write!(out, "{}", at.format("%Y-%m-%d %H:%M:%S"));
        let fraction = if digits > 0 { format!("{fraction:0digits$}") } else { String::new() };
        let shown = if self.into == Into::FlinkText { fraction.as_str() } else { fraction.trim_end_matches('0') };
        if !shown.is_empty() {
            let _ = write!(out, ".{shown}");
        }
        if zoned && self.into == Into::Text {
            let minutes = ahead.abs() / 60;
            let _ = write!(out, "{}{:02}", if ahead < 0 { '-' } else { '+' }, minutes / 60);
            if minutes % 60 != 0 {
                let _ = write!(out, ":{:02}", minutes % 60);
            }
        }
        Some(())
    }
}

impl ScalarUDFImpl for InZone {
    fn name(&self) -> &str {
        match self.into {
            Into::WallClock => "wall_clock",
            Into::Text | Into::FlinkText => "timestamp_text",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match (self.into, types) {
            (Into::WallClock, [DataType::Timestamp(unit, _)]) => Ok(DataType::Timestamp(*unit, None)),
            (Into::Text | Into::FlinkText, [DataType::Timestamp(..)]) => Ok(DataType::Utf8),
            _ => Err(wrong()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let column = args.args.first().ok_or_else(wrong)?.to_array(args.number_rows)?;
        let DataType::Timestamp(unit, zone) = column.data_type() else { return Err(wrong()) };
        let (unit, zoned) = (*unit, zone.is_some());
        let values = cast(&column, &DataType::Int64)?;
        let values = values.as_primitive::<Int64Type>();
        let made: ArrayRef = match self.into {
            Into::WallClock => {
                let (scale, _) = per_second(unit);
                let shown =
                    |value: i64| value.saturating_add(self.ahead(value.div_euclid(scale)).saturating_mul(scale));
                let shown: Int64Array = values.iter().map(|value| value.map(shown)).collect();
                cast(&shown, &DataType::Timestamp(unit, None))?
            }
            Into::Text | Into::FlinkText => {
                let mut out = StringBuilder::with_capacity(values.len(), values.len() * 24);
                let mut text = String::new();
                for row in 0..values.len() {
                    text.clear();
                    let written = values.is_valid(row).then(|| self.write(values.value(row), unit, zoned, &mut text));
                    out.append_option(written.flatten().map(|()| text.as_str()));
                }
                Arc::new(out.finish())
            }
        };
        Ok(ColumnarValue::Array(made))
    }
}
