//! From a [`Dataflow`] to the parts that each shard runs.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::JobId;
use super::aligner::Aligner;
use super::coordinator::NewJob;
use super::instance::{Inbound, JobInstance, NodeInstance, NodeKind, Output, SinkNode};
use super::materialize::Materialize;
use super::queue::Queue;
use super::shared::{JobCounters, SplitProgress};
use super::source::SourceDriver;
use super::view_source::ViewReader;
use super::waker::Waker;
use crate::error::{EngineError, Result};
use crate::operators::build::build;
use crate::plan::{ChangelogMode, Dataflow, Node, OperatorSpec, Partitioning, RelationId};
use crate::ports::{Accepts, SinkContext, Split, WakeHandle};
use crate::time::ProcessingTime;

/// The queues of one exchange, by sending and receiving shard.
type Exchange = Vec<Vec<Arc<Queue>>>;

/// The splits of a source on one shard, each with its place in the job's progress.
type ShardSplits = Vec<(Split, usize)>;

/// What the parts of a job are made from.
pub(super) struct Assembly<'a> {
    pub(super) id: JobId,
    pub(super) name: &'a str,
    pub(super) dataflow: &'a Dataflow,
    pub(super) wakers: Vec<Arc<Waker>>,
    pub(super) now: ProcessingTime,
}

/// What all shards of a job share while it is assembled.
struct Shared {
    exchanges: HashMap<(usize, usize), Exchange>,
    splits: HashMap<usize, Vec<ShardSplits>>,
    counters: Arc<JobCounters>,
}

