//! [`WindowUpdates`]: windows whose results come out before they close, or are replaced by late rows after it.
//!
//! Each window has groups of its own and knows which of them have changed since their results were emitted. What is
//! emitted is a net change: the old row of a group is retracted just before its new one. A window is dropped when the
//! watermark is the allowed lateness behind its close.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanBufferBuilder, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int64Type, SchemaRef};

use super::groups::{Groups, Template};
use super::slices::{Slices, is_closed};
use super::{all_rows, bounds_table, by_slice, by_window};
use crate::checkpoint::numbers::placed;
use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};
use crate::message::{BATCH_ROWS, Delta, Epoch, Sign};
use crate::operators::aggregate::{Arrival, find_table, table_of};
use crate::operators::event_time::event_times;
use crate::operators::group_changes::GroupChanges;
use crate::operators::key_group::take_rows;
use crate::operators::windows::{floor_to, windows_of};
use crate::operators::{Context, Operator, OperatorState};
use crate::plan::{EarlyEmit, Window, WindowAggregateSpec, WindowEmit, WindowInput, WindowTime};
use crate::time::{EventTime, ProcessingTime};

/// A window by its end and its start.
type Span = (i64, i64);

/// See the module. Output: the keys, the calls, `window_start`, `window_end`, `window_time`; an updating one.
pub struct WindowUpdates {
    template: Template,
    output: SchemaRef,
    source: Source,
    emit: WindowEmit,
    open: BTreeMap<Span, OpenWindow>,
    /// Windows with groups that have changed since they were emitted.
    changed: BTreeSet<Span>,
    watermark: i64,
    /// Rows that have arrived.
    arrived: i64,
    /// When early results come out next, where something waits for it.
    early_at: Option<i64>,
    /// That moment has come: they come out with the epoch.
    is_due: bool,
}

/// How rows find their windows.
enum Source {
    Placed { window: Window, slices: Slices, time: WindowTime },
    Attached { start: usize, end: usize },
}

struct OpenWindow {
    groups: Groups,
    changes: GroupChanges,
    /// The watermark has reached its end.
    closed: bool,
}

/// The windows that rows are in.
enum Held {
    One(Span),
    /// All that hold a moment. They may be many: they are listed part by part.
    At(Window, i64),
}

impl Held {
    fn spans(self) -> Vec<Span> {
        match self {
            Self::One(span) => vec![span],
            Self::At(window, at) => windows_of(window, at).into_iter().map(|(start, end)| (end, start)).collect(),
        }
    }
}

/// Rows of a delta and the windows that they are in; all rows where there is no list.
type Part = (Held, Option<Vec<u32>>);

impl WindowUpdates {
    /// The operator on one shard.
    ///
    /// # Errors
    /// Where an aggregate is not defined for its argument's type.
    pub fn new(spec: &WindowAggregateSpec, input: &SchemaRef, output: SchemaRef) -> Result<Self> {
        let source = match spec.window {
            WindowInput::Assign { window, time } => Source::Placed { window, slices: Slices::new(window)?, time },
            WindowInput::Attached { start, end } => Source::Attached { start, end },
        };
        let mut emit = spec.emit;
        if matches!(source, Source::Placed { time: WindowTime::Processing, .. }) {
            // The clock is never late.
            emit.lateness_us = 0;
        }
        Ok(Self {
            template: Template::new(spec, input)?,
            output,
            source,
            emit,
            open: BTreeMap::new(),
            changed: BTreeSet::new(),
            watermark: i64::MIN,
            arrived: 0,
            early_at: None,
            is_due: false,
        })
    }

    /// The rows of a delta by the windows that they are in.
    fn parts(&self, delta: &Delta, now: ProcessingTime) -> Result<Vec<Part>> {
        match &self.source {
            Source::Placed { window, time: WindowTime::Processing, .. } => Ok(vec![(Held::At(*window, now.0), None)]),
            Source::Placed { window, slices, time: WindowTime::Event(column) } => {
                let times = event_times(&delta.batch, *column)?;
                let parts = by_slice(&times, slices).into_iter();
                // All moments of a slice are in the same windows.
                Ok(parts.map(|(slice, rows)| (Held::At(*window, slice), rows)).collect())
            }
            Source::Attached { start, end } => {
                let (starts, ends) = (event_times(&delta.batch, *start)?, event_times(&delta.batch, *end)?);
                let parts = by_window(&starts, &ends).into_iter();
                Ok(parts.map(|(span, rows)| (Held::One(span), Some(rows))).collect())
            }
        }
    }

