//! Formats of messages: one message of a topic is one row, or some changes of rows.
//!
//! [`MessageDecoder`] and [`MessageEncoder`] see one message, and no topic. The text formats of files serve here too;
//! formats that tell of changes in a database are in [`change`]. Where messages come from is not here.

mod change;
mod csv;
mod envelope;
mod json;
mod options;
mod raw;

use std::fmt::Display;

use arrow::datatypes::{DataType, Fields};
use millstream_engine::error::{EngineError, Result};
use millstream_engine::message::Delta;
use millstream_engine::ports::OptionValues;

use self::change::{ChangeDecoder, ChangeEncoder};
use self::csv::{CsvMessageEncoder, CsvMessages};
use self::json::{JsonMessageEncoder, JsonMessages};
use self::raw::{RawMessageEncoder, RawMessages};
use super::avro::{AvroFormat, AvroKind};
use super::csv::{CsvFormat, is_csv_type};
use super::json::JsonFormat;
use super::protobuf::{ProtobufFormat, ProtobufMessageEncoder, ProtobufMessages};
use super::{WantedColumn, check_types, is_json_type, raw as raw_format};

pub(crate) use change::{ChangeFormat, ChangeKind, options as change_options};
pub(crate) use options::{Role, options};

/// The names of the formats of messages.
pub(crate) const MESSAGE_FORMATS: &[&str] = &[
    "avro",
    "avro-confluent",
    "canal-json",
    "csv",
    "debezium-avro-confluent",
    "debezium-json",
    "json",
    "maxwell-json",
    "protobuf",
    "raw",
];

/// Decodes messages, one after the other, to rows.
pub(crate) trait MessageDecoder: Send {
    /// Appends the rows of one message, which may be none. True where the message, or a value of it, was lost because
    /// it could not be parsed and the options say to go on. After an error no row is left of it.
    ///
    /// # Errors
    /// A message that breaks the format; it begins with `place`.
    fn decode(&mut self, message: &[u8], place: &dyn Display) -> Result<bool>;

    /// Appends a row of nulls: for a message without a key, or without a value where that is a row.
    ///
    /// # Errors
    /// Where a column cannot be null; it begins with `place`.
    fn decode_null(&mut self, place: &dyn Display) -> Result<()>;

    /// Rows since the last [`Self::finish`].
    fn rows(&self) -> usize;

    /// Forgets all rows from `rows` on.
    fn truncate(&mut self, rows: usize);

    /// The rows decoded so far.
    ///
    /// # Errors
    /// Where Arrow refuses a column.
    fn finish(&mut self) -> Result<Delta>;
}

/// Encodes each row as a message.
pub(crate) trait MessageEncoder: Send {
    /// Appends one message a row. Formats that tell of no changes take every row as an insertion.
    ///
    /// # Errors
    /// Where a value cannot be written.
    fn encode(&mut self, delta: &Delta, into: &mut Messages) -> Result<()>;
}

/// Messages one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    /// The bytes of all of them.
    pub(crate) data: Vec<u8>,
    ends: Vec<usize>,
}

impl Messages {
    /// Ends the message whose bytes were appended.
    pub(crate) fn close(&mut self) {
        self.ends.push(self.data.len());
    }

    /// A message by its number.
    pub(crate) fn get(&self, index: usize) -> Option<&[u8]> {
        let start = match index {
            0 => 0,
            later => *self.ends.get(later - 1)?,
        };
        self.data.get(start..*self.ends.get(index)?)
    }

    /// Forgets all messages.
    pub(crate) fn clear(&mut self) {
        self.data.clear();
        self.ends.clear();
    }
}

/// A format of messages with its options.
#[derive(Debug, Clone)]
pub(crate) enum MessageFormat {
    /// A JSON object.
    Json(JsonFormat),
    /// A line of CSV.
    Csv(CsvFormat),
    /// The message is the value of the only column.
    Raw,
    /// JSON that tells what changed in a database.
    Change(ChangeFormat),
    /// An Avro record, or one that tells what changed in a database.
    Avro(AvroFormat),
    /// A Protobuf message.
    Protobuf(Box<ProtobufFormat>),
}

