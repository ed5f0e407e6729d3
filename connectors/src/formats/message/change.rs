//! Change messages in JSON: what Debezium, Canal and Maxwell say of the rows of a database.
//!
//! An update is a retraction of the old row and an insertion of the new one. Canal and Maxwell give only the old values
//! of the columns that changed; the others are taken from the new row.
//! Source: Flink's pages of the formats `debezium-json`, `canal-json` and `maxwell-json`.

use std::fmt::Display;

use arrow::buffer::BooleanBuffer;
use arrow::datatypes::Fields;
use millstream_engine::error::{EngineError, Result};
use millstream_engine::message::Delta;
use millstream_engine::ports::{OptionDescriptor, OptionType, OptionValues};
use regex::Regex;

use super::envelope::{self, Change, Envelope};
use super::{MessageDecoder, MessageEncoder, Messages};
use crate::formats::fault::Fault;
use crate::formats::json::{JsonDecoder, JsonEncoder, JsonFormat};
use crate::formats::{RecordDecoder, TimestampStyle, WantedColumn};

/// Whose messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    /// `{"before": …, "after": …, "op": "u"}`
    Debezium,
    /// `{"data": [ … ], "old": [ … ], "type": "UPDATE"}`
    Canal,
    /// `{"data": …, "old": …, "type": "update"}`
    Maxwell,
}

