//! [`Coordinator`]: which jobs and relations there are, how jobs are connected, and what is published.
//!
//! It is a state machine under one lock: statements call it, events of the shards are fed to it, [`Coordinator::tick`]
//! begins and completes epochs. All of this happens per epoch and per statement, never per batch.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{oneshot, watch};

use super::epochs::{Action, Component, Due};
use super::flush::Flushes;
use super::job::{Job, Phase};
use super::protocol::{Command, Event, Links};
use super::publish;
use super::saves::Cadence;
use super::withheld::Withheld;
use super::{JobId, JobState, JobStatus, SplitStatus, StopReason};
use crate::checkpoint::archive::Archive;
use crate::error::{EngineError, Result};
use crate::message::{Delta, Epoch};
use crate::plan::RelationId;
use crate::time::ProcessingTime;

/// See the module.
pub(super) struct Coordinator {
    pub(super) links: Arc<Links>,
    pub(super) interval_us: i64,
    /// When checkpoints are made, where they are.
    pub(super) cadence: Option<Cadence>,
    /// Where they are kept, once something is deployed that has them.
    pub(super) archive: Option<Arc<Archive>>,
    /// Who there is, whether it runs or not: what was saved of it stays.
    pub(super) kept_uids: BTreeSet<String>,
    pub(super) jobs: BTreeMap<JobId, Job>,
    /// The job that fills each view and internal table.
    pub(super) relations: HashMap<RelationId, JobId>,
    pub(super) components: BTreeMap<u64, Component>,
    pub(super) flushes: Flushes,
    pub(super) withheld: Withheld,
    pub(super) last_job: u64,
    pub(super) last_epoch: u64,
    pub(super) last_component: u64,
    pub(super) stopped: bool,
}

impl Coordinator {
    pub(super) fn new(links: Arc<Links>) -> Self {
        let interval_us = i64::try_from(links.config.epoch_interval_ms).unwrap_or(i64::MAX).saturating_mul(1_000);
        let cadence = links.config.checkpoints.as_ref().map(Cadence::new);
        Self {
            links,
            interval_us,
            cadence,
            archive: None,
            kept_uids: BTreeSet::new(),
            jobs: BTreeMap::new(),
            relations: HashMap::new(),
            components: BTreeMap::new(),
            flushes: Flushes::default(),
            withheld: Withheld::default(),
            last_job: 0,
            last_epoch: 0,
            last_component: 0,
            stopped: false,
        }
    }

    /// A number for a job that is about to be assembled.
    pub(super) fn next_job(&mut self) -> JobId {
        self.last_job += 1;
        JobId(self.last_job)
    }

    /// Gives no number up to this one to a job that is about to be assembled.
    pub(super) fn reserve_jobs(&mut self, last: JobId) {
        self.last_job = self.last_job.max(last.0);
    }

    /// Number of the epoch that began last.
    pub(super) fn last_epoch(&self) -> Epoch {
        Epoch(self.last_epoch)
    }

    /// Stops a job, for this reason.
    pub(super) fn cancel(&mut self, id: JobId, why: StopReason) -> Result<()> {
        self.state(id)?;
        if let Some(job) = self.jobs.get_mut(&id) {
            job.stop_reason = why;
        }
        self.end(id, JobState::Canceled, None);
        Ok(())
    }

    /// Changes an internal table; the receiver is told when the change is visible.
    pub(super) fn insert(
        &mut self,
        relation: RelationId,
        delta: Delta,
        number: u64,
    ) -> Result<(JobId, oneshot::Receiver<()>)> {
        self.check_running()?;
        let found = self.relations.get(&relation).and_then(|id| Some((*id, self.jobs.get(id)?)));
        let Some((id, job)) = found.filter(|(_, job)| job.table) else {
            return Err(EngineError::Gone("the table does not exist".into()));
        };
        let (component, failed) = (job.component, job.error.clone());
        let Some(component) = self.components.get_mut(&component) else {
            let why = failed.unwrap_or_else(|| "it was stopped".into());
            return Err(EngineError::Gone(format!("the table takes no rows: {why}")));
        };
        if let Some(first) = self.links.shards.first() {
            first.send(Command::Insert { job: id, delta, number });
        }
        Ok((id, component.wait()))
    }

    /// Forgets a relation and stops what fills it.
    pub(super) fn drop_relation(&mut self, relation: RelationId) -> Result<()> {
        let Some(job) = self.relations.remove(&relation) else {
            // The view of a job that does not run.
            if self.links.snapshot.load().views.contains_key(&relation) {
                publish::hide(&self.links, relation);
                return Ok(());
            }
            return Err(EngineError::Gone("the relation does not exist".into()));
        };
        self.end(job, JobState::Canceled, None);
        if self.jobs.get(&job).is_some_and(|job| job.table) {
            self.jobs.remove(&job);
        }
        publish::hide(&self.links, relation);
        Ok(())
    }

