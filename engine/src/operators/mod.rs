//! Operators: how deltas become deltas.
//!
//! An operator is described by an [`OperatorSpec`](crate::plan::OperatorSpec), then frozen into a running object
//! that implements [`Operator`]. It is owned by one shard, synchronous, never sleeps, and asks nothing but the
//! [`Context`] it is given. One file a verb.
//!
//! # Laws
//! Each operator is held to these by property tests (`laws` in this crate's tests):
//! 1. `fold(operator(deltas)) = batch(fold(deltas))`;
//! 2. cutting or joining the batches inside an epoch changes nothing;
//! 3. after watermark *w* no row with event time < *w* is emitted;
//! 4. `restore(snapshot)` and continue = continue;
//! 5. no key's multiplicity becomes negative;
//! 6. `reissue` after `restore(snapshot)` gives once more what `fold` of all that came out is, where
//!    [`Change`](crate::checkpoint::change::Change) says that it can.

pub mod aggregate;
pub mod build;
pub mod event_time;
pub mod group_aggregate;
mod group_changes;
pub mod group_table;
mod held_watermark;
mod idle_keys;
pub mod join;
pub mod key_group;
pub mod over;
pub mod rank;
pub mod screen;
pub mod session;
pub mod stateless;
mod told;
pub mod union;
mod unnest;
mod upserts;
pub mod window_aggregate;
pub mod windows;

#[cfg(test)]
mod laws;

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};
use crate::message::{Delta, Epoch};
use crate::rejects::Rejects;
use crate::time::{EventTime, ProcessingTime};

