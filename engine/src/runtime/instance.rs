//! [`JobInstance`]: one job on one shard: its nodes, the edges between them, and what is on its way.
//!
//! Messages move through a FIFO work list, so that the order on every channel is kept without recursion. Forward edges
//! are entries of that list; exchanges are [`Queue`]s between shards.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::JobId;
use super::aligner::{Aligner, Step};
use super::materialize::{Materialize, Staged};
use super::queue::Queue;
use super::shared::JobCounters;
use super::source::SourceDriver;
use super::view_source::ViewReader;
use crate::error::Result;
use crate::message::{Delta, Epoch, Message};
use crate::operators::key_group::split_by_shard;
use crate::operators::{Context, Emitted, Operator, Outbox};
use crate::ports::{CommitToken, SinkWriter};
use crate::time::{EventTime, ProcessingTime};

/// Messages taken from one queue in one turn.
const QUEUE_TURN: usize = 8;

/// One node on one shard.
pub(super) struct NodeInstance {
    pub(super) kind: NodeKind,
    pub(super) aligner: Aligner,
    pub(super) outputs: Vec<Output>,
    pub(super) timer: Option<ProcessingTime>,
}

/// What a node is.
pub(super) enum NodeKind {
    Source(Box<SourceDriver>),
    View(Box<ViewReader>),
    Operator(Box<dyn Operator>),
    Materialize(Box<Materialize>),
    Sink(SinkNode),
}

/// A sink's writer and what it has prepared.
pub(super) struct SinkNode {
    pub(super) writer: Box<dyn SinkWriter>,
    pub(super) prepared: Vec<(Epoch, CommitToken)>,
}

/// Where the output of a node goes.
pub(super) enum Output {
    /// To a channel of a node of this shard.
    Forward { node: usize, channel: usize },
    /// To the shard of the key: one queue a shard. Control messages go to all.
    Exchange { keys: Option<Vec<usize>>, queues: Vec<Arc<Queue>> },
}

/// The receiving end of an exchange.
pub(super) struct Inbound {
    pub(super) queue: Arc<Queue>,
    pub(super) node: usize,
    pub(super) channel: usize,
}

/// What a job on a shard tells the coordinator.
#[derive(Debug)]
pub(super) enum Report {
    /// All its terminal nodes have passed the barrier.
    Passed(Epoch),
    /// All its terminal nodes have ended.
    Ended,
    /// Its sources have read all that was there at the flush.
    Flushed(u64),
}

/// A terminal node's progress.
struct Terminal {
    node: usize,
    passed: Epoch,
    ended: bool,
}

/// One job on one shard.
pub(super) struct JobInstance {
    pub(super) id: JobId,
    shard: usize,
    pub(super) nodes: Vec<NodeInstance>,
    pub(super) inbound: Vec<Inbound>,
    counters: Arc<JobCounters>,
    work: VecDeque<(usize, usize, Message)>,
    outbox: Outbox,
    terminals: Vec<Terminal>,
    passed: Epoch,
    ended: bool,
    flush: Option<u64>,
    /// For the shard to pass on.
    pub(super) staged: Vec<Staged>,
    pub(super) reports: Vec<Report>,
}

/// What a turn of a job came to.
#[derive(Default)]
pub(super) struct Turn {
    /// Something was done, so that another turn may find more.
    pub(super) progressed: bool,
    /// A source gave something or a timer fired: an epoch is due.
    pub(super) moved: bool,
    pub(super) deadline: Option<ProcessingTime>,
}

impl Turn {
    pub(super) fn wait_until(&mut self, at: Option<ProcessingTime>) {
        self.deadline = match (self.deadline, at) {
            (Some(left), Some(right)) => Some(left.min(right)),
            (left, right) => left.or(right),
        };
    }
}

impl JobInstance {
    pub(super) fn new(
        id: JobId,
        shard: usize,
        nodes: Vec<NodeInstance>,
        inbound: Vec<Inbound>,
        counters: Arc<JobCounters>,
    ) -> Self {
        let terminal = |(node, instance): (usize, &NodeInstance)| match instance.kind {
            NodeKind::Materialize(_) | NodeKind::Sink(_) => Some(Terminal { node, passed: Epoch(0), ended: false }),
            NodeKind::Source(_) | NodeKind::View(_) | NodeKind::Operator(_) => None,
        };
        let terminals = nodes.iter().enumerate().filter_map(terminal).collect();
        Self {
            id,
            shard,
            nodes,
            inbound,
            counters,
            work: VecDeque::new(),
            outbox: Outbox::default(),
            terminals,
            passed: Epoch(0),
            ended: false,
            flush: None,
            staged: Vec::new(),
            reports: Vec::new(),
        }
    }

