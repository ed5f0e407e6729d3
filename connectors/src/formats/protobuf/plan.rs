//! [`MessagePlan`]: which field of a message goes to which column, and how.
//!
//! Made once from the descriptor; [`super::decode`] and [`super::encode`] follow it without looking at names again.

use arrow::datatypes::DataType;
use millstream_engine::error::{EngineError, Result};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, Value as Default};

use super::wire::{DELIMITED, Datum, Raw, Scalar, VARINT};
use crate::formats::columns::{Column, RowColumn, Values};
use crate::formats::sql_name;

/// Field numbers below this are found without a search.
const DENSE: u32 = 256;

/// See the module.
#[derive(Debug)]
pub(super) struct MessagePlan {
    /// By field number below [`DENSE`] one more than the field's index in `fields`; 0: not read.
    dense: Vec<u16>,
    /// The other numbers with their indexes, in order.
    sparse: Vec<(u32, u16)>,
    /// First the field of each column, in the columns' order; then fields that only take the place of others.
    pub(super) fields: Vec<FieldPlan>,
    /// What the running message has of each field.
    pub(super) found: Vec<Found>,
}

/// A field.
#[derive(Debug)]
pub(super) struct FieldPlan {
    pub(super) number: u32,
    pub(super) name: String,
    pub(super) shape: Shape,
    /// The wire type of one value.
    pub(super) wire: u8,
    /// Numbers that may stand one behind the other in one piece.
    pub(super) packable: bool,
    /// Written so.
    pub(super) packed: bool,
    /// Zero and not being there are the same.
    pub(super) implicit: bool,
    /// Fields of the same oneof, which go when this one comes.
    pub(super) others: Vec<usize>,
    /// What there is when the field is not there.
    pub(super) absent: Absent,
}

/// How often a field may come.
#[derive(Debug)]
pub(super) enum Shape {
    /// It is not read.
    Unread,
    /// The last one counts.
    One(Value),
    /// ARRAY.
    Many(Value),
    /// MAP: keys and values.
    Map(Box<(Value, Value)>),
}

/// What a value is.
#[derive(Debug)]
pub(super) enum Value {
    /// A number, string, …
    Scalar(Scalar),
    /// Numbers and names of an enum, in the order of the numbers.
    Enum(Vec<(i32, String)>),
    /// ROW.
    Message(Box<MessagePlan>),
    /// `google.protobuf.Timestamp` as TIMESTAMP.
    Timestamp,
    /// `google.protobuf.Int64Value` and its kin: a message that holds one scalar.
    Wrapper(Scalar),
}

/// What there is when a field is not there.
#[derive(Debug)]
pub(super) enum Absent {
    Null,
    /// No items; of a message: one of defaults.
    Empty,
    Default(Datum<Vec<u8>>),
}

/// What the running message has of a field.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    /// How often it came.
    pub(super) count: u32,
    /// Where the first one begins, with its tag, and the last one ends.
    pub(super) span: (usize, usize),
    /// The last value.
    pub(super) raw: Raw,
}

impl Found {
    const NOTHING: Self = Self { count: 0, span: (0, 0), raw: Raw::Number(0) };
}

impl MessagePlan {
    /// Finds for each field of a ROW, or column of a table, the field of the message.
    ///
    /// # Errors
    /// Where there is none, or it does not fit.
    pub(super) fn bind(message: &MessageDescriptor, row: &RowColumn, defaults: bool) -> Result<Self> {
        let mut plan = Self { dense: Vec::new(), sparse: Vec::new(), fields: Vec::new(), found: Vec::new() };
        let mut bound: Vec<FieldDescriptor> = Vec::with_capacity(row.fields.len());
        for into in &row.fields {
            let field = field_of(message, &into.name)?;
            let shape = shape(&field, &into.column, defaults)?;
            plan.fields.push(FieldPlan::new(&field, shape, into.nullable, defaults));
            bound.push(field);
        }
        for field in message.fields() {
            let shares = |other: &FieldDescriptor| {
                field.containing_oneof().is_some() && other.containing_oneof() == field.containing_oneof()
            };
            if !bound.contains(&field) && bound.iter().any(shares) {
                plan.fields.push(FieldPlan::new(&field, Shape::Unread, true, false));
                bound.push(field);
            }
        }
        for (index, field) in bound.iter().enumerate() {
            let Some(oneof) = field.containing_oneof() else { continue };
            let same = |(_, other): &(usize, &FieldDescriptor)| other.containing_oneof().as_ref() == Some(&oneof);
            let others = bound.iter().enumerate().filter(same).map(|(other, _)| other).filter(|other| *other != index);
            if let Some(planned) = plan.fields.get_mut(index) {
                planned.others = others.collect();
            }
        }
        plan.found = vec![Found::NOTHING; plan.fields.len()];
        plan.number();
        Ok(plan)
    }

