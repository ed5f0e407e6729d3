//! Making the values of a column: each a function of the column and the row's number alone, timestamps apart.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, ListArray, StringArray,
    StructArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::compute::{cast, nullif};
use arrow::datatypes::{DataType, FieldRef};
use millstream_engine::{EngineError, Result};

/// Letters of random strings, as Flink: hexadecimal digits.
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// How one column, or one field in a column, is made.
#[derive(Debug, Clone)]
pub(super) struct ColumnGenerator {
    pub(super) field: FieldRef,
    pub(super) values: Values,
    /// Share of nulls.
    pub(super) null_rate: f64,
    /// Tells the random numbers of this generator from those of others.
    pub(super) stream: u64,
}

/// Where the values of a column come from. Bounds are inclusive.
#[derive(Debug, Clone)]
pub(super) enum Values {
    /// The row's number and `start`.
    Sequence { start: i64 },
    /// Whole numbers.
    Integer { min: i64, max: i64 },
    /// Floating point numbers.
    Float { min: f64, max: f64 },
    /// Decimals, as their unscaled numbers.
    Decimal { min: i128, max: i128 },
    /// Hexadecimal digits, or any bytes.
    Text { length: u32, varies: bool, binary: bool },
    /// True or false.
    Boolean,
    /// Now, less at most so many microseconds.
    Past { most_us: i64 },
    /// A ROW of other values.
    Row(Vec<ColumnGenerator>),
    /// An ARRAY of other values.
    List { length: u32, element: Box<ColumnGenerator> },
}

impl Values {
    /// What they are, for messages.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Sequence { .. } => "a sequence",
            Self::Integer { .. } | Self::Float { .. } | Self::Decimal { .. } => "a random number",
            Self::Text { .. } => "a random text",
            Self::Boolean => "true or false",
            Self::Past { .. } => "the time now, or before now for a timestamp",
            Self::Row(_) => "a ROW",
            Self::List { .. } => "an ARRAY",
        }
        .to_owned()
    }
}

/// Which random number of a row.
#[derive(Debug, Clone, Copy)]
enum Draw {
    Value,
    Length,
    Null,
    High,
}

impl ColumnGenerator {
    /// Bytes of a value at the most.
    pub(super) fn bytes(&self) -> u64 {
        match &self.values {
            Values::Sequence { .. } | Values::Decimal { .. } => 20,
            Values::Integer { .. } | Values::Float { .. } | Values::Past { .. } => 8,
            Values::Boolean => 1,
            Values::Text { length, .. } => u64::from(*length) + 4,
            Values::Row(fields) => fields.iter().map(Self::bytes).fold(1, u64::saturating_add),
            Values::List { length, element } => element.bytes().saturating_mul(u64::from(*length)).saturating_add(4),
        }
    }

    fn bits(&self, number: u64, draw: Draw) -> u64 {
        mix(self.stream.wrapping_add(number.wrapping_mul(4).wrapping_add(draw as u64)))
    }

    /// The values of these rows. `children`: those of a ROW that are read; the others are null.
    pub(super) fn make(&self, rows: &[u64], children: Option<&[usize]>, now_us: i64) -> Result<ArrayRef> {
        let plain = self.plain(rows, children, now_us)?;
        let data_type = self.field.data_type();
        let typed = if plain.data_type() == data_type { plain } else { cast(&plain, data_type)? };
        if self.null_rate <= 0.0 {
            return Ok(typed);
        }
        let null = rows.iter().map(|row| Some(unit(self.bits(*row, Draw::Null)) < self.null_rate));
        Ok(nullif(&typed, &BooleanArray::from_iter(null))?)
    }

