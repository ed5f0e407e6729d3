//! [`Transactor`]: sends staged messages in transactions of one lane, each with its number in the ledger.

use std::time::Duration;

use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::StateStore;
use parking_lot::Mutex;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::super::client::{Reports, refused};
use super::super::outgoing::Outgoing;
use super::super::producer::{ROOM, config, count_partitions, not_taken, record};
use super::super::settings::Settings;
use super::format_staged::each;
use super::format_token::Staged;

/// How long a step of a transaction may take before it is tried again, and how often.
const STEP: (Duration, usize) = (Duration::from_secs(10), 12);

/// The same for what a statement or the start of a server waits for.
const OPENING: (Duration, usize) = (Duration::from_secs(5), 4);

/// How long an abort may take. Where it does not come through, the next producer of the lane does it.
const ABORT_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a transaction is begun for the same messages.
const ATTEMPTS: usize = 3;

/// Milliseconds after which the brokers abort a transaction, where the table does not say it.
const TRANSACTION_TIMEOUT_MS: u64 = 300_000;

/// Milliseconds after which a message is given up; the client wants it within the transaction.
const MESSAGE_TIMEOUT_MS: u64 = 120_000;

/// See the module.
pub(super) struct Transactor {
    settings: Settings,
    lane: String,
    topic: String,
    open: Option<Open>,
}

/// A producer whose predecessors are fenced, and what they had committed.
struct Open {
    producer: ThreadedProducer<Outcomes>,
    group: ConsumerGroupMetadata,
    /// The number in the ledger.
    committed: Option<i64>,
    partitions: usize,
}

/// Why a transaction did not come about.
enum Trouble {
    /// Another one may.
    Again(EngineError),
    /// None will, as things are.
    Final(EngineError),
    /// The messages are no longer staged: they are committed.
    Done,
}

/// What became of messages.
#[derive(Debug, Default)]
struct Outcomes {
    reports: Reports,
    /// Why the first message was not taken.
    failed: Mutex<Option<(RDKafkaErrorCode, String)>>,
}

impl ClientContext for Outcomes {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.reports.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.reports.error(error, reason);
    }
}

impl ProducerContext for Outcomes {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
            self.failed.lock().get_or_insert_with(|| (code, not_taken(error, message.topic())));
        }
    }
}

impl Transactor {
    /// A transactor of a lane that has not asked the brokers yet.
    pub(super) fn new(settings: Settings, lane: &str, topic: &str) -> Self {
        Self { settings, lane: lane.to_owned(), topic: topic.to_owned(), open: None }
    }

    /// Shuts out whoever wrote in this lane before. Gives the last number in its ledger, and the partitions of the topic.
    ///
    /// # Errors
    /// Where the brokers do not answer, or forbid it.
    pub(super) fn begin(&mut self) -> Result<(Option<i64>, usize)> {
        let open = match self.open.take() {
            Some(open) => open,
            None => self.opened()?,
        };
        let told = (open.committed, open.partitions);
        self.open = Some(open);
        Ok(told)
    }

    fn opened(&self) -> Result<Open> {
        let given = self.settings.client.get("transaction.timeout.ms").and_then(|millis| millis.parse().ok());
        let timeout = given.unwrap_or(TRANSACTION_TIMEOUT_MS);
        let (timeout, message) = (timeout.to_string(), timeout.min(MESSAGE_TIMEOUT_MS).to_string());
        let defaults = [("transaction.timeout.ms", timeout.as_str()), ("message.timeout.ms", &message)];
        let mut config = config(&self.settings, &defaults);
        config.set("transactional.id", &self.lane);
        let producer = ThreadedProducer::from_config_and_context(&config, Outcomes::default());
        let producer: ThreadedProducer<Outcomes> = producer.map_err(|error| refused(&error))?;
        let reports = &producer.context().reports;
        let partitions = count_partitions(&producer, reports, &self.settings, &self.topic)?;
        let what = format!("transactional id \"{}\" cannot be had at {}", self.lane, self.settings.servers());
        patiently(OPENING, |wait| producer.init_transactions(wait)).map_err(|error| reports.explain(&what, &error))?;
        let (group, committed) = self.read_ledger()?;
        Ok(Open { producer, group, committed, partitions })
    }

