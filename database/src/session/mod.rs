//! Sessions: the one place that carries out statements, whoever sends them.
//!
//! [`Session::execute`] binds a statement against the catalog as it is and does what it says. The wire, the `sql`
//! command, demo, bench and tests all go through it. A future that is dropped undoes what it began (a job that was
//! started is cancelled), so that cancelling is dropping.

mod alter;
mod checkpoint_list;
mod copy;
mod copy_folder;
mod database;
mod ddl;
mod decision;
mod deploy;
mod details;
mod explain;
mod files;
mod freshness;
mod functions;
mod insert;
mod internal_table;
mod job;
mod job_control;
mod job_list;
mod kept;
mod located;
mod namespaces;
mod open_set;
mod outcome;
mod parameters;
mod query;
mod recovery;
mod refill;
mod rejected;
mod replace;
mod restart;
mod settings;
mod show;
mod statement_set;
mod streaming;
mod subscribe;
mod supervise;
mod unfinished;

use std::sync::Arc;
use std::time::Duration;

use datafusion::scalar::ScalarValue;
use futures::StreamExt;
use millstream_sql::ast::{Effect, ObjectKind, ParsedStatement, Statement};
use millstream_sql::bound::{BindContext, BoundStatement};
use millstream_sql::{NativeFunction, SqlError, SqlState};

use self::replace::Replacement;
use crate::catalog::Relations;
use crate::system::SystemCatalog;

pub use copy::{CopyIn, CopyOut};
pub(crate) use database::WeakDatabase;
pub use database::{Database, Extensions};
pub use decision::Decision;
pub(crate) use job::blocking;
pub use outcome::{Body, Notice, Outcome, Rows, Severity};
pub use parameters::Description;
pub(crate) use parameters::{fit as fit_parameter, types as parameter_types};
pub use settings::{RuntimeMode, SettingLine, Settings};
pub(crate) use show::{jobs_batch, moments, some_numbers, texts};
pub use subscribe::Changes;

/// How a statement was written, for those that are kept.
struct Wording<'a> {
    text: &'a str,
    /// Why the text does not say all, and what to do instead.
    lacks: Option<(&'static str, &'static str)>,
    /// The settings that were kept with the older form of the relation are kept on.
    settings_as_before: bool,
}

impl<'a> Wording<'a> {
    /// The text of a statement with these parameters.
    fn of(text: &'a str, parameters: &[ScalarValue]) -> Self {
        let lacks = (!parameters.is_empty()).then_some((
            "a statement that is kept over a restart cannot have parameters",
            "Write the values into its text.",
        ));
        Self { text, lacks, settings_as_before: false }
    }
}

/// One client's state: settings and temporary relations. Dropping it drops the temporary relations.
pub struct Session {
    database: Database,
    settings: Settings,
    temporary: Relations,
    files: files::FileTables,
    system: Option<SystemCatalog>,
    /// The statements of a statement set whose end is still to come.
    open_set: Option<open_set::OpenSet>,
    kept: kept::KeptStatements,
    decision: Decision,
    /// What the statement under way was bound in.
    binding: Option<Arc<BindContext>>,
}

impl Session {
    pub(crate) fn new(database: Database) -> Self {
        let settings = Settings::new(database.config(), database.engine().config().checkpoints.is_some());
        Self {
            database,
            settings,
            temporary: Relations::new(),
            files: Arc::default(),
            system: None,
            open_set: None,
            kept: kept::KeptStatements::default(),
            decision: Decision::default(),
            binding: None,
        }
    }

    /// What all sessions share.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The settings of this session.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The settings, to be changed by the start of a connection.
    pub fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// Carries out one statement. `parameters` are the values of `$1`, `$2`, …
    ///
    /// # Errors
    /// Whatever is wrong with the statement, with a position in its text where one is known; 57014 after
    /// `statement_timeout`.
    pub async fn execute(
        &mut self,
        statement: &ParsedStatement,
        parameters: &[ScalarValue],
    ) -> Result<Outcome, SqlError> {
        let outcome = match self.in_open_set(statement, parameters).await {
            Some(outcome) => outcome,
            None => self.execute_whole(statement, parameters).await,
        };
        self.located_outcome(statement, outcome).await
    }

