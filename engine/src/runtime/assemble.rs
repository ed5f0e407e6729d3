//! From a [`Dataflow`] to the parts that the shards run: splits are listed and dealt out, sinks opened, operators built,
//! rings laid. What cannot work is an error here, before anything runs.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::capture::DurablePlan;
use super::exchange::{Inlet, Outlet};
use super::graph::{Channel, Node, NodeKind};
use super::materialize::Materialize;
use super::part::JobPart;
use super::protocol::{Links, Staged};
use super::recover::{Continued, KnownSplits, recover_sinks, restore, saved_splits};
use super::ring::Ring;
use super::shared::{JobShared, NodeLabel, SplitProgress};
use super::signal::Signal;
use super::sink::{Commits, SinkNode};
use super::source::SourceDriver;
use super::view_source::{Feed, ViewReader};
use super::{JobId, JobPolicy};
use crate::error::{EngineError, Result};
use crate::expr::fused;
use crate::message::Epoch;
use crate::operators::build::build;
use crate::operators::screen::screened;
use crate::plan::{self, ChangelogMode, Dataflow, OperatorSpec, Partitioning, RelationId, SourceSpec};
use crate::ports::{Accepts, Guarantee, SinkContext, Split, SplitPlace, StateStore};
use crate::rejects::{OnError, RejectEntry};

/// A job that is ready to run.
pub(super) struct Assembled {
    pub(super) name: String,
    pub(super) shared: Arc<JobShared>,
    /// One a shard.
    pub(super) parts: Vec<JobPart>,
    /// The views it reads.
    pub(super) reads: Vec<Read>,
    /// The views it keeps.
    pub(super) makes: Vec<Made>,
    /// Whether it is an internal table.
    pub(super) table: bool,
    /// What checkpoints know of it, where it is part of them.
    pub(super) durable: Option<Arc<DurablePlan>>,
    /// It has a sink that commits with checkpoints.
    pub(super) transactional: bool,
    /// It has a sink that commits when it ends.
    pub(super) at_end: bool,
    /// The epoch of the checkpoint that it continues from.
    pub(super) restored: Option<Epoch>,
    /// The views as of that checkpoint, by shard.
    pub(super) staged: Vec<(usize, Staged)>,
    /// The rows that it had rejected by then.
    pub(super) rejected: Vec<RejectEntry>,
}

/// What a job is assembled from.
pub(super) struct Blueprint<'a> {
    pub(super) name: &'a str,
    pub(super) dataflow: &'a Dataflow,
    /// How it is run.
    pub(super) policy: JobPolicy,
    /// Where it is part of checkpoints.
    pub(super) durable: Option<&'a Arc<DurablePlan>>,
    /// What it continues from.
    pub(super) continued: Option<&'a Continued>,
}

/// A view that a job reads.
pub(super) struct Read {
    pub(super) relation: RelationId,
    pub(super) name: String,
    /// The node that reads it.
    pub(super) node: usize,
    /// It continues after a restart: it has read the view so far.
    pub(super) continues: bool,
    /// It continues, and had read the view to its end.
    pub(super) ended: bool,
    /// It continues, and the view has gone on without it: it knows what it had read.
    pub(super) catches_up: bool,
    /// One a shard.
    pub(super) feeds: Vec<Arc<Feed>>,
}

/// A view that a job keeps.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) relation: RelationId,
    pub(super) name: String,
    pub(super) schema: SchemaRef,
}

/// The rings of one exchange, by sending and receiving shard.
type Rings = Vec<Vec<Arc<Ring>>>;

/// The splits of a source on one shard, each with what is told of it.
type ShardSplits = Vec<(Split, Arc<SplitProgress>)>;

/// The splits of every source by shard, and the progress of all of them.
type Dealt = (HashMap<usize, Vec<ShardSplits>>, Vec<Arc<SplitProgress>>);

