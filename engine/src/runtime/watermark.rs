//! Watermarks of a source: per split, with idleness, and their minimum.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute::{cast, max};
use arrow::datatypes::{DataType, Int64Type};

use super::shared::{Progress, SplitProgress};
use crate::error::Result;
use crate::expr::EvalContext;
use crate::message::Message;
use crate::operators::event_time::micros;
use crate::plan::WatermarkSpec;
use crate::time::{EventTime, ProcessingTime};

/// The watermarks of the splits that one shard reads of one source.
pub(super) struct SourceWatermarks {
    spec: Option<WatermarkSpec>,
    /// The row with the greatest time has the greatest watermark.
    rises: bool,
    splits: Vec<SplitWatermark>,
    last: EventTime,
    idle: bool,
}

/// One split.
struct SplitWatermark {
    watermark: EventTime,
    state: SplitState,
    /// When the reader first had nothing, since its last row. A split that waits for its turn or for room is not quiet.
    quiet_since: Option<ProcessingTime>,
    /// What the job tells of it.
    progress: Option<Arc<SplitProgress>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SplitState {
    /// It holds the watermark back.
    Active,
    /// It has been quiet for so long that it does not.
    Idle,
    Ended,
}

impl SourceWatermarks {
    /// For splits that all hold the watermark back from the start; `progress`: what is told of each.
    pub(super) fn new(spec: Option<WatermarkSpec>, progress: impl Iterator<Item = Arc<SplitProgress>>) -> Self {
        Self::of(spec, progress.map(SplitWatermark::new).collect())
    }

    /// A split comes, which holds the watermark back from now on.
    pub(super) fn add(&mut self, progress: Arc<SplitProgress>) {
        self.splits.push(SplitWatermark::new(progress));
    }

    /// For one split that holds nothing back before its first row.
    pub(super) fn idle(spec: Option<WatermarkSpec>) -> Self {
        let split =
            SplitWatermark { watermark: EventTime::MIN, state: SplitState::Idle, quiet_since: None, progress: None };
        Self::of(spec, vec![split])
    }

    fn of(spec: Option<WatermarkSpec>, splits: Vec<SplitWatermark>) -> Self {
        let rises = spec.as_ref().is_some_and(|spec| spec.expr.rises_with(spec.time_column));
        Self { spec, rises, splits, last: EventTime::MIN, idle: false }
    }

    /// How far a split has come, and whether it holds nothing back.
    pub(super) fn capture(&self, split: usize) -> (EventTime, bool) {
        let split = self.splits.get(split);
        split.map_or((EventTime::MIN, false), |split| (split.watermark, split.state == SplitState::Idle))
    }

    /// A split goes on where an earlier run was.
    pub(super) fn restore(&mut self, split: usize, watermark: EventTime, idle: bool) {
        if let Some(split) = self.splits.get_mut(split) {
            split.watermark = watermark;
            split.state = if idle { SplitState::Idle } else { SplitState::Active };
        }
    }

    /// Whether the source declares a watermark.
    pub(super) fn declared(&self) -> bool {
        self.spec.is_some()
    }

