//! Producers: the configuration that all have, and [`Producer`], which the writers of all shards share and which sends
//! messages one by one. Transactions are in [`super::ledger`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::WakeHandle;
use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::util::IntoOpaque;

use super::client::{Reports, TIMEOUT, refused};
use super::outgoing::Outgoing;
use super::settings::Settings;

/// Messages, and bytes of them, on their way above which no more rows are taken. The client has room for much more, so that
/// what is taken already does not wait on a shard.
const IN_FLIGHT_MAX: (usize, usize) = (100_000, 32 << 20);

/// How long room in the client's queue is waited for at once, and how often.
pub(super) const ROOM: (Duration, usize) = (Duration::from_millis(100), 600);

/// How often the brokers are asked for a topic that they make when they are asked for it.
const TOPIC_TRIES: usize = 10;

/// The largest message that the client takes where no option says it: librdkafka's `message.max.bytes`.
const MESSAGE_BYTES_MAX: usize = 1_000_000;

/// The configuration of a producer: ours, then the table's.
pub(super) fn config(settings: &Settings, defaults: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    let common = [
        ("enable.idempotence", "true"),
        ("partitioner", "murmur2_random"),
        ("message.timeout.ms", "120000"),
        ("queue.buffering.max.kbytes", "262144"),
        ("queue.buffering.max.messages", "1000000"),
        ("reconnect.backoff.max.ms", "1000"),
    ];
    for (key, value) in common.iter().chain(defaults) {
        config.set(*key, *value);
    }
    for (key, value) in settings.client.iter().filter(|(key, _)| !is_of_consumers(key)) {
        config.set(key, value);
    }
    config.set_log_level(RDKafkaLogLevel::Warning);
    config
}

/// The largest message that may be sent, in bytes.
pub(super) fn message_bytes_max(settings: &Settings) -> usize {
    let named = settings.client.get("message.max.bytes").or_else(|| settings.client.get("max.request.size"));
    named.and_then(|bytes| bytes.parse().ok()).unwrap_or(MESSAGE_BYTES_MAX)
}

/// Whether a property is of consumers alone.
fn is_of_consumers(key: &str) -> bool {
    ["group.", "auto.offset.", "fetch.", "max.poll.", "session.", "heartbeat.", "isolation.", "queued."]
        .iter()
        .any(|prefix| key.starts_with(prefix))
}

/// Counts the partitions of a topic; a broker that makes topics by itself makes this one.
///
/// # Errors
/// Where no broker answers in time, or there is no such topic.
pub(super) fn count_partitions<C: ProducerContext>(
    producer: &ThreadedProducer<C>,
    reports: &Reports,
    settings: &Settings,
    topic: &str,
) -> Result<usize> {
    let what = format!("cannot reach Kafka at {}", settings.servers());
    for _ in 0..TOPIC_TRIES {
        let metadata = producer.client().fetch_metadata(Some(topic), TIMEOUT);
        let metadata = metadata.map_err(|error| reports.explain(&what, &error))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        match found.map(|found| found.partitions().len()) {
            Some(count) if count > 0 => return Ok(count),
            Some(_) | None => producer.poll(ROOM.0),
        }
    }
    Err(EngineError::Config {
        message: format!("topic \"{topic}\" does not exist at {}", settings.servers()),
        hint: Some("make it, or let the broker do so: auto.create.topics.enable=true".to_owned()),
    })
}

/// A message as the client takes it.
///
/// # Errors
/// Where its headers are damaged.
pub(super) fn record<'a, D: IntoOpaque>(
    topic: &'a str,
    message: &Outgoing<'a>,
    opaque: D,
) -> Result<BaseRecord<'a, [u8], [u8], D>> {
    let mut record: BaseRecord<'a, [u8], [u8], D> = BaseRecord::with_opaque_to(topic, opaque);
    (record.partition, record.timestamp) = (message.partition, message.timestamp);
    (record.key, record.payload) = (message.key, message.value);
    record.headers = message.headers.decoded()?;
    Ok(record)
}

/// Why a message was not taken.
pub(super) fn not_taken(error: &KafkaError, topic: &str) -> String {
    let reason = error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string());
    format!("a message to topic \"{topic}\" was not taken: {reason}")
}

fn content_bytes(key: Option<&[u8]>, value: Option<&[u8]>) -> usize {
    key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len)
}

/// The messages that one writer has sent in an epoch.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Those that are on their way.
    open: AtomicUsize,
}

impl Sent {
    /// Whether the brokers have all of them.
    pub(super) fn is_over(&self) -> bool {
        self.open.load(Ordering::Acquire) == 0
    }
}

