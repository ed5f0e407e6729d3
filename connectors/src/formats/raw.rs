//! Raw lines: a table of one STRING or BYTES column, one line a row.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryBuilder, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Fields, Schema, SchemaRef};
use millstream_engine::error::{EngineError, Result};

use super::fault::Fault;
use super::{Progress, RecordDecoder, RecordEncoder, WantedColumn, first_line};

/// Checks that there is one column of text or bytes.
///
/// # Errors
/// Where there is not.
pub(crate) fn check(columns: &Fields) -> Result<()> {
    match columns.as_ref() {
        [column] if matches!(column.data_type(), DataType::Utf8 | DataType::Binary) => Ok(()),
        _ => Err(EngineError::config("format \"raw\" takes one column of type STRING or BYTES")),
    }
}

/// Decodes raw lines.
#[derive(Debug)]
pub(crate) struct RawDecoder {
    lines: BinaryBuilder,
    rows: usize,
    schema: SchemaRef,
    text: bool,
}

impl RawDecoder {
    /// A decoder; `wanted` names the column or nothing.
    pub(crate) fn new(columns: &Fields, wanted: &[WantedColumn]) -> Self {
        let fields: Vec<_> = wanted.iter().filter_map(|(index, _)| columns.get(*index).cloned()).collect();
        let text = fields.iter().any(|field| field.data_type() == &DataType::Utf8);
        Self { lines: BinaryBuilder::new(), rows: 0, schema: Arc::new(Schema::new(fields)), text }
    }
}

impl RecordDecoder for RawDecoder {
    fn decode(&mut self, bytes: &[u8], at_end: bool, rows_max: usize, progress: &mut Progress<'_>) -> Result<usize> {
        let mut consumed = 0;
        while self.rows < rows_max {
            let rest = bytes.get(consumed..).unwrap_or_default();
            let Some((line, len)) = first_line(rest, at_end) else { break };
            progress.line += 1;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if self.text && std::str::from_utf8(line).is_err() {
                let fault = Fault::syntax(0, "the line is not UTF-8");
                progress.refuse(fault, line, "declare the column as BYTES", false)?;
                consumed += len;
                continue;
            }
            self.lines.append_value(line);
            self.rows += 1;
            consumed += len;
        }
        Ok(consumed)
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn finish(&mut self) -> Result<RecordBatch> {
        let lines: ArrayRef = Arc::new(self.lines.finish());
        let arrays =
            self.schema.fields().iter().map(|field| cast(&lines, field.data_type())).collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(std::mem::take(&mut self.rows)));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?)
    }
}

/// Encodes raw lines. A null is an empty line.
#[derive(Debug)]
pub(crate) struct RawEncoder;

impl RecordEncoder for RawEncoder {
    fn header(&self, _into: &mut Vec<u8>) {}

    fn encode(&mut self, batch: &RecordBatch, into: &mut Vec<u8>) -> Result<()> {
        for array in batch.columns() {
            let lines = cast(array, &DataType::Binary)?;
            for line in lines.as_binary::<i32>() {
                into.extend_from_slice(line.unwrap_or_default());
                into.push(b'\n');
            }
        }
        Ok(())
    }
}
