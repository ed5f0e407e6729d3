//! [`ProtobufMessageEncoder`]: rows to messages.
//!
//! The arrays of a batch are looked at once ([`Fields`]); then row after row is written.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, StringArray,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Fields as ArrowFields, TimeUnit};
use millstream_engine::error::{EngineError, Result};
use millstream_engine::message::Delta;

use super::ProtobufFormat;
use super::plan::{FieldPlan, MessagePlan, Shape, Value};
use super::wire::{DELIMITED, Datum, Scalar, VARINT, delimited, tag, varint};
use crate::formats::columns::RowColumn;
use crate::formats::message::{MessageEncoder, Messages};

/// See the module.
pub(crate) struct ProtobufMessageEncoder {
    plan: MessagePlan,
    null_literal: String,
}

impl ProtobufMessageEncoder {
    /// An encoder of `columns`.
    ///
    /// # Errors
    /// Where a column has no field in the message.
    pub(crate) fn new(format: &ProtobufFormat, columns: &ArrowFields) -> Result<Self> {
        let row = RowColumn::new(columns.iter().map(AsRef::as_ref), None)?;
        Ok(Self { plan: format.plan(&row)?, null_literal: format.null_literal.clone() })
    }
}

impl MessageEncoder for ProtobufMessageEncoder {
    fn encode(&mut self, delta: &Delta, into: &mut Messages) -> Result<()> {
        let fields = Fields::new(&self.plan, delta.batch.columns(), &self.null_literal)?;
        for row in 0..delta.rows() {
            fields
                .write(row, &mut into.data)
                .map_err(|what| EngineError::Evaluate(format!("the row cannot be written as Protobuf: {what}")))?;
            into.close();
        }
        Ok(())
    }
}

/// The columns of a message.
struct Fields<'a>(Vec<(&'a FieldPlan, Source<'a>)>);

/// An array, as it is read.
struct Source<'a> {
    nulls: Option<NullBuffer>,
    values: Values<'a>,
    null_literal: &'a str,
}

