//! `COUNT`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};

use super::accumulator::{Accumulator, Rows};
use crate::error::{EngineError, Result};

/// Number of rows, or of rows whose arguments are all there.
pub(super) struct Count {
    counts: Vec<i64>,
    output: DataType,
}

impl Count {
    pub(super) fn new(output: &DataType) -> Self {
        Self { counts: Vec::new(), output: output.clone() }
    }
}

impl Accumulator for Count {
    fn resize(&mut self, slots: usize) {
        self.counts.resize(slots, 0);
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let nulls = rows.columns.iter().map(|column| column.logical_nulls());
        let nulls = nulls.fold(None, |all, one| NullBuffer::union(all.as_ref(), one.as_ref()));
        let keep = rows.kept(nulls.as_ref());
        rows.each(keep.as_ref(), |_, slot, retract| self.counts[slot] += if retract { -1 } else { 1 });
        Ok(())
    }

    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![Arc::new(Int64Array::from_iter_values(slots.iter().map(|&slot| self.counts[slot as usize])))])
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
        let counts: ArrayRef =
            Arc::new(Int64Array::from_iter_values(slots.iter().map(|&slot| self.counts[slot as usize])));
        if self.output == DataType::Int64 { Ok(counts) } else { Ok(cast(&counts, &self.output)?) }
    }

    fn clear(&mut self, slots: &[u32]) {
        slots.iter().for_each(|&slot| self.counts[slot as usize] = 0);
    }
}

fn counts(state: &[ArrayRef]) -> Result<&Int64Array> {
    let counts = state.first().and_then(|column| column.as_primitive_opt::<Int64Type>());
    counts.ok_or_else(|| EngineError::Internal("the state of a count is not a count".into()))
}
