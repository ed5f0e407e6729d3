//! CSV in messages: a message is a line, or several.

use std::fmt::Display;

use arrow::datatypes::Fields;
use millstream_engine::error::{EngineError, Result};
use millstream_engine::message::Delta;
use millstream_engine::rejects::Rejects;

use super::{MessageDecoder, MessageEncoder, Messages};
use crate::formats::csv::{CsvDecoder, CsvEncoder, CsvFormat};
use crate::formats::{Progress, RecordDecoder, RecordEncoder, WantedColumn};

/// Decodes lines of CSV.
pub(super) struct CsvMessages(CsvDecoder);

impl CsvMessages {
    /// A decoder that reads the `wanted` ones of `columns`.
    ///
    /// # Errors
    /// Where CSV cannot carry a column.
    pub(super) fn new(format: &CsvFormat, columns: &Fields, wanted: &[WantedColumn]) -> Result<Self> {
        CsvDecoder::new(format.clone(), columns, wanted).map(Self)
    }
}

impl MessageDecoder for CsvMessages {
    fn decode(&mut self, message: &[u8], place: &dyn Display) -> Result<bool> {
        let rows = self.0.rows();
        let mut rejects = Rejects::default();
        let mut progress = Progress { source: "", line: 0, rejects: &mut rejects };
        match self.0.decode(message, true, usize::MAX, &mut progress) {
            Ok(_) => Ok(rejects.counts.bad > 0),
            Err(error) => {
                self.0.truncate(rows);
                Err(match error {
                    EngineError::BadRow { message, hint } => {
                        EngineError::BadRow { message: format!("{place}{message}"), hint }
                    }
                    other => other,
                })
            }
        }
    }

    fn decode_null(&mut self, place: &dyn Display) -> Result<()> {
        self.decode(b"\n", place).map(|_| ())
    }

    fn rows(&self) -> usize {
        self.0.rows()
    }

    fn truncate(&mut self, rows: usize) {
        self.0.truncate(rows);
    }

    fn finish(&mut self) -> Result<Delta> {
        self.0.finish().map(Delta::append)
    }
}

/// Encodes rows as lines of CSV without line ends.
pub(super) struct CsvMessageEncoder(CsvEncoder);

impl CsvMessageEncoder {
    /// An encoder with the format's options.
    pub(super) fn new(format: &CsvFormat, columns: &Fields) -> Self {
        Self(CsvEncoder::new(format.clone(), columns))
    }
}

impl MessageEncoder for CsvMessageEncoder {
    fn encode(&mut self, delta: &Delta, into: &mut Messages) -> Result<()> {
        for row in 0..delta.rows() {
            // A line end inside quotes is no end of a row: only rows one by one show where they end.
            self.0.encode(&delta.batch.slice(row, 1), &mut into.data)?;
            if into.data.last() == Some(&b'\n') {
                into.data.pop();
            }
            into.close();
        }
        Ok(())
    }
}
