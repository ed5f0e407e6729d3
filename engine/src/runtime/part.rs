//! [`JobPart`]: one job on one shard. It reads where there is something to read and room for the result, closes epochs,
//! and tells the coordinator how far it is.

mod report;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::JobId;
use super::entry::{Entry, EntryKind};
use super::exchange::Inlet;
use super::graph::{Channel, Graph, Node, NodeKind};
use super::materialize::Materialize;
use super::protocol::{Event, Links};
use super::shared::{JobShared, RejectedAt};
use super::signal::Signal;
use super::source::PollContext;
use crate::error::Result;
use crate::message::{Delta, Epoch, Message};
use crate::plan::RelationId;
use crate::time::ProcessingTime;

/// Microseconds between two looks whether there is memory for more rows.
const HELD_US: i64 = 50_000;

/// What a step came to.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Turn {
    /// Something was done: another step may find more.
    pub(super) progressed: bool,
    /// When to look again, where nobody asks before.
    pub(super) deadline: Option<ProcessingTime>,
}

impl Turn {
    /// Takes in what another step came to.
    pub(super) fn add(&mut self, other: Self) {
        self.progressed |= other.progressed;
        self.wait_until(other.deadline);
    }

    fn wait_until(&mut self, at: Option<ProcessingTime>) {
        self.deadline = self.deadline.into_iter().chain(at).min();
    }
}

/// See the module.
pub(super) struct JobPart {
    pub(super) id: JobId,
    pub(super) shard: usize,
    pub(super) graph: Graph,
    /// Those that are farther from the sources first, so that what is on its way goes before what is new.
    entries: Vec<Entry>,
    pub(super) shared: Arc<JobShared>,
    links: Arc<Links>,
    /// Epochs that are asked for and not reported.
    requested: VecDeque<Epoch>,
    /// Epochs, or checkpoints, that the sinks commit.
    committing: VecDeque<(Epoch, bool)>,
    /// Number of the last insert.
    pub(super) inserted: u64,
    flush: Option<u64>,
    drained: bool,
    /// The last step progressed.
    pub(super) busy: bool,
    pub(super) deadline: Option<ProcessingTime>,
    out: Vec<Message>,
}

