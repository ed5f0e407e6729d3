//! The coordinator's part in checkpoints: it begins them with an epoch, hands what the parts told to the writer, and lets
//! sinks commit and jobs end when one is complete.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::capture::DurablePlan;
use super::coordinator::Coordinator;
use super::durable::rebuilds;
use super::epochs::{Component, Due};
use super::protocol::Command;
use super::saves::Saved;
use super::write::{Bases, CapturedPart, WriteJob, Written};
use super::{CheckpointStatus, JobId, JobState};
use crate::checkpoint::change::catches_up;
use crate::error::{EngineError, Result};
use crate::message::Epoch;
use crate::plan::{Dataflow, RelationId};
use crate::time::ProcessingTime;

impl Coordinator {
    /// Whether a checkpoint begins with the epoch that begins now. `ending`: there are jobs that have their last epoch.
    pub(super) fn saves_with(&self, component: &Component, ending: &[JobId], now: ProcessingTime) -> bool {
        let Some(cadence) = self.cadence else { return false };
        let durable = |id: &JobId| self.jobs.get(id).is_some_and(|job| job.durable.is_some());
        if !component.jobs.iter().any(durable) {
            return false;
        }
        match component.saves.due(now, cadence) {
            Due::Now => true,
            // What a job has written last must not wait for the interval.
            Due::At(_) | Due::No => ending.iter().any(durable) && component.saves.can_begin(),
        }
    }

    /// The jobs of a component that checkpoints take in.
    pub(super) fn durable_jobs(&self, component: &Component) -> BTreeSet<JobId> {
        let durable = |id: &&JobId| self.jobs.get(id).is_some_and(|job| job.durable.is_some());
        component.jobs.iter().filter(durable).copied().collect()
    }

    /// All parts have passed the epoch of a checkpoint: it can be written.
    pub(super) fn write(&mut self, epoch: Epoch, parts: Vec<super::epochs::Captured>) {
        let Some(archive) = self.archive.clone() else { return };
        let of = |(job, shard, capture): super::epochs::Captured| {
            let plan = self.jobs.get(&job)?.durable.as_ref().map(Arc::clone)?;
            let rejected = if shard == 0 { self.links.rejects.before(job, epoch) } else { Vec::new() };
            Some(CapturedPart { plan, shard, capture, rejected })
        };
        let parts: Vec<CapturedPart> = parts.into_iter().filter_map(of).collect();
        let running = self.jobs.values().filter_map(|job| Some(job.durable.as_ref()?.uid.clone()));
        let live = running.chain(self.kept_uids.iter().cloned()).collect();
        let began_at = self.links.config.clock.now();
        self.links.writer.send(WriteJob { archive, epoch, began_at, parts, live });
    }

    /// A checkpoint is written, or could not be.
    pub(super) fn saved(&mut self, epoch: Epoch, bases: &Bases, result: Result<Written>) {
        for job in self.jobs.values_mut() {
            if let Some(base) = job.durable.as_ref().and_then(|plan| bases.get(&plan.uid)) {
                job.save_base = *base;
            }
        }
        let now = self.links.config.clock.now();
        let Some(component) = self.components.values_mut().find(|component| component.saves.is_running(epoch)) else {
            return;
        };
        let jobs: Vec<JobId> = component.saves.running_jobs().collect();
        match result {
            Ok(written) => {
                let shards = self.links.config.shards;
                let transactional = |id: &JobId| self.jobs.get(id).is_some_and(|job| job.transactional);
                let committing: Vec<JobId> = jobs.iter().copied().filter(transactional).collect();
                let parts: HashSet<_> = committing.iter().flat_map(|id| (0..shards).map(|at| (*id, at))).collect();
                component.saves.written(epoch, parts);
                for (_, job) in self.jobs.iter_mut().filter(|(id, _)| jobs.contains(id)) {
                    job.saves.completed = Some(epoch);
                    job.saves.completed_count += 1;
                    job.saves.written_bytes = written.bytes;
                    let micros = now.0.saturating_sub(job.save_began.map_or(now.0, |at| at.0));
                    job.saves.duration_ms = u64::try_from(micros / 1_000).unwrap_or(0);
                }
                if !committing.is_empty() {
                    let jobs: Arc<[JobId]> = committing.into();
                    self.links.broadcast(|| Command::Commit { epoch, jobs: Arc::clone(&jobs), checkpoint: true });
                }
            }
            Err(error) => {
                tracing::warn!(epoch = epoch.0, %error, "a checkpoint failed");
                component.saves.give_up(epoch, now);
                self.count_failure(&jobs, &error.to_string());
            }
        }
    }

    /// Ends what is complete or has taken too long; tells when to look again.
    pub(super) fn tend_saves(&mut self, component: u64, now: ProcessingTime) -> Option<ProcessingTime> {
        let cadence = self.cadence?;
        let of = self.components.get_mut(&component)?;
        if let Some(Saved { jobs, ending, waiters }) = of.saves.take_complete(now) {
            for job in ending {
                self.end(job, JobState::Finished, None);
            }
            for waiter in waiters {
                // Who does not wait any more need not know.
                let _ = waiter.send(());
            }
            tracing::debug!(jobs = jobs.len(), "a checkpoint is complete");
            return None;
        }
        match of.saves.overdue(now, cadence) {
            Ok(epoch) => {
                let jobs: Vec<JobId> = of.saves.running_jobs().collect();
                of.saves.give_up(epoch, now);
                self.count_failure(&jobs, "the checkpoint took longer than its timeout");
                None
            }
            Err(until) => until,
        }
    }

