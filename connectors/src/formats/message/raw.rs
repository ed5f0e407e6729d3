//! Raw messages: the message is the value of the only column.

use std::fmt::Display;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Fields, Schema, SchemaRef};
use millstream_engine::error::Result;
use millstream_engine::message::Delta;

use super::{MessageDecoder, MessageEncoder, Messages};
use crate::formats::fault::Fault;
use crate::formats::{Column, WantedColumn};

/// Decodes raw messages.
pub(super) struct RawMessages {
    /// The column, where it is asked for.
    column: Option<Column>,
    rows: usize,
    schema: SchemaRef,
}

impl RawMessages {
    /// A decoder; `wanted` names the column or nothing.
    ///
    /// # Errors
    /// Where the column is neither STRING nor BYTES.
    pub(super) fn new(columns: &Fields, wanted: &[WantedColumn]) -> Result<Self> {
        let fields: Vec<_> = wanted.iter().filter_map(|(index, _)| columns.get(*index).cloned()).collect();
        let column = fields.first().map(|field| Column::new(field.data_type(), None)).transpose()?;
        Ok(Self { column, rows: 0, schema: Arc::new(Schema::new(fields)) })
    }
}

impl MessageDecoder for RawMessages {
    fn decode(&mut self, message: &[u8], place: &dyn Display) -> Result<bool> {
        if let Some(column) = &mut self.column
            && !column.push_bytes(message)
        {
            let fault = Fault::syntax(0, "the message is not UTF-8");
            return Err(fault.into_error(&place.to_string(), message, "declare the column as BYTES"));
        }
        self.rows += 1;
        Ok(false)
    }

    fn decode_null(&mut self, _place: &dyn Display) -> Result<()> {
        if let Some(column) = &mut self.column {
            column.push_null();
        }
        self.rows += 1;
        Ok(())
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn truncate(&mut self, rows: usize) {
        if let Some(column) = &mut self.column {
            column.truncate(rows);
        }
        self.rows = self.rows.min(rows);
    }

    fn finish(&mut self) -> Result<Delta> {
        let arrays = self.column.iter_mut().map(Column::finish).collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(std::mem::take(&mut self.rows)));
        Ok(Delta::append(RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?))
    }
}

/// Encodes raw messages. A null is an empty message.
pub(super) struct RawMessageEncoder;

impl MessageEncoder for RawMessageEncoder {
    fn encode(&mut self, delta: &Delta, into: &mut Messages) -> Result<()> {
        for array in delta.batch.columns() {
            let values = cast(array, &DataType::Binary)?;
            let values = values.as_binary::<i32>();
            for row in 0..values.len() {
                if values.is_valid(row) {
                    into.data.extend_from_slice(values.value(row));
                }
                into.close();
            }
        }
        Ok(())
    }
}
