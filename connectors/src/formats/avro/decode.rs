//! [`AvroMessages`]: messages to rows.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Fields, Schema as ArrowSchema, SchemaRef};
use millstream_engine::error::{EngineError, Result};
use millstream_engine::message::Delta;

use super::AvroFormat;
use super::bind::bind;
use super::read::{Bytes, unscaled};
use super::registry::Registry;
use super::schema::{Logical, Schema, SchemaField};
use crate::formats::columns::{Column, RowColumn, Values};
use crate::formats::fault::Fault;
use crate::formats::message::MessageDecoder;
use crate::formats::{WantedColumn, sql_name};

/// A part of a message was read, or what is wrong with it.
pub(super) type Step = Result<(), Box<Fault>>;

/// The id of the schema of a message, and its value.
type Opened<'m> = Result<(u32, &'m [u8]), Box<Fault>>;

/// Bytes before the value of a message that names its schema: a zero and the id of the schema.
const HEADER: usize = 5;

/// See the module.
pub(crate) struct AvroMessages {
    row: RowColumn,
    schema: SchemaRef,
    ignore_parse_errors: bool,
    registry: Option<Arc<Registry>>,
    /// Schemas bound to the columns, by id; under 0 the one that follows from the columns.
    bound: HashMap<u32, Schema>,
    hint: String,
}

impl AvroMessages {
    /// A decoder that reads the `wanted` ones of `columns`.
    ///
    /// # Errors
    /// Where Avro cannot carry a column.
    pub(crate) fn new(format: &AvroFormat, columns: &Fields, wanted: &[WantedColumn]) -> Result<Self> {
        let row = RowColumn::record(columns.iter().map(AsRef::as_ref), wanted)?;
        let fields: Vec<_> = wanted.iter().filter_map(|(index, _)| columns.get(*index).cloned()).collect();
        let mut bound = HashMap::new();
        if format.registry.is_none() {
            let own = Schema::parse(&format.written(columns)?).map_err(EngineError::Internal)?;
            bound.insert(0, bind(own, &row).map_err(EngineError::Internal)?);
        }
        Ok(Self {
            row,
            schema: Arc::new(ArrowSchema::new(fields)),
            ignore_parse_errors: format.ignore_parse_errors,
            registry: format.registry.clone(),
            bound,
            hint: format!("'{}.ignore-parse-errors' = 'true' skips such messages", format.name()),
        })
    }

    /// Reads records that were written with this schema.
    ///
    /// # Errors
    /// Where the text is no schema of records.
    pub(super) fn bind_to(&mut self, schema: &str) -> Result<(), String> {
        let bound = bind(Schema::parse(schema)?, &self.row)?;
        self.bound.insert(0, bound);
        Ok(())
    }

    /// Takes so many records that stand one behind the other.
    pub(super) fn records(&mut self, count: u64, bytes: &[u8]) -> Step {
        let Some(Schema::Record(fields)) = self.bound.get(&0) else {
            return Err(Fault::syntax(0, "the schema of the file is no record"));
        };
        let mut bytes = Bytes::new(bytes);
        for _ in 0..count {
            record(&mut bytes, fields, &mut self.row)?;
        }
        match bytes.left() {
            0 => Ok(()),
            left => Err(Fault::syntax(bytes.at, format!("invalid Avro: {left} bytes follow the records of a block"))),
        }
    }

    /// The id of the schema of a message, which is bound then, and the value.
    fn open<'m>(&mut self, message: &'m [u8], place: &dyn Display) -> Result<Opened<'m>> {
        let Some(registry) = &self.registry else { return Ok(Ok((0, message))) };
        let (id, value) = match named(message) {
            Ok(named) => named,
            Err(fault) => return Ok(Err(fault)),
        };
        if !self.bound.contains_key(&id) {
            let schema = registry.schema(id).map_err(|error| EngineError::io(place, error))?;
            let schema = bind(schema, &self.row)
                .map_err(|what| EngineError::config(format!("{place}: the schema with id {id}: {what}")))?;
            self.bound.insert(id, schema);
        }
        Ok(Ok((id, value)))
    }

    fn record(&mut self, id: u32, value: &[u8]) -> Step {
        let Some(Schema::Record(fields)) = self.bound.get(&id) else {
            return Err(Fault::syntax(0, "the schema of the message is no record"));
        };
        let mut bytes = Bytes::new(value);
        record(&mut bytes, fields, &mut self.row)?;
        match bytes.left() {
            0 => Ok(()),
            left => Err(Fault::syntax(bytes.at, format!("invalid Avro: {left} bytes follow the record"))),
        }
    }

    fn keep(&mut self, rows: usize, fault: Fault, message: &[u8], place: &dyn Display) -> Result<bool> {
        self.row.truncate(rows);
        match self.ignore_parse_errors {
            true => Ok(true),
            false => Err(fault.into_error(&place.to_string(), message, &self.hint)),
        }
    }
}