/// What became of messages.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    reports: Reports,
    in_flight: AtomicUsize,
    in_flight_bytes: AtomicUsize,
    /// Somebody waits for room.
    held: AtomicBool,
    /// Why the first message was not taken.
    failed: Mutex<Option<String>>,
    wakes: Mutex<Vec<WakeHandle>>,
}

impl Deliveries {
    fn begin(&self, sent: &Sent, bytes: usize) {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        self.in_flight_bytes.fetch_add(bytes, Ordering::SeqCst);
        sent.open.fetch_add(1, Ordering::SeqCst);
    }

    /// A message is no longer on its way. Gives whether somebody waits for that: who finds no room says so and looks again,
    /// so that one of both sees the other, in the one order that all see.
    fn end(&self, sent: &Sent, bytes: usize) -> bool {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.in_flight_bytes.fetch_sub(bytes, Ordering::SeqCst);
        let has_room = self.held.load(Ordering::SeqCst) && self.has_room() && self.held.swap(false, Ordering::SeqCst);
        sent.open.fetch_sub(1, Ordering::SeqCst) == 1 || has_room
    }

    fn has_room(&self) -> bool {
        self.in_flight.load(Ordering::SeqCst) < IN_FLIGHT_MAX.0
            && self.in_flight_bytes.load(Ordering::SeqCst) < IN_FLIGHT_MAX.1
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.reports.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.reports.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Arc<Sent>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Arc<Sent>) {
        if let Err((error, message)) = result {
            self.failed.lock().get_or_insert_with(|| not_taken(error, message.topic()));
        }
        let message = match result {
            Ok(message) | Err((_, message)) => message,
        };
        if self.end(&sent, content_bytes(message.key(), message.payload())) {
            for wake in self.wakes.lock().iter() {
                wake.wake();
            }
        }
    }
}

/// Sends messages to one topic.
pub(super) struct Producer {
    producer: ThreadedProducer<Deliveries>,
    topic: String,
    /// Partitions of the topic.
    pub(super) partitions: usize,
}

impl Producer {
    /// A producer whose brokers have answered.
    ///
    /// # Errors
    /// Where they do not in time, or there is no such topic.
    pub(super) fn new(settings: &Settings, topic: &str) -> Result<Self> {
        let config = config(settings, &[]);
        let producer = ThreadedProducer::from_config_and_context(&config, Deliveries::default());
        let producer: ThreadedProducer<Deliveries> = producer.map_err(|error| refused(&error))?;
        let partitions = count_partitions(&producer, &producer.context().reports, settings, topic)?;
        Ok(Self { producer, topic: topic.to_owned(), partitions })
    }

    fn client(&self) -> &Client<Deliveries> {
        self.producer.client()
    }

    /// Wakes this shard as well when there is room again, or messages are delivered.
    pub(super) fn add_wake(&self, wake: WakeHandle) {
        self.client().context().wakes.lock().push(wake);
    }

    /// Whether more messages may be sent.
    pub(super) fn ready(&self) -> bool {
        let context = self.client().context();
        if context.has_room() {
            return true;
        }
        context.held.store(true, Ordering::SeqCst);
        // Room that came before that tells nobody.
        context.has_room()
    }

    /// Sends a message, and counts it.
    ///
    /// # Errors
    /// Where the client does not take it, or did not get an earlier one through.
    pub(super) fn send(&self, message: &Outgoing<'_>, sent: &Arc<Sent>) -> Result<()> {
        let context = self.client().context();
        let mut record = record(&self.topic, message, Arc::clone(sent))?;
        let bytes = content_bytes(message.key, message.value);
        context.begin(sent, bytes);
        let failed = |error| {
            context.end(sent, bytes);
            Err(error)
        };
        for _ in 0..ROOM.1 {
            record = match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), record)) => record,
                Err((error, _)) => {
                    let what =
                        format!("a message of {} bytes to topic \"{}\" cannot be sent", message.bytes(), self.topic);
                    return failed(context.reports.explain(&what, &error));
                }
            };
            if let Err(error) = self.check() {
                return failed(error);
            }
            self.producer.poll(ROOM.0);
        }
        let what = format_args!("cannot write to topic \"{}\"", self.topic);
        failed(EngineError::io(what, "the brokers take no messages"))
    }

    /// An error where a message was not taken.
    ///
    /// # Errors
    /// See above.
    pub(super) fn check(&self) -> Result<()> {
        match self.client().context().failed.lock().as_ref() {
            Some(reason) => Err(EngineError::Io { message: reason.clone() }),
            None => Ok(()),
        }
    }
}
