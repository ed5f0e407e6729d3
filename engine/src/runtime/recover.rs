//! From a saved job to the parts of a job that is about to run: state goes to the shard that owns its keys now, readers of
//! sources and views go on where they were, and what was prepared is committed.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::RecordBatch;

use super::JobId;
use super::assemble::Assembled;
use super::capture::DurablePlan;
use super::graph::NodeKind;
use super::part::JobPart;
use super::protocol::Staged;
use super::shared::Progress;
use crate::checkpoint::change::{Change, Fate};
use crate::checkpoint::format_manifest::{NodeRecord, SplitRecord};
use crate::checkpoint::load::SavedJob;
use crate::checkpoint::redistribute::{Placement, join, part_of};
use crate::error::{EngineError, Result};
use crate::operators::OperatorState;
use crate::plan::{Node, OperatorSpec, RelationId};
use crate::ports::{CommitToken, SinkRecovery, Split, SplitPlace, StateStore};
use crate::rejects::RejectEntry;
use crate::rejects::format_rejected::{self, REJECTED};
use crate::time::{EventTime, ProcessingTime};

/// What a job continues from.
#[derive(Debug)]
pub(super) struct Continued {
    /// What was saved of the operators that go on, by our names for them.
    pub(super) saved: SavedJob,
    /// The places of those that give out once more what they have given out.
    pub(super) reissued: BTreeSet<usize>,
    /// The views that hold what they held.
    kept_views: BTreeSet<RelationId>,
}

impl Continued {
    /// What a job keeps of what was saved of it; an operator that computes something else than then, and what depends on it,
    /// begins anew. `None`: all do.
    ///
    /// # Errors
    /// Where something else is computed and a sink has the rows of before.
    pub(super) fn new(plan: &DurablePlan, saved: &SavedJob) -> Result<Option<Self>> {
        let mut saved = saved.renamed(&plan.operators).into_owned();
        let names: BTreeSet<&str> = saved.record.nodes.iter().map(|node| node.operator.as_str()).collect();
        let change = Change::new(&plan.dataflow, &plan.operators, &names);
        let outwards = |node: &Node| match &node.spec {
            OperatorSpec::Sink(_) => true,
            // An internal table.
            OperatorSpec::Union => node.inputs.is_empty(),
            _ => false,
        };
        if !change.is_none() && plan.dataflow.nodes.iter().any(outwards) {
            return Err(EngineError::Config {
                message: format!("the checkpoint of \"{}\" is of another query", plan.name),
                hint: Some("start it without the checkpoint".into()),
            });
        }
        let with =
            |fate: Fate| (0..plan.operators.len()).filter(|node| change.of(*node) == fate).collect::<BTreeSet<usize>>();
        let rebuilt = with(Fate::Rebuilt);
        let rebuilt: BTreeSet<&str> =
            rebuilt.into_iter().filter_map(|node| plan.operators.get(node)).map(String::as_str).collect();
        if rebuilt.len() == plan.operators.len() {
            return Ok(None);
        }
        let reissued = with(Fate::Reissued);
        let kept_views = made(plan).filter(|(operator, _)| !rebuilt.contains(operator)).map(|(_, view)| view).collect();
        saved.record.nodes.retain(|node| !rebuilt.contains(node.operator.as_str()));
        saved.states.retain(|(operator, _), _| !rebuilt.contains(operator.as_str()));
        Ok(Some(Self { saved, reissued, kept_views }))
    }

    /// Whether a view holds what it held.
    pub(super) fn keeps(&self, view: RelationId) -> bool {
        self.kept_views.contains(&view)
    }
}

/// The views that a job keeps, each with the name of its operator.
pub(super) fn made(plan: &DurablePlan) -> impl Iterator<Item = (&str, RelationId)> {
    plan.operators.iter().zip(&plan.dataflow.nodes).filter_map(|(operator, node)| match &node.spec {
        OperatorSpec::Materialize(spec) => Some((operator.as_str(), spec.relation)),
        _ => None,
    })
}

