//! Parts of a timestamp, and `DATE_FORMAT`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::compute::{DatePart, cast, date_part};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;

use super::format::Format;
use super::support::{Args, Kernel, Text, Types, function, is_text};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let parts: [(&'static str, &'static [&'static str], Kernel); 10] = [
        ("year", &[], |args| part(args, DatePart::Year)),
        ("quarter", &[], |args| part(args, DatePart::Quarter)),
        ("month", &[], |args| part(args, DatePart::Month)),
        ("week", &[], |args| part(args, DatePart::Week)),
        ("dayofyear", &[], |args| part(args, DatePart::DayOfYear)),
        ("dayofmonth", &[], |args| part(args, DatePart::Day)),
        ("dayofweek", &[], |args| sunday_first(args)),
        ("hour", &[], |args| part(args, DatePart::Hour)),
        ("minute", &[], |args| part(args, DatePart::Minute)),
        ("second", &[], |args| part(args, DatePart::Second)),
    ];
    let mut functions: Vec<_> = parts
        .into_iter()
        .map(|(name, aliases, kernel)| function(name, aliases, "part(timestamp)", PART, kernel))
        .collect();
    functions.push(function("date_format", &[], "DATE_FORMAT(timestamp, pattern)", format_types, date_format));
    functions
}

/// Microseconds, without a zone, whatever comes in: all arithmetic is in this type.
pub(super) const MICROS: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

const PART: Types = |types| match types {
    [DataType::Timestamp(..) | DataType::Date32 | DataType::Time32(_) | DataType::Time64(_)] => {
        Some((DataType::Int64, types.to_vec()))
    }
    [text] if is_text(text) => Some((DataType::Int64, vec![MICROS])),
    _ => None,
};

fn part(args: &Args, part: DatePart) -> Result<ArrayRef> {
    Ok(cast(&date_part(&args.column(0)?, part)?, &DataType::Int64)?)
}

/// The day of the week from 1 for Sunday.
fn sunday_first(args: &Args) -> Result<ArrayRef> {
    let days = cast(&date_part(&args.column(0)?, DatePart::DayOfWeekSunday0)?, &DataType::Int64)?;
    let one = arrow::array::Int64Array::new_scalar(1);
    Ok(arrow::compute::kernels::numeric::add(&days, &one)?)
}

fn format_types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    match types {
        [DataType::Timestamp(..) | DataType::Date32, pattern] if is_text(pattern) => {
            Some((DataType::Utf8, vec![MICROS, DataType::Utf8]))
        }
        [text, pattern] if is_text(text) && is_text(pattern) => Some((DataType::Utf8, vec![MICROS, DataType::Utf8])),
        _ => None,
    }
}

fn date_format(args: &Args) -> Result<ArrayRef> {
    let column = args.column(0)?;
    let times = column.as_primitive::<TimestampMicrosecondType>();
    let patterns = args.text(1)?;
    let mut out = StringBuilder::with_capacity(times.len(), times.len() * 16);
    let mut format: Option<(String, Format)> = None;
    for row in 0..times.len() {
        let (true, Some(pattern)) = (times.is_valid(row), patterns.get(row)) else {
            out.append_null();
            continue;
        };
        let format = match &mut format {
            Some((known, format)) if matches!(patterns, Text::Constant(_)) || known == pattern => format,
            other => &mut other.insert((pattern.to_owned(), Format::parse(pattern)?)).1,
        };
        out.append_value(format.format(times.value(row)));
    }
    Ok(Arc::new(out.finish()))
}