    /// Asks for an epoch of everything; each receiver is told when one component's is visible.
    pub(super) fn epoch_of_all(&mut self) -> Vec<oneshot::Receiver<()>> {
        let shared = |job: &Job| job.transactional && job.state() == JobState::Running;
        let saved: BTreeSet<u64> = self.jobs.values().filter(|job| shared(job)).map(|job| job.component).collect();
        let mut all = Vec::new();
        for (id, component) in &mut self.components {
            all.push(component.wait());
            // What a sink shows only with a checkpoint asks for one.
            if self.cadence.is_some() && saved.contains(id) {
                all.push(component.saves.wait());
            }
        }
        all
    }

    /// Asks for an epoch of these jobs; each receiver is told when one component's is visible.
    pub(super) fn epoch_of(&mut self, jobs: &[JobId]) -> Vec<oneshot::Receiver<()>> {
        let of: BTreeSet<u64> = jobs.iter().filter_map(|id| self.jobs.get(id)).map(|job| job.component).collect();
        self.components.iter_mut().filter(|(id, _)| of.contains(id)).map(|(_, component)| component.wait()).collect()
    }

    /// Takes in what a shard tells.
    pub(super) fn handle(&mut self, event: Event) {
        match event {
            Event::Dirty(job) => {
                if let Some(component) = self.component_of(job) {
                    component.dirty = true;
                }
            }
            Event::Passed(passed) => {
                if let Some(component) = self.component_of(passed.job) {
                    component.passed(*passed);
                }
            }
            Event::Committed { job, shard, epoch, checkpoint } => {
                if let Some(component) = self.component_of(job) {
                    if checkpoint {
                        component.saves.committed(job, shard, epoch);
                    } else {
                        component.committed(job, shard, epoch);
                    }
                }
            }
            Event::Saved { epoch, bases, result } => self.saved(epoch, &bases, result),
            Event::Drained { job } => {
                let Some(drained) = self.jobs.get_mut(&job) else { return };
                drained.drained += 1;
                if drained.drained == self.links.config.shards
                    && let Some(component) = self.component_of(job)
                {
                    component.wanted = true;
                }
            }
            Event::Flushed { job, shard, flush, ended } => {
                self.flushes.reached(job, shard, flush, ended);
                self.settle_flushes();
            }
            Event::Failed { job, error } => self.failed(job, &error),
        }
    }

    /// Completes the epochs that are complete and begins those that are due; tells when the next one is.
    pub(super) fn tick(&mut self) -> Option<ProcessingTime> {
        let mut next: Option<ProcessingTime> = None;
        let ids: Vec<u64> = self.components.keys().copied().collect();
        for id in ids {
            while let Some(action) = self.components.get_mut(&id).and_then(Component::advance) {
                self.act(action);
            }
            let now = self.links.config.clock.now();
            next = next.into_iter().chain(self.tend_saves(id, now)).min();
            let (interval_us, cadence) = (self.interval_us, self.cadence);
            match self.components.get(&id).map(|component| component.due(now, interval_us, cadence)) {
                Some(Due::Now) => self.begin(id),
                Some(Due::At(at)) => next = next.into_iter().chain([at]).min(),
                Some(Due::No) | None => {}
            }
        }
        self.components.retain(|_, component| !component.is_over());
        next
    }

