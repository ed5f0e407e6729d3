//! The names that Flink and PostgreSQL print for Arrow types.

use arrow::datatypes::{DataType, Field, TimeUnit};

use super::resolve::field_text;
use super::variant::is_variant;

/// The type as Flink prints it: `TIMESTAMP(3)`, `ROW<a INT>`. Reads back as the same type.
pub fn flink_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "NULL".to_owned(),
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Int16 | DataType::UInt8 => "SMALLINT".to_owned(),
        DataType::Int32 | DataType::UInt16 => "INT".to_owned(),
        DataType::Int64 | DataType::UInt32 => "BIGINT".to_owned(),
        DataType::UInt64 => "DECIMAL(20, 0)".to_owned(),
        DataType::Float16 | DataType::Float32 => "FLOAT".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "STRING".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "BYTES".to_owned()
        }
        DataType::Date32 | DataType::Date64 => "DATE".to_owned(),
        DataType::Time32(unit) | DataType::Time64(unit) => format!("TIME({})", digits(*unit)),
        DataType::Timestamp(unit, None) => format!("TIMESTAMP({})", digits(*unit)),
        DataType::Timestamp(unit, Some(_)) => format!("TIMESTAMP_LTZ({})", digits(*unit)),
        DataType::Duration(_) | DataType::Interval(_) => "INTERVAL".to_owned(),
        of if is_variant(of) => "VARIANT".to_owned(),
        DataType::Struct(fields) => {
            let fields =
                fields.iter().map(|field| format!("{} {}", field_text(field.name()), flink_name(field.data_type())));
            format!("ROW<{}>", fields.collect::<Vec<_>>().join(", "))
        }
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => format!("ARRAY<{}>", flink_name(item.data_type())),
        DataType::Map(entries, _) => match key_and_value(entries) {
            Some((key, value)) => format!("MAP<{}, {}>", flink_name(key), flink_name(value)),
            None => "MAP".to_owned(),
        },
        DataType::Dictionary(_, value) => flink_name(value),
        DataType::RunEndEncoded(_, values) => flink_name(values.data_type()),
        DataType::Union(..) => "UNION".to_owned(),
    }
}

/// The type as PostgreSQL prints it: `timestamp(3) without time zone`, `numeric(23,3)`, `integer[]`. Rows are `record`,
/// maps have no name there.
pub fn postgres_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "unknown".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => "smallint".to_owned(),
        DataType::Int32 | DataType::UInt16 => "integer".to_owned(),
        DataType::Int64 | DataType::UInt32 => "bigint".to_owned(),
        DataType::UInt64 => "numeric(20,0)".to_owned(),
        DataType::Float16 | DataType::Float32 => "real".to_owned(),
        DataType::Float64 => "double precision".to_owned(),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => format!("numeric({precision},{scale})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "bytea".to_owned()
        }
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Time32(unit) | DataType::Time64(unit) => format!("time{} without time zone", modifier(*unit)),
        DataType::Timestamp(unit, None) => format!("timestamp{} without time zone", modifier(*unit)),
        DataType::Timestamp(unit, Some(_)) => format!("timestamp{} with time zone", modifier(*unit)),
        DataType::Duration(_) | DataType::Interval(_) => "interval".to_owned(),
        of if is_variant(of) => "jsonb".to_owned(),
        DataType::Struct(_) => "record".to_owned(),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => format!("{}[]", postgres_name(item.data_type())),
        DataType::Map(entries, _) => match key_and_value(entries) {
            Some((key, value)) => format!("map({},{})", postgres_name(key), postgres_name(value)),
            None => "map".to_owned(),
        },
        DataType::Dictionary(_, value) => postgres_name(value),
        DataType::RunEndEncoded(_, values) => postgres_name(values.data_type()),
        DataType::Union(..) => "union".to_owned(),
    }
}

/// How many digits of a second the unit has.
fn digits(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

/// PostgreSQL's type modifier: microseconds need none.
fn modifier(unit: TimeUnit) -> String {
    match digits(unit) {
        6 => String::new(),
        digits => format!("({digits})"),
    }
}

fn key_and_value(entries: &Field) -> Option<(&DataType, &DataType)> {
    match entries.data_type() {
        DataType::Struct(fields) => match fields.as_ref() {
            [key, value] => Some((key.data_type(), value.data_type())),
            _ => None,
        },
        _ => None,
    }
}
