//! Rows repeated for the elements of a list: [`Step::Unnest`](crate::plan::Step::Unnest), batch by batch.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StructArray, UInt32Array};
use arrow::compute::{take, take_record_batch};
use arrow::datatypes::SchemaRef;

use super::stateless::repeated_sign;
use crate::error::{EngineError, Result};
use crate::message::{BATCH_ROWS, Delta};

/// Passes each row on once for each element of its list, with the fields of the element behind it, in deltas of at most as
/// many rows as a batch aims at, however long a list is.
///
/// # Errors
/// Where the lists are not of rows; what `pass` gives.
pub(super) fn unnested(
    delta: &Delta,
    lists: &ArrayRef,
    schema: &SchemaRef,
    pass: &mut dyn FnMut(Delta) -> Result<()>,
) -> Result<()> {
    let wrong = || EngineError::Internal(format!("cannot unnest {}", lists.data_type()));
    let lists = lists.as_list_opt::<i32>().ok_or_else(wrong)?;
    let elements = lists.values().as_struct_opt().filter(|rows| rows.null_count() == 0).ok_or_else(wrong)?;
    let mut chunk = Chunk::default();
    for (row, ends) in (0_u32..).zip(lists.offsets().windows(2)) {
        let &[start, end] = ends else { continue };
        if lists.is_null(row as usize) {
            continue;
        }
        let (mut start, end) = (start.unsigned_abs(), end.unsigned_abs());
        while start < end {
            let room = u32::try_from(BATCH_ROWS - chunk.rows.len()).unwrap_or(0);
            let upto = end.min(start.saturating_add(room));
            chunk.elements.extend(start..upto);
            chunk.rows.extend(std::iter::repeat_n(row, (upto - start) as usize));
            start = upto;
            if chunk.rows.len() >= BATCH_ROWS {
                pass(std::mem::take(&mut chunk).delta(delta, elements, schema)?)?;
            }
        }
    }
    if chunk.rows.is_empty() { Ok(()) } else { pass(chunk.delta(delta, elements, schema)?) }
}

/// Rows that come out together: which row of the input each is of, and which element.
#[derive(Default)]
struct Chunk {
    rows: Vec<u32>,
    elements: Vec<u32>,
}

impl Chunk {
    fn delta(self, delta: &Delta, elements: &StructArray, schema: &SchemaRef) -> Result<Delta> {
        let sign = repeated_sign(&delta.sign, &self.rows);
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows.len()));
        let (rows, places) = (UInt32Array::from(self.rows), UInt32Array::from(self.elements));
        let mut columns = take_record_batch(&delta.batch, &rows)?.columns().to_vec();
        for field in elements.columns() {
            columns.push(take(field, &places, None)?);
        }
        Ok(Delta { batch: RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?, sign })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use arrow::array::{Int64Array, ListArray};
    use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer};
    use arrow::datatypes::{DataType, Field, Fields, Int64Type, Schema};

    use super::*;

    fn out(lengths: &[usize], nulls: Option<NullBuffer>, retracts: Vec<bool>) -> Vec<Delta> {
        let count: usize = lengths.iter().sum();
        let fields = Fields::from(vec![Field::new("e", DataType::Int64, true)]);
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values((0..).take(count)));
        let elements: ArrayRef = Arc::new(StructArray::try_new(fields.clone(), vec![numbers], None).unwrap());
        let item = Arc::new(Field::new("item", DataType::Struct(fields), true));
        let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
        let lists: ArrayRef = Arc::new(ListArray::try_new(item, offsets, elements, nulls).unwrap());
        let rows: ArrayRef = Arc::new(Int64Array::from_iter_values((0..).take(lengths.len())));
        let batch = RecordBatch::try_from_iter([("k", rows)]).unwrap();
        let schema = Arc::new(Schema::new(["k", "e"].map(|name| Field::new(name, DataType::Int64, true)).to_vec()));
        let delta = Delta::signed(batch, BooleanBuffer::from(retracts));
        let mut out = Vec::new();
        let pass = &mut |part| {
            out.push(part);
            Ok(())
        };
        unnested(&delta, &lists, &schema, pass).unwrap();
        out
    }

    #[test]
    fn a_row_is_repeated_for_its_elements_with_its_sign() {
        let nulls = NullBuffer::from(vec![true, true, false, true]);
        let out = out(&[2, 0, 1, 1], Some(nulls), vec![false, false, false, true]);
        let column = |index: usize| out[0].batch.column(index).as_primitive::<Int64Type>().values().to_vec();
        assert_eq!((out.len(), column(0), column(1)), (1, vec![0, 0, 3], vec![0, 1, 3]));
        assert_eq!((0..3).map(|row| out[0].is_retract(row)).collect::<Vec<_>>(), [false, false, true]);
    }

    #[test]
    fn long_lists_come_out_in_pieces() {
        let out = out(&[3, 2 * BATCH_ROWS, 5], None, vec![false; 3]);
        assert_eq!(out.iter().map(Delta::rows).collect::<Vec<_>>(), [BATCH_ROWS, BATCH_ROWS, 8]);
        let all: Vec<i64> =
            out.iter().flat_map(|delta| delta.batch.column(1).as_primitive::<Int64Type>().values().to_vec()).collect();
        assert_eq!(all, (0..8 + 2 * BATCH_ROWS as i64).collect::<Vec<_>>());
    }
}