    /// Rows of a split came.
    ///
    /// # Errors
    /// Where the watermark of a row cannot be computed.
    pub(super) fn observe(&mut self, split: usize, batch: &RecordBatch, now: ProcessingTime) -> Result<()> {
        let Some(state) = self.splits.get_mut(split) else { return Ok(()) };
        state.quiet_since = None;
        state.state = SplitState::Active;
        if let Some(spec) = &self.spec
            && let Some(highest) = highest_watermark(spec, self.rises, batch, now)?
        {
            state.watermark = state.watermark.max(highest);
        }
        if let Some(progress) = &state.progress {
            progress.watermark.store(state.watermark.0, Ordering::Relaxed);
            progress.idle.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether the watermark of rows can be computed.
    ///
    /// # Errors
    /// Where it cannot.
    pub(super) fn check(&self, batch: &RecordBatch, now: ProcessingTime) -> Result<()> {
        let Some(spec) = &self.spec else { return Ok(()) };
        // Each row's: one that fails among others that do not must be found.
        spec.expr.evaluate(batch, EvalContext { now }).map(|_| ())
    }

    /// Rows of a split came, though perhaps none passed its filters.
    pub(super) fn active(&mut self, split: usize) {
        if let Some(split) = self.splits.get_mut(split) {
            split.quiet_since = None;
        }
    }

    /// The reader of a split has nothing now.
    pub(super) fn quiet(&mut self, split: usize, now: ProcessingTime) {
        if let Some(split) = self.splits.get_mut(split) {
            split.quiet_since.get_or_insert(now);
        }
    }

    /// A split is at its end.
    pub(super) fn end(&mut self, split: usize) {
        if let Some(split) = self.splits.get_mut(split) {
            split.state = SplitState::Ended;
            if let Some(progress) = &split.progress {
                progress.watermark.store(i64::MAX, Ordering::Relaxed);
                progress.idle.store(false, Ordering::Relaxed);
            }
        }
    }

    /// Takes splits that were quiet for the timeout out of the minimum; tells when to look again.
    pub(super) fn expire(&mut self, now: ProcessingTime) -> Option<ProcessingTime> {
        let timeout = self.spec.as_ref()?.idle_timeout_us?;
        let mut next: Option<ProcessingTime> = None;
        for split in self.splits.iter_mut().filter(|split| split.state == SplitState::Active) {
            let Some(due) = split.quiet_since.map(|since| since.plus_us(timeout)) else { continue };
            if due <= now {
                split.state = SplitState::Idle;
                if let Some(progress) = &split.progress {
                    progress.idle.store(true, Ordering::Relaxed);
                }
            } else {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        next
    }

    /// Appends the messages by which the minimum, or its idleness, changed. Where all splits are idle, the greatest of
    /// their watermarks counts, so that what they closed together is closed.
    pub(super) fn advance(&mut self, out: &mut Vec<Message>) {
        if self.spec.is_none() {
            return;
        }
        let of = |state| self.splits.iter().filter(move |split| split.state == state).map(|split| split.watermark);
        let (watermark, idle) = match of(SplitState::Active).min() {
            Some(least) => (least, false),
            None => match of(SplitState::Idle).max() {
                Some(greatest) => (greatest, true),
                None => return,
            },
        };
        // Who was idle says its watermark again: that makes it count.
        if watermark > self.last || (self.idle && !idle) {
            self.last = self.last.max(watermark);
            out.push(Message::Watermark(self.last));
        }
        if idle && !self.idle {
            out.push(Message::Idle);
        }
        self.idle = idle;
    }

    /// How far event time has come, as last told.
    pub(super) fn progress(&self) -> Progress {
        Progress { watermark: self.last, idle: self.idle }
    }
}

impl SplitWatermark {
    fn new(progress: Arc<SplitProgress>) -> Self {
        Self { watermark: EventTime::MIN, state: SplitState::Active, quiet_since: None, progress: Some(progress) }
    }
}

/// The highest watermark that a row stands for.
fn highest_watermark(
    spec: &WatermarkSpec,
    rises: bool,
    batch: &RecordBatch,
    now: ProcessingTime,
) -> Result<Option<EventTime>> {
    let context = EvalContext { now };
    if !rises {
        return highest(&spec.expr.evaluate(batch, context)?);
    }
    let Some(row) = batch.columns().get(spec.time_column).map(latest).transpose()?.flatten() else { return Ok(None) };
    highest(&spec.expr.evaluate(&batch.slice(row, 1), context)?)
}

/// The row with the greatest non-null value of a timestamp column.
fn latest(column: &ArrayRef) -> Result<Option<usize>> {
    // Whatever the unit, greater numbers are later. Takes the numbers over as they are.
    let times = cast(column, &DataType::Int64)?;
    let times = times.as_primitive::<Int64Type>();
    let Some(greatest) = max(times) else { return Ok(None) };
    Ok((0..times.len()).find(|row| times.is_valid(*row) && times.value(*row) == greatest))
}

/// The highest non-null value of a timestamp column.
fn highest(column: &ArrayRef) -> Result<Option<EventTime>> {
    let times = Int64Array::new(micros(column)?, column.nulls().cloned());
    Ok(max(&times).map(EventTime))
}
