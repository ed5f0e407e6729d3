//! The statements of Millstream as parsed, before names are resolved.
//!
//! `sqlparser` parses expressions, types and queries; everything it cannot express stands here. Nothing outside this
//! crate sees `sqlparser`'s types.

mod alter;
mod copy;
mod effect;
mod job;
mod kept;
mod namespace;
mod parts;
mod show;

use arrow::datatypes::DataType;
use datafusion::sql::sqlparser::ast as sp;

pub use alter::{AlterAction, AlterTable, AlterView, ColumnPlace, Like, LikeFeature, LikeStrategy};
pub use copy::{Copy, CopyCompression, CopyEnd, CopyExisting, CopyFormat, CopyOptions, CopyWhat};
pub use effect::Effect;
pub use job::JobControl;
pub use kept::Kept;
pub use namespace::{Comment, CommentOn, NamespaceStatement, Touched};
pub(crate) use parts::Part;
pub use show::{Details, NamePattern, Show};

/// One statement of a script.
#[derive(Debug, Clone)]
pub struct ParsedStatement {
    /// What it says.
    pub ast: Statement,
    /// Its text, without the semicolon. Positions in errors count from its start.
    pub text: String,
    /// The types of `$1`, `$2`, … that the client says and the statement cannot tell.
    pub parameters: Vec<Option<DataType>>,
    /// Characters of the script before the text: added to a position, it counts from the start of the script.
    pub offset: usize,
}

