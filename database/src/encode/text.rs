//! A value as PostgreSQL prints it: `t`, `1.50`, `2015-07-15 00:00:01`, `{1,2}`, `(1,a)`, `\x00ff`.

use arrow::array::cast::AsArray;
use arrow::array::types::{
    Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Float16Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::array::{Array, ArrowPrimitiveType, PrimitiveArray};
use arrow::datatypes::DataType;
use chrono_tz::Tz;
use millstream_sql::catalog::Semantics;
use millstream_sql::{push_double, push_single};
use std::fmt::{Display, Write};

use super::{nested, temporal};

/// What the text of a value depends on besides the value.
#[derive(Debug, Clone, Copy)]
pub struct TextStyle {
    /// The zone in which `TIMESTAMP_LTZ` values are shown.
    pub time_zone: Tz,
}

impl Default for TextStyle {
    fn default() -> Self {
        Self { time_zone: Tz::UTC }
    }
}

/// The text of one value; `None` for null.
pub fn text_value(array: &dyn Array, row: usize, style: TextStyle) -> Option<String> {
    if array.is_null(row) || array.data_type() == &DataType::Null {
        return None;
    }
    let mut out = String::new();
    write_text(array, row, style, &mut out);
    Some(out)
}

/// Appends the text of one value, which is not null.
pub fn write_text(array: &dyn Array, row: usize, style: TextStyle, out: &mut String) {
    match array.data_type() {
        DataType::Null => (),
        DataType::Boolean => out.push(if array.as_boolean().value(row) { 't' } else { 'f' }),
        DataType::Int8 => display::<Int8Type>(array, row, out),
        DataType::Int16 => display::<Int16Type>(array, row, out),
        DataType::Int32 => display::<Int32Type>(array, row, out),
        DataType::Int64 => display::<Int64Type>(array, row, out),
        DataType::UInt8 => display::<UInt8Type>(array, row, out),
        DataType::UInt16 => display::<UInt16Type>(array, row, out),
        DataType::UInt32 => display::<UInt32Type>(array, row, out),
        DataType::UInt64 => display::<UInt64Type>(array, row, out),
        DataType::Float16 => {
            push_single(array.as_primitive::<Float16Type>().value(row).to_f32(), Semantics::Postgres, out);
        }
        DataType::Float32 => push_single(array.as_primitive::<Float32Type>().value(row), Semantics::Postgres, out),
        DataType::Float64 => push_double(array.as_primitive::<Float64Type>().value(row), Semantics::Postgres, out),
        DataType::Decimal32(_, _) => out.push_str(&array.as_primitive::<Decimal32Type>().value_as_string(row)),
        DataType::Decimal64(_, _) => out.push_str(&array.as_primitive::<Decimal64Type>().value_as_string(row)),
        DataType::Decimal128(_, _) => out.push_str(&array.as_primitive::<Decimal128Type>().value_as_string(row)),
        DataType::Decimal256(_, _) => out.push_str(&array.as_primitive::<Decimal256Type>().value_as_string(row)),
        DataType::Utf8 => out.push_str(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => out.push_str(array.as_string::<i64>().value(row)),
        DataType::Utf8View => out.push_str(array.as_string_view().value(row)),
        DataType::Binary => hex(array.as_binary::<i32>().value(row), out),
        DataType::LargeBinary => hex(array.as_binary::<i64>().value(row), out),
        DataType::BinaryView => hex(array.as_binary_view().value(row), out),
        DataType::FixedSizeBinary(_) => hex(array.as_fixed_size_binary().value(row), out),
        DataType::Date32
        | DataType::Date64
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Timestamp(_, _)
        | DataType::Duration(_)
        | DataType::Interval(_) => temporal::write(array, row, style, out),
        DataType::List(_)
        | DataType::LargeList(_)
        | DataType::FixedSizeList(_, _)
        | DataType::ListView(_)
        | DataType::LargeListView(_)
        | DataType::Struct(_)
        | DataType::Map(_, _)
        | DataType::Union(_, _)
        | DataType::Dictionary(_, _)
        | DataType::RunEndEncoded(_, _) => nested::write(array, row, style, out),
    }
}

fn display<T>(array: &dyn Array, row: usize, out: &mut String)
where
    T: ArrowPrimitiveType,
    T::Native: Display,
{
    let values: &PrimitiveArray<T> = array.as_primitive();
    // Writing to a string does not fail.
    let _ = write!(out, "{}", values.value(row));
}

fn hex(bytes: &[u8], out: &mut String) {
    out.push_str("\\x");
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
}
