//! Values as text where Arrow's form is neither PostgreSQL's nor Flink's: rows, arrays, maps, intervals, floating point
//! and truth. It has no name that a user can call: casts do it. The text of timestamps alone is in [`super::zones`].

use std::fmt::Write;
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
    TimeUnit,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono_tz::Tz;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::json::push_json;
use super::number_text::{push_double, push_single};
use super::variant;
use super::zones::push_timestamp;
use crate::catalog::Semantics;
use crate::types::is_variant;

/// Whose text, and in which zone moments are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Style {
    zone: Tz,
    flink: bool,
}

impl Style {
    fn semantics(self) -> Semantics {
        if self.flink { Semantics::Flink } else { Semantics::Postgres }
    }
}

/// Whether a cast of such a value to text is [`value_text`].
pub(crate) fn has_own_text(of: &DataType, flink: bool) -> bool {
    match of {
        DataType::Boolean => flink,
        DataType::Float32 | DataType::Float64 | DataType::Interval(IntervalUnit::MonthDayNano) => true,
        DataType::List(_) | DataType::Map(..) => true,
        DataType::Struct(_) => !is_variant(of),
        _ => false,
    }
}

/// A value as text, as PostgreSQL or Flink writes it; a moment as the clock in the zone shows it.
pub(crate) fn value_text(value: Expr, zone: &str, flink: bool) -> Expr {
    let style = Style { zone: Tz::from_str(zone).unwrap_or(Tz::UTC), flink };
    let function = ValueText { style, signature: Signature::any(1, Volatility::Immutable) };
    ScalarUDF::new_from_impl(function).call(vec![value])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ValueText {
    style: Style,
    signature: Signature,
}

impl ScalarUDFImpl for ValueText {
    fn name(&self) -> &str {
        "value_text"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value] = args.args.as_slice() else {
            return Err(DataFusionError::Internal("value_text takes one argument".into()));
        };
        let column = value.to_array(args.number_rows)?;
        let values = Values::of(&column)?;
        let mut out = StringBuilder::with_capacity(column.len(), column.len() * 16);
        let mut text = String::new();
        for row in 0..column.len() {
            if values.is_null(row) {
                out.append_null();
                continue;
            }
            text.clear();
            values.push(row, self.style, false, &mut text)?;
            out.append_value(&text);
        }
        Ok(ColumnarValue::Array(Arc::new(out.finish())))
    }
}

/// A column, made ready for its values to be written.
struct Values<'a> {
    array: &'a ArrayRef,
    form: Form<'a>,
}

