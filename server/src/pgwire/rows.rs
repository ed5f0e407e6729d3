//! Rows as messages: the description of the columns, and the rows in text or binary.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use bytes::{BufMut, BytesMut};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::data::{FieldDescription, RowDescription};

use super::binary::write_binary;
use super::pg_type::pg_type;
use crate::encode::{TextStyle, write_text};

/// In which form each column goes out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Formats(Vec<i16>);

impl Formats {
    /// The codes of a Bind message: none for text, one for all columns, or one a column; 1 is binary.
    pub(super) fn new(codes: Vec<i16>) -> Self {
        Self(codes)
    }

    /// Whether a column is binary.
    pub(super) fn is_binary(&self, column: usize) -> bool {
        match self.0.as_slice() {
            [] => false,
            [all] => *all == 1,
            each => each.get(column) == Some(&1),
        }
    }
}

/// The description of the columns.
pub(super) fn description(schema: &Schema, formats: &Formats) -> PgWireBackendMessage {
    let fields = schema.fields().iter().enumerate().map(|(index, field)| {
        let kind = pg_type(field);
        FieldDescription::new(
            field.name().clone(),
            0,
            0,
            kind.oid(),
            type_size(kind.oid()),
            type_modifier(field.data_type()),
            i16::from(formats.is_binary(index)),
        )
    });
    PgWireBackendMessage::RowDescription(RowDescription::new(fields.collect()))
}

/// Appends one row as a message.
pub(super) fn write_row(batch: &RecordBatch, row: usize, formats: &Formats, style: TextStyle, out: &mut BytesMut) {
    out.put_u8(b'D');
    let start = out.len();
    out.put_i32(0);
    out.put_i16(i16::try_from(batch.num_columns()).unwrap_or(i16::MAX));
    let mut text = String::new();
    for (index, column) in batch.columns().iter().enumerate() {
        if column.is_null(row) || column.data_type() == &DataType::Null {
            out.put_i32(-1);
        } else if formats.is_binary(index) {
            let at = out.len();
            out.put_i32(0);
            write_binary(column.as_ref(), row, style, out);
            let length = out.len() - at - 4;
            put_length(out, at, length);
        } else {
            text.clear();
            write_text(column.as_ref(), row, style, &mut text);
            out.put_i32(i32::try_from(text.len()).unwrap_or(i32::MAX));
            out.put_slice(text.as_bytes());
        }
    }
    let length = out.len() - start;
    put_length(out, start, length);
}

fn put_length(out: &mut BytesMut, at: usize, length: usize) {
    let length = i32::try_from(length).unwrap_or(i32::MAX);
    if let Some(slot) = out.get_mut(at..at + 4) {
        slot.copy_from_slice(&length.to_be_bytes());
    }
}

/// `pg_type.typlen` of the types that we send; −1 for those without a fixed size.
fn type_size(oid: u32) -> i16 {
    match oid {
        16 | 18 => 1,
        21 => 2,
        23 | 26 | 700 | 1082 | 24 | 2202..=2206 | 4089 | 4096 => 4,
        20 | 701 | 1083 | 1114 | 1184 => 8,
        1186 => 16,
        _ => -1,
    }
}

/// `pg_attribute.atttypmod`: precision and scale of a `numeric`.
fn type_modifier(kind: &DataType) -> i32 {
    match kind {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) if *scale >= 0 => {
            ((i32::from(*precision) << 16) | i32::from(*scale)) + 4
        }
        _ => -1,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed assertion of a test.

    use std::sync::Arc;

    use arrow::array::{Int32Array, RecordBatch, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use bytes::BytesMut;

    use super::{Formats, write_row};
    use crate::encode::TextStyle;

    #[test]
    fn a_row_in_both_forms() {
        let schema = Schema::new(vec![Field::new("a", DataType::Int32, true), Field::new("b", DataType::Utf8, true)]);
        let batch = RecordBatch::try_new(
            Arc::new(schema),
            vec![Arc::new(Int32Array::from(vec![7])), Arc::new(StringArray::from(vec![None::<&str>]))],
        )
        .unwrap();
        let row = |formats| {
            let mut out = BytesMut::new();
            write_row(&batch, 0, &formats, TextStyle::default(), &mut out);
            out.to_vec()
        };
        let text = [b"D\0\0\0\x0f\0\x02\0\0\0\x017".as_slice(), &[255; 4]].concat();
        let binary = [b"D\0\0\0\x12\0\x02\0\0\0\x04\0\0\0\x07".as_slice(), &[255; 4]].concat();
        assert_eq!(row(Formats::default()), text);
        assert_eq!(row(Formats::new(vec![1])), binary);
    }
}
