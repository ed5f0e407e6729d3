//! [`TableEnvironment`]: a database in this process, and the tables in it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use millstream_database::config::Config;
use millstream_database::session::{Body, Database, Extensions, RuntimeMode, Session};
use millstream_engine::ports::{Connector, MemorySource};
use millstream_sql::ast::{ParsedStatement, Statement};
use millstream_sql::{NativeFunction, SqlError, SqlState};
use tokio::sync::Mutex;

use crate::Result;
use crate::descriptor::{TableDescriptor, TableKind};
use crate::embedded::EmbeddedConnector;
use crate::expression::{ToOperand, quoted};
use crate::pipeline::StatementSet;
use crate::plan::Plan;
use crate::query::{self, KnownColumns};
use crate::result::TableResult;
use crate::table::Table;

/// An engine, a catalog and one session in this process. Cheap to clone; the engine stops with the last clone, of tables
/// too. It works inside a runtime of `tokio`; statements run one after the other, their results and jobs beside each other.
#[derive(Clone)]
pub struct TableEnvironment(Arc<Inner>);

struct Inner {
    session: Mutex<Session>,
    embedded: Arc<EmbeddedConnector>,
}

/// How an environment is made: `TableEnvironment::builder().shards(2).build().await`.
#[derive(Debug)]
pub struct Builder {
    config: Config,
    durable: bool,
    extensions: Extensions,
}

impl Builder {
    /// Threads that run dataflows; without it, one for each core.
    #[must_use]
    pub fn shards(mut self, shards: usize) -> Self {
        self.config.shards = shards.max(1);
        self
    }

    /// Time between two epochs while rows flow, after each of which changes come out; without it, 100 ms.
    #[must_use]
    pub fn epoch_interval(mut self, interval: Duration) -> Self {
        self.config.epoch_interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
        self
    }

    /// Keeps tables, views, jobs and checkpoints in this directory; without it, nothing is kept.
    #[must_use]
    pub fn data_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.config.data_dir = directory.into();
        self.durable = true;
        self
    }

    /// With a connector of this program, for `WITH ('connector' = …)`.
    #[must_use]
    pub fn connector(mut self, connector: Arc<dyn Connector>) -> Self {
        self.extensions.connectors.push(connector);
        self
    }

    /// With a function of this program, which what is kept in the data directory may call.
    #[must_use]
    pub fn function(mut self, function: impl Into<NativeFunction>) -> Self {
        self.extensions.functions.push(function.into());
        self
    }

    /// Starts the engine.
    ///
    /// # Errors
    /// Where threads or the data directory cannot be had, or what is kept there cannot be read.
    pub async fn build(mut self) -> Result<TableEnvironment> {
        let embedded = Arc::new(EmbeddedConnector::new());
        self.extensions.connectors.push(Arc::clone(&embedded) as Arc<dyn Connector>);
        let database = Database::open_extended(self.config, self.extensions, self.durable).await?;
        Ok(TableEnvironment(Arc::new(Inner { session: Mutex::new(database.session()), embedded })))
    }
}

/// Making environments and tables.
impl TableEnvironment {
    /// An environment with settings of its own.
    pub fn builder() -> Builder {
        Builder { config: Config::standard(), durable: false, extensions: Extensions::default() }
    }

    /// An environment with the settings by default, in which nothing is kept.
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub async fn create() -> Result<Self> {
        Self::builder().build().await
    }

    /// A table or view of the catalog. A dot divides database and table.
    pub fn from(&self, path: &str) -> Table {
        Table::new(self.clone(), Plan::Relation(path.split('.').map(str::to_owned).collect()))
    }

    /// A query in SQL, to which verbs can be added.
    pub fn sql_query(&self, query: impl Into<String>) -> Table {
        Table::new(self.clone(), Plan::Sql(query.into()))
    }

    /// Rows of literals; the columns are `f0`, `f1`, …, until [`alias`](Table::alias) names them.
    pub fn from_values<R, V>(&self, rows: R) -> Table
    where
        R: IntoIterator<Item = V>,
        V: IntoIterator,
        V::Item: ToOperand,
    {
        let rows: Vec<Vec<_>> =
            rows.into_iter().map(|row| row.into_iter().map(ToOperand::to_operand).collect()).collect();
        let names = (0..rows.first().map_or(0, Vec::len)).map(|index| format!("f{index}")).collect();
        Table::new(self.clone(), Plan::Named { input: Arc::new(Plan::Values(rows)), names })
    }

    /// Batches of this program as a temporary table.
    ///
    /// # Errors
    /// Where a type of the schema has no name in SQL.
    pub async fn from_batches(&self, schema: SchemaRef, batches: Vec<RecordBatch>) -> Result<Table> {
        let name = format!("batches{}", self.0.embedded.next());
        let source = MemorySource::new(schema, vec![batches]);
        self.create_table(&name, &TableDescriptor::for_source(Arc::new(source))).await?;
        Ok(self.from(&name))
    }

    /// Inserts to be run as one job.
    pub fn create_statement_set(&self) -> StatementSet {
        StatementSet::new(self.clone())
    }
}

/// Statements.
impl TableEnvironment {
    /// Carries out SQL. Of several statements the last one's result is given; the others run to their ends.
    ///
    /// # Errors
    /// Whatever is wrong with a statement; what came before it stays.
    pub async fn execute_sql(&self, script: &str) -> Result<TableResult> {
        let mut last = TableResult::nothing();
        for statement in millstream_sql::parse(script)? {
            if last.tag().is_none() {
                last.collect().await?;
            }
            last = self.execute(&statement).await?;
        }
        Ok(last)
    }

