//! Which types a format carries, and how they are called in messages.

use arrow::datatypes::{DataType, Field, TimeUnit};
use millstream_engine::error::{EngineError, Result};

/// The SQL name of a type, as a user declares it.
pub(crate) fn sql_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INT".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::Float32 => "FLOAT".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Utf8 => "STRING".to_owned(),
        DataType::Binary => "BYTES".to_owned(),
        DataType::Date32 => "DATE".to_owned(),
        DataType::Time32(TimeUnit::Millisecond) => "TIME(3)".to_owned(),
        DataType::Time64(TimeUnit::Microsecond) => "TIME(6)".to_owned(),
        DataType::Timestamp(unit, zone) => {
            let name = if zone.is_some() { "TIMESTAMP_LTZ" } else { "TIMESTAMP" };
            format!("{name}({})", fraction_digits(*unit))
        }
        DataType::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|field| format!("{} {}", field.name(), sql_name(field.data_type()))).collect();
            format!("ROW<{}>", fields.join(", "))
        }
        DataType::List(item) => format!("ARRAY<{}>", sql_name(item.data_type())),
        DataType::Map(entries, _) => match map_fields(entries) {
            Some((key, value)) => format!("MAP<{}, {}>", sql_name(key.data_type()), sql_name(value.data_type())),
            None => "MAP".to_owned(),
        },
        other => other.to_string(),
    }
}

/// Digits behind the second that a unit keeps.
pub(crate) fn fraction_digits(unit: TimeUnit) -> usize {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

/// The key and value fields of a map's `entries`.
pub(crate) fn map_fields(entries: &Field) -> Option<(&Field, &Field)> {
    match entries.data_type() {
        DataType::Struct(fields) => match fields.as_ref() {
            [key, value] => Some((key, value)),
            _ => None,
        },
        _ => None,
    }
}

/// Whether text can be read into this type and back.
pub(crate) fn is_text_scalar(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Boolean
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Float32
            | DataType::Float64
            | DataType::Decimal128(_, _)
            | DataType::Utf8
            | DataType::Binary
            | DataType::Date32
            | DataType::Time32(TimeUnit::Millisecond)
            | DataType::Time64(TimeUnit::Microsecond)
            | DataType::Timestamp(_, _)
    )
}

/// Whether JSON carries the type: text scalars, and rows, arrays and maps of them. Keys of maps are scalars.
pub(crate) fn is_json_type(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => fields.iter().all(|field| is_json_type(field.data_type())),
        DataType::List(item) => is_json_type(item.data_type()),
        DataType::Map(entries, _) => map_fields(entries)
            .is_some_and(|(key, value)| is_text_scalar(key.data_type()) && is_json_type(value.data_type())),
        scalar => is_text_scalar(scalar),
    }
}

/// The error for a column that a format cannot carry.
///
/// # Errors
/// Where `carries` is false for the type of a field.
pub(crate) fn check_types<'a>(
    format: &str,
    fields: impl Iterator<Item = &'a Field>,
    carries: impl Fn(&DataType) -> bool,
) -> Result<()> {
    for field in fields {
        if !carries(field.data_type()) {
            return Err(EngineError::config(format!(
                "format \"{format}\" cannot carry column \"{}\" of type {}",
                field.name(),
                sql_name(field.data_type())
            )));
        }
    }
    Ok(())
}