    /// Carries out all statements of a script, one after the other, and returns the last outcome with all rows of the
    /// others read and dropped. For scripts whose statements have no rows of interest, and for tests.
    ///
    /// # Errors
    /// The first error; what came before stays.
    pub async fn execute_script(&mut self, script: &str) -> Result<Option<Outcome>, SqlError> {
        let mut last = None;
        for statement in millstream_sql::parse(script)? {
            if let Some(Outcome { body: Body::Rows(rows), .. }) = last.take() {
                Rows::collect(rows).await?;
            }
            last = Some(self.execute(&statement, &[]).await?);
        }
        Ok(last)
    }

    /// Adds a function of the program that holds the database, in place of one of the same name.
    ///
    /// # Errors
    /// Where the name is that of a function of SQL.
    pub async fn create_native_function(&mut self, function: NativeFunction) -> Result<(), SqlError> {
        self.database.add_native(function).await
    }

    /// What binding depends on, as it is now.
    fn bind_context(&self) -> BindContext {
        BindContext {
            catalog: Arc::new(self.snapshot()),
            semantics: self.settings.semantics(),
            time_zone: self.settings.time_zone().name().to_owned(),
            streaming: self.settings.streaming(),
            parameters: Vec::new(),
        }
    }

    async fn carry_out(
        &mut self,
        statement: &ParsedStatement,
        parameters: &[ScalarValue],
    ) -> Result<Outcome, SqlError> {
        match &statement.ast {
            Statement::Kept(kept) => return Box::pin(self.kept(kept)).await,
            Statement::Transaction("COMMIT" | "ROLLBACK") => self.end_cursors(),
            Statement::Acknowledge("DISCARD ALL") => self.forget_kept(),
            _ => {}
        }
        if statement.ast.effect() == Effect::Catalog {
            return self.change_catalog(statement, parameters).await;
        }
        let bound = self.bind(statement).await?;
        let wording = Wording::of(&statement.text, parameters);
        match parameters::fill(bound, parameters)? {
            BoundStatement::Query(query) => self.query(&query).await,
            BoundStatement::Subscribe(query) => self.subscribe(&query).await,
            BoundStatement::Insert { target, query } => self.insert(&target, &query, &wording).await,
            BoundStatement::StatementSet(inserts) => self.statement_set(inserts, &wording).await,
            BoundStatement::Change { target, query, kind } => self.change(&target, &query, kind).await,
            BoundStatement::CopyTo { query, end, options } => self.copy_to(&query, &end, options).await,
            BoundStatement::CopyFrom { target, stored, given, end, position, options } => {
                self.copy_in(copy::copy_in(target, stored, given, options), &end, position).await
            }
            BoundStatement::Explain { statement, options } => self.explain(&statement, &options).await,
            BoundStatement::Show(show) => self.show(&show),
            BoundStatement::Describe(relation, pattern) => show::describe(&relation, pattern.as_ref()),
            BoundStatement::ShowCreate(relation) => show::create(&relation),
            BoundStatement::ShowPartitions(relation, of) => show::partitions(&relation, &of).await,
            BoundStatement::Set { name, value } => self.set(&name, value.as_deref()),
            BoundStatement::Reset(name) => {
                self.settings.reset(name.as_deref())?;
                Ok(Outcome::done("RESET"))
            }
            BoundStatement::Job(control) => self.control_job(control).await,
            BoundStatement::Flush => {
                self.database.engine().flush().await?;
                Ok(Outcome::done("FLUSH"))
            }
            BoundStatement::Acknowledge(tag) => Ok(Outcome::done(tag)),
            BoundStatement::SystemCatalog => self.system_query(statement, parameters).await,
            BoundStatement::CreateTable { .. }
            | BoundStatement::CreateTableAs { .. }
            | BoundStatement::Alter { .. }
            | BoundStatement::CreateView { .. }
            | BoundStatement::CreateMaterializedView { .. }
            | BoundStatement::CreateFunction { .. }
            | BoundStatement::Drop { .. }
            | BoundStatement::CreateNamespaces { .. }
            | BoundStatement::DropNamespaces { .. } => Err(SqlError::new(
                SqlState::INTERNAL_ERROR,
                "a statement that changes the catalog came without its lock",
            )),
        }
    }

