//! `FIRST_VALUE` and `LAST_VALUE` over insertions: the non-null argument that arrived first or last.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};
use arrow::row::{RowConverter, RowParser, SortField};

use super::accumulator::{Accumulator, Arrival, Rows};
use super::extreme::read_bytes;
use crate::error::{EngineError, Result};

/// Which end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// `FIRST_VALUE`
    First,
    /// `LAST_VALUE`
    Last,
}

/// The first or last value by slot, with its place in the order of arrival.
pub(super) struct Edge {
    converter: RowConverter,
    parser: RowParser,
    data_type: DataType,
    values: Vec<Vec<u8>>,
    arrived: Vec<i64>,
    /// The place after the last row so far.
    next: i64,
    which: Which,
}

impl Edge {
    pub(super) fn new(arg: &DataType, which: Which) -> Result<Self> {
        let converter = RowConverter::new(vec![SortField::new(arg.clone())])
            .map_err(|_| EngineError::Unsupported(format!("first_value and last_value of {arg}")))?;
        let parser = converter.parser();
        let (values, arrived) = (Vec::new(), Vec::new());
        Ok(Self { converter, parser, data_type: arg.clone(), values, arrived, next: 0, which })
    }

    fn offer(&mut self, slot: usize, value: &[u8], arrived: i64) {
        let kept = &mut self.values[slot];
        let better = match self.which {
            Which::First => arrived < self.arrived[slot],
            Which::Last => arrived >= self.arrived[slot],
        };
        if better || kept.is_empty() {
            kept.clear();
            kept.extend_from_slice(value);
            self.arrived[slot] = arrived;
        }
    }
}

impl Accumulator for Edge {
    fn resize(&mut self, slots: usize) {
        self.values.resize_with(slots, Vec::new);
        self.arrived.resize(slots, 0);
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        rows.insertions_only()?;
        let values = rows.argument()?;
        let nulls = values.logical_nulls();
        let encoded = self.converter.convert_columns(std::slice::from_ref(values))?;
        let keep = rows.kept(nulls.as_ref());
        let arrival = rows.arrival.unwrap_or(Arrival { first: self.next, rows: None });
        for (row, &slot) in rows.slots.iter().enumerate() {
            let place = arrival.of(row);
            if keep.as_ref().is_none_or(|keep| keep.value(row)) {
                self.offer(slot as usize, encoded.row(row).as_ref(), place);
            }
            self.next = self.next.max(place + 1);
        }
        Ok(())
    }

    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let arrived = Int64Array::from_iter_values(slots.iter().map(|&slot| self.arrived[slot as usize]));
        Ok(vec![self.read(slots)?, Arc::new(arrived)])
    }

    fn merge(&mut self, state: &[ArrayRef], slots: &[u32]) -> Result<()> {
        let [values, arrived] = state else { return Err(EngineError::Internal("the state has another form".into())) };
        let Some(arrived) = arrived.as_primitive_opt::<Int64Type>() else {
            return Err(EngineError::Internal("the state has another form".into()));
        };
        let encoded = self.converter.convert_columns(std::slice::from_ref(values))?;
        for (row, &slot) in slots.iter().enumerate().filter(|(row, _)| values.is_valid(*row)) {
            self.offer(slot as usize, encoded.row(row).as_ref(), arrived.value(row));
            self.next = self.next.max(arrived.value(row) + 1);
        }
        Ok(())
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
