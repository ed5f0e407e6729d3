//! Starting jobs and internal tables: one, or all that is connected, from the beginning or from checkpoints.
//!
//! What is connected shares its checkpoints. A job goes back to its last one with those that read what it makes, and catches up with
//! the views that it reads itself; one that has nothing but views is made anew out of them. Where it matters to it when their rows
//! changed, all that it is connected with goes back with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use millstream_engine::plan::{Dataflow, RelationId};
use millstream_engine::runtime::{Deployed, JobId, JobState, Member, MemberKind, Restore, StopReason};
use millstream_sql::{SqlError, SqlState};

use super::Database;
use super::job::{JobGuard, JobPlan, blocking};
use super::recovery::Rest;
use crate::catalog::Supervision;

/// What fills views, tables and sinks, and is started by [`Database::deploy`].
#[derive(Debug, Clone)]
pub(super) enum Maker {
    /// A job.
    Job(JobPlan),
    /// An internal table.
    Table(TablePlan),
}

/// An internal table as the engine knows it.
#[derive(Debug, Clone)]
pub(super) struct TablePlan {
    pub(super) relation: RelationId,
    pub(super) name: String,
    pub(super) schema: SchemaRef,
    /// It goes with its session: no checkpoint has it.
    pub(super) temporary: bool,
}

/// A job or table that is to be started.
#[derive(Debug, Clone)]
pub(super) struct ToDeploy {
    pub(super) job: JobId,
    pub(super) maker: Maker,
    /// The dataflow of a job, where it has been made already.
    pub(super) dataflow: Option<Arc<Dataflow>>,
}

/// A job or table that was started.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) deployed: Deployed,
    /// Of a job.
    pub(super) dataflow: Option<Arc<Dataflow>>,
}

impl Maker {
    /// What checkpoints know it by; `None`: it is in none.
    pub(super) fn uid(&self, job: JobId) -> Option<String> {
        match self {
            Self::Job(plan) if !plan.lasting => None,
            Self::Job(plan) => Some(match plan.record.makes {
                Some(view) => format!("view-{}", view.0),
                None => format!("insert-{}", job.0),
            }),
            Self::Table(table) if table.temporary => None,
            Self::Table(table) => Some(format!("table-{}", table.relation.0)),
        }
    }

    /// The view or table that it fills.
    fn makes(&self) -> Option<RelationId> {
        match self {
            Self::Job(plan) => plan.record.makes,
            Self::Table(table) => Some(table.relation),
        }
    }

    fn touches(&self, relation: RelationId) -> bool {
        match self {
            Self::Job(plan) => plan.record.touches.contains(&relation),
            Self::Table(table) => table.relation == relation,
        }
    }

    /// Whether it can be made anew out of the views that it reads.
    fn rebuilds(&self) -> bool {
        match self {
            Self::Job(plan) => plan.rebuilds(),
            Self::Table(_) => false,
        }
    }
}

/// The number of a job that a uid tells, where it tells one.
pub(super) fn job_of_uid(uid: &str) -> Option<JobId> {
    uid.strip_prefix("insert-")?.parse().ok().map(JobId)
}

/// What has been started, by job.
#[derive(Debug, Default)]
pub(super) struct Makers(BTreeMap<JobId, Maker>);

impl Makers {
    /// Notes what a job is.
    pub(super) fn put(&mut self, job: JobId, maker: Maker) {
        // A table has another number after each start of the server only.
        self.0.insert(job, maker);
    }

    /// Forgets a job. What checkpoints know it by.
    pub(super) fn remove(&mut self, job: JobId) -> Option<String> {
        self.0.remove(&job)?.uid(job)
    }

    /// What a job is.
    pub(super) fn get(&self, job: JobId) -> Option<Maker> {
        self.0.get(&job).cloned()
    }

    /// Those that are part of checkpoints.
    pub(super) fn durable(&self) -> impl Iterator<Item = (JobId, &Maker)> {
        self.0.iter().map(|(job, maker)| (*job, maker)).filter(|(job, maker)| maker.uid(*job).is_some())
    }