impl Assembly<'_> {
    /// Lists the splits, opens the sinks, builds the operators.
    pub(super) fn build(&self) -> Result<NewJob> {
        self.check()?;
        let (splits, progress) = self.splits()?;
        let counters = Arc::new(JobCounters::new(self.wakers.len(), progress));
        let shared = Shared { exchanges: self.exchanges(), splits, counters: Arc::clone(&counters) };
        let instances = (0..self.wakers.len()).map(|shard| self.instance(shard, &shared)).collect::<Result<_>>()?;
        let mut job = NewJob {
            name: self.name.to_owned(),
            counters,
            produces: Vec::new(),
            reads: Vec::new(),
            has_sinks: false,
            instances,
        };
        for node in &self.dataflow.nodes {
            match &node.spec {
                OperatorSpec::ViewSource(spec) => job.reads.push(spec.relation),
                OperatorSpec::Materialize(spec) => job.produces.push((spec.relation, Arc::clone(&node.edge.schema))),
                OperatorSpec::Sink(_) => job.has_sinks = true,
                _ => {}
            }
        }
        Ok(job)
    }

    /// What the planner promises: nodes in order, inputs that exist, sinks that take what they get.
    fn check(&self) -> Result<()> {
        for (index, node) in self.dataflow.nodes.iter().enumerate() {
            let ordered = node.id.0 == index && node.inputs.iter().all(|input| input.from.0 < index);
            if !ordered {
                return Err(EngineError::Internal("a dataflow whose nodes are not in order".into()));
            }
            if let OperatorSpec::Sink(spec) = &node.spec
                && spec.sink.accepts() == Accepts::Append
                && node.edge.changelog == ChangelogMode::Retract
            {
                return Err(EngineError::Unsupported(format!("the sink \"{}\" takes no updates", spec.table)));
            }
        }
        Ok(())
    }

    /// Lists the splits of every source and deals them to the shards in turn.
    fn splits(&self) -> Result<(HashMap<usize, Vec<ShardSplits>>, Vec<SplitProgress>)> {
        let (mut all, mut progress) = (HashMap::new(), Vec::new());
        let shards = self.wakers.len();
        for (index, node) in self.dataflow.nodes.iter().enumerate() {
            let OperatorSpec::Source(spec) = &node.spec else { continue };
            let mut dealt: Vec<ShardSplits> = vec![Vec::new(); shards];
            for (number, split) in spec.source.splits(shards)?.into_iter().enumerate() {
                progress.push(SplitProgress::new(&spec.table, &split.id));
                if let Some(part) = dealt.get_mut(number % shards) {
                    part.push((split, progress.len() - 1));
                }
            }
            all.insert(index, dealt);
        }
        Ok((all, progress))
    }

    fn exchanges(&self) -> HashMap<(usize, usize), Exchange> {
        let mut exchanges = HashMap::new();
        let queue = |from: &Arc<Waker>, to: &Arc<Waker>| Arc::new(Queue::new(Arc::clone(from), Arc::clone(to)));
        for (index, node) in self.dataflow.nodes.iter().enumerate() {
            for (port, input) in node.inputs.iter().enumerate() {
                if input.partitioning != Partitioning::Forward {
                    let row = |from| self.wakers.iter().map(|to| queue(from, to)).collect();
                    exchanges.insert((index, port), self.wakers.iter().map(row).collect());
                }
            }
        }
        exchanges
    }

    /// One shard's part, and the queues through which it reads views.
    fn instance(&self, shard: usize, shared: &Shared) -> Result<(JobInstance, Vec<(RelationId, Arc<Queue>)>)> {
        let mut views = Vec::new();
        let mut nodes: Vec<NodeInstance> = Vec::with_capacity(self.dataflow.nodes.len());
        let mut inbound = Vec::new();
        for (index, node) in self.dataflow.nodes.iter().enumerate() {
            let kind = self.kind(index, node, shard, shared, &mut views)?;
            let mut ports = Vec::new();
            for (port, input) in node.inputs.iter().enumerate() {
                let channel = ports.len();
                let output = match shared.exchanges.get(&(index, port)) {
                    None => {
                        ports.push(port);
                        Output::Forward { node: index, channel }
                    }
                    Some(exchange) => {
                        for (from, row) in exchange.iter().enumerate() {
                            ports.push(port);
                            let queue = row.get(shard).map(Arc::clone);
                            inbound.extend(queue.map(|queue| Inbound { queue, node: index, channel: channel + from }));
                        }
                        let keys = match &input.partitioning {
                            Partitioning::Hash(keys) if !keys.is_empty() => Some(keys.clone()),
                            Partitioning::Hash(_) | Partitioning::Single | Partitioning::Forward => None,
                        };
                        Output::Exchange { keys, queues: exchange.get(shard).cloned().unwrap_or_default() }
                    }
                };
                if let Some(from) = nodes.get_mut(input.from.0) {
                    from.outputs.push(output);
                }
            }
            nodes.push(NodeInstance { kind, aligner: Aligner::new(ports), outputs: Vec::new(), timer: None });
        }
        Ok((JobInstance::new(self.id, shard, nodes, inbound, Arc::clone(&shared.counters)), views))
    }

    fn kind(
        &self,
        index: usize,
        node: &Node,
        shard: usize,
        shared: &Shared,
        views: &mut Vec<(RelationId, Arc<Queue>)>,
    ) -> Result<NodeKind> {
        let waker = self.wakers.get(shard).map(Arc::clone).unwrap_or_default();
        Ok(match &node.spec {
            OperatorSpec::Source(spec) => {
                let splits = shared.splits.get(&index).and_then(|dealt| dealt.get(shard)).cloned().unwrap_or_default();
                NodeKind::Source(Box::new(SourceDriver::new(spec.clone(), splits, self.now, waker)))
            }
            OperatorSpec::ViewSource(spec) => {
                let queue = Arc::new(Queue::new(Arc::clone(&waker), waker));
                views.push((spec.relation, Arc::clone(&queue)));
                NodeKind::View(Box::new(ViewReader::new(spec, queue, self.now)))
            }
            OperatorSpec::Materialize(spec) => {
                NodeKind::Materialize(Box::new(Materialize::new(spec.relation, &node.edge)?))
            }
            OperatorSpec::Sink(spec) => {
                let wake = WakeHandle::new(move || waker.wake());
                let shards = self.wakers.len();
                let context = SinkContext { job: self.name.to_owned(), shard, shards, wake };
                NodeKind::Sink(SinkNode { writer: spec.sink.writer(context)?, prepared: Vec::new() })
            }
            OperatorSpec::Stateless(_)
            | OperatorSpec::Union
            | OperatorSpec::WindowAggregate(_)
            | OperatorSpec::SessionAggregate(_)
            | OperatorSpec::SessionAssign(_)
            | OperatorSpec::GroupAggregate(_)
            | OperatorSpec::WindowJoin(_) => {
                let input = |from: usize| self.dataflow.nodes.get(from).map(|node| Arc::clone(&node.edge.schema));
                let inputs: Vec<SchemaRef> = node.inputs.iter().filter_map(|port| input(port.from.0)).collect();
                NodeKind::Operator(build(node, &inputs, shard)?)
            }
        })
    }
}