/// Makes the parts of a dataflow. Blocks on the listing of splits.
///
/// # Errors
/// Where a source cannot be listed, a sink cannot be opened, or an operator cannot be built.
pub(super) fn assemble(id: JobId, blueprint: &Blueprint<'_>, links: &Arc<Links>) -> Result<Assembled> {
    let Blueprint { name, dataflow, policy, durable, continued } = *blueprint;
    check(dataflow)?;
    let signals = signals(links);
    let saved = continued.map(|continued| &continued.saved);
    let known = durable.zip(saved).map_or_else(HashMap::new, |(plan, saved)| saved_splits(plan, saved, signals.len()));
    let (splits, progress) = deal_splits(dataflow, signals.len(), &known)?;
    let shared = Arc::new(JobShared::new(id, name, policy, signals, progress, links));
    let (mut reads, mut makes) = (Vec::new(), Vec::new());
    let mut feeds = HashMap::new();
    for node in &dataflow.nodes {
        if let OperatorSpec::ViewSource(spec) = &node.spec {
            let own: Vec<_> = shared.signals.iter().map(|signal| Arc::new(Feed::new(Arc::clone(signal)))).collect();
            feeds.insert(node.id.0, own.clone());
            let (relation, name) = (spec.relation, spec.name.clone());
            let (continues, ended, catches_up) = (false, false, false);
            reads.push(Read { relation, name, node: node.id.0, continues, ended, catches_up, feeds: own });
        }
        if let OperatorSpec::Materialize(spec) = &node.spec {
            let schema = Arc::clone(&node.edge.schema);
            makes.push(Made { relation: spec.relation, name: spec.name.clone(), schema });
        }
    }
    let store = links.config.checkpoints.as_ref().map(|config| &config.store).filter(|_| durable.is_some());
    if let (Some(plan), Some(store)) = (durable, store) {
        recover_sinks(plan, saved, store)?;
    }
    let job = durable.map_or(name, |plan| plan.uid.as_str());
    let rings = lay_rings(dataflow, &shared.signals);
    let assembly = Assembly { job, ends: policy.ends, store, dataflow, shared: &shared, rings, splits, feeds };
    let parts = (0..links.config.shards).map(|shard| assembly.part(shard, links)).collect::<Result<_>>()?;
    let commits = |kind| dataflow.nodes.iter().any(|node| assembly.commits(node) == Some(kind));
    let (transactional, at_end) = (commits(Commits::WithCheckpoints), commits(Commits::AtEnd));
    let mut assembled = Assembled { reads, makes, transactional, at_end, ..Assembled::new(name, shared, parts) };
    if let Some(plan) = durable {
        assembled.remember(plan, continued)?;
    }
    Ok(assembled)
}

impl Assembled {
    fn new(name: &str, shared: Arc<JobShared>, parts: Vec<JobPart>) -> Self {
        Self {
            name: name.to_owned(),
            shared,
            parts,
            reads: Vec::new(),
            makes: Vec::new(),
            table: false,
            durable: None,
            transactional: false,
            at_end: false,
            restored: None,
            staged: Vec::new(),
            rejected: Vec::new(),
        }
    }

    /// Makes it part of checkpoints, and lets it continue from one.
    ///
    /// # Errors
    /// Where the state does not fit the job.
    pub(super) fn remember(&mut self, plan: &Arc<DurablePlan>, continued: Option<&Continued>) -> Result<()> {
        self.durable = Some(Arc::clone(plan));
        plan.name_nodes(&mut self.parts);
        if let Some(continued) = continued {
            restore(self, plan, continued)?;
            self.restored = Some(Epoch(continued.saved.epoch));
        }
        Ok(())
    }
}

/// Makes the parts of an internal table: rows come in on shard 0, so that a scan gives them in the order of insertion.
pub(super) fn assemble_table(id: JobId, made: Made, links: &Arc<Links>) -> Assembled {
    let shared = Arc::new(JobShared::new(id, &made.name, JobPolicy::default(), signals(links), Vec::new(), links));
    let part = |shard| {
        let mut table = Node::new(NodeKind::Table, NodeLabel::new("Table", None), Vec::new());
        table.forwards.push(Channel { node: 1, channel: 0 });
        let view = Materialize::new(made.relation, Arc::clone(&made.schema), None, false);
        let view = Node::new(NodeKind::Materialize(Box::new(view)), NodeLabel::new("Materialize", None), vec![0]);
        JobPart::new(shard, vec![table, view], Vec::new(), Arc::clone(&shared), Arc::clone(links))
    };
    let parts = (0..links.config.shards).map(part).collect();
    Assembled { table: true, makes: vec![made.clone()], ..Assembled::new(&made.name, shared, parts) }
}

fn signals(links: &Links) -> Vec<Arc<Signal>> {
    links.shards.iter().map(|mailbox| Arc::new(Signal::new(Arc::clone(mailbox.waker())))).collect()
}