    /// Stops everything.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
        let running: Vec<JobId> = self.jobs.keys().copied().collect();
        for id in running {
            self.end(id, JobState::Canceled, None);
        }
        self.components.clear();
        self.flushes = Flushes::default();
        self.links.broadcast(|| Command::Stop);
    }

    /// A job as it is now.
    pub(super) fn status(&self, id: JobId) -> Option<JobStatus> {
        self.jobs.get(&id).map(|job| job.status())
    }

    /// All jobs but the internal tables, by id.
    pub(super) fn statuses(&self) -> Vec<JobStatus> {
        self.jobs.values().filter(|job| !job.table).map(Job::status).collect()
    }

    /// The splits of all running jobs.
    pub(super) fn splits(&self) -> Vec<SplitStatus> {
        let running = self.jobs.values().filter(|job| job.state() == JobState::Running);
        running.flat_map(|job| job.shared.split_statuses()).collect()
    }

    /// What to wait on for a job.
    pub(super) fn phase(&self, id: JobId) -> Result<watch::Receiver<Phase>> {
        self.jobs.get(&id).map(|job| job.phase.subscribe()).ok_or_else(|| no_job(id))
    }

    fn state(&self, id: JobId) -> Result<JobState> {
        self.jobs.get(&id).map(Job::state).ok_or_else(|| no_job(id))
    }

    pub(super) fn check_running(&self) -> Result<()> {
        if self.stopped { Err(EngineError::Gone("the engine is shut down".into())) } else { Ok(()) }
    }

    fn component_of(&mut self, job: JobId) -> Option<&mut Component> {
        let job = self.jobs.get(&job)?;
        self.components.get_mut(&job.component)
    }

    /// Begins an epoch of a component.
    pub(super) fn begin(&mut self, component: u64) {
        let Some(mut of) = self.components.remove(&component) else { return };
        self.last_epoch += 1;
        let (epoch, shards) = (Epoch(self.last_epoch), self.links.config.shards);
        let now = self.links.config.clock.now();
        let mut ending = Vec::new();
        for id in &of.jobs {
            let Some(job) = self.jobs.get(id) else { continue };
            // Before the barrier goes out: what moves after it asks for the next epoch.
            job.shared.dirty.store(false, Ordering::Release);
            if job.drained == shards {
                ending.push(*id);
            }
        }
        let jobs: Arc<[JobId]> = of.jobs.iter().copied().collect();
        if of.dirty {
            of.saves.moved();
        }
        let saves = self.saves_with(&of, &ending, now);
        of.begin(epoch, ending, shards, now);
        if saves {
            let durable = self.durable_jobs(&of);
            for (_, job) in self.jobs.iter_mut().filter(|(id, _)| durable.contains(id)) {
                job.save_began = Some(now);
                job.shared.begin_checkpoint(epoch, job.save_base);
            }
            of.saves.begin(epoch, durable, now);
        }
        self.components.insert(component, of);
        self.links.broadcast(|| Command::Barrier { epoch, jobs: Arc::clone(&jobs) });
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Publish { epoch, staged, commits, captured } => {
                self.show(epoch, staged.into_iter().map(|(_, shard, staged)| (shard, staged)));
                if !commits.is_empty() {
                    let jobs: Arc<[JobId]> = commits.into();
                    self.links.broadcast(|| Command::Commit { epoch, jobs: Arc::clone(&jobs), checkpoint: false });
                }
                if self.components.values().any(|component| component.saves.is_running(epoch)) {
                    self.write(epoch, captured);
                }
            }
            Action::Complete { epoch, jobs, ending, waiters } => {
                for job in jobs.iter().filter_map(|job| self.jobs.get(job)) {
                    job.phase.send_if_modified(|phase| !std::mem::replace(&mut phase.published, true));
                }
                for job in self.hold_ending(epoch, ending) {
                    self.end(job, JobState::Finished, None);
                }
                for waiter in waiters {
                    // Who does not wait any more need not know.
                    let _ = waiter.send(());
                }
            }
        }
    }

    fn failed(&mut self, id: JobId, error: &EngineError) {
        if self.state(id).is_ok_and(JobState::is_terminal) {
            return;
        }
        match error {
            // What it worked for is gone: somebody closed a cursor.
            EngineError::Gone(_) => self.end(id, JobState::Canceled, None),
            EngineError::Evaluate(_)
            | EngineError::BadRow { .. }
            | EngineError::Io { .. }
            | EngineError::Config { .. }
            | EngineError::Unsupported(_)
            | EngineError::Exhausted { .. }
            | EngineError::Internal(_) => {
                tracing::warn!(job = id.0, %error, "job failed");
                if let Some(job) = self.jobs.get_mut(&id) {
                    job.hopeless = error.is_hopeless();
                }
                self.end(id, JobState::Failed, Some((error.to_string(), error.hint().map(str::to_owned))));
            }
        }
    }

    /// Takes a job out. Unless it has finished, those that read its views fail with it.
    pub(super) fn end(&mut self, id: JobId, state: JobState, error: Option<(String, Option<String>)>) {
        let mut open = vec![(id, state, error)];
        while let Some((id, state, error)) = open.pop() {
            let Some(job) = self.jobs.get_mut(&id).filter(|job| !job.state().is_terminal()) else { continue };
            (job.error, job.hint) = error.map_or((None, None), |(message, hint)| (Some(message), hint));
            if state != JobState::Finished {
                job.shared.end();
            }
            job.phase.send_modify(|phase| phase.state = state);
            let (component, makes, reason) = (job.component, job.makes.clone(), job.stop_reason);
            if let Some(component) = self.components.get_mut(&component) {
                component.forget(id);
            }
            self.leave_saves(id, component, state);
            self.flushes.forget(id);
            self.links.broadcast(|| Command::Remove { job: id });
            let why = match state {
                JobState::Running | JobState::Finished => continue,
                JobState::Failed => ("is gone: its job failed", None),
                JobState::Canceled => reason.of_reader(),
            };
            for made in makes {
                let readers = self.jobs.iter().filter(|(_, job)| job.reads.contains(&made.relation));
                let message = format!("relation \"{}\", which the job reads, {}", made.name, why.0);
                let error = (message, why.1.map(str::to_owned));
                open.extend(readers.map(|(id, _)| (*id, JobState::Failed, Some(error.clone()))));
            }
        }
        self.settle_flushes();
    }
}

fn no_job(id: JobId) -> EngineError {
    EngineError::Gone(format!("job {id} does not exist"))
}