    /// Whether a window takes no more rows.
    fn is_dropped(&self, end: i64) -> bool {
        is_closed(end.saturating_add(self.emit.lateness_us), self.watermark)
    }

    fn add(&mut self, span: Span, delta: &Delta, arrival: Arrival<'_>) -> Result<()> {
        let closed = is_closed(span.0, self.watermark);
        let window = match self.open.entry(span) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(vacant) => {
                vacant.insert(OpenWindow { groups: self.template.groups()?, changes: GroupChanges::default(), closed })
            }
        };
        self.changed.insert(span);
        window.groups.update_noting(delta, arrival, Some(&mut window.changes))
    }

    /// Emits what has changed in these windows.
    fn flush(&mut self, spans: &[Span], context: &mut Context<'_>) -> Result<()> {
        let (mut batches, mut retracts) = (Vec::new(), BooleanBufferBuilder::new(0));
        for span in spans {
            context.check()?;
            self.changed.remove(span);
            let Some(window) = self.open.get_mut(span) else { continue };
            if let Some((columns, of_window)) = window.groups.changed(&mut window.changes)? {
                retracts.append_buffer(&of_window);
                batches.push(with_window(&self.output, columns, of_window.len(), *span)?);
            }
            if window.groups.is_empty() {
                self.open.remove(span);
            }
        }
        let delta = Delta::signed(concat_batches(&self.output, &batches)?, retracts.finish());
        for start in (0..delta.rows()).step_by(BATCH_ROWS) {
            context.emit(delta.slice(start, BATCH_ROWS.min(delta.rows() - start)));
        }
        Ok(())
    }

    /// Emits the windows that the watermark closes, and drops those that take no more rows.
    fn close(&mut self, watermark: i64, context: &mut Context<'_>) -> Result<()> {
        self.watermark = self.watermark.max(watermark);
        let (watermark, lateness) = (self.watermark, self.emit.lateness_us);
        let is_dropped = |end: i64| is_closed(end.saturating_add(lateness), watermark);
        let mut due = Vec::new();
        for (span, window) in self.open.iter_mut().take_while(|(span, _)| is_closed(span.0, watermark)) {
            let closes = !std::mem::replace(&mut window.closed, true);
            if closes || is_dropped(span.0) {
                due.push(*span);
            }
        }
        self.flush(&due, context)?;
        while let Some(first) = self.open.first_entry().filter(|first| is_dropped(first.key().0)) {
            first.remove();
        }
        Ok(())
    }

    /// Asks for the timers that are needed.
    fn ask(&mut self, context: &mut Context<'_>) {
        if let EarlyEmit::Every(every) = self.emit.early
            && !self.changed.is_empty()
        {
            let next = floor_to(context.now.0, every, 0).saturating_add(every);
            let at = *self.early_at.get_or_insert(next);
            context.set_timer(ProcessingTime(at));
        }
        if self.is_by_clock()
            && let Some(((end, _), _)) = self.open.first_key_value()
        {
            context.set_timer(ProcessingTime(*end));
        }
    }

    fn is_by_clock(&self) -> bool {
        matches!(self.source, Source::Placed { time: WindowTime::Processing, .. })
    }

    /// The windows whose changes come out with the epoch.
    fn due(&mut self) -> Vec<Span> {
        let early = match self.emit.early {
            EarlyEmit::Never => false,
            EarlyEmit::EachEpoch => true,
            EarlyEmit::Every(_) => std::mem::take(&mut self.is_due),
        };
        let has_closed = |span: &Span| self.open.get(span).is_some_and(|window| window.closed);
        self.changed.iter().filter(|span| early || has_closed(span)).copied().collect()
    }

    fn times_table(&self) -> Result<RecordBatch> {
        table_of(vec![Arc::new(Int64Array::from(vec![self.watermark, self.arrived]))], 2)
    }
}

/// Rows with the columns of their window.
fn with_window(output: &SchemaRef, columns: Vec<ArrayRef>, rows: usize, (end, start): Span) -> Result<RecordBatch> {
    let at =
        |micros: i64| -> ArrayRef { Arc::new(TimestampMillisecondArray::from_value(micros.div_euclid(1_000), rows)) };
    let window = [at(start), at(end), at(end - 1_000)];
    Ok(RecordBatch::try_new(Arc::clone(output), columns.into_iter().chain(window).collect())?)
}