    fn plain(&self, rows: &[u64], children: Option<&[usize]>, now_us: i64) -> Result<ArrayRef> {
        let bits = |row: &u64| self.bits(*row, Draw::Value);
        Ok(match &self.values {
            Values::Sequence { start } => {
                // The table ends before the sum would overflow.
                let value = |row: &u64| start.wrapping_add(*row as i64);
                Arc::new(Int64Array::from_iter_values(rows.iter().map(value)))
            }
            Values::Integer { min, max } => {
                let most = (i128::from(*max) - i128::from(*min)).unsigned_abs();
                let value = |row: &u64| min.wrapping_add(narrow(bits(row), most) as i64);
                Arc::new(Int64Array::from_iter_values(rows.iter().map(value)))
            }
            Values::Float { min, max } => {
                let value = |row: &u64| {
                    let share = unit(bits(row));
                    min * (1.0 - share) + max * share
                };
                Arc::new(Float64Array::from_iter_values(rows.iter().map(value)))
            }
            Values::Decimal { min, max } => {
                // The distance may need the bit of the sign.
                let most = max.wrapping_sub(*min) as u128;
                let value = |row: &u64| {
                    if most <= u128::from(u64::MAX) {
                        return min + i128::from(narrow(bits(row), most));
                    }
                    let wide = u128::from(bits(row)) | u128::from(self.bits(*row, Draw::High)) << 64;
                    min.wrapping_add((wide % (most + 1)) as i128)
                };
                let values = Decimal128Array::from_iter_values(rows.iter().map(value));
                Arc::new(values.with_data_type(self.field.data_type().clone()))
            }
            Values::Text { length, varies, binary } => return self.text(rows, *length, *varies, *binary),
            Values::Boolean => Arc::new(BooleanArray::from_iter(rows.iter().map(|row| Some(bits(row) & 1 == 1)))),
            Values::Past { most_us } => {
                let most = u128::from(most_us.unsigned_abs());
                let value = |row: &u64| now_us.saturating_sub(narrow(bits(row), most) as i64);
                Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(value)))
            }
            Values::Row(fields) => return self.row(fields, rows, children, now_us),
            Values::List { length, element } => return self.list(*length, element, rows, now_us),
        })
    }

    fn text(&self, rows: &[u64], length: u32, varies: bool, binary: bool) -> Result<ArrayRef> {
        let mut bytes = Vec::with_capacity(rows.len() * length as usize);
        let lengths = rows.iter().map(|row| match varies && length > 0 {
            true => 1 + narrow(self.bits(*row, Draw::Length), u128::from(length - 1)) as usize,
            false => length as usize,
        });
        let offsets = OffsetBuffer::from_lengths(lengths);
        for (row, ends) in rows.iter().zip(offsets.windows(2)) {
            let missing = ends.iter().rev().copied().reduce(|end, start| end - start).unwrap_or(0) as usize;
            fill(&mut bytes, self.bits(*row, Draw::Value), missing, binary);
        }
        let bytes = Buffer::from_vec(bytes);
        Ok(match binary {
            true => Arc::new(BinaryArray::try_new(offsets, bytes, None)?),
            false => Arc::new(StringArray::try_new(offsets, bytes, None)?),
        })
    }

    fn row(&self, fields: &[Self], rows: &[u64], children: Option<&[usize]>, now_us: i64) -> Result<ArrayRef> {
        let child = |(index, field): (usize, &Self)| {
            let read = children.is_none_or(|children| children.contains(&index)) || !field.field.is_nullable();
            match read {
                true => field.make(rows, None, now_us),
                false => Ok(new_null_array(field.field.data_type(), rows.len())),
            }
        };
        let arrays = fields.iter().enumerate().map(child).collect::<Result<Vec<_>>>()?;
        let DataType::Struct(declared) = self.field.data_type() else {
            return Err(EngineError::Internal("a ROW generator for another type".into()));
        };
        Ok(Arc::new(StructArray::try_new_with_length(declared.clone(), arrays, None, rows.len())?))
    }

    fn list(&self, length: u32, element: &Self, rows: &[u64], now_us: i64) -> Result<ArrayRef> {
        let length = u64::from(length);
        let number = |row: &u64| {
            let first = row.wrapping_mul(length);
            (0..length).map(move |at| first.wrapping_add(at))
        };
        let numbers: Vec<u64> = rows.iter().flat_map(number).collect();
        let elements = element.make(&numbers, None, now_us)?;
        let offsets = OffsetBuffer::from_repeated_length(length as usize, rows.len());
        Ok(Arc::new(ListArray::try_new(Arc::clone(&element.field), offsets, elements, None)?))
    }
}

/// Appends so many bytes that depend on `state` alone.
fn fill(bytes: &mut Vec<u8>, mut state: u64, mut missing: usize, binary: bool) {
    while missing > 0 {
        state = mix(state);
        let mut chunk = [0; 16];
        let length = if binary { 8 } else { 16 };
        for (at, byte) in chunk.iter_mut().enumerate().take(length) {
            *byte = match binary {
                true => (state >> (8 * at)) as u8,
                false => DIGITS[(state >> (4 * at) & 15) as usize],
            };
        }
        let length = length.min(missing);
        bytes.extend(chunk.iter().take(length));
        missing -= length;
    }
}

/// A number in `0 ..= most`, which is below 2^64.
fn narrow(bits: u64, most: u128) -> u64 {
    ((u128::from(bits) * (most + 1)) >> 64) as u64
}

/// A number in `0.0 .. 1.0`.
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// SplitMix64: its step and its output function.
pub(super) fn mix(mut value: u64) -> u64 {
    value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