    /// Binds and carries out a statement while no other one changes the catalog.
    async fn change_catalog(
        &mut self,
        statement: &ParsedStatement,
        parameters: &[ScalarValue],
    ) -> Result<Outcome, SqlError> {
        let catalog = Arc::clone(self.database.catalog());
        let guard = catalog.lock().await;
        let bound = self.bind(statement).await?;
        let wording = Wording::of(&statement.text, parameters);
        match parameters::fill(bound, parameters)? {
            BoundStatement::CreateTable { relation, exists } => self.create_table(&guard, relation, exists, &wording),
            BoundStatement::CreateTableAs { relation, exists, query, replaced } => {
                if let Some(old) = replaced {
                    self.drop_objects(&guard, &[old], &[], ObjectKind::Table, Vec::new())?;
                }
                self.create_table_as(guard, relation, exists, &query).await
            }
            BoundStatement::Alter { old, relation, tag } => self.alter(&guard, &old, relation, tag),
            BoundStatement::Acknowledge(tag) => Ok(Outcome::done(tag)),
            BoundStatement::CreateView { relation, exists, replace } => {
                self.create_view(&guard, relation, exists, replace, &wording)
            }
            BoundStatement::CreateMaterializedView { relation, replaced: Some(old), query, tag, .. } => {
                // It takes the lock itself, for it goes on where the client goes away.
                drop(guard);
                self.replace_view(Replacement { old, relation, query, tag }).await
            }
            BoundStatement::CreateMaterializedView { relation, exists, query, .. } => {
                let (outcome, fills) = self.create_materialized_view(&guard, relation, exists, query, &wording).await?;
                // Others may change the catalog while the view fills.
                drop(guard);
                if let Some(job) = fills {
                    self.filled(job).await;
                }
                Ok(outcome)
            }
            BoundStatement::CreateFunction { function, exists } => {
                self.create_function(&guard, function, exists, &wording)
            }
            BoundStatement::Drop { relations, functions, kind, notices } => {
                self.drop_objects(&guard, &relations, &functions, kind, notices)
            }
            BoundStatement::CreateNamespaces { namespaces, exists, tag } => {
                self.create_namespaces(&guard, namespaces, exists, tag)
            }
            BoundStatement::DropNamespaces { names, relations, functions, tag, notice } => {
                self.drop_namespaces(&guard, names, (&relations, &functions), tag, notice)
            }
            other => Err(SqlError::new(SqlState::INTERNAL_ERROR, format!("{other:?} does not change the catalog"))),
        }
    }

    /// Changes a setting of the session.
    fn set(&mut self, name: &str, value: Option<&str>) -> Result<Outcome, SqlError> {
        // Flink's scripts set it for themselves; here jobs that read the same views share their checkpoints.
        if let Some((name, kept)) = self.settings.of_checkpoints(name) {
            let message = format!("{name} is set for the server, to \"{kept}\"; it stays so");
            return Ok(Outcome::done("SET").with_notice(Notice::info(message)));
        }
        if let Some(reason) = self.settings.without_meaning(name) {
            let message = format!("{name} is an option of Flink that has no effect here: {reason}");
            return Ok(Outcome::done("SET").with_notice(Notice::info(message)));
        }
        match value {
            Some(value) => self.settings.set(name, value).map(|_| ())?,
            None => self.settings.reset(Some(name))?,
        }
        Ok(Outcome::done("SET"))
    }

    async fn system_query(
        &mut self,
        statement: &ParsedStatement,
        parameters: &[ScalarValue],
    ) -> Result<Outcome, SqlError> {
        let rows = self.system().query(&statement.text, parameters).await?;
        Ok(Outcome::rows(rows))
    }

    /// The system catalog of this session, made at its first use.
    pub(crate) fn system(&mut self) -> &mut SystemCatalog {
        let (snapshot, database) = (self.snapshot(), &self.database);
        let system = self.system.get_or_insert_with(|| SystemCatalog::new(database));
        system.refresh(snapshot, &self.settings);
        system
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("temporary", &self.temporary.len()).finish_non_exhaustive()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let relations: Vec<_> = std::mem::take(&mut self.temporary).into_values().collect();
        // Those that were made last may read the others.
        for relation in relations.iter().rev() {
            ddl::forget(&self.database, relation);
        }
    }
}

fn timed_out(_limit: Duration) -> SqlError {
    SqlError::new(SqlState::QUERY_CANCELED, "canceling statement due to statement timeout")
}

/// Ends the rows with an error at the deadline.
fn limit_rows(rows: &mut Rows, deadline: tokio::time::Instant, limit: Duration) {
    let batches = std::mem::replace(&mut rows.batches, futures::stream::empty().boxed());
    let limited = futures::stream::unfold(Some(batches), move |batches| async move {
        let mut batches = batches?;
        match tokio::time::timeout_at(deadline, batches.next()).await {
            Ok(None) => None,
            Ok(Some(batch)) => Some((batch, Some(batches))),
            Err(_) => Some((Err(timed_out(limit)), None)),
        }
    });
    rows.batches = limited.boxed();
}
