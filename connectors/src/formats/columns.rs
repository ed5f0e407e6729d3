//! Columns under construction for the text formats: append from text, roll back to a row, finish to Arrow arrays.
//!
//! Unlike Arrow's builders they can be cut back to a number of rows, which is how a record that turns out bad half-way
//! leaves no trace. A null ROW costs its children nothing until a row that is not null comes.

use std::mem;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, BooleanBufferBuilder, ListArray, MapArray,
    NullBufferBuilder, PrimitiveArray, StringArray, StructArray, new_null_array,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use millstream_engine::error::{EngineError, Result};

use super::names::FieldNames;
use super::text;
use super::types::{map_fields, sql_name};

/// A column under construction.
#[derive(Debug)]
pub(crate) struct Column {
    data_type: DataType,
    /// Rows so far.
    rows: usize,
    /// Which rows are null, up to the last null; those behind it are not.
    validity: NullBufferBuilder,
    /// The values; a null takes a place here too (but see [`RowColumn`]).
    pub(crate) values: Values,
}

/// The values of a [`Column`].
#[derive(Debug)]
pub(crate) enum Values {
    /// Bits.
    Boolean(BooleanBufferBuilder),
    /// TINYINT.
    Int8(Vec<i8>),
    /// SMALLINT.
    Int16(Vec<i16>),
    /// INT.
    Int32(Vec<i32>),
    /// BIGINT.
    Int64(Vec<i64>),
    /// FLOAT.
    Float32(Vec<f32>),
    /// DOUBLE.
    Float64(Vec<f64>),
    /// Unscaled values, precision, scale.
    Decimal(Vec<i128>, u8, i8),
    /// STRING.
    Utf8(ByteColumn),
    /// BYTES, base64 in text.
    Binary(ByteColumn),
    /// Days.
    Date(Vec<i32>),
    /// Milliseconds since midnight.
    Time32(Vec<i32>),
    /// Microseconds since midnight.
    Time64(Vec<i64>),
    /// The unit, and whether the type has a zone.
    Timestamp(Vec<i64>, TimeUnit, bool),
    /// ROW.
    Row(Box<RowColumn>),
    /// ARRAY: offsets and items.
    List(Vec<i32>, Box<Column>),
    /// MAP: offsets, keys and values.
    Map(Vec<i32>, Box<(Column, Column)>),
}

/// Texts or byte strings one behind the other.
#[derive(Debug)]
pub(crate) struct ByteColumn {
    offsets: Vec<i32>,
    pub(super) data: Vec<u8>,
}

impl ByteColumn {
    fn new() -> Self {
        Self { offsets: vec![0], data: Vec::new() }
    }

    /// Ends the value whose bytes were appended. False where a batch would exceed 2 GiB.
    pub(crate) fn close(&mut self) -> bool {
        match i32::try_from(self.data.len()) {
            Ok(end) => {
                self.offsets.push(end);
                true
            }
            Err(_) => false,
        }
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.data.truncate(last_offset(&self.offsets));
    }

    fn finish(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        let offsets = mem::replace(&mut self.offsets, vec![0]);
        let spare = Vec::with_capacity(self.data.len());
        let data = mem::replace(&mut self.data, spare);
        (OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(data))
    }
}

/// The fields of a ROW, or of the record itself.
#[derive(Debug)]
pub(crate) struct RowColumn {
    /// Which name leads to which of `fields`.
    pub(crate) names: FieldNames,
    /// The fields that are read.
    pub(crate) fields: Vec<RowField>,
    /// Names that matched but for their case: field and place in the record. Empty between records.
    pub(crate) loose: Vec<(usize, usize)>,
    /// For each declared field its index in `fields`; `None`: not asked for, filled with nulls.
    pub(crate) declared: Vec<Option<usize>>,
    /// Rows that the fields hold. Null rows behind these are not in the fields yet.
    filled: usize,
}

/// A field of a [`RowColumn`].
#[derive(Debug)]
pub(crate) struct RowField {
    /// Its declared name.
    pub(crate) name: String,
    /// Whether null is allowed.
    pub(crate) nullable: bool,
    /// Its values.
    pub(crate) column: Column,
}

