//! Formats: how rows stand in files.
//!
//! Text formats implement [`RecordDecoder`] and [`RecordEncoder`] over bytes and know no files; [`parquet`] needs to jump
//! about in its file and is driven by the `filesystem` connector. Where files are and when they are read is not here.

pub(crate) mod avro;
#[cfg(test)]
mod broken_tests;
pub(crate) mod change_column;
mod change_lines;
mod columns;
pub(crate) mod csv;
mod fault;
pub(crate) mod json;
pub(crate) mod message;
mod names;
pub(crate) mod parquet;
mod print;
pub(crate) mod protobuf;
mod push;
pub(crate) mod raw;
mod text;
mod types;

use std::fmt;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Fields};
use memchr::memchr;
use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::{OptionDescriptor, OptionType, OptionValues};
use millstream_engine::rejects::Rejects;

pub(crate) use columns::Column;
pub(crate) use print::{Printer, TimestampStyle};
pub(crate) use text::parse_timestamp;
pub(crate) use types::{check_types, is_json_type, is_text_scalar, sql_name};

use self::change_lines::{ChangeLines, ChangeLinesEncoder};
use self::csv::{CsvDecoder, CsvEncoder, CsvFormat, is_csv_type};
use self::fault::Fault;
use self::message::{ChangeFormat, ChangeKind, change_options};
use self::parquet::ParquetFormat;
use json::{JsonDecoder, JsonEncoder, JsonFormat};
use raw::{RawDecoder, RawEncoder};

/// The names of all formats.
pub(crate) const FORMATS: &[&str] =
    &["avro", "canal-json", "csv", "debezium-json", "json", "maxwell-json", "parquet", "raw"];

/// A column to read: its index among the columns of the file, and for a ROW the children (`None`: all).
pub(crate) type WantedColumn = (usize, Option<Vec<usize>>);

/// How far a decoder is in its stream, for messages.
#[derive(Debug)]
pub(crate) struct Progress<'a> {
    /// The file or topic.
    pub(crate) source: &'a str,
    /// Lines passed, the running one included.
    pub(crate) line: u64,
    /// Takes the records that cannot be parsed.
    pub(crate) rejects: &'a mut Rejects,
}

/// The first line of some bytes, and its length with what ends it. `None` where more bytes are needed to see its end.
pub(crate) fn first_line(bytes: &[u8], at_end: bool) -> Option<(&[u8], usize)> {
    match memchr(b'\n', bytes) {
        Some(end) => Some((bytes.get(..end).unwrap_or_default(), end + 1)),
        None => (at_end && !bytes.is_empty()).then_some((bytes, bytes.len())),
    }
}

/// `FILE line N`, written only where somebody is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    source: &'a str,
    line: u64,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} line {}", self.source, self.line)
    }
}

impl<'a> Progress<'a> {
    /// Where the decoder is.
    pub(crate) fn place(&self) -> Place<'a> {
        Place { source: self.source, line: self.line }
    }

    /// A record has a fault; no row of it is left. `ignored`: the options of the format say to go on.
    ///
    /// # Errors
    /// The fault, where it is not to be gone on.
    pub(crate) fn refuse(&mut self, fault: Box<Fault>, record: &[u8], hint: &str, ignored: bool) -> Result<()> {
        let place = self.place();
        self.rejects.record(record, &place, ignored, || fault.into_error(&place.to_string(), record, hint))
    }
}

/// Decodes records that stand one behind the other in a stream of bytes.
pub(crate) trait RecordDecoder: Send {
    /// Takes what stands before the first record, such as a line of column names, and returns its bytes; `None` where
    /// `bytes` does not hold all of it yet.
    ///
    /// # Errors
    /// Where it does not agree with the columns.
    fn header(&mut self, _bytes: &[u8], _at_end: bool, _progress: &mut Progress<'_>) -> Result<Option<usize>> {
        Ok(Some(0))
    }

    /// Takes whole records from the start of `bytes` until [`Self::rows`] is `rows_max`; `at_end`: nothing comes behind
    /// `bytes`, so that a last record needs no line end. Returns the bytes taken, which may be none.
    ///
    /// # Errors
    /// A record that breaks the format, where the options do not ignore it.
    fn decode(&mut self, bytes: &[u8], at_end: bool, rows_max: usize, progress: &mut Progress<'_>) -> Result<usize>;

    /// Rows decoded since the last [`Self::finish`].
    fn rows(&self) -> usize;

    /// The rows decoded so far.
    ///
    /// # Errors
    /// Where Arrow refuses a column.
    fn finish(&mut self) -> Result<RecordBatch>;
}

/// Encodes rows to bytes that can be appended to one another.
pub(crate) trait RecordEncoder: Send {
    /// What stands at the start of a file.
    fn header(&self, into: &mut Vec<u8>);

