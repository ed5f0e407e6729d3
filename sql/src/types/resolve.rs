//! From a type as written to [`TypeName`]: its Arrow type and Flink's name for it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, IntervalUnit, TimeUnit};
use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::ast::{ArrayElemTypeDef, BinaryLength, CharacterLength, ExactNumberInfo, TimezoneInfo};

use crate::ast::TypeName;
use crate::catalog::nearest;
use crate::error::{Result, SqlError, SqlState};

use super::names::flink_name;
use super::variant::variant;

/// The most digits that a DECIMAL can have.
const DECIMAL_DIGITS_MAX: u64 = 38;
/// The most digits of a second that a TIMESTAMP can have.
const FRACTION_DIGITS_MAX: u64 = 9;
/// The zone in which timestamps with a zone are kept.
pub(crate) const UTC: &str = "UTC";

const KNOWN: [&str; 32] = [
    "boolean",
    "tinyint",
    "smallint",
    "int",
    "integer",
    "bigint",
    "float",
    "real",
    "double",
    "decimal",
    "numeric",
    "char",
    "varchar",
    "string",
    "text",
    "bytes",
    "binary",
    "varbinary",
    "bytea",
    "date",
    "time",
    "timestamp",
    "timestamp_ltz",
    "timestamptz",
    "interval",
    "row",
    "array",
    "map",
    "multiset",
    "variant",
    "json",
    "uuid",
];

/// The type that stands for `data_type`.
///
/// # Errors
/// A type that does not exist, or a precision out of range.
pub fn from_sqlparser(data_type: &sp::DataType) -> Result<TypeName> {
    use sp::DataType as Written;
    let arrow = match data_type {
        Written::Boolean | Written::Bool => DataType::Boolean,
        Written::TinyInt(_) => DataType::Int8,
        Written::SmallInt(_) | Written::Int2(_) => DataType::Int16,
        Written::Int(_) | Written::Integer(_) | Written::Int4(_) => DataType::Int32,
        Written::BigInt(_) | Written::Int8(_) => DataType::Int64,
        Written::Float(ExactNumberInfo::Precision(bits)) if *bits > 24 => DataType::Float64,
        Written::Real | Written::Float4 | Written::Float(_) => DataType::Float32,
        Written::Double(_) | Written::DoublePrecision | Written::Float8 => DataType::Float64,
        Written::Numeric(ExactNumberInfo::None) => DataType::Decimal128(38, 18),
        Written::Decimal(info) | Written::Dec(info) | Written::Numeric(info) => decimal(info)?,
        Written::Varchar(length) | Written::CharacterVarying(length) | Written::CharVarying(length) => {
            return Ok(text("VARCHAR", length.as_ref()));
        }
        Written::Char(None) | Written::Character(None) => return Ok(sized(DataType::Utf8, "CHAR", 1)),
        Written::Char(length) | Written::Character(length) => return Ok(text("CHAR", length.as_ref())),
        Written::String(_) | Written::Text | Written::JSON | Written::JSONB | Written::Uuid => DataType::Utf8,
        Written::Bytea | Written::Bytes(_) | Written::Blob(_) => DataType::Binary,
        Written::Binary(length) => return Ok(sized(DataType::Binary, "BINARY", length.unwrap_or(1))),
        Written::Varbinary(Some(BinaryLength::IntegerLength { length })) if *length < BYTES_MAX => {
            return Ok(sized(DataType::Binary, "VARBINARY", *length));
        }
        Written::Varbinary(_) => DataType::Binary,
        Written::Date => DataType::Date32,
        Written::Time(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => return time(*precision),
        Written::Timestamp(precision, zone) => return timestamp(*precision, zone),
        Written::Datetime(precision) | Written::TimestampNtz(precision) => {
            return timestamp(*precision, &TimezoneInfo::None);
        }
        Written::Interval { .. } => DataType::Interval(IntervalUnit::MonthDayNano),
        Written::Struct(fields, _) => return row(fields),
        Written::Map(key, value) => return map(key, value),
        Written::Array(
            ArrayElemTypeDef::AngleBracket(element)
            | ArrayElemTypeDef::SquareBracket(element, _)
            | ArrayElemTypeDef::Parenthesis(element),
        ) => return array(element),
        Written::Custom(name, _) if name.to_string().eq_ignore_ascii_case("variant") => variant(),
        other => return Err(unknown(other)),
    };
    Ok(from_arrow(arrow))
}

/// The type with the name that Flink gives it.
pub fn from_arrow(arrow: DataType) -> TypeName {
    TypeName { text: flink_name(&arrow), arrow }
}

/// The length from which `VARCHAR(n)` and `VARBINARY(n)` are `STRING` and `BYTES`.
const BYTES_MAX: u64 = i32::MAX as u64;

fn sized(arrow: DataType, name: &str, length: u64) -> TypeName {
    TypeName { arrow, text: format!("{name}({length})") }
}

fn text(name: &str, length: Option<&CharacterLength>) -> TypeName {
    match length {
        Some(CharacterLength::IntegerLength { length, .. }) if *length < BYTES_MAX => {
            sized(DataType::Utf8, name, *length)
        }
        _ => from_arrow(DataType::Utf8),
    }
}

fn decimal(info: &ExactNumberInfo) -> Result<DataType> {
    let (precision, scale) = match *info {
        ExactNumberInfo::None => (10, 0),
        ExactNumberInfo::Precision(precision) => (precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, scale),
    };
    if !(1..=DECIMAL_DIGITS_MAX).contains(&precision) {
        return Err(out_of_range(format!("DECIMAL precision {precision} must be between 1 and {DECIMAL_DIGITS_MAX}")));
    }
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(digits), Ok(fraction)) if fraction >= 0 && scale.unsigned_abs() <= precision => {
            Ok(DataType::Decimal128(digits, fraction))
        }
        _ => Err(out_of_range(format!("DECIMAL scale {scale} must be between 0 and precision {precision}"))),
    }
}

