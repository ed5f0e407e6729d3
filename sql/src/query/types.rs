//! Types inside expressions (`CAST(x AS TIMESTAMP(3))`): Flink's and PostgreSQL's names.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit, TimeUnit};
use datafusion::common::Result as PlanResult;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast as sp;

use super::provider::external;
use crate::error::{Result, SqlError, SqlState};

/// Maps the types of casts.
#[derive(Debug)]
pub(super) struct Types;

impl TypePlanner for Types {
    fn plan_type_field(&self, sql_type: &sp::DataType) -> PlanResult<Option<FieldRef>> {
        let data_type = arrow_type(sql_type).map_err(external)?;
        Ok(Some(Arc::new(Field::new("", data_type, true))))
    }
}

/// The Arrow type of a type as `sqlparser` reads it.
///
/// # Errors
/// Where there is no such type.
pub(super) fn arrow_type(sql_type: &sp::DataType) -> Result<DataType> {
    use sp::DataType as Sql;
    Ok(match sql_type {
        Sql::Boolean | Sql::Bool => DataType::Boolean,
        Sql::TinyInt(_) => DataType::Int8,
        Sql::SmallInt(_) | Sql::Int2(_) => DataType::Int16,
        Sql::Int(_) | Sql::Integer(_) | Sql::Int4(_) => DataType::Int32,
        Sql::BigInt(_) | Sql::Int8(_) => DataType::Int64,
        Sql::Float(_) | Sql::Real | Sql::Float4 => DataType::Float32,
        Sql::Double(_) | Sql::DoublePrecision | Sql::Float8 => DataType::Float64,
        Sql::Numeric(info) => decimal(*info, (38, 18), sql_type)?,
        Sql::Decimal(info) | Sql::Dec(info) => decimal(*info, (10, 0), sql_type)?,
        Sql::Char(_)
        | Sql::Character(_)
        | Sql::Varchar(_)
        | Sql::CharVarying(_)
        | Sql::CharacterVarying(_)
        | Sql::Nvarchar(_)
        | Sql::Text
        | Sql::String(_) => DataType::Utf8,
        Sql::Bytea | Sql::Bytes(_) | Sql::Binary(_) | Sql::Varbinary(_) | Sql::Blob(_) => DataType::Binary,
        Sql::Date => DataType::Date32,
        Sql::Time(precision, _) => match precision {
            Some(0..=3) => DataType::Time32(TimeUnit::Millisecond),
            _ => DataType::Time64(TimeUnit::Microsecond),
        },
        Sql::Timestamp(precision, zone) => {
            let zoned = matches!(zone, sp::TimezoneInfo::WithTimeZone | sp::TimezoneInfo::Tz);
            timestamp(*precision, zoned)
        }
        Sql::TimestampNtz(precision) => timestamp(*precision, false),
        Sql::Interval { .. } => DataType::Interval(IntervalUnit::MonthDayNano),
        Sql::Array(sp::ArrayElemTypeDef::AngleBracket(element) | sp::ArrayElemTypeDef::SquareBracket(element, _)) => {
            DataType::List(Arc::new(Field::new("item", arrow_type(element)?, true)))
        }
        Sql::Struct(fields, _) => {
            let fields = fields.iter().enumerate().map(|(index, field)| {
                let name = field.field_name.as_ref().map_or_else(|| format!("f{index}"), |name| name.value.clone());
                Ok(Field::new(name, arrow_type(&field.field_type)?, true))
            });
            DataType::Struct(Fields::from(fields.collect::<Result<Vec<Field>>>()?))
        }
        Sql::Custom(name, modifiers) => custom(name, modifiers).ok_or_else(|| unknown(sql_type))?,
        _ => return Err(unknown(sql_type)),
    })
}

fn custom(name: &sp::ObjectName, modifiers: &[String]) -> Option<DataType> {
    let name = name.0.last()?.as_ident()?.value.to_ascii_uppercase();
    let precision = modifiers.first().and_then(|precision| precision.parse().ok());
    match name.as_str() {
        "TIMESTAMP_LTZ" => Some(timestamp(precision, true)),
        "STRING" => Some(DataType::Utf8),
        "BYTES" => Some(DataType::Binary),
        _ => None,
    }
}

fn unknown(sql_type: &sp::DataType) -> SqlError {
    SqlError::new(SqlState::UNDEFINED_OBJECT, format!("type \"{sql_type}\" does not exist"))
}

fn timestamp(precision: Option<u64>, zoned: bool) -> DataType {
    let unit = match precision {
        Some(0..=3) => TimeUnit::Millisecond,
        Some(4..=6) | None => TimeUnit::Microsecond,
        Some(_) => TimeUnit::Nanosecond,
    };
    DataType::Timestamp(unit, zoned.then(|| "UTC".into()))
}

fn decimal(info: sp::ExactNumberInfo, default: (u8, i8), sql_type: &sp::DataType) -> Result<DataType> {
    let (precision, scale) = match info {
        sp::ExactNumberInfo::None => default,
        sp::ExactNumberInfo::Precision(precision) => (u8::try_from(precision).unwrap_or(u8::MAX), 0),
        sp::ExactNumberInfo::PrecisionAndScale(precision, scale) => {
            (u8::try_from(precision).unwrap_or(u8::MAX), i8::try_from(scale).unwrap_or(i8::MAX))
        }
    };
    let fits = (1..=38).contains(&precision) && scale >= 0 && scale.unsigned_abs() <= precision;
    if !fits {
        let message =
            format!("{sql_type}: the precision must be between 1 and 38, the scale between 0 and the precision");
        return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
    }
    Ok(DataType::Decimal128(precision, scale))
}
