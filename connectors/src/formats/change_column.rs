//! The column that tells what became of a row, in files: `+I` and `+U` for a row that came, `-U` and `-D` for one that went.
//!
//! Rows and their column make a delta, and back. Formats that tell of changes in their own way ([`super::change_lines`])
//! give and take the same column, so that who reads and writes files needs to know of one way only.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use millstream_engine::error::{EngineError, Result};
use millstream_engine::message::Delta;

/// The column's name in formats that have a way of their own.
pub(crate) const OWN_NAME: &str = "__op";

/// The column under a name.
pub(crate) fn field(name: &str) -> FieldRef {
    Arc::new(Field::new(name, DataType::Utf8, true))
}

/// The mark of a row. A retraction just before an insertion is an update.
pub(crate) fn mark(delta: &Delta, row: usize) -> &'static str {
    let retract = |row: usize| row < delta.rows() && delta.is_retract(row);
    match (retract(row), row > 0 && retract(row - 1), row + 1 < delta.rows() && !retract(row + 1)) {
        (true, _, true) => "-U",
        (true, _, false) => "-D",
        (false, true, _) => "+U",
        (false, false, _) => "+I",
    }
}

/// The rows of a delta with the column behind their own.
///
/// # Errors
/// Where Arrow cannot make the batch.
pub(crate) fn appended(delta: &Delta, name: &str) -> Result<RecordBatch> {
    let marks: ArrayRef = Arc::new(StringArray::from_iter_values((0..delta.rows()).map(|row| mark(delta, row))));
    let fields: Vec<FieldRef> = delta.batch.schema().fields().iter().cloned().chain([field(name)]).collect();
    let columns = delta.batch.columns().iter().cloned().chain([marks]).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// The delta of rows whose last column is that of changes.
///
/// # Errors
/// Where the column has another word than those of changes.
pub(crate) fn split(batch: &RecordBatch) -> Result<Delta> {
    let width = batch.num_columns().saturating_sub(1);
    let marks = batch.columns().get(width).and_then(|column| column.as_string_opt::<i32>());
    let Some(marks) = marks else { return Err(EngineError::Internal("rows without a column of changes".into())) };
    let retracts = (0..marks.len())
        .map(|row| if marks.is_null(row) { Ok(false) } else { is_retract(marks.value(row)) })
        .collect::<Result<Vec<bool>>>()?;
    let schema = Arc::new(Schema::new(batch.schema().fields().iter().take(width).cloned().collect::<Vec<_>>()));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let rows = RecordBatch::try_new_with_options(schema, batch.columns()[..width].to_vec(), &options)?;
    Ok(Delta::signed(rows, BooleanBuffer::from(retracts)))
}

/// Whether a word says that the row went.
fn is_retract(word: &str) -> Result<bool> {
    match word {
        "+I" | "+U" | "I" | "U" | "INSERT" | "UPDATE_AFTER" => Ok(false),
        "-U" | "-D" | "D" | "DELETE" | "UPDATE_BEFORE" => Ok(true),
        other => Err(EngineError::Evaluate(format!("\"{other}\" tells of no change: it must be +I, -U, +U or -D"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use arrow::array::Int64Array;

    use super::*;

    #[test]
    fn changes_make_a_column_and_back() {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 2, 3]));
        let batch = RecordBatch::try_from_iter([("id", ids)]).unwrap();
        let delta = Delta::signed(batch, BooleanBuffer::from(vec![false, true, false, true]));
        let rows = appended(&delta, "op").unwrap();
        let marks: Vec<_> = rows.column(1).as_string::<i32>().iter().flatten().collect();
        assert_eq!(marks, ["+I", "-U", "+U", "-D"]);
        let back = split(&rows).unwrap();
        assert_eq!((back.sign, back.batch), (delta.sign, delta.batch));
        assert!(is_retract("x").unwrap_err().to_string().contains("no change"));
    }
}
