//! `MIN` and `MAX`, over insertions only: one value a slot.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, AsArray, BooleanArray, PrimitiveArray, new_empty_array};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use arrow::row::{RowConverter, RowParser, SortField};

use super::accumulator::{Accumulator, Rows};
use crate::error::{EngineError, Result};

/// Which end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// `MIN`
    Least,
    /// `MAX`
    Greatest,
}

/// The accumulator for an argument type.
pub(super) fn new(arg: &DataType, side: Side) -> Result<Box<dyn Accumulator>> {
    fn of<T: ArrowPrimitiveType>(arg: &DataType, side: Side) -> Box<dyn Accumulator> {
        let (values, present) = (Vec::new(), Vec::new());
        Box::new(Extreme::<T> { values, present, data_type: arg.clone(), side })
    }
    Ok(match arg {
        DataType::Int8 => of::<Int8Type>(arg, side),
        DataType::Int16 => of::<Int16Type>(arg, side),
        DataType::Int32 => of::<Int32Type>(arg, side),
        DataType::Int64 => of::<Int64Type>(arg, side),
        DataType::Float32 => of::<Float32Type>(arg, side),
        DataType::Float64 => of::<Float64Type>(arg, side),
        DataType::Date32 => of::<Date32Type>(arg, side),
        DataType::Decimal128(_, _) => of::<Decimal128Type>(arg, side),
        DataType::Timestamp(TimeUnit::Second, _) => of::<TimestampSecondType>(arg, side),
        DataType::Timestamp(TimeUnit::Millisecond, _) => of::<TimestampMillisecondType>(arg, side),
        DataType::Timestamp(TimeUnit::Microsecond, _) => of::<TimestampMicrosecondType>(arg, side),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => of::<TimestampNanosecondType>(arg, side),
        _ => Box::new(ExtremeBytes::new(arg, side)?),
    })
}

/// Extremes of fixed-size values.
struct Extreme<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    present: Vec<bool>,
    data_type: DataType,
    side: Side,
}

impl<T: ArrowPrimitiveType> Extreme<T> {
    fn offer(&mut self, slot: usize, value: T::Native) {
        let better = match self.side {
            Side::Least => value.is_lt(self.values[slot]),
            Side::Greatest => value.is_gt(self.values[slot]),
        };
        if better || !self.present[slot] {
            self.values[slot] = value;
            self.present[slot] = true;
        }
    }

    fn offer_all(&mut self, rows: &Rows<'_>) -> Result<()> {
        rows.insertions_only()?;
        let Some(values) = rows.argument()?.as_primitive_opt::<T>() else { return Err(other_type()) };
        let keep = rows.kept(values.nulls());
        rows.each(keep.as_ref(), |row, slot, _| self.offer(slot, values.values()[row]));
        Ok(())
    }
}

impl<T: ArrowPrimitiveType> Accumulator for Extreme<T> {
    fn resize(&mut self, slots: usize) {
        self.values.resize(slots, T::default_value());
        self.present.resize(slots, false);
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        self.offer_all(rows)
    }

    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.read(slots)?])
    }

    fn merge(&mut self, state: &[ArrayRef], slots: &[u32]) -> Result<()> {
        self.offer_all(&Rows::inserted(state, slots))
    }

    fn read(&self, slots: &[u32]) -> Result<ArrayRef> {
        let value = |&slot: &u32| self.present[slot as usize].then(|| self.values[slot as usize]);
        let values: PrimitiveArray<T> = slots.iter().map(value).collect();
        Ok(Arc::new(values.with_data_type(self.data_type.clone())))
    }

    fn clear(&mut self, slots: &[u32]) {
        slots.iter().for_each(|&slot| self.present[slot as usize] = false);
    }
}

/// Extremes of anything else that can be ordered: strings, bytes, booleans, by their arrow-row bytes.
struct ExtremeBytes {
    converter: RowConverter,
    parser: RowParser,
    data_type: DataType,
    /// Empty: no value yet. A value's bytes are never empty.
    values: Vec<Vec<u8>>,
    side: Side,
}

impl ExtremeBytes {
    fn new(arg: &DataType, side: Side) -> Result<Self> {
        let converter = RowConverter::new(vec![SortField::new(arg.clone())])
            .map_err(|_| EngineError::Unsupported(format!("min and max of {arg}")))?;
        let parser = converter.parser();
        Ok(Self { converter, parser, data_type: arg.clone(), values: Vec::new(), side })
    }

    fn offer(&mut self, slot: usize, value: &[u8]) {
        let kept = &mut self.values[slot];
        let better = match self.side {
            Side::Least => value < kept.as_slice(),
            Side::Greatest => value > kept.as_slice(),
        };
        if better || kept.is_empty() {
            kept.clear();
            kept.extend_from_slice(value);
        }
    }
}

impl Accumulator for ExtremeBytes {
    fn resize(&mut self, slots: usize) {
        self.values.resize_with(slots, Vec::new);
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        rows.insertions_only()?;
        let values = rows.argument()?;
        let nulls = values.logical_nulls();
        let encoded = self.converter.convert_columns(std::slice::from_ref(values))?;
        let keep = rows.kept(nulls.as_ref());
        rows.each(keep.as_ref(), |row, slot, _| self.offer(slot, encoded.row(row).as_ref()));
        Ok(())
    }

    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.read(slots)?])
    }

    fn merge(&mut self, state: &[ArrayRef], slots: &[u32]) -> Result<()> {
        self.update(&Rows::inserted(state, slots))
    }

    fn read(&self, slots: &[u32]) -> Result<ArrayRef> {
        read_bytes(
            &self.converter,
            &self.parser,
            &self.data_type,
            slots.iter().map(|&slot| &*self.values[slot as usize]),
        )
    }

    fn clear(&mut self, slots: &[u32]) {
        slots.iter().for_each(|&slot| self.values[slot as usize] = Vec::new());
    }
}

/// A column out of arrow-row bytes; null where they are empty.
pub(super) fn read_bytes<'a>(
    converter: &RowConverter,
    parser: &RowParser,
    data_type: &DataType,
    values: impl Iterator<Item = &'a [u8]> + Clone,
) -> Result<ArrayRef> {
    let present: BooleanArray = values.clone().map(|value| Some(!value.is_empty())).collect();
    let rows = values.filter(|value| !value.is_empty()).map(|value| parser.parse(value));
    let column = converter.convert_rows(rows)?.into_iter().next().unwrap_or_else(|| new_empty_array(data_type));
    if present.true_count() == present.len() {
        return Ok(column);
    }
    // Spread the present values over their places; the others are null.
    let mut next = 0_u32;
    let places: arrow::array::UInt32Array = present
        .values()
        .iter()
        .map(|present| {
            present.then(|| {
                next += 1;
                next - 1
            })
        })
        .collect();
    Ok(arrow::compute::take(&column, &places, None)?)
}

fn other_type() -> EngineError {
    EngineError::Internal("the argument of an aggregate is of another type".into())
}
