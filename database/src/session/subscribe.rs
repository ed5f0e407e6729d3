//! `SUBSCRIBE`: the rows of a query now and every change after, epoch by epoch.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use futures::StreamExt;
use millstream_engine::message::{Delta, Epoch};
use millstream_engine::runtime::{CollectSink, Collected};
use millstream_sql::SqlError;
use millstream_sql::bound::BoundQuery;

use super::job::{JobGuard, JobPlan};
use super::{Body, Outcome, Rows, Session};
use crate::batch::{ReadNotes, conform};
use crate::catalog::JobKind;
use crate::errors::from_arrow;

/// Epochs that may wait for the client before the sources are held back.
const EPOCHS_AHEAD: usize = 4;

/// The columns of a subscription to a query with these columns: `epoch BIGINT`, `sign INT` (1 or −1), then those.
pub(super) fn schema(query: &SchemaRef) -> SchemaRef {
    let mut fields = vec![Field::new("epoch", DataType::Int64, false), Field::new("sign", DataType::Int32, false)];
    fields.extend(query.fields().iter().map(|field| field.as_ref().clone()));
    Arc::new(Schema::new(fields))
}

impl Session {
    pub(super) async fn subscribe(&self, query: &BoundQuery) -> Result<Outcome, SqlError> {
        let notices = self.freshness(query)?;
        let (sink, receiver) = CollectSink::channel(EPOCHS_AHEAD);
        let plan = JobPlan::collected(JobKind::Subscribe, "subscribe", query, sink);
        let (job, dataflow) = self.database.start_job(plan).await?;
        // The sink's sender lives in the dataflow; the receiver ends when the engine has dropped it as well.
        drop(dataflow);
        let schema = schema(&query.schema);
        let state = Some((receiver, job, Arc::clone(&schema)));
        let batches = futures::stream::unfold(state, |state| async move {
            let (mut receiver, job, schema) = state?;
            match receiver.recv().await {
                Some(collected) => {
                    let batches = epoch_batches(&collected, &schema);
                    Some((batches, Some((receiver, job, schema))))
                }
                None => end(job).await.map(|error| (vec![Err(error)], None)),
            }
        });
        let batches = batches.flat_map(futures::stream::iter).boxed();
        let rows = Rows { schema, batches, command: "SUBSCRIBE", notes: ReadNotes::default() };
        Ok(Outcome { notices, body: Body::Subscription(rows) })
    }
}

/// Why a subscription ended, where it did not end well.
async fn end(job: JobGuard) -> Option<SqlError> {
    job.finished().await.err()
}

fn epoch_batches(collected: &Collected, schema: &SchemaRef) -> Vec<Result<RecordBatch, SqlError>> {
    collected.deltas.iter().map(|delta| signed_rows(collected.epoch, delta, schema)).collect()
}

/// The rows of a delta behind their epoch and sign.
fn signed_rows(epoch: Epoch, delta: &Delta, schema: &SchemaRef) -> Result<RecordBatch, SqlError> {
    let rows = delta.rows();
    let epoch = i64::try_from(epoch.0).unwrap_or(i64::MAX);
    let signs = (0..rows).map(|row| if delta.is_retract(row) { -1 } else { 1 });
    let query = Arc::new(Schema::new(schema.fields().iter().skip(2).cloned().collect::<Vec<_>>()));
    let mut columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from_value(epoch, rows)), Arc::new(Int32Array::from_iter_values(signs))];
    columns.extend(conform(&delta.batch, &query)?.columns().iter().cloned());
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