/// What the planner promises: nodes in order, inputs that exist, sinks that take what they get.
fn check(dataflow: &Dataflow) -> Result<()> {
    for (index, node) in dataflow.nodes.iter().enumerate() {
        if node.id.0 != index || node.inputs.iter().any(|input| input.from.0 >= index) {
            return Err(EngineError::Internal("a dataflow whose nodes are not in order".into()));
        }
        let retracts = |input: &plan::Input| {
            dataflow.nodes.get(input.from.0).is_some_and(|from| from.edge.changelog == ChangelogMode::Retract)
        };
        if let OperatorSpec::Sink(spec) = &node.spec
            && spec.sink.accepts() == Accepts::Append
            && node.inputs.iter().any(retracts)
        {
            return Err(EngineError::Config {
                message: format!("table \"{}\" takes insertions only, but the query updates its rows", spec.table),
                hint: Some("aggregate in windows, or write to a table whose connector takes updates".into()),
            });
        }
    }
    Ok(())
}

/// Lists the splits of every source and deals them to the shards in turn, each source starting where the last stopped.
/// `known`: the splits of sources that are read on, with the shards that had them.
fn deal_splits(dataflow: &Dataflow, shards: usize, known: &KnownSplits) -> Result<Dealt> {
    let (mut all, mut progress) = (HashMap::new(), Vec::new());
    for node in &dataflow.nodes {
        let OperatorSpec::Source(spec) = &node.spec else { continue };
        let mut dealt: Vec<ShardSplits> = vec![Vec::new(); shards];
        let mut splits: Vec<(Split, Option<usize>)> = Vec::new();
        let listed = match known.get(&node.id.0) {
            Some(known) => {
                splits.extend(known.iter().map(|(place, shard)| (place.split.clone(), *shard)));
                let places: Vec<SplitPlace> = known.iter().map(|(place, _)| place.clone()).collect();
                spec.source.resume(&places)?
            }
            None => spec.source.splits(shards)?,
        };
        splits.extend(listed.into_iter().map(|split| (split, None)));
        for (split, shard) in splits {
            let place = progress.len();
            let told = Arc::new(SplitProgress::new(spec, &split.id));
            progress.push(Arc::clone(&told));
            if let Some(part) = dealt.get_mut(shard.unwrap_or(place % shards)) {
                part.push((split, told));
            }
        }
        all.insert(node.id.0, dealt);
    }
    Ok((all, progress))
}

/// The rings of every input that is not forward. One shard needs none.
fn lay_rings(dataflow: &Dataflow, signals: &[Arc<Signal>]) -> HashMap<(usize, usize), Rings> {
    let ring = |from: &Arc<Signal>, to: &Arc<Signal>| {
        let ring = Ring::new(Arc::clone(to));
        ring.set_producer(Arc::clone(from));
        Arc::new(ring)
    };
    let mut all = HashMap::new();
    for node in &dataflow.nodes {
        for (port, input) in node.inputs.iter().enumerate() {
            let crosses = match input.partitioning {
                Partitioning::Forward => false,
                Partitioning::Hash(_) | Partitioning::Single => signals.len() > 1,
            };
            if crosses {
                let row = |from| signals.iter().map(|to| ring(from, to)).collect();
                all.insert((node.id.0, port), signals.iter().map(row).collect());
            }
        }
    }
    all
}

/// What the parts of a job are made from.
struct Assembly<'a> {
    /// What sinks know the job by.
    job: &'a str,
    /// It ends, and somebody waits for that.
    ends: bool,
    /// Where checkpoints are kept, where they are made.
    store: Option<&'a Arc<dyn StateStore>>,
    dataflow: &'a Dataflow,
    shared: &'a Arc<JobShared>,
    rings: HashMap<(usize, usize), Rings>,
    splits: HashMap<usize, Vec<ShardSplits>>,
    feeds: HashMap<usize, Vec<Arc<Feed>>>,
}

