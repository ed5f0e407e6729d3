//! [`Reader`]: the rows of one split.
//!
//! librdkafka fetches ahead on threads of its own, up to a limit of bytes, and wakes the shard; a shard that does not
//! read lets the queue fill, and fetching stops. One reader of a table looks for new partitions, which are splits then.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use millstream_engine::error::{EngineError, Result};
use millstream_engine::message::Sign;
use millstream_engine::ports::{ReadContext, ReadPoll, Split, SplitReader};
use millstream_engine::time::ProcessingTime;
use rdkafka::error::KafkaError;

use super::clerk::{Answer, Clerk};
use super::client::Consumer;
use super::format_offset::{self, Place};
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
    stream: Stream,
    rows: Rows,
    discovery: Option<Discovery>,
    /// Where reading goes on in place of an offset that is not there any more.
    moved: Option<i64>,
    /// The group is told how far reading is.
    commits: bool,
    /// What a checkpoint was told last.
    captured: Cell<Option<i64>>,
}

impl Reader {
    /// A reader of a partition.
    pub(super) fn new(consumer: Arc<Consumer>, clerk: Clerk, stream: Stream, rows: Rows) -> Self {
        let consumer = Some(consumer);
        let (discovery, moved, commits, captured) = (None, None, false, Cell::new(None));
        Self { consumer, clerk, stream, rows, discovery, moved, commits, captured }
    }

    /// Looks for new partitions.
    pub(super) fn discovering(mut self, discovery: Option<Discovery>) -> Self {
        self.discovery = discovery;
        self
    }

    /// Reading goes on here, whatever offset is sought.
    pub(super) fn moved(mut self, next: Option<i64>) -> Self {
        self.moved = next;
        self
    }

    /// The consumer group is told of the offsets of checkpoints.
    pub(super) fn committing(mut self, commits: bool) -> Self {
        self.commits = commits;
        self
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

    /// Partitions that are new.
    fn discover(&mut self, context: &ReadContext<'_>) -> Vec<Split> {
        let Some(discovery) = &mut self.discovery else { return Vec::new() };
        let next = ProcessingTime(context.now.0.saturating_add(discovery.interval_us));
        let due = *discovery.due.get_or_insert(next);
        let mut new = Vec::new();
        if let Some(answer) = discovery.asked.as_ref().and_then(Answer::take) {
            discovery.asked = None;
            match answer {
                Ok(found) => {
                    for partition in found.difference(&discovery.known) {
                        tracing::info!(partition = partition.id(), "a new partition is read");
                        new.push(Split { id: partition.id() });
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
        new
    }

    /// What is to be said where no row is here.
    fn quiet(&mut self, context: &ReadContext<'_>) -> Result<ReadPoll> {
        let mut retry_at = ProcessingTime(context.now.0.saturating_add(HOUSEKEEPING_US));
        if let Some(due) = self.discovery.as_ref().and_then(|discovery| discovery.due) {
            retry_at = retry_at.min(due.max(ProcessingTime(context.now.0.saturating_add(1))));
        }
        if context.flushing {
            let (flushed, again) = self.stream.flushed(&self.clerk, context.wake, context.now)?;
            retry_at = again.map_or(retry_at, |again| retry_at.min(again));
            if !flushed {
                return Ok(ReadPoll::Fetching { retry_at: Some(retry_at) });
            }
        }
        Ok(ReadPoll::Pending { retry_at: Some(retry_at) })
    }
}

impl SplitReader for Reader {
    fn poll(&mut self, context: &mut ReadContext<'_>) -> Result<ReadPoll> {
        self.serve()?;
        let new = self.discover(context);
        if !new.is_empty() {
            return Ok(ReadPoll::Splits(new));
        }
        let Some(consumer) = &self.consumer else { return Ok(ReadPoll::End) };
        self.stream.open(consumer, context.wake)?;
        self.stream.read(&mut self.rows, context.rows_max, context.rejects)?;
        if self.stream.done() {
            self.stream.close(consumer, &self.clerk);
        }
        let full = self.rows.len() >= context.rows_max;
        if self.rows.len() > 0
            && let Some(delta) = self.rows.finish()?
        {
            return Ok(match &delta.sign {
                Sign::AppendOnly => ReadPoll::Batch(delta.batch),
                Sign::Retracts(_) => ReadPoll::Changes(delta),
            });
        }
        if self.stream.done() {
            return Ok(ReadPoll::End);
        }
        if full {
            // Changes that came to nothing: there may be more behind them.
            context.wake.wake();
        }
        self.quiet(context)
    }

    fn offset(&self) -> String {
        let (partition, next, stop) = (&self.stream.partition, self.stream.place(), self.stream.stop);
        // What the checkpoint before was told is durable by now, or soon.
        if let Some(captured) = self.captured.replace(Some(next)).filter(|_| self.commits) {
            self.clerk.commit(partition, captured);
        }
        format_offset::encode(&Place { partition: partition.clone(), next, stop })
    }

    fn seek(&mut self, offset: &str) -> Result<()> {
        let lost = || EngineError::Internal(format!("not an offset of this split: {offset}"));
        let place = format_offset::decode(offset).and_then(|places| places.into_iter().next()).ok_or_else(lost)?;
        if place.partition != self.stream.partition {
            return Err(lost());
        }
        let stop = place.stop.or(self.stream.stop);
        let next = self.moved.unwrap_or(place.next);
        self.stream = match self.rows.replaces() {
            false => Stream::new(place.partition, next, stop),
            true => Stream::again(place.partition, next, stop),
        };
        Ok(())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let Some(consumer) = self.consumer.take() else { return };
        self.stream.close(&consumer, &self.clerk);
        self.clerk.release(consumer);
    }
}
