//! [`Graph`]: the nodes of one job on one shard, and the messages on their way between them.
//!
//! Messages move through a FIFO work list, so that the order on every channel is kept and nothing recurses. Forward
//! edges are entries of that list; exchanges leave through [`Outlet`]s.

use std::collections::VecDeque;
use std::sync::Arc;

use super::aligner::{Aligner, Step};
use super::capture::NodeCapture;
use super::evaluation::Evaluation;
use super::exchange::Outlet;
use super::hold::Hold;
use super::materialize::Materialize;
use super::shared::{Counters, JobShared, NodeLabel, RejectedAt};
use super::sink::SinkNode;
use super::source::SourceDriver;
use super::view_source::ViewReader;
use crate::error::Result;
use crate::message::{Delta, Epoch, Message};
use crate::operators::{Budget, Context, Emitted, Operator, Outbox};
use crate::rejects::Rejects;
use crate::time::{EventTime, ProcessingTime};

/// One node on one shard.
pub(super) struct Node {
    pub(super) kind: NodeKind,
    pub(super) aligner: Aligner,
    /// Channels of this shard's nodes that get the output.
    pub(super) forwards: Vec<Channel>,
    /// Exchanges that get the output.
    pub(super) outlets: Vec<Outlet>,
    pub(super) label: NodeLabel,
    pub(super) timer: Option<ProcessingTime>,
    /// What waits while the operator does.
    hold: Hold,
    /// The watermark emitted last.
    watermark: EventTime,
    /// The last barrier that passed it.
    pub(super) passed: Epoch,
    pub(super) ended: bool,
}

/// One way into a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Channel {
    pub(super) node: usize,
    pub(super) channel: usize,
}

/// What a node is.
pub(super) enum NodeKind {
    /// Reads a connector.
    Source(Box<SourceDriver>),
    /// Reads a view of another job.
    View(Box<ViewReader>),
    /// Gets the rows that are inserted into an internal table.
    Table,
    /// Computes.
    Operator(Box<dyn Operator>),
    /// Keeps a view.
    Materialize(Box<Materialize>),
    /// Writes to a connector.
    Sink(SinkNode),
}

impl Node {
    /// A node whose input channel `i` leads to port `ports[i]`.
    pub(super) fn new(kind: NodeKind, label: NodeLabel, ports: Vec<usize>) -> Self {
        Self {
            kind,
            aligner: Aligner::new(ports),
            forwards: Vec::new(),
            outlets: Vec::new(),
            label,
            timer: None,
            hold: Hold::default(),
            watermark: EventTime::MIN,
            passed: Epoch(0),
            ended: false,
        }
    }

    /// Whether rows end here.
    pub(super) fn is_terminal(&self) -> bool {
        match self.kind {
            NodeKind::Materialize(_) | NodeKind::Sink(_) => true,
            NodeKind::Source(_) | NodeKind::View(_) | NodeKind::Table | NodeKind::Operator(_) => false,
        }
    }

    /// Whether all rows of the epoch have passed. What has ended has passed every epoch to come.
    pub(super) fn has_passed(&self, epoch: Epoch) -> bool {
        self.ended || self.passed >= epoch
    }

    /// Whether there is room for what it makes.
    pub(super) fn has_credit(&self) -> bool {
        let kept = match &self.kind {
            NodeKind::Materialize(view) => view.has_credit(),
            NodeKind::Source(_) | NodeKind::View(_) | NodeKind::Table | NodeKind::Operator(_) | NodeKind::Sink(_) => {
                true
            }
        };
        kept && self.hold.has_room() && self.outlets.iter().all(Outlet::has_credit)
    }

    /// Closes the epoch at a terminal node: makes the version, prepares the sink.
    fn close_epoch(&mut self, epoch: Epoch, checkpoint: bool) -> Result<()> {
        self.passed = self.passed.max(epoch);
        match &mut self.kind {
            NodeKind::Materialize(view) => view.on_barrier(epoch),
            NodeKind::Sink(sink) => sink.prepare(epoch, checkpoint),
            NodeKind::Source(_) | NodeKind::View(_) | NodeKind::Table | NodeKind::Operator(_) => Ok(()),
        }
    }
}

/// See the module.
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    work: VecDeque<(Channel, Message)>,
    outbox: Outbox,
    pub(super) shared: Arc<JobShared>,
    shard: usize,
    /// What nodes told at the barrier of a checkpoint that is not reported yet.
    pub(super) captured: Vec<(Epoch, NodeCapture)>,
    /// What it may take until the next job has its turn.
    pub(super) evaluation: Arc<Evaluation>,
}

impl Graph {
    pub(super) fn new(nodes: Vec<Node>, shared: Arc<JobShared>, shard: usize) -> Self {
        let evaluation = Arc::new(Evaluation::new(Arc::clone(&shared)));
        let budget: Arc<dyn Budget> = Arc::<Evaluation>::clone(&evaluation);
        let outbox = Outbox { rejects: Rejects::new(shared.on_error), budget: Some(budget), ..Outbox::default() };
        Self { nodes, work: VecDeque::new(), outbox, shared, shard, captured: Vec::new(), evaluation }
    }