impl Assembly<'_> {
    /// When what a node writes becomes visible; `None`: it is no sink.
    fn commits(&self, node: &plan::Node) -> Option<Commits> {
        let OperatorSpec::Sink(spec) = &node.spec else { return None };
        Some(match (spec.sink.guarantee(), self.store) {
            (Guarantee::ExactlyOnce, Some(_)) => Commits::WithCheckpoints,
            _ if self.store.is_none() && self.ends && spec.sink.withholds() => Commits::AtEnd,
            _ => Commits::WithEpochs,
        })
    }

    fn part(&self, shard: usize, links: &Arc<Links>) -> Result<JobPart> {
        let mut nodes: Vec<Node> = Vec::with_capacity(self.dataflow.nodes.len());
        let mut inlets = Vec::new();
        for node in &self.dataflow.nodes {
            let mut ports = Vec::new();
            for (port, input) in node.inputs.iter().enumerate() {
                let first_channel = ports.len();
                let from = nodes.get_mut(input.from.0);
                match self.rings.get(&(node.id.0, port)) {
                    None => {
                        ports.push(port);
                        if let Some(from) = from {
                            from.forwards.push(Channel { node: node.id.0, channel: first_channel });
                        }
                    }
                    Some(rings) => {
                        ports.extend(rings.iter().map(|_| port));
                        let to_here = rings.iter().filter_map(|row| row.get(shard)).map(Arc::clone).collect();
                        inlets.push(Inlet { node: node.id.0, port, first_channel, rings: to_here });
                        let from_here = rings.get(shard).cloned().unwrap_or_default();
                        if let Some(from) = from {
                            from.outlets.push(Outlet::new(keys(&input.partitioning), from_here));
                        }
                    }
                }
            }
            nodes.push(Node::new(self.kind(node, shard)?, label_of(&node.spec), ports));
        }
        Ok(JobPart::new(shard, nodes, inlets, Arc::clone(self.shared), Arc::clone(links)))
    }

    fn kind(&self, node: &plan::Node, shard: usize) -> Result<NodeKind> {
        let signal = self.shared.signals.get(shard).ok_or_else(|| EngineError::Internal("no such shard".into()))?;
        Ok(match &node.spec {
            OperatorSpec::Source(spec) => {
                let splits = self.splits.get(&node.id.0).and_then(|dealt| dealt.get(shard)).cloned();
                let spec = SourceSpec { steps: fused(&spec.steps, &spec.source.schema())?, ..spec.clone() };
                NodeKind::Source(Box::new(SourceDriver::new(spec, splits.unwrap_or_default(), signal)))
            }
            OperatorSpec::ViewSource(spec) => {
                let feed = self.feeds.get(&node.id.0).and_then(|feeds| feeds.get(shard)).map(Arc::clone);
                let feed = feed.ok_or_else(|| EngineError::Internal("a view without a feed".into()))?;
                NodeKind::View(Box::new(ViewReader::new(spec, feed)))
            }
            OperatorSpec::Materialize(spec) => {
                let (schema, key) = (Arc::clone(&node.edge.schema), node.edge.stream_key.as_deref());
                NodeKind::Materialize(Box::new(Materialize::new(spec.relation, schema, key, spec.replaces)))
            }
            OperatorSpec::Sink(spec) => {
                let context = SinkContext {
                    job: self.job.to_owned(),
                    shard,
                    shards: self.shared.signals.len(),
                    sink: node.id.0,
                    store: self.store.map(Arc::clone),
                    wake: signal.handle(),
                };
                let commits = self.commits(node).unwrap_or(Commits::WithEpochs);
                NodeKind::Sink(SinkNode::new(spec.sink.writer(context)?, spec.sink.on_error(), commits))
            }
            OperatorSpec::Stateless(_)
            | OperatorSpec::Union
            | OperatorSpec::WindowAggregate(_)
            | OperatorSpec::SessionAggregate(_)
            | OperatorSpec::SessionAssign(_)
            | OperatorSpec::GroupAggregate(_)
            | OperatorSpec::Join(_)
            | OperatorSpec::MultiJoin(_)
            | OperatorSpec::IntervalJoin(_)
            | OperatorSpec::TemporalJoin(_)
            | OperatorSpec::CurrentJoin(_)
            | OperatorSpec::LookupJoin(_)
            | OperatorSpec::WindowJoin(_)
            | OperatorSpec::Rank(_)
            | OperatorSpec::Over(_) => {
                let schema = |from: usize| self.dataflow.nodes.get(from).map(|from| Arc::clone(&from.edge.schema));
                let inputs: Vec<SchemaRef> = node.inputs.iter().filter_map(|input| schema(input.from.0)).collect();
                let operator = build(node, &inputs, shard)?;
                NodeKind::Operator(match self.shared.on_error {
                    OnError::Fail => operator,
                    OnError::Skip | OnError::Table => screened(operator, &node.spec),
                })
            }
        })
    }
}

fn label_of(spec: &OperatorSpec) -> NodeLabel {
    NodeLabel::new(spec.name(), spec.relation())
}

/// The columns that choose the shard; `None`: shard 0 takes all.
fn keys(partitioning: &Partitioning) -> Option<Vec<usize>> {
    match partitioning {
        Partitioning::Hash(keys) if !keys.is_empty() => Some(keys.clone()),
        Partitioning::Hash(_) | Partitioning::Single | Partitioning::Forward => None,
    }
}
