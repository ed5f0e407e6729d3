//! `SUM` and `AVG` of floats where rows may be taken back.
//!
//! What an addition loses is kept beside the sum (Neumaier's compensation), so that a large value that comes and goes does
//! not take the digits of the small ones with it; infinities and NaNs are counted, not added, so that they can go again.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};

use super::accumulator::{Accumulator, Rows};
use super::codec::form;
use crate::error::Result;

/// The sum of one slot.
#[derive(Clone, Copy, Default)]
struct Parts {
    sum: f64,
    /// What `sum` is short of.
    lost: f64,
    count: i64,
    nans: i64,
    infinite: i64,
    /// Infinities below zero.
    negative: i64,
}

impl Parts {
    fn add(&mut self, value: f64, retract: bool) {
        let sign = if retract { -1 } else { 1 };
        self.count += sign;
        if value.is_nan() {
            self.nans += sign;
        } else if value == f64::INFINITY {
            self.infinite += sign;
        } else if value == f64::NEG_INFINITY {
            self.negative += sign;
        } else {
            self.add_finite(if retract { -value } else { value });
        }
    }

    fn add_finite(&mut self, value: f64) {
        let sum = self.sum + value;
        self.lost += if self.sum.abs() >= value.abs() { (self.sum - sum) + value } else { (value - sum) + self.sum };
        self.sum = sum;
    }

    fn sum(&self) -> Option<f64> {
        (self.count > 0).then_some(match (self.nans > 0, self.infinite > 0, self.negative > 0) {
            (false, false, false) => self.sum + self.lost,
            (false, true, false) => f64::INFINITY,
            (false, false, true) => f64::NEG_INFINITY,
            (true, _, _) | (false, true, true) => f64::NAN,
        })
    }
}

/// Sums by slot.
pub(super) struct FloatSum {
    parts: Vec<Parts>,
    mean: bool,
}

impl FloatSum {
    /// A sum, or a mean.
    pub(super) fn new(mean: bool) -> Self {
        Self { parts: Vec::new(), mean }
    }
}

impl Accumulator for FloatSum {
    fn resize(&mut self, slots: usize) {
        self.parts.resize(slots, Parts::default());
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let values = cast(rows.argument()?, &DataType::Float64)?;
        let values = values.as_primitive::<Float64Type>();
        let keep = rows.kept(values.nulls());
        rows.each(keep.as_ref(), |row, slot, retract| self.parts[slot].add(values.values()[row], retract));
        Ok(())
    }

    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let of = |&slot: &u32| &self.parts[slot as usize];
        let float = |get: fn(&Parts) -> f64| -> ArrayRef {
            Arc::new(Float64Array::from_iter_values(slots.iter().map(of).map(get)))
        };
        let int = |get: fn(&Parts) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(slots.iter().map(of).map(get)))
        };
        Ok(vec![
            float(|of| of.sum),
            float(|of| of.lost),
            int(|of| of.count),
            int(|of| of.nans),
            int(|of| of.infinite),
            int(|of| of.negative),
        ])
    }

    fn merge(&mut self, state: &[ArrayRef], slots: &[u32]) -> Result<()> {
        let [sum, lost, counts @ ..] = state else { return Err(form()) };
        let float = |column: &ArrayRef| column.as_primitive_opt::<Float64Type>().cloned().ok_or_else(form);
        let (sum, lost) = (float(sum)?, float(lost)?);
        let counts: Vec<&Int64Array> =
            counts.iter().filter_map(|column| column.as_primitive_opt::<Int64Type>()).collect();
        let [count, nans, infinite, negative] = counts[..] else { return Err(form()) };
        for (row, &slot) in slots.iter().enumerate() {
            let parts = &mut self.parts[slot as usize];
            parts.add_finite(sum.value(row));
            parts.lost += lost.value(row);
            parts.count += count.value(row);
            parts.nans += nans.value(row);
            parts.infinite += infinite.value(row);
            parts.negative += negative.value(row);
        }
        Ok(())
    }

    fn read(&self, slots: &[u32]) -> Result<ArrayRef> {
        let value = |&slot: &u32| {
            let parts = &self.parts[slot as usize];
            parts.sum().map(|sum| if self.mean { sum / parts.count as f64 } else { sum })
        };
        Ok(Arc::new(slots.iter().map(value).collect::<Float64Array>()))
    }

    fn clear(&mut self, slots: &[u32]) {
        slots.iter().for_each(|&slot| self.parts[slot as usize] = Parts::default());
    }
}
