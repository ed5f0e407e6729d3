//! How a new job joins the others: [`Coordinator::submit`].

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

use super::assemble::{Assembled, Made};
use super::coordinator::Coordinator;
use super::epochs::Component;
use super::job::{Job, Phase};
use super::protocol::{Attach, Command};
use super::{JobId, JobState, publish};
use crate::error::{EngineError, Result};
use crate::message::Epoch;
use crate::plan::RelationId;

impl Coordinator {
    /// Runs a job. It joins the running views that it reads at the epoch that begins here.
    pub(super) fn submit(&mut self, assembled: Assembled) -> Result<()> {
        self.check_running()?;
        let Assembled { name, shared, parts, reads, makes, table } = assembled;
        let id = shared.id;
        let mut attaches: Vec<Vec<Attach>> = parts.iter().map(|_| Vec::new()).collect();
        let mut connected = BTreeSet::new();
        for read in &reads {
            let (producer, state) = self.producer(read.relation, &read.name)?;
            if state == JobState::Finished {
                publish::feed_finished(&self.links, read)?;
                continue;
            }
            connected.extend(self.jobs.get(&producer).map(|job| job.component));
            for (attaches, feed) in attaches.iter_mut().zip(&read.feeds) {
                attaches.push(Attach { producer, relation: read.relation, feed: Arc::clone(feed) });
            }
        }
        if self.jobs.get(&id).is_some_and(|job| !job.state().is_terminal()) {
            return Err(EngineError::Internal(format!("job {id} runs already")));
        }
        // A job that is started again makes its views again.
        let other = |made: &&Made| self.relations.get(&made.relation).is_some_and(|maker| *maker != id);
        if let Some(taken) = makes.iter().find(other) {
            return Err(EngineError::Internal(format!("view \"{}\" is made twice", taken.name)));
        }
        let component = self.connect(&connected, id);
        for made in &makes {
            self.relations.insert(made.relation, id);
        }
        publish::show_empty(&self.links, &makes);
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
            started: self.links.config.clock.now(),
        };
        tracing::debug!(job = id.0, name = job.name, "job started");
        self.jobs.insert(id, job);
        let attach_at = Epoch(self.last_epoch + 1);
        for ((mailbox, part), attaches) in self.links.shards.iter().zip(parts).zip(attaches) {
            mailbox.send(Command::Deploy { part: Box::new(part), attaches, attach_at });
        }
        self.begin(component);
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
                joined.absorb(component);
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
