//! Aggregation per key and aligned window. [`WindowAggregate`]: each window comes out once, when it closes.
//! [`WindowUpdates`]: results come out before that, or are replaced after it.
//!
//! Windows of one kind share slices (`slices`): a row is aggregated once, into its slice (`groups`), however many windows
//! hold it. A closing window is read from a running table to which slices are added and from which, where every
//! aggregate allows it exactly, they are taken away again.

mod groups;
mod slices;
mod updates;

use std::collections::HashMap;
use std::collections::btree_map::{BTreeMap, Entry};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, TimestampMillisecondArray};
use arrow::datatypes::{Int64Type, SchemaRef};

use self::groups::{Groups, Template};
use self::slices::{Slices, is_closed};
pub use self::updates::WindowUpdates;
use super::aggregate::{Arrival, find_table, table_of};
use super::event_time::event_times;
use super::key_group::take_rows;
use super::{Context, Operator, OperatorState};
use crate::error::{EngineError, Result};
use crate::message::{BATCH_ROWS, Delta, Epoch, Sign};
use crate::plan::{Window, WindowAggregateSpec, WindowInput, WindowTime};
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

/// Slices and the window that closed last.
struct Sliced {
    slices: Slices,
    time: WindowTime,
    window: Window,
    open: BTreeMap<i64, Groups>,
    /// Windows up to this end are out.
    closed: i64,
    running: Option<Running>,
}

/// The sum of the slices `start .. end`.
struct Running {
    start: i64,
    end: i64,
    groups: Groups,
}

