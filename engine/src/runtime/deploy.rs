//! How new jobs join the others: [`Coordinator::deploy`].

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

use super::assemble::Assembled;
use super::coordinator::Coordinator;
use super::epochs::Component;
use super::job::{Job, Phase};
use super::protocol::{Attach, Command, Deploy};
use super::{CheckpointStatus, JobId, JobState, StopReason, publish};
use crate::error::{EngineError, Result};
use crate::message::Epoch;
use crate::plan::RelationId;

impl Coordinator {
    /// Runs jobs that begin together. They join the running views that they read at the epoch that begins here. Says of each
    /// whether it runs.
    ///
    /// # Errors
    /// Where the engine is shut down.
    pub(super) fn deploy(&mut self, all: Vec<Assembled>) -> Result<Vec<Result<()>>> {
        self.check_running()?;
        let mut parts: Vec<Vec<Deploy>> = self.links.shards.iter().map(|_| Vec::new()).collect();
        let mut begun = Vec::new();
        let mut results = Vec::with_capacity(all.len());
        for assembled in all {
            let id = assembled.shared.id;
            let result = self.admit(assembled, &begun, &mut parts);
            if result.is_ok() {
                begun.push(id);
            }
            results.push(result);
        }
        let attach_at = Epoch(self.last_epoch + 1);
        for (mailbox, parts) in self.links.shards.iter().zip(parts).filter(|(_, parts)| !parts.is_empty()) {
            mailbox.send(Command::Deploy { parts, attach_at });
        }
        let components: BTreeSet<u64> =
            begun.iter().filter_map(|id| self.jobs.get(id)).map(|job| job.component).collect();
        for component in components {
            if let Some(of) = self.components.get_mut(&component) {
                of.saves.moved();
            }
            self.begin(component);
        }
        Ok(results)
    }

    /// Takes in a job; `begun` are those that begin with it.
    fn admit(&mut self, assembled: Assembled, begun: &[JobId], deploys: &mut [Vec<Deploy>]) -> Result<()> {
        let id = assembled.shared.id;
        if self.jobs.get(&id).is_some_and(|job| !job.state().is_terminal()) {
            return Err(EngineError::Internal(format!("job {id} runs already")));
        }
        let (attaches, connected) = self.attaches(&assembled, begun)?;
        self.take_over(&assembled)?;
        let component = self.connect(&connected, id);
        let Assembled {
            name,
            shared,
            parts,
            reads,
            makes,
            table,
            durable,
            transactional,
            at_end,
            restored,
            staged,
            rejected,
        } = assembled;
        if let Some(of) = self.components.get_mut(&component).filter(|_| at_end) {
            of.at_end.insert(id);
        }
        for made in &makes {
            self.relations.insert(made.relation, id);
        }
        publish::show_empty(&self.links, &makes);
        self.links.rejects.replace(id, rejected);
        if let Some(epoch) = restored {
            self.show(epoch, staged.into_iter());
        }
        let job = Job {
            name,
            table,
            shared,
            makes,
            reads: reads.into_iter().map(|read| read.relation).collect(),
            component,
            drained: 0,
            phase: watch::channel(Phase { state: JobState::Running, published: false }).0,
            error: None,
            hint: None,
            hopeless: false,
            stop_reason: StopReason::Asked,
            started: self.links.config.clock.now(),
            durable,
            transactional,
            saves: CheckpointStatus { completed: restored, ..CheckpointStatus::default() },
            save_began: None,
            save_base: None,
            restored,
        };
        tracing::debug!(job = id.0, name = job.name, "job started");
        self.jobs.insert(id, job);
        for ((deploys, part), attaches) in deploys.iter_mut().zip(parts).zip(attaches) {
            deploys.push(Deploy { part: Box::new(part), attaches });
        }
        Ok(())
    }

    /// The views that a job reads, by shard, and the components that it connects.
    fn attaches(&self, assembled: &Assembled, begun: &[JobId]) -> Result<(Vec<Vec<Attach>>, BTreeSet<u64>)> {
        let mut attaches: Vec<Vec<Attach>> = assembled.parts.iter().map(|_| Vec::new()).collect();
        let mut connected = BTreeSet::new();
        for read in assembled.reads.iter().filter(|read| !read.ended) {
            let (producer, state) = self.producer(read.relation, &read.name)?;
            let of = self.jobs.get(&producer);
            let together = begun.contains(&producer) && of.is_some_and(|of| of.restored == assembled.restored);
            if read.has_all() && !together {
                return Err(EngineError::Config {
                    message: format!(
                        "\"{}\" reads \"{}\", which does not continue from the same checkpoint",
                        assembled.name, read.name
                    ),
                    hint: Some("start it from a savepoint, which takes back both, or make it again".into()),
                });
            }
            if state == JobState::Finished {
                publish::feed_finished(&self.links, read)?;
                continue;
            }
            connected.extend(of.map(|job| job.component));
            for (attaches, feed) in attaches.iter_mut().zip(&read.feeds) {
                attaches.push(Attach {
                    producer,
                    relation: read.relation,
                    feed: Arc::clone(feed),
                    restored: read.has_all(),
                });
            }
        }
        Ok((attaches, connected))
    }

    /// Puts a job in the place of one that is over and kept the same views, or has the same uid.
    fn take_over(&mut self, assembled: &Assembled) -> Result<()> {
        for made in &assembled.makes {
            let before = self.relations.get(&made.relation).and_then(|id| self.jobs.get(id));
            if before.is_some_and(|job| !job.state().is_terminal()) {
                return Err(EngineError::Internal(format!("view \"{}\" is made twice", made.name)));
            }
        }
        let Some(plan) = &assembled.durable else { return Ok(()) };
        let same = |job: &Job| job.durable.as_ref().is_some_and(|durable| durable.uid == plan.uid);
        if self.jobs.values().any(|job| same(job) && !job.state().is_terminal()) {
            return Err(EngineError::Internal(format!("\"{}\" runs already", plan.uid)));
        }
        let mut over = Vec::new();
        for (id, job) in self.jobs.iter_mut().filter(|(_, job)| same(job)) {
            job.durable = None;
            over.push((*id, job.component));
        }
        for (id, component) in over {
            if let Some(component) = self.components.get_mut(&component) {
                component.saves.forget(id);
            }
        }
        Ok(())
    }

    /// The job that fills a relation, if it can be read.
    fn producer(&self, relation: RelationId, name: &str) -> Result<(JobId, JobState)> {
        let found = self.relations.get(&relation).and_then(|id| Some((*id, self.jobs.get(id)?)));
        let Some((id, job)) = found else {
            return Err(EngineError::Gone(format!("relation \"{name}\" does not exist")));
        };
        match job.state() {
            state @ (JobState::Running | JobState::Finished) => Ok((id, state)),
            JobState::Failed => {
                Err(EngineError::Gone(format!("relation \"{name}\" is not kept up to date: its job failed")))
            }
            JobState::Canceled => {
                Err(EngineError::Gone(format!("relation \"{name}\" is not kept up to date: its job was canceled")))
            }
        }
    }

    /// Puts a new job into the component that the given ones become.
    fn connect(&mut self, components: &BTreeSet<u64>, job: JobId) -> u64 {
        let mut joined = Component::default();
        for id in components {
            if let Some(component) = self.components.remove(id) {
                joined.absorb(component, self.links.config.clock.now());
            }
        }
        self.last_component += 1;
        let id = self.last_component;
        for job in self.jobs.values_mut().filter(|job| components.contains(&job.component)) {
            job.component = id;
        }
        joined.jobs.insert(job);
        self.components.insert(id, joined);
        id
    }
}
