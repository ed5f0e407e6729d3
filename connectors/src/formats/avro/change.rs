//! [`AvroChanges`]: `debezium-avro-confluent`, records that tell what changed in a database, to rows.
//!
//! A record has the old row under `before`, the new one under `after` and the kind of change under `op`. Which of the rows
//! count is known only behind them: they are passed over first and read then.
//! Source: Debezium's "Data change events"; Flink's page of the format.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{Fields, Schema as ArrowSchema, SchemaRef};
use millstream_engine::error::{EngineError, Result};
use millstream_engine::message::Delta;

use super::AvroFormat;
use super::bind::bind_fields;
use super::decode::{Step, named, record, value};
use super::read::Bytes;
use super::registry::Registry;
use super::schema::Schema;
use crate::formats::WantedColumn;
use crate::formats::columns::RowColumn;
use crate::formats::fault::Fault;
use crate::formats::message::MessageDecoder;

/// What a field of the envelope is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Before,
    After,
    Op,
    Other,
}

/// The fields of an envelope in their order; the rows are bound to the columns.
type Envelope = Vec<(Part, Schema)>;

/// See the module.
pub(super) struct AvroChanges {
    row: RowColumn,
    /// For each row whether it is retracted.
    retracts: Vec<bool>,
    schema: SchemaRef,
    ignore_parse_errors: bool,
    registry: Arc<Registry>,
    /// Envelopes by the ids of their schemas.
    bound: HashMap<u32, Arc<Envelope>>,
}

impl AvroChanges {
    /// A decoder that reads the `wanted` ones of `columns`.
    ///
    /// # Errors
    /// Where Avro cannot carry a column.
    pub(super) fn new(
        format: &AvroFormat,
        registry: &Arc<Registry>,
        columns: &Fields,
        wanted: &[WantedColumn],
    ) -> Result<Self> {
        let fields: Vec<_> = wanted.iter().filter_map(|(index, _)| columns.get(*index).cloned()).collect();
        Ok(Self {
            row: RowColumn::record(columns.iter().map(AsRef::as_ref), wanted)?,
            retracts: Vec::new(),
            schema: Arc::new(ArrowSchema::new(fields)),
            ignore_parse_errors: format.ignore_parse_errors,
            registry: Arc::clone(registry),
            bound: HashMap::new(),
        })
    }

    /// The envelope of a message.
    fn envelope(&mut self, id: u32, place: &dyn Display) -> Result<Arc<Envelope>> {
        if let Some(known) = self.bound.get(&id) {
            return Ok(Arc::clone(known));
        }
        let schema = self.registry.schema(id).map_err(|error| EngineError::io(place, error))?;
        let bound = bind(schema, &self.row)
            .map_err(|what| EngineError::config(format!("{place}: the schema with id {id}: {what}")))?;
        let bound = Arc::new(bound);
        self.bound.insert(id, Arc::clone(&bound));
        Ok(bound)
    }

    /// Appends the rows of a message.
    fn change(&mut self, envelope: &Envelope, message: &[u8]) -> Step {
        let mut bytes = Bytes::new(message);
        let (mut before, mut after, mut op) = (None, None, None);
        for (part, schema) in envelope {
            let start = bytes;
            value(&mut bytes, schema, None)?;
            match part {
                Part::Before => before = row_of(start, schema)?,
                Part::After => after = row_of(start, schema)?,
                Part::Op => op = text_of(start, schema)?,
                Part::Other => {}
            }
        }
        if bytes.left() > 0 {
            return Err(Fault::syntax(bytes.at, format!("invalid Avro: {} bytes follow the record", bytes.left())));
        }
        let op = op.ok_or_else(|| Fault::syntax(0, "the message has no field \"op\""))?;
        let missing = |field: &str| {
            let cause = "a PostgreSQL table needs REPLICA IDENTITY FULL for it";
            Fault::syntax(0, format!("operation \"{op}\" has no field \"{field}\": {cause}"))
        };
        let mut put = |row: Option<(Bytes<'_>, &[_])>, field, retract| {
            let (mut bytes, fields) = row.ok_or_else(|| missing(field))?;
            record(&mut bytes, fields, &mut self.row)?;
            self.retracts.push(retract);
            Ok(())
        };
        match op {
            "c" | "r" => put(after, "after", false),
            "u" => put(before, "before", true).and_then(|()| put(after, "after", false)),
            "d" => put(before, "before", true),
            other => Err(Fault::syntax(0, format!("unknown operation \"{other}\""))),
        }
    }
}

