//! [`ProtobufMessages`]: messages to rows.
//!
//! A message is gone over twice: first every field that is read is found, then the columns are filled in their order. So
//! fields may come in any order and more than once, and nothing is kept of the rest.

use std::fmt::Display;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Fields, Schema, SchemaRef};
use millstream_engine::error::Result;
use millstream_engine::message::Delta;

use super::ProtobufFormat;
use super::plan::{Absent, FieldPlan, Found, MessagePlan, Shape, Value};
use super::wire::{DELIMITED, Datum, Raw, Scalar, Wire};
use crate::formats::columns::{Column, RowColumn, Values};
use crate::formats::fault::Fault;
use crate::formats::message::MessageDecoder;
use crate::formats::{WantedColumn, sql_name};

const HINT: &str = "'protobuf.ignore-parse-errors' = 'true' skips such messages";

/// Parts of a second that Protobuf tells.
const NANOS: i64 = 1_000_000_000;

type Step = Result<(), Box<Fault>>;

/// See the module.
pub(crate) struct ProtobufMessages {
    row: RowColumn,
    plan: MessagePlan,
    schema: SchemaRef,
    ignore_parse_errors: bool,
}

impl ProtobufMessages {
    /// A decoder that reads the `wanted` ones of `columns`.
    ///
    /// # Errors
    /// Where a column has no field in the message.
    pub(crate) fn new(format: &ProtobufFormat, columns: &Fields, wanted: &[WantedColumn]) -> Result<Self> {
        let row = RowColumn::record(columns.iter().map(AsRef::as_ref), wanted)?;
        let fields: Vec<_> = wanted.iter().filter_map(|(index, _)| columns.get(*index).cloned()).collect();
        let plan = format.plan(&row)?;
        let ignore_parse_errors = format.ignore_parse_errors;
        Ok(Self { row, plan, schema: Arc::new(Schema::new(fields)), ignore_parse_errors })
    }
}

impl MessageDecoder for ProtobufMessages {
    fn decode(&mut self, message: &[u8], place: &dyn Display) -> Result<bool> {
        let rows = self.row.rows();
        match self.plan.decode(message, (0, message.len()), &mut self.row) {
            Ok(()) => Ok(false),
            Err(fault) => {
                self.row.truncate(rows);
                match self.ignore_parse_errors {
                    true => Ok(true),
                    false => Err(fault.into_error(&place.to_string(), message, HINT)),
                }
            }
        }
    }