impl ChangeKind {
    /// The name of the format.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Debezium => "debezium-json",
            Self::Canal => "canal-json",
            Self::Maxwell => "maxwell-json",
        }
    }

    /// The texts around the row of a message that this format writes.
    fn around(self, retract: bool) -> (&'static str, &'static str) {
        match (self, retract) {
            (Self::Debezium, false) => (r#"{"before":null,"after":"#, r#","op":"c"}"#),
            (Self::Debezium, true) => (r#"{"before":"#, r#","after":null,"op":"d"}"#),
            (Self::Canal, false) => (r#"{"data":["#, r#"],"type":"INSERT"}"#),
            (Self::Canal, true) => (r#"{"data":["#, r#"],"type":"DELETE"}"#),
            (Self::Maxwell, false) => (r#"{"data":"#, r#","type":"insert"}"#),
            (Self::Maxwell, true) => (r#"{"data":"#, r#","type":"delete"}"#),
        }
    }
}

/// The options of a change format.
#[derive(Debug, Clone)]
pub(crate) struct ChangeFormat {
    /// Whose messages.
    pub(crate) kind: ChangeKind,
    /// How a row is read and written.
    row: JsonFormat,
    /// Debezium: the message stands under `payload`, beside its schema.
    schema_include: bool,
    /// Canal: only changes of databases and tables whose names match.
    only: [Option<Regex>; 2],
}

impl ChangeFormat {
    /// Reads the options.
    ///
    /// # Errors
    /// Where one of them is no regular expression.
    pub(crate) fn from_options(kind: ChangeKind, options: &OptionValues) -> Result<Self> {
        let name = kind.name();
        let only = |part: &str| match options.get(&format!("{name}.{part}.include")) {
            Some(text) => Regex::new(&format!("^(?:{text})$")).map(Some).map_err(|error| {
                EngineError::config(format!("option \"{name}.{part}.include\" is no regular expression: {error}"))
            }),
            None => Ok(None),
        };
        let row = JsonFormat {
            ignore_parse_errors: options.boolean(&format!("{name}.ignore-parse-errors"), false)?,
            fail_on_missing_field: false,
            timestamps: match options.get(&format!("{name}.timestamp-format.standard")) {
                Some("ISO-8601") => TimestampStyle::Iso,
                Some(_) | None => TimestampStyle::Sql,
            },
            ignore_null_fields: options.boolean(&format!("{name}.encode.ignore-null-fields"), false)?,
            any_layout: false,
        };
        Ok(Self {
            kind,
            row,
            schema_include: options.boolean("debezium-json.schema-include", false)?,
            only: [only("database")?, only("table")?],
        })
    }
}

impl ChangeFormat {
    /// A decoder that reads the `wanted` ones of `columns`.
    ///
    /// # Errors
    /// Where JSON cannot carry a column.
    pub(crate) fn decoder(&self, columns: &Fields, wanted: &[WantedColumn]) -> Result<Box<dyn MessageDecoder>> {
        Ok(Box::new(ChangeDecoder::new(self, columns, wanted)?))
    }

    /// An encoder of rows.
    pub(crate) fn encoder(&self) -> Box<dyn MessageEncoder> {
        Box::new(ChangeEncoder::new(self))
    }
}

/// The options of the change formats.
pub(crate) fn options() -> Vec<OptionDescriptor> {
    let option = |name, kind, default, doc| OptionDescriptor { name, kind, required: false, default, doc };
    let flag = |name, doc| option(name, OptionType::Boolean, Some("false"), doc);
    let style = |name| {
        let doc = "How timestamps are written. Both ways are read.";
        option(name, OptionType::Choice(&["SQL", "ISO-8601"]), Some("SQL"), doc)
    };
    let ignore = "Messages that cannot be parsed are skipped, values that do not fit read as null; both are counted.";
    let no_nulls = "Null fields are left out when writing.";
    vec![
        flag("debezium-json.schema-include", "The messages carry their schema: the change stands under 'payload'."),
        flag("debezium-json.ignore-parse-errors", ignore),
        style("debezium-json.timestamp-format.standard"),
        flag("debezium-json.encode.ignore-null-fields", no_nulls),
        flag("canal-json.ignore-parse-errors", ignore),
        style("canal-json.timestamp-format.standard"),
        flag("canal-json.encode.ignore-null-fields", no_nulls),
        option("canal-json.database.include", OptionType::String, None, "A regular expression of databases to read."),
        option("canal-json.table.include", OptionType::String, None, "A regular expression of tables to read."),
        flag("maxwell-json.ignore-parse-errors", ignore),
        style("maxwell-json.timestamp-format.standard"),
        flag("maxwell-json.encode.ignore-null-fields", no_nulls),
    ]
}

/// Decodes change messages.
pub(super) struct ChangeDecoder {
    format: ChangeFormat,
    rows: JsonDecoder,
    /// For each row whether it is retracted.
    retracts: Vec<bool>,
    hint: String,
}

impl ChangeDecoder {
    /// A decoder that reads the `wanted` ones of `columns`.
    ///
    /// # Errors
    /// Where JSON cannot carry a column.
    pub(super) fn new(format: &ChangeFormat, columns: &Fields, wanted: &[WantedColumn]) -> Result<Self> {
        let rows = JsonDecoder::new(format.row, columns, wanted)?;
        let hint = format!("'{}.ignore-parse-errors' = 'true' skips such messages", format.kind.name());
        Ok(Self { format: format.clone(), rows, retracts: Vec::new(), hint })
    }

    /// Appends the rows of a message. True where a value of it became null for want of a fit.
    fn message(&mut self, message: &[u8]) -> Result<bool, Box<Fault>> {
        let envelope = Envelope::parse(message, self.format.schema_include)?;
        let names = [envelope.database.as_deref(), envelope.table.as_deref()];
        let passes = |(only, name): (&Option<Regex>, &Option<&str>)| match only {
            Some(only) => name.is_some_and(|name| only.is_match(name)),
            None => true,
        };
        if !self.format.only.iter().zip(&names).all(passes) {
            return Ok(false);
        }
        let changes = match self.format.kind {
            ChangeKind::Debezium => envelope::debezium(&envelope)?,
            ChangeKind::Canal => envelope::canal(&envelope)?,
            ChangeKind::Maxwell => envelope::maxwell(&envelope)?,
        };
        let mut nulled = false;
        for Change { retract, row } in changes {
            nulled |= self.rows.record(&row)?;
            self.retracts.push(retract);
        }
        Ok(nulled)
    }
}

impl MessageDecoder for ChangeDecoder {
    fn decode(&mut self, message: &[u8], place: &dyn Display) -> Result<bool> {
        let rows = self.retracts.len();
        match self.message(message) {
            Ok(nulled) => Ok(nulled),
            Err(fault) => {
                self.truncate(rows);
                if self.format.row.ignore_parse_errors {
                    return Ok(true);
                }
                Err(fault.into_error(&place.to_string(), message, &self.hint))
            }
        }
    }

    fn decode_null(&mut self, place: &dyn Display) -> Result<()> {
        Err(EngineError::Internal(format!("{place}: no row of nulls in a message of changes")))
    }

    fn rows(&self) -> usize {
        self.retracts.len()
    }

    fn truncate(&mut self, rows: usize) {
        self.rows.truncate(rows);
        self.retracts.truncate(rows);
    }

    fn finish(&mut self) -> Result<Delta> {
        let batch = self.rows.finish()?;
        let retracts = BooleanBuffer::from(std::mem::take(&mut self.retracts));
        Ok(Delta::signed(batch, retracts))
    }
}

/// Encodes changes: an update is a message that deletes the old row and one that inserts the new one.
pub(super) struct ChangeEncoder {
    kind: ChangeKind,
    rows: JsonEncoder,
}

impl ChangeEncoder {
    /// An encoder with the format's options.
    pub(super) fn new(format: &ChangeFormat) -> Self {
        Self { kind: format.kind, rows: JsonEncoder::new(format.row) }
    }
}

impl MessageEncoder for ChangeEncoder {
    fn encode(&mut self, delta: &Delta, into: &mut Messages) -> Result<()> {
        self.rows.messages(&delta.batch, |row| self.kind.around(delta.is_retract(row)), into)
    }
}
