//! Sources, sinks and formats, and where checkpoints are kept.
//!
//! **Architecture invariants.** Implements the ports of `millstream-engine`; knows no SQL text and no server.

mod blackhole;
mod datagen;
mod filesystem;
mod formats;
mod kafka;
mod nexmark;
mod print;
pub mod state_store;

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_engine::ports::Connector;

/// All connectors by name.
pub fn registry() -> BTreeMap<&'static str, Arc<dyn Connector>> {
    let connectors: Vec<Arc<dyn Connector>> = vec![
        Arc::new(blackhole::Blackhole::default()),
        Arc::new(datagen::Datagen::default()),
        Arc::new(filesystem::Filesystem::default()),
        Arc::new(kafka::Kafka::append()),
        Arc::new(kafka::Kafka::upsert()),
        Arc::new(nexmark::Nexmark::default()),
        Arc::new(print::Print::default()),
    ];
    connectors.into_iter().map(|connector| (connector.descriptor().name, connector)).collect()
}