    /// Appends the rows of a batch.
    ///
    /// # Errors
    /// Where a value cannot be written.
    fn encode(&mut self, batch: &RecordBatch, into: &mut Vec<u8>) -> Result<()>;
}

/// A format with its options.
#[derive(Debug, Clone)]
pub(crate) enum Format {
    /// Avro's container files.
    Avro,
    /// JSON lines.
    Json(JsonFormat),
    /// CSV.
    Csv(CsvFormat),
    /// Parquet.
    Parquet(ParquetFormat),
    /// Raw lines.
    Raw,
    /// Lines that tell what changed in a database.
    Change(ChangeFormat),
}

impl Format {
    /// Reads `format` and the format's own options.
    ///
    /// # Errors
    /// Where the format is missing or unknown, or its options contradict one another.
    pub(crate) fn from_options(table: &str, options: &OptionValues) -> Result<Self> {
        match options.get("format") {
            Some("avro") => Ok(Self::Avro),
            Some("json") => Ok(Self::Json(JsonFormat::from_options(options)?)),
            Some("csv") => Ok(Self::Csv(CsvFormat::from_options(options)?)),
            Some("parquet") => Ok(Self::Parquet(ParquetFormat::from_options(options)?)),
            Some("raw") => Ok(Self::Raw),
            Some("debezium-json") => Ok(Self::Change(ChangeFormat::from_options(ChangeKind::Debezium, options)?)),
            Some("canal-json") => Ok(Self::Change(ChangeFormat::from_options(ChangeKind::Canal, options)?)),
            Some("maxwell-json") => Ok(Self::Change(ChangeFormat::from_options(ChangeKind::Maxwell, options)?)),
            other => Err(unknown_format(table, other)),
        }
    }

    /// The options of all formats.
    pub(crate) fn options() -> Vec<OptionDescriptor> {
        let layout = OptionDescriptor {
            name: json::ANY_LAYOUT_OPTION,
            kind: OptionType::Choice(&["lines", "any"]),
            required: false,
            default: Some("lines"),
            doc: "How objects stand in files that are read: one a line, or in an array, or over several lines.",
        };
        [JsonFormat::options(), vec![layout], CsvFormat::options(), ParquetFormat::options(), change_options()].concat()
    }

    /// A decoder that reads the `wanted` ones of `columns`; `None` for formats that are no stream of records.
    ///
    /// # Errors
    /// Where the format cannot carry a column.
    pub(crate) fn decoder(&self, columns: &Fields, wanted: &[WantedColumn]) -> Result<Option<Box<dyn RecordDecoder>>> {
        match self {
            Self::Avro => Ok(Some(Box::new(avro::AvroFileDecoder::new(columns, wanted)?))),
            Self::Json(format) => Ok(Some(Box::new(JsonDecoder::new(*format, columns, wanted)?))),
            Self::Csv(format) => Ok(Some(Box::new(CsvDecoder::new(format.clone(), columns, wanted)?))),
            Self::Parquet(_) => Ok(None),
            Self::Raw => Ok(Some(Box::new(RawDecoder::new(columns, wanted)))),
            Self::Change(format) => Ok(Some(Box::new(ChangeLines::new(format, columns, wanted)?))),
        }
    }

    /// An encoder of `columns`; `None` for formats that are no stream of records.
    pub(crate) fn encoder(&self, columns: &Fields) -> Option<Box<dyn RecordEncoder>> {
        match self {
            Self::Avro => {
                avro::AvroFileEncoder::new(columns).ok().map(|encoder| -> Box<dyn RecordEncoder> { Box::new(encoder) })
            }
            Self::Json(format) => Some(Box::new(JsonEncoder::new(*format))),
            Self::Csv(format) => Some(Box::new(CsvEncoder::new(format.clone(), columns))),
            Self::Parquet(_) => None,
            Self::Raw => Some(Box::new(RawEncoder)),
            Self::Change(format) => Some(Box::new(ChangeLinesEncoder::new(format))),
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Avro => "avro",
            Self::Json(_) => "json",
            Self::Csv(_) => "csv",
            Self::Parquet(_) => "parquet",
            Self::Raw => "raw",
            Self::Change(format) => format.kind.name(),
        }
    }

    /// Whether objects of a file may stand otherwise than one a line.
    pub(crate) fn is_any_layout(&self) -> bool {
        matches!(self, Self::Json(format) if format.any_layout)
    }

    /// Whether it tells of changes in its own way.
    pub(crate) fn tells_changes(&self) -> bool {
        match self {
            Self::Avro | Self::Json(_) | Self::Csv(_) | Self::Parquet(_) | Self::Raw => false,
            Self::Change(_) => true,
        }
    }

    /// Checks that the format can carry the columns of a file.
    ///
    /// # Errors
    /// Names the first column that it cannot carry.
    pub(crate) fn check(&self, columns: &Fields) -> Result<()> {
        let carries: fn(&DataType) -> bool = match self {
            Self::Avro => return avro::check(columns),
            Self::Json(_) | Self::Change(_) => is_json_type,
            Self::Csv(_) => is_csv_type,
            Self::Parquet(_) => is_json_type,
            Self::Raw => return raw::check(columns),
        };
        check_types(self.name(), columns.iter().map(AsRef::as_ref), carries)
    }
}

fn unknown_format(table: &str, format: Option<&str>) -> EngineError {
    let known = format!("the formats are {}", FORMATS.join(", "));
    match format {
        None => {
            EngineError::Config { message: format!("table \"{table}\" has no option \"format\""), hint: Some(known) }
        }
        Some(format) => {
            let near = FORMATS
                .iter()
                .map(|known| (strsim::jaro_winkler(&format.to_ascii_lowercase(), known), known))
                .filter(|(likeness, _)| *likeness > 0.7)
                .max_by(|left, right| left.0.total_cmp(&right.0));
            let hint = match near {
                Some((_, near)) => format!("did you mean '{near}'? {known}"),
                None => known,
            };
            EngineError::Config {
                message: format!("unknown format \"{format}\" of table \"{table}\""),
                hint: Some(hint),
            }
        }
    }
}
