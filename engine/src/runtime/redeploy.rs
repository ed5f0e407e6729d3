//! Jobs that are part of checkpoints: [`System::deploy`] starts them, from a checkpoint where there is one.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::assemble::{Assembled, Blueprint, Made, assemble, assemble_table};
use super::capture::DurablePlan;
use super::recover::{Continued, changed_views, made};
use super::system::System;
use super::{Deployed, JobId, Member, MemberKind, Restore};
use crate::checkpoint::archive::Archive;
use crate::checkpoint::change::Change;
use crate::checkpoint::identity::operator_ids;
use crate::checkpoint::load::SavedJob;
use crate::checkpoint::readable::{StateTable, readable};
use crate::checkpoint::savepoint;
use crate::checkpoint::spread::made_movable;
use crate::error::{EngineError, Result};
use crate::message::Epoch;
use crate::plan::{
    ChangelogMode, Dataflow, Edge, Input, MaterializeSpec, Node, NodeId, OperatorSpec, Partitioning, RelationId,
};
use crate::ports::StateStore;

impl System {
    /// See [`Engine::deploy`](super::Engine::deploy).
    pub(super) fn deploy(self: &Arc<Self>, members: &[Member], restore: &Restore) -> Result<Vec<Result<Deployed>>> {
        let archive = self.open_archive()?;
        let uids: Vec<String> = members.iter().filter_map(|member| member.uid.clone()).collect();
        if let Some(archive) = archive.as_ref().filter(|_| !uids.is_empty()) {
            // A job that starts here would shut its sinks out of where they write now.
            archive.check_open()?;
            archive.begin_again(&uids, self.coordinator.lock().last_epoch)?;
        }
        let saved = match (restore, &archive) {
            (Restore::Nothing, _) | (Restore::Latest, None) => BTreeMap::new(),
            (Restore::Latest, Some(archive)) => archive.recover(&uids)?,
            (Restore::Savepoint(name), Some(archive)) => archive.savepoint(name, &uids)?,
            (Restore::From(store), _) => savepoint::read(&**store, &uids)?,
            (Restore::Savepoint(name), None) => {
                return Err(EngineError::Gone(format!("savepoint \"{name}\" does not exist: no checkpoints are made")));
            }
        };
        let ready: Vec<Ready> = members.iter().map(Ready::new).collect();
        let (continued, refused) = continued(&ready, &saved);
        let mut results = self.deploy_ready(&ready, &continued, refused)?;
        // Who failed while others went on is in an older checkpoint than those whose views it reads. Where it has nothing
        // but those views, it is made anew out of them.
        let behind = |(at, of): (usize, &Ready<'_>)| {
            let was_saved = continued.get(at).is_some_and(Option::is_some);
            (was_saved && of.member.rebuilds() && results.get(at).is_some_and(Result::is_err)).then_some(at)
        };
        let behind: Vec<usize> = ready.iter().enumerate().filter_map(behind).collect();
        let again: Vec<Ready> = behind.iter().filter_map(|at| members.get(*at)).map(Ready::new).collect();
        for (at, result) in behind.into_iter().zip(self.deploy_ready(&again, &[], BTreeMap::new())?) {
            if let Some(of) = results.get_mut(at) {
                *of = result;
            }
        }
        Ok(results)
    }

    /// Runs members from what they continue from, but those that are refused.
    fn deploy_ready(
        &self,
        all: &[Ready<'_>],
        continued: &[Option<Continued>],
        mut refused: BTreeMap<usize, EngineError>,
    ) -> Result<Vec<Result<Deployed>>> {
        let (mut assembled, mut results) = (Vec::new(), Vec::new());
        let together = Together::of(all, continued);
        for (at, ready) in all.iter().enumerate() {
            let continued = continued.get(at).and_then(Option::as_ref);
            let made = match refused.remove(&at) {
                Some(error) => Err(error),
                None => self.assemble_ready(ready, continued),
            };
            let made = made.and_then(|mut made| {
                if let Some(continued) = continued.filter(|_| !ready.member.rebuilds()) {
                    self.catch_up(&mut made, continued, &together)?;
                }
                Ok(made)
            });
            results.push(made.map(|made| {
                let job = made.shared.id;
                assembled.push(made);
                let saved = continued.map(|continued| &continued.saved);
                let inserted = saved.map_or(0, |saved| saved.record.inserted);
                Deployed { job, restored: saved.map(|saved| Epoch(saved.epoch)), inserted }
            }));
        }
        let admitted = self.with(|coordinator| coordinator.deploy(assembled))?;
        for (result, admitted) in results.iter_mut().filter(|result| result.is_ok()).zip(admitted) {
            if let Err(error) = admitted {
                *result = Err(error);
            }
        }
        Ok(results)
    }

    fn assemble_ready(&self, ready: &Ready<'_>, continued: Option<&Continued>) -> Result<Assembled> {
        let id = ready.member.job.unwrap_or_else(|| self.coordinator.lock().next_job());
        match &ready.member.kind {
            MemberKind::Job(request) => {
                let (name, policy, durable) = (request.name.as_str(), request.policy, ready.plan.as_ref());
                let dataflow = durable.map_or(&*request.dataflow, |plan| &*plan.dataflow);
                assemble(id, &Blueprint { name, dataflow, policy, durable, continued }, &self.links)
            }
            MemberKind::Table { relation, name, schema } => {
                let mut assembled = assemble_table(id, Made::table(*relation, name, schema), &self.links);
                if let Some(plan) = &ready.plan {
                    assembled.remember(plan, continued)?;
                }
                Ok(assembled)
            }
        }
    }

    /// The checkpoints, opened by the first call; `None` where none are made.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub(super) fn open_archive(&self) -> Result<Option<Arc<Archive>>> {
        let Some(config) = &self.links.config.checkpoints else { return Ok(None) };
        let mut opened = self.archive.lock();
        if let Some(archive) = &*opened {
            return Ok(Some(Arc::clone(archive)));
        }
        let archive = Arc::new(Archive::open(Arc::clone(&config.store), config.owner.clone())?);
        let mut coordinator = self.coordinator.lock();
        // Epochs go on where they were, so that later ones are greater.
        coordinator.last_epoch = coordinator.last_epoch.max(archive.last_epoch());
        coordinator.archive = Some(Arc::clone(&archive));
        *opened = Some(Arc::clone(&archive));
        Ok(Some(archive))
    }

