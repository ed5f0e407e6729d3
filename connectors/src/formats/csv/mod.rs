//! CSV: as Flink's `csv` format, with `csv.header` besides.
//!
//! Columns are taken by position; with a header, by name. An empty field is null, but in a STRING column the empty text
//! (as in Flink) unless `csv.null-literal` is the empty text. Deviation from Flink: an empty field of a number is null
//! rather than an error; so is one of an ARRAY or ROW, but in quotes it is an empty array. DECIMALs are written plainly unless
//! `csv.write-bigdecimal-in-scientific-notation` says else, which is Flink's default.

mod encode;
mod nested;
mod split;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Fields, Schema, SchemaRef};
use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::{OptionDescriptor, OptionType, OptionValues};

use super::columns::{Column, RowColumn, Values};
use super::fault::{Fault, shown};
use super::names::Target;
use super::types::sql_name;
use super::{Progress, RecordDecoder, WantedColumn};

pub(crate) use encode::CsvEncoder;
use nested::Items;
pub(crate) use nested::is_csv_type;
use split::{Marks, Span, split, unescape};

const HINT: &str = "'csv.ignore-parse-errors' = 'true' skips such lines and reads such fields as null";

/// The options of the format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CsvFormat {
    marks: Marks,
    /// Lines that begin with `#` are passed over.
    comments: bool,
    ignore_parse_errors: bool,
    null_literal: Option<String>,
    /// How ARRAY and ROW stand in a field.
    items: Items,
    /// DECIMALs are written without zeros at their end, with an exponent where that is shorter.
    scientific: bool,
    /// The first record names the columns.
    header: bool,
}

impl CsvFormat {
    /// Reads the options.
    ///
    /// # Errors
    /// Where one is not the single character it must be, or contradicts another.
    pub(crate) fn from_options(options: &OptionValues) -> Result<Self> {
        let quote = match options.boolean("csv.disable-quote-character", false)? {
            true if options.get("csv.quote-character").is_some() => {
                let message = "\"csv.quote-character\" and \"csv.disable-quote-character\" contradict each other";
                return Err(EngineError::config(message));
            }
            true => None,
            false => Some(character(options, "csv.quote-character")?.unwrap_or(b'"')),
        };
        let null_literal = options.get("csv.null-literal").map(str::to_owned);
        let delimiter = options.get("csv.array-element-delimiter").unwrap_or(";").to_owned();
        if delimiter.is_empty() {
            return Err(EngineError::config("option \"csv.array-element-delimiter\" is empty"));
        }
        Ok(Self {
            marks: Marks {
                delimiter: character(options, "csv.field-delimiter")?.unwrap_or(b','),
                quote,
                escape: character(options, "csv.escape-character")?,
            },
            comments: options.boolean("csv.allow-comments", false)?,
            ignore_parse_errors: options.boolean("csv.ignore-parse-errors", false)?,
            items: Items { delimiter, null: null_literal.clone() },
            null_literal,
            scientific: options.boolean("csv.write-bigdecimal-in-scientific-notation", false)?,
            header: options.boolean("csv.header", false)?,
        })
    }

    /// The comments that bytes begin with: their length, and how many lines they are. `None`: the last may go on.
    fn comments_at(&self, bytes: &[u8], at_end: bool) -> Option<(usize, u64)> {
        let (mut length, mut lines) = (0, 0);
        while let Some(rest) = bytes.get(length..).filter(|rest| self.comments && rest.first() == Some(&b'#')) {
            length += match memchr::memchr(b'\n', rest) {
                Some(end) => end + 1,
                None if at_end => rest.len(),
                None => return None,
            };
            lines += 1;
        }
        Some((length, lines))
    }