enum Form<'a> {
    Null,
    Truth,
    Double,
    Single,
    Interval,
    Text,
    Bytes,
    /// Numbers of a timestamp, and whether it is a moment.
    Timestamp(ArrayRef, TimeUnit, bool),
    List(Box<Values<'a>>),
    Row(Vec<Values<'a>>),
    Map(Box<Values<'a>>, Box<Values<'a>>),
    Variant(arrow::array::StringArray),
    Other(ArrayFormatter<'a>),
}

impl<'a> Values<'a> {
    fn of(array: &'a ArrayRef) -> Result<Self> {
        let form = match array.data_type() {
            DataType::Null => Form::Null,
            DataType::Boolean => Form::Truth,
            DataType::Float64 => Form::Double,
            DataType::Float32 => Form::Single,
            DataType::Interval(IntervalUnit::MonthDayNano) => Form::Interval,
            DataType::Utf8 => Form::Text,
            DataType::Binary => Form::Bytes,
            DataType::Timestamp(unit, zone) => Form::Timestamp(cast(array, &DataType::Int64)?, *unit, zone.is_some()),
            DataType::List(_) => Form::List(Box::new(Self::of(array.as_list::<i32>().values())?)),
            DataType::Map(..) => {
                let map = array.as_map();
                Form::Map(Box::new(Self::of(map.keys())?), Box::new(Self::of(map.values())?))
            }
            of if is_variant(of) => Form::Variant(variant::texts(array)?),
            DataType::Struct(_) => Form::Row(array.as_struct().columns().iter().map(Self::of).collect::<Result<_>>()?),
            _ => Form::Other(ArrayFormatter::try_new(array.as_ref(), &OPTIONS)?),
        };
        Ok(Self { array, form })
    }

    fn is_null(&self, row: usize) -> bool {
        matches!(self.form, Form::Null) || self.array.is_null(row)
    }

    /// Appends a value that is not null.
    fn push(&self, row: usize, style: Style, nested: bool, out: &mut String) -> Result<()> {
        match &self.form {
            Form::Null => {}
            Form::Truth => out.push_str(match (self.array.as_boolean().value(row), style.flink, nested) {
                (true, true, _) => "TRUE",
                (false, true, _) => "FALSE",
                (true, false, false) => "true",
                (false, false, false) => "false",
                (true, false, true) => "t",
                (false, false, true) => "f",
            }),
            Form::Double => push_double(self.array.as_primitive::<Float64Type>().value(row), style.semantics(), out),
            Form::Single => push_single(self.array.as_primitive::<Float32Type>().value(row), style.semantics(), out),
            Form::Interval => {
                let interval = self.array.as_primitive::<IntervalMonthDayNanoType>().value(row);
                if style.flink { flink_interval(interval, out) } else { interval_text(interval, out) }
            }
            Form::Text => out.push_str(self.array.as_string::<i32>().value(row)),
            Form::Bytes => bytes(self.array.as_binary::<i32>().value(row), style.flink, out),
            Form::Timestamp(numbers, unit, zoned) => {
                let number = numbers.as_primitive::<Int64Type>().value(row);
                push_timestamp(number, (*unit, *zoned), style.zone, style.flink, out);
            }
            Form::Variant(texts) => out.push_str(texts.value(row)),
            Form::List(items) => self.push_list(items, row, style, out)?,
            Form::Row(fields) => push_row(fields, row, style, out)?,
            Form::Map(..) if !style.flink => push_json(out, self.array, row)?,
            Form::Map(keys, values) => {
                out.push('{');
                for (index, at) in range(self.array.as_map().offsets(), row).enumerate() {
                    out.push_str(if index > 0 { ", " } else { "" });
                    keys.push_or_null(at, style, out)?;
                    out.push('=');
                    values.push_or_null(at, style, out)?;
                }
                out.push('}');
            }
            Form::Other(formatter) => write!(out, "{}", formatter.value(row))?,
        }
        Ok(())
    }

    fn push_or_null(&self, row: usize, style: Style, out: &mut String) -> Result<()> {
        if self.is_null(row) {
            out.push_str("NULL");
            return Ok(());
        }
        self.push(row, style, true, out)
    }

    fn push_list(&self, items: &Self, row: usize, style: Style, out: &mut String) -> Result<()> {
        out.push(if style.flink { '[' } else { '{' });
        for (index, at) in range(self.array.as_list::<i32>().offsets(), row).enumerate() {
            match (index, style.flink) {
                (0, _) => {}
                (_, true) => out.push_str(", "),
                (_, false) => out.push(','),
            }
            let start = out.len();
            items.push_or_null(at, style, out)?;
            if !style.flink && !items.is_null(at) && !matches!(items.form, Form::List(_)) {
                quote_where(out, start, '\\', |text| {
                    text.eq_ignore_ascii_case("null") || needs_quotes(text, ['{', '}'])
                });
            }
        }
        out.push(if style.flink { ']' } else { '}' });
        Ok(())
    }
}

const OPTIONS: FormatOptions<'static> = FormatOptions::new();

fn push_row(fields: &[Values<'_>], row: usize, style: Style, out: &mut String) -> Result<()> {
    out.push('(');
    for (index, field) in fields.iter().enumerate() {
        match (index, style.flink) {
            (0, _) => {}
            (_, true) => out.push_str(", "),
            (_, false) => out.push(','),
        }
        if style.flink {
            field.push_or_null(row, style, out)?;
        } else if !field.is_null(row) {
            let start = out.len();
            field.push(row, style, true, out)?;
            quote_where(out, start, '"', |text| needs_quotes(text, ['(', ')']));
        }
    }
    out.push(')');
    Ok(())
}

/// The places of a row's elements.
fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let at = |row: usize| offsets.get(row).and_then(|at| usize::try_from(*at).ok()).unwrap_or(0);
    at(row)..at(row + 1)
}

fn needs_quotes(text: &str, brackets: [char; 2]) -> bool {
    let odd = |c: char| brackets.contains(&c) || matches!(c, ',' | '"' | '\\') || c.is_ascii_whitespace();
    text.is_empty() || text.contains(odd)
}

/// Puts what was written from `start` on in double quotes where it needs them. A quote is escaped by `escape`, a backslash
/// by another.
fn quote_where(out: &mut String, start: usize, escape: char, needs: impl Fn(&str) -> bool) {
    if !out.get(start..).is_some_and(needs) {
        return;
    }
    let text = out.split_off(start);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push(escape),
            '\\' => out.push('\\'),
            _ => {}
        }
        out.push(c);
    }
    out.push('"');
}

/// Bytes as PostgreSQL shows them, or as the characters that they are, as Flink does.
fn bytes(bytes: &[u8], flink: bool, out: &mut String) {
    if flink {
        out.push_str(&String::from_utf8_lossy(bytes));
        return;
    }
    out.push_str("\\x");
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(out, "{byte:02x}");
    }
}

/// `1 year 2 mons 3 days 04:05:06.7`
fn interval_text(interval: IntervalMonthDayNano, out: &mut String) {
    let start = out.len();
    let parts = [(interval.months / 12, "year"), (interval.months % 12, "mon"), (interval.days, "day")];
    for (count, unit) in parts.into_iter().filter(|(count, _)| *count != 0) {
        let space = if out.len() > start { " " } else { "" };
        let _ = write!(out, "{space}{count} {unit}{}", if count == 1 { "" } else { "s" });
    }
    if interval.nanoseconds == 0 && out.len() > start {
        return;
    }
    let (space, sign) = (if out.len() > start { " " } else { "" }, if interval.nanoseconds < 0 { "-" } else { "" });
    let micros = interval.nanoseconds.unsigned_abs() / 1_000;
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let _ = write!(out, "{space}{sign}{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if fraction > 0 {
        let _ = write!(out, ".{}", format!("{fraction:06}").trim_end_matches('0'));
    }
}

/// `+1-02` of years and months, else `+3 04:05:06.700`
fn flink_interval(interval: IntervalMonthDayNano, out: &mut String) {
    if interval.months != 0 && interval.days == 0 && interval.nanoseconds == 0 {
        let (sign, months) = (if interval.months < 0 { '-' } else { '+' }, interval.months.unsigned_abs());
        let _ = write!(out, "{sign}{}-{:02}", months / 12, months % 12);
        return;
    }
    let millis = i64::from(interval.days) * 86_400_000 + interval.nanoseconds / 1_000_000;
    let (sign, millis) = (if millis < 0 { '-' } else { '+' }, millis.unsigned_abs());
    let (days, seconds) = (millis / 86_400_000, millis / 1_000 % 86_400);
    let clock = (seconds / 3_600, seconds / 60 % 60, seconds % 60, millis % 1_000);
    let _ = write!(out, "{sign}{days} {:02}:{:02}:{:02}.{:03}", clock.0, clock.1, clock.2, clock.3);
}