fn time(precision: Option<u64>) -> Result<TypeName> {
    let precision = fraction("TIME", precision)?;
    let arrow =
        if precision <= 3 { DataType::Time32(TimeUnit::Millisecond) } else { DataType::Time64(TimeUnit::Microsecond) };
    Ok(sized(arrow, "TIME", precision))
}

fn timestamp(precision: Option<u64>, zone: &TimezoneInfo) -> Result<TypeName> {
    let (name, zone) = match zone {
        TimezoneInfo::None | TimezoneInfo::WithoutTimeZone => ("TIMESTAMP", None),
        TimezoneInfo::WithTimeZone | TimezoneInfo::Tz => ("TIMESTAMP_LTZ", Some(Arc::from(UTC))),
    };
    let precision = fraction(name, precision)?;
    let unit = match precision {
        0..=3 => TimeUnit::Millisecond,
        4..=6 => TimeUnit::Microsecond,
        _ => TimeUnit::Nanosecond,
    };
    Ok(sized(DataType::Timestamp(unit, zone), name, precision))
}

/// The digits of a second; 6 where nothing is said.
fn fraction(name: &str, precision: Option<u64>) -> Result<u64> {
    match precision {
        Some(precision) if precision > FRACTION_DIGITS_MAX => {
            Err(out_of_range(format!("{name} precision {precision} must be between 0 and {FRACTION_DIGITS_MAX}")))
        }
        other => Ok(other.unwrap_or(6)),
    }
}

fn row(fields: &[sp::StructField]) -> Result<TypeName> {
    let mut arrow: Vec<Field> = Vec::new();
    let mut texts = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        let name = field.field_name.clone().unwrap_or_else(|| sp::Ident::new(format!("f{index}")));
        if arrow.iter().any(|other| *other.name() == name.value) {
            let message = format!("field \"{}\" is declared twice in a ROW", name.value);
            return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message));
        }
        let inner = from_sqlparser(&field.field_type)?;
        texts.push(format!("{} {}", field_text(&name.value), inner.text));
        arrow.push(Field::new(name.value, inner.arrow, true));
    }
    Ok(TypeName { arrow: DataType::Struct(Fields::from(arrow)), text: format!("ROW<{}>", texts.join(", ")) })
}

/// The name of a field, quoted where it must be.
pub(super) fn field_text(name: &str) -> String {
    crate::statement_text::ident(name)
}

fn array(element: &sp::DataType) -> Result<TypeName> {
    let inner = from_sqlparser(element)?;
    let text = format!("ARRAY<{}>", inner.text);
    Ok(TypeName { arrow: DataType::List(Arc::new(Field::new("item", inner.arrow, true))), text })
}

fn map(key: &sp::DataType, value: &sp::DataType) -> Result<TypeName> {
    let (key, value) = (from_sqlparser(key)?, from_sqlparser(value)?);
    let text = format!("MAP<{}, {}>", key.text, value.text);
    let entry = Fields::from(vec![Field::new("key", key.arrow, false), Field::new("value", value.arrow, true)]);
    let entries = Field::new("entries", DataType::Struct(entry), false);
    Ok(TypeName { arrow: DataType::Map(Arc::new(entries), false), text })
}

fn out_of_range(message: String) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

fn unknown(data_type: &sp::DataType) -> SqlError {
    let name = data_type.to_string();
    let error = SqlError::new(SqlState::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist"));
    match nearest(&name, KNOWN.into_iter()) {
        Some(near) => error.with_hint(format!("did you mean \"{near}\"?")),
        None => error,
    }
}
