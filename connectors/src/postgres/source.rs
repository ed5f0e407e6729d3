//! [`PostgresSource`]: a table read to its end, as of one query.

use std::pin::pin;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::TryStreamExt;
use millstream_engine::error::{EngineError, Result};
use millstream_engine::message::BATCH_ROWS;
use millstream_engine::ports::{Boundedness, ReadContext, ReadPoll, Source, Split, SplitReader, TableSpec, WakeHandle};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::client::{self, Client, failed};
use super::query;
use super::settings::Settings;

/// Batches that may wait for the reader.
const BATCHES_AHEAD: usize = 2;

/// See the module.
#[derive(Debug)]
pub(super) struct PostgresSource {
    client: Arc<Client>,
    query: String,
    schema: SchemaRef,
    place: String,
}

impl PostgresSource {
    /// These columns of a table.
    ///
    /// # Errors
    /// Where one is not there.
    pub(super) fn new(settings: Settings, spec: &TableSpec, columns: &[usize]) -> Result<Self> {
        let schema = query::columns(spec, columns)?;
        let query = query::select(&settings.table, &schema);
        let client = Arc::new(Client::new(settings.config, settings.lookup.retries_max));
        Ok(Self { client, query, schema, place: settings.place })
    }
}

impl Source for PostgresSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn replayable(&self) -> bool {
        false
    }

    fn splits(&self, _parallelism: usize) -> Result<Vec<Split>> {
        Ok(vec![Split { id: "table".to_owned() }])
    }

    fn reader(&self, _split: &Split) -> Result<Box<dyn SplitReader>> {
        let fetch =
            Fetch { client: Arc::clone(&self.client), query: self.query.clone(), schema: Arc::clone(&self.schema) };
        Ok(Box::new(Reader { fetch: Some(fetch), batches: None }))
    }

    fn describe(&self) -> String {
        self.place.clone()
    }
}

/// Reads what a task fetches.
struct Reader {
    /// What the task does, until it is started.
    fetch: Option<Fetch>,
    batches: Option<Receiver<Result<RecordBatch>>>,
}

/// Fetches all rows.
struct Fetch {
    client: Arc<Client>,
    query: String,
    schema: SchemaRef,
}

impl Fetch {
    async fn run(self, out: Sender<Result<RecordBatch>>, wake: WakeHandle) {
        if let Err(error) = self.all(&out, &wake).await {
            // Who is not there any more needs no error.
            let _ = out.send(Err(error)).await;
        }
        drop(out);
        wake.wake();
    }

    async fn all(&self, out: &Sender<Result<RecordBatch>>, wake: &WakeHandle) -> Result<()> {
        let mut stream = pin!(self.client.stream(&self.query).await?);
        let mut rows = Vec::new();
        loop {
            let row = stream.try_next().await.map_err(|error| failed(&error))?;
            let ended = row.is_none();
            rows.extend(row);
            if rows.len() == BATCH_ROWS || (ended && !rows.is_empty()) {
                if out.send(query::batch(&self.schema, &rows)).await.is_err() {
                    return Ok(());
                }
                wake.wake();
                rows.clear();
            }
            if ended {
                return Ok(());
            }
        }
    }
}

impl SplitReader for Reader {
    fn poll(&mut self, context: &mut ReadContext<'_>) -> Result<ReadPoll> {
        if let Some(fetch) = self.fetch.take() {
            let (out, batches) = channel(BATCHES_AHEAD);
            client::runtime()?.spawn(fetch.run(out, context.wake.clone()));
            self.batches = Some(batches);
        }
        let Some(batches) = &mut self.batches else { return Ok(ReadPoll::End) };
        match batches.try_recv() {
            Ok(batch) => Ok(ReadPoll::Batch(batch?)),
            Err(TryRecvError::Empty) => Ok(ReadPoll::Fetching { retry_at: None }),
            Err(TryRecvError::Disconnected) => {
                self.batches = None;
                Ok(ReadPoll::End)
            }
        }
    }

    fn offset(&self) -> String {
        String::new()
    }

    fn seek(&mut self, _offset: &str) -> Result<()> {
        Err(EngineError::Unsupported("a PostgreSQL table cannot be read from an offset".into()))
    }
}