    /// The number in the ledger. Transactions that were under way have ended: the producer is there.
    fn read_ledger(&self) -> Result<(ConsumerGroupMetadata, Option<i64>)> {
        let mut config = ClientConfig::new();
        for (key, value) in &self.settings.client {
            config.set(key, value);
        }
        for (key, value) in
            [("group.id", self.lane.as_str()), ("enable.auto.commit", "false"), ("isolation.level", "read_committed")]
        {
            config.set(key, value);
        }
        config.set_log_level(RDKafkaLogLevel::Error);
        let consumer: BaseConsumer<Reports> =
            BaseConsumer::from_config_and_context(&config, Reports::default()).map_err(|error| refused(&error))?;
        let what = format!("the offset of group \"{}\" cannot be read", self.lane);
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&self.topic, 0);
        let found = patiently(OPENING, |wait| consumer.committed_offsets(asked.clone(), wait));
        let found = found.map_err(|error| consumer.context().explain(&what, &error))?;
        let group =
            consumer.group_metadata().ok_or_else(|| EngineError::Internal("a consumer without a group".into()))?;
        let committed = found.elements().first().and_then(|of| match of.offset() {
            Offset::Offset(number) => Some(number),
            _ => None,
        });
        Ok((group, committed))
    }

    /// Sends staged messages in one transaction, where they are not committed yet. `stopped`: nobody waits any more.
    ///
    /// # Errors
    /// Where the transaction cannot be had. Whether it is committed is told by the ledger alone.
    pub(super) fn commit(&mut self, staged: &Staged, store: &dyn StateStore, stopped: &dyn Fn() -> bool) -> Result<()> {
        let mut last = EngineError::Gone("the job was stopped".into());
        for _ in 0..ATTEMPTS {
            if stopped() {
                break;
            }
            if self.begin()?.0.is_some_and(|committed| committed >= staged.number) {
                return Ok(());
            }
            let Some(open) = &mut self.open else { break };
            match open.transact(staged, store, stopped) {
                Ok(()) => {
                    open.committed = Some(staged.number);
                    return Ok(());
                }
                Err(Trouble::Done) => return Ok(()),
                Err(trouble) => {
                    // Another producer ends what this one has left, and reads what became of it.
                    self.open = None;
                    match trouble {
                        Trouble::Final(error) => return Err(error),
                        Trouble::Again(error) => last = error,
                        Trouble::Done => return Ok(()),
                    }
                }
            }
        }
        Err(last)
    }
}

impl Open {
    fn transact(
        &self,
        staged: &Staged,
        store: &dyn StateStore,
        stopped: &dyn Fn() -> bool,
    ) -> std::result::Result<(), Trouble> {
        self.producer.begin_transaction().map_err(|error| self.trouble(staged, &error))?;
        let done = self.send_all(staged, store, stopped).and_then(|()| self.end(staged));
        if done.is_err()
            && let Err(error) = self.producer.abort_transaction(ABORT_TIMEOUT)
        {
            tracing::debug!(lane = staged.lane, %error, "a transaction could not be aborted");
            // A producer that was shut out may learn it no sooner. It must not take the lane back.
            if self.is_shut_out(code_of(&error)) {
                return Err(shut_out(staged));
            }
        }
        done
    }

    /// Whether another producer has the lane, or the brokers have taken it from this one.
    fn is_shut_out(&self, code: Option<RDKafkaErrorCode>) -> bool {
        use RDKafkaErrorCode as Code;
        let failed = self.producer.context().failed.lock().as_ref().map(|(code, _)| *code);
        let fatal = self.producer.client().fatal_error().map(|(code, _)| code);
        let codes = [code, failed, fatal];
        codes.iter().any(|code| matches!(code, Some(Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch)))
    }

