//! `SUBSCRIBE`: the rows of a query now and every change after, epoch by epoch; as rows that carry their epoch and sign, and
//! as deltas for programs ([`Changes`]).

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use futures::StreamExt;
use futures::stream::BoxStream;
use millstream_engine::message::{Delta, Epoch};
use millstream_engine::runtime::{CollectSink, Collected};
use millstream_sql::ast::ParsedStatement;
use millstream_sql::bound::{BoundQuery, BoundStatement};
use millstream_sql::error::from_arrow;
use millstream_sql::{SqlError, SqlState};

use super::job::{JobGuard, JobPlan};
use super::{Body, Notice, Outcome, Rows, Session};
use crate::batch::{ReadNotes, conform};
use crate::catalog::JobKind;

/// Epochs that may wait for the client before the sources are held back.
const EPOCHS_AHEAD: usize = 4;

/// The columns of a subscription to a query with these columns: `epoch BIGINT`, `sign INT` (1 or −1), then those.
pub(super) fn schema(query: &SchemaRef) -> SchemaRef {
    let mut fields = vec![Field::new("epoch", DataType::Int64, false), Field::new("sign", DataType::Int32, false)];
    fields.extend(query.fields().iter().map(|field| field.as_ref().clone()));
    Arc::new(Schema::new(fields))
}

/// The changes of a query's result. Dropping it ends the job behind it.
pub struct Changes {
    /// Names and types of the rows.
    pub schema: SchemaRef,
    /// The rows as they come, each batch with its epoch. Ends where the input does; after an error nothing comes.
    pub deltas: BoxStream<'static, Result<(Epoch, Delta), SqlError>>,
    /// What the user should know besides.
    pub notices: Vec<Notice>,
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl Session {
    /// Carries out a `SUBSCRIBE` and gives what comes as deltas.
    ///
    /// # Errors
    /// As binding the statement; where its job cannot be started.
    pub async fn changes(&mut self, statement: &ParsedStatement) -> Result<Changes, SqlError> {
        match self.bind(statement).await? {
            BoundStatement::Subscribe(query) => self.follow(&query).await,
            _ => Err(SqlError::new(SqlState::SYNTAX_ERROR, "only SUBSCRIBE gives changes")),
        }
    }

    async fn follow(&self, query: &BoundQuery) -> Result<Changes, SqlError> {
        let notices = self.freshness(query)?;
        let (sink, receiver) = CollectSink::channel(EPOCHS_AHEAD);
        let plan = JobPlan::collected(JobKind::Subscribe, "subscribe", query, sink);
        let (job, dataflow) = self.database.start_job(plan).await?;
        // The sink's sender lives in the dataflow; the receiver ends when the engine has dropped it as well.
        drop(dataflow);
        let schema = Arc::clone(&query.schema);
        let state = Some((receiver, job, Arc::clone(&schema)));
        let deltas = futures::stream::unfold(state, |state| async move {
            let (mut receiver, job, schema) = state?;
            match receiver.recv().await {
                Some(collected) => {
                    let deltas = epoch_deltas(&collected, &schema);
                    Some((deltas, Some((receiver, job, schema))))
                }
                None => end(job).await.map(|error| (vec![Err(error)], None)),
            }
        });
        Ok(Changes { schema, deltas: deltas.flat_map(futures::stream::iter).boxed(), notices })
    }

    pub(super) async fn subscribe(&self, query: &BoundQuery) -> Result<Outcome, SqlError> {
        let Changes { deltas, notices, .. } = self.follow(query).await?;
        let schema = schema(&query.schema);
        let signed = Arc::clone(&schema);
        let batches = deltas.map(move |change| change.and_then(|(epoch, delta)| signed_rows(epoch, &delta, &signed)));
        let rows = Rows { schema, batches: batches.boxed(), command: "SUBSCRIBE", notes: ReadNotes::default() };
        Ok(Outcome { notices, body: Body::Subscription(rows) })
    }
}

/// Why a subscription ended, where it did not end well.
async fn end(job: JobGuard) -> Option<SqlError> {
    job.finished().await.err()
}

fn epoch_deltas(collected: &Collected, schema: &SchemaRef) -> Vec<Result<(Epoch, Delta), SqlError>> {
    let conformed = |delta: &Delta| Ok((collected.epoch, delta.with_batch(conform(&delta.batch, schema)?)));
    collected.deltas.iter().map(conformed).collect()
}

/// The rows of a delta behind their epoch and sign.
fn signed_rows(epoch: Epoch, delta: &Delta, schema: &SchemaRef) -> Result<RecordBatch, SqlError> {
    let rows = delta.rows();
    let epoch = i64::try_from(epoch.0).unwrap_or(i64::MAX);
    let signs = (0..rows).map(|row| if delta.is_retract(row) { -1 } else { 1 });
    let mut columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from_value(epoch, rows)), Arc::new(Int32Array::from_iter_values(signs))];
    columns.extend(delta.batch.columns().iter().cloned());
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(from_arrow)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed assertion of a test.

    use std::sync::Arc;

    use arrow::array::{RecordBatch, StringArray};
    use arrow::buffer::BooleanBuffer;
    use arrow::datatypes::{DataType, Field, Schema};
    use millstream_engine::message::{Delta, Epoch};

    use super::{schema, signed_rows};
    use crate::encode::{TextStyle, write_json_row};

    #[test]
    fn rows_carry_epoch_and_sign() {
        let query = Arc::new(Schema::new(vec![Field::new("a", DataType::Utf8, true)]));
        let batch =
            RecordBatch::try_new(Arc::clone(&query), vec![Arc::new(StringArray::from(vec!["x", "y"]))]).unwrap();
        let delta = Delta::signed(batch, BooleanBuffer::from(vec![true, false]));
        let rows = signed_rows(Epoch(7), &delta, &schema(&query)).unwrap();
        let mut out = String::new();
        for row in 0..2 {
            write_json_row(&rows, row, TextStyle::default(), &mut out);
        }
        assert_eq!(out, r#"{"epoch":7,"sign":-1,"a":"x"}{"epoch":7,"sign":1,"a":"y"}"#);
    }
}
