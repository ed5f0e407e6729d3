//! Prepared statements and cursors by their names in SQL's text: `PREPARE` and `EXECUTE`, `DECLARE` and `FETCH`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::scalar::ScalarValue;
use futures::StreamExt;
use futures::stream::BoxStream;
use millstream_sql::ast::{Kept, ParsedStatement};
use millstream_sql::error::from_datafusion;
use millstream_sql::{SqlError, SqlState};
use parking_lot::Mutex;

use super::{Body, Description, Outcome, Rows, Session, parameters};

/// What a session keeps under a name.
#[derive(Default)]
pub(super) struct KeptStatements {
    prepared: HashMap<String, Arc<ParsedStatement>>,
    cursors: HashMap<String, OpenCursor>,
}

/// A query whose rows are read in steps.
struct OpenCursor {
    schema: SchemaRef,
    /// The rows that are to come. Never locked: a session is handed from thread to thread.
    batches: Mutex<BoxStream<'static, Result<RecordBatch, SqlError>>>,
    /// Rows of the batch that was read last.
    rest: Option<RecordBatch>,
    /// It outlives its transaction block.
    hold: bool,
}

impl Session {
    /// Carries out a statement about what is kept.
    pub(super) async fn kept(&mut self, statement: &Kept) -> Result<Outcome, SqlError> {
        match statement {
            Kept::Prepare { name, statement } => {
                if self.kept.prepared.contains_key(name) {
                    let message = format!("prepared statement \"{name}\" already exists");
                    return Err(SqlError::new(SqlState("42P05"), message));
                }
                // What is wrong with it is told now.
                let described = self.describe(statement, &statement.parameters).await;
                described.map_err(|error| error.moved(statement.offset))?;
                self.kept.prepared.insert(name.clone(), Arc::new(statement.as_ref().clone()));
                Ok(Outcome::done("PREPARE"))
            }
            Kept::Execute { name, values } => self.execute_prepared(name, values.as_deref()).await,
            Kept::Deallocate(Some(name)) => {
                // One that the client has prepared by a message is not known here.
                self.kept.prepared.remove(name);
                Ok(Outcome::done("DEALLOCATE"))
            }
            Kept::Deallocate(None) => {
                self.kept.prepared.clear();
                Ok(Outcome::done("DEALLOCATE ALL"))
            }
            Kept::Declare { name, hold, query } => self.declare(name, *hold, query).await,
            Kept::Fetch { name, rows, moves } => self.fetch(name, *rows, *moves).await,
            Kept::Close(Some(name)) => match self.kept.cursors.remove(name) {
                Some(_) => Ok(Outcome::done("CLOSE CURSOR")),
                None => Err(no_cursor(name)),
            },
            Kept::Close(None) => {
                self.kept.cursors.clear();
                Ok(Outcome::done("CLOSE CURSOR ALL"))
            }
        }
    }

    /// Tells the columns of such a statement; it has no parameters.
    pub(super) async fn describe_kept(&mut self, statement: &Kept) -> Result<Description, SqlError> {
        let columns = match statement {
            Kept::Execute { name, .. } => {
                let prepared = self.prepared(name)?;
                self.describe(&prepared, &prepared.parameters).await.map_err(without_place)?.columns
            }
            Kept::Fetch { name, moves: false, .. } => {
                let cursor = self.kept.cursors.get(name).ok_or_else(|| no_cursor(name))?;
                Some(Arc::clone(&cursor.schema))
            }
            _ => None,
        };
        Ok(Description { parameters: Vec::new(), columns })
    }

    /// Ends the cursors of a transaction block.
    pub(super) fn end_cursors(&mut self) {
        self.kept.cursors.retain(|_, cursor| cursor.hold);
    }

    /// Forgets all.
    pub(super) fn forget_kept(&mut self) {
        self.kept = KeptStatements::default();
    }

    fn prepared(&self, name: &str) -> Result<Arc<ParsedStatement>, SqlError> {
        self.kept
            .prepared
            .get(name)
            .cloned()
            .ok_or_else(|| SqlError::new(SqlState("26000"), format!("prepared statement \"{name}\" does not exist")))
    }

