//! [`Clerk`]: a thread that asks the brokers what a reader must not wait for, one for each opened table.
//!
//! It ends when everybody who could ask is gone. What takes time to close is given to it as well.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::WakeHandle;
use parking_lot::Mutex;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::client::Consumer;
use super::partitions::{self, Partition};
use super::queue::Queue;
use super::settings::{Point, Settings};

/// An answer that comes later.
#[derive(Debug)]
pub(super) struct Answer<T>(Arc<Mutex<Option<Result<T>>>>);

impl<T> Clone for Answer<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Answer<T> {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(None)))
    }

    /// The answer, where it is there.
    pub(super) fn take(&self) -> Option<Result<T>> {
        self.0.lock().take()
    }
}

enum Question {
    /// Where the partition ends now.
    End(Partition, Answer<i64>, WakeHandle),
    /// Which partitions there are now.
    Partitions(Answer<BTreeSet<Partition>>, WakeHandle),
    /// The group has read so far.
    Commit(Partition, i64),
    /// Close this.
    Close(Queue),
    /// Close this, when all its queues are closed.
    Release(Arc<Consumer>),
}

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Clerk(Sender<Question>);

impl Clerk {
    /// A clerk that asks through `consumer`.
    ///
    /// # Errors
    /// Where no thread can be had.
    pub(super) fn new(consumer: Arc<Consumer>, settings: Arc<Settings>) -> Result<Self> {
        let (sender, receiver) = channel();
        thread::Builder::new()
            .name("kafka-clerk".to_owned())
            .spawn(move || serve(&consumer, &settings, &receiver))
            .map_err(|error| EngineError::io("cannot start a thread", error))?;
        Ok(Self(sender))
    }

    /// Asks where a partition ends now.
    pub(super) fn end(&self, partition: &Partition, wake: &WakeHandle) -> Answer<i64> {
        let answer = Answer::new();
        self.send(Question::End(partition.clone(), answer.clone(), wake.clone()));
        answer
    }

    /// Asks which partitions there are now.
    pub(super) fn partitions(&self, wake: &WakeHandle) -> Answer<BTreeSet<Partition>> {
        let answer = Answer::new();
        self.send(Question::Partitions(answer.clone(), wake.clone()));
        answer
    }

    /// Tells the consumer group how far a partition is read, for those who watch it.
    pub(super) fn commit(&self, partition: &Partition, next: i64) {
        self.send(Question::Commit(partition.clone(), next));
    }

    /// Closes a queue.
    pub(super) fn close(&self, queue: Queue) {
        self.send(Question::Close(queue));
    }

    /// Gives a consumer back.
    pub(super) fn release(&self, consumer: Arc<Consumer>) {
        self.send(Question::Release(consumer));
    }

    fn send(&self, question: Question) {
        // The thread ends after the last sender only; were it gone, what was sent is closed here.
        let _ = self.0.send(question);
    }
}

/// Nothing is read by what is committed here: where it fails, nobody but a monitor misses it.
fn commit(consumer: &Consumer, partition: &Partition, next: i64) {
    let mut offsets = TopicPartitionList::new();
    let committed = offsets
        .add_partition_offset(&partition.topic, partition.number, Offset::Offset(next))
        .and_then(|()| consumer.commit(&offsets, CommitMode::Async));
    if let Err(error) = committed {
        tracing::debug!(%error, "the offset of {} could not be committed", partition.id());
    }
}

fn serve(consumer: &Consumer, settings: &Settings, questions: &Receiver<Question>) {
    while let Ok(question) = questions.recv() {
        match question {
            Question::End(partition, answer, wake) => {
                let found = partitions::locate(consumer, settings, std::iter::once(&partition), &Point::Latest);
                let missing = || EngineError::io("cannot read where a partition ends", partition.id());
                let end = found.and_then(|found| found.get(&partition).copied().ok_or_else(missing));
                *answer.0.lock() = Some(end);
                wake.wake();
            }
            Question::Partitions(answer, wake) => {
                *answer.0.lock() = Some(partitions::list(consumer, settings));
                wake.wake();
            }
            Question::Commit(partition, next) => commit(consumer, &partition, next),
            Question::Close(queue) => drop(queue),
            Question::Release(consumer) => drop(consumer),
        }
    }
    // Assignments end before the consumer closes, so that closing has nothing to wait for.
    if let Err(error) = consumer.unassign() {
        tracing::debug!(%error, "a Kafka consumer was closed with partitions");
    }
}
