//! Rows to CSV.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::Fields;
use millstream_engine::error::Result;

use crate::formats::RecordEncoder;
use crate::formats::print::Printer;

use super::CsvFormat;
use super::nested::{Writer, print_scalar};

/// Encodes CSV.
#[derive(Debug)]
pub(crate) struct CsvEncoder {
    format: CsvFormat,
    names: Vec<String>,
}

impl CsvEncoder {
    /// An encoder of these columns.
    pub(crate) fn new(format: CsvFormat, columns: &Fields) -> Self {
        Self { format, names: columns.iter().map(|field| field.name().clone()).collect() }
    }

    /// Appends a field, in quotes where its text would be read as something else; `quoted`: in any case.
    fn text(&self, text: &[u8], first: bool, quoted: bool, into: &mut Vec<u8>) {
        let marks = self.format.marks;
        let Some(quote) = marks.quote else { return into.extend_from_slice(text) };
        let special = |byte: &u8| {
            *byte == marks.delimiter || *byte == quote || matches!(byte, b'\n' | b'\r') || Some(*byte) == marks.escape
        };
        let null = self.format.null_literal.as_ref().is_some_and(|literal| literal.as_bytes() == text);
        let comment = first && self.format.comments && text.first() == Some(&b'#');
        // What is empty and no text would be null.
        if !null && !comment && !quoted && !text.iter().any(special) {
            return into.extend_from_slice(text);
        }
        into.push(quote);
        for &byte in text {
            if Some(byte) == marks.escape {
                into.push(byte);
            } else if byte == quote {
                into.push(quote);
            }
            into.push(byte);
        }
        into.push(quote);
    }
}

impl RecordEncoder for CsvEncoder {
    fn header(&self, into: &mut Vec<u8>) {
        if !self.format.header {
            return;
        }
        for (index, name) in self.names.iter().enumerate() {
            if index > 0 {
                into.push(self.format.marks.delimiter);
            }
            self.text(name.as_bytes(), index == 0, false, into);
        }
        into.push(b'\n');
    }

    fn encode(&mut self, batch: &RecordBatch, into: &mut Vec<u8>) -> Result<()> {
        let writers = batch.columns().iter().map(Writer::new).collect::<Result<Vec<_>>>()?;
        let print = |printer: &Printer<'_>, row: usize, into: &mut Vec<u8>| {
            print_scalar(printer, row, self.format.scientific, into);
        };
        let mut scratch = vec![];
        for row in 0..batch.num_rows() {
            for (index, (writer, array)) in writers.iter().zip(batch.columns()).enumerate() {
                if index > 0 {
                    into.push(self.format.marks.delimiter);
                }
                if array.is_null(row) {
                    into.extend_from_slice(self.format.null_literal.as_deref().unwrap_or_default().as_bytes());
                } else if let Writer::Scalar(Printer::Utf8(values)) = writer {
                    self.text(values.value(row).as_bytes(), index == 0, false, into);
                } else {
                    scratch.clear();
                    writer.write(row, &self.format.items, &print, &mut scratch);
                    self.text(&scratch, index == 0, scratch.is_empty(), into);
                }
            }
            into.push(b'\n');
        }
        Ok(())
    }
}