enum Values<'a> {
    Boolean(BooleanArray),
    Integer(Int64Array),
    Decimal(Decimal128Array),
    Float(Float64Array),
    Utf8(StringArray),
    Binary(BinaryArray),
    /// Times since 1970 in parts of a second, of which there are so many.
    Time(Int64Array, i64),
    Row(Fields<'a>),
    /// Where the items of each row end, and the items.
    List(Vec<i32>, Box<Source<'a>>),
    /// The same with keys and values.
    Map(Vec<i32>, Box<(Source<'a>, Source<'a>)>),
}

impl<'a> Fields<'a> {
    fn new(plan: &'a MessagePlan, columns: &[ArrayRef], null_literal: &'a str) -> Result<Self> {
        let field = |(field, array): (&'a FieldPlan, &ArrayRef)| {
            let source = match &field.shape {
                Shape::Unread => return Err(EngineError::Internal("a field without a column".to_owned())),
                Shape::One(value) => Source::new(value, array, null_literal)?,
                Shape::Many(value) => {
                    let list = array.as_list_opt::<i32>().ok_or_else(|| unknown(array))?;
                    let items = Source::new(value, list.values(), null_literal)?;
                    let values = Values::List(list.value_offsets().to_vec(), Box::new(items));
                    Source { nulls: array.nulls().cloned(), values, null_literal }
                }
                Shape::Map(both) => {
                    let map = array.as_map_opt().ok_or_else(|| unknown(array))?;
                    let keys = Source::new(&both.0, map.keys(), null_literal)?;
                    let items = Source::new(&both.1, map.values(), null_literal)?;
                    let values = Values::Map(map.value_offsets().to_vec(), Box::new((keys, items)));
                    Source { nulls: array.nulls().cloned(), values, null_literal }
                }
            };
            Ok((field, source))
        };
        Ok(Self(plan.fields.iter().zip(columns).map(field).collect::<Result<_>>()?))
    }

    /// Appends a message.
    fn write(&self, row: usize, into: &mut Vec<u8>) -> Result<(), String> {
        for (field, source) in &self.0 {
            if source.is_null(row) {
                continue;
            }
            source.write_field(field, row, into).map_err(|what| format!("field \"{}\": {what}", field.name))?;
        }
        Ok(())
    }
}

impl<'a> Source<'a> {
    fn new(value: &'a Value, array: &ArrayRef, null_literal: &'a str) -> Result<Self> {
        let values = match (value, array.data_type()) {
            (Value::Message(plan), DataType::Struct(_)) => {
                Values::Row(Fields::new(plan, array.as_struct().columns(), null_literal)?)
            }
            (Value::Timestamp, DataType::Timestamp(unit, _)) => {
                let second = match unit {
                    TimeUnit::Second => 1,
                    TimeUnit::Millisecond => 1_000,
                    TimeUnit::Microsecond => 1_000_000,
                    TimeUnit::Nanosecond => 1_000_000_000,
                };
                Values::Time(cast(array, &DataType::Int64)?.as_primitive().clone(), second)
            }
            (_, DataType::Boolean) => Values::Boolean(array.as_boolean().clone()),
            (_, DataType::Utf8) => Values::Utf8(array.as_string().clone()),
            (_, DataType::Binary) => Values::Binary(array.as_binary().clone()),
            (_, DataType::Float32 | DataType::Float64) => {
                Values::Float(cast(array, &DataType::Float64)?.as_primitive().clone())
            }
            (_, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64) => {
                Values::Integer(cast(array, &DataType::Int64)?.as_primitive().clone())
            }
            (_, DataType::Decimal128(_, 0)) => Values::Decimal(array.as_primitive().clone()),
            _ => return Err(unknown(array)),
        };
        Ok(Self { nulls: array.nulls().cloned(), values, null_literal })
    }

    fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Appends a field that is not null.
    fn write_field(&self, field: &FieldPlan, row: usize, into: &mut Vec<u8>) -> Result<(), String> {
        match (&field.shape, &self.values) {
            (Shape::Many(value), Values::List(ends, items)) => {
                let items_of = range(ends, row);
                if field.packed && !items_of.is_empty() {
                    tag(field.number, DELIMITED, into);
                    return delimited(into, |into| {
                        items_of.into_iter().try_for_each(|item| items.write(value, item, into))
                    });
                }
                for item in items_of {
                    tag(field.number, field.wire, into);
                    items.write(value, item, into)?;
                }
                Ok(())
            }
            (Shape::Map(plans), Values::Map(ends, entries)) => {
                for entry in range(ends, row) {
                    tag(field.number, DELIMITED, into);
                    delimited(into, |into| {
                        tag(1, plans.0.wire(), into);
                        entries.0.write(&plans.0, entry, into)?;
                        tag(2, plans.1.wire(), into);
                        entries.1.write(&plans.1, entry, into)
                    })?;
                }
                Ok(())
            }
            (Shape::One(value), _) => {
                if field.implicit && self.datum(row).is_some_and(|datum| self.is_zero(value, &datum)) {
                    return Ok(());
                }
                tag(field.number, field.wire, into);
                self.write(value, row, into)
            }
            (Shape::Many(_) | Shape::Map(_) | Shape::Unread, _) => Err("it has no such shape".to_owned()),
        }
    }

    /// Appends a value without its tag. A null, which only items of arrays and maps can be here, is what stands for it.
    fn write(&self, value: &Value, row: usize, into: &mut Vec<u8>) -> Result<(), String> {
        let null = self.is_null(row);
        match (value, &self.values) {
            (Value::Scalar(scalar), _) => self.write_scalar(*scalar, row, into),
            (Value::Wrapper(scalar), _) if !null => delimited(into, |into| {
                tag(1, scalar.wire(), into);
                self.write_scalar(*scalar, row, into)
            }),
            (Value::Enum(_), _) if null => {
                into.push(0);
                Ok(())
            }
            (Value::Enum(names), _) => {
                let number = self.symbol(names, row)?;
                varint(i64::from(number).cast_unsigned(), into);
                Ok(())
            }
            (Value::Message(_), Values::Row(fields)) if !null => delimited(into, |into| fields.write(row, into)),
            (Value::Timestamp, Values::Time(times, second)) if !null => {
                let time = times.value(row);
                let (seconds, part) = (time.div_euclid(*second), time.rem_euclid(*second));
                delimited(into, |into| {
                    for (number, value) in [(1, seconds), (2, part * (1_000_000_000 / second))] {
                        if value != 0 {
                            tag(number, VARINT, into);
                            varint(value.cast_unsigned(), into);
                        }
                    }
                    Ok(())
                })
            }
            // A message without fields.
            (Value::Wrapper(_) | Value::Message(_) | Value::Timestamp, _) => {
                into.push(0);
                Ok(())
            }
        }
    }

    fn write_scalar(&self, scalar: Scalar, row: usize, into: &mut Vec<u8>) -> Result<(), String> {
        let datum = match (self.is_null(row), scalar) {
            (false, _) => self.datum(row),
            (true, Scalar::String) => Some(Datum::Bytes(self.null_literal.as_bytes())),
            (true, Scalar::Bytes) => Some(Datum::Bytes(&[][..])),
            (true, Scalar::Float | Scalar::Double) => Some(Datum::Float(0.0)),
            (true, Scalar::Bool) => Some(Datum::Boolean(false)),
            (true, _) => Some(Datum::Integer(0)),
        };
        let written = datum.and_then(|datum| scalar.write(&datum, into));
        written.ok_or_else(|| format!("the value is out of the range of {scalar:?}").to_lowercase())
    }

    /// A scalar; `None`: it is none, or out of all ranges.
    fn datum(&self, row: usize) -> Option<Datum<&[u8]>> {
        Some(match &self.values {
            Values::Boolean(array) => Datum::Boolean(array.value(row)),
            Values::Integer(array) => Datum::Integer(array.value(row)),
            Values::Decimal(array) => match i64::try_from(array.value(row)) {
                Ok(value) => Datum::Integer(value),
                Err(_) => Datum::Unsigned(u64::try_from(array.value(row)).ok()?),
            },
            Values::Float(array) => Datum::Float(array.value(row)),
            Values::Utf8(array) => Datum::Bytes(array.value(row).as_bytes()),
            Values::Binary(array) => Datum::Bytes(array.value(row)),
            Values::Time(..) | Values::Row(_) | Values::List(..) | Values::Map(..) => return None,
        })
    }

    /// Whether a value is what a field that is not there means.
    fn is_zero(&self, value: &Value, datum: &Datum<&[u8]>) -> bool {
        match (value, datum) {
            (Value::Enum(names), Datum::Bytes(name)) => {
                names.iter().any(|(number, known)| *number == 0 && known.as_bytes() == *name)
            }
            (_, Datum::Integer(value)) => *value == 0,
            (_, Datum::Unsigned(value)) => *value == 0,
            // Minus zero is told.
            (_, Datum::Float(value)) => value.to_bits() == 0,
            (_, Datum::Boolean(value)) => !value,
            (_, Datum::Bytes(value)) => value.is_empty(),
        }
    }

    /// The number of a symbol.
    fn symbol(&self, names: &[(i32, String)], row: usize) -> Result<i32, String> {
        let text = match self.datum(row) {
            Some(Datum::Integer(number)) => return i32::try_from(number).map_err(|_| format!("{number} is no symbol")),
            Some(Datum::Bytes(text)) => std::str::from_utf8(text).unwrap_or_default(),
            Some(Datum::Unsigned(_) | Datum::Float(_) | Datum::Boolean(_)) | None => "",
        };
        let known = names.iter().find(|(_, name)| name == text).map(|(number, _)| *number);
        known.or_else(|| text.parse().ok()).ok_or_else(|| format!("'{text}' is no symbol of the enum"))
    }
}

fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let at = |index: usize| offsets.get(index).and_then(|&offset| usize::try_from(offset).ok()).unwrap_or(0);
    at(row)..at(row + 1)
}

fn unknown(array: &ArrayRef) -> EngineError {
    EngineError::Internal(format!("Protobuf does not carry {}", array.data_type()))
}