impl RowColumn {
    /// The builders of the fields that `wanted` names (all: `None`); fields that cannot be null are always read.
    ///
    /// # Errors
    /// Where a field has a type that no text format carries.
    pub(crate) fn new<'a>(fields: impl Iterator<Item = &'a Field>, wanted: Option<&[usize]>) -> Result<Self> {
        let mut built =
            Self { names: FieldNames::default(), fields: vec![], loose: vec![], declared: vec![], filled: 0 };
        for (index, field) in fields.enumerate() {
            let read = wanted.is_none_or(|wanted| wanted.contains(&index)) || !field.is_nullable();
            let slot = read.then_some(built.fields.len());
            if read {
                built.push(field, None)?;
            }
            built.names.declare(field.name(), slot);
            built.declared.push(slot);
        }
        Ok(built)
    }

    /// The builders of a record: `fields` are all declared columns, `wanted` the ones to read (column, children) in the
    /// order of the batch. Each column may be asked for once.
    ///
    /// # Errors
    /// Where a column has a type that no text format carries.
    pub(crate) fn record<'a>(
        fields: impl Iterator<Item = &'a Field>,
        wanted: &[(usize, Option<Vec<usize>>)],
    ) -> Result<Self> {
        let fields: Vec<&Field> = fields.collect();
        let mut built =
            Self { names: FieldNames::default(), fields: vec![], loose: vec![], declared: vec![], filled: 0 };
        for (index, children) in wanted {
            let field = fields.get(*index).ok_or_else(|| EngineError::Internal(format!("no column {index}")))?;
            built.push(field, children.as_deref())?;
        }
        for (index, field) in fields.iter().enumerate() {
            let slot = wanted.iter().position(|(column, _)| *column == index);
            built.names.declare(field.name(), slot);
        }
        built.declared = (0..wanted.len()).map(Some).collect();
        Ok(built)
    }

    fn push(&mut self, field: &Field, children: Option<&[usize]>) -> Result<()> {
        let column = Column::new(field.data_type(), children)?;
        self.fields.push(RowField { name: field.name().clone(), nullable: field.is_nullable(), column });
        Ok(())
    }

    /// Makes room for a row that is not null: the null rows before it (up to `rows`) enter the fields.
    pub(crate) fn begin(&mut self, rows: usize) {
        if self.filled < rows {
            let nulls = rows - self.filled;
            for field in &mut self.fields {
                field.column.push_nulls(nulls);
            }
            self.filled = rows;
        }
    }

    /// Every field holds one value more.
    pub(crate) fn end(&mut self) {
        self.filled += 1;
    }

    /// Rows that the fields hold.
    pub(crate) fn rows(&self) -> usize {
        self.filled
    }

    /// Forgets all rows from `rows` on, and half-built ones.
    pub(crate) fn truncate(&mut self, rows: usize) {
        self.filled = self.filled.min(rows);
        self.loose.clear();
        for field in &mut self.fields {
            field.column.truncate(self.filled);
        }
    }

    /// The arrays of the fields, `rows` long each; empty again afterwards.
    ///
    /// # Errors
    /// Where Arrow refuses an array.
    pub(crate) fn finish(&mut self, rows: usize) -> Result<Vec<ArrayRef>> {
        self.begin(rows);
        self.filled = 0;
        self.fields.iter_mut().map(|field| field.column.finish()).collect()
    }
}