    /// See [`Engine::checkpoint`](super::Engine::checkpoint). It has been asked for already.
    pub(super) fn checkpoint(self: &Arc<Self>, job: JobId) -> Result<impl Future<Output = Result<()>> + use<>> {
        let complete = self.with(|coordinator| coordinator.checkpoint(job))?;
        Ok(async move { complete.await.map_err(|_| EngineError::Gone(format!("job {job} is over"))) })
    }

    /// Keeps the last checkpoint of a job under a name.
    ///
    /// # Errors
    /// Where there is none, or the name is taken.
    pub(super) fn pin(&self, job: JobId, name: &str) -> Result<()> {
        let uid = self.coordinator.lock().uid(job);
        let (Some(archive), Some(uid)) = (self.open_archive()?, uid) else {
            return Err(EngineError::config(format!("no checkpoints are made of job {job}")));
        };
        archive.pin(name, &uid)
    }

    /// The state of a job's operators as of its last checkpoint.
    ///
    /// # Errors
    /// Where there is none, or it cannot be read.
    pub(super) fn state(&self, job: JobId) -> Result<Vec<StateTable>> {
        let plan = self.coordinator.lock().plan(job);
        let (Some(archive), Some(plan)) = (self.open_archive()?, plan) else {
            return Err(EngineError::config(format!("no checkpoints are made of job {job}")));
        };
        let saved = archive.newest(&plan.uid)?;
        let mut tables = Vec::new();
        for (operator, node) in plan.operators.iter().zip(&plan.dataflow.nodes) {
            let of_node = saved.states.iter().filter(|((of, _), _)| of == operator);
            let states: Vec<_> = of_node.map(|((_, shard), state)| (*shard, state.clone())).collect();
            // A view's rows are those that come out of it, and in.
            let ports = node.inputs.iter().filter_map(|input| plan.dataflow.nodes.get(input.from.0));
            let ports: Vec<_> = match &node.spec {
                OperatorSpec::Materialize(_) => vec![Arc::clone(&node.edge.schema)],
                _ => ports.map(|from| Arc::clone(&from.edge.schema)).collect(),
            };
            tables.extend(readable(operator, &node.spec, &ports, &states)?);
        }
        Ok(tables)
    }

    /// What a job would keep of its state if it computed this instead.
    pub(super) fn change(&self, job: JobId, dataflow: &Dataflow) -> Option<Change> {
        let now = self.coordinator.lock().plan(job)?;
        let dataflow = made_movable(dataflow);
        let saved = now.operators.iter().map(String::as_str).collect();
        Some(Change::new(&dataflow, &operator_ids(&dataflow), &saved))
    }

    /// Copies the last checkpoint of a job, and of those that it is connected with, into another store.
    ///
    /// # Errors
    /// Where there is none, or the store does not take it.
    pub(super) fn export(&self, job: JobId, to: &dyn StateStore) -> Result<()> {
        let uid = self.coordinator.lock().uid(job);
        let (Some(archive), Some(uid)) = (self.open_archive()?, uid) else {
            return Err(EngineError::config(format!("no checkpoints are made of job {job}")));
        };
        archive.export(&uid, to)
    }
}

/// What is started together: of each view and table that one of them keeps, what checkpoints know of that one, and the epoch that it
/// goes on from with the same rows, if it does.
pub(super) struct Together(BTreeMap<RelationId, (Arc<DurablePlan>, Option<u64>)>);

