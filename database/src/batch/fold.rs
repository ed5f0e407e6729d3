//! From deltas to final rows: every retraction takes away one equal insertion.

use std::collections::HashMap;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use millstream_engine::message::{Delta, Sign};
use millstream_sql::SqlError;
use millstream_sql::error::from_arrow;

/// The rows that are left when all deltas have been applied in order, in the order in which they were inserted.
///
/// # Errors
/// Where Arrow cannot encode a column.
pub fn fold_deltas(schema: &SchemaRef, deltas: &[Delta]) -> Result<Vec<RecordBatch>, SqlError> {
    if deltas.iter().all(|delta| matches!(delta.sign, Sign::AppendOnly)) {
        return Ok(deltas.iter().map(|delta| delta.batch.clone()).collect());
    }
    let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
    let converter = RowConverter::new(fields).map_err(from_arrow)?;
    let mut live: HashMap<Box<[u8]>, Vec<(usize, usize)>> = HashMap::new();
    let mut kept: Vec<Vec<bool>> = Vec::with_capacity(deltas.len());
    for (index, delta) in deltas.iter().enumerate() {
        let rows = converter.convert_columns(delta.batch.columns()).map_err(from_arrow)?;
        kept.push(vec![false; delta.rows()]);
        for (row, key) in rows.iter().enumerate() {
            if delta.is_retract(row) {
                let inserted = live.get_mut(key.as_ref()).and_then(Vec::pop);
                debug_assert!(inserted.is_some(), "a row was retracted that was never inserted");
                if let Some((index, row)) = inserted
                    && let Some(flag) = kept.get_mut(index).and_then(|flags| flags.get_mut(row))
                {
                    *flag = false;
                }
            } else {
                live.entry(key.as_ref().into()).or_default().push((index, row));
                if let Some(flag) = kept.last_mut().and_then(|flags| flags.get_mut(row)) {
                    *flag = true;
                }
            }
        }
    }
    let batches = deltas.iter().zip(kept);
    batches
        .map(|(delta, kept)| filter_record_batch(&delta.batch, &BooleanArray::from(kept)).map_err(from_arrow))
        .collect()
}

/// What turns some rows into others; `None` where they are the same. What is new comes in the order of `after`.
///
/// # Errors
/// Where Arrow cannot encode a column.
pub fn difference(
    schema: &SchemaRef,
    before: &[RecordBatch],
    after: &[RecordBatch],
) -> Result<Option<Delta>, SqlError> {
    let before = concat_batches(schema, before).map_err(from_arrow)?;
    let after = concat_batches(schema, after).map_err(from_arrow)?;
    let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
    let converter = RowConverter::new(fields).map_err(from_arrow)?;
    let old = converter.convert_columns(before.columns()).map_err(from_arrow)?;
    let new = converter.convert_columns(after.columns()).map_err(from_arrow)?;
    let mut places: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for (row, key) in old.iter().enumerate() {
        places.entry(key.data()).or_default().push(row);
    }
    let mut gone = vec![true; before.num_rows()];
    let mut is_new = |key: &[u8]| match places.get_mut(key).and_then(Vec::pop) {
        Some(place) => {
            if let Some(gone) = gone.get_mut(place) {
                *gone = false;
            }
            false
        }
        None => true,
    };
    let added: BooleanArray = new.iter().map(|key| Some(is_new(key.data()))).collect();
    let removed = filter_record_batch(&before, &BooleanArray::from(gone)).map_err(from_arrow)?;
    let added = filter_record_batch(&after, &added).map_err(from_arrow)?;
    let (retracted, rows) = (removed.num_rows(), removed.num_rows() + added.num_rows());
    if rows == 0 {
        return Ok(None);
    }
    let batch = concat_batches(schema, [&removed, &added]).map_err(from_arrow)?;
    Ok(Some(Delta::signed(batch, BooleanBuffer::collect_bool(rows, |row| row < retracted))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed assertion of a test.

    use std::sync::Arc;

    use arrow::array::{Int64Array, RecordBatch};
    use arrow::buffer::BooleanBuffer;
    use arrow::datatypes::{DataType, Field, Schema};
    use millstream_engine::message::Delta;

    use super::{difference, fold_deltas};

    #[test]
    fn a_retraction_takes_one_equal_row() {
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, false)]));
        let batch = |values: Vec<i64>| {
            RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int64Array::from(values))]).unwrap()
        };
        let deltas = [
            Delta::append(batch(vec![1, 2, 1])),
            Delta::signed(batch(vec![1, 3]), BooleanBuffer::from(vec![true, false])),
        ];
        let folded = fold_deltas(&schema, &deltas).unwrap();
        let left: Vec<i64> = folded
            .iter()
            .flat_map(|batch| batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec())
            .collect();
        assert_eq!(left, [1, 2, 3]);
    }

    #[test]
    fn a_difference_leads_from_rows_to_others() {
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
        let batch = |values: Vec<Option<i64>>| {
            RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int64Array::from(values))]).unwrap()
        };
        let before = [batch(vec![Some(1), Some(2)]), batch(vec![Some(1), None])];
        let after = [batch(vec![None, Some(1), Some(5), None])];
        let change = difference(&schema, &before, &after).unwrap().unwrap();
        assert_eq!(change.batch, batch(vec![Some(1), Some(2), Some(5), None]));
        assert_eq!((0..4).filter(|row| change.is_retract(*row)).collect::<Vec<_>>(), [0, 1]);
        assert!(difference(&schema, &after, &after).unwrap().is_none());
    }
}
