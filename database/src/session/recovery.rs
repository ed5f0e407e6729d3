//! The start over a data directory: what was made before is made again from what was written, and its jobs run.
//!
//! Statements are bound again in their order, under the settings and numbers that they had. A job that cannot start (its file
//! is missing, its broker is away) does not hold back the server: it waits as a failed job does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use millstream_engine::plan::RelationId;
use millstream_engine::runtime::{JobId, Resting, Restore};
use millstream_sql::bound::BoundStatement;
use millstream_sql::catalog::{CatalogSnapshot, Relation, RelationKind};
use millstream_sql::namespace::Namespace;
use millstream_sql::{SqlError, SqlState};

use super::ddl::fill_view_properties;
use super::deploy::{Maker, TablePlan, ToDeploy, job_of_uid};
use super::job::{JobPlan, blocking};
use super::restart::RestartStrategy;
use super::{Database, Session};
use crate::catalog::DdlGuard;
use crate::durable::format_catalog::{CatalogRecord, FunctionEntry, JobEntry, RelationEntry, StoredSettings};

/// A table or job that is in the catalog again and is to be started.
struct Recovered {
    to_deploy: ToDeploy,
    strategy: RestartStrategy,
    /// Why it cannot be started.
    refused: Option<SqlError>,
    /// Why it is not to run.
    rest: Option<Rest>,
}

/// Why a job is not to run until somebody starts it.
#[derive(Debug, Clone)]
pub(super) enum Rest {
    /// Somebody stopped it.
    Stopped,
    /// It failed, for this reason, and is not tried again.
    Failed(String),
}

impl Rest {
    fn of(stopped: bool, failed: Option<&String>) -> Option<Self> {
        let failed = failed.map(|why| Self::Failed(why.clone()));
        if stopped { Some(Self::Stopped) } else { failed }
    }
}

/// How long the start waits for the rows of a view that was stopped.
const SHOWN_WITHIN: Duration = Duration::from_secs(5);

impl Database {
    /// Makes everything again that is kept. Nobody is served before this returns.
    pub(super) async fn recover(&self) -> Result<(), SqlError> {
        let kept = self.kept_catalog();
        self.catalog().reserve_ids(RelationId(kept.last_relation));
        // A job that was never acknowledged may be in a checkpoint: no other one may be taken for it.
        let saved = self.saved_uids().await?.iter().filter_map(|uid| job_of_uid(uid)).max();
        self.note_store(kept.store.as_deref())?;
        self.engine().reserve_jobs(saved.max(Some(JobId(kept.last_job))).unwrap_or(JobId(0)));
        let guard = self.catalog().lock().await;
        for entry in kept.namespaces {
            let namespace = Namespace { name: entry.name, comment: entry.comment };
            self.catalog().put_namespace(&guard, namespace);
        }
        let tables = kept.relations.iter().map(|entry| RelationId(entry.id)).collect();
        self.recover_functions(&guard, kept.functions).await?;
        let mut recovered = self.recover_relations(&guard, kept.relations).await?;
        for entry in &kept.jobs {
            let mut session = self.session_under(&entry.settings)?;
            let insert = session.recover_insert(entry).await;
            recovered.extend(insert.map_err(|error| not_recovered(error, &entry.statement))?);
        }
        self.settle(kept.writing).await;
        self.start_recovered(recovered).await?;
        if let Some(logs) = self.table_logs() {
            logs.retain(tables);
        }
        Ok(())
    }

    /// Notes where the checkpoints are, which is this server's by now: should they be gone at the next start, that is known then.
    fn note_store(&self, noted: Option<&str>) -> Result<(), SqlError> {
        match self.engine().config().checkpoints.as_ref().map(|of| of.store.describe()) {
            Some(store) if noted != Some(&store) => self.write(|| CatalogRecord::Checkpoints { store }),
            _ => Ok(()),
        }
    }

    async fn saved_uids(&self) -> Result<BTreeSet<String>, SqlError> {
        let engine = self.engine().clone();
        blocking(move || Ok(engine.saved_uids()?)).await
    }

    /// Starts tables and jobs from their checkpoints. Jobs that cannot be started wait as those that failed.
    async fn start_recovered(&self, recovered: Vec<Recovered>) -> Result<(), SqlError> {
        // Before the first of them makes a checkpoint.
        self.engine().keep_saved(recovered.iter().filter_map(|of| of.to_deploy.maker.uid(of.to_deploy.job)));
        let ready =
            recovered.iter().filter(|of| of.refused.is_none() && of.rest.is_none()).map(|of| of.to_deploy.clone());
        let mut results = self.deploy(ready.collect(), Restore::Latest).await?.into_iter();
        let (mut tables, mut at_rest) = (Vec::new(), Vec::new());
        for Recovered { to_deploy, strategy, refused, rest } in recovered {
            let (job, maker) = (to_deploy.job, to_deploy.maker);
            if let Some(rest) = rest {
                at_rest.push((job, maker, rest));
                continue;
            }
            let result = match refused {
                Some(error) => Err(error),
                None => results.next().unwrap_or_else(|| Err(other_statement())),
            };
            match (maker, result) {
                (Maker::Table(table), result) => tables.push((table, result?.deployed)),
                (Maker::Job(plan), Ok(_)) => self.supervise(job, plan, strategy),
                (Maker::Job(plan), Err(error)) => {
                    tracing::warn!(job = job.0, name = plan.name, %error, "a job could not start");
                    self.makers().lock().put(job, Maker::Job(plan.clone()));
                    self.recall(job, &plan).await;
                    self.supervise_failed(job, plan, strategy, &error);
                }
            }
        }
        if let Some(logs) = self.table_logs() {
            self.refill_beside(&logs.hold().await?, &tables).await?;
        }
        for (job, maker, rest) in at_rest {
            self.recover_resting(job, maker, rest).await;
        }
        Ok(())
    }

