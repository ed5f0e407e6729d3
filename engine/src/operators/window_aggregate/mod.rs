//! Aggregation per key and aligned window. [`WindowAggregate`]: each window comes out once, when it closes.
//! [`WindowUpdates`]: results come out before that, or are replaced after it.
//!
//! Windows of one kind share slices (`slices`, `sliced`): a row is aggregated once, into its slice (`groups`), however many
//! windows hold it.

mod groups;
mod sliced;
mod slices;
mod updates;

use std::collections::btree_map::{BTreeMap, Entry};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, TimestampMillisecondArray};
use arrow::datatypes::{Int64Type, SchemaRef};

use self::groups::{Groups, Template};
use self::sliced::{Sliced, by_slice};
use self::slices::is_closed;
pub use self::updates::WindowUpdates;
use super::aggregate::{Arrival, find_table, table_of};
use super::event_time::event_times;
use super::key_group::take_rows;
use super::{Context, Operator, OperatorState};
use crate::checkpoint::numbers::placed;
use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};
use crate::message::{BATCH_ROWS, Delta, Epoch, Sign};
use crate::plan::{WindowAggregateSpec, WindowInput, WindowTime};
use crate::time::{EventTime, ProcessingTime};

/// See the module. Output: the keys, the calls, `window_start`, `window_end`, `window_time`.
pub struct WindowAggregate {
    template: Template,
    output: SchemaRef,
    windows: Windows,
    watermark: i64,
    /// Rows that have arrived.
    arrived: i64,
}

/// The open windows.
enum Windows {
    /// The operator places rows in slices.
    Sliced(Box<Sliced>),
    /// Rows carry their window: groups by (end, start).
    Attached { start: usize, end: usize, open: BTreeMap<(i64, i64), Groups> },
}

impl WindowAggregate {
    /// The operator on one shard.
    ///
    /// # Errors
    /// Where an aggregate is not defined for its argument's type.
    pub fn new(spec: &WindowAggregateSpec, input: &SchemaRef, output: SchemaRef) -> Result<Self> {
        let template = Template::new(spec, input)?;
        let windows = match spec.window {
            WindowInput::Assign { window, time } => Windows::Sliced(Box::new(Sliced::new(window, time)?)),
            WindowInput::Attached { start, end } => Windows::Attached { start, end, open: BTreeMap::new() },
        };
        Ok(Self { template, output, windows, watermark: i64::MIN, arrived: 0 })
    }

    /// Emits the windows that the watermark closes, in order of their ends.
    fn close(&mut self, watermark: i64, context: &mut Context<'_>) -> Result<()> {
        self.watermark = self.watermark.max(watermark);
        match &mut self.windows {
            Windows::Attached { open, .. } => {
                while let Some(first) = open.first_entry().filter(|first| is_closed(first.key().0, watermark)) {
                    let ((end, start), groups) = first.remove_entry();
                    emit(&self.output, &groups, start, end, context)?;
                }
                Ok(())
            }
            Windows::Sliced(sliced) => sliced.close(watermark, &self.template, &self.output, context),
        }
    }

    fn times_table(&self) -> Result<RecordBatch> {
        let closed = match &self.windows {
            Windows::Sliced(sliced) => sliced.closed,
            Windows::Attached { .. } => i64::MIN,
        };
        table_of(vec![Arc::new(Int64Array::from(vec![self.watermark, closed, self.arrived]))], 3)
    }
}

/// The bounds of windows as a table.
fn bounds_table(bounds: [Vec<i64>; 2]) -> Result<RecordBatch> {
    let rows = bounds[0].len();
    table_of(bounds.map(|column| Arc::new(Int64Array::from(column)) as ArrayRef).into(), rows)
}

impl Windows {
    /// The open windows by what tells them apart.
    fn open(&mut self) -> Box<dyn Iterator<Item = ((i64, i64), &mut Groups)> + '_> {
        match self {
            Self::Sliced(sliced) => Box::new(sliced.open.iter_mut().map(|(slice, of)| ((*slice, 0), of))),
            Self::Attached { open, .. } => Box::new(open.iter_mut().map(|(window, of)| (*window, of))),
        }
    }
}

/// Emits all groups of a window. A watermark that jumps closes many windows: asks at each whether to go on.
fn emit(output: &SchemaRef, groups: &Groups, start: i64, end: i64, context: &mut Context<'_>) -> Result<()> {
    context.check()?;
    let (mut columns, rows) = groups.read()?;
    let at =
        |micros: i64| -> ArrayRef { Arc::new(TimestampMillisecondArray::from_value(micros.div_euclid(1_000), rows)) };
    columns.extend([at(start), at(end), at(end - 1_000)]);
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(Arc::clone(output), columns, &options)?;
    for from in (0..rows).step_by(BATCH_ROWS) {
        context.emit(Delta::append(batch.slice(from, BATCH_ROWS.min(rows - from))));
    }
    Ok(())
}

/// The numbers of all rows.
fn all_rows(delta: &Delta) -> impl Iterator<Item = u32> + Clone {
    (0_u32..).take(delta.rows())
}