/// The views of a job that do not hold what they held when the job was saved. `continued`: what it goes on from.
pub(super) fn changed_views(plan: &DurablePlan, continued: Option<&Continued>) -> Vec<RelationId> {
    let is_kept = |view: &RelationId| continued.is_some_and(|continued| continued.keeps(*view));
    made(plan).map(|(_, view)| view).filter(|view| !is_kept(view)).collect()
}

/// Puts what was saved of a job into its parts, which have not run yet.
///
/// # Errors
/// Where the state does not fit the job.
pub(super) fn restore(assembled: &mut Assembled, plan: &DurablePlan, continued: &Continued) -> Result<()> {
    let saved = &continued.saved;
    let shards = assembled.parts.len();
    for (index, operator) in plan.operators.iter().enumerate() {
        let records: Vec<&NodeRecord> =
            saved.record.nodes.iter().filter(|record| record.operator == *operator).collect();
        if records.is_empty() {
            continue;
        }
        let states = states_of(plan, index, saved, shards)?;
        for ((shard, part), state) in assembled.parts.iter_mut().enumerate().zip(states) {
            // A shard that goes on by itself goes on from what it told itself.
            let own = records.iter().copied().filter(|record| shards != saved.shards || record.shard == shard);
            let own: Vec<&NodeRecord> = own.collect();
            let reissued = continued.reissued.contains(&index);
            let staged =
                NodeRestore { records: &own, all: &records, shard, shards, state, reissued }.apply(part, index)?;
            assembled.staged.extend(staged.map(|staged| (shard, staged)));
        }
    }
    for read in &mut assembled.reads {
        let operator = plan.operators.get(read.node);
        let mut records = saved.record.nodes.iter().filter(|record| Some(&record.operator) == operator).peekable();
        read.continues = records.peek().is_some();
        read.ended = read.continues && records.all(|record| record.ended);
    }
    if let Some(first) = assembled.parts.first_mut() {
        first.inserted = saved.record.inserted;
    }
    assembled.rejected = rejected(assembled.shared.id, &plan.name, saved);
    Ok(())
}

/// What was saved of a node of a job, by the shards that there are now.
///
/// # Errors
/// Where it cannot move to another number of shards.
pub(super) fn states_of(
    plan: &DurablePlan,
    index: usize,
    saved: &SavedJob,
    shards: usize,
) -> Result<Vec<OperatorState>> {
    let lost = || EngineError::Internal("a node that is not in its plan".into());
    let (operator, node) = plan.operators.get(index).zip(plan.dataflow.nodes.get(index)).ok_or_else(lost)?;
    let state = |shard| saved.states.get(&(operator.clone(), shard)).cloned().unwrap_or_default();
    let states: Vec<OperatorState> = (0..saved.shards).map(state).collect();
    if shards == saved.shards {
        return Ok(states);
    }
    let placement = Placement { spec: &node.spec, ports: plan.ports.get(index).map_or(&[][..], Vec::as_slice) };
    let on = |shard| {
        let parts = states.iter().map(|state| part_of(state, placement, shard, shards));
        join(&parts.collect::<Result<Vec<_>>>()?, &node.spec)
    };
    (0..shards).map(on).collect()
}

/// The rows that those operators of a job that were saved have rejected.
pub(super) fn rejected(job: JobId, name: &str, saved: &SavedJob) -> Vec<RejectEntry> {
    let names: BTreeSet<&str> = saved.record.nodes.iter().map(|node| node.operator.as_str()).collect();
    if !names.contains(REJECTED) {
        return Vec::new();
    }
    let name: Arc<str> = name.into();
    let tables = saved.states.iter().filter(|((operator, _), _)| operator == REJECTED);
    let batches = tables.flat_map(|(_, state)| &state.tables);
    let entries = batches.flat_map(|(_, rows)| match format_rejected::decode(Some(job), &name, rows) {
        Ok(entries) => entries,
        Err(error) => {
            tracing::warn!(%name, %error, "rejected rows cannot be read");
            Vec::new()
        }
    });
    entries.filter(|entry| names.contains(&*entry.origin.node)).collect()
}

/// One node of one new shard, and what is known of it.
struct NodeRestore<'a> {
    /// What the shards that it takes over told.
    records: &'a [&'a NodeRecord],
    /// What all shards told.
    all: &'a [&'a NodeRecord],
    shard: usize,
    shards: usize,
    state: OperatorState,
    reissued: bool,
}

