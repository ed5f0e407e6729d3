//! What a message says beside its key and value: the metadata columns of a source.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, Int32Builder, Int64Builder, MapBuilder, MapFieldNames, StringBuilder,
    TimestampMillisecondBuilder,
};
use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use millstream_engine::error::{EngineError, Result};
use rdkafka::Timestamp;

use super::queue::Message;

/// A metadata column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Metadata {
    Topic,
    Partition,
    Offset,
    Timestamp,
    TimestampType,
    Headers,
    LeaderEpoch,
}

impl Metadata {
    /// The column behind a key of [`offered`].
    ///
    /// # Errors
    /// Where there is none.
    pub(super) fn new(key: &str) -> Result<Self> {
        Ok(match key {
            "topic" => Self::Topic,
            "partition" => Self::Partition,
            "offset" => Self::Offset,
            "timestamp" => Self::Timestamp,
            "timestamp-type" => Self::TimestampType,
            "headers" => Self::Headers,
            "leader-epoch" => Self::LeaderEpoch,
            other => return Err(EngineError::Internal(format!("no metadata \"{other}\""))),
        })
    }

    /// An empty column.
    pub(super) fn column(self) -> MetadataColumn {
        match self {
            Self::Topic => MetadataColumn::Topic(StringBuilder::new()),
            Self::Partition => MetadataColumn::Partition(Int32Builder::new()),
            Self::Offset => MetadataColumn::Offset(Int64Builder::new()),
            Self::Timestamp => {
                MetadataColumn::Timestamp(TimestampMillisecondBuilder::new().with_data_type(timestamp_type()))
            }
            Self::TimestampType => MetadataColumn::TimestampType(StringBuilder::new()),
            Self::Headers => {
                let (key, value) = header_fields();
                let names = MapFieldNames { entry: "entries".into(), key: "key".into(), value: "value".into() };
                let builder = MapBuilder::new(Some(names), StringBuilder::new(), BinaryBuilder::new());
                MetadataColumn::Headers(Box::new(builder.with_keys_field(key).with_values_field(value)))
            }
            Self::LeaderEpoch => MetadataColumn::LeaderEpoch(Int32Builder::new()),
        }
    }
}

/// A metadata column under construction.
pub(super) enum MetadataColumn {
    Topic(StringBuilder),
    Partition(Int32Builder),
    Offset(Int64Builder),
    Timestamp(TimestampMillisecondBuilder),
    TimestampType(StringBuilder),
    Headers(Box<MapBuilder<StringBuilder, BinaryBuilder>>),
    LeaderEpoch(Int32Builder),
}

impl MetadataColumn {
    /// Appends what a message says.
    ///
    /// # Errors
    /// Where Arrow refuses its headers.
    pub(super) fn push(&mut self, message: &Message<'_>) -> Result<()> {
        match self {
            Self::Topic(column) => column.append_value(message.topic()),
            Self::Partition(column) => column.append_value(message.partition()),
            Self::Offset(column) => column.append_value(message.offset()),
            Self::Timestamp(column) => column.append_option(message.timestamp().to_millis()),
            Self::TimestampType(column) => column.append_value(match message.timestamp() {
                Timestamp::NotAvailable => "NoTimestampType",
                Timestamp::CreateTime(_) => "CreateTime",
                Timestamp::LogAppendTime(_) => "LogAppendTime",
            }),
            Self::Headers(column) => {
                for (key, value) in message.headers() {
                    column.keys().append_value(key);
                    column.values().append_option(value);
                }
                column.append(true)?;
            }
            Self::LeaderEpoch(column) => column.append_option(message.leader_epoch()),
        }
        Ok(())
    }

    /// The array of all rows; the column is empty afterwards.
    pub(super) fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Topic(column) => Arc::new(column.finish()),
            Self::Partition(column) => Arc::new(column.finish()),
            Self::Offset(column) => Arc::new(column.finish()),
            Self::Timestamp(column) => Arc::new(column.finish()),
            Self::TimestampType(column) => Arc::new(column.finish()),
            Self::Headers(column) => Arc::new(column.finish()),
            Self::LeaderEpoch(column) => Arc::new(column.finish()),
        }
    }
}

/// The type of timestamps of messages.
pub(super) fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

fn header_fields() -> (Field, Field) {
    (Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true))
}

/// The type of headers of messages.
pub(super) fn headers_type() -> DataType {
    let (key, value) = header_fields();
    let entries = Field::new("entries", DataType::Struct(Fields::from(vec![key, value])), false);
    DataType::Map(Arc::new(entries), false)
}

/// The metadata that sources offer, with their types.
pub(super) fn offered() -> Vec<(&'static str, DataType)> {
    vec![
        ("topic", DataType::Utf8),
        ("partition", DataType::Int32),
        ("headers", headers_type()),
        ("leader-epoch", DataType::Int32),
        ("offset", DataType::Int64),
        ("timestamp", timestamp_type()),
        ("timestamp-type", DataType::Utf8),
    ]
}
