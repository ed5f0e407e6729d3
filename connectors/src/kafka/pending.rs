//! [`Pending`]: the changes of an epoch, brought down to the last row of each key.

use std::collections::HashMap;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::interleave_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::row::{OwnedRow, RowConverter, SortField};
use millstream_engine::error::{EngineError, Result};
use millstream_engine::message::Delta;

/// Rows that are kept, beside those that are left of each key, before they are brought down.
const ROWS_MAX: usize = 65_536;

/// See the module.
pub(super) struct Pending {
    key: Vec<usize>,
    deltas: Vec<Delta>,
    /// Rows of the deltas, and how many there may be.
    rows: usize,
    rows_max: usize,
}

/// What is known of a key so far.
struct Last {
    /// Delta and row that tell the key.
    at: (usize, usize),
    /// The row that was inserted last and is not retracted since.
    row: Option<OwnedRow>,
}

impl Pending {
    /// No changes; `key`: the columns of the key.
    pub(super) fn new(key: &[usize]) -> Self {
        Self { key: key.to_vec(), deltas: Vec::new(), rows: 0, rows_max: ROWS_MAX }
    }

    /// Keeps changes. So that they do not grow with time, only with the keys, what is known of a key is brought down to one row.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub(super) fn push(&mut self, delta: &Delta) -> Result<()> {
        self.rows += delta.rows();
        self.deltas.push(delta.clone());
        if self.rows > self.rows_max
            && let Some(left) = self.take()?
        {
            self.rows = left.rows();
            self.rows_max = 2 * left.rows() + ROWS_MAX;
            self.deltas.push(left);
        }
        Ok(())
    }

    /// One change a key: its last row, or a retraction where it has none. In the order in which the keys came.
    ///
    /// # Errors
    /// Where Arrow cannot make rows of the columns.
    pub(super) fn take(&mut self) -> Result<Option<Delta>> {
        let deltas = std::mem::take(&mut self.deltas);
        (self.rows, self.rows_max) = (0, ROWS_MAX);
        let Some(schema) = deltas.first().map(|delta| delta.batch.schema()) else { return Ok(None) };
        let all: Vec<usize> = (0..schema.fields().len()).collect();
        let keys = converter(&schema, &self.key)?;
        let rows = converter(&schema, &all)?;
        let mut places: HashMap<OwnedRow, usize> = HashMap::new();
        let mut last: Vec<Last> = Vec::new();
        for (index, delta) in deltas.iter().enumerate() {
            let keys = keys.convert_columns(&project(&delta.batch, &self.key)?)?;
            let rows = rows.convert_columns(delta.batch.columns())?;
            for row in 0..delta.rows() {
                let place = *places.entry(keys.row(row).owned()).or_insert(last.len());
                if place == last.len() {
                    last.push(Last { at: (index, row), row: None });
                }
                let Some(known) = last.get_mut(place) else { continue };
                if !delta.is_retract(row) {
                    *known = Last { at: (index, row), row: Some(rows.row(row).owned()) };
                } else if known.row.as_ref().is_some_and(|known| known.row() == rows.row(row)) {
                    known.row = None;
                }
            }
        }
        if last.is_empty() {
            return Ok(None);
        }
        let batches: Vec<&RecordBatch> = deltas.iter().map(|delta| &delta.batch).collect();
        let places: Vec<(usize, usize)> = last.iter().map(|last| last.at).collect();
        let batch = interleave_record_batch(&batches, &places)?;
        let retracts: BooleanBuffer = last.iter().map(|last| last.row.is_none()).collect();
        Ok(Some(Delta::signed(batch, retracts)))
    }
}

fn converter(schema: &SchemaRef, columns: &[usize]) -> Result<RowConverter> {
    let kind = |index: &usize| schema.fields().get(*index).map(|field| field.data_type().clone());
    let fields = columns.iter().filter_map(kind).map(SortField::new).collect();
    Ok(RowConverter::new(fields)?)
}

fn project(batch: &RecordBatch, columns: &[usize]) -> Result<Vec<ArrayRef>> {
    let column = |index: &usize| batch.columns().get(*index).cloned();
    let found: Option<Vec<ArrayRef>> = columns.iter().map(column).collect();
    found.ok_or_else(|| EngineError::Internal("a key column is missing".to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::Int64Type;

    use super::*;

    fn delta(rows: &[(bool, i64, i64)]) -> Delta {
        let column = |value: fn(&(bool, i64, i64)) -> i64| -> ArrayRef {
            Arc::new(rows.iter().map(value).collect::<Int64Array>())
        };
        let batch = RecordBatch::try_from_iter([("k", column(|row| row.1)), ("v", column(|row| row.2))]).unwrap();
        Delta::signed(batch, rows.iter().map(|row| row.0).collect())
    }

    #[test]
    fn an_epoch_comes_down_to_the_last_row_of_each_key() {
        // 1 is updated, 2 comes back, 3 goes; of 4 the new row comes before the old one goes; 5 is only retracted.
        let changes = [
            vec![(false, 1, 10), (true, 2, 20), (false, 3, 30)],
            vec![(true, 1, 10), (false, 1, 11), (false, 2, 21), (true, 3, 30), (false, 4, 41)],
            vec![(true, 4, 40), (true, 5, 50)],
        ];
        // Brought down at the end, and after each delta.
        for rows_max in [ROWS_MAX, 0] {
            let mut pending = Pending::new(&[0]);
            for rows in &changes {
                pending.rows_max = rows_max;
                pending.push(&delta(rows)).unwrap();
                assert_eq!(pending.deltas.len() == 1, rows_max == 0 || rows.len() == 3);
            }
            let left = pending.take().unwrap().unwrap();
            let values = |index: usize| left.batch.column(index).as_primitive::<Int64Type>().values().to_vec();
            assert_eq!(values(0), [1, 2, 3, 4, 5]);
            assert_eq!(values(1), [11, 21, 30, 41, 50]);
            let gone: Vec<bool> = (0..5).map(|row| left.is_retract(row)).collect();
            assert_eq!(gone, [false, false, true, false, true]);
            assert!(pending.take().unwrap().is_none());
        }
    }
}
