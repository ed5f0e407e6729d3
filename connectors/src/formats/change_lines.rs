//! Change messages of databases in files, one a line: rows with the column of [`super::change_column`] behind them.

use arrow::array::RecordBatch;
use arrow::datatypes::Fields;
use millstream_engine::error::Result;

use super::change_column::{OWN_NAME, appended, split};
use super::message::{ChangeFormat, MessageDecoder, MessageEncoder, Messages};
use super::{Progress, RecordDecoder, RecordEncoder, WantedColumn, first_line};

/// Decodes lines of changes.
pub(crate) struct ChangeLines {
    decoder: Box<dyn MessageDecoder>,
}

impl ChangeLines {
    /// A decoder that reads the `wanted` ones of `columns`, the last of which tells of changes.
    ///
    /// # Errors
    /// Where JSON cannot carry a column.
    pub(crate) fn new(format: &ChangeFormat, columns: &Fields, wanted: &[WantedColumn]) -> Result<Self> {
        let rows = wanted.len().saturating_sub(1);
        Ok(Self { decoder: format.decoder(columns, wanted.get(..rows).unwrap_or_default())? })
    }
}

impl RecordDecoder for ChangeLines {
    fn decode(&mut self, bytes: &[u8], at_end: bool, rows_max: usize, progress: &mut Progress<'_>) -> Result<usize> {
        let mut consumed = 0;
        while self.decoder.rows() < rows_max {
            let rest = bytes.get(consumed..).unwrap_or_default();
            let Some((line, len)) = first_line(rest, at_end) else { break };
            progress.line += 1;
            consumed += len;
            if line.trim_ascii().is_empty() {
                continue;
            }
            let place = progress.place();
            match self.decoder.decode(line, &place) {
                Ok(lost) => progress.rejects.count_nulled(u64::from(lost)),
                Err(error) => progress.rejects.record(line, &place, false, || error)?,
            }
        }
        Ok(consumed)
    }

    fn rows(&self) -> usize {
        self.decoder.rows()
    }

    fn finish(&mut self) -> Result<RecordBatch> {
        appended(&self.decoder.finish()?, OWN_NAME)
    }
}

/// Encodes changes as lines.
pub(crate) struct ChangeLinesEncoder {
    encoder: Box<dyn MessageEncoder>,
    messages: Messages,
}

impl ChangeLinesEncoder {
    /// An encoder with the format's options.
    pub(crate) fn new(format: &ChangeFormat) -> Self {
        Self { encoder: format.encoder(), messages: Messages::default() }
    }
}

impl RecordEncoder for ChangeLinesEncoder {
    fn header(&self, _into: &mut Vec<u8>) {}

    fn encode(&mut self, batch: &RecordBatch, into: &mut Vec<u8>) -> Result<()> {
        self.messages.clear();
        let delta = split(batch)?;
        self.encoder.encode(&delta, &mut self.messages)?;
        for index in 0..delta.rows() {
            into.extend_from_slice(self.messages.get(index).unwrap_or_default());
            into.push(b'\n');
        }
        Ok(())
    }
}
