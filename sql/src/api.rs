//! The crate's functions, in the order a statement meets them.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::logical_expr::LogicalPlan;
use millstream_engine::plan::{Dataflow, RelationId};
use millstream_engine::ports::{Lookup, LookupRequest, ScanRequest, Sink, Source};

use crate::ast::ParsedStatement;
use crate::bound::{BindContext, BoundQuery, BoundStatement};
use crate::catalog::Relation;
use crate::error::Result;
use crate::explain::ExplainOptions;

/// Cuts a script into statements and parses each.
///
/// # Errors
/// A syntax error with its position in `text`.
pub fn parse(text: &str) -> Result<Vec<ParsedStatement>> {
    crate::parse::script(text)
}

/// Resolves the names of a statement.
///
/// # Errors
/// Whatever is wrong with it, with a position where one is known.
pub fn bind(statement: &ParsedStatement, context: &BindContext) -> Result<BoundStatement> {
    crate::ddl::bind(statement, context)
}

/// Whether SQL has a function of that lower-case name itself.
pub fn function_exists(name: &str) -> bool {
    crate::functions::exists(name)
}

/// Checks that a text is one expression of SQL, and nothing besides.
///
/// # Errors
/// A syntax error with its position in `text`.
pub fn check_expression(text: &str) -> Result<()> {
    crate::parse::expression(text).map(drop)
}

/// Checks that a text is one query of SQL, and nothing besides.
///
/// # Errors
/// A syntax error with its position in `text`.
pub fn check_query(text: &str) -> Result<()> {
    crate::parse::query(text).map(drop)
}

/// Opens connector tables for [`lower`]. The server implements it.
pub trait Opener {
    /// The table, opened for reading.
    ///
    /// # Errors
    /// Where the connector refuses.
    fn source(&self, relation: &Relation, request: &ScanRequest) -> Result<Arc<dyn Source>>;

    /// The table, opened for lookups by key; `None` where it is better read as a whole.
    ///
    /// # Errors
    /// Where the connector refuses.
    fn lookup(&self, relation: &Relation, request: &LookupRequest) -> Result<Option<Arc<dyn Lookup>>>;

    /// The rows of a view or internal table as they are now, all its stored columns in this schema, for a query that ends. `None`: it is
    /// followed as it changes.
    ///
    /// # Errors
    /// Where it has no rows yet.
    fn rows_now(&self, _relation: &Relation, _schema: &SchemaRef) -> Result<Option<Arc<dyn Source>>> {
        Ok(None)
    }
}

/// Where the rows of a dataflow go.
#[derive(Debug, Clone)]
pub enum Target {
    /// Into a readable view.
    View(RelationId, String),
    /// Into a sink: table name, sink.
    Sink(String, Arc<dyn Sink>),
}

/// Turns a bound query into the dataflow that keeps its result up to date.
///
/// # Errors
/// Where the streaming runtime cannot do it (yet), with a hint; where the sink refuses retractions.
pub fn lower(query: &BoundQuery, target: Target, opener: &dyn Opener) -> Result<Dataflow> {
    lower_set(vec![(query, target)], opener)
}

/// Turns the queries of a statement set into one dataflow, in which each table is read once.
///
/// # Errors
/// As [`lower`].
pub fn lower_set(queries: Vec<(&BoundQuery, Target)>, opener: &dyn Opener) -> Result<Dataflow> {
    crate::lower::lower(queries, opener).map(crate::refine::refined)
}

/// Turns a bound query into a plan of standard DataFusion nodes over [`RelationSource`](crate::RelationSource) scans.
///
/// # Errors
/// Where a part has no batch form.
pub fn batch_plan(query: &BoundQuery) -> Result<LogicalPlan> {
    crate::batch::batch_plan(query)
}

/// The text of a plan with its intervals as SQL has them.
pub fn readable_plan(text: &str) -> String {
    crate::explain::readable(text)
}

/// The dataflow as JSON, in the form of Flink's `EXPLAIN JSON_EXECUTION_PLAN`.
pub fn explain_json(dataflow: &Dataflow, shards: usize) -> String {
    crate::explain::json(dataflow, shards)
}

/// What to heed of a dataflow, a line each, as `EXPLAIN PLAN_ADVICE` tells it.
pub fn explain_advice(dataflow: &Dataflow) -> String {
    crate::explain::advice(dataflow)
}

/// The dataflow as text: nodes, shards, partitioning, changelog modes, watermarks, state. `kinds`: with the kinds of row
/// changes on each edge in Flink's letters, as `EXPLAIN CHANGELOG_MODE` shows them.
pub fn explain_dataflow(dataflow: &Dataflow, options: ExplainOptions<'_>) -> String {
    crate::explain::dataflow(dataflow, options)
}