/// A running operator of one shard.
pub trait Operator: Send {
    /// Rows arrived on an input port.
    ///
    /// # Errors
    /// Where a row cannot be computed. The job fails.
    fn on_delta(&mut self, port: usize, delta: Delta, context: &mut Context<'_>) -> Result<()>;

    /// The least watermark of all input ports rose. Stateful operators emit what it closes; every operator emits
    /// the watermark of its output through [`Context::emit_watermark`], after those rows.
    ///
    /// # Errors
    /// As [`Self::on_delta`].
    fn on_watermark(&mut self, watermark: EventTime, context: &mut Context<'_>) -> Result<()>;

    /// All ports have passed the barrier. Updating operators emit the net change of the epoch. The runtime then
    /// passes the barrier on.
    ///
    /// # Errors
    /// As [`Self::on_delta`].
    fn on_barrier(&mut self, epoch: Epoch, context: &mut Context<'_>) -> Result<()>;

    /// The processing time reached what was asked for with [`Context::set_timer`].
    ///
    /// # Errors
    /// As [`Self::on_delta`].
    fn on_timer(&mut self, _now: ProcessingTime, _context: &mut Context<'_>) -> Result<()> {
        Ok(())
    }

    /// A port has ended while others have not: no more rows come on it.
    ///
    /// # Errors
    /// As [`Self::on_delta`].
    fn on_port_end(&mut self, _port: usize, _context: &mut Context<'_>) -> Result<()> {
        Ok(())
    }

    /// All ports have ended, after a watermark of [`EventTime::MAX`]. What is still kept is emitted: windows of
    /// processing time, the last net change.
    ///
    /// # Errors
    /// As [`Self::on_delta`].
    fn on_end(&mut self, context: &mut Context<'_>) -> Result<()>;

    /// What a checkpoint at `epoch` is told of the state, between two epochs. Where the capture of `base` is the last that
    /// became a complete checkpoint, what has changed since is enough; all is told where there is none.
    ///
    /// # Errors
    /// Where Arrow cannot build a column.
    fn capture(&mut self, epoch: Epoch, base: Option<Epoch>) -> Result<Vec<Table>>;

    /// All state, between two epochs: what a checkpoint that follows none is told.
    ///
    /// # Errors
    /// As [`Self::capture`].
    fn snapshot(&mut self) -> Result<OperatorState> {
        Table::state(self.capture(Epoch(0), None)?)
    }

    /// Takes over the state that [`Self::snapshot`] gave. The operator is new.
    ///
    /// # Errors
    /// Where the state is not this operator's.
    fn restore(&mut self, state: OperatorState) -> Result<()>;

    /// Lets all that is out come out once more with the next barrier, or the end, as if none of it were: after
    /// [`Self::restore`], for readers that are new. Nothing is taken back before.
    ///
    /// # Errors
    /// Where the state does not hold what is out: [`Change`](crate::checkpoint::change::Change) tells of which it does.
    fn reissue(&mut self) -> Result<()> {
        Err(EngineError::Internal("an operator that does not hold what it has given out".into()))
    }
}

/// The state of an operator as named tables of columns.
#[derive(Debug, Clone, Default)]
pub struct OperatorState {
    /// Name and rows of each table. One that has over 2 GiB of text in a column stands here several times, after another.
    pub tables: Vec<(String, RecordBatch)>,
}

/// Whether an evaluation may go on: it has a limit of time and memory, and its job may be over meanwhile.
pub trait Budget: fmt::Debug + Send + Sync {
    /// Asked between chunks of rows, of about [`BATCH_ROWS`](crate::message::BATCH_ROWS) each: what makes many rows out of few asks
    /// before it makes more.
    ///
    /// # Errors
    /// Where the evaluation must end. The job fails, or is over already.
    fn check(&self) -> Result<()>;
}

/// What an operator is given on every call: the clock, and where its output and its counts go.
#[derive(Debug)]
pub struct Context<'a> {
    /// The processing time now.
    pub now: ProcessingTime,
    out: &'a mut Outbox,
}

/// Collects what an operator emits until the runtime routes it.
#[derive(Debug, Default)]
pub struct Outbox {
    /// What was emitted, in order.
    pub items: Vec<Emitted>,
    /// Rows that were dropped, late ones and bad ones, and what is done with bad ones.
    pub rejects: Rejects,
    /// Keys whose state was dropped because they were idle, since the outbox was made.
    pub evicted_keys: u64,
    /// The earliest timer that was asked for.
    pub timer: Option<ProcessingTime>,
    /// What the operator asked for last: to be given nothing until it is ready.
    pub hold: Option<bool>,
    /// What an evaluation may take. `None`: all that it wants.
    pub budget: Option<Arc<dyn Budget>>,
}

/// What an operator emits.
#[derive(Debug, Clone)]
pub enum Emitted {
    /// Row changes.
    Delta(Delta),
    /// The watermark of its output.
    Watermark(EventTime),
}

impl<'a> Context<'a> {
    /// A context at `now` that collects into `out`.
    pub fn new(now: ProcessingTime, out: &'a mut Outbox) -> Self {
        Self { now, out }
    }

    /// Emits rows; an empty delta is dropped.
    pub fn emit(&mut self, delta: Delta) {
        if delta.rows() > 0 {
            self.out.items.push(Emitted::Delta(delta));
        }
    }

    /// Emits the watermark of the output.
    pub fn emit_watermark(&mut self, watermark: EventTime) {
        self.out.items.push(Emitted::Watermark(watermark));
    }

    /// Asks whether to go on, between chunks of rows: see [`Budget::check`].
    ///
    /// # Errors
    /// As there.
    pub fn check(&self) -> Result<()> {
        self.out.budget.as_ref().map_or(Ok(()), |budget| budget.check())
    }

    /// What [`Self::check`] asks, for those who hold the context otherwise.
    pub fn budget(&self) -> Option<Arc<dyn Budget>> {
        self.out.budget.clone()
    }

    /// Tells of rows of a delta that came after their windows were closed, and are dropped.
    ///
    /// # Errors
    /// Where Arrow cannot copy a column.
    pub fn late(&mut self, delta: &Delta, rows: impl Iterator<Item = u32> + Clone) -> Result<()> {
        self.out.rejects.late(delta, rows)
    }

    /// Counts late rows that are not at hand any more.
    pub fn count_late(&mut self, rows: usize) {
        self.out.rejects.count_late(rows);
    }

    /// What is done with rows that fail, and where they are told.
    pub fn rejects(&mut self) -> &mut Rejects {
        &mut self.out.rejects
    }

    /// Counts keys whose state was dropped because no row had touched them for their time to live.
    pub fn count_evicted(&mut self, keys: usize) {
        self.out.evicted_keys += keys as u64;
    }

    /// Waits for something outside: the barrier or end that is being handled, and all that follows it on the inputs, stays
    /// until [`Self::go_on`]. Timers go on.
    pub fn hold(&mut self) {
        self.out.hold = Some(true);
    }

    /// Ends [`Self::hold`].
    pub fn go_on(&mut self) {
        self.out.hold = Some(false);
    }

    /// Asks for [`Operator::on_timer`] at `at` or soon after. The earliest one asked for counts.
    pub fn set_timer(&mut self, at: ProcessingTime) {
        self.out.timer = Some(self.out.timer.map_or(at, |timer| timer.min(at)));
    }
}
