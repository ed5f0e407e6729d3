//! JSON in messages: a message is an object, which may have line ends.

use std::fmt::Display;

use arrow::datatypes::Fields;
use millstream_engine::error::Result;
use millstream_engine::message::Delta;

use super::{MessageDecoder, MessageEncoder, Messages};
use crate::formats::json::{JsonDecoder, JsonEncoder, JsonFormat};
use crate::formats::{RecordDecoder, WantedColumn};

const HINT: &str = "'json.ignore-parse-errors' = 'true' skips such messages and reads such fields as null";

/// Decodes objects.
pub(super) struct JsonMessages {
    decoder: JsonDecoder,
    ignore_parse_errors: bool,
}

impl JsonMessages {
    /// A decoder that reads the `wanted` ones of `columns`.
    ///
    /// # Errors
    /// Where JSON cannot carry a column.
    pub(super) fn new(format: JsonFormat, columns: &Fields, wanted: &[WantedColumn]) -> Result<Self> {
        let decoder = JsonDecoder::new(format, columns, wanted)?;
        Ok(Self { decoder, ignore_parse_errors: format.ignore_parse_errors })
    }
}

impl MessageDecoder for JsonMessages {
    fn decode(&mut self, message: &[u8], place: &dyn Display) -> Result<bool> {
        match self.decoder.record(message) {
            Ok(nulled) => Ok(nulled),
            Err(_) if self.ignore_parse_errors => Ok(true),
            Err(fault) => Err(fault.into_error(&place.to_string(), message, HINT)),
        }
    }

    fn decode_null(&mut self, place: &dyn Display) -> Result<()> {
        self.decode(b"{}", place).map(|_| ())
    }

    fn rows(&self) -> usize {
        self.decoder.rows()
    }

    fn truncate(&mut self, rows: usize) {
        self.decoder.truncate(rows);
    }

    fn finish(&mut self) -> Result<Delta> {
        self.decoder.finish().map(Delta::append)
    }
}

/// Encodes rows as objects.
pub(super) struct JsonMessageEncoder(JsonEncoder);

impl JsonMessageEncoder {
    /// An encoder with the format's options.
    pub(super) fn new(format: JsonFormat) -> Self {
        Self(JsonEncoder::new(format))
    }
}

impl MessageEncoder for JsonMessageEncoder {
    fn encode(&mut self, delta: &Delta, into: &mut Messages) -> Result<()> {
        self.0.messages(&delta.batch, |_| ("", ""), into)
    }
}
