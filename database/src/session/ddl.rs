//! Statements that change the catalog. Their callers hold the lock of the catalog.

use std::sync::Arc;
use std::time::Duration;

use millstream_engine::plan::{ChangelogMode, Dataflow, OperatorSpec, RelationId};
use millstream_engine::ports::Boundedness;
use millstream_engine::runtime::{JobId, JobState};
use millstream_sql::ast::ObjectKind;
use millstream_sql::bound::BoundQuery;
use millstream_sql::catalog::{ConnectorTable, Relation, RelationKind, SqlFunction};
use millstream_sql::{SqlError, SqlState};

use super::deploy::TablePlan;
use super::job::JobPlan;
use super::{Database, Notice, Outcome, Session, Wording};
use crate::catalog::{DdlGuard, JobKind, JobRecord};
use crate::durable::format_catalog::{CatalogRecord, FunctionEntry, RelationEntry, StoredSettings};

/// How long `CREATE MATERIALIZED VIEW` waits for a view over input that ends to be full.
const FILLED_WITHIN: Duration = Duration::from_secs(10);

impl Session {
    pub(super) fn create_table(
        &mut self,
        guard: &DdlGuard<'_>,
        mut relation: Relation,
        exists: bool,
        wording: &Wording<'_>,
    ) -> Result<Outcome, SqlError> {
        if exists {
            return Ok(Outcome::done("CREATE TABLE").with_notice(skipping(&relation.name)));
        }
        relation.id = self.database.catalog().next_id();
        let mut undo = Undo { database: self.database.clone(), relation: None };
        match &mut relation.kind {
            RelationKind::ConnectorTable(table) => self.check_connector_table(table)?,
            RelationKind::InternalTable(table) => {
                let (name, schema, temporary) = (relation.name.clone(), Arc::clone(&table.schema), relation.temporary);
                let plan = TablePlan { relation: relation.id, name, schema, temporary };
                self.database.start_table(plan)?;
                undo.relation = Some(relation.id);
            }
            RelationKind::View { .. } | RelationKind::MaterializedView { .. } => (),
        }
        self.put(guard, relation, wording, None)?;
        undo.forget();
        Ok(Outcome::done("CREATE TABLE"))
    }