/// Where the row of a field begins, and its fields; `None`: null.
type RowAt<'m, 's> = Option<(Bytes<'m>, &'s [super::schema::SchemaField])>;

fn row_of<'m, 's>(mut bytes: Bytes<'m>, schema: &'s Schema) -> Result<RowAt<'m, 's>, Box<Fault>> {
    match schema {
        Schema::Record(fields) => Ok(Some((bytes, fields))),
        Schema::Union(branches) => {
            let branch = usize::try_from(bytes.long()?).ok().and_then(|index| branches.get(index));
            branch.map_or(Ok(None), |branch| row_of(bytes, branch))
        }
        _ => Ok(None),
    }
}

fn text_of<'m>(mut bytes: Bytes<'m>, schema: &Schema) -> Result<Option<&'m str>, Box<Fault>> {
    match schema {
        Schema::String => Ok(std::str::from_utf8(bytes.bytes()?).ok()),
        Schema::Union(branches) => {
            let branch = usize::try_from(bytes.long()?).ok().and_then(|index| branches.get(index));
            branch.map_or(Ok(None), |branch| text_of(bytes, branch))
        }
        _ => Ok(None),
    }
}

/// The envelope of a schema.
fn bind(schema: Schema, row: &RowColumn) -> Result<Envelope, String> {
    let Schema::Record(fields) = schema else { return Err("the schema is no record".to_owned()) };
    let mut envelope = Vec::with_capacity(fields.len());
    for field in fields {
        let part = match field.name.as_str() {
            "before" => Part::Before,
            "after" => Part::After,
            "op" => Part::Op,
            _ => Part::Other,
        };
        let schema = match part {
            Part::Before | Part::After => bind_row(field.schema, row),
            Part::Op | Part::Other => field.schema,
        };
        envelope.push((part, schema));
    }
    match envelope.iter().any(|(part, _)| *part == Part::Op) {
        true => Ok(envelope),
        false => Err("it is no envelope of Debezium: it has no field \"op\"".to_owned()),
    }
}

fn bind_row(schema: Schema, row: &RowColumn) -> Schema {
    match schema {
        Schema::Record(fields) => Schema::Record(bind_fields(fields, row)),
        Schema::Union(branches) => Schema::Union(branches.into_iter().map(|branch| bind_row(branch, row)).collect()),
        other => other,
    }
}

impl MessageDecoder for AvroChanges {
    fn decode(&mut self, message: &[u8], place: &dyn Display) -> Result<bool> {
        let rows = self.row.rows();
        let changed = match named(message) {
            Ok((id, value)) => {
                let envelope = self.envelope(id, place)?;
                self.change(&envelope, value)
            }
            Err(fault) => Err(fault),
        };
        match changed {
            Ok(()) => Ok(false),
            Err(fault) => {
                self.truncate(rows);
                let hint = "'debezium-avro-confluent.ignore-parse-errors' = 'true' skips such messages";
                match self.ignore_parse_errors {
                    true => Ok(true),
                    false => Err(fault.into_error(&place.to_string(), message, hint)),
                }
            }
        }
    }

    fn decode_null(&mut self, place: &dyn Display) -> Result<()> {
        Err(EngineError::Internal(format!("{place}: no row of nulls in a message of changes")))
    }

    fn rows(&self) -> usize {
        self.row.rows()
    }

    fn truncate(&mut self, rows: usize) {
        self.row.truncate(rows);
        self.retracts.truncate(rows);
    }

    fn finish(&mut self) -> Result<Delta> {
        let rows = self.row.rows();
        let arrays = self.row.finish(rows)?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?;
        Ok(Delta::signed(batch, BooleanBuffer::from(std::mem::take(&mut self.retracts))))
    }
}