impl Together {
    fn of(all: &[Ready<'_>], continued: &[Option<Continued>]) -> Self {
        let mut views = BTreeMap::new();
        for (at, plan) in all.iter().enumerate().filter_map(|(at, ready)| Some((at, ready.plan.as_ref()?))) {
            let continued = continued.get(at).and_then(Option::as_ref);
            for (_, view) in made(plan) {
                let epoch = continued.filter(|of| of.keeps(view)).map(|of| of.saved.epoch);
                views.insert(view, (Arc::clone(plan), epoch));
            }
        }
        Self(views)
    }

    /// The epoch that a view goes on from.
    pub(super) fn epoch(&self, view: RelationId) -> Option<u64> {
        self.0.get(&view).and_then(|(_, epoch)| *epoch)
    }

    /// What checkpoints know of the one that keeps a view.
    pub(super) fn plan(&self, view: RelationId) -> Option<Arc<DurablePlan>> {
        self.0.get(&view).map(|(plan, _)| Arc::clone(plan))
    }
}

/// A member with its plan, where it is part of checkpoints.
struct Ready<'a> {
    member: &'a Member,
    plan: Option<Arc<DurablePlan>>,
}

impl<'a> Ready<'a> {
    fn new(member: &'a Member) -> Self {
        let plan = member.uid.as_ref().map(|uid| {
            Arc::new(match &member.kind {
                MemberKind::Job(request) => {
                    DurablePlan::new(uid, &request.name, Arc::new(made_movable(&request.dataflow)))
                }
                MemberKind::Table { relation, name, schema } => {
                    let made = Made::table(*relation, name, schema);
                    DurablePlan::new(uid, name, Arc::new(table_dataflow(&made)))
                }
            })
        });
        Self { member, plan }
    }

    /// The dataflow of a job.
    fn dataflow(&self) -> Option<&Dataflow> {
        match &self.member.kind {
            MemberKind::Job(request) => Some(&request.dataflow),
            MemberKind::Table { .. } => None,
        }
    }

    /// Whether it reads one of these views.
    fn reads(&self, views: &BTreeSet<RelationId>) -> bool {
        let reads =
            |node: &Node| matches!(&node.spec, OperatorSpec::ViewSource(spec) if views.contains(&spec.relation));
        self.dataflow().is_some_and(|dataflow| dataflow.nodes.iter().any(reads))
    }

    fn writes(&self) -> bool {
        let writes = |node: &Node| matches!(node.spec, OperatorSpec::Sink(_));
        self.dataflow().is_some_and(|dataflow| dataflow.nodes.iter().any(writes))
    }
}

/// What each member goes on from, and those that cannot. Who reads a view that holds something else than when it was saved
/// begins anew; who writes such rows elsewhere cannot take back those of before.
fn continued(
    all: &[Ready<'_>],
    saved: &BTreeMap<String, SavedJob>,
) -> (Vec<Option<Continued>>, BTreeMap<usize, EngineError>) {
    let (mut found, mut refused, mut changed) = (Vec::with_capacity(all.len()), BTreeMap::new(), BTreeSet::new());
    for (at, ready) in all.iter().enumerate() {
        let job = ready.plan.as_ref().and_then(|plan| Some((plan, saved.get(&plan.uid)?)));
        let continued = match job {
            None => Ok(None),
            Some((plan, _)) if ready.reads(&changed) && ready.writes() => Err(EngineError::Config {
                message: format!("\"{}\" writes the rows of a view that has another query now", plan.name),
                hint: Some("end it, and write the rows anew where they belong".into()),
            }),
            Some(_) if ready.reads(&changed) => Ok(None),
            Some((plan, saved)) => Continued::new(plan, saved),
        };
        let continued = continued.unwrap_or_else(|error| {
            refused.insert(at, error);
            None
        });
        if let Some((plan, _)) = job {
            let views = changed_views(plan, continued.as_ref());
            if !views.is_empty() {
                tracing::info!(
                    job = plan.name,
                    "is not what its checkpoint is of: what depends on the change is made anew"
                );
            }
            changed.extend(views);
        }
        found.push(continued);
    }
    (found, refused)
}

impl Made {
    /// The rows of an internal table.
    fn table(relation: RelationId, name: &str, schema: &SchemaRef) -> Self {
        Self { relation, name: name.to_owned(), schema: Arc::clone(schema) }
    }
}

/// An internal table as a dataflow: rows come in on shard 0 and are kept.
fn table_dataflow(made: &Made) -> Dataflow {
    let edge = Edge {
        schema: Arc::clone(&made.schema),
        changelog: ChangelogMode::Retract,
        stream_key: None,
        time_column: None,
    };
    let inserts = Node { id: NodeId(0), spec: OperatorSpec::Union, inputs: Vec::new(), edge: edge.clone() };
    let spec = OperatorSpec::Materialize(MaterializeSpec {
        relation: made.relation,
        name: made.name.clone(),
        replaces: false,
    });
    let inputs = vec![Input { from: NodeId(0), partitioning: Partitioning::Single }];
    Dataflow { nodes: vec![inserts, Node { id: NodeId(1), spec, inputs, edge }] }
}