impl JobPart {
    /// A part that has not read yet.
    pub(super) fn new(
        shard: usize,
        nodes: Vec<Node>,
        inlets: Vec<Inlet>,
        shared: Arc<JobShared>,
        links: Arc<Links>,
    ) -> Self {
        let reads = |node: &Node| match node.kind {
            NodeKind::Source(_) | NodeKind::View(_) => true,
            NodeKind::Table | NodeKind::Operator(_) | NodeKind::Materialize(_) | NodeKind::Sink(_) => false,
        };
        let own = nodes.iter().enumerate().filter(|(_, node)| reads(node)).map(|(index, _)| EntryKind::Node(index));
        let mut entries: Vec<Entry> =
            own.chain(inlets.into_iter().map(EntryKind::Inlet)).map(|what| Entry::new(what, &nodes)).collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.start()));
        Self {
            id: shared.id,
            shard,
            graph: Graph::new(nodes, Arc::clone(&shared), shard),
            entries,
            shared,
            links,
            requested: VecDeque::new(),
            committing: VecDeque::new(),
            inserted: 0,
            flush: None,
            drained: false,
            busy: true,
            deadline: None,
            out: Vec::new(),
        }
    }

    /// Does a quantum of what can be done now: at most about one batch for each entry.
    ///
    /// # Errors
    /// What a node reports. The job fails.
    pub(super) fn step(&mut self, now: ProcessingTime) -> Result<Turn> {
        let mut turn = Turn::default();
        turn.progressed |= self.fire_timers(now)?;
        for index in 0..self.entries.len() {
            self.read(index, now, &mut turn)?;
        }
        turn.wait_until(self.graph.next_timer());
        self.count_watermark();
        self.report()?;
        Ok(turn)
    }

    /// Closes the epoch at the sources; views pass it on by themselves.
    ///
    /// # Errors
    /// What a node reports.
    pub(super) fn barrier(&mut self, epoch: Epoch, now: ProcessingTime) -> Result<()> {
        self.requested.push_back(epoch);
        // What the clock closed before the barrier belongs to the epoch.
        self.fire_timers(now)?;
        for index in 0..self.graph.nodes.len() {
            let starts = self.graph.nodes.get(index).is_some_and(|node| match &node.kind {
                NodeKind::Source(source) => !source.ended(),
                NodeKind::Table => true,
                NodeKind::View(_) | NodeKind::Operator(_) | NodeKind::Materialize(_) | NodeKind::Sink(_) => false,
            });
            if starts {
                self.graph.emit(index, &mut vec![Message::Barrier(epoch)], now)?;
            }
        }
        self.report()
    }

    /// Fires the timers that are due. Gives whether there were any.
    fn fire_timers(&mut self, now: ProcessingTime) -> Result<bool> {
        let fired = self.graph.fire_timers(now)?;
        if fired {
            self.moved();
        }
        Ok(fired)
    }

    /// Makes visible what the sinks prepared up to `epoch`.
    ///
    /// # Errors
    /// What a sink reports.
    pub(super) fn commit(&mut self, epoch: Epoch, checkpoint: bool) -> Result<()> {
        for node in &mut self.graph.nodes {
            if let NodeKind::Sink(sink) = &mut node.kind {
                sink.commit(epoch, checkpoint)?;
            }
        }
        self.committing.push_back((epoch, checkpoint));
        self.report_committed()
    }

    /// Changes the rows of an internal table. Inserts that are numbered have growing numbers.
    ///
    /// # Errors
    /// A retraction of a row that is not there.
    pub(super) fn insert(&mut self, delta: Delta, number: u64, now: ProcessingTime) -> Result<()> {
        let table = self.graph.nodes.iter().position(|node| matches!(node.kind, NodeKind::Table));
        let Some(table) = table else { return Ok(()) };
        if let Some(counters) = self.shared.counters.get(self.shard) {
            counters.count_in(delta.rows());
        }
        self.inserted = self.inserted.max(number);
        self.moved();
        self.graph.emit(table, &mut vec![Message::Delta(delta)], now)
    }

    /// A `FLUSH` begins. A later one includes those before; so does what the clock has closed.
    ///
    /// # Errors
    /// What an operator reports.
    pub(super) fn begin_flush(&mut self, flush: u64, now: ProcessingTime) -> Result<()> {
        self.fire_timers(now)?;
        for node in &mut self.graph.nodes {
            if let NodeKind::Source(source) = &mut node.kind {
                source.begin_flush();
            }
        }
        self.flush = Some(flush);
        self.busy = true;
        Ok(())
    }

    /// Computes no more: the job is over, and its removal is on its way, behind what its sinks may still have to commit.
    pub(super) fn rest(&mut self) {
        (self.busy, self.deadline) = (false, None);
    }

    /// The view's node, where this job keeps the view, and what wakes this part.
    pub(super) fn view(&mut self, relation: RelationId) -> Option<(&mut Materialize, Arc<Signal>)> {
        let signal = Arc::clone(self.shared.signals.get(self.shard)?);
        let view = self.graph.nodes.iter_mut().find_map(|node| match &mut node.kind {
            NodeKind::Materialize(view) if view.relation() == relation => Some(view.as_mut()),
            NodeKind::Materialize(_)
            | NodeKind::Source(_)
            | NodeKind::View(_)
            | NodeKind::Table
            | NodeKind::Operator(_)
            | NodeKind::Sink(_) => None,
        });
        view.map(|view| (view, signal))
    }

    /// Whether a step was asked for, or is due.
    pub(super) fn is_due(&mut self, now: ProcessingTime) -> bool {
        if self.shared.is_over() {
            self.rest();
            return false;
        }
        let raised = self.shared.signals.get(self.shard).is_some_and(|signal| signal.take());
        raised || self.busy || self.deadline.is_some_and(|at| at <= now)
    }

    fn read(&mut self, index: usize, now: ProcessingTime, turn: &mut Turn) -> Result<()> {
        if !self.has_room(index) {
            return Ok(());
        }
        match self.entries.get(index).map(|entry| &entry.what) {
            Some(EntryKind::Node(node)) => self.read_node(*node, now, turn),
            Some(EntryKind::Inlet(_)) => self.read_inlet(index, now, turn),
            None => Ok(()),
        }
    }

    fn read_inlet(&mut self, index: usize, now: ProcessingTime, turn: &mut Turn) -> Result<()> {
        let Some(Entry { what: EntryKind::Inlet(inlet), .. }) = self.entries.get(index) else { return Ok(()) };
        let Some(node) = self.graph.nodes.get_mut(inlet.node) else { return Ok(()) };
        let mut taken = inlet.take(|channel| node.aligner.is_held(channel));
        if taken.is_empty() {
            return Ok(());
        }
        turn.progressed = true;
        taken.channels.iter().for_each(|channel| node.aligner.touch(*channel));
        let (to, port) = (inlet.node, inlet.port);
        if let Some(delta) = taken.joined()? {
            self.graph.deliver_rows(to, port, delta, now)?;
        }
        for (channel, message) in taken.controls {
            self.graph.deliver(Channel { node: to, channel }, message, now)?;
        }
        Ok(())
    }

    fn read_node(&mut self, index: usize, now: ProcessingTime, turn: &mut Turn) -> Result<()> {
        let rows_max = self.links.config.batch_rows;
        let (ready, held) = (self.sinks_ready(), self.links.config.memory.is_over(now));
        let mut out = std::mem::take(&mut self.out);
        let node = self.graph.nodes.get_mut(index);
        let place = |label, passed| RejectedAt { shard: self.shard, label, passed, now };
        match node.map(|node| (&mut node.kind, place(&node.label, node.passed))) {
            // Nobody tells when there is room again.
            Some((NodeKind::Source(source), _)) if held && !source.ended() => {
                turn.wait_until(Some(now.plus_us(HELD_US)))
            }
            Some((NodeKind::Source(source), place)) if ready => {
                let context = PollContext { rows_max, place, shared: &self.shared };
                let polled = source.poll(&context, &mut out)?;
                turn.progressed |= polled.progressed;
                turn.wait_until(polled.deadline);
            }
            Some((NodeKind::View(view), _)) => {
                view.poll(rows_max, now, &mut out)?;
                if let Some(counters) = self.shared.counters.get(self.shard) {
                    counters.count_in(out.iter().map(super::ring::rows_of).sum());
                }
                turn.progressed |= !out.is_empty();
                turn.wait_until(view.expire(now, &mut out));
            }
            Some((
                NodeKind::Source(_)
                | NodeKind::Table
                | NodeKind::Operator(_)
                | NodeKind::Materialize(_)
                | NodeKind::Sink(_),
                _,
            ))
            | None => {}
        }
        if out.iter().any(|message| !matches!(message, Message::Barrier(_))) {
            self.moved();
        }
        let result = self.graph.emit(index, &mut out, now);
        self.out = out;
        result
    }

    /// Whether there is room for what comes of an entry's rows.
    fn has_room(&self, index: usize) -> bool {
        let Some(entry) = self.entries.get(index) else { return false };
        let nodes = &self.graph.nodes;
        entry.nodes.iter().all(|node| nodes.get(*node).is_none_or(Node::has_credit))
            && entry
                .channels
                .iter()
                .all(|channel| nodes.get(channel.node).is_none_or(|node| node.aligner.has_room(channel.channel)))
    }

    fn sinks_ready(&self) -> bool {
        self.graph.nodes.iter().all(|node| match &node.kind {
            NodeKind::Sink(sink) => sink.writer.ready(),
            NodeKind::Source(_)
            | NodeKind::View(_)
            | NodeKind::Table
            | NodeKind::Operator(_)
            | NodeKind::Materialize(_) => true,
        })
    }

    /// Says that an epoch is due; once an epoch.
    fn moved(&self) {
        if !self.shared.dirty.load(Ordering::Relaxed) && !self.shared.dirty.swap(true, Ordering::AcqRel) {
            self.links.coordinator.send(Event::Dirty(self.id));
        }
    }
}

impl Drop for JobPart {
    /// Who writes to this part, on any shard, need not wait for it any more.
    fn drop(&mut self) {
        for entry in &self.entries {
            if let EntryKind::Inlet(inlet) = &entry.what {
                inlet.close();
            }
        }
        for node in &self.graph.nodes {
            if let NodeKind::View(view) = &node.kind {
                view.close();
            }
        }
    }
}
