//! [`AvroMessageEncoder`]: rows to messages.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StringArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Fields, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use millstream_engine::error::{EngineError, Result};
use millstream_engine::message::Delta;

use super::AvroFormat;
use super::registry::Registry;
use super::schema::{Logical, Schema, SchemaField};
use crate::formats::message::{MessageEncoder, Messages};
use crate::formats::sql_name;

/// See the module.
pub(crate) struct AvroMessageEncoder {
    fields: Vec<SchemaField>,
    /// Where the schema is to be registered, under which name, and its text. Done with the first rows.
    unregistered: Option<(Arc<Registry>, String, String)>,
    /// What each message begins with.
    header: Vec<u8>,
    /// The records are envelopes that tell of changes.
    changes: bool,
}

impl AvroMessageEncoder {
    /// An encoder of `columns`.
    ///
    /// # Errors
    /// Where Avro cannot carry a column, or the registry's name for the schema is not known.
    pub(crate) fn new(format: &AvroFormat, columns: &Fields) -> Result<Self> {
        let text = format.written(columns)?;
        let Schema::Record(fields) = Schema::parse(&text).map_err(EngineError::config)? else {
            return Err(EngineError::config(format!("option \"{}.schema\" is no record", format.name())));
        };
        let unregistered = match &format.registry {
            None => None,
            Some(registry) => {
                let subject = format.subject.clone();
                let subject = subject
                    .ok_or_else(|| EngineError::config(format!("option \"{}.subject\" is missing", format.name())))?;
                Some((Arc::clone(registry), subject, text))
            }
        };
        Ok(Self { fields, unregistered, header: Vec::new(), changes: format.tells_changes() })
    }
}

impl MessageEncoder for AvroMessageEncoder {
    fn encode(&mut self, delta: &Delta, into: &mut Messages) -> Result<()> {
        if let Some((registry, subject, text)) = &self.unregistered {
            let id = registry.register(subject, text)?;
            self.header = [&[0], id.to_be_bytes().as_slice()].concat();
            self.unregistered = None;
        }
        for row in 0..delta.rows() {
            into.data.extend_from_slice(&self.header);
            for field in &self.fields {
                let written = match self.changes {
                    false => value(&field.schema, delta.batch.column_by_name(&field.name), row, &mut into.data),
                    true => part(field, delta, row, &mut into.data),
                };
                written.map_err(|what| {
                    EngineError::Evaluate(format!("column \"{}\" cannot be written as Avro: {what}", field.name))
                })?;
            }
            into.close();
        }
        Ok(())
    }
}

/// Appends a field of an envelope.
fn part(field: &SchemaField, delta: &Delta, row: usize, into: &mut Vec<u8>) -> Result<(), String> {
    let retract = delta.is_retract(row);
    match field.name.as_str() {
        "before" => whole(&field.schema, Some(delta).filter(|_| retract), row, into),
        "after" => whole(&field.schema, Some(delta).filter(|_| !retract), row, into),
        "op" => {
            let op: ArrayRef = Arc::new(StringArray::from(vec![if retract { "d" } else { "c" }]));
            value(&field.schema, Some(&op), 0, into)
        }
        _ => value(&field.schema, None, row, into),
    }
}

/// Appends a whole row, or null.
fn whole(schema: &Schema, delta: Option<&Delta>, row: usize, into: &mut Vec<u8>) -> Result<(), String> {
    match (schema, delta) {
        (Schema::Record(fields), Some(delta)) => {
            fields.iter().try_for_each(|field| value(&field.schema, delta.batch.column_by_name(&field.name), row, into))
        }
        (Schema::Union(branches), _) => {
            let fits = |branch: &Schema| matches!(branch, Schema::Null) == delta.is_none();
            let index = branches.iter().position(fits).ok_or("its schema has no branch for it")?;
            long(i64::try_from(index).unwrap_or_default(), into);
            branches.get(index).map_or(Ok(()), |branch| whole(branch, delta, row, into))
        }
        (Schema::Null, None) => Ok(()),
        _ => Err("its schema is no row that may be null".to_owned()),
    }
}

/// Appends a value; no array is a column of nulls.
fn value(schema: &Schema, array: Option<&ArrayRef>, row: usize, into: &mut Vec<u8>) -> Result<(), String> {
    let present = array.filter(|array| array.is_valid(row));
    match schema {
        Schema::Union(branches) => {
            let fits = |branch: &Schema| match present {
                None => matches!(branch, Schema::Null),
                Some(_) => !matches!(branch, Schema::Null),
            };
            let index = branches.iter().position(fits).ok_or("its schema has no branch for it")?;
            long(i64::try_from(index).unwrap_or_default(), into);
            branches.get(index).map_or(Ok(()), |branch| value(branch, array, row, into))
        }
        Schema::Null if present.is_none() => Ok(()),
        _ => match present {
            Some(array) => some(schema, array, row, into),
            None => Err("null, which its schema does not allow".to_owned()),
        },
    }
}

