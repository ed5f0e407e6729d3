//! Which PostgreSQL type stands for an Arrow field.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use arrow_pg::datatypes::field_into_pg_type;
use pgwire::api::Type;

/// The PostgreSQL type of a column. A map is `json`; what PostgreSQL has no type for (arrays of arrays) is `text`.
pub(super) fn pg_type(field: &Field) -> Type {
    match field.data_type() {
        DataType::Null => Type::TEXT,
        DataType::Map(_, _) => Type::JSON,
        DataType::Struct(_) => Type::RECORD,
        DataType::List(item) if matches!(item.data_type(), DataType::Struct(_)) => Type::RECORD_ARRAY,
        DataType::List(item) if matches!(item.data_type(), DataType::Map(_, _)) => Type::JSON_ARRAY,
        _ => field_into_pg_type(&Arc::new(field.clone())).unwrap_or(Type::TEXT),
    }
}
