//! [`Queue`]: the messages on their way from one shard (or job) to another, with credit.
//!
//! A push always succeeds, so that a step never stops halfway; whoever reads sources asks [`Queue::has_credit`] first.
//! What is in a queue is therefore bounded by its credit and the output of one step.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::waker::Waker;
use crate::message::Message;

/// Rows that may wait in a queue before its producer stops reading sources.
const CREDIT_ROWS: usize = 8 * crate::message::BATCH_ROWS;

/// A queue with one producer and one consumer.
#[derive(Debug)]
pub(super) struct Queue {
    items: Mutex<VecDeque<Message>>,
    rows: AtomicUsize,
    /// Nobody reads it any more: what is pushed is dropped.
    closed: AtomicBool,
    /// The shard that reads.
    consumer: Arc<Waker>,
    /// The shard that writes; woken when credit returns.
    producer: Arc<Waker>,
}

impl Queue {
    pub(super) fn new(producer: Arc<Waker>, consumer: Arc<Waker>) -> Self {
        Self { items: Mutex::default(), rows: AtomicUsize::new(0), closed: AtomicBool::new(false), consumer, producer }
    }

    /// Adds a message and wakes the consumer.
    pub(super) fn push(&self, message: Message) {
        if self.closed.load(Ordering::Acquire) {
            return;
        }
        self.rows.fetch_add(rows_of(&message), Ordering::AcqRel);
        self.items.lock().push_back(message);
        self.consumer.wake();
    }

    /// Takes the oldest message.
    pub(super) fn pop(&self) -> Option<Message> {
        let message = self.items.lock().pop_front()?;
        let rows = rows_of(&message);
        let before = self.rows.fetch_sub(rows, Ordering::AcqRel);
        if before >= CREDIT_ROWS && before - rows < CREDIT_ROWS {
            self.producer.wake();
        }
        Some(message)
    }

    /// Whether the producer may go on making rows.
    pub(super) fn has_credit(&self) -> bool {
        self.closed.load(Ordering::Acquire) || self.rows.load(Ordering::Acquire) < CREDIT_ROWS
    }

    /// Drops what is in it and what comes.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.items.lock().clear();
        self.rows.store(0, Ordering::Release);
        self.producer.wake();
    }

    /// Whether [`Self::close`] was called.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

fn rows_of(message: &Message) -> usize {
    match message {
        Message::Delta(delta) => delta.rows(),
        Message::Watermark(_) | Message::Idle | Message::Barrier(_) | Message::End => 0,
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};

    use super::*;
    use crate::message::Delta;

    #[test]
    fn credit_ends_and_returns() {
        let queue = Queue::new(Arc::default(), Arc::default());
        let column: ArrayRef = Arc::new(Int64Array::from_value(1, CREDIT_ROWS));
        let batch = RecordBatch::try_from_iter([("a", column)]).expect("one column");
        queue.push(Message::Delta(Delta::append(batch)));
        assert!(!queue.has_credit());
        assert!(queue.pop().is_some());
        assert!(queue.has_credit());
        assert!(queue.pop().is_none());
    }
}
