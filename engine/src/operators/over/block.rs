//! [`Block`]: rows of some partitions in order, over which window functions are computed.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Int64Type};

use crate::error::{EngineError, Result};
use crate::operators::event_time::micros;

/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

/// See the module. Rows are numbered through all segments.
pub(super) struct Block {
    /// The columns that the calls name.
    pub(super) batch: RecordBatch,
    pub(super) segments: Vec<Segment>,
    /// For each row, where its group of peers starts and ends.
    pub(super) peers: Vec<(u32, u32)>,
    /// Sort keys for `RANGE` offsets; none where no frame has one.
    pub(super) keys: Option<RangeKeys>,
}

/// The rows of one partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    /// First row, first row that is computed, and the end.
    pub(super) start: u32,
    pub(super) from: u32,
    pub(super) end: u32,
    /// Rows and groups of peers of the partition before `from`, whether they are in the block or not.
    pub(super) rows_before: u64,
    pub(super) groups_before: u64,
}

impl Segment {
    /// The rows that are computed.
    pub(super) fn rows(&self) -> std::ops::Range<u32> {
        self.from..self.end
    }
}

impl Block {
    /// Rows that are computed, of all segments.
    pub(super) fn targets(&self) -> Vec<u32> {
        self.segments.iter().flat_map(Segment::rows).collect()
    }
}

/// Sort keys as numbers that grow along the order.
pub(super) struct RangeKeys {
    values: Vec<i64>,
    nulls: Option<NullBuffer>,
    nulls_first: bool,
}

impl RangeKeys {
    /// The keys of a column: dates and timestamps in microseconds.
    ///
    /// # Errors
    /// Where the column's type has no distance.
    pub(super) fn new(column: &ArrayRef, descending: bool, nulls_first: bool) -> Result<Self> {
        let mut values: Vec<i64> = match column.data_type() {
            DataType::Timestamp(_, _) => micros(column)?.to_vec(),
            DataType::Date32 => {
                let days = column.as_primitive::<Date32Type>().values();
                days.iter().map(|day| i64::from(*day) * DAY_US).collect()
            }
            other if other.is_integer() && *other != DataType::UInt64 => {
                cast(column, &DataType::Int64)?.as_primitive::<Int64Type>().values().to_vec()
            }
            other => {
                return Err(EngineError::Unsupported(format!("a RANGE with an offset over a column of type {other}")));
            }
        };
        if descending {
            // Turns the order round and keeps distances, without overflow.
            values.iter_mut().for_each(|value| *value = !*value);
        }
        Ok(Self { values, nulls: column.logical_nulls(), nulls_first })
    }

    /// Keys that are known to be without nulls and in ascending order.
    pub(super) fn ascending(values: Vec<i64>) -> Self {
        Self { values, nulls: None, nulls_first: false }
    }

    /// The key of a row; none where it is null.
    pub(super) fn get(&self, row: u32) -> Option<i64> {
        let valid = self.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row as usize));
        valid.then(|| self.values[row as usize])
    }

    /// The first row of a segment whose key is not before (`after`: is after) this one. Nulls stand at their end.
    pub(super) fn search(&self, segment: &Segment, key: i64, after: bool) -> u32 {
        let (mut low, mut high) = (segment.start, segment.end);
        while low < high {
            let middle = low + (high - low) / 2;
            let is_before = match self.get(middle) {
                None => self.nulls_first,
                Some(other) if after => other <= key,
                Some(other) => other < key,
            };
            if is_before { low = middle + 1 } else { high = middle }
        }
        low
    }
}
