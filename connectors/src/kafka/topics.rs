//! [`topics`]: what topics there are, for people.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use millstream_engine::error::{EngineError, Result};
use rdkafka::Offset;

use super::client;
use super::partitions::{self, Partition};

/// A partition with its leader, and how many replicas it has and has in sync.
type Found = (Partition, Option<i32>, i32, i32);

/// The partitions of all topics, in order, one a row: `topic`, `partition`, `leader` (the id of a broker; null: none now),
/// `replicas`, `in_sync_replicas`, `earliest_offset` (of the first message that is there), `latest_offset` (behind the last;
/// both null where the partition has no leader). `properties` are more properties of the client, as `name=value`, with
/// semicolons between them. Topics of the brokers' own are left out. Waits for the brokers.
///
/// # Errors
/// Where the brokers do not answer in time, or a property is none.
pub fn topics(servers: &str, properties: &str) -> Result<RecordBatch> {
    let mut client = BTreeMap::from([("bootstrap.servers".to_owned(), servers.to_owned())]);
    for part in properties.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let wrong = || EngineError::config(format!("not a property of the form name=value: \"{part}\""));
        let (name, value) = part.split_once('=').ok_or_else(wrong)?;
        client.insert(name.trim().to_owned(), value.trim().to_owned());
    }
    let consumer = client::consumer(&client)?;
    let metadata = partitions::ask(&consumer, servers, None)?;
    let mut rows: Vec<Found> = Vec::new();
    for topic in metadata.topics().iter().filter(|topic| !topic.name().starts_with("__")) {
        for part in topic.partitions() {
            let count = |brokers: &[i32]| i32::try_from(brokers.len()).unwrap_or(i32::MAX);
            let leader = Some(part.leader()).filter(|leader| *leader >= 0);
            let partition = Partition { topic: topic.name().to_owned(), number: part.id() };
            rows.push((partition, leader, count(part.replicas()), count(part.isr())));
        }
    }
    rows.sort_unstable();
    let led = || rows.iter().filter(|row| row.1.is_some()).map(|row| &row.0);
    let (mut first, mut end) = (BTreeMap::new(), BTreeMap::new());
    if led().next().is_some() {
        first = partitions::ask_offsets(&consumer, servers, led(), Offset::Beginning)?;
        end = partitions::ask_offsets(&consumer, servers, led(), Offset::End)?;
    }
    let offsets = |of: &BTreeMap<Partition, i64>| -> ArrayRef {
        Arc::new(rows.iter().map(|row| of.get(&row.0).copied()).collect::<Int64Array>())
    };
    let numbers = |of: fn(&Found) -> Option<i32>| -> ArrayRef { Arc::new(rows.iter().map(of).collect::<Int32Array>()) };
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.0.topic)));
    let columns = [
        ("topic", names, false),
        ("partition", numbers(|row| Some(row.0.number)), false),
        ("leader", numbers(|row| row.1), true),
        ("replicas", numbers(|row| Some(row.2)), false),
        ("in_sync_replicas", numbers(|row| Some(row.3)), false),
        ("earliest_offset", offsets(&first), true),
        ("latest_offset", offsets(&end), true),
    ];
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}
