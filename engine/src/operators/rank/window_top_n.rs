//! [`WindowTopN`]: the first rows of each partition of a window, emitted once, when the watermark closes the window.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{Int64Type, Schema, SchemaRef};

use super::changes::Changes;
use super::in_time;
use super::partitions::{Partitions, Ranks};
use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};
use crate::message::{Delta, Epoch, Sign};
use crate::operators::aggregate::{find_table, table_of};
use crate::operators::event_time::event_times;
use crate::operators::{Context, Operator, OperatorState};
use crate::plan::{RankFunction, RankSpec};
use crate::time::EventTime;

/// See the module. Output: the input columns, then the rank if asked for.
pub(super) struct WindowTopN {
    partitions: Partitions,
    output: SchemaRef,
    ranks: Ranks,
    /// A row that is there often comes with each of its numbers.
    each_copy: bool,
    retracts: bool,
    end_column: usize,
    /// Partitions by the end of their window.
    open: BTreeMap<i64, Vec<u32>>,
    is_open: Vec<bool>,
    watermark: i64,
    changes: Changes,
}

impl WindowTopN {
    /// The operator; `end_column` has the window's end.
    ///
    /// # Errors
    /// Where a column has a type that cannot be compared, or the window is not part of the partition.
    pub(super) fn new(spec: &RankSpec, end_column: usize, input: &Schema, output: SchemaRef) -> Result<Self> {
        if !spec.partition.contains(&end_column) {
            return Err(EngineError::Internal("a window rank that is not partitioned by its window".into()));
        }
        let ranks = Ranks { function: spec.function, from: spec.from, to: spec.to };
        let bound = (!spec.retracts && spec.to < u64::MAX).then_some(ranks);
        Ok(Self {
            partitions: Partitions::new(input, &spec.partition, &spec.order, bound)?,
            output,
            ranks,
            each_copy: spec.rank_column.is_some() && spec.function == RankFunction::RowNumber,
            retracts: spec.retracts,
            end_column,
            open: BTreeMap::new(),
            is_open: Vec::new(),
            watermark: i64::MIN,
            changes: Changes::default(),
        })
    }

    /// Emits and drops the windows that a watermark closes, in order of their ends.
    fn close(&mut self, watermark: i64, context: &mut Context<'_>) -> Result<()> {
        self.watermark = self.watermark.max(watermark);
        let mut shown = Vec::new();
        while let Some(first) = self.open.first_entry().filter(|first| is_closed(*first.key(), watermark)) {
            let slots = first.remove();
            for &slot in &slots {
                shown.clear();
                self.partitions.show(slot, self.ranks, self.each_copy, &mut shown);
                shown.iter().for_each(|row| self.changes.insert(slot, row));
                self.is_open[slot as usize] = false;
            }
            self.changes.emit(self.partitions.store(), &self.output, context)?;
            self.partitions.remove(&slots);
            self.partitions.release()?;
        }
        Ok(())
    }

    fn times_table(&self) -> Result<RecordBatch> {
        table_of(vec![Arc::new(Int64Array::from(vec![self.watermark]))], 1)
    }
}

/// As of a window that a window join waits for: at its last millisecond.
fn is_closed(end: i64, watermark: i64) -> bool {
    end.saturating_sub(1_000) <= watermark
}

/// Notes the window of a partition.
fn open(windows: &mut BTreeMap<i64, Vec<u32>>, is_open: &mut Vec<bool>, slot: u32, end: i64) {
    if is_open.len() <= slot as usize {
        is_open.resize(slot as usize + 1, false);
    }
    if !std::mem::replace(&mut is_open[slot as usize], true) {
        windows.entry(end).or_default().push(slot);
    }
}

impl Operator for WindowTopN {
    fn on_delta(&mut self, _port: usize, delta: Delta, context: &mut Context<'_>) -> Result<()> {
        if !self.retracts && delta.sign != Sign::AppendOnly {
            return Err(EngineError::Internal("retractions into a rank over insertions".into()));
        }
        let watermark = self.watermark;
        let Some(delta) = in_time(delta, self.end_column, |end| is_closed(end, watermark), context)? else {
            return Ok(());
        };
        let ends = event_times(&delta.batch, self.end_column)?;
        let (windows, is_open) = (&mut self.open, &mut self.is_open);
        self.partitions.apply(&delta, |_, slot, row| {
            open(windows, is_open, slot, ends[row]);
            true
        })
    }

    fn on_watermark(&mut self, watermark: EventTime, context: &mut Context<'_>) -> Result<()> {
        self.close(watermark.0, context)?;
        context.emit_watermark(watermark);
        Ok(())
    }

    fn on_barrier(&mut self, _epoch: Epoch, _context: &mut Context<'_>) -> Result<()> {
        self.partitions.release()
    }

    fn on_end(&mut self, context: &mut Context<'_>) -> Result<()> {
        self.close(i64::MAX, context)
    }

    fn capture(&mut self, epoch: Epoch, base: Option<Epoch>) -> Result<Vec<Table>> {
        let times = Table::whole("times", self.times_table()?);
        Ok(vec![self.partitions.capture("rows", epoch, base)?, times])
    }

    fn restore(&mut self, state: OperatorState) -> Result<()> {
        let rows = find_table(&state, "rows")?;
        let slots = self.partitions.restore(rows)?;
        let ends = event_times(rows, self.end_column)?;
        slots.iter().zip(ends.iter()).for_each(|(&slot, &end)| open(&mut self.open, &mut self.is_open, slot, end));
        let times = find_table(&state, "times")?;
        let watermark = times.columns().first().and_then(|column| column.as_primitive_opt::<Int64Type>());
        self.watermark = watermark.filter(|times| !times.is_empty()).map_or(i64::MIN, |times| times.value(0));
        self.partitions.release()
    }
}
