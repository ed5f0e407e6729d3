//! A value in PostgreSQL's binary form, for clients that ask for it.

use arrow::array::Array;
use arrow::array::cast::AsArray;
use arrow::array::types::{
    Date32Type, Date64Type, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalDayTimeType, IntervalMonthDayNanoType, IntervalYearMonthType, UInt8Type, UInt16Type, UInt32Type,
};
use arrow::datatypes::{DataType, Field, IntervalUnit};
use bytes::{BufMut, BytesMut};

use super::numeric::write_numeric;
use super::pg_type::pg_type;
use crate::encode::{TextStyle, list_items, seconds_nanos, text_value};

/// Days and seconds from 1970-01-01 to 2000-01-01, where PostgreSQL's counting starts.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_SECONDS: i64 = 946_684_800;

/// Appends one value, which is not null.
pub(super) fn write_binary(array: &dyn Array, row: usize, style: TextStyle, out: &mut BytesMut) {
    match array.data_type() {
        DataType::Boolean => out.put_u8(u8::from(array.as_boolean().value(row))),
        DataType::Int8 => out.put_i16(i16::from(array.as_primitive::<Int8Type>().value(row))),
        DataType::UInt8 => out.put_i16(i16::from(array.as_primitive::<UInt8Type>().value(row))),
        DataType::Int16 => out.put_i16(array.as_primitive::<Int16Type>().value(row)),
        DataType::UInt16 => out.put_i32(i32::from(array.as_primitive::<UInt16Type>().value(row))),
        DataType::Int32 => out.put_i32(array.as_primitive::<Int32Type>().value(row)),
        DataType::UInt32 => out.put_i64(i64::from(array.as_primitive::<UInt32Type>().value(row))),
        DataType::Int64 => out.put_i64(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float16 => out.put_f32(array.as_primitive::<Float16Type>().value(row).to_f32()),
        DataType::Float32 => out.put_f32(array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => out.put_f64(array.as_primitive::<Float64Type>().value(row)),
        DataType::UInt64
        | DataType::Decimal32(_, _)
        | DataType::Decimal64(_, _)
        | DataType::Decimal128(_, _)
        | DataType::Decimal256(_, _) => {
            write_numeric(&text_value(array, row, style).unwrap_or_default(), out);
        }
        DataType::Binary => out.put_slice(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => out.put_slice(array.as_binary::<i64>().value(row)),
        DataType::BinaryView => out.put_slice(array.as_binary_view().value(row)),
        DataType::FixedSizeBinary(_) => out.put_slice(array.as_fixed_size_binary().value(row)),
        DataType::Date32
        | DataType::Date64
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Timestamp(_, _)
        | DataType::Duration(_)
        | DataType::Interval(_) => write_temporal(array, row, out),
        DataType::Struct(_) => record(array, row, style, out),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
            if !item.data_type().is_nested()
                || matches!(item.data_type(), DataType::Struct(_) | DataType::Map(_, _)) =>
        {
            list(array, row, item, style, out);
        }
        // Text, and what is sent under the type `text` or `json`.
        _ => out.put_slice(text_value(array, row, style).unwrap_or_default().as_bytes()),
    }
}

fn write_temporal(array: &dyn Array, row: usize, out: &mut BytesMut) {
    match array.data_type() {
        DataType::Date32 => out.put_i32(array.as_primitive::<Date32Type>().value(row).saturating_sub(EPOCH_DAYS)),
        DataType::Date64 => {
            let days = array.as_primitive::<Date64Type>().value(row).div_euclid(86_400_000);
            out.put_i32(i32::try_from(days).unwrap_or(i32::MAX).saturating_sub(EPOCH_DAYS));
        }
        DataType::Interval(unit) => write_interval(array, row, *unit, out),
        DataType::Duration(_) => {
            let (seconds, nanos) = seconds_nanos(array, row);
            span(micros(seconds, nanos), 0, 0, out);
        }
        DataType::Timestamp(_, _) => {
            let (seconds, nanos) = seconds_nanos(array, row);
            out.put_i64(micros(seconds.saturating_sub(EPOCH_SECONDS), nanos));
        }
        _ => {
            let (seconds, nanos) = seconds_nanos(array, row);
            out.put_i64(micros(seconds, nanos));
        }
    }
}

fn write_interval(array: &dyn Array, row: usize, unit: IntervalUnit, out: &mut BytesMut) {
    match unit {
        IntervalUnit::YearMonth => span(0, 0, array.as_primitive::<IntervalYearMonthType>().value(row), out),
        IntervalUnit::DayTime => {
            let value = array.as_primitive::<IntervalDayTimeType>().value(row);
            span(i64::from(value.milliseconds) * 1_000, value.days, 0, out);
        }
        IntervalUnit::MonthDayNano => {
            let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            span(value.nanoseconds / 1_000, value.days, value.months, out);
        }
    }
}

fn span(micros: i64, days: i32, months: i32, out: &mut BytesMut) {
    out.put_i64(micros);
    out.put_i32(days);
    out.put_i32(months);
}

fn micros(seconds: i64, nanos: u32) -> i64 {
    seconds.saturating_mul(1_000_000).saturating_add(i64::from(nanos / 1_000))
}

fn list(array: &dyn Array, row: usize, item: &Field, style: TextStyle, out: &mut BytesMut) {
    let Some(items) = list_items(array, row) else {
        return;
    };
    let dimensions = i32::from(!items.is_empty());
    out.put_i32(dimensions);
    out.put_i32(i32::from(items.null_count() > 0));
    out.put_u32(pg_type(item).oid());
    if dimensions == 1 {
        out.put_i32(i32::try_from(items.len()).unwrap_or(i32::MAX));
        out.put_i32(1);
    }
    for index in 0..items.len() {
        framed(items.as_ref(), index, style, out);
    }
}

fn record(array: &dyn Array, row: usize, style: TextStyle, out: &mut BytesMut) {
    let fields = array.as_struct();
    out.put_i32(i32::try_from(fields.num_columns()).unwrap_or(i32::MAX));
    for (column, field) in fields.columns().iter().zip(fields.fields()) {
        out.put_u32(pg_type(field).oid());
        framed(column.as_ref(), row, style, out);
    }
}

/// A value behind its length in bytes; null is length −1.
fn framed(array: &dyn Array, row: usize, style: TextStyle, out: &mut BytesMut) {
    if array.is_null(row) || array.data_type() == &DataType::Null {
        return out.put_i32(-1);
    }
    let start = out.len();
    out.put_i32(0);
    write_binary(array, row, style, out);
    let length = i32::try_from(out.len() - start - 4).unwrap_or(i32::MAX);
    if let Some(slot) = out.get_mut(start..start + 4) {
        slot.copy_from_slice(&length.to_be_bytes());
    }
}
