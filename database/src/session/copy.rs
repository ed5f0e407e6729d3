//! `COPY`: rows of a query to the client or a file, and rows from there into a table.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::logical_expr::LogicalPlanBuilder;
use millstream_engine::ports::Boundedness;
use millstream_sql::ast::{CopyEnd, CopyFormat, CopyOptions};
use millstream_sql::bound::{BoundQuery, BoundStatement, StreamingOptions};
use millstream_sql::catalog::{Column, Relation, RelationKind, Semantics};
use millstream_sql::error::{from_arrow, from_datafusion};
use millstream_sql::types::flink_name;
use millstream_sql::{SqlError, SqlState};

use super::copy_folder;
use super::job::open_sink;
use super::{Body, Outcome, Rows, Session, Wording};
use crate::copy::{CopyEncoder, decode, read_file, typed, write_file};

/// Rows on their way to the client of a `COPY … TO STDOUT`.
#[derive(Debug)]
pub struct CopyOut {
    /// The rows.
    pub rows: Rows,
    /// Makes bytes of them.
    pub encoder: CopyEncoder,
}

/// A `COPY … FROM STDIN` that waits for the bytes; [`Session::copy_from`] takes them.
#[derive(Debug, Clone)]
pub struct CopyIn {
    target: Arc<Relation>,
    stored: Vec<Column>,
    given: Vec<usize>,
    options: CopyOptions,
}

impl CopyIn {
    /// How many values a row has.
    pub fn columns(&self) -> usize {
        self.given.len()
    }

    fn given(&self) -> Vec<&Column> {
        self.given.iter().filter_map(|index| self.stored.get(*index)).collect()
    }
}

impl Session {
    pub(super) async fn copy_to(
        &mut self,
        query: &BoundQuery,
        end: &CopyEnd,
        options: CopyOptions,
    ) -> Result<Outcome, SqlError> {
        if let CopyEnd::File(path) = end
            && copy_folder::is_folder(path, &options)
        {
            return copied(self.copy_to_folder(query, path, &options).await?);
        }
        let Outcome { notices, body } = self.query(query).await?;
        let Body::Rows(rows) = body else {
            return Err(SqlError::new(SqlState::INTERNAL_ERROR, "COPY of a query that gives no rows"));
        };
        let style = self.settings.style();
        match end {
            CopyEnd::Client => {
                let encoder = CopyEncoder::new(options, style);
                Ok(Outcome { notices, body: Body::CopyOut(CopyOut { rows, encoder }) })
            }
            CopyEnd::File(path) => {
                let count = write_file(path, &options, style, rows).await?;
                Ok(Outcome { notices, body: Body::Done(format!("COPY {count}")) })
            }
        }
    }

    /// Begins a `COPY … FROM`: carries it out where the rows are in a file.
    pub(super) async fn copy_in(&mut self, copy: CopyIn, end: &CopyEnd, position: usize) -> Result<Outcome, SqlError> {
        let CopyEnd::File(path) = end else {
            return Ok(Outcome { notices: Vec::new(), body: Body::CopyIn(Box::new(copy)) });
        };
        match copy.options.format {
            CopyFormat::Text | CopyFormat::Csv => {
                let path = path.clone();
                let bytes = tokio::task::spawn_blocking(move || read_file(&path)).await.map_err(lost)?;
                self.copy_from(&copy, bytes.map_err(|error| error.at(position))?).await
            }
            CopyFormat::Json => self.copy_table(&copy, "read_json", path, position).await,
            CopyFormat::Parquet => self.copy_table(&copy, "read_parquet", path, position).await,
        }
    }

    /// Copies a file whose columns have names: as `INSERT INTO t (…) SELECT … FROM read_…('file')`.
    async fn copy_table(
        &mut self,
        copy: &CopyIn,
        function: &str,
        path: &str,
        position: usize,
    ) -> Result<Outcome, SqlError> {
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let columns: Vec<String> = copy.given().iter().map(|column| quoted(&column.name)).collect();
        let json = function == "read_json";
        let values = copy.given().into_iter().zip(&columns).map(|(column, name)| match &column.data_type.arrow {
            to if json && self.needs_cast(to) => format!("CAST({name} AS {})", flink_name(to)),
            _ => name.clone(),
        });
        let (values, columns) = (values.collect::<Vec<_>>().join(", "), columns.join(", "));
        let text = format!(
            "INSERT INTO {} ({columns}) SELECT {values} FROM {function}('{}')",
            quoted(&copy.target.name),
            path.replace('\'', "''")
        );
        let place = |error: SqlError| error.at(position);
        let Some(statement) = millstream_sql::parse(&text).map_err(place)?.pop() else {
            return Err(SqlError::new(SqlState::INTERNAL_ERROR, "COPY made no statement"));
        };
        match self.bind(&statement).await.map_err(place)? {
            BoundStatement::Insert { target, query } => {
                copied(self.insert(&target, &query, &Wording::of(&text, &[])).await?)
            }
            other => Err(SqlError::new(SqlState::INTERNAL_ERROR, format!("COPY became {other:?}"))),
        }
    }