/// The rows of each attached window.
fn by_window(starts: &[i64], ends: &[i64]) -> BTreeMap<(i64, i64), Vec<u32>> {
    let mut parts: BTreeMap<(i64, i64), Vec<u32>> = BTreeMap::new();
    for (row, (&start, &end)) in (0_u32..).zip(starts.iter().zip(ends)) {
        parts.entry((end, start)).or_default().push(row);
    }
    parts
}

impl Operator for WindowAggregate {
    fn on_delta(&mut self, _port: usize, delta: Delta, context: &mut Context<'_>) -> Result<()> {
        if delta.sign != Sign::AppendOnly && !self.template.retracts {
            return Err(EngineError::Internal("retractions into a window over insertions".into()));
        }
        let arrived = self.arrived;
        self.arrived += delta.rows() as i64;
        match &mut self.windows {
            Windows::Sliced(sliced) => sliced.update(&delta, arrived, self.watermark, &self.template, context),
            Windows::Attached { start, end, open } => {
                let (starts, ends) = (event_times(&delta.batch, *start)?, event_times(&delta.batch, *end)?);
                for ((end, start), rows) in by_window(&starts, &ends) {
                    if is_closed(end, self.watermark) {
                        context.late(&delta, rows.into_iter())?;
                        continue;
                    }
                    let part = take_rows(&delta, rows.clone())?;
                    let arrival = Arrival { first: arrived, rows: Some(&rows) };
                    match open.entry((end, start)) {
                        Entry::Occupied(mut open) => open.get_mut().update(&part, arrival)?,
                        Entry::Vacant(vacant) => vacant.insert(self.template.groups()?).update(&part, arrival)?,
                    }
                }
                Ok(())
            }
        }
    }

    fn on_watermark(&mut self, watermark: EventTime, context: &mut Context<'_>) -> Result<()> {
        let by_clock = matches!(&self.windows, Windows::Sliced(sliced) if sliced.time == WindowTime::Processing);
        if !by_clock {
            self.close(watermark.0, context)?;
        }
        context.emit_watermark(watermark);
        Ok(())
    }

    fn on_barrier(&mut self, _epoch: Epoch, context: &mut Context<'_>) -> Result<()> {
        // A restored operator has windows but no timer yet.
        if let Windows::Sliced(sliced) = &self.windows
            && sliced.time == WindowTime::Processing
            && let Some(end) = sliced.next_end()
        {
            context.set_timer(ProcessingTime(end));
        }
        Ok(())
    }

    fn on_timer(&mut self, now: ProcessingTime, context: &mut Context<'_>) -> Result<()> {
        // A window of the clock is over when the clock has reached its end, not its last millisecond.
        self.close(now.0.saturating_sub(1_000), context)?;
        if let Windows::Sliced(sliced) = &self.windows
            && let Some(end) = sliced.next_end()
        {
            context.set_timer(ProcessingTime(end));
        }
        Ok(())
    }

    fn on_end(&mut self, context: &mut Context<'_>) -> Result<()> {
        self.close(i64::MAX, context)
    }

    fn capture(&mut self, epoch: Epoch, base: Option<Epoch>) -> Result<Vec<Table>> {
        let (mut tables, mut bounds) = (Vec::new(), [Vec::new(), Vec::new()]);
        for (index, ((first, second), groups)) in self.windows.open().enumerate() {
            bounds[0].push(first);
            bounds[1].push(second);
            tables.extend(groups.capture(&format!("{index}/"), epoch, base)?.0);
        }
        tables.push(Table::whole("windows", bounds_table(bounds)?));
        tables.push(Table::whole("times", self.times_table()?));
        Ok(tables)
    }

    fn restore(&mut self, state: OperatorState) -> Result<()> {
        let state = placed(state)?;
        let ints = |name: &str, column: usize| -> Result<Vec<i64>> {
            let table = find_table(&state, name)?;
            let column = table.columns().get(column).and_then(|column| column.as_primitive_opt::<Int64Type>());
            column
                .map(|column| column.values().to_vec())
                .ok_or_else(|| EngineError::Internal("not a window's state".into()))
        };
        let (first, second) = (ints("windows", 0)?, ints("windows", 1)?);
        let [watermark, closed, arrived] = ints("times", 0)?[..] else {
            return Err(EngineError::Internal("not a window's state".into()));
        };
        (self.watermark, self.arrived) = (watermark, arrived);
        if let Windows::Sliced(sliced) = &mut self.windows {
            sliced.closed = closed;
        }
        for (index, (first, second)) in first.into_iter().zip(second).enumerate() {
            // State of several shards has a window as often.
            let known = match &mut self.windows {
                Windows::Sliced(sliced) => sliced.open.remove(&first),
                Windows::Attached { open, .. } => open.remove(&(first, second)),
            };
            let mut groups = known.map_or_else(|| self.template.groups(), Ok)?;
            groups.restore(&format!("{index}/"), &state)?;
            match &mut self.windows {
                Windows::Sliced(sliced) => {
                    sliced.open.insert(first, groups);
                }
                Windows::Attached { open, .. } => {
                    open.insert((first, second), groups);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
