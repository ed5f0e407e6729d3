//! From deltas to final rows: every retraction takes away one equal insertion.

use std::collections::HashMap;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use millstream_engine::message::{Delta, Sign};
use millstream_sql::SqlError;

use crate::errors::from_arrow;

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed assertion of a test.

    use std::sync::Arc;

    use arrow::array::{Int64Array, RecordBatch};
    use arrow::buffer::BooleanBuffer;
    use arrow::datatypes::{DataType, Field, Schema};
    use millstream_engine::message::Delta;

    use super::fold_deltas;

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
}