    /// Does what can be done now, a quantum of it.
    pub(super) fn turn(&mut self, rows_max: usize, now: ProcessingTime) -> Result<Turn> {
        let mut turn = Turn::default();
        self.drain_exchanges(now, &mut turn)?;
        self.read_views(now, &mut turn)?;
        self.fire_timers(now, &mut turn)?;
        self.read_sources(rows_max, now, &mut turn)?;
        if let Some(flush) = self.flush
            && self.sources_flushed()
        {
            self.flush = None;
            self.reports.push(Report::Flushed(flush));
        }
        Ok(turn)
    }

    /// Closes the epoch at the sources (and at a table, which is its own source).
    pub(super) fn inject_barrier(&mut self, epoch: Epoch, now: ProcessingTime) -> Result<()> {
        for node in 0..self.nodes.len() {
            match &self.nodes[node].kind {
                NodeKind::Source(source) if !source.ended() => self.route(node, Message::Barrier(epoch))?,
                NodeKind::Materialize(_) if self.is_table() => self.step(node, Step::Barrier(epoch), now)?,
                NodeKind::Source(_)
                | NodeKind::View(_)
                | NodeKind::Operator(_)
                | NodeKind::Materialize(_)
                | NodeKind::Sink(_) => {}
            }
        }
        self.run(now)
    }

    /// Changes the rows of an internal table.
    pub(super) fn insert(&mut self, delta: Delta, now: ProcessingTime) -> Result<()> {
        self.counters.rows_in.fetch_add(delta.rows() as u64, Ordering::Relaxed);
        self.step(0, Step::Delta(0, delta), now)?;
        self.run(now)
    }

    /// A `FLUSH` begins.
    pub(super) fn begin_flush(&mut self, flush: u64) {
        for node in &mut self.nodes {
            if let NodeKind::Source(source) = &mut node.kind {
                source.begin_flush();
            }
        }
        self.flush = Some(flush);
    }

    /// Makes visible what the sinks prepared up to `epoch`.
    pub(super) fn commit_sinks(&mut self, epoch: Epoch) -> Result<()> {
        for node in &mut self.nodes {
            if let NodeKind::Sink(sink) = &mut node.kind {
                for (_, token) in sink.prepared.iter().filter(|(of, _)| *of <= epoch) {
                    sink.writer.commit(token)?;
                }
                sink.prepared.retain(|(of, _)| *of > epoch);
            }
        }
        Ok(())
    }

    /// The view's node, where this job keeps it.
    pub(super) fn view(&mut self, relation: crate::plan::RelationId) -> Option<&mut Materialize> {
        self.nodes.iter_mut().find_map(|node| match &mut node.kind {
            NodeKind::Materialize(view) if view.relation() == relation => Some(view.as_mut()),
            NodeKind::Materialize(_)
            | NodeKind::Source(_)
            | NodeKind::View(_)
            | NodeKind::Operator(_)
            | NodeKind::Sink(_) => None,
        })
    }

    /// Lets go of all queues: the job goes away.
    pub(super) fn close(&mut self) {
        for inbound in &self.inbound {
            inbound.queue.close();
        }
        for node in &mut self.nodes {
            match &mut node.kind {
                NodeKind::View(view) => view.close(),
                NodeKind::Materialize(view) => view.close(),
                NodeKind::Source(_) | NodeKind::Operator(_) | NodeKind::Sink(_) => {}
            }
        }
    }

    /// An internal table: one node that keeps rows, and nothing that feeds it.
    fn is_table(&self) -> bool {
        self.nodes.len() == 1
    }

    /// Notes that an epoch is due; true where that is news.
    pub(super) fn mark_dirty(&self) -> bool {
        !self.counters.dirty.swap(true, Ordering::AcqRel)
    }

    fn drain_exchanges(&mut self, now: ProcessingTime, turn: &mut Turn) -> Result<()> {
        for index in 0..self.inbound.len() {
            let (node, channel) = (self.inbound[index].node, self.inbound[index].channel);
            for _ in 0..QUEUE_TURN {
                let Some(message) = self.inbound[index].queue.pop() else { break };
                turn.progressed = true;
                self.work.push_back((node, channel, message));
            }
            self.run(now)?;
        }
        Ok(())
    }

    fn read_views(&mut self, now: ProcessingTime, turn: &mut Turn) -> Result<()> {
        let mut out = Vec::new();
        for node in 0..self.nodes.len() {
            for _ in 0..QUEUE_TURN {
                let NodeKind::View(view) = &mut self.nodes[node].kind else { break };
                if !view.poll(now, &self.counters, &mut out)? {
                    break;
                }
                turn.progressed = true;
                self.route_all(node, &mut out)?;
                self.run(now)?;
            }
        }
        Ok(())
    }

