//! JSON lines: one object a line, as Flink's `json` format.
//!
//! A column takes the field of its name; where no field has exactly that name, the one that differs in case alone. A
//! field that is missing is null. Numbers may stand in quotes. Deviations from Flink: a BOOLEAN takes only `true` and
//! `false`, an integer column no fractions, a number that is too great for its DECIMAL is a fault rather than null, and
//! timestamps are read with a blank or a `T`, with or without `Z`, whatever `json.timestamp-format.standard` says (it
//! decides how they are written).

pub(crate) mod cursor;
mod decode;
mod encode;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Fields, Schema, SchemaRef};
use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::{OptionDescriptor, OptionType, OptionValues};

use super::columns::RowColumn;
use super::fault::Fault;
use super::print::TimestampStyle;
use super::{Progress, RecordDecoder, WantedColumn, first_line};

use cursor::Cursor;
use decode::Policy;
pub(crate) use encode::JsonEncoder;

/// The option of files that says how objects stand in them.
pub(crate) const ANY_LAYOUT_OPTION: &str = "json.layout";

const HINT: &str = "'json.ignore-parse-errors' = 'true' skips such lines and reads such fields as null";

/// The options of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JsonFormat {
    /// Lines that cannot be parsed are skipped, values that do not fit are null.
    pub(crate) ignore_parse_errors: bool,
    /// A missing field is an error.
    pub(crate) fail_on_missing_field: bool,
    /// How timestamps are written.
    pub(crate) timestamps: TimestampStyle,
    /// Null fields are not written.
    pub(crate) ignore_null_fields: bool,
    /// In files: objects may stand in an array, and over several lines.
    pub(crate) any_layout: bool,
}

impl JsonFormat {
    /// Reads the options.
    ///
    /// # Errors
    /// Where they contradict one another.
    pub(crate) fn from_options(options: &OptionValues) -> Result<Self> {
        let format = Self {
            ignore_parse_errors: options.boolean("json.ignore-parse-errors", false)?,
            fail_on_missing_field: options.boolean("json.fail-on-missing-field", false)?,
            timestamps: match options.get("json.timestamp-format.standard") {
                Some("ISO-8601") => TimestampStyle::Iso,
                Some(_) | None => TimestampStyle::Sql,
            },
            ignore_null_fields: options.boolean("json.encode.ignore-null-fields", false)?,
            any_layout: options.get(ANY_LAYOUT_OPTION).is_some_and(|layout| layout.eq_ignore_ascii_case("any")),
        };
        if format.ignore_parse_errors && format.fail_on_missing_field {
            return Err(EngineError::Config {
                message: "options \"json.fail-on-missing-field\" and \"json.ignore-parse-errors\" cannot both be true"
                    .to_owned(),
                hint: None,
            });
        }
        Ok(format)
    }

    /// The options for people and for the check of names.
    pub(crate) fn options() -> Vec<OptionDescriptor> {
        let flag = |name, doc| OptionDescriptor {
            name,
            kind: OptionType::Boolean,
            required: false,
            default: Some("false"),
            doc,
        };
        vec![
            flag("json.fail-on-missing-field", "A field that is not in the line is an error rather than null."),
            flag(
                "json.ignore-parse-errors",
                "Lines that are no JSON object are skipped, values of a wrong type read as null; both are counted.",
            ),
            OptionDescriptor {
                name: "json.timestamp-format.standard",
                kind: OptionType::Choice(&["SQL", "ISO-8601"]),
                required: false,
                default: Some("SQL"),
                doc: "How timestamps are written: 2015-07-15 00:00:01.123 or 2015-07-15T00:00:01.123. Both are read.",
            },
            flag("json.encode.ignore-null-fields", "Null fields are left out when writing."),
        ]
    }
}

/// Decodes JSON lines.
#[derive(Debug)]
pub(crate) struct JsonDecoder {
    row: RowColumn,
    schema: SchemaRef,
    policy: Policy,
}

impl JsonDecoder {
    /// A decoder that reads the `wanted` ones of `columns`.
    ///
    /// # Errors
    /// Where a column has a type that JSON does not carry.
    pub(crate) fn new(format: JsonFormat, columns: &Fields, wanted: &[WantedColumn]) -> Result<Self> {
        let row = RowColumn::record(columns.iter().map(AsRef::as_ref), wanted)?;
        let fields: Vec<Arc<Field>> = wanted.iter().filter_map(|(index, _)| columns.get(*index).cloned()).collect();
        let policy = Policy {
            ignore_parse_errors: format.ignore_parse_errors,
            fail_on_missing_field: format.fail_on_missing_field,
            nulled: false,
        };
        Ok(Self { row, schema: Arc::new(Schema::new(fields)), policy })
    }

    /// Forgets all rows from `rows` on.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.row.truncate(rows);
    }

    /// Appends one object. True where a value of it became null for want of a fit. After a fault no row is left of it.
    pub(crate) fn record(&mut self, text: &[u8]) -> Result<bool, Box<Fault>> {
        let rows = self.row.rows();
        self.policy.nulled = false;
        let mut cursor = Cursor::new(text);
        let parsed = decode::object(&mut cursor, &mut self.row, &mut self.policy).and_then(|()| match cursor.peek() {
            None => Ok(()),
            Some(_) => Err(cursor.unexpected("the end of the line")),
        });
        match parsed {
            Ok(()) => Ok(self.policy.nulled),
            Err(fault) => {
                self.row.truncate(rows);
                Err(fault)
            }
        }
    }
}

impl RecordDecoder for JsonDecoder {
    fn decode(&mut self, bytes: &[u8], at_end: bool, rows_max: usize, progress: &mut Progress<'_>) -> Result<usize> {
        let mut consumed = 0;
        while self.row.rows() < rows_max {
            let rest = bytes.get(consumed..).unwrap_or_default();
            let Some((line, len)) = first_line(rest, at_end) else { break };
            progress.line += 1;
            if !line.trim_ascii().is_empty() {
                match self.record(line) {
                    Ok(nulled) => progress.rejects.count_nulled(u64::from(nulled)),
                    Err(fault) => progress.refuse(fault, line, HINT, self.policy.ignore_parse_errors)?,
                }
            }
            consumed += len;
        }
        Ok(consumed)
    }

    fn rows(&self) -> usize {
        self.row.rows()
    }

    fn finish(&mut self) -> Result<RecordBatch> {
        let rows = self.row.rows();
        let arrays = self.row.finish(rows)?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?)
    }
}
