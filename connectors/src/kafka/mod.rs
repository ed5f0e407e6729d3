//! The `kafka` and `upsert-kafka` connectors: tables over topics, read and written with librdkafka.
//!
//! A partition is a split. [`settings`] reads the options, [`partitions`] lists what there is to read, [`reader`] gives
//! rows of one partition, [`rows`] puts keys, values and metadata together. [`sink`] and [`writer`] make messages of rows,
//! [`producer`] sends them one by one, and [`ledger`] in transactions with checkpoints; [`topics`] lists.

mod clerk;
mod client;
mod format_offset;
mod layout;
mod ledger;
mod metadata;
mod options;
mod outgoing;
mod outlet;
mod partitions;
mod pending;
mod producer;
mod properties;
mod queue;
mod reader;
mod rows;
mod settings;
mod sink;
mod sink_options;
mod source;
mod stream;
mod topics;
mod upsert;
mod writer;

use std::sync::Arc;

use millstream_engine::error::Result;
use millstream_engine::ports::{
    Boundedness, Capabilities, Connector, ConnectorDescriptor, ScanRequest, Sink, Source, TableSpec,
};

pub use topics::topics;

use settings::{Flavour, Settings};
use sink::KafkaSink;
use sink_options::SinkOptions;
use source::KafkaSource;

/// A connector over topics.
#[derive(Debug)]
pub(crate) struct Kafka {
    flavour: Flavour,
    descriptor: ConnectorDescriptor,
}

impl Kafka {
    /// `kafka`: a message is a row, or tells of changes.
    pub(crate) fn append() -> Self {
        Self {
            flavour: Flavour::Append,
            descriptor: ConnectorDescriptor {
                name: "kafka",
                doc: "Reads and writes topics of Apache Kafka.",
                options: options::append(),
                capabilities: Capabilities { source: true, sink: true, sink_retracts: false, partitioned: false },
                metadata: metadata::offered(),
            },
        }
    }

    /// `upsert-kafka`: a message is the new row of its key, one without a value its deletion.
    pub(crate) fn upsert() -> Self {
        Self {
            flavour: Flavour::Upsert,
            descriptor: ConnectorDescriptor {
                name: "upsert-kafka",
                doc: "Reads and writes topics of Apache Kafka whose messages replace the row of their key.",
                options: options::upsert(),
                capabilities: Capabilities { source: true, sink: true, sink_retracts: true, partitioned: false },
                metadata: metadata::offered(),
            },
        }
    }
}

impl Connector for Kafka {
    fn descriptor(&self) -> &ConnectorDescriptor {
        &self.descriptor
    }

    fn validate(&self, table: &TableSpec) -> Result<()> {
        Settings::new(self.flavour, table)?;
        SinkOptions::new(table).map(|_| ())
    }

    fn source(&self, table: &TableSpec, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(KafkaSource::new(Settings::new(self.flavour, table)?, table, request)?))
    }

    fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(KafkaSink::new(Settings::new(self.flavour, table)?, table)?))
    }

    fn boundedness(&self, table: &TableSpec) -> Boundedness {
        settings::boundedness(&table.options)
    }
}
