//! The start over a data directory: what was made before is made again from what was written, and its jobs run.
//!
//! Statements are bound again in their order, under the settings and numbers that they had. A job that cannot start (its file
//! is missing, its broker is away) does not hold back the server: it waits as a failed job does.

use millstream_engine::message::Delta;
use millstream_engine::plan::RelationId;
use millstream_engine::ports::Guarantee;
use millstream_engine::runtime::JobId;
use millstream_sql::bound::BoundStatement;
use millstream_sql::catalog::{Relation, RelationKind};
use millstream_sql::{SqlError, SqlState};

use super::ddl::fill_view_properties;
use super::job::{JobPlan, Output, open_sink};
use super::{Database, Session};
use crate::catalog::DdlGuard;
use crate::durable::format_catalog::{FunctionEntry, JobEntry, RelationEntry, StoredSettings};
use crate::errors::from_arrow;

impl Database {
    /// Makes everything again that is kept. Nobody is served before this returns.
    pub(super) async fn recover(&self) -> Result<(), SqlError> {
        let kept = self.kept_catalog();
        self.catalog().reserve_ids(RelationId(kept.last_relation));
        self.engine().reserve_jobs(JobId(kept.last_job));
        let guard = self.catalog().lock().await;
        let tables = kept.relations.iter().map(|entry| RelationId(entry.id)).collect();
        self.recover_functions(&guard, kept.functions).await?;
        self.recover_relations(&guard, kept.relations).await?;
        for entry in &kept.jobs {
            let mut session = self.session_under(&entry.settings)?;
            session.recover_insert(entry).await.map_err(|error| not_recovered(error, &entry.statement))?;
        }
        if let Some(logs) = self.table_logs() {
            logs.retain(tables);
        }
        Ok(())
    }

    fn session_under(&self, settings: &StoredSettings) -> Result<Session, SqlError> {
        let mut session = self.session();
        for (name, value) in settings {
            session.settings_mut().set(name, value)?;
        }
        Ok(session)
    }

    /// Functions call functions; one that was replaced may call what was made after it. So each waits for those it calls.
    async fn recover_functions(&self, guard: &DdlGuard<'_>, mut open: Vec<FunctionEntry>) -> Result<(), SqlError> {
        while !open.is_empty() {
            let before = open.len();
            let mut refused = None;
            let mut waiting = Vec::new();
            for entry in open {
                let mut session = self.session_under(&entry.settings)?;
                match session.bound(&entry.statement).await {
                    Ok(BoundStatement::CreateFunction { function, .. }) => {
                        self.catalog().put_function(guard, function.into());
                    }
                    Ok(_) => return Err(not_recovered(other_statement(), &entry.statement)),
                    Err(error) => {
                        refused.get_or_insert_with(|| not_recovered(error, &entry.statement));
                        waiting.push(entry);
                    }
                }
            }
            open = waiting;
            if let Some(error) = refused.filter(|_| open.len() == before) {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Each relation waits for those it reads, as functions do.
    async fn recover_relations(&self, guard: &DdlGuard<'_>, mut open: Vec<RelationEntry>) -> Result<(), SqlError> {
        while !open.is_empty() {
            let before = open.len();
            let mut refused = None;
            let mut waiting = Vec::new();
            for entry in open {
                let mut session = self.session_under(&entry.settings)?;
                match session.bound(&entry.statement).await {
                    Ok(bound) => {
                        let recovered = session.recover_relation(guard, &entry, bound).await;
                        recovered.map_err(|error| not_recovered(error, &entry.statement))?;
                    }
                    Err(error) => {
                        refused.get_or_insert_with(|| not_recovered(error, &entry.statement));
                        waiting.push(entry);
                    }
                }
            }
            open = waiting;
            if let Some(error) = refused.filter(|_| open.len() == before) {
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Session {
    /// The statement of a text, bound against what exists.
    async fn bound(&mut self, text: &str) -> Result<BoundStatement, SqlError> {
        let statements = millstream_sql::parse(text)?;
        self.bind(statements.first().ok_or_else(other_statement)?).await
    }

    async fn recover_relation(
        &mut self,
        guard: &DdlGuard<'_>,
        entry: &RelationEntry,
        bound: BoundStatement,
    ) -> Result<(), SqlError> {
        let relation = match bound {
            BoundStatement::CreateTable { mut relation, .. } => {
                relation.id = RelationId(entry.id);
                self.recover_table(&mut relation).await?;
                relation
            }
            BoundStatement::CreateView { mut relation, .. } => {
                relation.id = RelationId(entry.id);
                relation
            }
            BoundStatement::CreateMaterializedView { mut relation, query, .. } => {
                relation.id = RelationId(entry.id);
                let plan = JobPlan::of_view(&relation, query);
                if let Some(job) = entry.job.map(JobId).filter(|_| !entry.stopped) {
                    self.recover_view(job, plan, &mut relation).await;
                }
                relation
            }
            _ => return Err(other_statement()),
        };
        self.database.catalog().put_relation(guard, relation.into());
        Ok(())
    }

    async fn recover_table(&self, relation: &mut Relation) -> Result<(), SqlError> {
        match &mut relation.kind {
            RelationKind::ConnectorTable(table) => {
                if let Some(connector) = self.database.catalog().connector(&table.connector) {
                    table.boundedness = connector.boundedness(&table.spec);
                }
                Ok(())
            }
            RelationKind::InternalTable(table) => {
                let engine = self.database.engine();
                engine.create_table(relation.id, &relation.name, table.schema.clone())?;
                let Some(logs) = self.database.table_logs() else { return Ok(()) };
                for rows in logs.load(relation.id).await? {
                    let rows = rows.with_schema(table.schema.clone()).map_err(from_arrow)?;
                    engine.insert(relation.id, Delta::append(rows)).await?;
                }
                Ok(())
            }
            RelationKind::View { .. } | RelationKind::MaterializedView { .. } => Err(other_statement()),
        }
    }

    async fn recover_view(&self, job: JobId, plan: JobPlan, relation: &mut Relation) {
        let strategy = self.settings.restart_strategy();
        match self.database.start_job_as(job, &plan).await {
            Ok(dataflow) => {
                fill_view_properties(&mut relation.kind, &dataflow);
                self.database.supervise(job, plan, strategy);
            }
            Err(error) => {
                tracing::warn!(view = relation.name, %error, "a materialized view could not start");
                self.database.supervise_failed(job, plan, strategy, &error);
            }
        }
    }

    async fn recover_insert(&mut self, entry: &JobEntry) -> Result<(), SqlError> {
        let plan = match self.bound(&entry.statement).await? {
            BoundStatement::Insert { target, query } => JobPlan::of_insert(&target, query),
            BoundStatement::StatementSet(inserts) => JobPlan::of_set(inserts),
            _ => return Err(other_statement()),
        };
        let job = JobId(entry.id);
        for (_, output) in &plan.queries {
            let Output::Table(target) = output else { continue };
            let guarantee = open_sink(self.database.catalog(), target).map(|sink| sink.guarantee());
            if let Ok(Guarantee::None | Guarantee::AtLeastOnce) = guarantee {
                let table = &target.name;
                tracing::warn!(job = entry.id, table, "a job starts over: rows that it wrote before are written again");
            }
        }
        let strategy = self.settings.restart_strategy();
        match self.database.start_job_as(job, &plan).await {
            Ok(_) => self.database.supervise(job, plan, strategy),
            Err(error) => {
                tracing::warn!(job = entry.id, %error, "a job could not start");
                self.database.supervise_failed(job, plan, strategy, &error);
            }
        }
        Ok(())
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