    /// Shows what a job that does not run had published and rejected by its last checkpoint; `false`: it has none.
    async fn recall(&self, job: JobId, plan: &JobPlan) -> bool {
        let Some(uid) = Maker::Job(plan.clone()).uid(job) else { return false };
        let schema = plan.queries.first().map(|(query, _)| Arc::clone(&query.schema));
        let resting = Resting { job, uid, name: plan.name.clone(), view: plan.record.makes.zip(schema) };
        let engine = self.engine().clone();
        blocking(move || Ok(engine.recall(&resting)?)).await.unwrap_or_else(|error| {
            tracing::warn!(job = job.0, name = plan.name, %error, "what a job had published cannot be read");
            false
        })
    }

    /// A job that somebody had stopped, or that had failed for good, stays so. Its view can be read as it was.
    async fn recover_resting(&self, job: JobId, maker: Maker, rest: Rest) {
        let recalled = match &maker {
            Maker::Job(plan) => self.recall(job, plan).await,
            Maker::Table(_) => false,
        };
        let makes = matches!(&maker, Maker::Job(plan) if plan.record.makes.is_some());
        if makes && !recalled && matches!(rest, Rest::Stopped) {
            // There are no checkpoints: it is made anew.
            match self.start_one(job, maker.clone(), Restore::Latest).await {
                // What it makes of the rows that have come since it was stopped is no part of any checkpoint.
                Ok(_) => {
                    let _ = tokio::time::timeout(SHOWN_WITHIN, self.engine().published(job)).await;
                    let _ = self.engine().cancel(job);
                }
                Err(error) => tracing::warn!(job = job.0, %error, "the view of a stopped job cannot be read"),
            }
        }
        self.keep_resting(job, maker, rest);
    }

    /// A session with these settings.
    ///
    /// # Errors
    /// Where a setting is not one of this release.
    pub(super) fn session_under(&self, settings: &StoredSettings) -> Result<Session, SqlError> {
        let mut session = self.session();
        for (name, value) in settings {
            session.settings_mut().set(name, value)?;
        }
        Ok(session)
    }

    /// Functions call functions; one that was replaced may call what was made after it. So each waits for those it calls.
    async fn recover_functions(&self, guard: &DdlGuard<'_>, open: Vec<FunctionEntry>) -> Result<(), SqlError> {
        let make = async |entry: &FunctionEntry| {
            let mut session = self.session_under(&entry.settings)?;
            match session.bound(&entry.statement).await {
                Ok(BoundStatement::CreateFunction { function, .. }) => {
                    self.catalog().put_function(guard, function.into());
                    Ok(Ok(()))
                }
                Ok(_) => Err(not_recovered(other_statement(), &entry.statement)),
                Err(error) => Ok(Err(not_recovered(error, &entry.statement))),
            }
        };
        in_rounds(open, make).await.map(|_| ())
    }

    /// Each relation waits for those it reads, as functions do.
    async fn recover_relations(
        &self,
        guard: &DdlGuard<'_>,
        open: Vec<RelationEntry>,
    ) -> Result<Vec<Recovered>, SqlError> {
        let make = async |entry: &RelationEntry| {
            let mut session = self.session_under(&entry.settings)?;
            match session.bound(&entry.statement).await {
                Ok(bound) => {
                    let recovered = session.recover_relation(guard, entry, bound).await;
                    recovered.map(Ok).map_err(|error| not_recovered(error, &entry.statement))
                }
                Err(error) => Ok(Err(not_recovered(error, &entry.statement))),
            }
        };
        Ok(in_rounds(open, make).await?.into_iter().flatten().collect())
    }
}

/// Makes all entries. One that is refused (the inner error) waits for the others: it is tried again after them, as long as
/// each round makes some.
///
/// # Errors
/// The first refusal of a round that makes nothing, and what `make` reports beside refusals.
async fn in_rounds<E, T>(
    mut open: Vec<E>,
    make: impl AsyncFn(&E) -> Result<Result<T, SqlError>, SqlError>,
) -> Result<Vec<T>, SqlError> {
    let mut made = Vec::with_capacity(open.len());
    while !open.is_empty() {
        let (before, mut refused, mut waiting) = (open.len(), None, Vec::new());
        for entry in open {
            match make(&entry).await? {
                Ok(done) => made.push(done),
                Err(error) => {
                    refused.get_or_insert(error);
                    waiting.push(entry);
                }
            }
        }
        open = waiting;
        if let Some(error) = refused.filter(|_| open.len() == before) {
            return Err(error);
        }
    }
    Ok(made)
}

