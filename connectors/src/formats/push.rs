//! Values that are no text, appended to a [`Column`]: bytes and numbers of binary formats.

use arrow::datatypes::TimeUnit;

use super::columns::{Column, Values, keep};

impl Column {
    /// Appends bytes as they are to a column of STRING or BYTES. False, and nothing appended, where it is neither, or
    /// they are no UTF-8.
    pub(crate) fn push_bytes(&mut self, value: &[u8]) -> bool {
        let fits = match &mut self.values {
            Values::Utf8(bytes) => {
                std::str::from_utf8(value).is_ok() && {
                    bytes.data.extend_from_slice(value);
                    bytes.close()
                }
            }
            Values::Binary(bytes) => {
                bytes.data.extend_from_slice(value);
                bytes.close()
            }
            Values::Boolean(_)
            | Values::Int8(_)
            | Values::Int16(_)
            | Values::Int32(_)
            | Values::Int64(_)
            | Values::Float32(_)
            | Values::Float64(_)
            | Values::Decimal(_, _, _)
            | Values::Date(_)
            | Values::Time32(_)
            | Values::Time64(_)
            | Values::Timestamp(_, _, _)
            | Values::Row(_)
            | Values::List(_, _)
            | Values::Map(_, _) => false,
        };
        if fits {
            self.set();
        } else {
            self.truncate(self.len());
        }
        fits
    }

    /// Appends a boolean.
    pub(crate) fn push_bool(&mut self, value: bool) -> bool {
        let Values::Boolean(bits) = &mut self.values else { return false };
        bits.append(value);
        self.set();
        true
    }

    /// Appends a whole number to a column of numbers. False, and nothing appended, where it does not fit.
    pub(crate) fn push_integer(&mut self, value: i64) -> bool {
        let fits = match &mut self.values {
            Values::Int8(values) => keep(values, i8::try_from(value).ok()),
            Values::Int16(values) => keep(values, i16::try_from(value).ok()),
            Values::Int32(values) => keep(values, i32::try_from(value).ok()),
            Values::Int64(values) => keep(values, Some(value)),
            #[expect(clippy::cast_precision_loss, reason = "a FLOAT or DOUBLE column asks for it")]
            Values::Float32(values) => keep(values, Some(value as f32)),
            #[expect(clippy::cast_precision_loss, reason = "a FLOAT or DOUBLE column asks for it")]
            Values::Float64(values) => keep(values, Some(value as f64)),
            Values::Decimal(_, _, _) => return self.push_decimal(i128::from(value), 0),
            Values::Boolean(_)
            | Values::Utf8(_)
            | Values::Binary(_)
            | Values::Date(_)
            | Values::Time32(_)
            | Values::Time64(_)
            | Values::Timestamp(_, _, _)
            | Values::Row(_)
            | Values::List(_, _)
            | Values::Map(_, _) => false,
        };
        if fits {
            self.set();
        }
        fits
    }

    /// Appends a number to a column of FLOAT or DOUBLE.
    pub(crate) fn push_float(&mut self, value: f64) -> bool {
        #[expect(clippy::cast_possible_truncation, reason = "FLOAT is declared to be less precise")]
        let fits = match &mut self.values {
            Values::Float32(values) => keep(values, Some(value as f32)),
            Values::Float64(values) => keep(values, Some(value)),
            _ => false,
        };
        if fits {
            self.set();
        }
        fits
    }

    /// Appends days since 1970 to a column of DATE.
    pub(crate) fn push_date(&mut self, days: i32) -> bool {
        let Values::Date(values) = &mut self.values else { return self.push_integer(i64::from(days)) };
        values.push(days);
        self.set();
        true
    }

    /// Appends a time of day, in parts of a second of which there are `unit`, to a column of TIME or of numbers.
    pub(crate) fn push_time(&mut self, value: i64, unit: i64) -> bool {
        let fits = match &mut self.values {
            Values::Time32(values) => {
                keep(values, rescale(value, unit, 1_000).and_then(|value| i32::try_from(value).ok()))
            }
            Values::Time64(values) => keep(values, rescale(value, unit, 1_000_000)),
            _ => return self.push_integer(value),
        };
        if fits {
            self.set();
        }
        fits
    }

    /// Appends a time since 1970, in parts of a second of which there are `unit`, to a column of TIMESTAMP or of
    /// numbers.
    pub(crate) fn push_timestamp(&mut self, value: i64, unit: i64) -> bool {
        let Values::Timestamp(values, to, _) = &mut self.values else { return self.push_integer(value) };
        let to = match to {
            TimeUnit::Second => 1,
            TimeUnit::Millisecond => 1_000,
            TimeUnit::Microsecond => 1_000_000,
            TimeUnit::Nanosecond => 1_000_000_000,
        };
        let fits = keep(values, rescale(value, unit, to));
        if fits {
            self.set();
        }
        fits
    }

    /// Appends an unscaled number of `scale` digits behind the point to a column of DECIMAL. False where digits would
    /// be lost.
    pub(crate) fn push_decimal(&mut self, value: i128, scale: i8) -> bool {
        let Values::Decimal(values, precision, to) = &mut self.values else { return false };
        let by = u32::from(to.abs_diff(scale));
        let factor = 10_i128.checked_pow(by);
        let scaled = match *to >= scale {
            true => factor.and_then(|factor| value.checked_mul(factor)),
            false => factor.filter(|factor| value % factor == 0).map(|factor| value / factor),
        };
        let limit = 10_u128.checked_pow(u32::from(*precision));
        let fits = keep(values, scaled.filter(|value| limit.is_none_or(|limit| value.unsigned_abs() < limit)));
        if fits {
            self.set();
        }
        fits
    }
}

/// A time in other parts of a second; finer ones are cut off, towards the past.
fn rescale(value: i64, from: i64, to: i64) -> Option<i64> {
    if to >= from { value.checked_mul(to / from) } else { Some(value.div_euclid(from / to)) }
}
