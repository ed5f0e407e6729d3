//! [`Materialize`]: the node that keeps a view, publishes its versions and feeds the jobs that read it.

use std::sync::Arc;

use super::queue::Queue;
use crate::error::Result;
use crate::message::{Delta, Epoch, Message};
use crate::plan::{ChangelogMode, Edge, RelationId};
use crate::time::EventTime;
use crate::view::{ViewStore, ViewVersion};

/// One shard's part of a view.
pub(super) struct Materialize {
    relation: RelationId,
    store: ViewStore,
    subscribers: Vec<Subscriber>,
    watermark: EventTime,
    idle: bool,
    /// The barrier passed last.
    epoch: Epoch,
    ended: bool,
}

/// A job that reads the view, on the same shard.
struct Subscriber {
    queue: Arc<Queue>,
    /// It gets the rows as of this barrier, then what follows. `None`: it has them.
    attach_at: Option<Epoch>,
}

/// A version to be published with its epoch.
#[derive(Debug, Clone)]
pub(super) struct Staged {
    pub(super) relation: RelationId,
    pub(super) epoch: Epoch,
    pub(super) watermark: EventTime,
    pub(super) version: Arc<ViewVersion>,
}

impl Materialize {
    pub(super) fn new(relation: RelationId, edge: &Edge) -> Result<Self> {
        let append_only = edge.changelog == ChangelogMode::Append;
        let store = ViewStore::new(Arc::clone(&edge.schema), edge.stream_key.as_deref(), append_only)?;
        Ok(Self {
            relation,
            store,
            subscribers: Vec::new(),
            watermark: EventTime::MIN,
            idle: false,
            epoch: Epoch(0),
            ended: false,
        })
    }

    /// Which view.
    pub(super) fn relation(&self) -> RelationId {
        self.relation
    }

    /// Adds a reader that joins at barrier `epoch`; at once where nothing more comes.
    pub(super) fn subscribe(&mut self, queue: Arc<Queue>, epoch: Epoch) -> Result<()> {
        self.subscribers.push(Subscriber { queue, attach_at: Some(epoch) });
        if self.ended { self.attach(None) } else { Ok(()) }
    }

    pub(super) fn on_delta(&mut self, delta: &Delta) -> Result<()> {
        self.store.apply(delta)?;
        self.forward(&Message::Delta(delta.clone()));
        Ok(())
    }

    pub(super) fn on_watermark(&mut self, watermark: EventTime) {
        self.watermark = watermark;
        self.idle = false;
        self.forward(&Message::Watermark(watermark));
    }

    pub(super) fn on_idle(&mut self) {
        self.idle = true;
        self.forward(&Message::Idle);
    }

    pub(super) fn on_barrier(&mut self, epoch: Epoch) -> Result<Staged> {
        self.epoch = epoch;
        self.forward(&Message::Barrier(epoch));
        self.attach(Some(epoch))?;
        self.stage(epoch)
    }

    pub(super) fn on_end(&mut self) -> Result<Staged> {
        self.ended = true;
        self.forward(&Message::End);
        self.attach(None)?;
        self.stage(Epoch(self.epoch.0 + 1))
    }

    /// Whether its readers keep up.
    pub(super) fn has_credit(&self) -> bool {
        self.subscribers.iter().all(|subscriber| subscriber.queue.has_credit())
    }

    /// Closes the queues of its readers: it goes away.
    pub(super) fn close(&mut self) {
        self.subscribers.clear();
    }

    fn stage(&mut self, epoch: Epoch) -> Result<Staged> {
        let version = self.store.version()?;
        Ok(Staged { relation: self.relation, epoch, watermark: self.watermark, version })
    }

    fn forward(&mut self, message: &Message) {
        self.subscribers.retain(|subscriber| !subscriber.queue.is_closed());
        for subscriber in self.subscribers.iter().filter(|subscriber| subscriber.attach_at.is_none()) {
            subscriber.queue.push(message.clone());
        }
    }

    /// Gives the rows to the readers that join at `barrier`, or to all that wait where the view has ended.
    fn attach(&mut self, barrier: Option<Epoch>) -> Result<()> {
        let due = |at: &Option<Epoch>| at.is_some_and(|at| barrier.is_none_or(|barrier| at <= barrier));
        if !self.subscribers.iter().any(|subscriber| due(&subscriber.attach_at)) {
            return Ok(());
        }
        let rows = self.store.rows()?;
        for subscriber in self.subscribers.iter_mut().filter(|subscriber| due(&subscriber.attach_at)) {
            subscriber.attach_at = None;
            for batch in &rows {
                subscriber.queue.push(Message::Delta(Delta::append(batch.clone())));
            }
            if self.watermark > EventTime::MIN {
                subscriber.queue.push(Message::Watermark(self.watermark));
            }
            if self.idle {
                subscriber.queue.push(Message::Idle);
            }
            subscriber.queue.push(barrier.map_or(Message::End, Message::Barrier));
        }
        Ok(())
    }
}
