//! The variance family, by Welford's running mean and sum of squared deviations; merged by Chan's formula. Over
//! insertions only: `moments` has the form that rows can be taken back from.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};

use super::accumulator::{Accumulator, Rows};
use crate::error::{EngineError, Result};

/// Variance or standard deviation, of a sample or a population.
pub(super) struct Variance {
    counts: Vec<f64>,
    means: Vec<f64>,
    squares: Vec<f64>,
    sample: bool,
    root: bool,
}

impl Variance {
    pub(super) fn new(sample: bool, root: bool) -> Self {
        Self { counts: Vec::new(), means: Vec::new(), squares: Vec::new(), sample, root }
    }

    fn add(&mut self, slot: usize, value: f64) {
        self.counts[slot] += 1.0;
        let delta = value - self.means[slot];
        self.means[slot] += delta / self.counts[slot];
        self.squares[slot] += delta * (value - self.means[slot]);
    }

    fn result(&self, slot: usize) -> Option<f64> {
        let count = self.counts[slot];
        let over = if self.sample { count - 1.0 } else { count };
        (over > 0.0).then(|| {
            let variance = self.squares[slot] / over;
            if self.root { variance.sqrt() } else { variance }
        })
    }
}

impl Accumulator for Variance {
    fn resize(&mut self, slots: usize) {
        self.counts.resize(slots, 0.0);
        self.means.resize(slots, 0.0);
        self.squares.resize(slots, 0.0);
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        rows.insertions_only()?;
        let values = cast(rows.argument()?, &DataType::Float64)?;
        let values = values.as_primitive::<Float64Type>();
        let keep = rows.kept(values.nulls());
        rows.each(keep.as_ref(), |row, slot, _| self.add(slot, values.values()[row]));
        Ok(())
    }

    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let column = |values: &[f64]| -> ArrayRef {
            Arc::new(Float64Array::from_iter_values(slots.iter().map(|&slot| values[slot as usize])))
        };
        Ok(vec![column(&self.counts), column(&self.means), column(&self.squares)])
    }

    fn merge(&mut self, state: &[ArrayRef], slots: &[u32]) -> Result<()> {
        let columns: Vec<_> = state.iter().filter_map(|column| column.as_primitive_opt::<Float64Type>()).collect();
        let [counts, means, squares] = columns.as_slice() else {
            return Err(EngineError::Internal("the state of a variance has another form".into()));
        };
        for (row, &slot) in slots.iter().enumerate() {
            let (slot, count) = (slot as usize, counts.value(row));
            let all = self.counts[slot] + count;
            if count == 0.0 {
                continue;
            }
            let delta = means.value(row) - self.means[slot];
            self.squares[slot] += squares.value(row) + delta * delta * self.counts[slot] * count / all;
            self.means[slot] += delta * count / all;
            self.counts[slot] = all;
        }
        Ok(())
    }

    fn read(&self, slots: &[u32]) -> Result<ArrayRef> {
        Ok(Arc::new(slots.iter().map(|&slot| self.result(slot as usize)).collect::<Float64Array>()))
    }

    fn clear(&mut self, slots: &[u32]) {
        for &slot in slots {
            (self.counts[slot as usize], self.means[slot as usize], self.squares[slot as usize]) = (0.0, 0.0, 0.0);
        }
    }
}
