//! [`Stream`]: the messages of one partition, from an offset to an end.

use std::fmt;
use std::sync::Arc;

use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::WakeHandle;
use millstream_engine::rejects::Rejects;
use millstream_engine::time::ProcessingTime;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::clerk::{Answer, Clerk};
use super::client::Consumer;
use super::partitions::{self, Partition};
use super::queue::{Event, Queue};
use super::rows::Rows;

/// How long to wait for messages that the end of a partition promises: markers of transactions count as offsets, but
/// are never seen.
const GRACE_US: i64 = 1_000_000;

/// See the module.
pub(super) struct Stream {
    pub(super) partition: Partition,
    /// The offset of the next message.
    pub(super) next: i64,
    /// Messages from here on are not read.
    pub(super) stop: Option<i64>,
    queue: Option<Queue>,
    /// An earlier run has told of the messages before this one.
    known_to: i64,
    /// The end was reached, and nothing has come since.
    at_end: bool,
    flush: Flush,
    done: bool,
}

/// What a flush waits for.
enum Flush {
    No,
    /// Where the partition ends.
    Asked(Answer<i64>),
    /// This offset. Where the end had been reached before: at most until the time.
    Until(i64, Option<ProcessingTime>),
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("partition", &self.partition).field("next", &self.next).finish_non_exhaustive()
    }
}

impl Stream {
    /// The messages of a partition from `next` to before `stop`.
    pub(super) fn new(partition: Partition, next: i64, stop: Option<i64>) -> Self {
        let done = stop.is_some_and(|stop| next >= stop);
        Self { partition, next, stop, known_to: 0, queue: None, at_end: false, flush: Flush::No, done }
    }

    /// The messages of a partition from the first that is there; of those before `known_to` an earlier run has told.
    pub(super) fn again(partition: Partition, known_to: i64, stop: Option<i64>) -> Self {
        Self { known_to, ..Self::new(partition, 0, stop) }
    }

    /// The offset of the next message that is not known.
    pub(super) fn place(&self) -> i64 {
        self.next.max(self.known_to)
    }

    /// Whether nothing comes any more.
    pub(super) fn done(&self) -> bool {
        self.done
    }

    /// Begins to fetch, where that has not begun.
    ///
    /// # Errors
    /// Where the client refuses.
    pub(super) fn open(&mut self, consumer: &Arc<Consumer>, wake: &WakeHandle) -> Result<()> {
        if self.queue.is_some() || self.done {
            return Ok(());
        }
        let what = format!("cannot read {}", self.partition.id());
        let Partition { topic, number } = &self.partition;
        let queue = Queue::new(consumer, topic, *number, wake);
        let queue = queue.ok_or_else(|| EngineError::io(&what, "the client has no queue for it"))?;
        // A partition that is new may have lost its first messages already.
        let start = if self.next == 0 { Offset::Beginning } else { Offset::Offset(self.next) };
        let mut assigned = TopicPartitionList::new();
        assigned
            .add_partition_offset(topic, *number, start)
            .and_then(|()| consumer.incremental_assign(&assigned))
            .map_err(|error| consumer.context().explain(&what, &error))?;
        self.queue = Some(queue);
        Ok(())
    }

    /// Appends messages that are here to `rows`, until it has `rows_max`.
    ///
    /// # Errors
    /// A message that breaks its format, or a partition that cannot be read any more.
    pub(super) fn read(&mut self, rows: &mut Rows, rows_max: usize, rejects: &mut Rejects) -> Result<()> {
        while !self.done && rows.len() < rows_max {
            let Some(queue) = &mut self.queue else { return Ok(()) };
            match queue.next() {
                None => return Ok(()),
                Some(Event::Message(message)) => {
                    self.at_end = false;
                    if self.stop.is_some_and(|stop| message.offset() >= stop) {
                        self.done = true;
                        return Ok(());
                    }
                    // What was fetched before a seek.
                    if message.offset() < self.next {
                        continue;
                    }
                    rows.push(&message, rejects)?;
                    if message.offset() < self.known_to {
                        rows.set_known();
                    }
                    self.next = message.offset() + 1;
                    self.done = self.stop.is_some_and(|stop| self.next >= stop);
                }
                Some(Event::End) => {
                    self.at_end = true;
                    // The end is not before `stop`, which was there when reading began; what is missing are markers.
                    self.done = self.stop.is_some();
                    if let Flush::Until(_, grace) = &mut self.flush {
                        *grace = Some(ProcessingTime(i64::MIN));
                    }
                }
                Some(Event::Error(code)) => weigh(&self.partition, self.next, code)?,
            }
        }
        Ok(())
    }

    /// Whether everything has been read that was there when the flush began, and when to ask again.
    ///
    /// # Errors
    /// Where the brokers do not tell where the partition ends.
    pub(super) fn flushed(
        &mut self,
        clerk: &Clerk,
        wake: &WakeHandle,
        now: ProcessingTime,
    ) -> Result<(bool, Option<ProcessingTime>)> {
        if self.done {
            return Ok((true, None));
        }
        if let Flush::No = self.flush {
            self.flush = Flush::Asked(clerk.end(&self.partition, wake));
        }
        if let Flush::Asked(answer) = &self.flush {
            let Some(end) = answer.take() else { return Ok((false, None)) };
            let grace = self.at_end.then_some(ProcessingTime(now.0.saturating_add(GRACE_US)));
            self.flush = Flush::Until(end?, grace);
        }
        let Flush::Until(end, grace) = &self.flush else { return Ok((false, None)) };
        if self.next >= *end || grace.is_some_and(|grace| grace <= now) {
            self.flush = Flush::No;
            return Ok((true, None));
        }
        Ok((false, *grace))
    }

    /// Stops fetching.
    pub(super) fn close(&mut self, consumer: &Arc<Consumer>, clerk: &Clerk) {
        let Some(queue) = self.queue.take() else { return };
        let mut assigned = TopicPartitionList::new();
        assigned.add_partition(&self.partition.topic, self.partition.number);
        if let Err(error) = consumer.incremental_unassign(&assigned) {
            tracing::debug!(%error, "{} could not be let go", self.partition.id());
        }
        clerk.close(queue);
    }
}

/// An error for what does not mend itself.
fn weigh(partition: &Partition, next: i64, code: RDKafkaErrorCode) -> Result<()> {
    use RDKafkaErrorCode as Code;
    let what = format!("cannot read {} at offset {}", partition.id(), next);
    match code {
        Code::AutoOffsetReset | Code::OffsetOutOfRange => {
            Err(partitions::gone(format!("{what}: there is no such offset any more")))
        }
        Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition => {
            Err(EngineError::io(what, "the partition does not exist any more"))
        }
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::BadMessage
        | Code::BadCompression
        | Code::Fatal => Err(EngineError::io(what, code)),
        // The client tries again by itself: a broker that restarts, a leader that moves.
        code => {
            tracing::debug!(%code, "{what}");
            Ok(())
        }
    }
}
