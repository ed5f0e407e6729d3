//! Watermarks of a source: per split, with idleness, and their minimum.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, RecordBatch};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};

use super::shared::JobCounters;
use crate::error::{EngineError, Result};
use crate::expr::EvalContext;
use crate::message::Message;
use crate::plan::WatermarkSpec;
use crate::time::{EventTime, ProcessingTime};

/// The watermarks of the splits that one shard reads of one source.
pub(super) struct SourceWatermarks {
    spec: Option<WatermarkSpec>,
    splits: Vec<SplitWatermark>,
    last: EventTime,
    idle: bool,
}

/// One split.
struct SplitWatermark {
    watermark: EventTime,
    state: SplitState,
    last_row: ProcessingTime,
    /// Index into the job's split progress.
    progress: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SplitState {
    Active,
    Idle,
    Ended,
}

impl SourceWatermarks {
    /// For splits that all hold the watermark back from the start; `progress` gives each one's place in the counters.
    pub(super) fn new(spec: Option<WatermarkSpec>, progress: Vec<Option<usize>>, now: ProcessingTime) -> Self {
        let split =
            |progress| SplitWatermark { watermark: EventTime::MIN, state: SplitState::Active, last_row: now, progress };
        Self { spec, splits: progress.into_iter().map(split).collect(), last: EventTime::MIN, idle: false }
    }

    /// Whether the source declares a watermark.
    pub(super) fn declared(&self) -> bool {
        self.spec.is_some()
    }

    /// Rows of a split came.
    pub(super) fn observe(
        &mut self,
        split: usize,
        batch: &RecordBatch,
        now: ProcessingTime,
        counters: &JobCounters,
    ) -> Result<()> {
        let Some(state) = self.splits.get_mut(split) else { return Ok(()) };
        state.last_row = now;
        state.state = SplitState::Active;
        if let Some(spec) = &self.spec
            && let Some(highest) = highest(&spec.expr.evaluate(batch, EvalContext { now })?)?
        {
            state.watermark = state.watermark.max(highest);
        }
        if let Some(progress) = state.progress.and_then(|index| counters.splits.get(index)) {
            progress.rows.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
            progress.watermark.store(state.watermark.0, Ordering::Relaxed);
            progress.idle.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// A split is at its end.
    pub(super) fn end(&mut self, split: usize, counters: &JobCounters) {
        if let Some(state) = self.splits.get_mut(split) {
            state.state = SplitState::Ended;
            if let Some(progress) = state.progress.and_then(|index| counters.splits.get(index)) {
                progress.watermark.store(i64::MAX, Ordering::Relaxed);
            }
        }
    }

    /// Marks the split as having nothing to say until its first row (a table's part on a shard that has no rows).
    pub(super) fn set_idle(&mut self, split: usize) {
        if let Some(state) = self.splits.get_mut(split) {
            state.state = SplitState::Idle;
        }
    }

    /// Marks splits idle from which nothing came for the timeout; tells when to look again.
    pub(super) fn expire(&mut self, now: ProcessingTime, counters: &JobCounters) -> Option<ProcessingTime> {
        let timeout = self.spec.as_ref()?.idle_timeout_us?;
        let mut next: Option<ProcessingTime> = None;
        for split in self.splits.iter_mut().filter(|split| split.state == SplitState::Active) {
            let due = split.last_row.plus_us(timeout);
            if due <= now {
                split.state = SplitState::Idle;
                if let Some(progress) = split.progress.and_then(|index| counters.splits.get(index)) {
                    progress.idle.store(true, Ordering::Relaxed);
                }
            } else {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        next
    }

    /// Appends the messages by which the minimum, or its idleness, changed.
    pub(super) fn advance(&mut self, out: &mut Vec<Message>) {
        if self.spec.is_none() {
            return;
        }
        let of = |state| self.splits.iter().filter(move |split| split.state == state).map(|split| split.watermark);
        let (watermark, idle) = match of(SplitState::Active).min() {
            Some(least) => (least, false),
            None => match of(SplitState::Idle).max() {
                Some(highest) => (highest, true),
                None => return,
            },
        };
        if watermark > self.last || (self.idle && !idle) {
            self.last = self.last.max(watermark);
            self.idle = false;
            out.push(Message::Watermark(self.last));
        }
        if idle && !self.idle {
            out.push(Message::Idle);
            self.idle = true;
        }
    }

    /// The minimum as last emitted.
    pub(super) fn last(&self) -> EventTime {
        self.last
    }
}

/// The highest non-null value of a timestamp column, in microseconds.
fn highest(column: &ArrayRef) -> Result<Option<EventTime>> {
    let found = match column.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            max::<TimestampSecondType>(column).map(|at| at.saturating_mul(1_000_000))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            max::<TimestampMillisecondType>(column).map(|at| at.saturating_mul(1_000))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => max::<TimestampMicrosecondType>(column),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            max::<TimestampNanosecondType>(column).map(|at| at.div_euclid(1_000))
        }
        other => return Err(EngineError::Internal(format!("a watermark of type {other}"))),
    };
    Ok(found.map(EventTime))
}

fn max<T: ArrowPrimitiveType<Native = i64>>(column: &Arc<dyn Array>) -> Option<i64> {
    let column: &PrimitiveArray<T> = column.as_primitive::<T>();
    arrow::compute::max(column)
}