    /// What only the connector can tell of a table: whether it can work, and whether reading it ends.
    pub(super) fn check_connector_table(&self, table: &mut ConnectorTable) -> Result<(), SqlError> {
        let Some(connector) = self.database.catalog().connector(&table.connector) else {
            let message = format!("connector \"{}\" does not exist", table.connector);
            return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message));
        };
        connector.validate(&table.spec)?;
        table.boundedness = connector.boundedness(&table.spec);
        Ok(())
    }

    pub(super) fn create_view(
        &mut self,
        guard: &DdlGuard<'_>,
        mut relation: Relation,
        exists: bool,
        replace: bool,
        wording: &Wording<'_>,
    ) -> Result<Outcome, SqlError> {
        if exists && !replace {
            return Ok(Outcome::done("CREATE VIEW").with_notice(skipping(&relation.name)));
        }
        // A view that is replaced keeps its id, so that what depends on it still does.
        let snapshot = self.database.catalog().snapshot(&self.temporary);
        relation.id = match snapshot.relation(&relation.name) {
            Ok(old) if replace => old.id,
            _ => self.database.catalog().next_id(),
        };
        self.put(guard, relation, wording, None)?;
        Ok(Outcome::done("CREATE VIEW"))
    }

    pub(super) async fn create_materialized_view(
        &mut self,
        guard: &DdlGuard<'_>,
        mut relation: Relation,
        exists: bool,
        query: BoundQuery,
        wording: &Wording<'_>,
    ) -> Result<(Outcome, Option<JobId>), SqlError> {
        const TAG: &str = "CREATE MATERIALIZED VIEW";
        if exists {
            return Ok((Outcome::done(TAG).with_notice(skipping(&relation.name)), None));
        }
        relation.id = self.database.catalog().next_id();
        let ends = query.boundedness == Boundedness::Bounded;
        let mut plan = JobPlan::of_view(&relation, query);
        plan.lasting = plan.lasting && !self.touches_temporary(&plan.record);
        let (job, dataflow) = self.database.start_job(plan.clone()).await?;
        // From here on a failure must also take back the empty relation that the job made.
        let undo = Undo { database: self.database.clone(), relation: Some(relation.id) };
        if let Err(error) = self.database.engine().published(job.id()).await {
            job.check()?;
            return Err(error.into());
        }
        fill_view_properties(&mut relation.kind, &dataflow);
        self.put(guard, relation, wording, Some(job.id()))?;
        undo.forget();
        let job = job.keep();
        self.database.supervise(job, plan, self.settings.restart_strategy());
        Ok((Outcome::done(TAG), ends.then_some(job)))
    }

    /// Waits until a view whose input ends is full, but not for long: it fills on by itself.
    pub(super) async fn filled(&self, job: JobId) {
        // Who reads the view is told where its job has failed.
        let _ = tokio::time::timeout(FILLED_WITHIN, self.database.engine().finished(job)).await;
    }

    pub(super) fn create_function(
        &mut self,
        guard: &DdlGuard<'_>,
        function: SqlFunction,
        exists: bool,
        wording: &Wording<'_>,
    ) -> Result<Outcome, SqlError> {
        let outcome = Outcome::done("CREATE FUNCTION");
        if exists {
            let message = format!("function \"{}\" already exists, skipping", function.name);
            return Ok(outcome.with_notice(Notice { state: SqlState::DUPLICATE_FUNCTION, ..Notice::info(message) }));
        }
        let (statement, settings) = self.kept_text(wording)?;
        let entry = FunctionEntry { name: function.name.to_lowercase(), statement, settings };
        self.database.write(|| CatalogRecord::Function(entry))?;
        self.database.catalog().put_function(guard, Arc::new(function));
        Ok(outcome)
    }

    pub(super) fn drop_objects(
        &mut self,
        guard: &DdlGuard<'_>,
        relations: &[RelationId],
        functions: &[String],
        kind: ObjectKind,
        notices: Vec<String>,
    ) -> Result<Outcome, SqlError> {
        let snapshot = self.database.catalog().snapshot(&self.temporary);
        let found = |id: &RelationId| snapshot.relations.values().find(|relation| relation.id == *id).cloned();
        let doomed: Vec<Arc<Relation>> = relations.iter().filter_map(found).collect();
        for relation in &doomed {
            self.check_no_insert(relation)?;
        }
        let kept =
            doomed.iter().filter(|relation| !relation.temporary).map(|relation| relation.id.0).collect::<Vec<_>>();
        if !kept.is_empty() || !functions.is_empty() {
            self.end_inserts(&doomed)?;
            self.database.write(|| CatalogRecord::Dropped { relations: kept, functions: functions.to_vec() })?;
        }
        for relation in &doomed {
            self.database.catalog().remove_relation(guard, relation.id);
            self.temporary.retain(|_, temporary| temporary.id != relation.id);
            forget(&self.database, relation);
        }
        for function in functions {
            self.database.catalog().remove_function(guard, function);
        }
        let tag = match kind {
            ObjectKind::Table => "DROP TABLE",
            ObjectKind::View => "DROP VIEW",
            ObjectKind::MaterializedView => "DROP MATERIALIZED VIEW",
            ObjectKind::Function => "DROP FUNCTION",
        };
        let mut outcome = Outcome::done(tag);
        outcome.notices = notices.into_iter().map(Notice::info).collect();
        Ok(outcome)
    }

    /// Ends for good the jobs of `INSERT`s that failed and read or wrote what is dropped.
    fn end_inserts(&self, doomed: &[Arc<Relation>]) -> Result<(), SqlError> {
        let jobs = doomed.iter().flat_map(|relation| self.database.jobs().touching(relation.id));
        for (job, _) in jobs.filter(|(_, kind)| *kind == JobKind::Insert) {
            self.database.write(|| CatalogRecord::JobEnded { job: job.0 })?;
        }
        Ok(())
    }

    /// Refuses to drop what a running `INSERT` reads or writes: nobody would see that it stopped.
    fn check_no_insert(&self, relation: &Relation) -> Result<(), SqlError> {
        for (job, kind) in self.database.jobs().touching(relation.id) {
            let running = self.database.engine().job(job).is_some_and(|status| status.state == JobState::Running);
            if kind == JobKind::Insert && running {
                let message = format!("cannot drop \"{}\" because other objects depend on it", relation.name);
                return Err(SqlError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
                    .with_detail(format!("job {job} reads or writes it"))
                    .with_hint(format!("Use CANCEL JOB {job} first.")));
            }
        }
        Ok(())
    }

    /// Adds a relation that everything has been made ready for, or puts it in the place of an older form: durably, where it is
    /// kept.
    pub(super) fn put(
        &mut self,
        guard: &DdlGuard<'_>,
        relation: Relation,
        wording: &Wording<'_>,
        job: Option<JobId>,
    ) -> Result<(), SqlError> {
        let relation = Arc::new(relation);
        if relation.temporary {
            self.temporary.insert(relation.name.clone(), relation);
            return Ok(());
        }
        let (_, mut settings) = self.kept_text(wording)?;
        if wording.settings_as_before {
            let kept = self.database.kept_catalog().relations;
            settings =
                kept.into_iter().find(|entry| entry.id == relation.id.0).map_or(settings, |entry| entry.settings);
        }
        let (id, statement, job) = (relation.id.0, relation.definition.clone(), job.map(|job| job.0));
        self.decision.make();
        self.database.write(|| {
            CatalogRecord::Relation(RelationEntry { id, statement, settings, job, stopped: false, failed: None })
        })?;
        self.database.catalog().put_relation(guard, relation);
        Ok(())
    }

    /// What is kept of a statement: its text and the settings that it depends on.
    pub(super) fn kept_text(&self, wording: &Wording<'_>) -> Result<(String, StoredSettings), SqlError> {
        if let Some((lacks, hint)) = wording.lacks.filter(|_| self.database.is_durable()) {
            return Err(SqlError::unsupported(lacks).with_hint(hint));
        }
        Ok((wording.text.to_owned(), self.settings.kept()))
    }

    /// Whether a job ends with this session because of what it reads or writes.
    pub(super) fn touches_temporary(&self, record: &JobRecord) -> bool {
        self.temporary.values().any(|relation| record.touches.contains(&relation.id))
    }
}