impl NodeRestore<'_> {
    fn apply(self, part: &mut JobPart, index: usize) -> Result<Option<Staged>> {
        let progress = self.progress();
        let lost = || EngineError::Internal("a node that is not in its plan".into());
        let node = part.graph.nodes.get_mut(index).ok_or_else(lost)?;
        node.timer = self.records.iter().filter_map(|record| record.timer_us).min().map(ProcessingTime);
        match &mut node.kind {
            NodeKind::Source(source) => {
                let all: Vec<_> = self.all.iter().flat_map(|record| record.splits.iter().cloned()).collect();
                source.restore(&all);
            }
            NodeKind::View(view) => view.restore(progress, self.records.iter().all(|record| record.ended)),
            NodeKind::Table => {}
            NodeKind::Operator(operator) => {
                if !self.state.tables.is_empty() {
                    operator.restore(self.state)?;
                }
                if self.reissued {
                    operator.reissue()?;
                }
            }
            NodeKind::Materialize(view) => {
                let rows: Vec<RecordBatch> = self.state.tables.into_iter().map(|(_, rows)| rows).collect();
                return view.restore(&rows, progress).map(Some);
            }
            NodeKind::Sink(sink) => {
                let tokens = self.all.iter().flat_map(|record| &record.tokens).enumerate();
                let own = tokens.filter(|(place, _)| place % self.shards == self.shard);
                sink.recommit(&own.map(|(_, token)| token.clone()).collect::<Vec<_>>())?;
            }
        }
        Ok(None)
    }

    /// How far event time had come on all shards.
    fn progress(&self) -> Progress {
        let of = |record: &&NodeRecord| Progress {
            watermark: record.watermark_us.map_or(EventTime::MIN, EventTime),
            idle: record.idle,
        };
        Progress::least(self.records.iter().map(of)).unwrap_or(Progress { watermark: EventTime::MIN, idle: false })
    }
}

/// The splits of sources by place in the dataflow, each with the shard that it belongs to, if it does.
pub(super) type KnownSplits = HashMap<usize, Vec<(SplitPlace, Option<usize>)>>;

/// The splits of each source of a job as of a checkpoint: they are read on, whatever the source would list now.
pub(super) fn saved_splits(plan: &DurablePlan, saved: &SavedJob, shards: usize) -> KnownSplits {
    let mut all = HashMap::new();
    for (index, operator) in plan.operators.iter().enumerate() {
        let records = saved.record.nodes.iter().filter(|record| record.operator == *operator);
        // They stay on their shards where there are as many: what follows them on a shard has its own state.
        let home = |record: &NodeRecord| (shards == saved.shards).then_some(record.shard);
        let place = |split: &SplitRecord| SplitPlace {
            split: Split { id: split.id.clone() },
            offset: split.offset.clone(),
            ended: split.ended,
        };
        let of = |record: &'_ NodeRecord| -> Vec<(SplitPlace, Option<usize>)> {
            record.splits.iter().map(|split| (place(split), home(record))).collect()
        };
        let splits: Vec<(SplitPlace, Option<usize>)> = records.flat_map(of).collect();
        if !splits.is_empty() {
            all.insert(index, splits);
        }
    }
    all
}

/// Lets the sinks of a job drop what was prepared and never became part of a checkpoint.
///
/// # Errors
/// What a sink reports.
pub(super) fn recover_sinks(plan: &DurablePlan, saved: Option<&SavedJob>, store: &Arc<dyn StateStore>) -> Result<()> {
    for (operator, node) in plan.operators.iter().zip(&plan.dataflow.nodes) {
        let OperatorSpec::Sink(spec) = &node.spec else { continue };
        let records = saved.into_iter().flat_map(|saved| &saved.record.nodes);
        let records = records.filter(|record| record.operator == *operator);
        let kept: Vec<CommitToken> =
            records.flat_map(|record| record.tokens.iter().cloned().map(CommitToken)).collect();
        spec.sink.recover(&SinkRecovery { job: &plan.uid, sink: node.id.0, kept: &kept, store })?;
    }
    Ok(())
}
