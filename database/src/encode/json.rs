//! Values as JSON text: numbers and booleans bare, rows and maps as objects with their fields in order, arrays as
//! arrays, the rest as strings of PostgreSQL's text.

use arrow::array::cast::AsArray;
use arrow::array::{Array, RecordBatch};
use arrow::datatypes::DataType;

use super::nested::list_items;
use super::{TextStyle, write_text};
use millstream_sql::types::is_variant;

/// Appends a row as one object, columns in order.
pub fn write_json_row(batch: &RecordBatch, row: usize, style: TextStyle, out: &mut String) {
    let schema = batch.schema_ref();
    out.push('{');
    for (index, (column, field)) in batch.columns().iter().zip(schema.fields()).enumerate() {
        if index > 0 {
            out.push(',');
        }
        string(field.name(), out);
        out.push(':');
        write_json(column.as_ref(), row, style, out);
    }
    out.push('}');
}

/// Appends one value.
pub fn write_json(array: &dyn Array, row: usize, style: TextStyle, out: &mut String) {
    if array.is_null(row) || array.data_type() == &DataType::Null {
        return out.push_str("null");
    }
    if let Some(items) = list_items(array, row) {
        out.push('[');
        for item in 0..items.len() {
            if item > 0 {
                out.push(',');
            }
            write_json(items.as_ref(), item, style, out);
        }
        return out.push(']');
    }
    match array.data_type() {
        DataType::Boolean => out.push_str(if array.as_boolean().value(row) { "true" } else { "false" }),
        of if is_variant(of) => {
            if let Some(text) = array.as_struct().columns().first() {
                out.push_str(text.as_string::<i32>().value(row));
            }
        }
        DataType::Struct(_) => record(array, row, style, out),
        DataType::Map(_, _) => map(array, row, style, out),
        kind => {
            let mut text = String::new();
            write_text(array, row, style, &mut text);
            // `NaN` and `Infinity` are no JSON numbers.
            if kind.is_numeric() && text.ends_with(|c: char| c.is_ascii_digit()) {
                out.push_str(&text);
            } else {
                string(&text, out);
            }
        }
    }
}

fn string(text: &str, out: &mut String) {
    match serde_json::to_string(text) {
        Ok(quoted) => out.push_str(&quoted),
        Err(_) => out.push_str("\"\""),
    }
}

fn record(array: &dyn Array, row: usize, style: TextStyle, out: &mut String) {
    let fields = array.as_struct();
    out.push('{');
    for (index, (column, field)) in fields.columns().iter().zip(fields.fields()).enumerate() {
        if index > 0 {
            out.push(',');
        }
        string(field.name(), out);
        out.push(':');
        write_json(column.as_ref(), row, style, out);
    }
    out.push('}');
}

fn map(array: &dyn Array, row: usize, style: TextStyle, out: &mut String) {
    let entries = array.as_map().value(row);
    out.push('{');
    if let [keys, values] = entries.columns() {
        let mut key = String::new();
        for entry in 0..entries.len() {
            if entry > 0 {
                out.push(',');
            }
            key.clear();
            write_text(keys.as_ref(), entry, style, &mut key);
            string(&key, out);
            out.push(':');
            write_json(values.as_ref(), entry, style, out);
        }
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, RecordBatch, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::{TextStyle, write_json_row};

    #[test]
    fn a_row_keeps_its_order() {
        let schema = Schema::new(vec![
            Field::new("z", DataType::Int64, true),
            Field::new("a", DataType::Utf8, true),
            Field::new("f", DataType::Float64, true),
        ]);
        let batch = RecordBatch::try_new(
            Arc::new(schema),
            vec![
                Arc::new(Int64Array::from(vec![Some(1)])),
                Arc::new(StringArray::from(vec![Some("x\"y")])),
                Arc::new(Float64Array::from(vec![Some(f64::NAN)])),
            ],
        );
        let mut out = String::new();
        if let Ok(batch) = batch {
            write_json_row(&batch, 0, TextStyle::default(), &mut out);
        }
        assert_eq!(out, r#"{"z":1,"a":"x\"y","f":"NaN"}"#);
    }
}