    fn decode_null(&mut self, place: &dyn Display) -> Result<()> {
        // A message of no bytes is one without fields.
        self.decode(b"", place).map(|_| ())
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

impl MessagePlan {
    /// Appends the part `span` of a message, which is a message itself, as a row.
    fn decode(&mut self, message: &[u8], span: (usize, usize), row: &mut RowColumn) -> Step {
        self.find(message, span)?;
        for ((field, found), into) in self.fields.iter_mut().zip(&self.found).zip(&mut row.fields) {
            field.push(message, found, &mut into.column).map_err(|fault| fault.inside(&into.name))?;
            if !into.nullable && into.column.last_is_null() {
                let what = "the field is missing, and the column is NOT NULL";
                return Err(Fault::value(span.1, what).inside(&into.name));
            }
        }
        row.end();
        Ok(())
    }

    /// Finds the fields.
    fn find(&mut self, message: &[u8], span: (usize, usize)) -> Step {
        self.reset();
        let mut wire = Wire::new(message, span.0, span.1);
        while !wire.done() {
            let at = wire.at;
            let (number, kind) = wire.tag()?;
            let raw = wire.raw(number, kind)?;
            let Some(index) = self.index(number) else { continue };
            let (Some(field), Some(found)) = (self.fields.get(index), self.found.get_mut(index)) else { continue };
            if kind != field.wire && !(field.packable && kind == DELIMITED) {
                let what =
                    format!("the field \"{}\" has wire type {kind} where {} is declared", field.name, field.wire);
                return Err(Fault::syntax(at, what));
            }
            let first = if found.count == 0 { at } else { found.span.0 };
            *found = Found { count: found.count + 1, span: (first, wire.at), raw };
            for other in &field.others {
                if let Some(other) = self.found.get_mut(*other) {
                    other.count = 0;
                }
            }
        }
        Ok(())
    }
}

impl FieldPlan {
    /// Appends what was found of the field.
    fn push(&mut self, message: &[u8], found: &Found, column: &mut Column) -> Step {
        let number = self.number;
        match (&mut self.shape, found.count) {
            (Shape::Unread, _) => column.push_null(),
            (shape, 0) => return push_absent(shape, &self.absent, column),
            (Shape::One(value), 1) => return value.push(message, found.raw, column),
            (Shape::One(value @ Value::Message(_)), _) => {
                // Several pieces of a message are one: their bytes behind one another mean the same.
                let mut whole = Vec::new();
                each(message, found, number, |_, raw| {
                    whole.extend_from_slice(piece(message, raw));
                    Ok(())
                })?;
                return value.push(&whole, Raw::Bytes(0, whole.len()), column);
            }
            (Shape::One(value), _) => return value.push(message, found.raw, column),
            (Shape::Many(value), _) => {
                let at = found.span.0;
                let (offsets, items) = list(column, at)?;
                each(message, found, number, |kind, raw| value.push_items(message, kind == DELIMITED, raw, items))?;
                offsets.push(end_offset(items.len(), at)?);
                column.set();
            }
            (Shape::Map(both), _) => {
                let at = found.span.0;
                let Values::Map(offsets, entries) = &mut column.values else { return Err(misfit(column, at)) };
                each(message, found, number, |_, raw| both.0.push_entry(&mut both.1, message, raw, entries))?;
                offsets.push(end_offset(entries.0.len(), at)?);
                column.set();
            }
        }
        Ok(())
    }
}

fn push_absent(shape: &mut Shape, absent: &Absent, column: &mut Column) -> Step {
    match (absent, shape) {
        (Absent::Default(datum), Shape::One(value)) => {
            let datum = match datum {
                Datum::Bytes(bytes) => Datum::Bytes(bytes.as_slice()),
                Datum::Integer(value) => Datum::Integer(*value),
                Datum::Unsigned(value) => Datum::Unsigned(*value),
                Datum::Float(value) => Datum::Float(*value),
                Datum::Boolean(value) => Datum::Boolean(*value),
            };
            return value.push_datum(&datum, 0, column);
        }
        (Absent::Empty, Shape::One(value)) => return value.push(&[], Raw::Bytes(0, 0), column),
        (Absent::Empty, Shape::Many(_) | Shape::Map(_)) => {
            let items = match &mut column.values {
                Values::List(offsets, items) => Some((offsets, items.len())),
                Values::Map(offsets, entries) => Some((offsets, entries.0.len())),
                _ => None,
            };
            if let Some((offsets, len)) = items {
                offsets.push(end_offset(len, 0)?);
                column.set();
                return Ok(());
            }
        }
        (Absent::Null | Absent::Default(_) | Absent::Empty, _) => {}
    }
    column.push_null();
    Ok(())
}

impl Value {
    /// Appends a value.
    #[inline]
    fn push(&mut self, message: &[u8], raw: Raw, column: &mut Column) -> Step {
        let (from, to) = match raw {
            Raw::Bytes(from, to) => (from, to),
            Raw::Number(_) | Raw::Group => (0, 0),
        };
        if matches!(raw, Raw::Bytes(..)) != (self.wire() == DELIMITED) {
            return Err(Fault::syntax(from, "invalid Protobuf: a value has another wire type than is declared"));
        }
        match self {
            Self::Scalar(scalar) => {
                let datum = scalar.datum(raw, message);
                push_datum(&datum, from, column)
            }
            Self::Enum(_) => self.push_datum(&Scalar::Int32.datum(raw, message), from, column),
            Self::Message(plan) => {
                let rows = column.len();
                let Values::Row(row) = &mut column.values else { return Err(misfit(column, from)) };
                row.begin(rows);
                plan.decode(message, (from, to), row)?;
                column.set();
                Ok(())
            }
            Self::Timestamp => {
                let [seconds, nanos] = first_two(message, (from, to))?;
                let whole = |raw: Option<Raw>| match raw {
                    Some(Raw::Number(number)) => number.cast_signed(),
                    Some(Raw::Bytes(..) | Raw::Group) | None => 0,
                };
                let (seconds, nanos) = (whole(seconds), whole(nanos));
                match push_timestamp(column, seconds, nanos) {
                    true => Ok(()),
                    false => Err(misfit(column, from)),
                }
            }
            Self::Wrapper(scalar) => {
                let [inner, _] = first_two(message, (from, to))?;
                let datum = scalar.datum(inner.unwrap_or_else(|| zero(scalar.wire())), message);
                push_datum(&datum, from, column)
            }
        }
    }

    /// Appends a scalar or the symbol of an enum.
    fn push_datum(&self, datum: &Datum<&[u8]>, at: usize, column: &mut Column) -> Step {
        let (Self::Enum(names), Datum::Integer(number), Values::Utf8(_)) = (self, datum, &column.values) else {
            return push_datum(datum, at, column);
        };
        let known = i32::try_from(*number).ok();
        let known = known.and_then(|number| names.binary_search_by_key(&number, |(number, _)| *number).ok());
        match known.and_then(|place| names.get(place)) {
            Some((_, name)) => push_datum(&Datum::Bytes(name.as_bytes()), at, column),
            // A later version of the schema may have more symbols: what is not known by name is told by number.
            None => push_datum(&Datum::Bytes(number.to_string().as_bytes()), at, column),
        }
    }

    /// Appends one occurrence of a repeated field: an item, or many numbers in one piece.
    fn push_items(&mut self, message: &[u8], delimited: bool, raw: Raw, items: &mut Column) -> Step {
        let wire = self.wire();
        let (true, Raw::Bytes(from, to)) = (delimited && wire != DELIMITED, raw) else {
            return self.push(message, raw, items);
        };
        let mut packed = Wire::new(message, from, to);
        while !packed.done() {
            let raw = packed.raw(0, wire)?;
            self.push(message, raw, items)?;
        }
        Ok(())
    }

    /// Appends an entry of a map: `self` is the key.
    fn push_entry(&mut self, value: &mut Self, message: &[u8], raw: Raw, into: &mut (Column, Column)) -> Step {
        let Raw::Bytes(from, to) = raw else { return Err(misfit(&into.0, 0)) };
        let [key, found] = first_two(message, (from, to))?;
        let (key, found) = (key.unwrap_or_else(|| zero(self.wire())), found.unwrap_or_else(|| zero(value.wire())));
        self.push(message, key, &mut into.0)?;
        value.push(message, found, &mut into.1)
    }
}

/// What a value that is not there is.
fn zero(wire: u8) -> Raw {
    if wire == DELIMITED { Raw::Bytes(0, 0) } else { Raw::Number(0) }
}

/// Goes over the occurrences of a field: their wire types and values.
fn each(message: &[u8], found: &Found, number: u32, mut one: impl FnMut(u8, Raw) -> Step) -> Step {
    let mut wire = Wire::new(message, found.span.0, found.span.1);
    while !wire.done() {
        let (other, kind) = wire.tag()?;
        let raw = wire.raw(other, kind)?;
        if other == number {
            one(kind, raw)?;
        }
    }
    Ok(())
}

/// The last values of the fields 1 and 2.
fn first_two(message: &[u8], span: (usize, usize)) -> Result<[Option<Raw>; 2], Box<Fault>> {
    let mut found = [None, None];
    let mut wire = Wire::new(message, span.0, span.1);
    while !wire.done() {
        let (number, kind) = wire.tag()?;
        let raw = wire.raw(number, kind)?;
        match number {
            1 => found[0] = Some(raw),
            2 => found[1] = Some(raw),
            _ => {}
        }
    }
    Ok(found)
}

fn piece(message: &[u8], raw: Raw) -> &[u8] {
    match raw {
        Raw::Bytes(from, to) => message.get(from..to).unwrap_or_default(),
        Raw::Number(_) | Raw::Group => &[],
    }
}

#[inline]
fn push_datum(datum: &Datum<&[u8]>, at: usize, column: &mut Column) -> Step {
    let fits = match datum {
        Datum::Integer(value) => column.push_integer(*value),
        Datum::Unsigned(value) => match i64::try_from(*value) {
            Ok(value) => column.push_integer(value),
            Err(_) => column.push_decimal(i128::from(*value), 0),
        },
        Datum::Float(value) => column.push_float(*value),
        Datum::Boolean(value) => column.push_bool(*value),
        Datum::Bytes(value) => column.push_bytes(value),
    };
    if fits { Ok(()) } else { Err(misfit(column, at)) }
}

fn push_timestamp(column: &mut Column, seconds: i64, nanos: i64) -> bool {
    let Values::Timestamp(..) = &column.values else { return false };
    // Where nanoseconds cannot tell the time, microseconds do.
    match seconds.checked_mul(NANOS).and_then(|time| time.checked_add(nanos)) {
        Some(time) => column.push_timestamp(time, NANOS),
        None => {
            let time = seconds.checked_mul(1_000_000).and_then(|time| time.checked_add(nanos.div_euclid(1_000)));
            time.is_some_and(|time| column.push_timestamp(time, 1_000_000))
        }
    }
}

fn list(column: &mut Column, at: usize) -> Result<(&mut Vec<i32>, &mut Column), Box<Fault>> {
    match &mut column.values {
        Values::List(offsets, items) => Ok((offsets, items)),
        _ => Err(Fault::value(at, "a repeated field is no ARRAY")),
    }
}

fn misfit(column: &Column, at: usize) -> Box<Fault> {
    Fault::value(at, format!("the value does not fit into {}", sql_name(column.data_type())))
}

fn end_offset(len: usize, at: usize) -> Result<i32, Box<Fault>> {
    i32::try_from(len).map_err(|_| Fault::value(at, "too many items for one batch"))
}
