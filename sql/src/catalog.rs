//! The catalog as the SQL front end sees it: an immutable snapshot of what exists.
//!
//! The server owns the catalog and hands a [`CatalogSnapshot`] to every statement. Names keep the case they were
//! declared with; a look-up matches exactly first, else without regard to case where that is unique.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use millstream_engine::plan::RelationId;
use millstream_engine::ports::{Boundedness, ConnectorDescriptor, TableSpec};

use crate::ast::TypeName;
use crate::bound::StreamingOptions;
use crate::functions::NativeFunction;
use crate::namespace::{Namespace, SearchPath};
use crate::types::from_arrow;

/// What exists at one moment.
#[derive(Debug, Clone, Default)]
pub struct CatalogSnapshot {
    /// Tables and views by their declared names, with their database in front where that is not the default one (see
    /// [`crate::namespace`]). Temporary ones of the session shadow the others.
    pub relations: BTreeMap<String, Arc<Relation>>,
    /// SQL functions by lower-case name.
    pub functions: BTreeMap<String, Arc<SqlFunction>>,
    /// Functions of the program that holds the database, by lower-case name.
    pub natives: BTreeMap<String, Arc<NativeFunction>>,
    /// What no list shows: the files that the statement reads as tables, by [`FileScan::key`](crate::FileScan::key), and
    /// system tables, by their qualified names.
    pub files: BTreeMap<String, Arc<Relation>>,
    /// The connectors by name.
    pub connectors: BTreeMap<String, Arc<ConnectorDescriptor>>,
    /// Databases and catalogs that were made, by [`Namespace::name`].
    pub namespaces: BTreeMap<String, Namespace>,
    /// Where bare names are looked up.
    pub path: SearchPath,
}

/// Why a name does not lead to one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LookupError {
    /// No such name; the nearest one, where one is near.
    Missing(Option<String>),
    /// Several names differ from it only in case.
    Ambiguous(Vec<String>),
}

impl CatalogSnapshot {
    /// The relation of that name: exact, else the only one that differs in case alone.
    ///
    /// # Errors
    /// Where there is none, or more than one.
    pub fn relation(&self, name: &str) -> Result<&Arc<Relation>, LookupError> {
        if let Some(found) = self.relations.get(name) {
            return Ok(found);
        }
        let mut alike = self.relations.values().filter(|relation| relation.name.eq_ignore_ascii_case(name));
        match (alike.next(), alike.next()) {
            (Some(found), None) => Ok(found),
            (None, _) => {
                Err(LookupError::Missing(nearest(name, self.relations.keys().map(String::as_str)).map(str::to_owned)))
            }
            (Some(_), Some(_)) => Err(LookupError::Ambiguous(
                self.relations.keys().filter(|key| key.eq_ignore_ascii_case(name)).cloned().collect(),
            )),
        }
    }
}