impl Column {
    /// An empty column. `children`: for a ROW the fields to read.
    ///
    /// # Errors
    /// Where no text format carries the type.
    pub(crate) fn new(data_type: &DataType, children: Option<&[usize]>) -> Result<Self> {
        let values = match data_type {
            DataType::Boolean => Values::Boolean(BooleanBufferBuilder::new(0)),
            DataType::Int8 => Values::Int8(vec![]),
            DataType::Int16 => Values::Int16(vec![]),
            DataType::Int32 => Values::Int32(vec![]),
            DataType::Int64 => Values::Int64(vec![]),
            DataType::Float32 => Values::Float32(vec![]),
            DataType::Float64 => Values::Float64(vec![]),
            DataType::Decimal128(precision, scale) => Values::Decimal(vec![], *precision, *scale),
            DataType::Utf8 => Values::Utf8(ByteColumn::new()),
            DataType::Binary => Values::Binary(ByteColumn::new()),
            DataType::Date32 => Values::Date(vec![]),
            DataType::Time32(TimeUnit::Millisecond) => Values::Time32(vec![]),
            DataType::Time64(TimeUnit::Microsecond) => Values::Time64(vec![]),
            DataType::Timestamp(unit, zone) => Values::Timestamp(vec![], *unit, zone.is_some()),
            DataType::Struct(fields) => {
                Values::Row(Box::new(RowColumn::new(fields.iter().map(AsRef::as_ref), children)?))
            }
            DataType::List(item) => Values::List(vec![0], Box::new(Self::new(item.data_type(), None)?)),
            DataType::Map(entries, _) => {
                let (key, value) = map_fields(entries).ok_or_else(|| no_text(data_type))?;
                let columns = (Self::new(key.data_type(), None)?, Self::new(value.data_type(), None)?);
                Values::Map(vec![0], Box::new(columns))
            }
            other => return Err(no_text(other)),
        };
        Ok(Self { data_type: data_type.clone(), rows: 0, validity: NullBufferBuilder::new(0), values })
    }

    /// Its type.
    pub(crate) fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Rows so far.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// Whether the last row is null.
    pub(crate) fn last_is_null(&self) -> bool {
        self.rows.checked_sub(1).is_some_and(|last| last < self.validity.len() && !self.validity.is_valid(last))
    }

    /// The value that was just put into `values` counts.
    #[inline]
    pub(crate) fn set(&mut self) {
        self.rows += 1;
    }

    /// One null.
    pub(crate) fn push_null(&mut self) {
        self.push_nulls(1);
    }

    /// `count` nulls.
    pub(crate) fn push_nulls(&mut self, count: usize) {
        self.validity.append_n_non_nulls(self.rows - self.validity.len());
        self.validity.append_n_nulls(count);
        self.rows += count;
        let rows = self.rows;
        match &mut self.values {
            Values::Boolean(bits) => bits.append_n(count, false),
            Values::Int8(values) => values.resize(rows, 0),
            Values::Int16(values) => values.resize(rows, 0),
            Values::Int32(values) | Values::Date(values) | Values::Time32(values) => values.resize(rows, 0),
            Values::Int64(values) | Values::Time64(values) | Values::Timestamp(values, _, _) => values.resize(rows, 0),
            Values::Float32(values) => values.resize(rows, 0.0),
            Values::Float64(values) => values.resize(rows, 0.0),
            Values::Decimal(values, _, _) => values.resize(rows, 0),
            Values::Utf8(bytes) | Values::Binary(bytes) => repeat_last(&mut bytes.offsets, count),
            Values::Row(_) => {}
            Values::List(offsets, _) | Values::Map(offsets, _) => repeat_last(offsets, count),
        }
    }

    /// Forgets all rows from `rows` on, and a half-built one.
    pub(crate) fn truncate(&mut self, rows: usize) {
        if rows < self.validity.len() {
            self.validity.truncate(rows);
        }
        self.rows = self.rows.min(rows);
        match &mut self.values {
            Values::Boolean(bits) => bits.truncate(rows),
            Values::Int8(values) => values.truncate(rows),
            Values::Int16(values) => values.truncate(rows),
            Values::Int32(values) | Values::Date(values) | Values::Time32(values) => values.truncate(rows),
            Values::Int64(values) | Values::Time64(values) | Values::Timestamp(values, _, _) => values.truncate(rows),
            Values::Float32(values) => values.truncate(rows),
            Values::Float64(values) => values.truncate(rows),
            Values::Decimal(values, _, _) => values.truncate(rows),
            Values::Utf8(bytes) | Values::Binary(bytes) => bytes.truncate(rows),
            Values::Row(row) => row.truncate(rows),
            Values::List(offsets, item) => {
                offsets.truncate(rows + 1);
                item.truncate(last_offset(offsets));
            }
            Values::Map(offsets, entries) => {
                offsets.truncate(rows + 1);
                entries.0.truncate(last_offset(offsets));
                entries.1.truncate(last_offset(offsets));
            }
        }
    }