impl Operator for WindowUpdates {
    fn on_delta(&mut self, _port: usize, delta: Delta, context: &mut Context<'_>) -> Result<()> {
        if delta.sign != Sign::AppendOnly && !self.template.retracts {
            return Err(EngineError::Internal("retractions into a window over insertions".into()));
        }
        let arrived = self.arrived;
        self.arrived += delta.rows() as i64;
        for (held, rows) in self.parts(&delta, context.now)? {
            context.check()?;
            let mut spans = held.spans();
            let all = spans.len();
            spans.retain(|span| !self.is_dropped(span.0));
            if spans.is_empty() {
                match rows {
                    _ if all == 0 => {}
                    None => context.late(&delta, all_rows(&delta))?,
                    Some(rows) => context.late(&delta, rows.into_iter())?,
                }
                continue;
            }
            let part = match &rows {
                None => delta.clone(),
                Some(rows) => take_rows(&delta, rows.clone())?,
            };
            for span in spans {
                self.add(span, &part, Arrival { first: arrived, rows: rows.as_deref() })?;
            }
        }
        self.ask(context);
        Ok(())
    }

    fn on_watermark(&mut self, watermark: EventTime, context: &mut Context<'_>) -> Result<()> {
        if self.is_by_clock() {
            context.emit_watermark(watermark);
            return Ok(());
        }
        self.close(watermark.0, context)?;
        let behind = match watermark {
            EventTime(at) if self.emit.holds_watermark && watermark != EventTime::MAX => {
                EventTime(at.saturating_sub(self.emit.lateness_us))
            }
            EventTime(_) => watermark,
        };
        context.emit_watermark(behind);
        Ok(())
    }

    fn on_barrier(&mut self, _epoch: Epoch, context: &mut Context<'_>) -> Result<()> {
        let due = self.due();
        self.flush(&due, context)?;
        // A restored operator has windows but no timer yet.
        self.ask(context);
        Ok(())
    }

    fn on_timer(&mut self, now: ProcessingTime, context: &mut Context<'_>) -> Result<()> {
        if self.early_at.is_some_and(|at| at <= now.0) {
            self.early_at = None;
            self.is_due = true;
        }
        if self.is_by_clock() {
            // A window of the clock is over when the clock has reached its end, not its last millisecond.
            self.close(now.0.saturating_sub(1_000), context)?;
        }
        if !self.is_due {
            self.ask(context);
        }
        Ok(())
    }

    fn on_end(&mut self, context: &mut Context<'_>) -> Result<()> {
        self.close(i64::MAX, context)
    }

    fn capture(&mut self, epoch: Epoch, base: Option<Epoch>) -> Result<Vec<Table>> {
        let (mut tables, mut spans) = (Vec::new(), [Vec::new(), Vec::new()]);
        for (index, (&(end, start), window)) in self.open.iter_mut().enumerate() {
            spans[0].push(end);
            spans[1].push(start);
            let prefix = format!("{index}/");
            let (of_groups, telling) = window.groups.capture(&prefix, epoch, base)?;
            tables.extend(of_groups);
            tables.extend(window.changes.capture(&prefix, &telling)?);
        }
        tables.push(Table::whole("windows", bounds_table(spans)?));
        tables.push(Table::whole("times", self.times_table()?));
        Ok(tables)
    }

    fn restore(&mut self, state: OperatorState) -> Result<()> {
        let state = placed(state)?;
        let form = || EngineError::Internal("not a window's state".into());
        let ints = |name: &str, column: usize| -> Result<Vec<i64>> {
            let table = find_table(&state, name)?;
            let column = table.columns().get(column).and_then(|column| column.as_primitive_opt::<Int64Type>());
            column.map(|column| column.values().to_vec()).ok_or_else(form)
        };
        let [watermark, arrived] = ints("times", 0)?[..] else { return Err(form()) };
        (self.watermark, self.arrived) = (watermark, arrived);
        let spans: Vec<Span> = ints("windows", 0)?.into_iter().zip(ints("windows", 1)?).collect();
        for (index, span) in spans.into_iter().enumerate() {
            // State of several shards has a window as often.
            let window = match self.open.entry(span) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(vacant) => {
                    let (groups, changes) = (self.template.groups()?, GroupChanges::default());
                    vacant.insert(OpenWindow { groups, changes, closed: is_closed(span.0, watermark) })
                }
            };
            let prefix = format!("{index}/");
            let slots = window.groups.restore(&prefix, &state)?;
            window.changes.resize(slots.iter().max().map_or(0, |most| *most as usize + 1));
            window.changes.restore(&prefix, &state, &slots)?;
            if !window.changes.is_empty() {
                self.changed.insert(span);
            }
        }
        Ok(())
    }
}