    /// Whether a value of JSON becomes one of this type by a cast alone: JSON has no times, and a column that is null everywhere
    /// is taken for text. Casts of Flink to whole numbers let digits go, so there they are left out.
    fn needs_cast(&self, to: &DataType) -> bool {
        let number = to.is_numeric() && self.settings.semantics() == Semantics::Postgres;
        number || to.is_temporal() || *to == DataType::Boolean
    }

    /// Takes the bytes of a `COPY … FROM STDIN`. All rows are added, or none.
    ///
    /// # Errors
    /// 22P04 where a row is not as it must be, with its line in the detail; those of an `INSERT`.
    pub async fn copy_from(&mut self, copy: &CopyIn, bytes: Vec<u8>) -> Result<Outcome, SqlError> {
        let reading = copy.clone();
        let read = tokio::task::spawn_blocking(move || read_rows(&reading, &bytes)).await.map_err(lost)??;
        let query = rows_query(read)?;
        let outcome = match &copy.target.kind {
            RelationKind::InternalTable(table) => self.insert_internal(&copy.target, table, &query).await?,
            RelationKind::ConnectorTable(_) => {
                let sink = open_sink(self.database.catalog(), &copy.target)?;
                self.insert_batch(&copy.target, sink, &query).await?
            }
            RelationKind::View { .. } | RelationKind::MaterializedView { .. } => {
                let message = format!("cannot copy to view \"{}\"", copy.target.name);
                return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message));
            }
        };
        copied(outcome)
    }
}

/// What begins a `COPY … FROM`, from its binding.
pub(super) fn copy_in(target: Arc<Relation>, stored: Vec<Column>, given: Vec<usize>, options: CopyOptions) -> CopyIn {
    CopyIn { target, stored, given, options }
}

/// The rows of some bytes, with all stored columns of the target.
fn read_rows(copy: &CopyIn, bytes: &[u8]) -> Result<RecordBatch, SqlError> {
    let given = copy.given();
    let names: Vec<&str> = given.iter().map(|column| column.name.as_str()).collect();
    let texts = decode(bytes, &copy.options, &names, &copy.target.name)?;
    let rows = typed(&texts, &given, &copy.target.name)?;
    let count = texts.lines.len();
    let column = |column: &Column| -> ArrayRef {
        let found = rows.column_by_name(&column.name);
        found.map_or_else(|| new_null_array(&column.data_type.arrow, count), Arc::clone)
    };
    let columns: Vec<ArrayRef> = copy.stored.iter().map(column).collect();
    let fields = copy.stored.iter().map(|column| Field::new(&column.name, column.data_type.arrow.clone(), true));
    RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns).map_err(from_arrow)
}

/// A query of rows that are there.
fn rows_query(rows: RecordBatch) -> Result<BoundQuery, SqlError> {
    let schema = rows.schema();
    let table = MemTable::try_new(Arc::clone(&schema), vec![vec![rows]]).map_err(from_datafusion)?;
    let plan = LogicalPlanBuilder::scan("copy", provider_as_source(Arc::new(table)), None)
        .and_then(LogicalPlanBuilder::build)
        .map_err(from_datafusion)?;
    let (depends_on, functions) = (Vec::new(), Vec::new());
    Ok(BoundQuery {
        plan,
        schema,
        boundedness: Boundedness::Bounded,
        depends_on,
        functions,
        streaming: StreamingOptions::default(),
    })
}

/// The outcome of an `INSERT` as that of a `COPY`.
fn copied(outcome: Outcome) -> Result<Outcome, SqlError> {
    let Outcome { notices, body } = outcome;
    let body = match body {
        Body::Done(tag) => Body::Done(format!("COPY {}", tag.rsplit(' ').next().unwrap_or("0"))),
        other => other,
    };
    Ok(Outcome { notices, body })
}

fn lost(error: tokio::task::JoinError) -> SqlError {
    SqlError::new(SqlState::INTERNAL_ERROR, format!("internal error: {error}"))
}