    async fn execute_prepared(&mut self, name: &str, values: Option<&ParsedStatement>) -> Result<Outcome, SqlError> {
        let prepared = self.prepared(name)?;
        let wanted = self.describe(&prepared, &prepared.parameters).await.map_err(without_place)?.parameters;
        let given = match values {
            Some(values) => self.one_row(values).await.map_err(without_place)?,
            None => Vec::new(),
        };
        if given.len() != wanted.len() {
            let message = format!("wrong number of parameters for prepared statement \"{name}\"");
            let detail = format!("expected {} parameters but got {}", wanted.len(), given.len());
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).with_detail(detail));
        }
        let values = given.iter().zip(&wanted).map(|(value, kind)| parameters::fit(value, kind));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        Box::pin(self.carry_out(&prepared, &values)).await.map_err(without_place)
    }

    /// The values of a query of one row.
    async fn one_row(&mut self, query: &ParsedStatement) -> Result<Vec<ScalarValue>, SqlError> {
        let Body::Rows(rows) = Box::pin(self.carry_out(query, &[])).await?.body else { return Ok(Vec::new()) };
        let batches = rows.collect().await?;
        let Some(row) = batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(Vec::new()) };
        let values = row.columns().iter().map(|column| ScalarValue::try_from_array(column, 0));
        values.collect::<Result<_, _>>().map_err(from_datafusion)
    }

    async fn declare(&mut self, name: &str, hold: bool, query: &ParsedStatement) -> Result<Outcome, SqlError> {
        if self.kept.cursors.contains_key(name) {
            let message = format!("cursor \"{name}\" already exists");
            return Err(SqlError::new(SqlState("42P03"), message));
        }
        let outcome = Box::pin(self.carry_out(query, &[])).await.map_err(|error| error.moved(query.offset))?;
        let Body::Rows(rows) = outcome.body else {
            return Err(SqlError::unsupported("a cursor is of a query"));
        };
        self.kept.cursors.insert(
            name.to_owned(),
            OpenCursor { schema: rows.schema, batches: Mutex::new(rows.batches.fuse().boxed()), rest: None, hold },
        );
        Ok(Outcome { notices: outcome.notices, ..Outcome::done("DECLARE CURSOR") })
    }

    async fn fetch(&mut self, name: &str, wanted: Option<usize>, moves: bool) -> Result<Outcome, SqlError> {
        let cursor = self.kept.cursors.get_mut(name).ok_or_else(|| no_cursor(name))?;
        let batches = cursor.read(wanted.unwrap_or(usize::MAX)).await?;
        if moves {
            let passed: usize = batches.iter().map(RecordBatch::num_rows).sum();
            return Ok(Outcome::done(format!("MOVE {passed}")));
        }
        Ok(Outcome::rows(Rows::from_batches(Arc::clone(&cursor.schema), batches, "FETCH")))
    }
}

impl OpenCursor {
    /// The next rows, fewer at the end.
    async fn read(&mut self, mut wanted: usize) -> Result<Vec<RecordBatch>, SqlError> {
        let mut read = Vec::new();
        while wanted > 0 {
            let batch = match self.rest.take() {
                Some(batch) => batch,
                None => match self.batches.get_mut().next().await {
                    Some(batch) => batch?,
                    None => break,
                },
            };
            let taken = wanted.min(batch.num_rows());
            if taken < batch.num_rows() {
                self.rest = Some(batch.slice(taken, batch.num_rows() - taken));
            }
            read.push(batch.slice(0, taken));
            wanted -= taken;
        }
        Ok(read)
    }
}

fn no_cursor(name: &str) -> SqlError {
    SqlError::new(SqlState("34000"), format!("cursor \"{name}\" does not exist"))
}

/// The error of a text that the client has not sent now.
fn without_place(error: SqlError) -> SqlError {
    let parts = error.parts().clone();
    let mut error = SqlError::new(parts.state, parts.message);
    if let Some(detail) = parts.detail {
        error = error.with_detail(detail);
    }
    match parts.hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}
