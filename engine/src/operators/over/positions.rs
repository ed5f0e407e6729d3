//! Window functions that choose a row (`LAG`, `FIRST_VALUE`, …) or tell a position (`ROW_NUMBER`, `NTILE`, …).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, UInt32Array, UInt64Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{cast, concat, take};

use super::block::{Block, Segment};
use super::frames::Spans;
use crate::error::{EngineError, Result};

/// The rows that count for a call, found by number: those that pass the filter and, ignoring nulls, are not null.
pub(super) struct Seen {
    /// The rows, ascending; none where all count.
    rows: Option<Vec<u32>>,
}

impl Seen {
    pub(super) fn new(block: &Block, value: &ArrayRef, filter: Option<usize>, ignore_nulls: bool) -> Result<Self> {
        let mut keep: Option<BooleanBuffer> = None;
        if let Some(nulls) = value.logical_nulls().filter(|_| ignore_nulls) {
            keep = Some(nulls.inner().clone());
        }
        if let Some(filter) = filter {
            let Some(flags) = block.batch.column(filter).as_boolean_opt() else {
                return Err(EngineError::Internal("a filter that is not boolean".into()));
            };
            let flags = arrow::compute::prep_null_mask_filter(flags);
            keep = Some(keep.map_or_else(|| flags.values().clone(), |keep| &keep & flags.values()));
        }
        Ok(Self { rows: keep.map(|keep| keep.set_indices_u32().collect()) })
    }

    /// The n-th row, from 0, that counts in a span.
    fn nth(&self, start: u32, end: u32, n: u64) -> Option<u32> {
        let n = u32::try_from(n).ok()?;
        let row = match &self.rows {
            None => start.checked_add(n)?,
            Some(rows) => {
                let first = rows.partition_point(|row| *row < start);
                *rows.get(first.checked_add(n as usize)?)?
            }
        };
        (row < end).then_some(row)
    }

    /// The n-th row from the end, from 0, that counts in a span.
    fn nth_back(&self, start: u32, end: u32, n: u64) -> Option<u32> {
        let n = u32::try_from(n).ok()?;
        let row = match &self.rows {
            None => end.checked_sub(n)?.checked_sub(1)?,
            Some(rows) => {
                let after = rows.partition_point(|row| *row < end);
                *rows.get(after.checked_sub(n as usize)?.checked_sub(1)?)?
            }
        };
        (row >= start).then_some(row)
    }

    /// The n-th row of each span, from 1.
    pub(super) fn nth_value(&self, spans: &Spans, n: u64) -> Vec<Option<u32>> {
        let of = |(start, end): (&u32, &u32)| self.nth(*start, *end, n.checked_sub(1)?);
        spans.starts.iter().zip(&spans.ends).map(of).collect()
    }

    /// The last row of each span.
    pub(super) fn last_value(&self, spans: &Spans) -> Vec<Option<u32>> {
        spans.starts.iter().zip(&spans.ends).map(|(start, end)| self.nth_back(*start, *end, 0)).collect()
    }

    /// The row so many after each computed row of the same segment; below 0 before.
    pub(super) fn shifted(&self, block: &Block, by: i64) -> Vec<Option<u32>> {
        let of = |segment: &Segment, row: u32| match (by.unsigned_abs(), by < 0) {
            (0, _) => Some(row),
            (distance, true) => self.nth_back(segment.start, row, distance - 1),
            (distance, false) => self.nth(row + 1, segment.end, distance - 1),
        };
        block.segments.iter().flat_map(|segment| segment.rows().map(move |row| of(segment, row))).collect()
    }
}

/// The value of each chosen row; where none is, the default of the target row.
pub(super) fn values(
    value: &ArrayRef,
    chosen: &[Option<u32>],
    default: Option<(&ArrayRef, &[u32])>,
) -> Result<ArrayRef> {
    let Some((default, targets)) = default else {
        return Ok(take(value, &UInt32Array::from_iter(chosen), None)?);
    };
    let default = cast(default, value.data_type())?;
    let rows = u32::try_from(value.len()).map_err(|_| EngineError::Internal("a block of 2^32 rows".into()))?;
    let both = concat(&[value, &default])?;
    let places = chosen.iter().zip(targets).map(|(chosen, target)| chosen.unwrap_or(rows + target));
    Ok(take(&both, &UInt32Array::from_iter_values(places), None)?)
}

/// The number of each computed row in its partition.
pub(super) fn row_numbers(block: &Block) -> ArrayRef {
    let of = |segment: &Segment| {
        let (from, before) = (segment.from, segment.rows_before);
        segment.rows().map(move |row| before + u64::from(row - from) + 1)
    };
    Arc::new(UInt64Array::from_iter_values(block.segments.iter().flat_map(of)))
}

/// The rank of each computed row.
pub(super) fn ranks(block: &Block) -> ArrayRef {
    Arc::new(UInt64Array::from_iter_values(rank_values(block)))
}

fn rank_values(block: &Block) -> impl Iterator<Item = u64> {
    block.segments.iter().flat_map(|segment| {
        let rank =
            |row: u32| segment.rows_before + u64::from(block.peers[row as usize].0.saturating_sub(segment.from)) + 1;
        segment.rows().map(rank)
    })
}

/// The dense rank of each computed row.
pub(super) fn dense_ranks(block: &Block) -> ArrayRef {
    let mut ranks = Vec::new();
    for segment in &block.segments {
        let mut rank = segment.groups_before;
        for row in segment.rows() {
            rank += u64::from(row == segment.from || block.peers[row as usize].0 == row);
            ranks.push(rank);
        }
    }
    Arc::new(UInt64Array::from(ranks))
}

/// `(rank - 1) / (rows - 1)` of whole partitions; 0 for a single row.
pub(super) fn percent_ranks(block: &Block) -> ArrayRef {
    let sizes = block.segments.iter().flat_map(|segment| segment.rows().map(|_| segment.end - segment.start));
    let percent = |(rank, rows): (u64, u32)| if rows > 1 { (rank - 1) as f64 / f64::from(rows - 1) } else { 0.0 };
    Arc::new(Float64Array::from_iter_values(rank_values(block).zip(sizes).map(percent)))
}

/// The part of the partition's rows that are not after each row.
pub(super) fn cume_dists(block: &Block) -> ArrayRef {
    let of = |segment: &Segment| {
        let (start, end) = (segment.start, segment.end);
        segment.rows().map(move |row| f64::from(block.peers[row as usize].1 - start) / f64::from(end - start))
    };
    Arc::new(Float64Array::from_iter_values(block.segments.iter().flat_map(of)))
}

/// The bucket of each row, from 1, where partitions are cut into so many as equal as can be, larger ones first.
pub(super) fn ntiles(block: &Block, buckets: u64) -> ArrayRef {
    let of = |segment: &Segment| {
        let (start, rows) = (segment.start, u64::from(segment.end - segment.start));
        let buckets = buckets.max(1);
        let (size, larger) = (rows / buckets, rows % buckets);
        segment.rows().map(move |row| {
            let at = u64::from(row - start);
            let in_larger = larger * (size + 1);
            if at < in_larger { at / (size + 1) + 1 } else { larger + (at - in_larger) / size.max(1) + 1 }
        })
    };
    Arc::new(UInt64Array::from_iter_values(block.segments.iter().flat_map(of)))
}
