//! [`Shard`]: the loop of one thread. It does what the coordinator asks, gives every job that has something to do a
//! quantum in turn, and parks when there is nothing. What fails or panics in a job fails that job only.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::JobId;
use super::part::{JobPart, Turn};
use super::protocol::{Command, Deploy, Event, Links};
use crate::error::{EngineError, Result};
use crate::message::Epoch;
use crate::time::ProcessingTime;

/// The jobs of one shard.
pub(super) struct Shard {
    index: usize,
    parts: Vec<JobPart>,
    links: Arc<Links>,
    stopped: bool,
}

impl Shard {
    pub(super) fn new(index: usize, links: Arc<Links>) -> Self {
        Self { index, parts: Vec::new(), links, stopped: false }
    }

    /// The loop of the shard's thread, until the engine stops.
    pub(super) fn run(mut self) {
        while !self.stopped {
            let turn = self.turn();
            if turn.progressed || self.stopped {
                continue;
            }
            let wait = turn.deadline.map(|at| micros_until(at, self.links.config.clock.now()));
            if let Some(mailbox) = self.links.shards.get(self.index) {
                mailbox.waker().park(wait);
            }
        }
    }

    /// Does what was asked for, then one step of every job that is due.
    pub(super) fn turn(&mut self) -> Turn {
        let mut turn = Turn::default();
        let links = Arc::clone(&self.links);
        let Some(mailbox) = links.shards.get(self.index) else { return turn };
        for command in mailbox.take() {
            turn.progressed = true;
            self.obey(command);
        }
        let now = links.config.clock.now();
        // A part that fails goes away, and the next one takes its place.
        let mut index = 0;
        while let Some(part) = self.parts.get_mut(index) {
            if part.is_due(now) {
                match guarded(part, now, |part| part.step(now)) {
                    Ok(stepped) => {
                        part.busy = stepped.progressed;
                        part.deadline = stepped.deadline;
                    }
                    Err(EngineError::Gone(_)) if part.shared.is_over() => part.rest(),
                    Err(error) => {
                        self.fail(index, error);
                        turn.progressed = true;
                        continue;
                    }
                }
            }
            turn.add(Turn { progressed: part.busy, deadline: part.deadline });
            index += 1;
        }
        turn
    }

    fn obey(&mut self, command: Command) {
        let now = self.links.config.clock.now();
        match command {
            Command::Deploy { parts, attach_at } => parts.into_iter().for_each(|part| self.deploy(part, attach_at)),
            Command::Barrier { epoch, jobs } => self.each(&jobs, |part| part.barrier(epoch, now)),
            Command::Commit { epoch, jobs, checkpoint } => self.each(&jobs, |part| part.commit(epoch, checkpoint)),
            Command::Insert { job, delta, number } => {
                let mut delta = Some(delta);
                self.each(&[job], |part| delta.take().map_or(Ok(()), |delta| part.insert(delta, number, now)));
            }
            Command::Flush { job, flush } => self.each(&[job], |part| part.begin_flush(flush, now)),
            Command::Remove { job } => {
                if let Some(index) = self.parts.iter().position(|part| part.id == job) {
                    self.remove(index);
                }
            }
            Command::Stop => {
                self.stopped = true;
                while !self.parts.is_empty() {
                    self.remove(0);
                }
            }
        }
    }

    /// Lets each of the jobs that is here work. Who is not here has failed already, and the coordinator knows.
    fn each(&mut self, jobs: &[JobId], mut work: impl FnMut(&mut JobPart) -> Result<()>) {
        let now = self.links.config.clock.now();
        for job in jobs {
            let Some(index) = self.parts.iter().position(|part| part.id == *job) else { continue };
            let Some(part) = self.parts.get_mut(index) else { continue };
            part.busy = true;
            match guarded(part, now, &mut work) {
                Ok(()) => {}
                Err(EngineError::Gone(_)) if part.shared.is_over() => part.rest(),
                Err(error) => self.fail(index, error),
            }
        }
    }

    fn deploy(&mut self, deploy: Deploy, attach_at: Epoch) {
        let Deploy { part, attaches } = deploy;
        self.parts.push(*part);
        for attach in attaches {
            let Some(index) = self.parts.iter().position(|part| part.id == attach.producer) else { continue };
            let Some(producer) = self.parts.get_mut(index) else { continue };
            let now = self.links.config.clock.now();
            let attached = guarded(producer, now, |producer| match producer.view(attach.relation) {
                Some((view, signal)) if attach.restored => {
                    view.attach_restored(attach.feed, signal);
                    Ok(())
                }
                Some((view, signal)) => view.attach(attach.feed, attach_at, signal),
                None => Err(EngineError::Internal("a job does not keep the view that is read from it".into())),
            });
            if let Err(error) = attached {
                self.fail(index, error);
            }
        }
    }

    fn fail(&mut self, index: usize, error: EngineError) {
        // Of a job that is over nobody asks, and one of its number may have begun since.
        if let Some(part) = self.parts.get(index).filter(|part| !part.shared.is_over()) {
            self.links.coordinator.send(Event::Failed { job: part.id, error });
        }
        self.remove(index);
    }

    fn remove(&mut self, index: usize) {
        if index < self.parts.len() {
            let part = self.parts.remove(index);
            // A connector may panic in its drop as well.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(part)));
        }
    }
}

/// Lets one job work, and makes a panic an error. The part is dropped after it, so that nobody sees what it left half
/// done.
fn guarded<T>(part: &mut JobPart, now: ProcessingTime, work: impl FnOnce(&mut JobPart) -> Result<T>) -> Result<T> {
    part.graph.evaluation.begin(now);
    catch_unwind(AssertUnwindSafe(|| work(part)))
        .unwrap_or_else(|panic| Err(EngineError::Internal(format!("panic: {}", panic_text(&*panic)))))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "no message",
    }
}

/// How long to wait for `at`. Never nothing, so that a clock with coarse steps makes no busy loop.
pub(super) fn micros_until(at: ProcessingTime, now: ProcessingTime) -> Duration {
    Duration::from_micros(u64::try_from(at.0.saturating_sub(now.0)).unwrap_or(0).max(50))
}