/// Stops what keeps and what follows a relation, and gives its rows back.
pub(super) fn forget(database: &Database, relation: &Relation) {
    for (job, _) in database.jobs().touching(relation.id) {
        // It may have ended: then there is nothing to cancel.
        let _ = database.engine().cancel(job);
        database.jobs().ended(job);
        database.forget_maker(job);
    }
    match &relation.kind {
        RelationKind::InternalTable(_) | RelationKind::MaterializedView { .. } => {
            if let Err(error) = database.engine().drop_relation(relation.id) {
                tracing::warn!(relation = %relation.name, %error, "could not drop the rows of a relation");
            }
            database.remove_gate(relation.id);
            let maker = database.makers().lock().maker_of(relation.id);
            if let Some(job) = maker {
                database.forget_maker(job);
            }
            if let Some(logs) = database.table_logs() {
                logs.forget(relation.id);
            }
        }
        RelationKind::ConnectorTable(_) | RelationKind::View { .. } => (),
    }
}

/// Takes back the relation of a view whose creation did not end well.
struct Undo {
    database: Database,
    relation: Option<RelationId>,
}

impl Undo {
    fn forget(mut self) {
        self.relation = None;
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if let Some(relation) = self.relation {
            // Where the job never made it, there is nothing to take back.
            let _ = self.database.engine().drop_relation(relation);
        }
    }
}

/// Key, event time and changelog mode of a view are those of the edge that ends in it.
pub(super) fn fill_view_properties(kind: &mut RelationKind, dataflow: &Dataflow) {
    let last = dataflow.nodes.iter().rev().find(|node| matches!(node.spec, OperatorSpec::Materialize(_)));
    if let (RelationKind::MaterializedView { stream_key, append_only, time_column, .. }, Some(node)) = (kind, last) {
        stream_key.clone_from(&node.edge.stream_key);
        *append_only = node.edge.changelog == ChangelogMode::Append;
        *time_column = node.edge.time_column;
    }
}

fn skipping(name: &str) -> Notice {
    let message = format!("relation \"{name}\" already exists, skipping");
    Notice { state: SqlState::DUPLICATE_TABLE, ..Notice::info(message) }
}
