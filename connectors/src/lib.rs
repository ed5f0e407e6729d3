//! Sources, sinks and formats, and where checkpoints are kept.
//!
//! **Architecture invariants.** Implements the ports of `millstream-engine`; knows no SQL text and no server.

mod blackhole;
pub mod bucket;
mod datagen;
mod filesystem;
mod formats;
mod kafka;
mod lookup;
mod nexmark;
mod postgres;
mod print;
pub mod state_store;

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_engine::ports::Connector;

pub use filesystem::{
    Compression, FoundFiles, PackedWriter, find_files, infer_csv, infer_json, list_of_paths, partitions, read_whole,
};

pub use kafka::topics as kafka_topics;

/// The names of all formats, of files and of messages, in order.
pub fn formats() -> impl Iterator<Item = &'static str> {
    let all = formats::FORMATS.iter().chain(formats::message::MESSAGE_FORMATS);
    all.copied().collect::<std::collections::BTreeSet<_>>().into_iter()
}

/// All connectors by name.
pub fn registry() -> BTreeMap<&'static str, Arc<dyn Connector>> {
    let connectors: Vec<Arc<dyn Connector>> = vec![
        Arc::new(blackhole::Blackhole::default()),
        Arc::new(datagen::Datagen::default()),
        Arc::new(filesystem::Filesystem::default()),
        Arc::new(kafka::Kafka::append()),
        Arc::new(kafka::Kafka::upsert()),
        Arc::new(nexmark::Nexmark::default()),
        Arc::new(postgres::Postgres::new()),
        Arc::new(postgres::Postgres::jdbc()),
        Arc::new(print::Print::default()),
    ];
    connectors.into_iter().map(|connector| (connector.descriptor().name, connector)).collect()
}
