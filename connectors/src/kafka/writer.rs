//! [`KafkaWriter`]: the rows of one shard to messages.
//!
//! `kafka` sends each change as it comes. `upsert-kafka` waits for the end of the epoch and sends the last row of each
//! key, or a message without a value where it is gone.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Fields, Schema, SchemaRef};
use millstream_engine::error::{EngineError, Result};
use millstream_engine::message::{Delta, Epoch};
use millstream_engine::ports::{CommitToken, Guarantee, SinkContext, SinkWriter};

use super::pending::Pending;
use super::settings::{Flavour, Settings};
use super::sink::{Partitioner, Producer, SinkOptions};
use crate::formats::message::{MessageEncoder, Messages};

/// See the module.
pub(super) struct KafkaWriter {
    producer: Arc<Producer>,
    options: SinkOptions,
    value: Part,
    key: Option<Part>,
    /// The changes of the epoch, where messages replace one another.
    pending: Option<Pending>,
    /// This shard.
    shard: usize,
    /// Messages sent, for round-robin.
    sent: usize,
    /// Something was sent since the last flush.
    dirty: bool,
    at_end: bool,
}

/// The key or the value of messages.
struct Part {
    columns: Vec<usize>,
    schema: SchemaRef,
    encoder: Box<dyn MessageEncoder>,
    messages: Messages,
}

impl Part {
    fn new(fields: &Fields, columns: &[usize], encoder: Box<dyn MessageEncoder>) -> Self {
        // What comes may be null where the table says it is not.
        let fields: Vec<Field> = fields.iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
        let schema = Arc::new(Schema::new(fields));
        Self { columns: columns.to_vec(), schema, encoder, messages: Messages::default() }
    }

    /// Makes the messages of all rows.
    fn encode(&mut self, delta: &Delta) -> Result<()> {
        let lost = || EngineError::Internal("a sink was given too few columns".to_owned());
        let columns = self.columns.iter().map(|index| delta.batch.columns().get(*index).cloned().ok_or_else(lost));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(delta.rows()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        self.messages.clear();
        self.encoder.encode(&delta.with_batch(batch), &mut self.messages)
    }
}

impl KafkaWriter {
    /// A writer for one shard.
    ///
    /// # Errors
    /// Where a format cannot carry a column.
    pub(super) fn new(
        producer: Arc<Producer>,
        settings: &Settings,
        options: SinkOptions,
        context: &SinkContext,
    ) -> Result<Self> {
        let columns = &settings.columns;
        let value_encoder = settings.value.encoder(&columns.value_fields)?;
        let key = match &settings.key {
            Some(format) => Some(Part::new(&columns.key_fields, &columns.key, format.encoder(&columns.key_fields)?)),
            None => None,
        };
        let pending = match settings.flavour {
            Flavour::Append => None,
            Flavour::Upsert => Some(Pending::new(&columns.key)),
        };
        Ok(Self {
            producer,
            options,
            value: Part::new(&columns.value_fields, &columns.value, value_encoder),
            key,
            pending,
            shard: context.shard,
            sent: context.shard,
            dirty: false,
            at_end: false,
        })
    }

    /// Sends a message for each row; for a retracted one without a value, where `deletes`.
    fn send(&mut self, delta: &Delta, deletes: bool) -> Result<()> {
        self.value.encode(delta)?;
        if let Some(key) = &mut self.key {
            key.encode(&Delta::append(delta.batch.clone()))?;
        }
        let partitions = self.producer.partitions.max(1);
        for row in 0..delta.rows() {
            let partition = match self.options.partitioner {
                Partitioner::Default => None,
                Partitioner::Fixed => Some(self.shard % partitions),
                Partitioner::RoundRobin => Some(self.sent % partitions),
            };
            let partition = partition.and_then(|partition| i32::try_from(partition).ok());
            let value = if deletes && delta.is_retract(row) { None } else { self.value.messages.get(row) };
            let key = self.key.as_ref().and_then(|key| key.messages.get(row));
            self.producer.send(partition, key, value)?;
            self.sent = self.sent.wrapping_add(1);
        }
        self.dirty |= delta.rows() > 0;
        Ok(())
    }
}

impl SinkWriter for KafkaWriter {
    fn ready(&self) -> bool {
        self.producer.ready()
    }

    fn write(&mut self, delta: &Delta) -> Result<()> {
        self.producer.check()?;
        match &mut self.pending {
            Some(pending) => {
                pending.push(delta);
                Ok(())
            }
            None => self.send(delta, false),
        }
    }

    fn prepare(&mut self, _epoch: Epoch) -> Result<Option<CommitToken>> {
        let changes = match &mut self.pending {
            Some(pending) => pending.take()?,
            None => None,
        };
        if let Some(changes) = changes {
            self.send(&changes, true)?;
        }
        let waits = match self.options.guarantee {
            Guarantee::None => self.at_end,
            Guarantee::AtLeastOnce | Guarantee::ExactlyOnce => true,
        };
        if waits && self.dirty {
            self.producer.flush()?;
            self.dirty = false;
        }
        self.producer.check()?;
        Ok(None)
    }

    fn commit(&mut self, _token: &CommitToken) -> Result<()> {
        Ok(())
    }

    fn on_end(&mut self) {
        self.at_end = true;
    }
}