impl MessageFormat {
    /// Reads the format of a role and its options; `None` where the table names none for it.
    ///
    /// # Errors
    /// Where the format is unknown, or its options contradict one another.
    pub(crate) fn from_options(role: Role, options: &OptionValues) -> Result<Option<Self>> {
        let subject = options::subject(role, options);
        let Some((name, options)) = options::of_role(role, options) else { return Ok(None) };
        let format = match name.as_str() {
            "json" => Self::Json(JsonFormat::from_options(&options)?),
            "csv" => Self::Csv(CsvFormat::from_options(&options)?),
            "raw" => Self::Raw,
            "debezium-json" => Self::Change(ChangeFormat::from_options(ChangeKind::Debezium, &options)?),
            "canal-json" => Self::Change(ChangeFormat::from_options(ChangeKind::Canal, &options)?),
            "maxwell-json" => Self::Change(ChangeFormat::from_options(ChangeKind::Maxwell, &options)?),
            "avro" => Self::Avro(AvroFormat::plain(&options)?),
            "avro-confluent" => Self::Avro(AvroFormat::confluent(AvroKind::Confluent, &options, subject)?),
            "debezium-avro-confluent" => Self::Avro(AvroFormat::confluent(AvroKind::Debezium, &options, subject)?),
            "protobuf" => Self::Protobuf(Box::new(ProtobufFormat::from_options(&options)?)),
            other => {
                let hint = format!("the formats of messages are {}", MESSAGE_FORMATS.join(", "));
                return Err(EngineError::Config { message: format!("unknown format \"{other}\""), hint: Some(hint) });
            }
        };
        Ok(Some(format))
    }

    /// Whether its messages tell of changes.
    pub(crate) fn tells_changes(&self) -> bool {
        match self {
            Self::Json(_) | Self::Csv(_) | Self::Raw | Self::Protobuf(_) => false,
            Self::Avro(format) => format.tells_changes(),
            Self::Change(_) => true,
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Json(_) => "json",
            Self::Csv(_) => "csv",
            Self::Raw => "raw",
            Self::Change(format) => format.kind.name(),
            Self::Avro(format) => format.name(),
            Self::Protobuf(_) => "protobuf",
        }
    }

    /// A decoder that reads the `wanted` ones of `columns`.
    ///
    /// # Errors
    /// Where the format cannot carry a column.
    pub(crate) fn decoder(&self, columns: &Fields, wanted: &[WantedColumn]) -> Result<Box<dyn MessageDecoder>> {
        Ok(match self {
            Self::Json(format) => Box::new(JsonMessages::new(*format, columns, wanted)?),
            Self::Csv(format) => Box::new(CsvMessages::new(format, columns, wanted)?),
            Self::Raw => Box::new(RawMessages::new(columns, wanted)?),
            Self::Change(format) => Box::new(ChangeDecoder::new(format, columns, wanted)?),
            Self::Avro(format) => format.decoder(columns, wanted)?,
            Self::Protobuf(format) => Box::new(ProtobufMessages::new(format, columns, wanted)?),
        })
    }

    /// An encoder of `columns`.
    ///
    /// # Errors
    /// Where the format cannot carry a column.
    pub(crate) fn encoder(&self, columns: &Fields) -> Result<Box<dyn MessageEncoder>> {
        Ok(match self {
            Self::Json(format) => Box::new(JsonMessageEncoder::new(*format)),
            Self::Csv(format) => Box::new(CsvMessageEncoder::new(format, columns)),
            Self::Raw => Box::new(RawMessageEncoder),
            Self::Change(format) => Box::new(ChangeEncoder::new(format)),
            Self::Avro(format) => format.encoder(columns)?,
            Self::Protobuf(format) => Box::new(ProtobufMessageEncoder::new(format, columns)?),
        })
    }

    /// Checks that the format can carry the columns of a message.
    ///
    /// # Errors
    /// Names the first column that it cannot carry.
    pub(crate) fn check(&self, columns: &Fields) -> Result<()> {
        let carries: fn(&DataType) -> bool = match self {
            Self::Json(_) | Self::Change(_) | Self::Avro(_) => is_json_type,
            Self::Csv(_) => is_csv_type,
            Self::Raw => return raw_format::check(columns),
            Self::Protobuf(format) => return format.check(columns),
        };
        check_types(self.name(), columns.iter().map(AsRef::as_ref), carries)
    }
}
