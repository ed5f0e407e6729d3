//! The descriptions of the options.

use millstream_engine::ports::{OptionDescriptor, OptionType};

use crate::formats::message;

/// Where reading begins.
const STARTUP_MODES: &[&str] = &["earliest-offset", "latest-offset", "group-offsets", "timestamp", "specific-offsets"];

/// Where reading ends.
const BOUNDED_MODES: &[&str] = &["unbounded", "latest-offset", "group-offsets", "timestamp", "specific-offsets"];

fn option(name: &'static str, kind: OptionType, default: Option<&'static str>, doc: &'static str) -> OptionDescriptor {
    OptionDescriptor { name, kind, required: false, default, doc }
}

/// What both connectors take.
fn common() -> Vec<OptionDescriptor> {
    use OptionType::{Choice, Duration, Integer, String};
    let mut options = vec![
        OptionDescriptor {
            name: "properties.bootstrap.servers",
            kind: String,
            required: true,
            default: None,
            doc: "Brokers to begin with: host:port, with commas between them.",
        },
        option("properties.group.id", String, None, "The consumer group whose offsets 'group-offsets' means."),
        option("properties.*", String, None, "Passed on to the client librdkafka, such as properties.sasl.username."),
        option("scan.bounded.mode", Choice(BOUNDED_MODES), Some("unbounded"), "Where reading ends."),
        option("scan.bounded.timestamp-millis", Integer, None, "For mode timestamp: milliseconds since 1970."),
        option(
            "scan.bounded.specific-offsets",
            String,
            None,
            "For mode specific-offsets: 'partition:0,offset:42;partition:1,offset:300'; the offsets are not read.",
        ),
        option(
            "scan.topic-partition-discovery.interval",
            Duration,
            Some("5 min"),
            "How often to look for new partitions; 0 for never.",
        ),
        option("scan.parallelism", Integer, None, "Accepted for Flink's sake: partitions are dealt to the shards."),
        option("value.fields-include", Choice(&["ALL", "EXCEPT_KEY"]), Some("ALL"), "Whether values hold the key."),
        option("key.fields-prefix", String, None, "What the names of key columns begin with, and keys leave out."),
        option("sink.parallelism", Integer, None, "Accepted for Flink's sake: every shard writes."),
        option(
            "sink.delivery-guarantee",
            Choice(&["none", "at-least-once", "exactly-once"]),
            Some("at-least-once"),
            "none: rows may be lost or doubled; at-least-once: a checkpoint waits until the brokers have its rows; \
             exactly-once: rows are sent in transactions, when their checkpoint is complete.",
        ),
        option(
            "sink.transactional-id-prefix",
            String,
            None,
            "For exactly-once: what transactional ids and groups begin with. No other application may use it.",
        ),
    ];
    options.extend(message::options());
    options
}

/// The options of `kafka`.
pub(super) fn append() -> Vec<OptionDescriptor> {
    use OptionType::{Choice, Integer, String};
    let mut options = common();
    options.extend([
        option("topic", String, None, "The topic; to read, several with semicolons between them."),
        option("topic-pattern", String, None, "To read: a regular expression that whole names of topics match."),
        option("scan.startup.mode", Choice(STARTUP_MODES), Some("group-offsets"), "Where reading begins."),
        option("scan.startup.timestamp-millis", Integer, None, "For mode timestamp: milliseconds since 1970."),
        option(
            "scan.startup.specific-offsets",
            String,
            None,
            "For mode specific-offsets: 'partition:0,offset:42;partition:1,offset:300'.",
        ),
        option("key.fields", String, None, "Columns that stand in the key, with semicolons between them."),
        option(
            "sink.partitioner",
            String,
            Some("default"),
            "default: by the hash of the key, at random without one; fixed: one partition a shard; round-robin.",
        ),
    ]);
    options
}

/// The options of `upsert-kafka`.
pub(super) fn upsert() -> Vec<OptionDescriptor> {
    use OptionType::{Duration, Integer, String};
    let mut options = common();
    options.extend([
        OptionDescriptor {
            name: "topic",
            kind: String,
            required: true,
            default: None,
            doc: "The topic; to read, several with semicolons between them.",
        },
        option("sink.buffer-flush.max-rows", Integer, Some("0"), "Accepted for Flink's sake: an epoch is the buffer."),
        option(
            "sink.buffer-flush.interval",
            Duration,
            Some("0 s"),
            "Accepted for Flink's sake: within an epoch only the last row of a key is written.",
        ),
    ]);
    options
}