    async fn execute(&self, statement: &ParsedStatement) -> Result<TableResult> {
        let mut session = self.0.session.lock().await;
        if matches!(statement.ast, Statement::Subscribe(_)) {
            return session.changes(statement).await.map(TableResult::of_changes);
        }
        TableResult::of_outcome(session.execute(statement, &[]).await?)
    }

    /// Logical plan and dataflow of a statement, as `EXPLAIN` shows them.
    ///
    /// # Errors
    /// Where it cannot be bound.
    pub async fn explain_sql(&self, statement: &str) -> Result<String> {
        let parsed = one(&format!("EXPLAIN {statement}"))?;
        let outcome = self.0.session.lock().await.execute(&parsed, &[]).await?;
        let Body::Rows(rows) = outcome.body else { return Ok(String::new()) };
        let mut text = String::new();
        for batch in rows.collect().await? {
            for line in arrow::array::cast::as_string_array(batch.column(0)).iter().flatten() {
                text.push_str(line);
                text.push('\n');
            }
        }
        Ok(text)
    }

    /// Makes a table.
    ///
    /// # Errors
    /// As `CREATE TABLE`.
    pub async fn create_table(&self, name: &str, table: &TableDescriptor) -> Result<()> {
        self.make_table(name, table, false).await
    }

    /// Makes a table that lives as long as the environment.
    ///
    /// # Errors
    /// As `CREATE TEMPORARY TABLE`.
    pub async fn create_temporary_table(&self, name: &str, table: &TableDescriptor) -> Result<()> {
        self.make_table(name, table, true).await
    }

    async fn make_table(&self, name: &str, table: &TableDescriptor, temporary: bool) -> Result<()> {
        let embedded = &self.0.embedded;
        let handle = match &table.kind {
            TableKind::Internal | TableKind::Connector(_) => None,
            TableKind::Source(source) => Some(embedded.put_source(Arc::clone(source))),
            TableKind::Sink(sink) => Some(embedded.put_sink(Arc::clone(sink))),
        };
        let text = table.to_sql(name, temporary || handle.is_some(), handle.as_deref());
        let made = self.execute_one(&text).await;
        if let (Err(_), Some(handle)) = (&made, &handle) {
            embedded.remove(handle);
        }
        made
    }

    /// Gives a table a name that lives as long as the environment.
    ///
    /// # Errors
    /// As `CREATE TEMPORARY VIEW`.
    pub async fn create_temporary_view(&self, name: &str, table: &Table) -> Result<()> {
        self.execute_one(&format!("CREATE TEMPORARY VIEW {} AS {}", quoted(name), table.to_sql().await?)).await
    }

    /// Keeps the rows of a table up to date under a name.
    ///
    /// # Errors
    /// As `CREATE MATERIALIZED VIEW`.
    pub async fn create_materialized_view(&self, name: &str, table: &Table) -> Result<()> {
        self.execute_one(&format!("CREATE MATERIALIZED VIEW {} AS {}", quoted(name), table.to_sql().await?)).await
    }

    /// Adds a function of this program, in place of one of the same name: a [`ScalarFunction`](crate::ScalarFunction) or an
    /// [`AggregateFunction`](crate::AggregateFunction).
    ///
    /// # Errors
    /// Where SQL has a function of that name.
    pub async fn create_function(&self, function: impl Into<NativeFunction>) -> Result<()> {
        self.0.session.lock().await.create_native_function(function.into()).await
    }

    async fn execute_one(&self, text: &str) -> Result<()> {
        self.execute(&one(text)?).await.map(drop)
    }
}

/// What tables ask.
impl TableEnvironment {
    /// The changes of a query; with the runtime mode `batch`, its rows.
    pub(crate) async fn follow(&self, query: &str) -> Result<TableResult> {
        let batch = self.0.session.lock().await.settings().mode() == RuntimeMode::Batch;
        let text = if batch { query.to_owned() } else { format!("SUBSCRIBE ({query})") };
        self.execute(&one(&text)?).await
    }

    /// The SQL of a table.
    pub(crate) async fn sql_of(&self, plan: &Plan) -> Result<String> {
        let mut columns = KnownColumns::default();
        while let Some(missing) = columns.missing(plan) {
            let schema = self.columns_of(&query::sql(missing, &columns)?).await?;
            columns.put(missing, schema.fields().iter().map(|field| field.name().clone()).collect());
        }
        query::sql(plan, &columns)
    }

    /// The columns of a query.
    pub(crate) async fn columns_of(&self, query: &str) -> Result<SchemaRef> {
        let described = self.0.session.lock().await.describe(&one(query)?, &[]).await?;
        let gone = || SqlError::new(SqlState::INTERNAL_ERROR, "a query without columns");
        described.columns.ok_or_else(gone)
    }
}

/// The only statement of a text.
fn one(text: &str) -> Result<ParsedStatement> {
    let mut statements = millstream_sql::parse(text)?;
    match (statements.pop(), statements.is_empty()) {
        (Some(statement), true) => Ok(statement),
        _ => Err(SqlError::new(SqlState::SYNTAX_ERROR, "one statement must stand here")),
    }
}

impl fmt::Debug for TableEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TableEnvironment")
    }
}