impl WindowAggregate {
    /// The operator on one shard.
    ///
    /// # Errors
    /// Where an aggregate is not defined for its argument's type.
    pub fn new(spec: &WindowAggregateSpec, input: &SchemaRef, output: SchemaRef) -> Result<Self> {
        let template = Template::new(spec, input)?;
        let windows = match spec.window {
            WindowInput::Assign { window, time } => Windows::Sliced(Box::new(Sliced {
                slices: Slices::new(window)?,
                time,
                window,
                open: BTreeMap::new(),
                closed: i64::MIN,
                running: None,
            })),
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
}

impl Sliced {
    fn update(
        &mut self,
        delta: &Delta,
        arrived: i64,
        watermark: i64,
        template: &Template,
        context: &mut Context<'_>,
    ) -> Result<()> {
        let whole = Arrival { first: arrived, rows: None };
        match self.time {
            WindowTime::Processing => {
                let slice = self.slices.slice_of(context.now.0);
                context.set_timer(ProcessingTime(self.slices.end_after(context.now.0)));
                self.add(slice, delta, whole, template)
            }
            WindowTime::Event(column) => {
                let times = event_times(&delta.batch, column)?;
                for (slice, rows) in by_slice(&times, &self.slices) {
                    match self.slices.last_end(slice) {
                        None => {}
                        Some(end) if is_closed(end, watermark) => match rows {
                            None => context.late(delta, all_rows(delta))?,
                            Some(rows) => context.late(delta, rows.into_iter())?,
                        },
                        Some(_) => match rows {
                            None => self.add(slice, delta, whole, template)?,
                            Some(rows) => {
                                let part = take_rows(delta, rows.clone())?;
                                self.add(slice, &part, Arrival { first: arrived, rows: Some(&rows) }, template)?;
                            }
                        },
                    }
                }
                Ok(())
            }
        }
    }

    fn add(&mut self, slice: i64, delta: &Delta, arrival: Arrival<'_>, template: &Template) -> Result<()> {
        // A row for a slice that the running table already holds belongs to the windows to come as well.
        if let Some(running) = self.running.as_mut().filter(|running| (running.start..running.end).contains(&slice)) {
            running.groups.update(delta, arrival)?;
        }
        match self.open.entry(slice) {
            Entry::Occupied(mut open) => open.get_mut().update(delta, arrival),
            Entry::Vacant(vacant) => vacant.insert(template.groups()?).update(delta, arrival),
        }
    }

    fn close(
        &mut self,
        watermark: i64,
        template: &Template,
        output: &SchemaRef,
        context: &mut Context<'_>,
    ) -> Result<()> {
        while let Some(end) = self.next_end().filter(|&end| is_closed(end, watermark)) {
            let start = self.slices.window_start(end);
            match self.window {
                Window::Tumble { .. } => {
                    if let Some(groups) = self.open.get(&start) {
                        emit(output, groups, start, end, context)?;
                    }
                }
                Window::Hop { .. } | Window::Cumulate { .. } | Window::Session { .. } => {
                    self.run_to(start, end, template)?;
                    if let Some(running) = &self.running {
                        emit(output, &running.groups, start, end, context)?;
                    }
                }
            }
            self.closed = end;
            let slices = self.slices;
            // A slice that the running table holds stays until it has been taken out of it.
            let held = self.running.as_ref().map_or(end..end, |running| running.start..running.end);
            let needed = |slice: i64| slices.last_end(slice).is_some_and(|last| last > end) || held.contains(&slice);
            self.open.retain(|&slice, _| needed(slice));
        }
        self.closed = self.closed.max(self.slices.closed_by(watermark));
        Ok(())
    }

    /// The end of the next window that holds an open slice.
    fn next_end(&self) -> Option<i64> {
        let (&first, _) = self.open.first_key_value()?;
        let end = self.slices.end_after(self.closed.max(first));
        let (&held, _) = self.open.range(self.slices.window_start(end)..).next()?;
        if held < end { Some(end) } else { Some(self.slices.end_after(held)) }
    }

    /// Makes the running table that of the window `start .. end`.
    fn run_to(&mut self, start: i64, end: i64, template: &Template) -> Result<()> {
        let reusable = |running: &Running| {
            let slides = running.start == start || running.groups.is_invertible();
            slides && running.start <= start && start < running.end && running.end <= end
        };
        let mut running = match self.running.take().filter(reusable) {
            Some(running) => running,
            None => Running { start, end: start, groups: template.groups()? },
        };
        for (_, gone) in self.open.range(running.start..start) {
            running.groups.unmerge(gone)?;
        }
        for (_, come) in self.open.range(running.end..end) {
            running.groups.merge(come)?;
        }
        (running.start, running.end) = (start, end);
        self.running = Some(running);
        Ok(())
    }
}

/// The rows of each slice; one slice with no list where all rows are in it.
fn by_slice(times: &[i64], slices: &Slices) -> Vec<(i64, Option<Vec<u32>>)> {
    let Some(&first) = times.first() else { return Vec::new() };
    let slice = slices.slice_of(first);
    let mut span = slices.span(slice);
    if times.iter().all(|time| span.contains(time)) {
        return vec![(slice, None)];
    }
    let mut parts: Vec<(i64, Vec<u32>)> = Vec::new();
    let mut places = HashMap::new();
    let mut at = usize::MAX;
    for (row, time) in (0_u32..).zip(times) {
        if at == usize::MAX || !span.contains(time) {
            let slice = slices.slice_of(*time);
            span = slices.span(slice);
            at = *places.entry(slice).or_insert_with(|| {
                parts.push((slice, Vec::new()));
                parts.len() - 1
            });
        }
        parts[at].1.push(row);
    }
    parts.into_iter().map(|(slice, rows)| (slice, Some(rows))).collect()
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

/// The rows of each attached window.
/// The numbers of all rows.
fn all_rows(delta: &Delta) -> impl Iterator<Item = u32> + Clone {
    (0_u32..).take(delta.rows())
}

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

    fn snapshot(&self) -> Result<OperatorState> {
        let mut state = OperatorState::default();
        let mut add = |of: &mut dyn Iterator<Item = ((i64, i64), &Groups)>| -> Result<[Vec<i64>; 2]> {
            let mut keys = [Vec::new(), Vec::new()];
            for (index, ((first, second), groups)) in of.enumerate() {
                keys[0].push(first);
                keys[1].push(second);
                state.tables.extend(groups.snapshot(&format!("{index}/"))?.tables);
            }
            Ok(keys)
        };
        let (closed, [first, second]) = match &self.windows {
            Windows::Sliced(sliced) => {
                (sliced.closed, add(&mut sliced.open.iter().map(|(slice, of)| ((*slice, 0), of)))?)
            }
            Windows::Attached { open, .. } => (i64::MIN, add(&mut open.iter().map(|(window, of)| (*window, of)))?),
        };
        let rows = first.len();
        let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(first)), Arc::new(Int64Array::from(second))];
        state.tables.push(("windows".into(), table_of(columns, rows)?));
        let times: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![self.watermark, closed, self.arrived]))];
        state.tables.push(("times".into(), table_of(times, 3)?));
        Ok(state)
    }

    fn restore(&mut self, state: OperatorState) -> Result<()> {
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
