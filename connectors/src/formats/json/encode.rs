//! Rows to JSON lines.

use arrow::array::{Array, ArrayRef, ListArray, MapArray, RecordBatch, StructArray};
use arrow::datatypes::{DataType, Fields};
use millstream_engine::error::{EngineError, Result};

use crate::formats::RecordEncoder;
use crate::formats::message::Messages;
use crate::formats::print::Printer;

use super::JsonFormat;

/// Encodes JSON lines.
#[derive(Debug)]
pub(crate) struct JsonEncoder {
    format: JsonFormat,
}

/// An array that is ready to be written row by row.
enum Writer<'a> {
    Scalar(&'a ArrayRef, Printer<'a>),
    Row(&'a dyn Array, RowWriter<'a>),
    List(&'a ListArray, Box<Writer<'a>>),
    Map(&'a MapArray, Printer<'a>, Box<Writer<'a>>),
}

/// The fields of a ROW or record: key (quoted, with its colon) and values.
struct RowWriter<'a> {
    fields: Vec<(Vec<u8>, Writer<'a>)>,
}

impl JsonEncoder {
    /// An encoder with the format's options.
    pub(crate) fn new(format: JsonFormat) -> Self {
        Self { format }
    }
}

impl JsonEncoder {
    /// Appends each row as a message of its own, between the texts that `around` gives for the row.
    ///
    /// # Errors
    /// Where a value cannot be written.
    pub(crate) fn messages<'t>(
        &self,
        batch: &RecordBatch,
        around: impl Fn(usize) -> (&'t str, &'t str),
        into: &mut Messages,
    ) -> Result<()> {
        let row = RowWriter::new(batch.schema_ref().fields(), batch.columns())?;
        for index in 0..batch.num_rows() {
            let (before, behind) = around(index);
            into.data.extend_from_slice(before.as_bytes());
            row.write(index, self.format, &mut into.data);
            into.data.extend_from_slice(behind.as_bytes());
            into.close();
        }
        Ok(())
    }
}

impl RecordEncoder for JsonEncoder {
    fn header(&self, _into: &mut Vec<u8>) {}

    fn encode(&mut self, batch: &RecordBatch, into: &mut Vec<u8>) -> Result<()> {
        let row = RowWriter::new(batch.schema_ref().fields(), batch.columns())?;
        for index in 0..batch.num_rows() {
            row.write(index, self.format, into);
            into.push(b'\n');
        }
        Ok(())
    }
}

impl<'a> RowWriter<'a> {
    fn new(fields: &Fields, arrays: &'a [ArrayRef]) -> Result<Self> {
        let fields = fields
            .iter()
            .zip(arrays)
            .map(|(field, array)| {
                let mut key = vec![];
                quote(field.name().as_bytes(), &mut key);
                key.push(b':');
                Ok((key, Writer::new(array)?))
            })
            .collect::<Result<_>>()?;
        Ok(Self { fields })
    }

    fn write(&self, row: usize, format: JsonFormat, into: &mut Vec<u8>) {
        into.push(b'{');
        let start = into.len();
        for (key, writer) in &self.fields {
            if format.ignore_null_fields && writer.is_null(row) {
                continue;
            }
            if into.len() > start {
                into.push(b',');
            }
            into.extend_from_slice(key);
            writer.write(row, format, into);
        }
        into.push(b'}');
    }
}

impl<'a> Writer<'a> {
    fn new(array: &'a ArrayRef) -> Result<Self> {
        let lost = || EngineError::Internal(format!("an array is not of its type {}", array.data_type()));
        Ok(match array.data_type() {
            DataType::Struct(fields) => {
                let rows = array.as_any().downcast_ref::<StructArray>().ok_or_else(lost)?;
                Self::Row(rows, RowWriter::new(fields, rows.columns())?)
            }
            DataType::List(_) => {
                let list = array.as_any().downcast_ref::<ListArray>().ok_or_else(lost)?;
                Self::List(list, Box::new(Self::new(list.values())?))
            }
            DataType::Map(_, _) => {
                let map = array.as_any().downcast_ref::<MapArray>().ok_or_else(lost)?;
                Self::Map(map, Printer::new(map.keys())?, Box::new(Self::new(map.values())?))
            }
            _ => Self::Scalar(array, Printer::new(array)?),
        })
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Scalar(array, _) => array.is_null(row),
            Self::Row(array, _) => array.is_null(row),
            Self::List(array, _) => array.is_null(row),
            Self::Map(array, _, _) => array.is_null(row),
        }
    }

    fn write(&self, row: usize, format: JsonFormat, into: &mut Vec<u8>) {
        if self.is_null(row) {
            into.extend_from_slice(b"null");
            return;
        }
        match self {
            Self::Scalar(_, printer) => scalar(printer, row, format, into),
            Self::Row(_, fields) => fields.write(row, format, into),
            Self::List(list, items) => {
                into.push(b'[');
                for (position, item) in item_range(list.value_offsets(), row).enumerate() {
                    if position > 0 {
                        into.push(b',');
                    }
                    items.write(item, format, into);
                }
                into.push(b']');
            }
            Self::Map(map, keys, values) => {
                into.push(b'{');
                for (position, entry) in item_range(map.value_offsets(), row).enumerate() {
                    if position > 0 {
                        into.push(b',');
                    }
                    let mut key = vec![];
                    keys.print(entry, format.timestamps, &mut key);
                    quote(&key, into);
                    into.push(b':');
                    values.write(entry, format, into);
                }
                into.push(b'}');
            }
        }
    }
}

fn scalar(printer: &Printer<'_>, row: usize, format: JsonFormat, into: &mut Vec<u8>) {
    match printer {
        Printer::Utf8(values) => quote(values.value(row).as_bytes(), into),
        Printer::Float64(values) if !values.value(row).is_finite() => quoted(printer, row, format, into),
        Printer::Float32(values) if !values.value(row).is_finite() => quoted(printer, row, format, into),
        printer if printer.bare() => printer.print(row, format.timestamps, into),
        printer => quoted(printer, row, format, into),
    }
}

/// A text that needs no escapes.
fn quoted(printer: &Printer<'_>, row: usize, format: JsonFormat, into: &mut Vec<u8>) {
    into.push(b'"');
    printer.print(row, format.timestamps, into);
    into.push(b'"');
}

fn item_range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let at = |index: usize| offsets.get(index).and_then(|&offset| usize::try_from(offset).ok()).unwrap_or(0);
    at(row)..at(row + 1)
}

/// Appends a text in quotes, with escapes.
fn quote(text: &[u8], into: &mut Vec<u8>) {
    into.push(b'"');
    let mut plain = 0;
    for (at, &byte) in text.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0x00..=0x1f => &[],
            _ => continue,
        };
        into.extend_from_slice(text.get(plain..at).unwrap_or_default());
        plain = at + 1;
        if escape.is_empty() {
            into.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
        } else {
            into.extend_from_slice(escape);
        }
    }
    into.extend_from_slice(text.get(plain..).unwrap_or_default());
    into.push(b'"');
}
