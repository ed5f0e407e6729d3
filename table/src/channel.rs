//! [`channel`]: batches that this program sends while queries run.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use millstream_engine::EngineError;
use millstream_engine::ports::{Boundedness, ReadContext, ReadPoll, Source, Split, SplitReader, WakeHandle};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Sends batches to the query that reads the channel. The channel ends when the last clone is dropped.
#[derive(Clone)]
pub struct BatchSender {
    shared: Arc<Shared>,
    _open: Arc<Open>,
}

/// What both ends share.
struct Shared {
    schema: SchemaRef,
    capacity: usize,
    state: Mutex<State>,
    /// There is room again.
    room: Notify,
}

#[derive(Default)]
struct State {
    batches: VecDeque<RecordBatch>,
    ended: bool,
    is_read: bool,
    wake: Option<WakeHandle>,
}

/// Ends the channel when it is dropped.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.ended = true;
        if let Some(wake) = &state.wake {
            wake.wake();
        }
    }
}

/// A channel for batches of this schema, and the source that a table reads it through
/// ([`TableDescriptor::for_source`](crate::TableDescriptor::for_source)). At most `capacity` batches wait. One query reads
/// it at a time; a view over the table serves several. What was sent cannot be read again.
pub fn channel(schema: SchemaRef, capacity: usize) -> (BatchSender, Arc<dyn Source>) {
    let capacity = capacity.max(1);
    let shared = Arc::new(Shared { schema, capacity, state: Mutex::default(), room: Notify::new() });
    let open = Arc::new(Open(Arc::clone(&shared)));
    (BatchSender { shared: Arc::clone(&shared), _open: open }, Arc::new(ChannelSource(shared)))
}

impl BatchSender {
    /// Sends a batch; waits while the channel is full.
    ///
    /// # Errors
    /// Where the batch has other columns than the channel.
    pub async fn send(&self, batch: RecordBatch) -> Result<(), EngineError> {
        let shared = &self.shared;
        if batch.schema().fields() != shared.schema.fields() {
            return Err(EngineError::config("the batch has other columns than its channel"));
        }
        while !self.has_taken(&batch) {
            shared.room.notified().await;
        }
        Ok(())
    }

    /// Puts a batch into the channel, where there is room.
    fn has_taken(&self, batch: &RecordBatch) -> bool {
        let mut state = self.shared.state.lock();
        let room = state.batches.len() < self.shared.capacity;
        if room {
            state.batches.push_back(batch.clone());
            if let Some(wake) = &state.wake {
                wake.wake();
            }
        }
        room
    }
}

impl fmt::Debug for BatchSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BatchSender")
    }
}

struct ChannelSource(Arc<Shared>);

impl fmt::Debug for ChannelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("channel")
    }
}

impl Source for ChannelSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.0.schema)
    }

    fn boundedness(&self) -> Boundedness {
        Boundedness::Unbounded
    }

    fn replayable(&self) -> bool {
        false
    }

    fn splits(&self, _parallelism: usize) -> Result<Vec<Split>, EngineError> {
        Ok(vec![Split { id: "0".to_owned() }])
    }

    fn reader(&self, _split: &Split) -> Result<Box<dyn SplitReader>, EngineError> {
        let mut state = self.0.state.lock();
        if std::mem::replace(&mut state.is_read, true) {
            return Err(EngineError::Config {
                message: "the channel is read by another query".to_owned(),
                hint: Some("read it into a materialized view, which serves several".to_owned()),
            });
        }
        drop(state);
        Ok(Box::new(ChannelReader { shared: Arc::clone(&self.0), rest: None }))
    }

    fn describe(&self) -> String {
        "batches of this program".to_owned()
    }
}

struct ChannelReader {
    shared: Arc<Shared>,
    /// What is left of a batch that was longer than was asked for.
    rest: Option<RecordBatch>,
}

impl Drop for ChannelReader {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.is_read = false;
        state.wake = None;
        if let Some(rest) = self.rest.take() {
            state.batches.push_front(rest);
        }
    }
}

impl SplitReader for ChannelReader {
    fn poll(&mut self, context: &mut ReadContext<'_>) -> Result<ReadPoll, EngineError> {
        loop {
            let batch = match self.rest.take() {
                Some(rest) => rest,
                None => {
                    let mut state = self.shared.state.lock();
                    match state.batches.pop_front() {
                        Some(batch) => {
                            self.shared.room.notify_one();
                            batch
                        }
                        None if state.ended => return Ok(ReadPoll::End),
                        None => {
                            state.wake = Some(context.wake.clone());
                            return Ok(ReadPoll::Pending { retry_at: None });
                        }
                    }
                }
            };
            let rows = batch.num_rows().min(context.rows_max.max(1));
            if rows < batch.num_rows() {
                self.rest = Some(batch.slice(rows, batch.num_rows() - rows));
            }
            if rows > 0 {
                return Ok(ReadPoll::Batch(batch.slice(0, rows)));
            }
        }
    }

    fn offset(&self) -> String {
        String::new()
    }

    fn seek(&mut self, _offset: &str) -> Result<(), EngineError> {
        Err(EngineError::Gone("what a channel gave cannot be read again".to_owned()))
    }
}