    /// Whether nothing comes out of any node any more.
    pub(super) fn is_drained(&self) -> bool {
        self.nodes.iter().all(|node| node.ended)
    }

    /// Lets `node` emit messages, and delivers them and what follows from them.
    ///
    /// # Errors
    /// What a node reports.
    pub(super) fn emit(&mut self, node: usize, messages: &mut Vec<Message>, now: ProcessingTime) -> Result<()> {
        for message in messages.drain(..) {
            self.route(node, message)?;
        }
        self.run(now)
    }

    /// Delivers a message that came by a channel.
    ///
    /// # Errors
    /// What a node reports.
    pub(super) fn deliver(&mut self, to: Channel, message: Message, now: ProcessingTime) -> Result<()> {
        self.work.push_back((to, message));
        self.run(now)
    }

    /// Lets a node take rows that an inlet has aligned.
    ///
    /// # Errors
    /// What a node reports.
    pub(super) fn deliver_rows(&mut self, node: usize, port: usize, delta: Delta, now: ProcessingTime) -> Result<()> {
        self.apply(node, Step::Delta(port, delta), now)?;
        self.run(now)
    }

    /// Closes the epoch at the terminal nodes that ended before its barrier.
    ///
    /// # Errors
    /// What a view or sink reports.
    pub(super) fn close_ended(&mut self, epoch: Epoch) -> Result<()> {
        for index in 0..self.nodes.len() {
            if self.nodes.get(index).is_some_and(|node| node.ended && node.passed < epoch && node.is_terminal()) {
                self.close_epoch(index, epoch)?;
            }
        }
        Ok(())
    }

    /// Closes the epoch at a terminal node, and notes its state at a checkpoint.
    fn close_epoch(&mut self, index: usize, epoch: Epoch) -> Result<()> {
        let checkpoint = self.shared.is_checkpoint(epoch);
        if let Some(node) = self.nodes.get_mut(index) {
            node.close_epoch(epoch, checkpoint)?;
        }
        self.capture(index, epoch)
    }

    /// Fires the timers that are due. Gives whether there were any.
    ///
    /// # Errors
    /// What an operator reports.
    pub(super) fn fire_timers(&mut self, now: ProcessingTime) -> Result<bool> {
        let mut fired = false;
        for index in 0..self.nodes.len() {
            let Some(node) = self.nodes.get_mut(index) else { break };
            if node.timer.is_none_or(|at| at > now) {
                continue;
            }
            node.timer = None;
            fired = true;
            if let NodeKind::Operator(operator) = &mut node.kind {
                operator.on_timer(now, &mut Context::new(now, &mut self.outbox))?;
            }
            self.collect(index, now)?;
            self.resume(index, now)?;
            self.run(now)?;
        }
        Ok(fired)
    }

    /// Lets what waited for an operator go, as long as it does not wait again.
    fn resume(&mut self, index: usize, now: ProcessingTime) -> Result<()> {
        if let Some(message) = self.nodes.get_mut(index).and_then(|node| node.hold.kept()) {
            self.route(index, message)?;
        }
        while let Some(step) = self.nodes.get_mut(index).and_then(|node| node.hold.next()) {
            self.apply(index, step, now)?;
        }
        Ok(())
    }

    /// When the next timer is due.
    pub(super) fn next_timer(&self) -> Option<ProcessingTime> {
        self.nodes.iter().filter_map(|node| node.timer).min()
    }

    fn counters(&self) -> Option<&Counters> {
        self.shared.counters.get(self.shard)
    }

    /// Delivers what is on its way until nothing is.
    fn run(&mut self, now: ProcessingTime) -> Result<()> {
        let mut steps = Vec::new();
        while let Some((to, message)) = self.work.pop_front() {
            self.evaluation.check()?;
            if let Some(node) = self.nodes.get_mut(to.node) {
                node.aligner.accept(to.channel, message, &mut steps);
            }
            for step in steps.drain(..) {
                self.apply(to.node, step, now)?;
            }
        }
        Ok(())
    }