impl MessageDecoder for AvroMessages {
    fn decode(&mut self, message: &[u8], place: &dyn Display) -> Result<bool> {
        let rows = self.row.rows();
        let decoded = self.open(message, place)?.and_then(|(id, value)| self.record(id, value));
        match decoded {
            Ok(()) => Ok(false),
            Err(fault) => self.keep(rows, *fault, message, place),
        }
    }

    fn decode_null(&mut self, place: &dyn Display) -> Result<()> {
        let rows = self.row.rows();
        match complete(&mut self.row, rows, 0) {
            Ok(()) => {
                self.row.end();
                Ok(())
            }
            Err(fault) => self.keep(rows, *fault, b"", place).map(|_| ()),
        }
    }

    fn rows(&self) -> usize {
        self.row.rows()
    }

    fn truncate(&mut self, rows: usize) {
        self.row.truncate(rows);
    }

    fn finish(&mut self) -> Result<Delta> {
        let rows = self.row.rows();
        let arrays = self.row.finish(rows)?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(Delta::append(RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?))
    }
}

/// The id of the schema that a message names, and the value behind it.
///
/// # Errors
/// Where it names none.
pub(super) fn named(message: &[u8]) -> Result<(u32, &[u8]), Box<Fault>> {
    match (message.first_chunk::<HEADER>(), message.get(HEADER..)) {
        (Some(&[0, a, b, c, d]), Some(value)) => Ok((u32::from_be_bytes([a, b, c, d]), value)),
        _ => Err(Fault::syntax(0, "the message does not begin with a zero and the id of a schema")),
    }
}

/// Appends a record as a row.
///
/// # Errors
/// Where it does not fit, or ends too early.
pub(super) fn record(bytes: &mut Bytes<'_>, fields: &[SchemaField], row: &mut RowColumn) -> Step {
    let base = row.rows();
    for field in fields {
        match field.slot.and_then(|slot| row.fields.get_mut(slot)) {
            None => value(bytes, &field.schema, None)?,
            Some(into) => {
                let at = bytes.at;
                value(bytes, &field.schema, Some(&mut into.column)).map_err(|fault| fault.inside(&field.name))?;
                if !into.nullable && into.column.last_is_null() {
                    return Err(Fault::value(at, "null in a NOT NULL column").inside(&into.name));
                }
            }
        }
    }
    complete(row, base, bytes.at)?;
    row.end();
    Ok(())
}

/// Fills the columns that the record does not have with null.
fn complete(row: &mut RowColumn, base: usize, at: usize) -> Step {
    for field in &mut row.fields {
        if field.column.len() > base {
            continue;
        }
        if !field.nullable {
            return Err(Fault::value(at, "the field is missing, and the column is NOT NULL").inside(&field.name));
        }
        field.column.push_null();
    }
    Ok(())
}

/// Appends a value to `column`, or passes it where there is none.
///
/// # Errors
/// Where it does not fit, or ends too early.
pub(super) fn value(bytes: &mut Bytes<'_>, schema: &Schema, column: Option<&mut Column>) -> Step {
    let at = bytes.at;
    match schema {
        Schema::Null => {
            if let Some(column) = column {
                column.push_null();
            }
            Ok(())
        }
        Schema::Union(branches) => {
            let branch = usize::try_from(bytes.long()?).ok().and_then(|index| branches.get(index));
            let branch = branch.ok_or_else(|| Fault::syntax(at, "invalid Avro: a union has no such branch"))?;
            value(bytes, branch, column)
        }
        Schema::Boolean => {
            let [byte] = bytes.array()?;
            put(column, at, "a boolean", |column| column.push_bool(byte != 0))
        }
        Schema::Integer(logical) => {
            let number = bytes.long()?;
            put(column, at, "a number", |column| integer(column, number, *logical))
        }
        Schema::Float => {
            let number = f64::from(bytes.float()?);
            put(column, at, "a float", |column| column.push_float(number))
        }
        Schema::Double => {
            let number = bytes.double()?;
            put(column, at, "a double", |column| column.push_float(number))
        }
        Schema::Bytes(logical) => {
            let found = bytes.bytes()?;
            put(column, at, "bytes", |column| byte_string(column, found, *logical))
        }
        Schema::Fixed(size, logical) => {
            let found = bytes.take(*size)?;
            put(column, at, "bytes", |column| byte_string(column, found, *logical))
        }
        Schema::String => {
            let found = bytes.bytes()?;
            put(column, at, "a string", |column| column.push_bytes(found))
        }
        Schema::Enum(symbols) => {
            let symbol = usize::try_from(bytes.long()?).ok().and_then(|index| symbols.get(index));
            let symbol = symbol.ok_or_else(|| Fault::syntax(at, "invalid Avro: an enum has no such symbol"))?;
            put(column, at, "a symbol", |column| column.push_bytes(symbol.as_bytes()))
        }
        Schema::Array(item) => array(bytes, item, column),
        Schema::Map(item) => map(bytes, item, column),
        Schema::Record(fields) => row(bytes, fields, column),
    }
}