/// A statement.
#[derive(Debug, Clone)]
pub enum Statement {
    /// `CREATE TABLE`
    CreateTable(CreateTable),
    /// `ALTER TABLE`
    AlterTable(AlterTable),
    /// `ALTER VIEW`
    AlterView(AlterView),
    /// `CREATE VIEW` and `CREATE MATERIALIZED VIEW`
    CreateView(CreateView),
    /// `CREATE FUNCTION f(x T, …) RETURNS T RETURN expr`
    CreateFunction(CreateFunction),
    /// `DROP TABLE|VIEW|MATERIALIZED VIEW|FUNCTION`
    Drop(Drop),
    /// `CREATE DATABASE`, `USE` and the like
    Namespace(NamespaceStatement),
    /// `COMMENT ON`
    Comment(Comment),
    /// `INSERT INTO t [(columns)] query`
    Insert(Insert),
    /// `EXECUTE STATEMENT SET BEGIN INSERT …; … END`
    StatementSet(Vec<Insert>),
    /// The beginning of a statement set, sent by itself: what follows up to `END` is part of it.
    OpenSet(Vec<Insert>),
    /// `UPDATE`, `DELETE`
    Change(Change),
    /// `COPY`
    Copy(Copy),
    /// `SELECT`, `VALUES`, `WITH`, `TABLE t`
    Query(Box<sp::Query>),
    /// `SUBSCRIBE [TO] view | (query)`
    Subscribe(SubscribeTo),
    /// `EXPLAIN`
    Explain {
        /// What is explained: a query, an `INSERT` or a `CREATE … VIEW`.
        statement: Box<Statement>,
        /// Words between `EXPLAIN` and the statement (`ANALYZE`, `CHANGELOG_MODE` …), upper case.
        options: Vec<String>,
    },
    /// `SHOW TABLES` and the like
    Show(Show),
    /// `DESCRIBE t`
    Describe(sp::ObjectName),
    /// `SET name = value`, `SET 'k' = 'v'`, `SET name TO value`
    Set {
        /// The setting, as written without quotes.
        name: String,
        /// Its value as text; `None` for `DEFAULT`.
        value: Option<String>,
    },
    /// `RESET name` or `RESET ALL` / `RESET`
    Reset(Option<String>),
    /// `CANCEL JOB`, `STOP JOB`, `START JOB`, `CREATE SAVEPOINT`, `DROP SAVEPOINT`
    Job(JobControl<String>),
    /// `FLUSH`
    Flush,
    /// `BEGIN`, `COMMIT`, `ROLLBACK` and the like, which do nothing
    Transaction(&'static str),
    /// Prepared statements and cursors
    Kept(Kept),
    /// `DISCARD ALL`, `UNLISTEN …`: the tag to answer
    Acknowledge(&'static str),
    /// Anything else that `sqlparser` understands: for the catalog queries of PostgreSQL's tools
    Other(Box<sp::Statement>),
}

/// `CREATE [TEMPORARY] TABLE [IF NOT EXISTS] name (…) [COMMENT …] [PARTITIONED BY (…)] WITH (…)`
#[derive(Debug, Clone)]
pub struct CreateTable {
    /// Its name.
    pub name: sp::ObjectName,
    /// Only for this session.
    pub temporary: bool,
    /// No error where it exists.
    pub if_not_exists: bool,
    /// Columns in declared order.
    pub columns: Vec<ColumnDef>,
    /// `WATERMARK FOR column AS expr`
    pub watermark: Option<Watermark>,
    /// `PRIMARY KEY (…) [NOT ENFORCED]`
    pub primary_key: Vec<sp::Ident>,
    /// `COMMENT 'text'`
    pub comment: Option<String>,
    /// `PARTITIONED BY (…)`
    pub partitioned_by: Vec<sp::Ident>,
    /// `WITH ('k' = 'v', …)`: key, value, and the character position of the key from 1. Empty: an internal table.
    pub options: Vec<(String, String, usize)>,
    /// `LIKE other (…)`
    pub like: Option<Like>,
    /// `AS query`: the rows are the query's, and so are the columns that are not declared.
    pub query: Option<Box<sp::Query>>,
    /// `(a, b) AS query`: the query's columns in another order.
    pub order: Vec<sp::Ident>,
    /// `CREATE OR REPLACE TABLE … AS`: in place of a table of that name.
    pub or_replace: bool,
}

/// `WATERMARK FOR column AS expr`
#[derive(Debug, Clone)]
pub struct Watermark {
    /// The event-time column.
    pub column: sp::Ident,
    /// The watermark that a row stands for.
    pub expr: sp::Expr,
}

/// A column of `CREATE TABLE`.
#[derive(Debug, Clone)]
pub struct ColumnDef {
    /// Its name.
    pub name: sp::Ident,
    /// What it is.
    pub kind: ColumnKind,
    /// `COMMENT 'text'`
    pub comment: Option<String>,
}

/// What a column of `CREATE TABLE` is.
#[derive(Debug, Clone)]
pub enum ColumnKind {
    /// Stored: type, and whether null is allowed.
    Physical {
        /// Its type.
        data_type: TypeName,
        /// `NOT NULL`
        not_null: bool,
    },
    /// `c AS expr`
    Computed(Box<sp::Expr>),
    /// `c T METADATA [FROM 'key'] [VIRTUAL]`
    Metadata {
        /// Its type.
        data_type: TypeName,
        /// The connector's key; the column's name where it is not given.
        key: Option<String>,
        /// Not written by `INSERT`.
        virtual_: bool,
    },
}

/// A type as written, resolved to Arrow by the parser: Flink's and PostgreSQL's names, `ROW<…>`, `ARRAY<…>`, `MAP<…>`.
#[derive(Debug, Clone, PartialEq)]
pub struct TypeName {
    /// The Arrow type it stands for.
    pub arrow: arrow::datatypes::DataType,
    /// As Flink prints it: `TIMESTAMP(3)`, `ROW<a INT>`.
    pub text: String,
}

/// `CREATE [OR REPLACE] [TEMPORARY] VIEW`, `CREATE [OR REPLACE] MATERIALIZED VIEW`
#[derive(Debug, Clone)]
pub struct CreateView {
    /// Its name.
    pub name: sp::ObjectName,
    /// Kept up to date and readable.
    pub materialized: bool,
    /// Only for this session.
    pub temporary: bool,
    /// Replaces a view of that name.
    pub or_replace: bool,
    /// No error where it exists.
    pub if_not_exists: bool,
    /// Column names in place of the query's.
    pub columns: Vec<sp::Ident>,
    /// `COMMENT`s on those columns, as many or none.
    pub column_comments: Vec<Option<String>>,
    /// `COMMENT 'text'`
    pub comment: Option<String>,
    /// The query.
    pub query: Box<sp::Query>,
    /// The text of the query, as written.
    pub query_text: String,
}

/// `CREATE [OR REPLACE] [TEMPORARY] FUNCTION [IF NOT EXISTS] f(x T, …) RETURNS T RETURN expr`
#[derive(Debug, Clone)]
pub struct CreateFunction {
    /// Its name.
    pub name: sp::ObjectName,
    /// Replaces a function of that name.
    pub or_replace: bool,
    /// No error where it exists.
    pub if_not_exists: bool,
    /// Names and types of the parameters.
    pub parameters: Vec<(sp::Ident, TypeName)>,
    /// Type of the result.
    pub returns: TypeName,
    /// What it computes.
    pub body: sp::Expr,
    /// The text of the body, as written.
    pub body_text: String,
}

/// What kind of object a statement names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    /// A table.
    Table,
    /// A view that is not materialised.
    View,
    /// A materialised view.
    MaterializedView,
    /// A function.
    Function,
}

/// `DROP kind [IF EXISTS] name, … [CASCADE|RESTRICT]`
#[derive(Debug, Clone)]
pub struct Drop {
    /// What is dropped.
    pub kind: ObjectKind,
    /// The names.
    pub names: Vec<sp::ObjectName>,
    /// No error where it does not exist.
    pub if_exists: bool,
    /// With all that depends on it.
    pub cascade: bool,
}

/// `INSERT INTO t [(columns)] query`
#[derive(Debug, Clone)]
pub struct Insert {
    /// The target.
    pub table: sp::ObjectName,
    /// Options of the target for this statement, `/*+ OPTIONS('key' = 'value') */`.
    pub options: Vec<(String, String)>,
    /// The target's columns that the query gives; all where empty.
    pub columns: Vec<sp::Ident>,
    /// `PARTITION (a = 1, …)`: columns that the query does not give, and their values.
    pub partition: Vec<(sp::Ident, String)>,
    /// The rows.
    pub query: Box<sp::Query>,
    /// What becomes of rows whose key is there.
    pub on_conflict: Option<OnConflict>,
}

/// `ON CONFLICT [(columns)] DO …`
#[derive(Debug, Clone, PartialEq)]
pub struct OnConflict {
    /// The key that is meant; the primary key where empty.
    pub columns: Vec<sp::Ident>,
    /// `DO UPDATE`; `None`: `DO NOTHING`.
    pub update: Option<Changes>,
}

/// `SET column = expression, … [WHERE condition]`
#[derive(Debug, Clone, PartialEq)]
pub struct Changes {
    /// The columns that change, and to what.
    pub assignments: Vec<(sp::Ident, sp::Expr)>,
    /// Of which rows.
    pub selection: Option<sp::Expr>,
}

/// `UPDATE table [AS alias] SET … [WHERE …]`, `DELETE FROM table [AS alias] [WHERE …]`
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The target.
    pub table: sp::ObjectName,
    /// Its name in the expressions.
    pub alias: Option<sp::Ident>,
    /// What changes of the rows; of `DELETE` without assignments.
    pub changes: Changes,
    /// `DELETE`
    pub delete: bool,
    /// `TRUNCATE TABLE`: a `DELETE` of all rows.
    pub truncate: bool,
}

/// What `SUBSCRIBE` reads.
#[derive(Debug, Clone)]
pub enum SubscribeTo {
    /// A view or internal table.
    Relation(sp::ObjectName),
    /// A query.
    Query(Box<sp::Query>),
}
