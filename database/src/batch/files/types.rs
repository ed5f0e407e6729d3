//! The types of Parquet files as ours: what only Arrow or DataFusion has becomes the type that it is shown as.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

/// The schema that queries see. DataFusion casts what it reads.
pub(super) fn readable(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(schema.fields().iter().map(readable_field).collect::<Vec<_>>()))
}

fn readable_field(field: &FieldRef) -> FieldRef {
    Arc::new(Field::new(field.name(), readable_type(field.data_type()), true))
}

fn readable_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Null | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::Date64 => DataType::Date32,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Dictionary(_, values) => readable_type(values),
        // One instant, whatever zone the writer was in.
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some("UTC".into())),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            DataType::List(readable_field(item))
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(readable_field).collect()),
        other => other.clone(),
    }
}
