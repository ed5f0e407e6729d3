//! The system catalog of a session: `pg_catalog`, `information_schema`, `version()` and the like.
//!
//! [`running`] tells of jobs, [`state`] of what they keep, [`asked`] is for functions that wait. `datafusion-pg-catalog`
//! brings the tables and rewrites the queries that PostgreSQL's tools send; the relations are ours. One DataFusion context
//! a session, made at its first use.

mod asked;
mod pg_catalog;
mod psql;
mod rejects;
mod relations;
mod running;
mod sleep;
mod state;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::StringArray;
use arrow::datatypes::DataType;
use datafusion::catalog::TableFunctionImpl;
use datafusion::common::ParamValues;
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::logical_expr::{ColumnarValue, LogicalPlan, Volatility, create_udf};
use datafusion::prelude::SessionContext;
use datafusion::scalar::ScalarValue;
use datafusion::sql::parser::Statement;
use datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_pg_catalog::pg_catalog::setup_pg_catalog;
use datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use futures::StreamExt;
use millstream_sql::catalog::CatalogSnapshot;
use millstream_sql::error::from_datafusion;
use millstream_sql::{SqlError, SqlState};

use crate::batch::{QueryThreads, ReadNotes};
use crate::session::{Database, Description, Rows, Settings};
use asked::AskedFunction;
use pg_catalog::PgCatalog;
pub(crate) use rejects::{RejectsConnector, relations as rejects_relations};
use relations::RelationsSchema;
use running::RunningSchema;

/// The database and its first schema.
const DATABASE: &str = "millstream";
const SCHEMA: &str = "public";

/// The function that lists topics: `millstream.kafka_topics('host:port' [, 'property=value;…'])`.
const TOPICS: &str = "kafka_topics";

/// What is wrong with other arguments.
const TOPICS_TAKES: &str =
    "millstream.kafka_topics takes brokers, as 'host:port,…', and then properties, as 'name=value;…', as texts";

/// What tools of PostgreSQL ask about the server.
pub(crate) struct SystemCatalog {
    context: SessionContext,
    parser: PostgresCompatibilityParser,
    relations: Arc<RelationsSchema>,
    /// The databases that are listed, but for the default one.
    databases: BTreeSet<String>,
    asked: [Arc<AskedFunction>; 2],
    threads: QueryThreads,
}

impl SystemCatalog {
    /// The catalog of a new session. Where its parts cannot be made, its queries tell so.
    pub(crate) fn new(database: &Database) -> Self {
        let context = database.batch().context("UTC", (DATABASE, SCHEMA));
        let relations = Arc::new(RelationsSchema::default());
        let of_state = database.clone();
        let state = AskedFunction::new(1..=3, state::TAKES, move |call| state::rows_of(&of_state, call));
        let topics = AskedFunction::new(1..=2, TOPICS_TAKES, |call| {
            let (servers, properties) = (call.first(), call.get(1));
            let text = |argument: Option<&String>| argument.map(String::as_str).unwrap_or_default().to_owned();
            Ok(millstream_connectors::kafka_topics(&text(servers), &text(properties))?)
        });
        let asked = [Arc::new(state), Arc::new(topics)];
        for (name, function) in [state::NAME, TOPICS].into_iter().zip(&asked) {
            context.register_udtf(name, Arc::clone(function) as Arc<dyn TableFunctionImpl>);
        }
        let (parser, databases) = (PostgresCompatibilityParser::new(), BTreeSet::new());
        let threads = database.batch().threads().clone();
        let system = Self { context, parser, relations, databases, asked, threads };
        if let Err(error) = system.set_up(database) {
            tracing::error!(%error, "could not set up the system catalog");
        }
        system
    }

