//! Statements with all names resolved: what the server carries out.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::logical_expr::LogicalPlan;
use millstream_engine::plan::{RelationId, WindowEmit};
use millstream_engine::ports::Boundedness;
use millstream_engine::rejects::OnError;

use crate::ast::{CopyEnd, CopyOptions, JobControl, NamePattern, ObjectKind, Show};
use crate::catalog::{CatalogSnapshot, Column, Relation, Semantics, SqlFunction};
use crate::namespace::Namespace;

/// What binding depends on besides the text.
#[derive(Debug, Clone)]
pub struct BindContext {
    /// What exists.
    pub catalog: Arc<CatalogSnapshot>,
    /// `sql.semantics`
    pub semantics: Semantics,
    /// `table.local-time-zone` / `TimeZone`: an IANA name.
    pub time_zone: String,
    /// How queries are kept up to date.
    pub streaming: StreamingOptions,
    /// The types of `$1`, `$2`, …, where they are known beforehand.
    pub parameters: Vec<Option<DataType>>,
}

/// How a query is kept up to date, where it says nothing itself. Stored with views.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamingOptions {
    /// `table.exec.state.ttl`: state that is not touched for so many microseconds is dropped. `None`: never.
    pub state_ttl_us: Option<i64>,
    /// `table.exec.emit.*`: when the results of windows come out.
    pub emit: WindowEmit,
    /// `execution.on-error`: what is done with rows that cannot be computed.
    pub on_error: OnError,
    /// `execution.evaluation-timeout`: microseconds after which an evaluation that has not ended fails its job. `None`: never.
    pub evaluation_limit_us: Option<i64>,
    /// `table.exec.source.idle-timeout`: microseconds without a row after which a split no longer holds the watermark back,
    /// where its table says nothing. `None`: never.
    pub idle_timeout_us: Option<i64>,
    /// `sql.filter-above-state`: the last filter is not computed before the joins and aggregates that stand before it
    /// in the query.
    pub filter_above_state: bool,
}

/// A statement that changes rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// `DELETE`
    Delete,
    /// `TRUNCATE`: all rows are deleted.
    Truncate,
    /// `UPDATE`
    Update,
    /// `INSERT … ON CONFLICT DO UPDATE`
    Upsert,
    /// `INSERT … ON CONFLICT DO NOTHING`: of new rows with equal keys one is taken.
    InsertNew,
}

