//! [`KafkaWriter`]: the rows of one shard to messages.
//!
//! `kafka` sends each change as it comes. `upsert-kafka` waits for the end of the epoch and sends the last row of each
//! key, or a message without a value where it is gone.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, TimestampMillisecondArray};
use arrow::compute::cast;
use arrow::datatypes::{Field, Fields, Schema, SchemaRef, TimestampMillisecondType};
use millstream_engine::error::{EngineError, Result};
use millstream_engine::message::{Delta, Epoch};
use millstream_engine::ports::{CommitToken, Guarantee, SinkContext, SinkWriter};

use super::metadata::{headers_type, timestamp_type};
use super::outgoing::{EncodedHeaders, Outgoing, push_header};
use super::outlet::Outlet;
use super::pending::Pending;
use super::producer::message_bytes_max;
use super::settings::Flavour;
use super::sink::KafkaSink;
use super::sink_options::{Partitioner, SinkOptions, WrittenMetadata};
use crate::formats::message::{MessageEncoder, Messages};

/// See the module.
pub(super) struct KafkaWriter {
    outlet: Outlet,
    options: SinkOptions,
    value: Part,
    key: Option<Part>,
    metadata: WrittenMetadata,
    /// The headers of the rows that are being sent.
    headers: Messages,
    /// The changes of the epoch, where messages replace one another.
    pending: Option<Pending>,
    message_bytes_max: usize,
    /// This shard.
    shard: usize,
    /// Messages sent, for round-robin.
    sent: usize,
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
        let columns = self.columns.iter().map(|index| column(delta, *index)).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(delta.rows()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        self.messages.clear();
        self.encoder.encode(&delta.with_batch(batch), &mut self.messages)
    }
}

fn column(delta: &Delta, index: usize) -> Result<ArrayRef> {
    let found = delta.batch.columns().get(index).cloned();
    found.ok_or_else(|| EngineError::Internal("a sink was given too few columns".to_owned()))
}

impl KafkaWriter {
    /// A writer for one shard.
    ///
    /// # Errors
    /// Where a format cannot carry a column.
    pub(super) fn new(outlet: Outlet, sink: &KafkaSink, context: &SinkContext) -> Result<Self> {
        let settings = &sink.settings;
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
            outlet,
            options: sink.options.clone(),
            value: Part::new(&columns.value_fields, &columns.value, value_encoder),
            key,
            metadata: sink.metadata,
            headers: Messages::default(),
            pending,
            message_bytes_max: message_bytes_max(settings),
            shard: context.shard,
            sent: context.shard,
            at_end: false,
        })
    }

    /// Sends a message for each row; for a retracted one without a value, where `deletes`.
    fn send(&mut self, delta: &Delta, deletes: bool) -> Result<()> {
        self.value.encode(delta)?;
        if let Some(key) = &mut self.key {
            key.encode(&Delta::append(delta.batch.clone()))?;
        }
        let timestamps = self.timestamps(delta)?;
        self.encode_headers(delta)?;
        let Self { outlet, value, key, headers, options, message_bytes_max, .. } = self;
        let partitions = outlet.partitions();
        let message = |row: usize, sent: usize| {
            let partition = match options.partitioner {
                Partitioner::Default => None,
                Partitioner::Fixed => Some(self.shard % partitions),
                Partitioner::RoundRobin => Some(sent % partitions),
            };
            Outgoing {
                partition: partition.and_then(|partition| i32::try_from(partition).ok()),
                timestamp: timestamps.as_ref().filter(|column| column.is_valid(row)).map(|column| column.value(row)),
                key: key.as_ref().and_then(|key| key.messages.get(row)),
                value: if deletes && delta.is_retract(row) { None } else { value.messages.get(row) },
                headers: EncodedHeaders(headers.get(row).unwrap_or_default()),
            }
        };
        // A row that cannot be sent must be found before another one is.
        for row in 0..delta.rows() {
            let bytes = message(row, 0).bytes();
            if bytes > *message_bytes_max {
                return Err(too_large(bytes, *message_bytes_max));
            }
        }
        for row in 0..delta.rows() {
            outlet.send(&message(row, self.sent))?;
            self.sent = self.sent.wrapping_add(1);
        }
        Ok(())
    }

    /// The timestamps of the messages, where a column gives them.
    fn timestamps(&self, delta: &Delta) -> Result<Option<TimestampMillisecondArray>> {
        let Some(index) = self.metadata.timestamp else { return Ok(None) };
        let column = cast(&column(delta, index)?, &timestamp_type())?;
        Ok(Some(column.as_primitive::<TimestampMillisecondType>().clone()))
    }

    /// The headers of the messages, where a column gives them.
    fn encode_headers(&mut self, delta: &Delta) -> Result<()> {
        self.headers.clear();
        let Some(index) = self.metadata.headers else { return Ok(()) };
        let column = cast(&column(delta, index)?, &headers_type())?;
        let maps = column.as_map();
        let lost = || EngineError::Internal("headers of another type".to_owned());
        let names = maps.keys().as_string_opt::<i32>().ok_or_else(lost)?;
        let values = maps.values().as_binary_opt::<i32>().ok_or_else(lost)?;
        for (row, ends) in maps.offsets().windows(2).enumerate() {
            if let ([start, end], true) = (ends, maps.is_valid(row)) {
                for entry in usize::try_from(*start).unwrap_or(0)..usize::try_from(*end).unwrap_or(0) {
                    let value = values.is_valid(entry).then(|| values.value(entry));
                    push_header(names.value(entry), value, &mut self.headers.data)?;
                }
            }
            self.headers.close();
        }
        Ok(())
    }
}

fn too_large(bytes: usize, most: usize) -> EngineError {
    EngineError::BadRow {
        message: format!("a message of {bytes} bytes is too large: the limit is {most}"),
        hint: Some(
            "raise \"properties.message.max.bytes\", and max.message.bytes of the topic; or drop such rows with \
             'sink.on-error'"
                .to_owned(),
        ),
    }
}

impl SinkWriter for KafkaWriter {
    fn ready(&self) -> bool {
        self.outlet.ready()
    }

    fn write(&mut self, delta: &Delta) -> Result<()> {
        self.outlet.check()?;
        match &mut self.pending {
            Some(pending) => pending.push(delta),
            None => self.send(delta, false),
        }
    }

    fn prepare(&mut self, epoch: Epoch) -> Result<Option<CommitToken>> {
        let changes = match &mut self.pending {
            Some(pending) => pending.take()?,
            None => None,
        };
        if let Some(changes) = changes {
            self.send(&changes, true)?;
        }
        self.outlet.check()?;
        let waits = match self.options.guarantee {
            Guarantee::None => self.at_end,
            Guarantee::AtLeastOnce | Guarantee::ExactlyOnce => true,
        };
        Ok(self.outlet.prepare(epoch, waits))
    }

    fn is_prepared(&mut self) -> Result<bool> {
        self.outlet.is_prepared()
    }

    fn commit(&mut self, token: &CommitToken) -> Result<()> {
        self.outlet.commit(token)
    }

    fn is_committed(&mut self) -> Result<bool> {
        self.outlet.is_committed()
    }

    fn on_end(&mut self) {
        self.at_end = true;
    }
}
