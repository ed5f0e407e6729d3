//! [`OverNetChange`]: window functions over any input; emits the net change of each partition at the barrier.
//!
//! A touched partition's rows before and after the epoch are put side by side and both are computed, from the first row
//! that differs where no call looks forward. Rows with equal results on both sides are not emitted.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBufferBuilder, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, Rows, SortField};

use super::block::{Block, RangeKeys, Segment};
use super::calls::{Calls, has_range_offset};
use super::reach::Reach;
use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};
use crate::message::{BATCH_ROWS, Delta, Epoch, Sign};
use crate::operators::aggregate::find_table;
use crate::operators::rank::arena::RowArena;
use crate::operators::rank::partitions::{Partitions, Ranks, Shown};
use crate::operators::rank::touched::Touched;
use crate::operators::{Context, Operator, OperatorState};
use crate::plan::{OverSpec, RankFunction, SortKey};
use crate::time::EventTime;

/// Rows that are computed together; a larger partition is computed alone.
const BLOCK_ROWS: usize = 8 * BATCH_ROWS;

/// All rows of a partition.
const ALL: Ranks = Ranks { function: RankFunction::RowNumber, from: 1, to: u64::MAX };

/// See the module. Output: the input columns, then the calls.
pub(super) struct OverNetChange {
    partitions: Partitions,
    calls: Calls,
    reach: Reach,
    /// The sort key that `RANGE` offsets are of.
    range_key: Option<SortKey>,
    /// Tells whether results are equal.
    results: RowConverter,
    output: SchemaRef,
    retracts: bool,
    epoch: Touched,
}

/// Rows of partitions before and after the epoch, to be computed together.
#[derive(Default)]
struct Pairs {
    /// The rows with their partitions; the segments come in pairs, before and after.
    ids: Vec<u32>,
    slots: Vec<u32>,
    entries: Vec<Shown>,
    segments: Vec<Segment>,
}

impl OverNetChange {
    /// The operator.
    ///
    /// # Errors
    /// Where a call cannot work.
    pub(super) fn new(spec: &OverSpec, input: &SchemaRef, output: SchemaRef) -> Result<Self> {
        let calls = Calls::new(&spec.calls, Arc::clone(input))?;
        let ranged = spec.calls.iter().any(|call| has_range_offset(&call.frame));
        let range_key = match (ranged, &spec.order[..]) {
            (false, _) => None,
            (true, [key]) => Some(*key),
            (true, _) => {
                return Err(EngineError::Unsupported("a RANGE with an offset needs one ORDER BY column".into()));
            }
        };
        let types = spec.calls.iter().map(|call| SortField::new(call.output.data_type().clone())).collect();
        Ok(Self {
            partitions: Partitions::new(input, &spec.partition, &spec.order, None)?,
            reach: Reach::of(calls.iter()),
            calls,
            range_key,
            results: RowConverter::new(types)?,
            output,
            retracts: spec.retracts,
            epoch: Touched::default(),
        })
    }

    fn flush(&mut self, context: &mut Context<'_>) -> Result<()> {
        let epoch = std::mem::take(&mut self.epoch);
        let (mut pairs, mut after, mut empty) = (Pairs::default(), Vec::new(), Vec::new());
        for (slot, before) in epoch.iter() {
            after.clear();
            self.partitions.show(slot, ALL, true, &mut after);
            if self.partitions.is_empty(slot) {
                empty.push(slot);
            }
            pairs.add(&self.partitions.store().arena, slot, before, &after, self.reach);
            if pairs.ids.len() >= BLOCK_ROWS {
                self.emit(&std::mem::take(&mut pairs), context)?;
            }
        }
        self.emit(&pairs, context)?;
        self.epoch = epoch.cleared();
        self.partitions.remove(&empty);
        self.partitions.release()
    }

    /// Computes and emits what differs.
    fn emit(&self, pairs: &Pairs, context: &mut Context<'_>) -> Result<()> {
        if pairs.ids.is_empty() {
            return Ok(());
        }
        context.check()?;
        let columns = self.partitions.store().decode(&pairs.ids, &pairs.slots)?;
        let keys = match &self.range_key {
            None => None,
            Some(key) => Some(RangeKeys::new(&columns[key.column], key.descending, key.nulls_first)?),
        };
        let options = RecordBatchOptions::new().with_row_count(Some(pairs.ids.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(self.calls.schema()), columns, &options)?;
        let peers = pairs.peers(&self.partitions.store().arena);
        let block = Block { batch, segments: pairs.segments.clone(), peers, keys };
        let results = self.calls.evaluate(&block, None)?;
        let encoded = self.results.convert_columns(&results)?;
        let changes = pairs.compare(&self.partitions.store().arena, &encoded);
        changes.emit(&block.batch, &results, &self.output, context)
    }
}

impl Pairs {
    /// Adds a partition, without the rows at its start that neither change nor are looked at.
    fn add(&mut self, arena: &RowArena, slot: u32, before: &[Shown], after: &[Shown], reach: Reach) {
        let same = before.iter().zip(after).take_while(|(old, new)| old.entry.compare_rows(arena, &new.entry).is_eq());
        let same = same.count();
        if same == before.len() && same == after.len() {
            return;
        }
        // Peers of a row that changes see it.
        let mut from = if reach.forward { 0 } else { same };
        while from > 0 && before[from - 1].entry.is_peer(arena, &before[same - 1].entry) {
            from -= 1;
        }
        let all = reach.all || reach.range.is_some() || reach.head > 0 || reach.forward;
        let start = if all { 0 } else { from.saturating_sub(reach.rows as usize) };
        let starts_group =
            |(row, shown): (usize, &Shown)| row == 0 || !shown.entry.is_peer(arena, &before[row - 1].entry);
        let groups = before[..from].iter().enumerate().filter(|row| starts_group(*row)).count();
        for rows in [before, after] {
            let at = |row: usize| u32::try_from(self.ids.len() + row - start).unwrap_or(u32::MAX);
            self.segments.push(Segment {
                start: at(start),
                from: at(from),
                end: at(rows.len()),
                rows_before: from as u64,
                groups_before: groups as u64,
            });
            let rows = &rows[start..];
            self.ids.extend(rows.iter().map(|row| row.entry.id));
            self.slots.extend(std::iter::repeat_n(slot, rows.len()));
            self.entries.extend_from_slice(rows);
        }
    }