    /// The records of a text that have as many fields as the first one; comments are none.
    pub(crate) fn even_records(&self, text: &[u8]) -> Vec<u8> {
        let (mut even, mut spans, mut fields, mut at) = (Vec::with_capacity(text.len()), Vec::new(), None, 0);
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let (comments, _) = self.comments_at(rest, true).unwrap_or_default();
            let record = rest.get(comments..).unwrap_or_default();
            let length = match split(record, true, self.marks, &mut spans) {
                Ok(Some(length)) => {
                    if *fields.get_or_insert(spans.len()) == spans.len() {
                        even.extend_from_slice(record.get(..length).unwrap_or_default());
                    }
                    length
                }
                Ok(None) => record.len(),
                Err((_, length)) => length,
            };
            // Something is taken always: the loop ends.
            at += (comments + length).max(1);
        }
        even
    }

    /// Whether every line end is the end of a record: nothing takes its meaning from it.
    pub(crate) fn lines_are_records(&self) -> bool {
        self.marks.quote.is_none() && self.marks.escape.is_none()
    }

    /// The options for people and for the check of names.
    pub(crate) fn options() -> Vec<OptionDescriptor> {
        let option = |name, kind, default, doc| OptionDescriptor { name, kind, required: false, default, doc };
        let text = |name, default, doc| option(name, OptionType::String, default, doc);
        let flag = |name, doc| option(name, OptionType::Boolean, Some("false"), doc);
        vec![
            text("csv.field-delimiter", Some(","), "The character between fields; \\t for a tab."),
            flag("csv.disable-quote-character", "Quotes are text like any other."),
            text("csv.quote-character", Some("\""), "The character around fields that hold a delimiter or line end."),
            flag("csv.allow-comments", "Lines that begin with # are passed over."),
            flag(
                "csv.ignore-parse-errors",
                "Lines that cannot be taken apart are skipped, fields of a wrong type read as null; both are counted.",
            ),
            text("csv.escape-character", None, "The character that takes the meaning from the one behind it."),
            text("csv.null-literal", None, "The text that stands for null; without it null is written as nothing."),
            text(
                "csv.array-element-delimiter",
                Some(";"),
                "What stands between the items of an ARRAY or ROW, which are in one field.",
            ),
            flag(
                "csv.write-bigdecimal-in-scientific-notation",
                "DECIMALs are written as Java does: 100000 as 1E+5, 12.50 as 12.5.",
            ),
            flag("csv.header", "The first line names the columns, which are then taken by name."),
        ]
    }
}

/// The value of an option that is one ASCII character.
fn character(options: &OptionValues, name: &str) -> Result<Option<u8>> {
    let Some(text) = options.get(name) else { return Ok(None) };
    let text = match text {
        "\\t" => "\t",
        other => other,
    };
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Ok(Some(*byte)),
        _ => Err(EngineError::config(format!("option \"{name}\" must be one ASCII character, not \"{text}\""))),
    }
}

/// Appends the value that a field stands for. False, and nothing appended, where it is none of the column's type.
fn push(items: &Items, column: &mut Column, text: &[u8]) -> bool {
    match column.values {
        Values::List(_, _) | Values::Row(_) => items.push(column, text),
        _ => column.push_text(text),
    }
}

/// Decodes CSV.
#[derive(Debug)]
pub(crate) struct CsvDecoder {
    format: CsvFormat,
    row: RowColumn,
    schema: SchemaRef,
    /// For each field of a record the column it goes to.
    targets: Vec<Option<usize>>,
    /// Columns that the header does not name.
    absent: Vec<usize>,
    spans: Vec<Span>,
    scratch: Vec<u8>,
}

impl CsvDecoder {
    /// A decoder that reads the `wanted` ones of `columns`.
    ///
    /// # Errors
    /// Where a column has a type that CSV does not carry.
    pub(crate) fn new(format: CsvFormat, columns: &Fields, wanted: &[WantedColumn]) -> Result<Self> {
        let row = RowColumn::record(columns.iter().map(AsRef::as_ref), wanted)?;
        let fields: Vec<_> = wanted.iter().filter_map(|(index, _)| columns.get(*index).cloned()).collect();
        let targets = (0..columns.len()).map(|index| wanted.iter().position(|(column, _)| *column == index)).collect();
        Ok(Self {
            format,
            row,
            schema: Arc::new(Schema::new(fields)),
            targets,
            absent: vec![],
            spans: vec![],
            scratch: vec![],
        })
    }

    /// Appends the record whose fields are in `spans`. True where a field became null for want of a fit.
    fn record(&mut self, bytes: &[u8]) -> Result<bool, Box<Fault>> {
        let lenient = self.format.ignore_parse_errors;
        if self.spans.len() != self.targets.len() && !lenient {
            let (wanted, found) = (self.targets.len(), self.spans.len());
            return Err(Fault::syntax(0, format!("expected {wanted} fields, found {found}")));
        }
        let mut nulled = false;
        for (index, target) in self.targets.iter().enumerate() {
            let Some(field) = target.and_then(|slot| self.row.fields.get_mut(slot)) else { continue };
            let Some(span) = self.spans.get(index) else {
                field.column.push_null();
                nulled = true;
                continue;
            };
            let raw = bytes.get(span.start..span.end).unwrap_or_default();
            let text = if span.escaped {
                self.scratch.clear();
                unescape(raw, span.quoted, self.format.marks, &mut self.scratch);
                self.scratch.as_slice()
            } else {
                raw
            };
            let absent = !span.quoted
                && match &self.format.null_literal {
                    Some(literal) if literal.as_bytes() == text => true,
                    Some(_) | None => text.is_empty() && !matches!(field.column.values, Values::Utf8(_)),
                };
            if absent {
                field.column.push_null();
            } else if !push(&self.format.items, &mut field.column, text) {
                if !lenient {
                    let what = format!("expected {}, found \"{}\"", sql_name(field.column.data_type()), shown(text));
                    return Err(Fault::value(span.start, what).inside(&field.name));
                }
                field.column.push_null();
                nulled = true;
            }
            if !field.nullable && field.column.last_is_null() {
                return Err(Fault::value(span.start, "null in a NOT NULL column").inside(&field.name));
            }
        }
        for slot in &self.absent {
            if let Some(field) = self.row.fields.get_mut(*slot) {
                field.column.push_null();
            }
        }
        self.row.end();
        Ok(nulled)
    }