fn put(column: Option<&mut Column>, at: usize, found: &str, push: impl FnOnce(&mut Column) -> bool) -> Step {
    let Some(column) = column else { return Ok(()) };
    if push(column) { Ok(()) } else { Err(misfit(column, at, found)) }
}

fn misfit(column: &Column, at: usize, found: &str) -> Box<Fault> {
    Fault::value(at, format!("expected {}, found {found} that does not fit", sql_name(column.data_type())))
}

fn integer(column: &mut Column, number: i64, logical: Logical) -> bool {
    match logical {
        Logical::Plain | Logical::Decimal(_) => column.push_integer(number),
        Logical::Date => i32::try_from(number).is_ok_and(|days| column.push_date(days)),
        Logical::Time(unit) => column.push_time(number, unit),
        Logical::Timestamp(unit) => column.push_timestamp(number, unit),
    }
}

fn byte_string(column: &mut Column, found: &[u8], logical: Logical) -> bool {
    match logical {
        Logical::Decimal(scale) => unscaled(found).is_some_and(|number| column.push_decimal(number, scale)),
        Logical::Plain | Logical::Date | Logical::Time(_) | Logical::Timestamp(_) => column.push_bytes(found),
    }
}

fn row(bytes: &mut Bytes<'_>, fields: &[SchemaField], column: Option<&mut Column>) -> Step {
    let at = bytes.at;
    let Some(column) = column else {
        return fields.iter().try_for_each(|field| value(bytes, &field.schema, None));
    };
    let rows = column.len();
    let Values::Row(inner) = &mut column.values else { return Err(misfit(column, at, "a record")) };
    inner.begin(rows);
    record(bytes, fields, inner)?;
    column.set();
    Ok(())
}

fn array(bytes: &mut Bytes<'_>, item: &Schema, column: Option<&mut Column>) -> Step {
    let at = bytes.at;
    let Some(column) = column else { return items(bytes, |bytes| value(bytes, item, None)) };
    let Values::List(offsets, inner) = &mut column.values else { return Err(misfit(column, at, "an array")) };
    items(bytes, |bytes| value(bytes, item, Some(&mut *inner)))?;
    offsets.push(end_offset(inner.len(), at)?);
    column.set();
    Ok(())
}

fn map(bytes: &mut Bytes<'_>, item: &Schema, column: Option<&mut Column>) -> Step {
    let at = bytes.at;
    let Some(column) = column else {
        return items(bytes, |bytes| {
            bytes.bytes()?;
            value(bytes, item, None)
        });
    };
    let Values::Map(offsets, entries) = &mut column.values else { return Err(misfit(column, at, "a map")) };
    items(bytes, |bytes| {
        let at = bytes.at;
        let key = bytes.bytes()?;
        if !entries.0.push_bytes(key) {
            return Err(misfit(&entries.0, at, "a string"));
        }
        value(bytes, item, Some(&mut entries.1))
    })?;
    offsets.push(end_offset(entries.0.len(), at)?);
    column.set();
    Ok(())
}

/// Reads the items of all blocks.
fn items(bytes: &mut Bytes<'_>, mut item: impl FnMut(&mut Bytes<'_>) -> Step) -> Step {
    loop {
        let count = bytes.block()?;
        if count == 0 {
            return Ok(());
        }
        for _ in 0..count {
            let (at, left) = (bytes.at, bytes.left());
            item(bytes)?;
            // Items of no bytes (null, empty records) could be as many as a number can say.
            if bytes.at == at && count > left as u64 + 1024 {
                return Err(Fault::syntax(at, "invalid Avro: more items than the message can hold"));
            }
        }
    }
}

fn end_offset(len: usize, at: usize) -> Result<i32, Box<Fault>> {
    i32::try_from(len).map_err(|_| Fault::value(at, "too many items for one batch"))
}