/// A statement to carry out.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "there is one for a statement, never many")]
pub enum BoundStatement {
    /// Adds a relation without a query (connector or internal table). Its id is the server's to give, and of a connector
    /// table, whether reading it ends.
    CreateTable {
        /// What is added.
        relation: Relation,
        /// It exists already and `IF NOT EXISTS` was said: answer with a notice.
        exists: bool,
    },
    /// Adds a table and fills it with the rows of a query.
    CreateTableAs {
        /// What is added.
        relation: Relation,
        /// As for tables.
        exists: bool,
        /// The rows, as an `INSERT` into the table has them.
        query: BoundQuery,
        /// The table whose place it takes, which goes before.
        replaced: Option<RelationId>,
    },
    /// Puts a relation in the place of an older form of it; the id is the same.
    Alter {
        /// The name of the older form.
        old: String,
        /// The new form.
        relation: Relation,
        /// The command tag to answer.
        tag: &'static str,
    },
    /// Adds a view.
    CreateView {
        /// What is added.
        relation: Relation,
        /// As for tables.
        exists: bool,
        /// Replaces the view of that name.
        replace: bool,
    },
    /// Adds a materialised view and runs its query.
    CreateMaterializedView {
        /// What is added; key and time column are filled in from the lowered dataflow.
        relation: Relation,
        /// As for tables.
        exists: bool,
        /// The view whose place it takes, and whose id it has.
        replaced: Option<Arc<Relation>>,
        /// Its query.
        query: BoundQuery,
        /// The command tag.
        tag: &'static str,
    },
    /// Adds a SQL function.
    CreateFunction {
        /// What is added.
        function: SqlFunction,
        /// As for tables.
        exists: bool,
    },
    /// Removes relations, dependents first.
    Drop {
        /// In the order of removal: dependents first.
        relations: Vec<RelationId>,
        /// Functions by lower-case name.
        functions: Vec<String>,
        /// What kind was named, for the command tag.
        kind: ObjectKind,
        /// Notices for `IF EXISTS`.
        notices: Vec<String>,
    },
    /// Adds databases or catalogs, in place of those of the same names.
    CreateNamespaces {
        /// What is added.
        namespaces: Vec<Namespace>,
        /// As for tables.
        exists: bool,
        /// The command tag to answer.
        tag: &'static str,
    },
    /// Removes databases or catalogs with what is in them.
    DropNamespaces {
        /// By [`Namespace::name`].
        names: Vec<String>,
        /// What is in them and what depends on it, dependents first.
        relations: Vec<RelationId>,
        /// Functions that depend on it, by lower-case name.
        functions: Vec<String>,
        /// The command tag to answer.
        tag: &'static str,
        /// The notice for `IF EXISTS`.
        notice: Option<String>,
    },
    /// Writes the rows of a query to a table.
    Insert {
        /// The target.
        target: Arc<Relation>,
        /// The rows, in the order and the types of the target's stored (writable) columns.
        query: BoundQuery,
    },
    /// Writes the rows of several queries to connector tables, as one job.
    StatementSet(Vec<(Arc<Relation>, BoundQuery)>),
    /// Changes rows of an internal table that has a primary key.
    Change {
        /// The target.
        target: Arc<Relation>,
        /// The changed rows as they were: the stored columns; then, but for `DELETE`, as they become. Where nothing was
        /// there (`ON CONFLICT`) the first half is null.
        query: BoundQuery,
        /// Which statement it is.
        kind: ChangeKind,
    },
    /// Reads once, and writes the rows to the client or to a file.
    CopyTo {
        /// The rows.
        query: BoundQuery,
        /// Where they go.
        end: CopyEnd,
        /// How.
        options: CopyOptions,
    },
    /// Writes rows that the client sends, or that are in a file, to a table.
    CopyFrom {
        /// The target.
        target: Arc<Relation>,
        /// Its stored columns in order.
        stored: Vec<Column>,
        /// Those that are given, in the order in which they are given: indexes into `stored`.
        given: Vec<usize>,
        /// Where the rows come from.
        end: CopyEnd,
        /// Where the end stands in the text, from 1.
        position: usize,
        /// How they are written there.
        options: CopyOptions,
    },
    /// Reads once.
    Query(BoundQuery),
    /// Reads for ever.
    Subscribe(BoundQuery),
    /// Shows how a statement would run.
    Explain {
        /// `Query`, `Insert`, `CreateMaterializedView` or `Subscribe`.
        statement: Box<BoundStatement>,
        /// Upper-case words between `EXPLAIN` and the statement.
        options: Vec<String>,
    },
    /// Lists something.
    Show(Show),
    /// Tells the columns of a relation, or those with such names.
    Describe(Arc<Relation>, Option<NamePattern>),
    /// `SHOW CREATE`
    ShowCreate(Arc<Relation>),
    /// `SHOW PARTITIONS` of a table that has them; those whose path has all of these parts (`a=1`).
    ShowPartitions(Arc<Relation>, Vec<String>),
    /// Changes a setting of the session; `None`: to its default.
    Set {
        /// Which.
        name: String,
        /// To what.
        value: Option<String>,
    },
    /// Resets one setting or all.
    Reset(Option<String>),
    /// Stops or starts a job, or keeps its state.
    Job(JobControl<u64>),
    /// Waits until all that the sources had is visible.
    Flush,
    /// Nothing to do; the command tag to answer.
    Acknowledge(&'static str),
    /// For the system catalog of the server: `pg_catalog`, `information_schema`, `version()`.
    SystemCatalog,
}

/// A query with all names resolved.
///
/// Table scans in the plan carry a [`RelationSource`](crate::RelationSource); windows and watermarks
/// are extension nodes of this crate.
#[derive(Debug, Clone)]
pub struct BoundQuery {
    /// The plan.
    pub plan: LogicalPlan,
    /// Names and types of the result, in PostgreSQL's naming (`count`, `?column?`); may repeat a name.
    pub schema: SchemaRef,
    /// Whether reading it ends: the least bounded of its inputs.
    pub boundedness: Boundedness,
    /// The relations it reads, views included.
    pub depends_on: Vec<RelationId>,
    /// The SQL functions it calls, by lower-case name.
    pub functions: Vec<String>,
    /// How it is kept up to date.
    pub streaming: StreamingOptions,
}
