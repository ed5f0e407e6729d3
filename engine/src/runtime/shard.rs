//! [`Shard`]: one thread's jobs and its loop. The simulation runs the same turns on one thread.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::JobId;
use super::coordinator::{Coordinator, ShardReport};
use super::instance::{JobInstance, Report, Turn};
use super::queue::Queue;
use super::waker::Waker;
use crate::error::{EngineError, Result};
use crate::message::{Delta, Epoch};
use crate::plan::RelationId;
use crate::time::{Clock, ProcessingTime};

/// What the coordinator tells a shard.
pub(super) enum Control {
    /// Run this job. It reads the views of the named jobs, from barrier `attach` on.
    Deploy { instance: Box<JobInstance>, views: Vec<(Option<JobId>, RelationId, Arc<Queue>)>, attach: Epoch },
    /// Close the epoch in these jobs.
    Epoch { epoch: Epoch, jobs: Arc<[JobId]> },
    /// Change the rows of an internal table.
    Insert { job: JobId, delta: Delta },
    /// Tell when all that is there has been read.
    Flush(u64),
    /// The epoch is complete: make visible what the sinks prepared.
    Commit { job: JobId, epoch: Epoch },
    /// Forget a job.
    Drop(JobId),
    /// Stop the thread.
    Stop,
}

/// The way to a shard.
#[derive(Default)]
pub(super) struct Inbox {
    controls: Mutex<VecDeque<Control>>,
    pub(super) waker: Arc<Waker>,
}

impl Inbox {
    pub(super) fn send(&self, control: Control) {
        self.controls.lock().push_back(control);
        self.waker.wake();
    }

    fn take(&self) -> Option<Control> {
        self.controls.lock().pop_front()
    }
}

/// The jobs of one shard.
pub(super) struct Shard {
    index: usize,
    jobs: Vec<JobInstance>,
    inbox: Arc<Inbox>,
    coordinator: Arc<Coordinator>,
    clock: Arc<dyn Clock>,
    batch_rows: usize,
    stopped: bool,
}

impl Shard {
    pub(super) fn new(
        index: usize,
        inbox: Arc<Inbox>,
        coordinator: Arc<Coordinator>,
        clock: Arc<dyn Clock>,
        batch_rows: usize,
    ) -> Self {
        Self { index, jobs: Vec::new(), inbox, coordinator, clock, batch_rows, stopped: false }
    }

    /// The loop of the shard's thread, until the engine stops.
    pub(super) fn run(mut self) {
        while !self.stopped {
            let turn = self.turn();
            if turn.progressed || self.stopped {
                continue;
            }
            let now = self.clock.now();
            let wait = turn.deadline.map(|at| Duration::from_micros(u64::try_from(at.0 - now.0).unwrap_or(0)));
            self.inbox.waker.park(wait);
        }
    }

    /// Does what was asked, and gives every job a quantum.
    pub(super) fn turn(&mut self) -> Turn {
        let mut all = Turn::default();
        while let Some(control) = self.inbox.take() {
            all.progressed = true;
            self.control(control);
        }
        let now = self.clock.now();
        let rows = self.batch_rows;
        for id in self.jobs.iter().map(|job| job.id).collect::<Vec<_>>() {
            let Some(turn) = self.with_job(id, |job| job.turn(rows, now)) else { continue };
            all.progressed |= turn.progressed;
            all.wait_until(turn.deadline);
            if turn.moved && self.jobs.iter().any(|job| job.id == id && job.mark_dirty()) {
                self.coordinator.notify();
            }
        }
        all
    }

    fn control(&mut self, control: Control) {
        let now = self.clock.now();
        match control {
            Control::Deploy { instance, views, attach } => self.deploy(*instance, views, attach),
            Control::Epoch { epoch, jobs } => {
                for id in jobs.iter() {
                    self.with_job(*id, |job| job.inject_barrier(epoch, now));
                }
            }
            Control::Insert { job, delta } => {
                self.with_job(job, |job| job.insert(delta, now));
            }
            Control::Flush(flush) => self.jobs.iter_mut().for_each(|job| job.begin_flush(flush)),
            Control::Commit { job, epoch } => {
                // A job that is gone has nothing to commit, and nobody counts its answer.
                if self.with_job(job, |job| job.commit_sinks(epoch)).is_some() {
                    self.coordinator.report(self.index, job, ShardReport::Committed);
                }
            }
            Control::Drop(id) => {
                for job in self.jobs.iter_mut().filter(|job| job.id == id) {
                    job.close();
                }
                self.jobs.retain(|job| job.id != id);
            }
            Control::Stop => self.stopped = true,
        }
    }

    fn deploy(&mut self, instance: JobInstance, views: Vec<(Option<JobId>, RelationId, Arc<Queue>)>, attach: Epoch) {
        let id = instance.id;
        self.jobs.push(instance);
        for (producer, relation, queue) in views {
            let joined = self.jobs.iter_mut().find(|job| Some(job.id) == producer).and_then(|job| job.view(relation));
            let result = match joined {
                Some(view) => view.subscribe(queue, attach),
                None => Err(EngineError::Gone("the view that the job reads is gone".into())),
            };
            if let Err(error) = result {
                self.fail(id, &error);
            }
        }
    }

    /// Lets one job work. What fails or panics in it fails that job only.
    fn with_job<T>(&mut self, id: JobId, work: impl FnOnce(&mut JobInstance) -> Result<T>) -> Option<T> {
        let job = self.jobs.iter_mut().find(|job| job.id == id)?;
        // The job is dropped after a panic, so that nobody sees what it left half done.
        let result = catch_unwind(AssertUnwindSafe(|| work(job)))
            .unwrap_or_else(|panic| Err(EngineError::Internal(format!("panic: {}", panic_text(&*panic)))));
        for staged in job.staged.drain(..) {
            self.coordinator.report(self.index, id, ShardReport::Staged(staged));
        }
        for report in job.reports.drain(..) {
            let report = match report {
                Report::Passed(epoch) => ShardReport::Passed(epoch),
                Report::Ended => ShardReport::Ended,
                Report::Flushed(flush) => ShardReport::Flushed(flush),
            };
            self.coordinator.report(self.index, id, report);
        }
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.fail(id, &error);
                None
            }
        }
    }

    fn fail(&mut self, id: JobId, error: &EngineError) {
        for job in self.jobs.iter_mut().filter(|job| job.id == id) {
            job.close();
        }
        self.jobs.retain(|job| job.id != id);
        let report = ShardReport::Failed { message: error.to_string(), hint: error.hint().map(str::to_owned) };
        self.coordinator.report(self.index, id, report);
    }

    /// When the shard would wake by itself, for the simulation.
    pub(super) fn deadline(turn: &Turn) -> Option<ProcessingTime> {
        turn.deadline
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "no message",
    }
}
