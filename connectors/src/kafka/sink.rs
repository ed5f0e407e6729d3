//! [`KafkaSink`]: a topic, opened for writing, and the producer that the writers of all shards share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::{Accepts, Guarantee, Sink, SinkContext, SinkWriter, TableSpec, WakeHandle};
use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};

use super::client::{Reports, TIMEOUT, refused};
use super::settings::{Flavour, Settings, Topics};
use super::writer::KafkaWriter;

/// Messages on their way above which no more rows are taken.
const IN_FLIGHT_MAX: usize = 100_000;

/// How long a flush may take.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(60);

/// How long room in the client's queue is waited for at once, and how often.
const ROOM: (Duration, usize) = (Duration::from_millis(100), 600);

/// A topic, opened for writing.
pub(super) struct KafkaSink {
    settings: Arc<Settings>,
    options: SinkOptions,
    topic: String,
    /// Made with the first writer.
    producer: Mutex<Option<Arc<Producer>>>,
}

/// How rows find their partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Partitioner {
    /// By the hash of the key; at random without one.
    Default,
    /// All rows of a shard to one.
    Fixed,
    /// In turn.
    RoundRobin,
}

/// The options of the sink.
#[derive(Debug, Clone, Copy)]
pub(super) struct SinkOptions {
    pub(super) partitioner: Partitioner,
    pub(super) guarantee: Guarantee,
}

impl SinkOptions {
    /// Reads them.
    ///
    /// # Errors
    /// Where they ask for what is not there.
    pub(super) fn new(table: &TableSpec) -> Result<Self> {
        let word = |name: &str| table.options.get(name).unwrap_or_default().to_ascii_lowercase();
        Ok(Self {
            partitioner: match word("sink.partitioner").as_str() {
                "fixed" => Partitioner::Fixed,
                "round-robin" => Partitioner::RoundRobin,
                _ => Partitioner::Default,
            },
            guarantee: match word("sink.delivery-guarantee").as_str() {
                "none" => Guarantee::None,
                "exactly-once" => return Err(no_exactly_once()),
                _ => Guarantee::AtLeastOnce,
            },
        })
    }
}

fn no_exactly_once() -> EngineError {
    EngineError::Config {
        message: "'sink.delivery-guarantee' = 'exactly-once' is not supported yet".to_owned(),
        hint: Some(
            "a transaction of Kafka must end together with a checkpoint, and jobs keep no checkpoints yet; use \
             'at-least-once'"
                .to_owned(),
        ),
    }
}

impl fmt::Debug for KafkaSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

impl KafkaSink {
    /// A sink for the only topic of a table. Asks no broker yet.
    ///
    /// # Errors
    /// Where the table has several topics.
    pub(super) fn new(settings: Settings, table: &TableSpec) -> Result<Self> {
        let topic = match &settings.topics {
            Topics::Named(names) if names.len() == 1 => names.concat(),
            Topics::Named(_) | Topics::Pattern(_) => {
                return Err(EngineError::Config {
                    message: format!("table \"{}\" cannot be written: it has more than one topic", table.name),
                    hint: Some("a sink needs one name in option \"topic\"".to_owned()),
                });
            }
        };
        let options = SinkOptions::new(table)?;
        Ok(Self { settings: Arc::new(settings), options, topic, producer: Mutex::new(None) })
    }

    fn producer(&self) -> Result<Arc<Producer>> {
        let mut made = self.producer.lock();
        if let Some(producer) = made.as_ref() {
            return Ok(Arc::clone(producer));
        }
        let producer = Arc::new(Producer::new(&self.settings, &self.topic)?);
        *made = Some(Arc::clone(&producer));
        Ok(producer)
    }
}

impl Sink for KafkaSink {
    fn accepts(&self) -> Accepts {
        match self.settings.flavour {
            Flavour::Append if !self.settings.value.tells_changes() => Accepts::Append,
            Flavour::Append | Flavour::Upsert => Accepts::Retract,
        }
    }

    fn upsert_key(&self) -> Option<Vec<usize>> {
        match self.settings.flavour {
            Flavour::Append => None,
            Flavour::Upsert => Some(self.settings.columns.key.clone()),
        }
    }

    fn guarantee(&self) -> Guarantee {
        self.options.guarantee
    }

    fn writer(&self, context: SinkContext) -> Result<Box<dyn SinkWriter>> {
        let producer = self.producer()?;
        producer.client().context().wakes.lock().push(context.wake.clone());
        Ok(Box::new(KafkaWriter::new(producer, &self.settings, self.options, &context)?))
    }

