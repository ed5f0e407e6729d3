//! Aggregates over frames, for all rows of a block at once.
//!
//! Level *k* holds the aggregates of the 2^k rows from each row on, and is made of level *k* - 1 in one merge. A frame is
//! cut along the binary digits of its length, so that every frame is done after as many merges as the longest has digits,
//! whatever the aggregate: none has to be taken back.

use arrow::array::ArrayRef;
use arrow::datatypes::Schema;

use super::block::Block;
use super::frames::Spans;
use crate::error::Result;
use crate::operators::aggregate::AggregateSet;
use crate::plan::AggregateCall;

/// The results of the calls for each computed row. `carried` has what each of these rows begins with, as slots of
/// another set.
pub(super) fn over_spans(
    calls: &[AggregateCall],
    schema: &Schema,
    block: &Block,
    spans: &Spans,
    carried: Option<(&AggregateSet, &[u32])>,
) -> Result<Vec<ArrayRef>> {
    let rows = numbers(block.batch.num_rows());
    let targets = numbers(spans.starts.len());
    let mut results = AggregateSet::new(calls, schema, false)?;
    results.resize(targets.len());
    if let Some((set, slots)) = carried {
        results.merge(set, slots, &targets)?;
    }
    let mut level = AggregateSet::new(calls, schema, false)?;
    level.resize(rows.len());
    level.update(&block.batch, &rows)?;
    let mut cursors = spans.starts.clone();
    let longest = spans.starts.iter().zip(&spans.ends).map(|(start, end)| end - start).max().unwrap_or(0);
    let (mut from, mut into) = (Vec::new(), Vec::new());
    for digit in 0..u32::BITS - longest.leading_zeros() {
        let span = 1_u32 << digit;
        if digit > 0 {
            level = doubled(calls, schema, &level, &rows, span / 2)?;
        }
        from.clear();
        into.clear();
        for (target, cursor) in cursors.iter_mut().enumerate() {
            if (spans.ends[target] - spans.starts[target]) & span != 0 {
                from.push(*cursor);
                into.push(targets[target]);
                *cursor += span;
            }
        }
        results.merge(&level, &from, &into)?;
    }
    results.read(&targets)
}

/// Aggregates over twice as many rows: those of each row, and those of the row `half` after it.
fn doubled(
    calls: &[AggregateCall],
    schema: &Schema,
    level: &AggregateSet,
    rows: &[u32],
    half: u32,
) -> Result<AggregateSet> {
    let mut next = AggregateSet::new(calls, schema, false)?;
    next.resize(rows.len());
    next.merge(level, rows, rows)?;
    let later = rows.get(half as usize..).unwrap_or(&[]);
    next.merge(level, later, &rows[..later.len()])?;
    Ok(next)
}

fn numbers(count: usize) -> Vec<u32> {
    (0..).take(count).collect()
}
