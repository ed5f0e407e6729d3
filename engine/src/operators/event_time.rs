//! Event times out of timestamp columns of any unit, in microseconds.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{
    DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};

use crate::error::{EngineError, Result};

/// The event time of each row.
///
/// # Errors
/// [`EngineError::BadRow`] where one is null; where the column is not a timestamp.
pub fn event_times(batch: &RecordBatch, column: usize) -> Result<ScalarBuffer<i64>> {
    let values = batch.column(column);
    if values.null_count() > 0 {
        let schema = batch.schema();
        return Err(EngineError::BadRow {
            message: format!("null event time in column \"{}\"", schema.field(column).name()),
            hint: Some("filter such rows out with WHERE … IS NOT NULL before the window".into()),
        });
    }
    micros(values)
}

/// A timestamp column in microseconds; nulls have any value.
///
/// # Errors
/// Where the column is not a timestamp.
pub(crate) fn micros(values: &ArrayRef) -> Result<ScalarBuffer<i64>> {
    Ok(match values.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            scaled(values.as_primitive::<TimestampSecondType>().values(), 1_000_000)
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            scaled(values.as_primitive::<TimestampMillisecondType>().values(), 1_000)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            values.as_primitive::<TimestampMicrosecondType>().values().clone()
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            values.as_primitive::<TimestampNanosecondType>().values().iter().map(|at| at.div_euclid(1_000)).collect()
        }
        other => return Err(EngineError::Internal(format!("an event time of type {other}"))),
    })
}

fn scaled(values: &[i64], by: i64) -> ScalarBuffer<i64> {
    values.iter().map(|at| at.saturating_mul(by)).collect()
}
