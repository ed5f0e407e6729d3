//! Jobs that are part of checkpoints: [`System::deploy`] starts them, from a checkpoint where there is one.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use super::assemble::{Assembled, Blueprint, Made, assemble, assemble_table};
use super::capture::DurablePlan;
use super::system::System;
use super::{Deployed, JobId, Member, MemberKind, Restore};
use crate::checkpoint::archive::Archive;
use crate::checkpoint::load::SavedJob;
use crate::checkpoint::readable::{StateTable, readable};
use crate::checkpoint::savepoint;
use crate::checkpoint::spread::made_movable;
use crate::error::{EngineError, Result};
use crate::message::Epoch;
use crate::plan::{ChangelogMode, Dataflow, Edge, Input, MaterializeSpec, Node, NodeId, OperatorSpec, Partitioning};
use crate::ports::StateStore;

impl System {
    /// See [`Engine::deploy`](super::Engine::deploy).
    pub(super) fn deploy(self: &Arc<Self>, members: &[Member], restore: &Restore) -> Result<Vec<Result<Deployed>>> {
        let archive = self.open_archive()?;
        let uids: Vec<String> = members.iter().filter_map(|member| member.uid.clone()).collect();
        let saved = match (restore, &archive) {
            (Restore::Nothing, _) | (Restore::Latest, None) => BTreeMap::new(),
            (Restore::Latest, Some(archive)) => archive.recover(&uids)?,
            (Restore::Savepoint(name), Some(archive)) => archive.savepoint(name, &uids)?,
            (Restore::From(store), _) => savepoint::read(&**store, &uids)?,
            (Restore::Savepoint(name), None) => {
                return Err(EngineError::Gone(format!("savepoint \"{name}\" does not exist: no checkpoints are made")));
            }
        };
        let mut results = self.deploy_saved(members, &saved)?;
        // Who failed while others went on is in an older checkpoint than those whose views it reads. Where it has nothing
        // but those views, it is made anew out of them.
        let behind = |(at, member): (usize, &Member)| {
            let was_saved = member.uid.as_ref().is_some_and(|uid| saved.contains_key(uid));
            (was_saved && member.rebuilds() && results.get(at).is_some_and(Result::is_err)).then_some(at)
        };
        let behind: Vec<usize> = members.iter().enumerate().filter_map(behind).collect();
        let again: Vec<Member> = behind.iter().filter_map(|at| members.get(*at).cloned()).collect();
        for (at, result) in behind.into_iter().zip(self.deploy_saved(&again, &BTreeMap::new())?) {
            if let Some(of) = results.get_mut(at) {
                *of = result;
            }
        }
        Ok(results)
    }

    /// Runs members, those that are in it as of a checkpoint.
    fn deploy_saved(&self, members: &[Member], saved: &BTreeMap<String, SavedJob>) -> Result<Vec<Result<Deployed>>> {
        let (mut ready, mut results) = (Vec::new(), Vec::new());
        for member in members {
            let saved = member.uid.as_ref().and_then(|uid| saved.get(uid));
            results.push(self.assemble_member(member, saved).map(|assembled| {
                let job = assembled.shared.id;
                ready.push(assembled);
                let inserted = saved.map_or(0, |saved| saved.record.inserted);
                Deployed { job, restored: saved.map(|saved| Epoch(saved.epoch)), inserted }
            }));
        }
        let admitted = self.with(|coordinator| coordinator.deploy(ready))?;
        for (result, admitted) in results.iter_mut().filter(|result| result.is_ok()).zip(admitted) {
            if let Err(error) = admitted {
                *result = Err(error);
            }
        }
        Ok(results)
    }

    fn assemble_member(&self, member: &Member, saved: Option<&SavedJob>) -> Result<Assembled> {
        let id = member.job.unwrap_or_else(|| self.coordinator.lock().next_job());
        match &member.kind {
            MemberKind::Job(request) => {
                let (name, on_error) = (request.name.as_str(), request.on_error);
                let Some(uid) = &member.uid else {
                    let blueprint =
                        Blueprint { name, dataflow: &request.dataflow, on_error, durable: None, saved: None };
                    return assemble(id, &blueprint, &self.links);
                };
                let dataflow = Arc::new(made_movable(&request.dataflow));
                let plan = Arc::new(DurablePlan::new(uid, name, Arc::clone(&dataflow)));
                let saved = saved.map(|saved| saved.renamed(&plan.operators));
                let saved = saved.as_deref();
                let durable = Some(&plan);
                assemble(id, &Blueprint { name, dataflow: &dataflow, on_error, durable, saved }, &self.links)
            }
            MemberKind::Table { relation, name, schema } => {
                let made = Made { relation: *relation, name: name.clone(), schema: Arc::clone(schema) };
                let dataflow = Arc::new(table_dataflow(&made));
                let mut assembled = assemble_table(id, made, &self.links);
                if let Some(uid) = &member.uid {
                    let plan = Arc::new(DurablePlan::new(uid, name, dataflow));
                    let saved = saved.map(|saved| saved.renamed(&plan.operators));
                    assembled.remember(&plan, saved.as_deref())?;
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
        let archive = Arc::new(Archive::open(Arc::clone(&config.store))?);
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
