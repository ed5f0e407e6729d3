//! [`TableResult`]: what a statement gave.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::pretty::pretty_format_batches;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use millstream_database::batch::fold_deltas;
use millstream_database::session::{Body, Changes, Notice, Outcome};
use millstream_engine::message::Delta;
use millstream_sql::{SqlError, SqlState};

use crate::Result;

/// What a statement gave: a stream of signed rows, or word that it is done. Dropping it ends what makes the rows.
pub struct TableResult {
    schema: SchemaRef,
    deltas: BoxStream<'static, Result<Delta>>,
    tag: Option<String>,
    notices: Vec<Notice>,
}

impl TableResult {
    pub(crate) fn of_changes(changes: Changes) -> Self {
        let Changes { schema, deltas, notices } = changes;
        Self { schema, deltas: deltas.map(|change| change.map(|(_, delta)| delta)).boxed(), tag: None, notices }
    }

    pub(crate) fn of_outcome(outcome: Outcome) -> Result<Self> {
        let notices = outcome.notices;
        let (schema, deltas, tag) = match outcome.body {
            Body::Rows(rows) => (rows.schema, rows.batches.map(|batch| batch.map(Delta::append)).boxed(), None),
            Body::Done(tag) => (Arc::new(Schema::empty()), futures::stream::empty().boxed(), Some(tag)),
            Body::Subscription(_) | Body::CopyOut(_) | Body::CopyIn(_) => {
                let message = "COPY to or from a client is not for programs that hold the database";
                return Err(SqlError::unsupported(message).with_hint("use a file, or a source or sink of the program"));
            }
        };
        Ok(Self { schema, deltas, tag, notices })
    }

    /// Word that there was nothing to do.
    pub(crate) fn nothing() -> Self {
        let (schema, deltas) = (Arc::new(Schema::empty()), futures::stream::empty().boxed());
        Self { schema, deltas, tag: Some(String::new()), notices: Vec::new() }
    }

    /// Names and types of the columns; none where the statement gives no rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// What was done (`CREATE TABLE`, `INSERT 0 3`), where the statement gives no rows.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// What the user should know besides.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// The next rows with their signs; `None` at the end.
    ///
    /// # Errors
    /// Where the query fails; then nothing comes.
    pub async fn next(&mut self) -> Result<Option<Delta>> {
        self.deltas.next().await.transpose()
    }

    /// Reads to the end and gives the rows that are left when all changes are made.
    ///
    /// # Errors
    /// Where the query fails.
    pub async fn collect(mut self) -> Result<Vec<RecordBatch>> {
        let (mut deltas, mut retracts) = (Vec::new(), false);
        while let Some(delta) = self.next().await? {
            retracts |= delta.sign != millstream_engine::message::Sign::AppendOnly;
            deltas.push(delta);
        }
        if retracts {
            return fold_deltas(&self.schema, &deltas);
        }
        Ok(deltas.into_iter().map(|delta| delta.batch).collect())
    }

    /// Reads to the end and writes the rows as a table, those of changes with `+I` or `-D` before them.
    ///
    /// # Errors
    /// Where the query fails, or the writing does.
    pub async fn print(mut self, out: &mut impl io::Write) -> Result<()> {
        let io = |error: io::Error| SqlError::new(SqlState::IO_ERROR, error.to_string());
        if let Some(tag) = &self.tag {
            return writeln!(out, "{tag}").map_err(io);
        }
        let mut batches = Vec::new();
        let schema = with_operation(&self.schema);
        while let Some(delta) = self.next().await? {
            batches.push(printed(&delta, &schema)?);
        }
        let text = pretty_format_batches(&batches).map_err(internal)?;
        writeln!(out, "{text}").map_err(io)
    }
}

impl Stream for TableResult {
    type Item = Result<Delta>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.deltas.poll_next_unpin(context)
    }
}

impl fmt::Debug for TableResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableResult").field("schema", &self.schema).field("tag", &self.tag).finish_non_exhaustive()
    }
}

fn with_operation(schema: &SchemaRef) -> SchemaRef {
    let mut fields = vec![Arc::new(Field::new("op", DataType::Utf8, false))];
    fields.extend(schema.fields().iter().cloned());
    Arc::new(Schema::new(fields))
}

/// The rows of a delta behind the kinds of their changes.
fn printed(delta: &Delta, schema: &SchemaRef) -> Result<RecordBatch> {
    let kinds = (0..delta.rows()).map(|row| if delta.is_retract(row) { "-D" } else { "+I" });
    let mut columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from_iter_values(kinds))];
    columns.extend(delta.batch.columns().iter().cloned());
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(internal)
}

fn internal(error: arrow::error::ArrowError) -> SqlError {
    SqlError::new(SqlState::INTERNAL_ERROR, error.to_string())
}
