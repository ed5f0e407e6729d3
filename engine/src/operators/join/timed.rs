//! [`TimedStore`]: rows that wait for event time to pass.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::store::{Store, keep};
use crate::error::Result;
use crate::message::Delta;
use crate::operators::Context;
use crate::operators::event_time::event_times;

/// A [`Store`] whose rows are taken out in the order of their event times.
pub(super) struct TimedStore {
    pub(super) store: Store,
    time_column: usize,
    /// By row.
    pub(super) times: Vec<i64>,
    /// Rows by time, the earliest first. Some are gone.
    calendar: BinaryHeap<Reverse<(i64, u32)>>,
}

impl TimedStore {
    pub(super) fn new(schema: &SchemaRef, time_column: usize) -> Self {
        let store = Store::new(Arc::clone(schema));
        Self { store, time_column, times: Vec::new(), calendar: BinaryHeap::new() }
    }

    /// The rows that are not before the watermark. Counts the others.
    ///
    /// # Errors
    /// Where an event time is null.
    pub(super) fn in_time(&self, delta: Delta, watermark: i64, context: &mut Context<'_>) -> Result<Delta> {
        let times = event_times(&delta.batch, self.time_column)?;
        let late = times.iter().filter(|time| **time < watermark).count();
        if late == 0 {
            return Ok(delta);
        }
        context.late(&delta, (0_u32..).zip(times.iter()).filter(|(_, time)| **time < watermark).map(|(row, _)| row))?;
        delta.filter(&times.iter().map(|time| Some(*time >= watermark)).collect())
    }

    /// Appends rows with the slots of their keys.
    ///
    /// # Errors
    /// Where an event time is null; as [`Store::add`].
    pub(super) fn add(&mut self, batch: RecordBatch, slots: &[u32]) -> Result<()> {
        let times = event_times(&batch, self.time_column)?;
        self.calendar.extend(times.iter().zip(self.store.len()..).map(|(&time, row)| Reverse((time, row))));
        self.times.extend_from_slice(&times);
        self.store.add(batch, slots)
    }

    /// The earliest live row, if it is before `horizon`. It leaves the calendar, not the store.
    pub(super) fn pop_before(&mut self, horizon: i64) -> Option<u32> {
        while let Some(&Reverse((time, row))) = self.calendar.peek()
            && time < horizon
        {
            self.calendar.pop();
            if self.store.is_live(row) {
                return Some(row);
            }
        }
        None
    }

    /// The time of the earliest live row that is in the calendar.
    pub(super) fn earliest(&mut self) -> Option<i64> {
        while let Some(&Reverse((time, row))) = self.calendar.peek() {
            if self.store.is_live(row) {
                return Some(time);
            }
            self.calendar.pop();
        }
        None
    }

    /// As [`Store::compact`].
    ///
    /// # Errors
    /// Where Arrow cannot build a column.
    pub(super) fn compact(&mut self) -> Result<Option<Vec<u32>>> {
        let kept = self.store.compact()?;
        if let Some(kept) = &kept {
            keep(&mut self.times, kept);
            self.calendar = self.times.iter().zip(0..).map(|(&time, row)| Reverse((time, row))).collect();
        }
        Ok(kept)
    }
}
