//! Texts of `COPY` as values of the columns they are for.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryBuilder, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use millstream_sql::catalog::Column;
use millstream_sql::error::from_arrow;
use millstream_sql::types::postgres_name;
use millstream_sql::{SqlError, SqlState, cast_text};

use super::decode::Texts;

/// The rows with the types of their columns.
///
/// # Errors
/// The first text that is no value of its column's type, with its line.
pub(crate) fn typed(texts: &Texts, columns: &[&Column], table: &str) -> Result<RecordBatch, SqlError> {
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
    for (column, text) in columns.iter().zip(&texts.columns) {
        let to = &column.data_type.arrow;
        let values = convert(text, to)?;
        let lost = (0..text.len()).find(|row| values.is_null(*row) && !text.is_null(*row));
        if let Some(row) = lost {
            let line = texts.lines.get(row).copied().unwrap_or_default();
            let found = text.value(row);
            let state = match to {
                DataType::Date32 | DataType::Timestamp(..) | DataType::Time32(_) | DataType::Time64(_) => {
                    SqlState::INVALID_DATETIME_FORMAT
                }
                _ => SqlState::INVALID_TEXT_REPRESENTATION,
            };
            let message = format!("invalid input syntax for type {}: \"{found}\"", postgres_name(to));
            let detail = format!("COPY {table}, line {line}, column {}: \"{found}\"", column.name);
            return Err(SqlError::new(state, message).with_detail(detail));
        }
        arrays.push(values);
    }
    let fields = columns.iter().zip(&arrays);
    let fields: Vec<Field> =
        fields.map(|(column, array)| Field::new(&column.name, array.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(from_arrow)
}

/// The values of texts; null where a text is none.
fn convert(texts: &StringArray, to: &DataType) -> Result<ArrayRef, SqlError> {
    match to {
        DataType::Utf8 => Ok(Arc::new(texts.clone())),
        DataType::Binary => {
            let mut bytes = BinaryBuilder::new();
            texts.iter().for_each(|text| bytes.append_option(text.map(from_hex)));
            Ok(Arc::new(bytes.finish()))
        }
        DataType::List(_) => cast_text(texts, to, true).map_err(from_arrow),
        DataType::Struct(_) | DataType::Map(..) => {
            Err(SqlError::unsupported(format!("COPY cannot read values of type {}", postgres_name(to))))
        }
        to => {
            let values = cast_text(texts, to, true).map_err(from_arrow)?;
            if values.null_count() == texts.null_count() {
                return Ok(values);
            }
            // White space around a value does not count.
            let trimmed: StringArray = texts.iter().map(|text| text.map(str::trim)).collect();
            cast_text(&trimmed, to, true).map_err(from_arrow)
        }
    }
}

/// The bytes of `\x00ff`, or of the text itself.
fn from_hex(text: &str) -> Vec<u8> {
    let decoded = text.strip_prefix("\\x").filter(|digits| digits.len() % 2 == 0).and_then(|digits| {
        let pairs = digits.as_bytes().chunks(2);
        let byte = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
        pairs.map(byte).collect::<Option<Vec<u8>>>()
    });
    decoded.unwrap_or_else(|| text.as_bytes().to_vec())
}
