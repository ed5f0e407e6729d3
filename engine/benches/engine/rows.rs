//! Rows for micro-benchmarks: the same with every run.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use millstream_engine::message::BATCH_ROWS;

/// Column of the key.
pub(crate) const KEY: usize = 0;
/// Column of the event time, which grows.
pub(crate) const TIME: usize = 1;
/// Column of a number below 1,000,000.
pub(crate) const VALUE: usize = 2;
/// Event time that a batch spans.
pub(crate) const SECONDS_A_BATCH: i64 = 1;

/// `k BIGINT, ts TIMESTAMP(3), v BIGINT, s VARCHAR`.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("v", DataType::Int64, true),
        Field::new("s", DataType::Utf8, true),
    ]))
}

/// So many batches of rows whose keys are even among `keys`.
pub(crate) fn batches(count: usize, keys: u64) -> Vec<RecordBatch> {
    (0..count).map(|index| batch(index * BATCH_ROWS, keys)).collect()
}

fn batch(first: usize, keys: u64) -> RecordBatch {
    let numbers = || (first..first + BATCH_ROWS).map(|row| row as u64);
    let integers = |values: &mut dyn Iterator<Item = u64>| {
        values.map(|value| i64::try_from(value).unwrap_or(i64::MAX)).collect::<Vec<i64>>()
    };
    let time = |row: u64| row * SECONDS_A_BATCH.unsigned_abs() * 1_000 / BATCH_ROWS as u64;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(integers(&mut numbers().map(|row| mix(row) % keys)))),
        Arc::new(TimestampMillisecondArray::from(integers(&mut numbers().map(time)))),
        Arc::new(Int64Array::from(integers(&mut numbers().map(|row| mix(row + (1 << 40)) % 1_000_000)))),
        Arc::new(StringArray::from_iter_values(numbers().map(|row| format!("text number {row}")))),
    ];
    RecordBatch::try_new(schema(), columns).unwrap_or_else(|error| unreachable!("columns of the schema: {error}"))
}

/// The output function of SplitMix64.
fn mix(number: u64) -> u64 {
    let mut value = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