    /// Of the jobs that have had their last epoch, those that need not wait for its checkpoint.
    pub(super) fn hold_ending(&mut self, epoch: Epoch, ending: Vec<JobId>) -> Vec<JobId> {
        match self.components.values_mut().find(|component| component.saves.is_running(epoch)) {
            Some(component) => component.saves.hold(epoch, ending),
            None => self.without_unsaved(epoch, ending),
        }
    }

    /// Jobs whose last epoch was no checkpoint, though there are checkpoints of them, have another epoch.
    fn without_unsaved(&mut self, epoch: Epoch, ending: Vec<JobId>) -> Vec<JobId> {
        let mut free = Vec::new();
        for id in ending {
            let Some(job) = self.jobs.get(&id) else { continue };
            let saved = job.saves.completed >= Some(epoch) || job.durable.is_none() || self.cadence.is_none();
            match self.components.get_mut(&job.component) {
                Some(component) if !saved => component.saves.force(),
                Some(_) | None => free.push(id),
            }
        }
        free
    }

    /// A job leaves its component. A checkpoint under way that it was part of is given up; where it failed, and can neither be
    /// made anew out of views nor catch up with them, those that it was connected with have none until it is dropped, abandoned or
    /// runs again.
    pub(super) fn leave_saves(&mut self, id: JobId, component: u64, state: JobState) {
        let durable = self.jobs.get(&id).and_then(|job| job.durable.as_ref());
        let needs_others = |of: &Dataflow| !rebuilds(of) && !catches_up(of);
        let holds = state == JobState::Failed && durable.is_some_and(|plan| needs_others(&plan.dataflow));
        let now = self.links.config.clock.now();
        let Some(component) = self.components.get_mut(&component) else { return };
        if let Some(epoch) = component.saves.forget(id) {
            component.saves.give_up(epoch, now);
        }
        if holds {
            component.saves.halt(id);
        }
    }

    /// A job that failed is not started again: those that it was connected with go on without it.
    pub(super) fn abandon(&mut self, id: JobId) {
        if let Some(component) = self.jobs.get(&id).map(|job| job.component)
            && let Some(component) = self.components.get_mut(&component)
        {
            component.saves.forget(id);
        }
    }

    fn count_failure(&mut self, jobs: &[JobId], error: &str) {
        for (_, job) in self.jobs.iter_mut().filter(|(id, _)| jobs.contains(id)) {
            job.saves.failed_count += 1;
            job.saves.error = Some(error.to_owned());
        }
    }

    /// Asks for a checkpoint of a job and those that it is connected with.
    pub(super) fn checkpoint(&mut self, id: JobId) -> Result<oneshot::Receiver<()>> {
        self.check_running()?;
        let job = self.jobs.get(&id).ok_or_else(|| EngineError::Gone(format!("job {id} does not exist")))?;
        if job.durable.is_none() || self.cadence.is_none() {
            return Err(EngineError::config(format!("no checkpoints are made of job {id}")));
        }
        let component = self.components.get_mut(&job.component);
        let component = component.ok_or_else(|| EngineError::Gone(format!("job {id} is over")))?;
        Ok(component.saves.wait())
    }

    /// What checkpoints know a job by.
    pub(super) fn uid(&self, id: JobId) -> Option<String> {
        self.jobs.get(&id)?.durable.as_ref().map(|plan| plan.uid.clone())
    }

    /// What checkpoints know of a job.
    pub(super) fn plan(&self, id: JobId) -> Option<Arc<DurablePlan>> {
        self.jobs.get(&id)?.durable.as_ref().map(Arc::clone)
    }

    /// Whether a job goes on from its last checkpoint though the views that it reads have gone on.
    pub(super) fn catches_up(&self, id: JobId) -> bool {
        self.plan(id).is_some_and(|plan| catches_up(&plan.dataflow))
    }

    /// What checkpoints know of the job that fills a relation.
    pub(super) fn plan_of(&self, relation: RelationId) -> Option<Arc<DurablePlan>> {
        self.plan(*self.relations.get(&relation)?)
    }

    /// The last checkpoints of a job.
    pub(super) fn checkpoint_status(&self, id: JobId) -> Option<CheckpointStatus> {
        self.jobs.get(&id).map(|job| job.saves.clone())
    }

    /// The jobs and tables that fail and restart together with this one, itself among them, by id.
    pub(super) fn connected(&self, id: JobId) -> Vec<JobId> {
        let Some(component) = self.jobs.get(&id).map(|job| job.component) else { return Vec::new() };
        self.jobs.iter().filter(|(_, job)| job.component == component).map(|(id, _)| *id).collect()
    }
}