/// Appends a value that is not null.
fn some(schema: &Schema, array: &ArrayRef, row: usize, into: &mut Vec<u8>) -> Result<(), String> {
    let misfit = || format!("a {} does not fit its schema", sql_name(array.data_type()));
    match schema {
        Schema::Null | Schema::Union(_) => Err(misfit()),
        Schema::Boolean => {
            into.push(u8::from(array.as_boolean_opt().ok_or_else(misfit)?.value(row)));
            Ok(())
        }
        Schema::Integer(logical) => {
            long(integer(array, row, *logical).ok_or_else(misfit)?, into);
            Ok(())
        }
        Schema::Float => {
            let number = array.as_primitive_opt::<Float32Type>().ok_or_else(misfit)?.value(row);
            into.extend_from_slice(&number.to_le_bytes());
            Ok(())
        }
        Schema::Double => {
            let number = match array.data_type() {
                DataType::Float32 => f64::from(array.as_primitive::<Float32Type>().value(row)),
                _ => array.as_primitive_opt::<Float64Type>().ok_or_else(misfit)?.value(row),
            };
            into.extend_from_slice(&number.to_le_bytes());
            Ok(())
        }
        Schema::Bytes(Logical::Decimal(_)) => {
            let number = array.as_primitive_opt::<Decimal128Type>().ok_or_else(misfit)?.value(row);
            bytes(shortest(&number.to_be_bytes()), into);
            Ok(())
        }
        Schema::Bytes(_) | Schema::String => {
            match array.data_type() {
                DataType::Utf8 => bytes(array.as_string::<i32>().value(row).as_bytes(), into),
                DataType::Binary => bytes(array.as_binary::<i32>().value(row), into),
                _ => return Err(misfit()),
            }
            Ok(())
        }
        Schema::Enum(symbols) => {
            let text = array.as_string_opt::<i32>().ok_or_else(misfit)?.value(row);
            let index = symbols.iter().position(|symbol| symbol == text);
            let index = index.ok_or_else(|| format!("'{text}' is no symbol of its enum"))?;
            long(i64::try_from(index).unwrap_or_default(), into);
            Ok(())
        }
        Schema::Fixed(..) => Err("fixed values are not written yet".to_owned()),
        Schema::Record(fields) => {
            let rows = array.as_struct_opt().ok_or_else(misfit)?;
            fields.iter().try_for_each(|field| value(&field.schema, rows.column_by_name(&field.name), row, into))
        }
        Schema::Array(item) => {
            let list: &ListArray = array.as_list_opt().ok_or_else(misfit)?;
            let range = range(list.value_offsets(), row);
            block(range, into, |index, into| value(item, Some(list.values()), index, into))
        }
        Schema::Map(item) => {
            let map: &MapArray = array.as_map_opt().ok_or_else(misfit)?;
            let range = range(map.value_offsets(), row);
            block(range, into, |index, into| {
                value(&Schema::String, Some(map.keys()), index, into)?;
                value(item, Some(map.values()), index, into)
            })
        }
    }
}

/// A whole number, a date or a time, in the unit of its schema.
fn integer(array: &ArrayRef, row: usize, logical: Logical) -> Option<i64> {
    let scaled = |value: i64, from: i64| match logical {
        Logical::Time(to) | Logical::Timestamp(to) if to >= from => value.checked_mul(to / from),
        Logical::Time(to) | Logical::Timestamp(to) => Some(value.div_euclid(from / to)),
        Logical::Plain | Logical::Date | Logical::Decimal(_) => Some(value),
    };
    match array.data_type() {
        DataType::Int8 => Some(i64::from(array.as_primitive::<Int8Type>().value(row))),
        DataType::Int16 => Some(i64::from(array.as_primitive::<Int16Type>().value(row))),
        DataType::Int32 => Some(i64::from(array.as_primitive::<Int32Type>().value(row))),
        DataType::Int64 => Some(array.as_primitive::<Int64Type>().value(row)),
        DataType::Date32 => Some(i64::from(array.as_primitive::<Date32Type>().value(row))),
        DataType::Time32(TimeUnit::Millisecond) => {
            scaled(i64::from(array.as_primitive::<Time32MillisecondType>().value(row)), 1_000)
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            scaled(array.as_primitive::<Time64MicrosecondType>().value(row), 1_000_000)
        }
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => scaled(array.as_primitive::<TimestampSecondType>().value(row), 1),
            TimeUnit::Millisecond => scaled(array.as_primitive::<TimestampMillisecondType>().value(row), 1_000),
            TimeUnit::Microsecond => scaled(array.as_primitive::<TimestampMicrosecondType>().value(row), 1_000_000),
            TimeUnit::Nanosecond => scaled(array.as_primitive::<TimestampNanosecondType>().value(row), 1_000_000_000),
        },
        _ => None,
    }
}

/// Appends a zigzag varint.
fn long(value: i64, into: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest > 0x7f {
        into.push(u8::try_from(rest & 0x7f).unwrap_or_default() | 0x80);
        rest >>= 7;
    }
    into.push(u8::try_from(rest).unwrap_or_default());
}

/// Appends a length and so many bytes.
fn bytes(value: &[u8], into: &mut Vec<u8>) {
    long(i64::try_from(value.len()).unwrap_or_default(), into);
    into.extend_from_slice(value);
}

/// The least bytes that are the same number in two's complement.
fn shortest(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && let Some(second) = rest.first()
        && ((*first == 0 && second & 0x80 == 0) || (*first == 0xff && second & 0x80 != 0))
    {
        bytes = rest;
    }
    bytes
}

/// Appends the items of an array or map as one block, and the end.
fn block(
    range: std::ops::Range<usize>,
    into: &mut Vec<u8>,
    mut item: impl FnMut(usize, &mut Vec<u8>) -> Result<(), String>,
) -> Result<(), String> {
    if !range.is_empty() {
        long(i64::try_from(range.len()).unwrap_or_default(), into);
        for index in range {
            item(index, into)?;
        }
    }
    long(0, into);
    Ok(())
}

fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let at = |index: usize| offsets.get(index).and_then(|&offset| usize::try_from(offset).ok()).unwrap_or(0);
    at(row)..at(row + 1)
}
