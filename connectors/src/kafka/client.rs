//! The client of librdkafka: made from the properties of a table, with errors in words.

use std::collections::BTreeMap;
use std::time::Duration;

use millstream_engine::error::{EngineError, Result};
use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;

/// How long a question to the brokers may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// A consumer that is told which partitions to read.
pub(super) type Consumer = BaseConsumer<Reports>;

/// Keeps the last thing that the client complained of, to say why a question was not answered.
#[derive(Debug, Default)]
pub(super) struct Reports {
    last: Mutex<Option<String>>,
}

impl Reports {
    /// The error for what failed: with the reason that the client last gave, where there is one.
    pub(super) fn explain(&self, what: &str, error: &KafkaError) -> EngineError {
        let last = self.last.lock().clone();
        match (last, error.rdkafka_error_code()) {
            (Some(last), _) => EngineError::io(what, last),
            (None, Some(code)) => EngineError::io(what, code),
            (None, None) => EngineError::io(what, error),
        }
    }

    fn keep(&self, reason: &str) {
        // "host:1/bootstrap: Connect to ipv4#… failed: Connection refused (after 0ms in state CONNECT)"
        let reason = reason.split(" (after ").next().unwrap_or(reason);
        if !reason.contains("brokers are down") {
            *self.last.lock() = Some(reason.to_owned());
        }
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message, "librdkafka");
        if facility == "FAIL" {
            // "[thrd:host:1/bootstrap]: host:1/bootstrap: Connect to … failed: …"
            self.keep(message.split_once("]: ").map_or(message, |(_, reason)| reason));
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
        self.keep(reason);
    }
}

impl ConsumerContext for Reports {}

/// A consumer with these properties.
///
/// # Errors
/// Where librdkafka refuses a property.
pub(super) fn consumer(properties: &BTreeMap<String, String>) -> Result<Consumer> {
    let mut config = ClientConfig::new();
    let defaults = [
        ("group.id", "millstream"),
        // What is gone is not passed over in silence.
        ("auto.offset.reset", "error"),
        ("fetch.queue.backoff.ms", "20"),
        ("queued.max.messages.kbytes", "16384"),
        ("reconnect.backoff.max.ms", "1000"),
        ("isolation.level", "read_committed"),
        // So long a topic that brokers do not know may only be new to them.
        ("topic.metadata.propagation.max.ms", "5000"),
    ];
    for (key, value) in defaults {
        config.set(key, value);
    }
    for (key, value) in properties {
        config.set(key, value);
    }
    // What the reader relies on.
    for (key, value) in
        [("enable.auto.commit", "false"), ("enable.auto.offset.store", "false"), ("enable.partition.eof", "true")]
    {
        config.set(key, value);
    }
    config.set_log_level(RDKafkaLogLevel::Warning);
    Consumer::from_config_and_context(&config, Reports::default()).map_err(|error| refused(&error))
}

/// The error for a client that could not be made.
pub(super) fn refused(error: &KafkaError) -> EngineError {
    let message = match error {
        KafkaError::ClientConfig(_, what, key, value) => {
            format!("option \"properties.{key}\" = \"{value}\" is refused: {what}")
        }
        other => format!("the Kafka client cannot be made: {other}"),
    };
    let hint = "the properties are those of librdkafka; most are named as those of the Java client".to_owned();
    EngineError::Config { message, hint: Some(hint) }
}
