//! Arrays, rows and maps as PostgreSQL prints them: `{1,NULL,"a b"}`, `(1,,"a b")`; a map as a JSON object.

use arrow::array::cast::AsArray;
use arrow::array::{Array, ArrayRef};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use super::{TextStyle, write_json, write_text};
use millstream_sql::types::is_variant;

/// Appends a nested value, which is not null.
pub(super) fn write(array: &dyn Array, row: usize, style: TextStyle, out: &mut String) {
    if let Some(items) = list_items(array, row) {
        return list(items.as_ref(), style, out);
    }
    match array.data_type() {
        // A variant is the text in it.
        of if is_variant(of) => {
            if let Some(text) = array.as_struct().columns().first() {
                write_text(text.as_ref(), row, style, out);
            }
        }
        DataType::Struct(_) => record(array, row, style, out),
        DataType::Map(_, _) => write_json(array, row, style, out),
        DataType::Dictionary(_, value) => plain(array, row, value, style, out),
        _ => plain(array, row, &DataType::Utf8, style, out),
    }
}

/// The elements of a list value; `None` where the array is no list.
pub fn list_items(array: &dyn Array, row: usize) -> Option<ArrayRef> {
    match array.data_type() {
        DataType::List(_) => Some(array.as_list::<i32>().value(row)),
        DataType::LargeList(_) => Some(array.as_list::<i64>().value(row)),
        DataType::FixedSizeList(_, _) => Some(array.as_fixed_size_list().value(row)),
        DataType::ListView(_) => Some(array.as_list_view::<i32>().value(row)),
        DataType::LargeListView(_) => Some(array.as_list_view::<i64>().value(row)),
        _ => None,
    }
}

/// Values behind an encoding, decoded one by one: results seldom hold them.
fn plain(array: &dyn Array, row: usize, to: &DataType, style: TextStyle, out: &mut String) {
    if let Ok(decoded) = cast(&array.slice(row, 1), to)
        && decoded.is_valid(0)
    {
        write_text(decoded.as_ref(), 0, style, out);
    }
}

fn list(items: &dyn Array, style: TextStyle, out: &mut String) {
    out.push('{');
    let mut text = String::new();
    for item in 0..items.len() {
        if item > 0 {
            out.push(',');
        }
        if items.is_null(item) || items.data_type() == &DataType::Null {
            out.push_str("NULL");
            continue;
        }
        text.clear();
        write_text(items, item, style, &mut text);
        // Arrays in arrays stand bare.
        if list_items(items, item).is_some() || !list_needs_quotes(&text) {
            out.push_str(&text);
        } else {
            quote(&text, '\\', out);
        }
    }
    out.push('}');
}

fn list_needs_quotes(text: &str) -> bool {
    text.is_empty()
        || text.eq_ignore_ascii_case("null")
        || text.contains(|c: char| matches!(c, '{' | '}' | ',' | '"' | '\\') || c.is_ascii_whitespace())
}

fn record(array: &dyn Array, row: usize, style: TextStyle, out: &mut String) {
    let fields = array.as_struct();
    out.push('(');
    let mut text = String::new();
    for (index, column) in fields.columns().iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        if column.is_null(row) || column.data_type() == &DataType::Null {
            continue;
        }
        text.clear();
        write_text(column.as_ref(), row, style, &mut text);
        let needs_quotes = text.is_empty()
            || text.contains(|c: char| matches!(c, '(' | ')' | ',' | '"' | '\\') || c.is_ascii_whitespace());
        if needs_quotes {
            quote(&text, '"', out);
        } else {
            out.push_str(&text);
        }
    }
    out.push(')');
}

/// In double quotes: a quote is escaped by `escape`, a backslash by another.
fn quote(text: &str, escape: char, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push(escape),
            '\\' => out.push('\\'),
            _ => (),
        }
        out.push(c);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::types::Int32Type;
    use arrow::array::{Array, ArrayRef, Int32Array, ListArray, StringArray, StructArray};
    use arrow::datatypes::{DataType, Field};

    use crate::encode::{TextStyle, text_value};

    fn text(array: &dyn Array) -> String {
        text_value(array, 0, TextStyle::default()).unwrap_or_default()
    }

    #[test]
    fn arrays() {
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), None, Some(3)])]);
        assert_eq!(text(&list), "{1,NULL,3}");
    }

    #[test]
    fn rows_quote_what_needs_it() {
        let row = StructArray::from(vec![
            (Arc::new(Field::new("a", DataType::Int32, true)), Arc::new(Int32Array::from(vec![1])) as ArrayRef),
            (Arc::new(Field::new("b", DataType::Utf8, true)), Arc::new(StringArray::from(vec!["x \"y"])) as ArrayRef),
            (Arc::new(Field::new("c", DataType::Int32, true)), Arc::new(Int32Array::from(vec![None])) as ArrayRef),
        ]);
        assert_eq!(text(&row), r#"(1,"x ""y",)"#);
    }
}
