//! `COUNT`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;

use super::accumulator::{Accumulator, Rows};
use super::kept;
use crate::error::{EngineError, Result};

/// Number of rows, or of non-null arguments.
#[derive(Default)]
pub(super) struct Count {
    counts: Vec<i64>,
}

impl Accumulator for Count {
    fn resize(&mut self, slots: usize) {
        self.counts.resize(slots, 0);
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let nulls = rows.values.and_then(|values| values.logical_nulls());
        match kept(nulls.as_ref(), rows.keep) {
            None => rows.slots.iter().for_each(|&slot| self.counts[slot as usize] += 1),
            Some(keep) => keep.set_indices().for_each(|row| self.counts[rows.slots[row] as usize] += 1),
        }
        Ok(())
    }

    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.read(slots)?])
    }

    fn merge(&mut self, state: &[ArrayRef], slots: &[u32]) -> Result<()> {
        for (&slot, &count) in slots.iter().zip(counts(state)?.values()) {
            self.counts[slot as usize] += count;
        }
        Ok(())
    }

    fn unmerge(&mut self, state: &[ArrayRef], slots: &[u32]) -> Result<()> {
        for (&slot, &count) in slots.iter().zip(counts(state)?.values()) {
            self.counts[slot as usize] -= count;
        }
        Ok(())
    }

    fn is_invertible(&self) -> bool {
        true
    }

    fn read(&self, slots: &[u32]) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from_iter_values(slots.iter().map(|&slot| self.counts[slot as usize]))))
    }

    fn clear(&mut self, slots: &[u32]) {
        slots.iter().for_each(|&slot| self.counts[slot as usize] = 0);
    }
}

fn counts(state: &[ArrayRef]) -> Result<&Int64Array> {
    let counts = state.first().and_then(|column| column.as_primitive_opt::<Int64Type>());
    counts.ok_or_else(|| EngineError::Internal("the state of a count is not a count".into()))
}