    fn send_all(
        &self,
        staged: &Staged,
        store: &dyn StateStore,
        stopped: &dyn Fn() -> bool,
    ) -> std::result::Result<(), Trouble> {
        for path in &staged.chunks {
            let chunk = store.get(path).map_err(Trouble::Final)?.ok_or(Trouble::Done)?;
            let mut trouble = None;
            let sent = each(&chunk, |message| {
                self.send(staged, message, stopped).map_err(|found| {
                    trouble = Some(found);
                    EngineError::Internal("a message was not sent".into())
                })
            });
            sent.map_err(|error| trouble.unwrap_or(Trouble::Final(error)))?;
        }
        Ok(())
    }

    fn send(
        &self,
        staged: &Staged,
        message: &Outgoing<'_>,
        stopped: &dyn Fn() -> bool,
    ) -> std::result::Result<(), Trouble> {
        let mut record = record(&staged.topic, message, ()).map_err(Trouble::Final)?;
        for _ in 0..ROOM.1 {
            record = match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), record)) => record,
                Err((error, _)) => return Err(self.trouble(staged, &error)),
            };
            if stopped() {
                return Err(Trouble::Final(EngineError::Gone("the job was stopped".into())));
            }
            self.producer.poll(ROOM.0);
        }
        let what = format_args!("cannot write to topic \"{}\"", staged.topic);
        Err(Trouble::Again(EngineError::io(what, "the brokers take no messages")))
    }

    /// Writes the number into the ledger and commits.
    fn end(&self, staged: &Staged) -> std::result::Result<(), Trouble> {
        let mut number = TopicPartitionList::new();
        let added = number.add_partition_offset(&staged.topic, 0, Offset::Offset(staged.number));
        added.map_err(|error| self.trouble(staged, &error))?;
        patiently(STEP, |wait| self.producer.send_offsets_to_transaction(&number, &self.group, wait))
            .map_err(|error| self.trouble(staged, &error))?;
        patiently(STEP, |wait| self.producer.commit_transaction(wait)).map_err(|error| self.trouble(staged, &error))
    }

    fn trouble(&self, staged: &Staged, error: &KafkaError) -> Trouble {
        use RDKafkaErrorCode as Code;
        if self.is_shut_out(code_of(error)) {
            return shut_out(staged);
        }
        let context = self.producer.context();
        let what = uncommitted(staged);
        if let Some((code, reason)) = context.failed.lock().as_ref() {
            let failed = EngineError::io(what, reason);
            return match code {
                Code::MessageSizeTooLarge | Code::TopicAuthorizationFailed | Code::InvalidRecord => {
                    Trouble::Final(failed)
                }
                _ => Trouble::Again(failed),
            };
        }
        Trouble::Again(context.reports.explain(&what, error))
    }
}

fn uncommitted(staged: &Staged) -> String {
    format!("a transaction on topic \"{}\" cannot be committed", staged.topic)
}

fn shut_out(staged: &Staged) -> Trouble {
    let why = format!(
        "another writer has taken over transactional id \"{}\", or the transaction took longer than transaction.timeout.ms",
        staged.lane
    );
    Trouble::Final(EngineError::io(uncommitted(staged), why))
}

fn code_of(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    match error {
        KafkaError::Transaction(error) => Some(error.code()),
        other => other.rdkafka_error_code(),
    }
}

/// Does a step again as long as the client says that it may come through.
fn patiently<T>(
    (wait, tries): (Duration, usize),
    mut step: impl FnMut(Duration) -> std::result::Result<T, KafkaError>,
) -> std::result::Result<T, KafkaError> {
    let mut result = step(wait);
    for _ in 1..tries {
        let again = match &result {
            Err(KafkaError::Transaction(error)) => error.is_retriable() && !error.txn_requires_abort(),
            Ok(_) | Err(_) => false,
        };
        if !again {
            break;
        }
        result = step(wait);
    }
    result
}
