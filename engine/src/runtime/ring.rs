//! [`Ring`]: the messages on their way from one shard, or job, to another, with credit in rows.
//!
//! A push always succeeds, so that a step never stops halfway; whoever makes rows asks [`Ring::has_credit`] first. What
//! waits in a ring is therefore bounded by its credit and the output of one step.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::signal::Signal;
use crate::message::{BATCH_ROWS, Message};

/// Rows that may wait in a ring before its producer stops.
pub(super) const CREDIT_ROWS: usize = 4 * BATCH_ROWS;

/// A queue with one producer and one consumer.
#[derive(Debug)]
pub(super) struct Ring {
    queue: Mutex<VecDeque<Message>>,
    rows: AtomicUsize,
    /// Nobody reads it any more: what is pushed is dropped.
    closed: AtomicBool,
    consumer: Arc<Signal>,
    producer: OnceLock<Arc<Signal>>,
}

impl Ring {
    /// A ring that `consumer` reads.
    pub(super) fn new(consumer: Arc<Signal>) -> Self {
        Self {
            queue: Mutex::default(),
            rows: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            consumer,
            producer: OnceLock::new(),
        }
    }

    /// Tells who writes, to be woken when credit returns. The first one told counts.
    pub(super) fn set_producer(&self, producer: Arc<Signal>) {
        let _ = self.producer.set(producer);
    }

    /// Adds a message and wakes the consumer.
    pub(super) fn push(&self, message: Message) {
        if self.is_closed() {
            return;
        }
        {
            let mut queue = self.queue.lock();
            self.rows.fetch_add(rows_of(&message), Ordering::AcqRel);
            queue.push_back(message);
        }
        self.consumer.raise();
    }

    /// Takes the oldest message.
    pub(super) fn pop(&self) -> Option<Message> {
        let message = self.queue.lock().pop_front()?;
        let rows = rows_of(&message);
        let before = self.rows.fetch_sub(rows, Ordering::AcqRel);
        if before >= CREDIT_ROWS && before - rows < CREDIT_ROWS {
            self.wake_producer();
        }
        Some(message)
    }

    /// Whether the producer may go on making rows.
    pub(super) fn has_credit(&self) -> bool {
        self.rows.load(Ordering::Acquire) < CREDIT_ROWS || self.is_closed()
    }

    /// Nothing is read any more: drops what is in it and what comes.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let dropped = std::mem::take(&mut *self.queue.lock());
        let rows = dropped.iter().map(rows_of).sum();
        self.rows.fetch_sub(rows, Ordering::AcqRel);
        self.wake_producer();
    }

    /// Whether [`Self::close`] was called.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn wake_producer(&self) {
        if let Some(producer) = self.producer.get() {
            producer.raise();
        }
    }
}

/// Rows of a message; only deltas have some.
pub(super) fn rows_of(message: &Message) -> usize {
    match message {
        Message::Delta(delta) => delta.rows(),
        Message::Watermark(_) | Message::Idle | Message::Barrier(_) | Message::End => 0,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};

    use super::*;
    use crate::message::Delta;

    fn rows(rows: usize) -> Message {
        let column: ArrayRef = Arc::new(Int64Array::from_value(1, rows));
        Message::Delta(Delta::append(RecordBatch::try_from_iter([("a", column)]).unwrap()))
    }

    fn signal() -> Arc<Signal> {
        Arc::new(Signal::new(Arc::default()))
    }

    #[test]
    fn credit_ends_and_its_return_wakes_the_producer() {
        let (producer, consumer) = (signal(), signal());
        let ring = Ring::new(Arc::clone(&consumer));
        ring.set_producer(Arc::clone(&producer));
        ring.push(rows(CREDIT_ROWS));
        assert!(!ring.has_credit());
        assert!(consumer.take());
        assert!(ring.pop().is_some());
        assert!(ring.has_credit());
        assert!(producer.take());
        assert!(ring.pop().is_none());
    }

    #[test]
    fn a_closed_ring_takes_everything_and_keeps_nothing() {
        let ring = Ring::new(signal());
        ring.push(rows(CREDIT_ROWS));
        ring.close();
        ring.push(rows(CREDIT_ROWS));
        assert!(ring.has_credit());
        assert!(ring.pop().is_none());
    }
}
