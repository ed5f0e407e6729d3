//! What a statement gives back: rows, a command tag, notices.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use futures::StreamExt;
use futures::stream::BoxStream;
use millstream_sql::{SqlError, SqlState};

use super::copy::{CopyIn, CopyOut};
use crate::batch::ReadNotes;

/// What a statement gave.
#[derive(Debug)]
pub struct Outcome {
    /// What the user should know besides, in order.
    pub notices: Vec<Notice>,
    /// The answer itself.
    pub body: Body,
}

/// The answer to a statement.
#[derive(Debug)]
pub enum Body {
    /// Rows that end.
    Rows(Rows),
    /// Rows that come for as long as the client wants: columns `epoch`, `sign`, then those of the query. Each batch is
    /// to be handed on at once. Dropping it ends the subscription.
    Subscription(Rows),
    /// Bytes for the client of a `COPY … TO STDOUT`.
    CopyOut(CopyOut),
    /// A `COPY … FROM STDIN` waits for the bytes of the client.
    CopyIn(Box<CopyIn>),
    /// It is done; the tag says what (`CREATE TABLE`, `INSERT 0 3`).
    Done(String),
}

/// Batches of rows. Dropping them stops what makes them.
pub struct Rows {
    /// Names and types; every batch has this schema.
    pub schema: SchemaRef,
    /// The batches. After an error nothing comes.
    pub batches: BoxStream<'static, Result<RecordBatch, SqlError>>,
    /// The word of the command tag: `SELECT`, `SHOW`.
    pub command: &'static str,
    /// What was read so far, where the rows come from a query.
    pub notes: ReadNotes,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// A message besides the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// How important it is.
    pub severity: Severity,
    /// The code that programs look at.
    pub state: SqlState,
    /// The message: lower case, no full stop.
    pub message: String,
}

/// How important a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// For information.
    Notice,
    /// Something may be wrong.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Notice => "NOTICE",
            Self::Warning => "WARNING",
        })
    }
}

impl Notice {
    /// A notice for information.
    pub fn info(message: impl Into<String>) -> Self {
        Self { severity: Severity::Notice, state: SqlState("00000"), message: message.into() }
    }

    /// What is to be told when all rows of a query are out: rows that were skipped.
    pub fn after(notes: &ReadNotes) -> Option<Self> {
        let bad = notes.bad_rows();
        let plural = if bad == 1 { "row" } else { "rows" };
        (bad > 0).then(|| Self::warning(format!("{bad} {plural} could not be parsed and were skipped")))
    }

    /// A warning.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, state: SqlState("01000"), message: message.into() }
    }
}

impl Outcome {
    /// Done, with a tag and no notice.
    pub fn done(tag: impl Into<String>) -> Self {
        Self { notices: Vec::new(), body: Body::Done(tag.into()) }
    }

    /// Rows without a notice.
    pub fn rows(rows: Rows) -> Self {
        Self { notices: Vec::new(), body: Body::Rows(rows) }
    }

    /// With a notice more.
    #[must_use]
    pub fn with_notice(mut self, notice: Notice) -> Self {
        self.notices.push(notice);
        self
    }
}

impl Rows {
    /// Rows that are all there.
    pub fn from_batches(schema: SchemaRef, batches: Vec<RecordBatch>, command: &'static str) -> Self {
        Self {
            schema,
            batches: futures::stream::iter(batches.into_iter().map(Ok)).boxed(),
            command,
            notes: ReadNotes::default(),
        }
    }

    /// Rows of texts under these column names.
    ///
    /// # Errors
    /// Never, where each row has as many texts as there are names.
    pub fn from_texts<const N: usize>(
        names: [&str; N],
        rows: &[[Option<String>; N]],
        command: &'static str,
    ) -> Result<Self, SqlError> {
        let schema = text_schema(&names);
        let columns = (0..N).map(|column| {
            let texts = rows.iter().map(|row| row.get(column).cloned().flatten());
            Arc::new(texts.collect::<StringArray>()) as ArrayRef
        });
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns.collect())
            .map_err(|error| SqlError::new(SqlState::INTERNAL_ERROR, error.to_string()))?;
        Ok(Self::from_batches(schema, vec![batch], command))
    }

    /// All batches.
    ///
    /// # Errors
    /// The first error of the stream.
    pub async fn collect(mut self) -> Result<Vec<RecordBatch>, SqlError> {
        let mut batches = Vec::new();
        while let Some(batch) = self.batches.next().await {
            batches.push(batch?);
        }
        Ok(batches)
    }
}

/// Columns of text.
pub(super) fn text_schema(names: &[&str]) -> SchemaRef {
    let fields: Vec<Field> = names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
    Arc::new(Schema::new(fields))
}