    /// Makes the tables of numbers.
    fn number(&mut self) {
        for (index, field) in self.fields.iter().enumerate() {
            let Ok(index) = u16::try_from(index) else { continue };
            match usize::try_from(field.number).ok().filter(|_| field.number < DENSE) {
                Some(place) => {
                    self.dense.resize(self.dense.len().max(place + 1), 0);
                    if let Some(entry) = self.dense.get_mut(place) {
                        *entry = index + 1;
                    }
                }
                None => self.sparse.push((field.number, index)),
            }
        }
        self.sparse.sort_unstable();
    }

    /// The index of the field with this number, where it is read.
    #[inline]
    pub(super) fn index(&self, number: u32) -> Option<usize> {
        if number < DENSE {
            let entry = *self.dense.get(usize::try_from(number).ok()?)?;
            return usize::from(entry).checked_sub(1);
        }
        let place = self.sparse.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        self.sparse.get(place).map(|(_, index)| usize::from(*index))
    }

    /// Forgets the last message.
    #[inline]
    pub(super) fn reset(&mut self) {
        self.found.fill(Found::NOTHING);
    }
}

impl Value {
    /// The wire type of one value.
    pub(super) fn wire(&self) -> u8 {
        match self {
            Self::Scalar(scalar) => scalar.wire(),
            Self::Enum(_) => VARINT,
            Self::Message(_) | Self::Timestamp | Self::Wrapper(_) => DELIMITED,
        }
    }
}

impl FieldPlan {
    fn new(field: &FieldDescriptor, shape: Shape, nullable: bool, defaults: bool) -> Self {
        let kind = field.kind();
        let wire = match &kind {
            Kind::Message(_) => DELIMITED,
            Kind::Enum(_) => VARINT,
            scalar => Scalar::of(scalar).map_or(DELIMITED, Scalar::wire),
        };
        let repeated = field.is_list() || field.is_map();
        let implicit = !repeated && !field.supports_presence();
        let absent = match (&kind, repeated) {
            (_, true) if defaults || !nullable => Absent::Empty,
            (Kind::Message(_), false) if defaults => Absent::Empty,
            (_, true) | (Kind::Message(_), false) => Absent::Null,
            (_, false) if defaults || implicit => Absent::Default(default_of(field.default_value())),
            (_, false) => Absent::Null,
        };
        Self {
            number: field.number(),
            name: field.name().to_owned(),
            shape,
            wire,
            packable: field.is_list() && wire != DELIMITED,
            packed: field.is_packed(),
            implicit,
            others: Vec::new(),
            absent,
        }
    }
}

/// The field with the name of a column: its own or its JSON name, else one that differs in case alone.
fn field_of(message: &MessageDescriptor, name: &str) -> Result<FieldDescriptor> {
    if let Some(field) = message.get_field_by_name(name).or_else(|| message.get_field_by_json_name(name)) {
        return Ok(field);
    }
    let mut alike = message.fields().filter(|field| field.name().eq_ignore_ascii_case(name));
    match (alike.next(), alike.next()) {
        (Some(only), None) => Ok(only),
        _ => {
            let names: Vec<String> = message.fields().map(|field| field.name().to_owned()).collect();
            Err(EngineError::Config {
                message: format!("the Protobuf message {} has no field \"{name}\"", message.full_name()),
                hint: Some(format!("its fields are {}", names.join(", "))),
            })
        }
    }
}

fn misfit(field: &FieldDescriptor, column: &Column) -> EngineError {
    let kind = match (field.is_map(), field.is_list()) {
        (true, _) => "map".to_owned(),
        (_, true) => format!("repeated {:?}", field.kind()),
        _ => format!("{:?}", field.kind()),
    };
    EngineError::config(format!(
        "the Protobuf field \"{}\" of type {kind} cannot be a column of type {}",
        field.name(),
        sql_name(column.data_type())
    ))
}

