//! Scalars to text, the inverse of [`super::text`]: appended to a byte buffer, without an allocation a value.

use std::io::Write as _;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array,
    Int16Array, Int32Array, Int64Array, StringArray, Time32MillisecondArray, Time64MicrosecondArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{DataType, TimeUnit};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use millstream_engine::error::{EngineError, Result};

use super::types::sql_name;

/// How timestamps are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimestampStyle {
    /// `2015-07-15 00:00:01.123`
    Sql,
    /// `2015-07-15T00:00:01.123`
    Iso,
}

/// A column of scalars, to be printed row by row.
#[derive(Debug)]
pub(crate) enum Printer<'a> {
    /// BOOLEAN.
    Boolean(&'a BooleanArray),
    /// TINYINT.
    Int8(&'a Int8Array),
    /// SMALLINT.
    Int16(&'a Int16Array),
    /// INT.
    Int32(&'a Int32Array),
    /// BIGINT.
    Int64(&'a Int64Array),
    /// FLOAT.
    Float32(&'a Float32Array),
    /// DOUBLE.
    Float64(&'a Float64Array),
    /// DECIMAL and its scale.
    Decimal(&'a Decimal128Array, i8),
    /// STRING.
    Utf8(&'a StringArray),
    /// BYTES.
    Binary(&'a BinaryArray),
    /// DATE.
    Date(&'a Date32Array),
    /// TIME(3).
    Time32(&'a Time32MillisecondArray),
    /// TIME(6).
    Time64(&'a Time64MicrosecondArray),
    /// TIMESTAMP: values, unit, and whether the type has a zone.
    Timestamp(&'a ScalarBuffer<i64>, TimeUnit, bool),
}

impl<'a> Printer<'a> {
    /// A printer for the values of `array`.
    ///
    /// # Errors
    /// Where its type has no text.
    pub(crate) fn new(array: &'a ArrayRef) -> Result<Self> {
        let printer = match array.data_type() {
            DataType::Boolean => array.as_any().downcast_ref().map(Self::Boolean),
            DataType::Int8 => array.as_any().downcast_ref().map(Self::Int8),
            DataType::Int16 => array.as_any().downcast_ref().map(Self::Int16),
            DataType::Int32 => array.as_any().downcast_ref().map(Self::Int32),
            DataType::Int64 => array.as_any().downcast_ref().map(Self::Int64),
            DataType::Float32 => array.as_any().downcast_ref().map(Self::Float32),
            DataType::Float64 => array.as_any().downcast_ref().map(Self::Float64),
            DataType::Decimal128(_, scale) => array.as_any().downcast_ref().map(|values| Self::Decimal(values, *scale)),
            DataType::Utf8 => array.as_any().downcast_ref().map(Self::Utf8),
            DataType::Binary => array.as_any().downcast_ref().map(Self::Binary),
            DataType::Date32 => array.as_any().downcast_ref().map(Self::Date),
            DataType::Time32(TimeUnit::Millisecond) => array.as_any().downcast_ref().map(Self::Time32),
            DataType::Time64(TimeUnit::Microsecond) => array.as_any().downcast_ref().map(Self::Time64),
            DataType::Timestamp(unit, zone) => {
                timestamps(array, *unit).map(|values| Self::Timestamp(values, *unit, zone.is_some()))
            }
            _ => None,
        };
        printer.ok_or_else(|| {
            EngineError::Unsupported(format!("type {} cannot be written as text", sql_name(array.data_type())))
        })
    }

    /// Whether the text is a number or a truth value, which JSON writes without quotes.
    pub(crate) fn bare(&self) -> bool {
        match self {
            Self::Boolean(_)
            | Self::Int8(_)
            | Self::Int16(_)
            | Self::Int32(_)
            | Self::Int64(_)
            | Self::Float32(_)
            | Self::Float64(_)
            | Self::Decimal(_, _) => true,
            Self::Utf8(_)
            | Self::Binary(_)
            | Self::Date(_)
            | Self::Time32(_)
            | Self::Time64(_)
            | Self::Timestamp(_, _, _) => false,
        }
    }

    /// Appends the text of row `row`, which must not be null.
    pub(crate) fn print(&self, row: usize, style: TimestampStyle, into: &mut Vec<u8>) {
        match self {
            Self::Boolean(values) => into.extend_from_slice(if values.value(row) { b"true" } else { b"false" }),
            Self::Int8(values) => integer(values.value(row).into(), into),
            Self::Int16(values) => integer(values.value(row).into(), into),
            Self::Int32(values) => integer(values.value(row).into(), into),
            Self::Int64(values) => integer(values.value(row), into),
            Self::Float32(values) => float(values.value(row).is_finite(), values.value(row), into),
            Self::Float64(values) => float(values.value(row).is_finite(), values.value(row), into),
            Self::Decimal(values, scale) => decimal(values.value(row), *scale, into),
            Self::Utf8(values) => into.extend_from_slice(values.value(row).as_bytes()),
            Self::Binary(values) => {
                let start = into.len();
                let bytes = values.value(row);
                into.resize(start + bytes.len().div_ceil(3) * 4, 0);
                let written = into.get_mut(start..).and_then(|place| BASE64.encode_slice(bytes, place).ok());
                into.truncate(start + written.unwrap_or(0));
            }
            Self::Date(values) => date(values.value(row).into(), into),
            Self::Time32(values) => time(i64::from(values.value(row)) * 1_000_000, into),
            Self::Time64(values) => time(values.value(row) * 1_000, into),
            Self::Timestamp(values, unit, zoned) => {
                timestamp(values.get(row).copied().unwrap_or(0), *unit, style, into);
                if *zoned {
                    into.push(b'Z');
                }
            }
        }
    }
}

/// The values of a timestamp array, whatever its unit.
pub(crate) fn timestamps(array: &ArrayRef, unit: TimeUnit) -> Option<&ScalarBuffer<i64>> {
    let any = array.as_any();
    match unit {
        TimeUnit::Second => any.downcast_ref::<TimestampSecondArray>().map(|array| array.values()),
        TimeUnit::Millisecond => any.downcast_ref::<TimestampMillisecondArray>().map(|array| array.values()),
        TimeUnit::Microsecond => any.downcast_ref::<TimestampMicrosecondArray>().map(|array| array.values()),
        TimeUnit::Nanosecond => any.downcast_ref::<TimestampNanosecondArray>().map(|array| array.values()),
    }
}

fn integer(value: i64, into: &mut Vec<u8>) {
    digits(value.unsigned_abs().into(), value < 0, 1, into);
}

/// Appends a number with at least `width` digits.
fn digits(mut value: u128, negative: bool, width: usize, into: &mut Vec<u8>) {
    let mut reversed = [b'0'; 40];
    let mut used = 0;
    while value != 0 || used < width {
        let Some(place) = reversed.get_mut(used) else { break };
        *place = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
        used += 1;
    }
    if negative {
        into.push(b'-');
    }
    into.extend(reversed.iter().take(used).rev());
}

/// The shortest text that reads back as the same number; `NaN` and `Infinity` as Java calls them.
fn float(finite: bool, value: impl std::fmt::Debug, into: &mut Vec<u8>) {
    let start = into.len();
    // Writing to a Vec cannot fail.
    let _ = write!(into, "{value:?}");
    if !finite && into.get(start..).is_some_and(|text| text.ends_with(b"inf")) {
        into.extend_from_slice(b"inity");
        if let Some(letter) = into.iter_mut().skip(start).find(|byte| **byte == b'i') {
            *letter = b'I';
        }
    }
}

fn decimal(value: i128, scale: i8, into: &mut Vec<u8>) {
    let Ok(scale) = u32::try_from(scale) else {
        let factor = 10_i128.checked_pow(u32::from(scale.unsigned_abs())).unwrap_or(1);
        let value = value.saturating_mul(factor);
        return digits(value.unsigned_abs(), value < 0, 1, into);
    };
    let factor = 10_u128.checked_pow(scale).unwrap_or(1);
    let magnitude = value.unsigned_abs();
    digits(magnitude / factor, value < 0, 1, into);
    if scale > 0 {
        into.push(b'.');
        digits(magnitude % factor, false, usize::try_from(scale).unwrap_or(0), into);
    }
}

fn date(days: i64, into: &mut Vec<u8>) {
    // The calendar whose years begin in March, as in `text::parse_date`.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    padded(year, 4, into);
    into.push(b'-');
    padded(month, 2, into);
    into.push(b'-');
    padded(day, 2, into);
}

fn padded(value: i64, width: usize, into: &mut Vec<u8>) {
    digits(value.unsigned_abs().into(), value < 0, width, into);
}

/// Appends `12:34:56.789`, without zeros at the end of the fraction.
fn time(nanos: i64, into: &mut Vec<u8>) {
    let seconds = nanos.div_euclid(1_000_000_000);
    padded(seconds / 3_600, 2, into);
    into.push(b':');
    padded(seconds / 60 % 60, 2, into);
    into.push(b':');
    padded(seconds % 60, 2, into);
    let fraction = nanos.rem_euclid(1_000_000_000);
    if fraction != 0 {
        into.push(b'.');
        padded(fraction, 9, into);
        while into.last() == Some(&b'0') {
            into.pop();
        }
    }
}

/// Appends a timestamp without a zone.
pub(crate) fn timestamp(value: i64, unit: TimeUnit, style: TimestampStyle, into: &mut Vec<u8>) {
    let (per_day, nanos) = match unit {
        TimeUnit::Second => (86_400, 1_000_000_000),
        TimeUnit::Millisecond => (86_400_000, 1_000_000),
        TimeUnit::Microsecond => (86_400_000_000, 1_000),
        TimeUnit::Nanosecond => (86_400_000_000_000, 1),
    };
    date(value.div_euclid(per_day), into);
    into.push(match style {
        TimestampStyle::Sql => b' ',
        TimestampStyle::Iso => b'T',
    });
    time(value.rem_euclid(per_day) * nanos, into);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::text;
    use proptest::prelude::*;

    fn text_of(print: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut into = vec![];
        print(&mut into);
        String::from_utf8_lossy(&into).into_owned()
    }

    #[test]
    fn plain_forms() {
        assert_eq!(text_of(|into| integer(i64::MIN, into)), "-9223372036854775808");
        assert_eq!(text_of(|into| decimal(-5, 2, into)), "-0.05");
        assert_eq!(text_of(|into| decimal(1234, 0, into)), "1234");
        assert_eq!(text_of(|into| float(true, 1.0_f64, into)), "1.0");
        assert_eq!(text_of(|into| float(false, f64::NEG_INFINITY, into)), "-Infinity");
        assert_eq!(text_of(|into| float(false, f64::NAN, into)), "NaN");
        let stamp = |ms| text_of(|into| timestamp(ms, TimeUnit::Millisecond, TimestampStyle::Sql, into));
        assert_eq!(stamp(1_436_918_401_120), "2015-07-15 00:00:01.12");
        assert_eq!(stamp(-1), "1969-12-31 23:59:59.999");
        assert_eq!(stamp(951_782_400_000), "2000-02-29 00:00:00");
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(
            days in -719_162_i64..2_932_896, nanos in 0_i64..86_400_000_000_000, whole in any::<i64>(),
            unscaled in -99_999_999_999_999_999_999_i128..99_999_999_999_999_999_999, scale in 0_i8..20, double in any::<f64>(),
        ) {
            let printed = text_of(|into| date(days, into));
            prop_assert_eq!(text::parse_date(printed.as_bytes()).map(i64::from), Some(days));
            let printed = text_of(|into| time(nanos, into));
            prop_assert_eq!(text::parse_time(printed.as_bytes()), Some(nanos));
            let printed = text_of(|into| integer(whole, into));
            prop_assert_eq!(text::parse_int(printed.as_bytes()), Some(whole));
            let printed = text_of(|into| decimal(unscaled, scale, into));
            prop_assert_eq!(text::parse_decimal(printed.as_bytes(), 38, scale), Some(unscaled));
            let printed = text_of(|into| float(double.is_finite(), double, into));
            let back = text::parse_float(printed.as_bytes()).map(f64::to_bits);
            prop_assert!(double.is_nan() || back == Some(double.to_bits()), "{printed}");
        }
    }
}
