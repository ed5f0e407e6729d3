//! The Arrow type of `VARIANT`, which Arrow has none for.

use arrow::datatypes::{DataType, Field};

/// The name of the only field, which no ROW of a user has.
const FIELD: &str = "$variant";

/// A row of one text: JSON without white space.
pub fn variant() -> DataType {
    DataType::Struct(vec![Field::new(FIELD, DataType::Utf8, true)].into())
}

/// Whether this is the type of a `VARIANT`.
pub fn is_variant(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => matches!(fields.as_ref(), [field] if field.name() == FIELD),
        _ => false,
    }
}