    /// Lets a node do what its inputs ask for.
    fn apply(&mut self, index: usize, step: Step, now: ProcessingTime) -> Result<()> {
        let Some(node) = self.nodes.get_mut(index) else { return Ok(()) };
        let Some(step) = node.hold.pass(step) else { return Ok(()) };
        match &mut node.kind {
            NodeKind::Operator(operator) => {
                let mut context = Context::new(now, &mut self.outbox);
                let control = match step {
                    Step::Delta(port, delta) => operator.on_delta(port, delta, &mut context).map(|()| None),
                    Step::Watermark(watermark) => operator.on_watermark(watermark, &mut context).map(|()| None),
                    Step::Idle => Ok(Some(Message::Idle)),
                    Step::Barrier(epoch) => {
                        operator.on_barrier(epoch, &mut context).map(|()| Some(Message::Barrier(epoch)))
                    }
                    Step::PortEnd(port) => operator.on_port_end(port, &mut context).map(|()| None),
                    Step::End => operator.on_end(&mut context).map(|()| Some(Message::End)),
                }?;
                self.collect(index, now)?;
                let control = self.nodes.get_mut(index).and_then(|node| node.hold.keep(control));
                control.map_or(Ok(()), |message| self.route(index, message))
            }
            NodeKind::Materialize(_) | NodeKind::Sink(_) => self.apply_terminal(index, step, now),
            NodeKind::Source(_) | NodeKind::View(_) | NodeKind::Table => Ok(()),
        }
    }

    fn apply_terminal(&mut self, index: usize, step: Step, now: ProcessingTime) -> Result<()> {
        let counters = self.shared.counters.get(self.shard);
        let Some(node) = self.nodes.get_mut(index) else { return Ok(()) };
        match step {
            Step::Barrier(epoch) => return self.close_epoch(index, epoch),
            Step::End => node.ended = true,
            Step::Delta(..) | Step::Watermark(_) | Step::Idle | Step::PortEnd(_) => {}
        }
        match &mut node.kind {
            NodeKind::Materialize(view) => match step {
                Step::Delta(_, delta) => {
                    counters.inspect(|counters| counters.count_out(delta.rows()));
                    view.on_delta(&delta)
                }
                Step::Watermark(watermark) => {
                    view.on_watermark(watermark);
                    Ok(())
                }
                Step::Idle => {
                    view.on_idle();
                    Ok(())
                }
                Step::End => view.on_end(),
                Step::Barrier(_) | Step::PortEnd(_) => Ok(()),
            },
            NodeKind::Sink(sink) => match step {
                Step::Delta(_, delta) => {
                    let written = sink.write(&delta);
                    let refused = usize::try_from(sink.rejects.counts.sink).unwrap_or(usize::MAX);
                    counters.inspect(|counters| counters.count_out(delta.rows().saturating_sub(refused)));
                    let place = RejectedAt { shard: self.shard, label: &node.label, passed: node.passed, now };
                    self.shared.reject(place, &mut sink.rejects);
                    written
                }
                Step::Watermark(watermark) => sink.writer.on_watermark(watermark),
                Step::End => {
                    sink.on_end();
                    Ok(())
                }
                Step::Idle | Step::Barrier(_) | Step::PortEnd(_) => Ok(()),
            },
            NodeKind::Source(_) | NodeKind::View(_) | NodeKind::Table | NodeKind::Operator(_) => Ok(()),
        }
    }

    /// Takes what an operator emitted, counted and asked for.
    fn collect(&mut self, index: usize, now: ProcessingTime) -> Result<()> {
        if let Some(node) = self.nodes.get(index) {
            let place = RejectedAt { shard: self.shard, label: &node.label, passed: node.passed, now };
            self.shared.reject(place, &mut self.outbox.rejects);
        }
        let evicted = std::mem::take(&mut self.outbox.evicted_keys);
        if evicted > 0
            && let Some(counters) = self.counters()
        {
            counters.count_evicted(evicted);
        }
        if let (Some(hold), Some(node)) = (self.outbox.hold.take(), self.nodes.get_mut(index)) {
            node.hold.set(hold);
        }
        if let (Some(at), Some(node)) = (self.outbox.timer.take(), self.nodes.get_mut(index)) {
            node.timer = Some(node.timer.map_or(at, |timer| timer.min(at)));
        }
        let mut items = std::mem::take(&mut self.outbox.items);
        for item in items.drain(..) {
            self.route(
                index,
                match item {
                    Emitted::Delta(delta) => Message::Delta(delta),
                    Emitted::Watermark(watermark) => Message::Watermark(watermark),
                },
            )?;
        }
        // The buffer is used again.
        self.outbox.items = items;
        Ok(())
    }

    /// Sends what a node emits to all that read it.
    fn route(&mut self, from: usize, message: Message) -> Result<()> {
        if let Message::Barrier(epoch) = &message {
            self.capture(from, *epoch)?;
        }
        let Some(node) = self.nodes.get_mut(from) else { return Ok(()) };
        match &message {
            Message::Watermark(watermark) => {
                // Said again it tells that the edge is no longer idle, but it never goes back.
                if *watermark < node.watermark {
                    return Ok(());
                }
                node.watermark = *watermark;
            }
            Message::Barrier(epoch) => node.passed = *epoch,
            Message::End => node.ended = true,
            Message::Delta(_) | Message::Idle => {}
        }
        for outlet in &node.outlets {
            outlet.send(&message)?;
        }
        if let Some((last, others)) = node.forwards.split_last() {
            for to in others {
                self.work.push_back((*to, message.clone()));
            }
            self.work.push_back((*last, message));
        }
        Ok(())
    }
}
