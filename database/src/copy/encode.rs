//! Rows as lines of PostgreSQL's text and csv formats, or as lines of JSON.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use millstream_sql::ast::{CopyFormat, CopyOptions};

use crate::encode::{TextStyle, write_json_row, write_text};

/// Writes rows one behind the other.
#[derive(Debug)]
pub struct CopyEncoder {
    options: CopyOptions,
    style: TextStyle,
    value: String,
}

impl CopyEncoder {
    /// An encoder of rows in the format that the options say.
    pub fn new(options: CopyOptions, style: TextStyle) -> Self {
        Self { options, style, value: String::new() }
    }

    /// Appends what stands before the first row: the names of the columns, where they are asked for.
    pub fn header(&mut self, schema: &Schema, out: &mut Vec<u8>) {
        if !self.options.header {
            return;
        }
        for (index, field) in schema.fields().iter().enumerate() {
            if index > 0 {
                out.push(self.options.delimiter);
            }
            self.value.clear();
            self.value.push_str(field.name());
            self.write_value(out);
        }
        out.push(b'\n');
    }

    /// Appends one row.
    pub fn row(&mut self, batch: &RecordBatch, row: usize, out: &mut Vec<u8>) {
        if self.options.format == CopyFormat::Json {
            self.value.clear();
            write_json_row(batch, row, self.style, &mut self.value);
            out.extend_from_slice(self.value.as_bytes());
            out.push(b'\n');
            return;
        }
        for (index, column) in batch.columns().iter().enumerate() {
            if index > 0 {
                out.push(self.options.delimiter);
            }
            if column.is_null(row) || column.data_type() == &DataType::Null {
                out.extend_from_slice(self.options.null.as_bytes());
            } else {
                self.value.clear();
                write_text(column.as_ref(), row, self.style, &mut self.value);
                self.write_value(out);
            }
        }
        out.push(b'\n');
    }

    fn write_value(&self, out: &mut Vec<u8>) {
        match self.options.format {
            CopyFormat::Csv => self.write_csv(out),
            CopyFormat::Text | CopyFormat::Json | CopyFormat::Parquet => self.write_escaped(out),
        }
    }

    /// A value of the text format: what would end it is written with a backslash.
    fn write_escaped(&self, out: &mut Vec<u8>) {
        for byte in self.value.bytes() {
            let letter = match byte {
                b'\\' => b'\\',
                0x08 => b'b',
                0x0c => b'f',
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                0x0b => b'v',
                byte if byte == self.options.delimiter => byte,
                byte => {
                    out.push(byte);
                    continue;
                }
            };
            out.extend_from_slice(&[b'\\', letter]);
        }
    }

    /// A value of the csv format: in quotes where it would be read as something else.
    fn write_csv(&self, out: &mut Vec<u8>) {
        let CopyOptions { delimiter, quote, escape, null, .. } = &self.options;
        let special = |byte: u8| byte == *delimiter || byte == *quote || byte == b'\n' || byte == b'\r';
        if self.value != *null && self.value != "\\." && !self.value.bytes().any(special) {
            out.extend_from_slice(self.value.as_bytes());
            return;
        }
        out.push(*quote);
        for byte in self.value.bytes() {
            if byte == *quote || byte == *escape {
                out.push(*escape);
            }
            out.push(byte);
        }
        out.push(*quote);
    }
}