    fn set_up(&self, database: &Database) -> Result<(), SqlError> {
        let catalog = self.context.catalog(DATABASE).ok_or_else(|| internal("the default catalog is missing"))?;
        let relations = Arc::clone(&self.relations);
        catalog.register_schema(SCHEMA, relations).map_err(from_datafusion)?;
        catalog.register_schema(running::NAME, Arc::new(RunningSchema::new(database))).map_err(from_datafusion)?;
        setup_pg_catalog(&self.context, DATABASE, EmptyContextProvider).map_err(|error| from_datafusion(*error))?;
        let inner = catalog.schema("pg_catalog").ok_or_else(|| internal("the system schema is missing"))?;
        let corrected = Arc::new(PgCatalog::new(inner, self.relations.shared()));
        catalog.register_schema("pg_catalog", corrected).map_err(from_datafusion)?;
        let version = format!("PostgreSQL {} (Millstream {})", crate::SERVER_VERSION, env!("CARGO_PKG_VERSION"));
        let version =
            move |_: &[ColumnarValue]| Ok(ColumnarValue::Array(Arc::new(StringArray::from(vec![version.clone()]))));
        self.context.register_udf(sleep::function());
        psql::functions().into_iter().for_each(|function| self.context.register_udf(function));
        self.context.register_udf(create_udf("version", vec![], DataType::Utf8, Volatility::Stable, Arc::new(version)));
        Ok(())
    }

    /// Takes over what exists now.
    pub(crate) fn refresh(&mut self, catalog: CatalogSnapshot, _settings: &Settings) {
        let schema = catalog.current_schema();
        self.context.register_udf(psql::constant("current_schema", vec![], ScalarValue::Utf8(schema)));
        let databases = catalog.namespaces.keys().filter(|name| !name.contains('.')).cloned().collect();
        self.relations.replace(catalog);
        let Some(schemas) = self.context.catalog(DATABASE).filter(|_| self.databases != databases) else { return };
        for gone in self.databases.difference(&databases) {
            // One that is not there is not listed either.
            let _ = schemas.deregister_schema(gone, true);
        }
        for made in databases.difference(&self.databases) {
            if let Err(error) = schemas.register_schema(made, Arc::new(self.relations.of(made))) {
                tracing::error!(%error, database = made, "could not list a database");
            }
        }
        self.databases = databases;
    }

    /// The rows of a query.
    ///
    /// # Errors
    /// Where it cannot be parsed, planned or computed.
    pub(crate) async fn query(&self, text: &str, parameters: &[ScalarValue]) -> Result<Rows, SqlError> {
        let mut plan = self.plan(text).await?;
        if !parameters.is_empty() {
            let kinds = crate::session::parameter_types(&plan)?;
            let values = kinds.iter().zip(parameters).map(|(kind, value)| crate::session::fit_parameter(value, kind));
            let values = values.map(|value| value.map(ScalarAndMetadata::from)).collect::<Result<Vec<_>, _>>()?;
            plan = plan.with_param_values(ParamValues::List(values)).map_err(from_datafusion)?;
        }
        sleep::wait(&plan).await?;
        let schema = Arc::clone(plan.schema().inner());
        let context = self.context.clone();
        let computed = async move {
            let frame = context.execute_logical_plan(plan).await.map_err(from_datafusion)?;
            let stream = frame.execute_stream().await.map_err(from_datafusion)?;
            Ok(stream.map(|batch| batch.map_err(from_datafusion)).boxed())
        };
        let batches = self.threads.stream(computed).await?;
        Ok(Rows { schema, batches, command: "SELECT", notes: ReadNotes::default() })
    }

    /// Parameters and columns of a query.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub(crate) async fn describe(&self, text: &str) -> Result<Description, SqlError> {
        let plan = self.plan(text).await?;
        let parameters = crate::session::parameter_types(&plan)?;
        Ok(Description { parameters, columns: Some(Arc::clone(plan.schema().inner())) })
    }

    async fn plan(&self, text: &str) -> Result<LogicalPlan, SqlError> {
        let parsed = self
            .parser
            .parse(&psql::plannable(text))
            .map_err(|error| SqlError::new(SqlState::SYNTAX_ERROR, error.to_string()))?;
        let Some(statement) = parsed.into_iter().next() else {
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, "an empty statement"));
        };
        self.asked.iter().for_each(|function| function.start());
        loop {
            let statement = Statement::Statement(Box::new(statement.clone()));
            let planned = self.context.state().statement_to_plan(statement).await;
            // A plan that needs what is outside is made again with it.
            let mut read = false;
            for function in self.asked.iter().filter(|_| planned.is_err()) {
                read |= function.read().await?;
            }
            if !read {
                return planned.map_err(from_datafusion);
            }
        }
    }
}

fn internal(message: &str) -> SqlError {
    SqlError::new(SqlState::INTERNAL_ERROR, message)
}
