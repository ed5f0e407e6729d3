//! The texts of queries, and their rows as columns. Values travel as text, so that the server converts between its types and the
//! declared ones.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::TableSpec;
use tokio_postgres::Row;

use crate::formats::{Column, is_text_scalar, sql_name};

/// Checks that the columns have types that are read.
///
/// # Errors
/// Where one has not.
pub(super) fn check(spec: &TableSpec) -> Result<()> {
    match spec.schema.fields().iter().find(|field| !is_text_scalar(field.data_type()) && !is_bytes(field.data_type())) {
        None => Ok(()),
        Some(field) => Err(EngineError::config(format!(
            "column \"{}\" has type {}, which this connector does not read",
            field.name(),
            sql_name(field.data_type())
        ))),
    }
}

fn is_bytes(data_type: &DataType) -> bool {
    *data_type == DataType::Binary
}

/// These columns of a table.
///
/// # Errors
/// Where one is not there.
pub(super) fn columns(spec: &TableSpec, indexes: &[usize]) -> Result<SchemaRef> {
    let field = |index: &usize| spec.schema.fields().get(*index).map(Arc::clone);
    let fields = indexes.iter().map(field).collect::<Option<Vec<_>>>();
    let lost = || EngineError::Internal(format!("table \"{}\" lacks a column that is asked for", spec.name));
    Ok(Arc::new(Schema::new(fields.ok_or_else(lost)?)))
}

/// `SELECT … FROM table`, all columns as text.
pub(super) fn select(table: &str, schema: &Schema) -> String {
    let columns: Vec<String> = schema.fields().iter().map(|field| as_text(field)).collect();
    // A select list may not be empty where rows are counted.
    let columns = if columns.is_empty() { "NULL::text".to_owned() } else { columns.join(", ") };
    format!("SELECT {columns} FROM {table}")
}

/// The condition that the key columns have the values of the arrays `$1`, `$2`, …
///
/// # Errors
/// Where a key has a type that cannot be looked up.
pub(super) fn of_keys(keys: &Schema) -> Result<String> {
    let mut names = Vec::with_capacity(keys.fields().len());
    let mut arrays = Vec::with_capacity(keys.fields().len());
    for (field, number) in keys.fields().iter().zip(1..) {
        let name = quoted(field.name());
        let server_type = server_type(field)?;
        // A column of another type, such as uuid, may be declared as STRING.
        names.push(if server_type == "text" { format!("{name}::text") } else { name });
        arrays.push(format!("${number}::text[]::{server_type}[]"));
    }
    Ok(match (names.as_slice(), arrays.as_slice()) {
        ([name], [array]) => format!("{name} = ANY({array})"),
        _ => format!("({}) IN (SELECT * FROM unnest({}))", names.join(", "), arrays.join(", ")),
    })
}

/// The keys of each column as the texts that the condition takes.
///
/// # Errors
/// Where a value has no text.
pub(super) fn key_texts(keys: &RecordBatch) -> Result<Vec<Vec<String>>> {
    let texts = |column: &ArrayRef| {
        let texts = cast(column, &DataType::Utf8)?;
        Ok(texts.as_string::<i32>().iter().map(|text| text.unwrap_or_default().to_owned()).collect())
    };
    keys.columns().iter().map(texts).collect()
}

/// Rows as a batch.
///
/// # Errors
/// Where a value is not of its declared type.
pub(super) fn batch(schema: &SchemaRef, rows: &[Row]) -> Result<RecordBatch> {
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (index, field) in schema.fields().iter().enumerate() {
        let mut column = Column::new(field.data_type(), None)?;
        for row in rows {
            let text: Option<&str> =
                row.try_get(index).map_err(|error| EngineError::io("could not read an answer of PostgreSQL", error))?;
            match text {
                None => column.push_null(),
                Some(text) if column.push_text(text.as_bytes()) => {}
                Some(text) => {
                    return Err(EngineError::BadRow {
                        message: format!(
                            "column \"{}\": expected {}, found \"{text}\"",
                            field.name(),
                            sql_name(field.data_type())
                        ),
                        hint: Some("declare the column with the type that it has in PostgreSQL".to_owned()),
                    });
                }
            }
        }
        columns.push(column.finish()?);
    }
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// A name in quotes.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A column as the text that our types are read from.
fn as_text(field: &Field) -> String {
    let name = quoted(field.name());
    match field.data_type() {
        DataType::Timestamp(_, Some(_)) => {
            format!("to_char({name}::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
        }
        DataType::Binary => format!("translate(encode({name}, 'base64'), E'\\n', '')"),
        _ => format!("{name}::text"),
    }
}

/// The server's type for a key.
fn server_type(field: &Field) -> Result<&'static str> {
    Ok(match field.data_type() {
        DataType::Boolean => "boolean",
        DataType::Int8 | DataType::Int16 => "smallint",
        DataType::Int32 => "integer",
        DataType::Int64 => "bigint",
        DataType::Float32 => "real",
        DataType::Float64 => "double precision",
        DataType::Decimal128(..) => "numeric",
        DataType::Utf8 => "text",
        DataType::Date32 => "date",
        DataType::Timestamp(_, None) => "timestamp",
        DataType::Timestamp(_, Some(_)) => "timestamptz",
        other => {
            let message = format!("column \"{}\" of type {} cannot be looked up", field.name(), sql_name(other));
            return Err(EngineError::config(message));
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn queries_quote_names_and_cast_keys() {
        let id = Field::new("id", DataType::Int64, false);
        let name = Field::new("na\"me", DataType::Utf8, true);
        let both = Schema::new(vec![id.clone(), name]);
        assert_eq!(select("\"t\"", &both), r#"SELECT "id"::text, "na""me"::text FROM "t""#);
        assert_eq!(of_keys(&Schema::new(vec![id])).unwrap(), r#""id" = ANY($1::text[]::bigint[])"#);
        assert_eq!(
            of_keys(&both).unwrap(),
            r#"("id", "na""me"::text) IN (SELECT * FROM unnest($1::text[]::bigint[], $2::text[]::text[]))"#
        );
        assert!(of_keys(&Schema::new(vec![Field::new("b", DataType::Binary, true)])).is_err());
    }
}