    /// Appends the scalar that `text` stands for; white space around it is ignored but in STRING. False, and nothing
    /// appended, where it is not of this type.
    pub(crate) fn push_text(&mut self, text: &[u8]) -> bool {
        let fits = match &mut self.values {
            Values::Utf8(bytes) => {
                if std::str::from_utf8(text).is_err() {
                    return false;
                }
                bytes.data.extend_from_slice(text);
                bytes.close()
            }
            Values::Binary(bytes) => BASE64.decode_vec(text::trim(text), &mut bytes.data).is_ok() && bytes.close(),
            Values::Boolean(bits) => text::parse_bool(text::trim(text)).is_some_and(|value| {
                bits.append(value);
                true
            }),
            Values::Date(values) => keep(values, text::parse_date(text::trim(text))),
            Values::Time32(values) => {
                keep(values, parse_time(text).and_then(|nanos| i32::try_from(nanos / 1_000_000).ok()))
            }
            Values::Time64(values) => keep(values, parse_time(text).map(|nanos| nanos / 1_000)),
            Values::Timestamp(values, unit, zoned) => {
                keep(values, text::parse_timestamp(text::trim(text), *unit, *zoned))
            }
            Values::Int8(_)
            | Values::Int16(_)
            | Values::Int32(_)
            | Values::Int64(_)
            | Values::Float32(_)
            | Values::Float64(_)
            | Values::Decimal(_, _, _) => return self.push_number(text::trim(text)),
            Values::Row(_) | Values::List(_, _) | Values::Map(_, _) => return false,
        };
        if fits {
            self.set();
        } else {
            self.truncate(self.len());
        }
        fits
    }

    /// Appends a number to a column of numbers. False, and nothing appended, where it does not fit.
    pub(crate) fn push_number(&mut self, text: &[u8]) -> bool {
        let fits = match &mut self.values {
            Values::Int64(values) => keep(values, text::parse_int(text)),
            Values::Int32(values) => keep(values, text::parse_int(text).and_then(|value| i32::try_from(value).ok())),
            Values::Int16(values) => keep(values, text::parse_int(text).and_then(|value| i16::try_from(value).ok())),
            Values::Int8(values) => keep(values, text::parse_int(text).and_then(|value| i8::try_from(value).ok())),
            Values::Float64(values) => keep(values, text::parse_float(text)),
            #[expect(clippy::cast_possible_truncation, reason = "FLOAT is declared to be less precise")]
            Values::Float32(values) => keep(values, text::parse_float(text).map(|value| value as f32)),
            Values::Decimal(values, precision, scale) => keep(values, text::parse_decimal(text, *precision, *scale)),
            Values::Boolean(_)
            | Values::Utf8(_)
            | Values::Binary(_)
            | Values::Date(_)
            | Values::Time32(_)
            | Values::Time64(_)
            | Values::Timestamp(_, _, _)
            | Values::Row(_)
            | Values::List(_, _)
            | Values::Map(_, _) => false,
        };
        if fits {
            self.set();
        }
        fits
    }