    /// Takes the columns in the order of a header.
    fn take_header(&mut self, bytes: &[u8], place: &str) -> Result<()> {
        let mut targets = vec![None; self.spans.len()];
        for exact in [true, false] {
            for (span, target) in self.spans.iter().zip(&mut targets) {
                let mut name = vec![];
                unescape(
                    bytes.get(span.start..span.end).unwrap_or_default(),
                    span.quoted,
                    self.format.marks,
                    &mut name,
                );
                let name = String::from_utf8_lossy(&name);
                match self.row.names.resolve(name.trim()) {
                    Target::Exact(slot) if exact => *target = Some(slot),
                    Target::Loose(slot) if !exact => *target = Some(slot),
                    Target::Exact(_) | Target::Loose(_) | Target::Skip => {}
                }
            }
        }
        let mut taken = vec![false; self.row.fields.len()];
        for target in &mut targets {
            match target.and_then(|slot| taken.get_mut(slot)) {
                Some(taken) if *taken => *target = None,
                Some(taken) => *taken = true,
                None => {}
            }
        }
        // What the file does not have is null, as in other formats.
        match self.row.fields.iter().zip(&taken).find(|(field, taken)| !**taken && !field.nullable) {
            Some((field, _)) => Err(EngineError::BadRow {
                message: format!("{place}: the header does not name column \"{}\"", field.name),
                hint: Some("without 'csv.header' columns are taken by position".to_owned()),
            }),
            None => {
                self.targets = targets;
                self.absent = taken.iter().enumerate().filter(|(_, taken)| !**taken).map(|(slot, _)| slot).collect();
                Ok(())
            }
        }
    }

    /// Forgets all rows from `rows` on.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.row.truncate(rows);
    }

    /// Whether the record is an empty line, which means a row only where there is one column.
    fn is_blank(&self) -> bool {
        let blank = matches!(self.spans.as_slice(), [span] if span.start == span.end && !span.quoted);
        blank && self.targets.len() != 1
    }
}

impl RecordDecoder for CsvDecoder {
    fn header(&mut self, bytes: &[u8], at_end: bool, progress: &mut Progress<'_>) -> Result<Option<usize>> {
        if !self.format.header || (bytes.is_empty() && at_end) {
            return Ok(Some(0));
        }
        let Some((before, lines)) = self.format.comments_at(bytes, at_end) else { return Ok(None) };
        let bytes = bytes.get(before..).unwrap_or_default();
        match split(bytes, at_end, self.format.marks, &mut self.spans) {
            Ok(None) => Ok(None),
            Ok(Some(len)) => {
                progress.line += lines + 1;
                self.take_header(bytes, &progress.place().to_string())?;
                Ok(Some(before + len))
            }
            Err((fault, _)) => Err(fault.into_error(&progress.place().to_string(), bytes, HINT)),
        }
    }

    fn decode(&mut self, bytes: &[u8], at_end: bool, rows_max: usize, progress: &mut Progress<'_>) -> Result<usize> {
        let mut consumed = 0;
        while self.row.rows() < rows_max {
            let rest = bytes.get(consumed..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            let comment = self.format.comments && rest.first() == Some(&b'#');
            let (len, parsed) = if comment {
                match memchr::memchr(b'\n', rest) {
                    Some(end) => (end + 1, Ok(false)),
                    None if at_end => (rest.len(), Ok(false)),
                    None => break,
                }
            } else {
                match split(rest, at_end, self.format.marks, &mut self.spans) {
                    Ok(None) => break,
                    Ok(Some(len)) if self.is_blank() => (len, Ok(false)),
                    Ok(Some(len)) => (len, self.record(rest)),
                    Err((fault, len)) => (len, Err(fault)),
                }
            };
            let record = rest.get(..len).unwrap_or(rest);
            progress.line += 1;
            match parsed {
                Ok(nulled) => progress.rejects.count_nulled(u64::from(nulled)),
                Err(fault) => {
                    self.row.truncate(self.row.rows());
                    progress.refuse(fault, record, HINT, self.format.ignore_parse_errors)?;
                }
            }
            // Line ends inside quotes count too.
            let ends = memchr::memchr_iter(b'\n', record).count() as u64;
            progress.line += ends.saturating_sub(1);
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