    fn fire_timers(&mut self, now: ProcessingTime, turn: &mut Turn) -> Result<()> {
        for node in 0..self.nodes.len() {
            let Some(at) = self.nodes[node].timer else { continue };
            if at > now {
                turn.wait_until(Some(at));
                continue;
            }
            self.nodes[node].timer = None;
            turn.progressed = true;
            turn.moved = true;
            if let NodeKind::Operator(operator) = &mut self.nodes[node].kind {
                operator.on_timer(now, &mut Context::new(now, &mut self.outbox))?;
            }
            self.collect(node)?;
            self.run(now)?;
        }
        Ok(())
    }

    fn read_sources(&mut self, rows_max: usize, now: ProcessingTime, turn: &mut Turn) -> Result<()> {
        if !self.has_credit() {
            return Ok(());
        }
        let mut out = Vec::new();
        for node in 0..self.nodes.len() {
            let NodeKind::Source(source) = &mut self.nodes[node].kind else { continue };
            let polled = source.poll(rows_max, now, &self.counters, &mut out)?;
            turn.progressed |= polled.progressed;
            turn.moved |= !out.is_empty();
            turn.wait_until(polled.deadline);
            self.route_all(node, &mut out)?;
            self.run(now)?;
        }
        self.report_watermark();
        Ok(())
    }

    fn report_watermark(&self) {
        let watermark = self.nodes.iter().filter_map(|node| match &node.kind {
            NodeKind::Source(source) => Some(source.watermark()),
            NodeKind::View(view) => Some(view.watermark()),
            NodeKind::Operator(_) | NodeKind::Materialize(_) | NodeKind::Sink(_) => None,
        });
        let least = watermark.min().unwrap_or(EventTime::MAX);
        if let Some(slot) = self.counters.watermarks.get(self.shard) {
            slot.store(least.0, Ordering::Relaxed);
        }
    }

    /// Whether every queue out of here, every reader of its view and every sink takes more.
    fn has_credit(&self) -> bool {
        self.nodes.iter().all(|node| {
            let open = node.outputs.iter().all(|output| match output {
                Output::Forward { .. } => true,
                Output::Exchange { queues, .. } => queues.iter().all(|queue| queue.has_credit()),
            });
            open && match &node.kind {
                NodeKind::Materialize(view) => view.has_credit(),
                NodeKind::Sink(sink) => sink.writer.ready(),
                NodeKind::Source(_) | NodeKind::View(_) | NodeKind::Operator(_) => true,
            }
        })
    }

    fn sources_flushed(&mut self) -> bool {
        // `all` would stop at the first that is not; each must note for itself that it is done.
        let mut done = true;
        for node in &mut self.nodes {
            if let NodeKind::Source(source) = &mut node.kind {
                done &= source.take_flushed();
            }
        }
        done
    }

    /// Delivers what is on its way until nothing is.
    fn run(&mut self, now: ProcessingTime) -> Result<()> {
        let mut steps = Vec::new();
        while let Some((node, channel, message)) = self.work.pop_front() {
            if let Some(instance) = self.nodes.get_mut(node) {
                instance.aligner.accept(channel, message, &mut steps);
            }
            for step in steps.drain(..) {
                self.step(node, step, now)?;
            }
        }
        Ok(())
    }

    fn step(&mut self, node: usize, step: Step, now: ProcessingTime) -> Result<()> {
        match &mut self.nodes[node].kind {
            NodeKind::Operator(operator) => {
                let mut context = Context::new(now, &mut self.outbox);
                let control = match step {
                    Step::Delta(port, delta) => {
                        operator.on_delta(port, delta, &mut context)?;
                        None
                    }
                    Step::Watermark(watermark) => {
                        operator.on_watermark(watermark, &mut context)?;
                        None
                    }
                    Step::Idle => Some(Message::Idle),
                    Step::Barrier(epoch) => {
                        operator.on_barrier(epoch, &mut context)?;
                        Some(Message::Barrier(epoch))
                    }
                    Step::End => {
                        operator.on_end(&mut context)?;
                        Some(Message::End)
                    }
                };
                self.collect(node)?;
                control.map_or(Ok(()), |message| self.route(node, message))
            }
            NodeKind::Materialize(_) => self.step_view(node, step),
            NodeKind::Sink(_) => self.step_sink(node, step),
            NodeKind::Source(_) | NodeKind::View(_) => Ok(()),
        }
    }