fn shape(field: &FieldDescriptor, column: &Column, defaults: bool) -> Result<Shape> {
    let kind = field.kind();
    if let (true, Kind::Message(entry), Values::Map(_, entries)) = (field.is_map(), &kind, &column.values) {
        let key = value(&entry.map_entry_key_field(), &entries.0, defaults)?;
        let value = value(&entry.map_entry_value_field(), &entries.1, defaults)?;
        return Ok(Shape::Map(Box::new((key, value))));
    }
    if field.is_group() {
        return Err(misfit(field, column));
    }
    match (field.is_list() || field.is_map(), &column.values) {
        (true, Values::List(_, items)) => Ok(Shape::Many(value(field, items, defaults)?)),
        (true, _) => Err(misfit(field, column)),
        (false, _) => Ok(Shape::One(value(field, column, defaults)?)),
    }
}

fn value(field: &FieldDescriptor, column: &Column, defaults: bool) -> Result<Value> {
    let data_type = column.data_type();
    let refused = || misfit(field, column);
    match field.kind() {
        Kind::Message(message) => match (message.full_name(), &column.values) {
            (_, Values::Row(row)) => Ok(Value::Message(Box::new(MessagePlan::bind(&message, row, defaults)?))),
            ("google.protobuf.Timestamp", Values::Timestamp(..)) => Ok(Value::Timestamp),
            (name, _) => match wrapped(name).filter(|scalar| fits(*scalar, data_type)) {
                Some(scalar) => Ok(Value::Wrapper(scalar)),
                None => Err(refused()),
            },
        },
        Kind::Enum(of) => match data_type {
            DataType::Utf8 | DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                let mut names: Vec<(i32, String)> = Vec::new();
                for known in of.values() {
                    // Of several names for a number the first is written.
                    if names.iter().all(|(number, _)| *number != known.number()) {
                        names.push((known.number(), known.name().to_owned()));
                    }
                }
                names.sort_unstable();
                Ok(Value::Enum(names))
            }
            _ => Err(refused()),
        },
        scalar => {
            let scalar = Scalar::of(&scalar).filter(|scalar| fits(*scalar, data_type));
            scalar.map(Value::Scalar).ok_or_else(refused)
        }
    }
}

/// The scalar in a message of the well-known wrappers.
fn wrapped(name: &str) -> Option<Scalar> {
    Some(match name.strip_prefix("google.protobuf.")? {
        "DoubleValue" => Scalar::Double,
        "FloatValue" => Scalar::Float,
        "Int64Value" => Scalar::Int64,
        "UInt64Value" => Scalar::Uint64,
        "Int32Value" => Scalar::Int32,
        "UInt32Value" => Scalar::Uint32,
        "BoolValue" => Scalar::Bool,
        "StringValue" => Scalar::String,
        "BytesValue" => Scalar::Bytes,
        _ => return None,
    })
}

fn fits(scalar: Scalar, data_type: &DataType) -> bool {
    match scalar {
        Scalar::Bool => data_type == &DataType::Boolean,
        Scalar::String => data_type == &DataType::Utf8,
        Scalar::Bytes => data_type == &DataType::Binary,
        Scalar::Float | Scalar::Double => matches!(data_type, DataType::Float32 | DataType::Float64),
        Scalar::Int32
        | Scalar::Int64
        | Scalar::Uint32
        | Scalar::Uint64
        | Scalar::Sint32
        | Scalar::Sint64
        | Scalar::Fixed32
        | Scalar::Fixed64
        | Scalar::Sfixed32
        | Scalar::Sfixed64 => {
            matches!(data_type, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64)
                || matches!(data_type, DataType::Decimal128(_, 0))
        }
    }
}

fn default_of(value: Default) -> Datum<Vec<u8>> {
    match value {
        Default::Bool(value) => Datum::Boolean(value),
        Default::I32(value) | Default::EnumNumber(value) => Datum::Integer(i64::from(value)),
        Default::I64(value) => Datum::Integer(value),
        Default::U32(value) => Datum::Integer(i64::from(value)),
        Default::U64(value) => Datum::Unsigned(value),
        Default::F32(value) => Datum::Float(f64::from(value)),
        Default::F64(value) => Datum::Float(value),
        Default::String(value) => Datum::Bytes(value.into_bytes()),
        Default::Bytes(value) => Datum::Bytes(value.to_vec()),
        Default::Message(_) | Default::List(_) | Default::Map(_) => Datum::Integer(0),
    }
}
