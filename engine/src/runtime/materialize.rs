//! [`Materialize`]: the node that keeps one shard's part of a view, makes its versions at barriers, and feeds the jobs
//! that read it.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::protocol::Staged;
use super::shared::Progress;
use super::signal::Signal;
use super::view_source::Feed;
use crate::error::Result;
use crate::message::{Delta, Epoch, Message};
use crate::plan::RelationId;
use crate::time::EventTime;
use crate::view::{ViewStore, ViewVersion};

/// The progress of a view that has ended.
pub(super) const END: Progress = Progress { watermark: EventTime::MAX, idle: false };

/// One shard's part of a view.
pub(super) struct Materialize {
    relation: RelationId,
    store: ViewStore,
    readers: Vec<Reader>,
    progress: Progress,
    ended: bool,
    /// Versions whose epochs are not reported yet.
    staged: VecDeque<(Epoch, Staged)>,
}

/// A job that reads the view, on the same shard.
struct Reader {
    feed: Arc<Feed>,
    /// It gets the rows as of this barrier, then what follows. `None`: it has them.
    attach_at: Option<Epoch>,
}

impl Materialize {
    /// An empty view. `key` are the columns that identify a row; all columns where it is `None`. `replaces`: a row
    /// replaces the one of its key that is there.
    pub(super) fn new(relation: RelationId, schema: SchemaRef, key: Option<&[usize]>, replaces: bool) -> Self {
        Self {
            relation,
            store: ViewStore::new(schema, key).replacing(replaces),
            readers: Vec::new(),
            progress: Progress { watermark: EventTime::MIN, idle: false },
            ended: false,
            staged: VecDeque::new(),
        }
    }

    /// Which view.
    pub(super) fn relation(&self) -> RelationId {
        self.relation
    }

    /// Adds a reader that joins at barrier `attach_at`; at once where nothing more comes.
    pub(super) fn attach(&mut self, feed: Arc<Feed>, attach_at: Epoch, producer: Arc<Signal>) -> Result<()> {
        feed.ring.set_producer(producer);
        if self.ended {
            let rows = self.store.version()?;
            feed.start(rows, END, Message::End);
            return Ok(());
        }
        self.readers.push(Reader { feed, attach_at: Some(attach_at) });
        Ok(())
    }

    /// Whether the jobs that read the view keep up.
    pub(super) fn has_credit(&self) -> bool {
        self.readers.iter().all(|reader| reader.feed.ring.has_credit())
    }

    pub(super) fn on_delta(&mut self, delta: &Delta) -> Result<()> {
        if let Some(replaced) = self.store.apply(delta)? {
            self.forward(&Message::Delta(replaced));
        }
        self.forward(&Message::Delta(delta.clone()));
        Ok(())
    }

    pub(super) fn on_watermark(&mut self, watermark: EventTime) {
        self.progress = Progress { watermark, idle: false };
        self.forward(&Message::Watermark(watermark));
    }

    pub(super) fn on_idle(&mut self) {
        self.progress.idle = true;
        self.forward(&Message::Idle);
    }

    /// Closes an epoch: makes a version, and gives it to the readers that join here.
    pub(super) fn on_barrier(&mut self, epoch: Epoch) -> Result<()> {
        let version = self.store.version()?;
        self.forward(&Message::Barrier(epoch));
        for reader in &mut self.readers {
            if reader.attach_at.is_some_and(|at| at <= epoch) {
                reader.attach_at = None;
                reader.feed.start(Arc::clone(&version), self.progress, Message::Barrier(epoch));
            }
        }
        let staged = Staged { relation: self.relation, progress: self.progress, version };
        self.staged.push_back((epoch, staged));
        Ok(())
    }

    /// The rows as they are now, between two epochs, and how far event time has come.
    pub(super) fn capture(&mut self) -> Result<(Arc<ViewVersion>, Progress)> {
        Ok((self.store.version()?, self.progress))
    }

    /// Takes over rows and progress of an earlier run. The view is new. Gives what is to be published of it.
    pub(super) fn restore(&mut self, rows: &[RecordBatch], progress: Progress) -> Result<Staged> {
        for batch in rows.iter().filter(|batch| batch.num_rows() > 0) {
            self.store.apply(&Delta::append(batch.clone()))?;
        }
        self.progress = progress;
        Ok(Staged { relation: self.relation, progress, version: self.store.version()? })
    }

    /// Adds a reader that was restored with the view: it has the rows.
    pub(super) fn attach_restored(&mut self, feed: Arc<Feed>, producer: Arc<Signal>) {
        feed.ring.set_producer(producer);
        if self.ended {
            feed.ring.push(Message::End);
        } else {
            self.readers.push(Reader { feed, attach_at: None });
        }
    }

    /// Nothing comes any more.
    pub(super) fn on_end(&mut self) -> Result<()> {
        self.ended = true;
        self.progress = END;
        self.forward(&Message::End);
        let version = self.store.version()?;
        for reader in self.readers.drain(..).filter(|reader| reader.attach_at.is_some()) {
            reader.feed.start(Arc::clone(&version), END, Message::End);
        }
        Ok(())
    }

    /// The version as of `epoch`, to be published. Earlier ones are dropped.
    pub(super) fn take_staged(&mut self, epoch: Epoch) -> Option<Staged> {
        let mut found = None;
        while self.staged.front().is_some_and(|(of, _)| *of <= epoch) {
            found = self.staged.pop_front().map(|(_, staged)| staged);
        }
        found
    }

    fn forward(&mut self, message: &Message) {
        self.readers.retain(|reader| !reader.feed.ring.is_closed());
        for reader in self.readers.iter().filter(|reader| reader.attach_at.is_none()) {
            reader.feed.ring.push(message.clone());
        }
    }
}
