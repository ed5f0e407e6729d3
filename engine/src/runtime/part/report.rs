//! What a part tells the coordinator: how far its epochs, commits and flushes are.

use super::JobPart;
use crate::error::Result;
use crate::runtime::capture::PartCapture;
use crate::runtime::graph::NodeKind;
use crate::runtime::protocol::{Event, Passed};
use crate::runtime::shared::Progress;
use crate::runtime::sink::SinkNode;
use crate::runtime::source::SourceDriver;

impl JobPart {
    pub(super) fn count_watermark(&self) {
        let sources = self.graph.nodes.iter().filter_map(|node| match &node.kind {
            NodeKind::Source(source) => Some(source.progress()),
            NodeKind::View(view) => Some(view.progress()),
            NodeKind::Table | NodeKind::Operator(_) | NodeKind::Materialize(_) | NodeKind::Sink(_) => None,
        });
        if let (Some(least), Some(counters)) = (Progress::least(sources), self.shared.counters.get(self.shard)) {
            counters.set_watermark(least);
        }
    }

    /// Tells the coordinator what it waits for.
    pub(super) fn report(&mut self) -> Result<()> {
        let (job, shard) = (self.id, self.shard);
        while let Some(&epoch) = self.requested.front()
            && self.graph.nodes.iter().filter(|node| node.is_terminal()).all(|node| node.has_passed(epoch))
        {
            self.graph.close_ended(epoch)?;
            if !self.each_sink(SinkNode::is_prepared)? {
                break;
            }
            self.requested.pop_front();
            let (mut staged, mut prepared) = (Vec::new(), false);
            for node in &mut self.graph.nodes {
                match &mut node.kind {
                    NodeKind::Materialize(view) => staged.extend(view.take_staged(epoch)),
                    NodeKind::Sink(sink) => prepared |= sink.has_prepared(epoch),
                    NodeKind::Source(_) | NodeKind::View(_) | NodeKind::Table | NodeKind::Operator(_) => {}
                }
            }
            let nodes = self.graph.take_captured(epoch)?;
            let captured = nodes.map(|nodes| PartCapture { nodes, inserted: self.inserted });
            let passed = Passed { job, shard, epoch, staged, prepared, captured };
            self.links.coordinator.send(Event::Passed(Box::new(passed)));
        }
        self.report_committed()?;
        if let Some(flush) = self.flush
            && self.sources_are(|source| source.flushed())
        {
            self.flush = None;
            let ended = self.sources_are(|source| source.ended());
            self.links.coordinator.send(Event::Flushed { job, shard, flush, ended });
        }
        if !self.drained && self.graph.is_drained() {
            self.drained = true;
            self.links.coordinator.send(Event::Drained { job });
        }
        Ok(())
    }

    /// Tells the coordinator what the sinks have made visible.
    pub(super) fn report_committed(&mut self) -> Result<()> {
        if self.committing.is_empty() || !self.each_sink(SinkNode::is_committed)? {
            return Ok(());
        }
        for (epoch, checkpoint) in self.committing.drain(..) {
            self.links.coordinator.send(Event::Committed { job: self.id, shard: self.shard, epoch, checkpoint });
        }
        Ok(())
    }

    /// Whether something holds for all sinks.
    fn each_sink(&mut self, holds: fn(&mut SinkNode) -> Result<bool>) -> Result<bool> {
        for node in &mut self.graph.nodes {
            if let NodeKind::Sink(sink) = &mut node.kind
                && !holds(sink)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn sources_are(&self, is: impl Fn(&SourceDriver) -> bool) -> bool {
        self.graph.nodes.iter().all(|node| match &node.kind {
            NodeKind::Source(source) => is(source),
            NodeKind::View(_)
            | NodeKind::Table
            | NodeKind::Operator(_)
            | NodeKind::Materialize(_)
            | NodeKind::Sink(_) => true,
        })
    }
}