    /// The job that fills a relation.
    pub(super) fn maker_of(&self, relation: RelationId) -> Option<JobId> {
        self.0.iter().find(|(_, maker)| maker.makes() == Some(relation)).map(|(job, _)| *job)
    }

    /// The job and all that shares a view or internal table with it, over others too: who fills a relation stands before
    /// those that read it.
    fn connected(&self, job: JobId) -> Vec<(JobId, Maker)> {
        let reads = |reader: &Maker, of: &Maker| of.makes().is_some_and(|made| reader.touches(made));
        self.in_order(self.reached(job, |from, to| reads(to, from) || reads(from, to)))
    }

    /// The job and what it leads to, over others too, step by step.
    fn reached(&self, job: JobId, leads: impl Fn(&Maker, &Maker) -> bool) -> BTreeSet<JobId> {
        let mut found = BTreeSet::from([job]);
        loop {
            let from: Vec<&Maker> = found.iter().filter_map(|job| self.0.get(job)).collect();
            let next = self.0.iter().filter(|(_, to)| from.iter().any(|from| leads(from, to)));
            let next: BTreeSet<JobId> = next.map(|(job, _)| *job).collect();
            if next.is_subset(&found) {
                return found;
            }
            found.extend(next);
        }
    }

    /// Makers before their readers.
    fn in_order(&self, mut open: BTreeSet<JobId>) -> Vec<(JobId, Maker)> {
        let mut ordered = Vec::with_capacity(open.len());
        while !open.is_empty() {
            let waits = |job: &JobId| {
                let others = open.iter().filter(|other| *other != job).filter_map(|other| self.0.get(other));
                let mut made = others.filter_map(Maker::makes);
                made.any(|made| self.0.get(job).is_some_and(|maker| maker.touches(made)))
            };
            // There are no cycles; if there were one, its first would go first.
            let Some(next) = open.iter().copied().find(|job| !waits(job)).or_else(|| open.first().copied()) else {
                break;
            };
            open.remove(&next);
            ordered.extend(self.0.get(&next).map(|maker| (next, maker.clone())));
        }
        ordered
    }

    /// A job, and those that read what it makes, over others too.
    fn with_readers(&self, job: JobId) -> Vec<(JobId, Maker)> {
        let reads =
            |from: &Maker, to: &Maker| from.makes().is_some_and(|made| to.makes() != Some(made) && to.touches(made));
        self.in_order(self.reached(job, reads))
    }
}

impl Database {
    /// Runs a new job. Returns it and its dataflow.
    ///
    /// # Errors
    /// Where it cannot be lowered, or a source cannot be read.
    pub(super) async fn start_job(&self, plan: JobPlan) -> Result<(JobGuard, Arc<Dataflow>), SqlError> {
        let database = self.clone();
        let start = move || -> Result<(JobGuard, Arc<Dataflow>), SqlError> {
            let job = database.engine().new_job();
            let record = plan.record.clone();
            let dataflow = Arc::new(plan.lower(database.catalog())?);
            let runs = if plan.ends() { database.job_writes(&plan, &dataflow)? } else { Vec::new() };
            // Where the caller goes away meanwhile, the guard is dropped with the result and the job is cancelled.
            let guard = JobGuard::new(database.clone(), job, runs);
            let new = ToDeploy { job, maker: Maker::Job(plan), dataflow: Some(dataflow) };
            let started = database.deploy_now(&[new], &Restore::Nothing)?.pop().unwrap_or_else(|| Err(gone(job)))?;
            database.jobs().add(job, record);
            Ok((guard, started.dataflow.ok_or_else(|| gone(job))?))
        };
        blocking(start).await
    }

