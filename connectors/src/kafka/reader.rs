//! [`Reader`]: the rows of one split.
//!
//! librdkafka fetches ahead on threads of its own, up to a limit of bytes, and wakes the shard; a shard that does not
//! read lets the queue fill, and fetching stops. One reader of a table looks for new partitions and takes them on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use millstream_engine::error::{EngineError, Result};
use millstream_engine::message::Sign;
use millstream_engine::ports::{ReadContext, ReadPoll, SplitReader};
use millstream_engine::time::ProcessingTime;
use rdkafka::error::KafkaError;

use super::clerk::{Answer, Clerk};
use super::client::Consumer;
use super::format_offset;
use super::partitions::Partition;
use super::rows::Rows;
use super::stream::Stream;

/// How often a silent reader serves the client's events.
const HOUSEKEEPING_US: i64 = 1_000_000;

/// Looks for new partitions, for the one reader of a table that does.
pub(super) struct Discovery {
    /// Microseconds between two looks.
    pub(super) interval_us: i64,
    /// Partitions that some reader has.
    pub(super) known: BTreeSet<Partition>,
    /// When to look.
    pub(super) due: Option<ProcessingTime>,
    /// A look under way.
    pub(super) asked: Option<Answer<BTreeSet<Partition>>>,
}

/// See the module.
pub(super) struct Reader {
    consumer: Option<Arc<Consumer>>,
    clerk: Clerk,
    /// The partition of the split, then those taken on.
    streams: Vec<Stream>,
    rows: Rows,
    discovery: Option<Discovery>,
    /// The stream to read first.
    cursor: usize,
}

impl Reader {
    /// A reader of a partition.
    pub(super) fn new(
        consumer: Arc<Consumer>,
        clerk: Clerk,
        stream: Stream,
        rows: Rows,
        discovery: Option<Discovery>,
    ) -> Self {
        Self { consumer: Some(consumer), clerk, streams: vec![stream], rows, discovery, cursor: 0 }
    }

    /// Serves the client's events.
    fn serve(&self) -> Result<()> {
        let Some(consumer) = &self.consumer else { return Ok(()) };
        while let Some(event) = consumer.poll(Duration::ZERO) {
            if let Err(KafkaError::MessageConsumptionFatal(code)) = event {
                return Err(EngineError::io("reading from Kafka has failed", code));
            }
        }
        Ok(())
    }

    /// Takes on partitions that are new.
    fn discover(&mut self, context: &ReadContext<'_>) {
        let Some(discovery) = &mut self.discovery else { return };
        let next = ProcessingTime(context.now.0.saturating_add(discovery.interval_us));
        let due = *discovery.due.get_or_insert(next);
        if let Some(answer) = discovery.asked.as_ref().and_then(Answer::take) {
            discovery.asked = None;
            match answer {
                Ok(found) => {
                    for partition in found.difference(&discovery.known) {
                        tracing::info!(partition = partition.id(), "a new partition is read");
                        self.streams.push(Stream::new(partition.clone(), 0, None));
                    }
                    discovery.known.extend(found);
                }
                Err(error) => tracing::debug!(%error, "new partitions could not be looked for"),
            }
        }
        if due <= context.now && discovery.asked.is_none() {
            discovery.asked = Some(self.clerk.partitions(context.wake));
            discovery.due = Some(next);
        }
    }

    /// What is to be said where no row is here.
    fn quiet(&mut self, context: &ReadContext<'_>) -> Result<ReadPoll> {
        let mut retry_at = ProcessingTime(context.now.0.saturating_add(HOUSEKEEPING_US));
        if let Some(due) = self.discovery.as_ref().and_then(|discovery| discovery.due) {
            retry_at = retry_at.min(due.max(ProcessingTime(context.now.0.saturating_add(1))));
        }
        let mut all = true;
        if context.flushing {
            for stream in &mut self.streams {
                let (flushed, again) = stream.flushed(&self.clerk, context.wake, context.now)?;
                all &= flushed;
                retry_at = again.map_or(retry_at, |again| retry_at.min(again));
            }
        }
        match all {
            true => Ok(ReadPoll::Pending { retry_at: Some(retry_at) }),
            false => Ok(ReadPoll::Fetching { retry_at: Some(retry_at) }),
        }
    }
}

impl SplitReader for Reader {
    fn poll(&mut self, context: &mut ReadContext<'_>) -> Result<ReadPoll> {
        self.serve()?;
        self.discover(context);
        let Some(consumer) = &self.consumer else { return Ok(ReadPoll::End) };
        let count = self.streams.len();
        for step in 0..count {
            let Some(stream) = self.streams.get_mut((self.cursor + step) % count) else { break };
            stream.open(consumer, context.wake)?;
            stream.read(&mut self.rows, context.rows_max, context.rejects)?;
            if stream.done() {
                stream.close(consumer, &self.clerk);
            }
        }
        self.cursor = (self.cursor + 1) % count.max(1);
        let full = self.rows.len() >= context.rows_max;
        if self.rows.len() > 0
            && let Some(delta) = self.rows.finish()?
        {
            return Ok(match &delta.sign {
                Sign::AppendOnly => ReadPoll::Batch(delta.batch),
                Sign::Retracts(_) => ReadPoll::Changes(delta),
            });
        }
        if self.streams.iter().all(Stream::done) {
            return Ok(ReadPoll::End);
        }
        if full {
            // Changes that came to nothing: there may be more behind them.
            context.wake.wake();
        }
        self.quiet(context)
    }

    fn offset(&self) -> String {
        format_offset::encode(self.streams.iter().map(|stream| (&stream.partition, stream.next)))
    }

    fn seek(&mut self, offset: &str) -> Result<()> {
        let lost = || EngineError::Internal(format!("not an offset of this split: {offset}"));
        let places = format_offset::decode(offset).ok_or_else(lost)?;
        let own = self.streams.first().ok_or_else(lost)?;
        let mut streams = Vec::with_capacity(places.len());
        for (index, (partition, next)) in places.into_iter().enumerate() {
            if index == 0 && partition != own.partition {
                return Err(lost());
            }
            if let Some(discovery) = &mut self.discovery {
                discovery.known.insert(partition.clone());
            }
            streams.push(own.moved(partition, next));
        }
        self.streams = streams;
        Ok(())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let Some(consumer) = self.consumer.take() else { return };
        for stream in &mut self.streams {
            stream.close(&consumer, &self.clerk);
        }
        self.clerk.release(consumer);
    }
}