    fn describe(&self) -> String {
        format!("kafka {} at {} ({})", self.topic, self.settings.servers(), self.settings.value.name())
    }
}

/// What became of messages.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    reports: Reports,
    in_flight: AtomicUsize,
    /// Why the first message was not taken.
    failed: Mutex<Option<String>>,
    wakes: Mutex<Vec<WakeHandle>>,
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
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            let reason = error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string());
            let text = format!("a message to topic \"{}\" was not taken: {reason}", message.topic());
            self.failed.lock().get_or_insert(text);
        }
        if self.in_flight.fetch_sub(1, Ordering::AcqRel) == IN_FLIGHT_MAX {
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
    fn new(settings: &Settings, topic: &str) -> Result<Self> {
        let mut config = ClientConfig::new();
        let defaults = [
            ("enable.idempotence", "true"),
            ("partitioner", "murmur2_random"),
            ("message.timeout.ms", "120000"),
            ("queue.buffering.max.kbytes", "131072"),
            ("reconnect.backoff.max.ms", "1000"),
        ];
        for (key, value) in defaults {
            config.set(key, value);
        }
        for (key, value) in settings.client.iter().filter(|(key, _)| !is_of_consumers(key)) {
            config.set(key, value);
        }
        config.set_log_level(RDKafkaLogLevel::Warning);
        let producer = ThreadedProducer::from_config_and_context(&config, Deliveries::default());
        let producer: ThreadedProducer<Deliveries> = producer.map_err(|error| refused(&error))?;
        let mut made = Self { producer, topic: topic.to_owned(), partitions: 0 };
        made.partitions = made.count_partitions(settings)?;
        Ok(made)
    }

    fn count_partitions(&self, settings: &Settings) -> Result<usize> {
        let what = format!("cannot reach Kafka at {}", settings.servers());
        let explain = |error| self.client().context().reports.explain(&what, &error);
        // A broker that makes topics by itself makes this one when it is first asked for it.
        for _ in 0..10 {
            let metadata = self.client().fetch_metadata(Some(&self.topic), TIMEOUT).map_err(explain)?;
            let found = metadata.topics().iter().find(|found| found.name() == self.topic);
            match found.map(|found| found.partitions().len()) {
                Some(count) if count > 0 => return Ok(count),
                Some(_) | None => self.producer.poll(ROOM.0),
            }
        }
        Err(EngineError::Config {
            message: format!("topic \"{}\" does not exist at {}", self.topic, settings.servers()),
            hint: Some("make it, or let the broker do so: auto.create.topics.enable=true".to_owned()),
        })
    }

    fn client(&self) -> &rdkafka::client::Client<Deliveries> {
        self.producer.client()
    }

    /// Whether more messages may be sent.
    pub(super) fn ready(&self) -> bool {
        self.client().context().in_flight.load(Ordering::Acquire) < IN_FLIGHT_MAX
    }

    /// Sends a message. No value: the key is deleted.
    ///
    /// # Errors
    /// Where the client does not take it, or did not get an earlier one through.
    pub(super) fn send(&self, partition: Option<i32>, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<()> {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&self.topic);
        (record.partition, record.key, record.payload) = (partition, key, value);
        let context = self.client().context();
        context.in_flight.fetch_add(1, Ordering::AcqRel);
        for _ in 0..ROOM.1 {
            record = match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), record)) => record,
                Err((error, _)) => {
                    context.in_flight.fetch_sub(1, Ordering::AcqRel);
                    let bytes = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
                    let what = format!("a message of {bytes} bytes to topic \"{}\" cannot be sent", self.topic);
                    return Err(context.reports.explain(&what, &error));
                }
            };
            self.check()?;
            self.producer.poll(ROOM.0);
        }
        context.in_flight.fetch_sub(1, Ordering::AcqRel);
        Err(EngineError::io(format_args!("cannot write to topic \"{}\"", self.topic), "the brokers take no messages"))
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

    /// Waits until the brokers have all messages.
    ///
    /// # Errors
    /// Where they do not take them.
    pub(super) fn flush(&self) -> Result<()> {
        let flushed = self.producer.flush(FLUSH_TIMEOUT);
        self.check()?;
        let what = format!("cannot write to topic \"{}\"", self.topic);
        flushed.map_err(|error| self.client().context().reports.explain(&what, &error))
    }
}

/// Whether a property is of consumers alone.
fn is_of_consumers(key: &str) -> bool {
    ["group.", "auto.offset.", "fetch.", "max.poll.", "session.", "heartbeat.", "isolation.", "queued."]
        .iter()
        .any(|prefix| key.starts_with(prefix))
}