/// The candidate nearest to `name`, where one is near enough to be meant.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_ascii_lowercase();
    candidates
        .map(|candidate| (strsim::jaro_winkler(&lower, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}

/// A table or view.
#[derive(Debug, Clone)]
pub struct Relation {
    /// Unique for ever.
    pub id: RelationId,
    /// As declared, with its database in front where that is not the default one.
    pub name: String,
    /// Only for one session.
    pub temporary: bool,
    /// All columns in declared order: physical, computed and metadata.
    pub columns: Vec<Column>,
    /// What it is.
    pub kind: RelationKind,
    /// `CREATE …` that makes it again.
    pub definition: String,
    /// `COMMENT`
    pub comment: Option<String>,
    /// Relations it reads, by id.
    pub depends_on: Vec<RelationId>,
    /// SQL functions it calls, by lower-case name.
    pub functions: Vec<String>,
}

impl Relation {
    /// A connector table that nobody declared, of files or of the server itself: it has the columns of its schema.
    pub fn undeclared(id: RelationId, table: ConnectorTable) -> Self {
        let columns = table.spec.schema.fields().iter().map(|field| Column {
            name: field.name().clone(),
            data_type: from_arrow(field.data_type().clone()),
            nullable: field.is_nullable(),
            origin: ColumnOrigin::Physical,
            comment: None,
        });
        Self {
            id,
            name: table.spec.name.clone(),
            temporary: true,
            columns: columns.collect(),
            kind: RelationKind::ConnectorTable(table),
            definition: String::new(),
            comment: None,
            depends_on: Vec::new(),
            functions: Vec::new(),
        }
    }
}

/// A column of a relation.
#[derive(Debug, Clone)]
pub struct Column {
    /// As declared.
    pub name: String,
    /// Its type.
    pub data_type: TypeName,
    /// Whether null can occur.
    pub nullable: bool,
    /// Where its value comes from.
    pub origin: ColumnOrigin,
    /// `COMMENT`
    pub comment: Option<String>,
}

/// Where the value of a column comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnOrigin {
    /// Stored.
    Physical,
    /// Computed by this expression, as text.
    Computed(String),
    /// Metadata of the connector under this key; whether it is virtual (not written).
    Metadata(String, bool),
}

/// What a relation is.
#[derive(Debug, Clone)]
pub enum RelationKind {
    /// A table of a connector.
    ConnectorTable(ConnectorTable),
    /// A table of our own, which `INSERT` fills.
    InternalTable(InternalTable),
    /// A query with a name.
    View {
        /// The query as written.
        query: String,
        /// The settings that its results depend on, as they were at creation.
        semantics: Semantics,
        /// Where its bare names are looked up.
        path: SearchPath,
    },
    /// A query kept up to date.
    MaterializedView {
        /// The query as written.
        query: String,
        /// The settings that its results depend on, as they were at creation.
        semantics: Semantics,
        /// How it is kept up to date, as it was set at creation.
        streaming: StreamingOptions,
        /// Columns that identify a row; `None`: the whole row, with multiplicity.
        stream_key: Option<Vec<usize>>,
        /// Whether rows are only ever added.
        append_only: bool,
        /// Index of its event-time column, where watermarks pass through it.
        time_column: Option<usize>,
    },
}

/// A table of a connector.
#[derive(Debug, Clone)]
pub struct ConnectorTable {
    /// The connector's name.
    pub connector: String,
    /// What the connector is told: physical and metadata columns, options, keys.
    pub spec: TableSpec,
    /// `WATERMARK FOR`: index of the column in [`Relation::columns`], and the expression as text.
    pub watermark: Option<(usize, String)>,
    /// Whether reading it ends.
    pub boundedness: Boundedness,
}

/// A table of our own.
#[derive(Debug, Clone)]
pub struct InternalTable {
    /// Its stored columns.
    pub schema: SchemaRef,
    /// Indexes of the primary key columns in `schema`.
    pub primary_key: Vec<usize>,
    /// `WATERMARK FOR`: index of the column in [`Relation::columns`], and the expression as text.
    pub watermark: Option<(usize, String)>,
}

impl InternalTable {
    /// Whether its rows can be changed and deleted: it has a primary key, and no watermark that promises new rows only.
    pub fn is_updatable(&self) -> bool {
        !self.primary_key.is_empty() && self.watermark.is_none()
    }

    /// Indexes in `schema` of the columns that no two rows agree in: the primary key; of a table with a watermark, whose rows
    /// are versions, the key and the event time. Empty without a primary key. `columns`: those of the relation.
    pub fn unique_columns(&self, columns: &[Column]) -> Vec<usize> {
        let mut unique = self.primary_key.clone();
        if let Some((time, _)) = &self.watermark
            && !unique.is_empty()
        {
            unique.extend(columns.get(*time).and_then(|column| self.schema.index_of(&column.name).ok()));
        }
        unique
    }
}

/// Whose rules decide where Flink and PostgreSQL disagree on a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Semantics {
    /// PostgreSQL's.
    #[default]
    Postgres,
    /// Flink's.
    Flink,
}

/// `CREATE FUNCTION f(x T, …) RETURNS T RETURN expr`
#[derive(Debug, Clone)]
pub struct SqlFunction {
    /// As declared.
    pub name: String,
    /// Names and types.
    pub parameters: Vec<(String, TypeName)>,
    /// Type of the result.
    pub returns: TypeName,
    /// What it computes, as text.
    pub body: String,
}
