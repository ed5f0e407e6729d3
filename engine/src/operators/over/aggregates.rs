//! Aggregates over frames, for all rows of a block at once.
//!
//! Level *k* holds the aggregates of the 2^k rows from each row on, and is made of level *k* - 1 in one merge. A frame is
//! cut along the binary digits of its length, so that every frame is done after as many merges as the longest has digits,
//! whatever the aggregate: none has to be taken back.

use arrow::array::ArrayRef;
use arrow::datatypes::Schema;

use super::block::Block;
use super::frames::Spans;
use crate::error::{EngineError, Result};
use crate::operators::aggregate::{AggregateSet, Arrival};
use crate::plan::AggregateCall;

/// Aggregates of the rows before a block, from which its frames go on.
#[derive(Clone, Copy)]
pub(super) struct Carried<'a> {
    /// Sets, each of other calls.
    pub(super) sets: &'a [AggregateSet],
    /// The slot of each computed row.
    pub(super) slots: &'a [u32],
    /// How many rows came before.
    pub(super) arrived: i64,
}

/// The results of the calls for each computed row. `carried`: what these rows begin with, and in which of the sets.
pub(super) fn over_spans(
    calls: &[AggregateCall],
    schema: &Schema,
    block: &Block,
    spans: &Spans,
    carried: Option<(usize, Carried<'_>)>,
) -> Result<Vec<ArrayRef>> {
    let rows = numbers(block.batch.num_rows());
    let targets = numbers(spans.starts.len());
    let mut results = AggregateSet::new(calls, schema, false)?;
    results.resize(targets.len());
    let mut first = 0;
    if let Some((index, carried)) = carried {
        let set = carried.sets.get(index).ok_or_else(|| EngineError::Internal("nothing is carried".into()))?;
        results.merge(set, carried.slots, &targets)?;
        first = carried.arrived;
    }
    let mut level = AggregateSet::new(calls, schema, false)?;
    level.resize(rows.len());
    level.update_arrived(&block.batch, None, &rows, Some(Arrival { first, rows: None }))?;
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