    /// For each row where its peers start and end.
    fn peers(&self, arena: &RowArena) -> Vec<(u32, u32)> {
        let mut peers = Vec::with_capacity(self.ids.len());
        for segment in &self.segments {
            let mut start = segment.start;
            while start < segment.end {
                let first = &self.entries[start as usize].entry;
                let rest = &self.entries[start as usize..segment.end as usize];
                let count = rest.iter().take_while(|row| row.entry.is_peer(arena, first)).count();
                let end = start + u32::try_from(count).unwrap_or(1).max(1);
                peers.extend((start..end).map(|_| (start, end)));
                start = end;
            }
        }
        peers
    }

    /// The computed rows that differ between before and after, in row or in result.
    fn compare(&self, arena: &RowArena, results: &Rows) -> Changes {
        let (mut changes, mut insertions, mut target) = (Changes::default(), Changes::default(), 0);
        for pair in self.segments.chunks_exact(2) {
            let (before, after) = (&pair[0], &pair[1]);
            // Results are numbered by computed row: those of `before`, then those of `after`.
            let results_after = target + (before.end - before.from);
            let (mut old, mut new) = (before.from, after.from);
            while old < before.end || new < after.end {
                let order = match (old < before.end, new < after.end) {
                    (true, false) => Ordering::Less,
                    (false, _) => Ordering::Greater,
                    (true, true) => {
                        let (old, new) = (&self.entries[old as usize], &self.entries[new as usize]);
                        old.entry.compare_rows(arena, &new.entry)
                    }
                };
                let (at_old, at_new) = (target + (old - before.from), results_after + (new - after.from));
                match order {
                    Ordering::Less => changes.push(old, at_old, true),
                    Ordering::Greater => insertions.push(new, at_new, false),
                    Ordering::Equal if results.row(at_old as usize) != results.row(at_new as usize) => {
                        changes.push(old, at_old, true);
                        changes.push(new, at_new, false);
                    }
                    Ordering::Equal => {}
                }
                old += u32::from(order.is_le());
                new += u32::from(order.is_ge());
            }
            // A row that only moved goes before it comes.
            changes.append(&mut insertions);
            target = results_after + (after.end - after.from);
        }
        changes
    }
}

/// What is emitted: rows of a block, their results, and their signs.
#[derive(Default)]
struct Changes {
    rows: Vec<u32>,
    results: Vec<u32>,
    retracts: Vec<bool>,
}

impl Changes {
    fn push(&mut self, row: u32, result: u32, retracts: bool) {
        self.rows.push(row);
        self.results.push(result);
        self.retracts.push(retracts);
    }

    fn append(&mut self, other: &mut Self) {
        self.rows.append(&mut other.rows);
        self.results.append(&mut other.results);
        self.retracts.append(&mut other.retracts);
    }

    fn emit(
        &self,
        batch: &RecordBatch,
        results: &[ArrayRef],
        output: &SchemaRef,
        context: &mut Context<'_>,
    ) -> Result<()> {
        for start in (0..self.rows.len()).step_by(BATCH_ROWS) {
            let end = self.rows.len().min(start + BATCH_ROWS);
            let rows = UInt32Array::from(self.rows[start..end].to_vec());
            let of_results = UInt32Array::from(self.results[start..end].to_vec());
            let mut columns = Vec::with_capacity(output.fields().len());
            for column in batch.columns() {
                columns.push(take(column, &rows, None)?);
            }
            for column in results {
                columns.push(take(column, &of_results, None)?);
            }
            let mut retracts = BooleanBufferBuilder::new(end - start);
            retracts.append_slice(&self.retracts[start..end]);
            let batch = RecordBatch::try_new(Arc::clone(output), columns)?;
            context.emit(Delta::signed(batch, retracts.finish()));
        }
        Ok(())
    }
}

impl Operator for OverNetChange {
    fn on_delta(&mut self, _port: usize, delta: Delta, _context: &mut Context<'_>) -> Result<()> {
        if !self.retracts && delta.sign != Sign::AppendOnly {
            return Err(EngineError::Internal("retractions into window functions over insertions".into()));
        }
        let epoch = &mut self.epoch;
        self.partitions.apply(&delta, |partitions, slot, _| {
            epoch.touch(partitions, slot, ALL, true);
            true
        })
    }

    fn on_watermark(&mut self, watermark: EventTime, context: &mut Context<'_>) -> Result<()> {
        context.emit_watermark(watermark);
        Ok(())
    }

    fn on_barrier(&mut self, _epoch: Epoch, context: &mut Context<'_>) -> Result<()> {
        self.flush(context)
    }

    fn on_end(&mut self, context: &mut Context<'_>) -> Result<()> {
        self.flush(context)
    }

    fn capture(&mut self, epoch: Epoch, base: Option<Epoch>) -> Result<Vec<Table>> {
        Ok(vec![self.partitions.capture("rows", epoch, base)?])
    }

    fn restore(&mut self, state: OperatorState) -> Result<()> {
        self.partitions.restore(find_table(&state, "rows")?)?;
        self.partitions.release()
    }
}