    /// Makes a new internal table.
    ///
    /// # Errors
    /// Where the engine is shut down.
    pub(super) fn start_table(&self, table: TablePlan) -> Result<(), SqlError> {
        let job = self.engine().new_job();
        let new = ToDeploy { job, maker: Maker::Table(table), dataflow: None };
        self.deploy_now(&[new], &Restore::Nothing)?.pop().unwrap_or_else(|| Err(gone(job))).map(|_| ())
    }

    pub(super) async fn start_one(&self, job: JobId, maker: Maker, restore: Restore) -> Result<Started, SqlError> {
        let started = self.deploy(vec![ToDeploy { job, maker, dataflow: None }], restore).await?.pop();
        started.unwrap_or_else(|| Err(gone(job)))
    }

    /// Runs jobs and tables together; who fills a relation stands before those that read it. Says of each whether it runs.
    ///
    /// # Errors
    /// Where no checkpoint can be read, or the engine is shut down.
    pub(super) async fn deploy(
        &self,
        all: Vec<ToDeploy>,
        restore: Restore,
    ) -> Result<Vec<Result<Started, SqlError>>, SqlError> {
        let database = self.clone();
        blocking(move || database.deploy_now(&all, &restore)).await
    }

    fn deploy_now(&self, all: &[ToDeploy], restore: &Restore) -> Result<Vec<Result<Started, SqlError>>, SqlError> {
        let mut members = Vec::with_capacity(all.len());
        let mut made: Vec<Result<Option<Arc<Dataflow>>, SqlError>> = Vec::with_capacity(all.len());
        for ToDeploy { job, maker, dataflow } in all {
            let kind = self.member_kind(maker, dataflow.as_ref());
            made.push(kind.map(|(kind, dataflow)| {
                members.push(Member { uid: maker.uid(*job), job: Some(*job), kind });
                dataflow
            }));
        }
        // Where it cannot start now it waits, and goes on later from what is saved.
        self.engine().keep_saved(members.iter().filter_map(|member| member.uid.clone()));
        let mut deployed = self.engine().deploy(&members, restore)?.into_iter();
        let mut makers = self.makers().lock();
        let result = |(of, made): (&ToDeploy, Result<Option<Arc<Dataflow>>, SqlError>)| {
            let dataflow = made?;
            let deployed = deployed.next().ok_or_else(|| gone(of.job))??;
            makers.put(of.job, of.maker.clone());
            Ok(Started { deployed, dataflow })
        };
        Ok(all.iter().zip(made).map(result).collect())
    }

    fn member_kind(
        &self,
        maker: &Maker,
        dataflow: Option<&Arc<Dataflow>>,
    ) -> Result<(MemberKind, Option<Arc<Dataflow>>), SqlError> {
        match maker {
            Maker::Job(plan) => {
                let dataflow = match dataflow {
                    Some(dataflow) => Arc::clone(dataflow),
                    None => Arc::new(plan.lower(self.catalog())?),
                };
                let request = plan.request(&dataflow);
                Ok((MemberKind::Job(request), Some(dataflow)))
            }
            Maker::Table(TablePlan { relation, name, schema, .. }) => {
                let (relation, name, schema) = (*relation, name.clone(), Arc::clone(schema));
                Ok((MemberKind::Table { relation, name, schema }, None))
            }
        }
    }

    /// Starts a job that has failed, and with it all that must go back to a checkpoint with it: see the module. The caller holds
    /// [`Database::restarting`].
    ///
    /// # Errors
    /// Where the job cannot be started. What became of the others is noted with them.
    pub(super) async fn restart(&self, job: JobId) -> Result<(), SqlError> {
        let (maker, with_readers, connected) = {
            let makers = self.makers().lock();
            let Some(maker) = makers.get(job) else { return Err(gone(job)) };
            (maker, makers.with_readers(job), makers.connected(job))
        };
        let alone = maker.uid(job).is_none() || with_readers.iter().all(|(_, of)| of.rebuilds());
        if alone || self.engine().config().checkpoints.is_none() {
            return self.start_one(job, maker, Restore::Nothing).await.map(|_| ());
        }
        let catch_up = with_readers.iter().all(|(of, _)| self.engine().catches_up(*of));
        let all = if catch_up { with_readers } else { connected };
        self.start_together(&[job], all, Restore::Latest, StopReason::Restart).await
    }