impl Session {
    /// The statement of a text, bound against what exists.
    async fn bound(&mut self, text: &str) -> Result<BoundStatement, SqlError> {
        let statements = millstream_sql::parse(text)?;
        self.bind(statements.first().ok_or_else(other_statement)?).await
    }

    /// The statement of a text, bound against these relations.
    ///
    /// # Errors
    /// Whatever is wrong with it.
    pub(super) async fn bound_in(&mut self, text: &str, catalog: CatalogSnapshot) -> Result<BoundStatement, SqlError> {
        let statements = millstream_sql::parse(text)?;
        self.bind_in(statements.first().ok_or_else(other_statement)?, catalog).await
    }

    /// Puts a relation into the catalog. Gives what is to be started for it.
    async fn recover_relation(
        &mut self,
        guard: &DdlGuard<'_>,
        entry: &RelationEntry,
        bound: BoundStatement,
    ) -> Result<Option<Recovered>, SqlError> {
        let (relation, recovered) = match bound {
            BoundStatement::CreateTable { mut relation, .. } => {
                relation.id = RelationId(entry.id);
                let recovered = self.recover_table(&mut relation)?;
                (relation, recovered)
            }
            BoundStatement::CreateView { mut relation, .. } => {
                relation.id = RelationId(entry.id);
                (relation, None)
            }
            BoundStatement::CreateMaterializedView { mut relation, query, .. } => {
                relation.id = RelationId(entry.id);
                let plan = JobPlan::of_view(&relation, query);
                let recovered = entry
                    .job
                    .map(|job| self.recovered(JobId(job), plan, Rest::of(entry.stopped, entry.failed.as_ref())));
                if let Some(dataflow) = recovered.as_ref().and_then(|of| of.to_deploy.dataflow.as_ref()) {
                    fill_view_properties(&mut relation.kind, dataflow);
                }
                (relation, recovered)
            }
            _ => return Err(other_statement()),
        };
        self.database.catalog().put_relation(guard, relation.into());
        Ok(recovered)
    }

    fn recover_table(&self, relation: &mut Relation) -> Result<Option<Recovered>, SqlError> {
        match &mut relation.kind {
            RelationKind::ConnectorTable(table) => {
                if let Some(connector) = self.database.catalog().connector(&table.connector) {
                    table.boundedness = connector.boundedness(&table.spec);
                }
                Ok(None)
            }
            RelationKind::InternalTable(table) => {
                let (name, schema) = (relation.name.clone(), table.schema.clone());
                let plan = TablePlan { relation: relation.id, name, schema, temporary: false };
                let (job, maker) = (self.database.engine().new_job(), Maker::Table(plan));
                let to_deploy = ToDeploy { job, maker, dataflow: None };
                let strategy = self.settings.restart_strategy();
                Ok(Some(Recovered { to_deploy, strategy, refused: None, rest: None }))
            }
            RelationKind::View { .. } | RelationKind::MaterializedView { .. } => Err(other_statement()),
        }
    }

    /// A job, its tables opened where they can be.
    fn recovered(&self, job: JobId, plan: JobPlan, rest: Option<Rest>) -> Recovered {
        let (dataflow, refused) = match plan.lower(self.database.catalog()) {
            Ok(dataflow) => (Some(Arc::new(dataflow)), None),
            Err(error) => (None, Some(error)),
        };
        let to_deploy = ToDeploy { job, maker: Maker::Job(plan), dataflow };
        Recovered { to_deploy, strategy: self.settings.restart_strategy(), refused, rest }
    }

    async fn recover_insert(&mut self, entry: &JobEntry) -> Result<Option<Recovered>, SqlError> {
        let plan = match self.bound(&entry.statement).await? {
            BoundStatement::Insert { target, query } => JobPlan::of_insert(&target, query),
            BoundStatement::StatementSet(inserts) => JobPlan::of_set(inserts),
            _ => return Err(other_statement()),
        };
        let rest = Rest::of(entry.stopped, entry.failed.as_ref());
        Ok(Some(self.recovered(JobId(entry.id), plan, rest)))
    }
}

/// An error of a statement that worked when it was written.
fn not_recovered(error: SqlError, statement: &str) -> SqlError {
    let parts = error.parts();
    let message = format!("could not make an object of the catalog again: {}", parts.message);
    SqlError::new(parts.state, message).with_detail(format!("The statement was: {statement}"))
}

fn other_statement() -> SqlError {
    SqlError::new(SqlState::INTERNAL_ERROR, "a statement of the catalog does not make what it made before")
}
