//! [`Sliced`]: windows as unions of slices, each of which is aggregated once. A closing window is read from a running table to which
//! slices are added and from which, where every aggregate allows it exactly, they are taken away again.

use std::collections::HashMap;
use std::collections::btree_map::{BTreeMap, Entry};

use arrow::datatypes::SchemaRef;

use super::groups::{Groups, Template};
use super::slices::{Slices, is_closed};
use super::{all_rows, emit};
use crate::error::Result;
use crate::message::Delta;
use crate::operators::Context;
use crate::operators::aggregate::Arrival;
use crate::operators::event_time::event_times;
use crate::operators::key_group::take_rows;
use crate::plan::{Window, WindowTime};
use crate::time::ProcessingTime;

/// Slices and the window that closed last.
pub(super) struct Sliced {
    slices: Slices,
    pub(super) time: WindowTime,
    window: Window,
    pub(super) open: BTreeMap<i64, Groups>,
    /// Windows up to this end are out.
    pub(super) closed: i64,
    running: Option<Running>,
}

/// The sum of the slices `start .. end`.
struct Running {
    start: i64,
    end: i64,
    groups: Groups,
}

impl Sliced {
    /// No rows yet.
    ///
    /// # Errors
    /// Where the window has no slices.
    pub(super) fn new(window: Window, time: WindowTime) -> Result<Self> {
        let (slices, open) = (Slices::new(window)?, BTreeMap::new());
        Ok(Self { slices, time, window, open, closed: i64::MIN, running: None })
    }

    /// Adds rows to their slices. Those whose windows are all closed are late.
    ///
    /// # Errors
    /// Where a row cannot be aggregated.
    pub(super) fn update(
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

    /// Emits the windows that the watermark closes, in order of their ends.
    ///
    /// # Errors
    /// Where a result cannot be computed.
    pub(super) fn close(
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
    pub(super) fn next_end(&self) -> Option<i64> {
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
pub(super) fn by_slice(times: &[i64], slices: &Slices) -> Vec<(i64, Option<Vec<u32>>)> {
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
