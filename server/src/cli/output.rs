//! Rows on standard output: as a table, as CSV, or as JSON lines.

use std::io::{self, Write};

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use clap::ValueEnum;

use crate::encode::{TextStyle, text_value, write_json_row};

/// Rows that set the widths of a table; later ones may stick out.
const WIDTH_ROWS: usize = 1_000;

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Aligned columns under a header
    Table,
    /// Comma-separated values under a header
    Csv,
    /// One JSON object a line
    Json,
}

/// Prints the rows of one result.
pub(super) struct Printer<W: Write> {
    format: Format,
    style: TextStyle,
    out: W,
    /// Of a table: the column widths, once they are known.
    widths: Option<Vec<usize>>,
    names: Vec<String>,
    right: Vec<bool>,
    /// Rows of a table that wait for the widths.
    waiting: Vec<Vec<String>>,
    rows: u64,
}

impl<W: Write> Printer<W> {
    pub(super) fn new(format: Format, schema: &Schema, style: TextStyle, out: W) -> io::Result<Self> {
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let right = schema.fields().iter().map(|field| field.data_type().is_numeric()).collect();
        let mut printer = Self { format, style, out, widths: None, names, right, waiting: Vec::new(), rows: 0 };
        if printer.format == Format::Csv {
            let header: Vec<String> = printer.names.iter().map(|name| csv_field(name)).collect();
            writeln!(printer.out, "{}", header.join(","))?;
        }
        Ok(printer)
    }

    /// Rows printed so far.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Prints a batch.
    pub(super) fn batch(&mut self, batch: &RecordBatch) -> io::Result<()> {
        self.rows += batch.num_rows() as u64;
        for row in 0..batch.num_rows() {
            match self.format {
                Format::Json => {
                    let mut line = String::new();
                    write_json_row(batch, row, self.style, &mut line);
                    writeln!(self.out, "{line}")?;
                }
                Format::Csv => {
                    // As psql: null is nothing, an empty text is "".
                    let fields = batch.columns().iter().map(|column| {
                        text_value(column.as_ref(), row, self.style).map_or_else(String::new, |text| csv_field(&text))
                    });
                    writeln!(self.out, "{}", fields.collect::<Vec<_>>().join(","))?;
                }
                Format::Table => {
                    let cells = batch
                        .columns()
                        .iter()
                        .map(|column| text_value(column.as_ref(), row, self.style).unwrap_or_default());
                    self.waiting.push(cells.collect());
                    if self.widths.is_some() || self.waiting.len() >= WIDTH_ROWS {
                        self.print_waiting()?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Shows what has come so far, where more may be long in coming.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.format == Format::Table && !self.waiting.is_empty() {
            self.print_waiting()?;
        }
        self.out.flush()
    }

    /// Prints what is left.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        if self.format == Format::Table {
            self.print_waiting()?;
        }
        self.out.flush()
    }

    fn print_waiting(&mut self) -> io::Result<()> {
        if self.widths.is_none() {
            let widths: Vec<usize> = (0..self.names.len()).map(|column| self.width(column)).collect();
            let header = self.names.iter().zip(&widths).map(|(name, width)| format!(" {name:^width$} "));
            writeln!(self.out, "{}", header.collect::<Vec<_>>().join("|").trim_end())?;
            let rule = widths.iter().map(|width| "-".repeat(width + 2));
            writeln!(self.out, "{}", rule.collect::<Vec<_>>().join("+"))?;
            self.widths = Some(widths);
        }
        let widths = self.widths.as_deref().unwrap_or_default();
        for row in self.waiting.drain(..) {
            let cells = row.iter().zip(widths).zip(&self.right).map(|((cell, width), right)| {
                if *right { format!(" {cell:>width$} ") } else { format!(" {cell:<width$} ") }
            });
            writeln!(self.out, "{}", cells.collect::<Vec<_>>().join("|").trim_end())?;
        }
        Ok(())
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.waiting.iter().filter_map(|row| row.get(column));
        let names = self.names.get(column);
        // No wider than what can be filled up: what is longer stands out.
        cells.chain(names).map(|text| text.chars().count()).max().unwrap_or(0).min(usize::from(u16::MAX))
    }
}

fn csv_field(text: &str) -> String {
    let needs_quotes = text.is_empty() || text.contains([',', '"', '\n', '\r']);
    if needs_quotes { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed assertion of a test.

    use std::sync::Arc;

    use arrow::array::{Int64Array, RecordBatch, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::{Format, Printer};
    use crate::encode::TextStyle;

    fn printed(format: Format) -> String {
        let schema =
            Schema::new(vec![Field::new("n", DataType::Int64, true), Field::new("name", DataType::Utf8, true)]);
        let batch = RecordBatch::try_new(
            Arc::new(schema.clone()),
            vec![
                Arc::new(Int64Array::from(vec![Some(1), Some(200)])),
                Arc::new(StringArray::from(vec![Some("a,b"), None])),
            ],
        )
        .unwrap();
        let mut out = Vec::new();
        let mut printer = Printer::new(format, &schema, TextStyle::default(), &mut out).unwrap();
        printer.batch(&batch).unwrap();
        printer.finish().unwrap();
        drop(printer);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn three_forms() {
        assert_eq!(printed(Format::Table), "  n  | name\n-----+------\n   1 | a,b\n 200 |\n");
        assert_eq!(printed(Format::Csv), "n,name\n1,\"a,b\"\n200,\n");
        assert_eq!(printed(Format::Json), "{\"n\":1,\"name\":\"a,b\"}\n{\"n\":200,\"name\":null}\n");
    }
}