    /// The array of all rows; the column is empty afterwards.
    ///
    /// # Errors
    /// Where Arrow refuses the array.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef> {
        let rows = mem::take(&mut self.rows);
        self.validity.append_n_non_nulls(rows - self.validity.len());
        let nulls = self.validity.finish();
        let array: ArrayRef = match &mut self.values {
            Values::Boolean(bits) => Arc::new(BooleanArray::new(bits.finish(), nulls)),
            Values::Int8(values) => primitive::<Int8Type>(values, nulls, &self.data_type)?,
            Values::Int16(values) => primitive::<Int16Type>(values, nulls, &self.data_type)?,
            Values::Int32(values) => primitive::<Int32Type>(values, nulls, &self.data_type)?,
            Values::Int64(values) => primitive::<Int64Type>(values, nulls, &self.data_type)?,
            Values::Float32(values) => primitive::<Float32Type>(values, nulls, &self.data_type)?,
            Values::Float64(values) => primitive::<Float64Type>(values, nulls, &self.data_type)?,
            Values::Decimal(values, _, _) => primitive::<Decimal128Type>(values, nulls, &self.data_type)?,
            Values::Date(values) => primitive::<Date32Type>(values, nulls, &self.data_type)?,
            Values::Time32(values) => primitive::<Time32MillisecondType>(values, nulls, &self.data_type)?,
            Values::Time64(values) => primitive::<Time64MicrosecondType>(values, nulls, &self.data_type)?,
            Values::Timestamp(values, unit, _) => match unit {
                TimeUnit::Second => primitive::<TimestampSecondType>(values, nulls, &self.data_type)?,
                TimeUnit::Millisecond => primitive::<TimestampMillisecondType>(values, nulls, &self.data_type)?,
                TimeUnit::Microsecond => primitive::<TimestampMicrosecondType>(values, nulls, &self.data_type)?,
                TimeUnit::Nanosecond => primitive::<TimestampNanosecondType>(values, nulls, &self.data_type)?,
            },
            Values::Utf8(bytes) => {
                let (offsets, data) = bytes.finish();
                Arc::new(StringArray::try_new(offsets, data, nulls)?)
            }
            Values::Binary(bytes) => {
                let (offsets, data) = bytes.finish();
                Arc::new(BinaryArray::try_new(offsets, data, nulls)?)
            }
            Values::Row(row) => finish_row(row, &self.data_type, rows, nulls)?,
            Values::List(offsets, item) => {
                let DataType::List(field) = &self.data_type else {
                    return Err(EngineError::Internal(format!("{} is no list", self.data_type)));
                };
                let offsets = OffsetBuffer::new(ScalarBuffer::from(mem::replace(offsets, vec![0])));
                Arc::new(ListArray::try_new(Arc::clone(field), offsets, item.finish()?, nulls)?)
            }
            Values::Map(offsets, entries) => {
                let DataType::Map(field, ordered) = &self.data_type else {
                    return Err(EngineError::Internal(format!("{} is no map", self.data_type)));
                };
                let DataType::Struct(fields) = field.data_type() else {
                    return Err(EngineError::Internal(format!("{} is no map", self.data_type)));
                };
                let offsets = OffsetBuffer::new(ScalarBuffer::from(mem::replace(offsets, vec![0])));
                let arrays = vec![entries.0.finish()?, entries.1.finish()?];
                let entries = StructArray::try_new(fields.clone(), arrays, None)?;
                Arc::new(MapArray::try_new(Arc::clone(field), offsets, entries, nulls, *ordered)?)
            }
        };
        Ok(array)
    }
}

fn finish_row(row: &mut RowColumn, data_type: &DataType, rows: usize, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    let DataType::Struct(fields) = data_type else {
        return Err(EngineError::Internal(format!("{data_type} is no row")));
    };
    let read = row.finish(rows)?;
    let arrays = fields
        .iter()
        .zip(&row.declared)
        .map(|(field, slot)| match slot.and_then(|slot| read.get(slot)) {
            Some(array) => Arc::clone(array),
            None => new_null_array(field.data_type(), rows),
        })
        .collect();
    Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), arrays, nulls, rows)?))
}

fn primitive<T: ArrowPrimitiveType>(
    values: &mut Vec<T::Native>,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> Result<ArrayRef> {
    let spare = Vec::with_capacity(values.len());
    let values = ScalarBuffer::from(mem::replace(values, spare));
    let array = PrimitiveArray::<T>::try_new(values, nulls)?;
    Ok(Arc::new(if array.data_type() == data_type { array } else { array.with_data_type(data_type.clone()) }))
}

pub(super) fn keep<T>(values: &mut Vec<T>, value: Option<T>) -> bool {
    match value {
        Some(value) => {
            values.push(value);
            true
        }
        None => false,
    }
}

fn parse_time(text: &[u8]) -> Option<i64> {
    let text = text::trim(text);
    text::parse_time(text.strip_suffix(b"Z").unwrap_or(text))
}

fn repeat_last(offsets: &mut Vec<i32>, count: usize) {
    let last = offsets.last().copied().unwrap_or(0);
    offsets.resize(offsets.len() + count, last);
}

fn last_offset(offsets: &[i32]) -> usize {
    offsets.last().and_then(|&last| usize::try_from(last).ok()).unwrap_or(0)
}

fn no_text(data_type: &DataType) -> EngineError {
    EngineError::config(format!("type {} cannot be read from text", sql_name(data_type)))
}