    /// Stops what is connected and starts it from a checkpoint. `heads` start even where they had stopped or ended, and are stopped
    /// for the reason `why`; the result is that of the first of them.
    pub(super) async fn start_together(
        &self,
        heads: &[JobId],
        connected: Vec<(JobId, Maker)>,
        restore: Restore,
        why: StopReason,
    ) -> Result<(), SqlError> {
        let finished = |job: JobId| self.engine().job(job).is_some_and(|status| status.state == JobState::Finished);
        let job = heads.first().copied().unwrap_or(JobId(0));
        let goes = |of: JobId| heads.contains(&of) || (!self.jobs().is_stopped(of) && !finished(of));
        let connected = connected.into_iter().filter(|(of, maker)| goes(*of) && maker.uid(*of).is_some());
        let all: Vec<ToDeploy> = connected.map(|(job, maker)| ToDeploy { job, maker, dataflow: None }).collect();
        let has_tables = all.iter().any(|member| matches!(member.maker, Maker::Table(_)));
        let held = match self.table_logs().filter(|_| has_tables) {
            Some(logs) => Some(logs.hold().await?),
            None => None,
        };
        // Readers first: none of them is to fail because what it reads has gone.
        for member in all.iter().rev() {
            if let Maker::Job(plan) = &member.maker {
                // Should nothing come of this, those who follow them try again.
                let (name, why) = (plan.name.clone(), format!("it goes back to a checkpoint with job {job}"));
                self.jobs().supervise(member.job, Supervision::Waiting { name, why, next: None, attempt: 0 });
            }
            let why = if heads.contains(&member.job) { why } else { StopReason::Restart };
            // One that is over needs no cancelling.
            let _ = self.engine().cancel_for(member.job, why);
        }
        let results = self.deploy(all.clone(), restore).await?;
        let mut own = Err(gone(job));
        let mut tables = Vec::new();
        for (member, result) in all.iter().zip(results) {
            match (&member.maker, &result) {
                (Maker::Table(table), Ok(started)) => tables.push((table.clone(), started.deployed.clone())),
                (Maker::Table(table), Err(error)) => tracing::error!(table = table.name, %error, "a table is lost"),
                (Maker::Job(_), Ok(_)) => self.jobs().supervise(member.job, Supervision::None),
                (Maker::Job(plan), Err(error)) if member.job != job => {
                    let (name, why) = (plan.name.clone(), error.to_string());
                    self.jobs().supervise(member.job, Supervision::Waiting { name, why, next: None, attempt: 0 });
                }
                (Maker::Job(_), Err(_)) => {}
            }
            if member.job == job {
                own = result.map(|_| ());
            }
        }
        if let Some(held) = &held {
            self.refill(held, &tables).await?;
        }
        own
    }

    /// Notes a job that did not run any more when the server ended.
    pub(super) fn keep_resting(&self, job: JobId, maker: Maker, rest: Rest) {
        if let Maker::Job(plan) = &maker {
            self.jobs().add(job, plan.record.clone());
            let name = plan.name.clone();
            match rest {
                Rest::Stopped => self.jobs().pause(job, name),
                Rest::Failed(why) => self.jobs().supervise(job, Supervision::GaveUp { name, why }),
            }
        }
        self.makers().lock().put(job, maker);
    }

    /// The job, all that is connected with it, in the order in which they are deployed.
    pub(super) fn connected_makers(&self, job: JobId) -> Vec<(JobId, Maker)> {
        self.makers().lock().connected(job)
    }
}

fn gone(job: JobId) -> SqlError {
    SqlError::new(SqlState::UNDEFINED_OBJECT, format!("job {job} does not exist"))
}