    fn step_view(&mut self, node: usize, step: Step) -> Result<()> {
        let NodeKind::Materialize(view) = &mut self.nodes[node].kind else { return Ok(()) };
        match step {
            Step::Delta(_, delta) => {
                self.counters.rows_out.fetch_add(delta.rows() as u64, Ordering::Relaxed);
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
            Step::Barrier(epoch) => {
                let staged = view.on_barrier(epoch)?;
                self.staged.push(staged);
                self.terminal_passed(node, Some(epoch));
                Ok(())
            }
            Step::End => {
                let staged = view.on_end()?;
                self.staged.push(staged);
                self.terminal_passed(node, None);
                Ok(())
            }
        }
    }

    fn step_sink(&mut self, node: usize, step: Step) -> Result<()> {
        let NodeKind::Sink(sink) = &mut self.nodes[node].kind else { return Ok(()) };
        match step {
            Step::Delta(_, delta) => {
                self.counters.rows_out.fetch_add(delta.rows() as u64, Ordering::Relaxed);
                sink.writer.write(&delta)
            }
            Step::Watermark(watermark) => sink.writer.on_watermark(watermark),
            Step::Idle => Ok(()),
            Step::Barrier(epoch) => {
                let token = sink.writer.prepare(epoch)?;
                sink.prepared.extend(token.map(|token| (epoch, token)));
                self.terminal_passed(node, Some(epoch));
                Ok(())
            }
            Step::End => {
                sink.writer.on_end();
                let epoch = Epoch(self.passed.0 + 1);
                let token = sink.writer.prepare(epoch)?;
                sink.prepared.extend(token.map(|token| (epoch, token)));
                self.terminal_passed(node, None);
                Ok(())
            }
        }
    }

    /// Notes that a terminal node passed a barrier, or ended where there is none; reports what that means for the job.
    fn terminal_passed(&mut self, node: usize, epoch: Option<Epoch>) {
        for terminal in self.terminals.iter_mut().filter(|terminal| terminal.node == node) {
            match epoch {
                Some(epoch) => terminal.passed = epoch,
                None => terminal.ended = true,
            }
        }
        let open = self.terminals.iter().filter(|terminal| !terminal.ended);
        match open.map(|terminal| terminal.passed).min() {
            Some(passed) if passed > self.passed => {
                self.passed = passed;
                self.reports.push(Report::Passed(passed));
            }
            Some(_) => {}
            None if self.ended => {}
            None => {
                self.ended = true;
                self.reports.push(Report::Ended);
            }
        }
    }

    /// Routes what an operator has put into the outbox.
    fn collect(&mut self, node: usize) -> Result<()> {
        if self.outbox.late_rows > 0 {
            self.counters.late_rows.fetch_add(mem::take(&mut self.outbox.late_rows), Ordering::Relaxed);
        }
        if let Some(at) = self.outbox.timer.take() {
            let timer = &mut self.nodes[node].timer;
            *timer = Some(timer.map_or(at, |timer| timer.min(at)));
        }
        let mut items = mem::take(&mut self.outbox.items);
        for item in items.drain(..) {
            let message = match item {
                Emitted::Delta(delta) => Message::Delta(delta),
                Emitted::Watermark(watermark) => Message::Watermark(watermark),
            };
            self.route(node, message)?;
        }
        self.outbox.items = items;
        Ok(())
    }

    fn route_all(&mut self, node: usize, messages: &mut Vec<Message>) -> Result<()> {
        messages.drain(..).try_for_each(|message| self.route(node, message))
    }

    /// Sends a message to everything that the node feeds.
    fn route(&mut self, node: usize, message: Message) -> Result<()> {
        for output in &self.nodes[node].outputs {
            match output {
                Output::Forward { node, channel } => self.work.push_back((*node, *channel, message.clone())),
                Output::Exchange { keys, queues } => match &message {
                    Message::Delta(delta) => exchange(keys.as_deref(), queues, delta)?,
                    Message::Watermark(_) | Message::Idle | Message::Barrier(_) | Message::End => {
                        queues.iter().for_each(|queue| queue.push(message.clone()));
                    }
                },
            }
        }
        Ok(())
    }
}

/// Sends each row to the shard of its key; all to shard 0 where there are no keys.
fn exchange(keys: Option<&[usize]>, queues: &[Arc<Queue>], delta: &Delta) -> Result<()> {
    let Some(keys) = keys else {
        if let Some(first) = queues.first() {
            first.push(Message::Delta(delta.clone()));
        }
        return Ok(());
    };
    for (queue, part) in queues.iter().zip(split_by_shard(delta, keys, queues.len())?) {
        if let Some(part) = part {
            queue.push(Message::Delta(part));
        }
    }
    Ok(())
}
