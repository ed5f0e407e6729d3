//! A sink that hands the rows of each epoch to somebody in this process: `SUBSCRIBE`, streaming `SELECT`, tests.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::error::{EngineError, Result};
use crate::message::{Delta, Epoch};
use crate::ports::{Accepts, CommitToken, Guarantee, Sink, SinkContext, SinkWriter, WakeHandle};

/// Epochs that a receiver may be behind before its job fails.
const BEHIND_MAX: usize = 1_000;

/// The rows of one epoch of one shard.
#[derive(Debug)]
pub struct Collected {
    /// The epoch.
    pub epoch: Epoch,
    /// The rows in the order they came.
    pub deltas: Vec<Delta>,
    /// Dropped with the rows: there is room again.
    _place: Place,
}

/// A place in the hand-off of one shard.
#[derive(Debug)]
struct Place {
    taken: Arc<AtomicUsize>,
    wake: WakeHandle,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
        self.wake.wake();
    }
}

/// Hands over the rows of an epoch when it is published. While the receiver is behind, the sources of the job are held
/// back; when it is dropped, the job is canceled.
#[derive(Debug)]
pub struct CollectSink {
    /// Gone when all shards have their writers, so that the receiver ends with the job.
    sender: Mutex<Option<mpsc::UnboundedSender<Collected>>>,
    writers: AtomicUsize,
    epochs: usize,
}

impl CollectSink {
    /// A sink for one job, and its receiver. A shard with `epochs` hand-overs that nobody has taken reads no more. The
    /// receiver ends when the job does.
    pub fn channel(epochs: usize) -> (Arc<dyn Sink>, mpsc::UnboundedReceiver<Collected>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let sink = Self { sender: Mutex::new(Some(sender)), writers: AtomicUsize::new(0), epochs: epochs.max(1) };
        (Arc::new(sink), receiver)
    }
}

impl Sink for CollectSink {
    fn accepts(&self) -> Accepts {
        Accepts::Retract
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::None
    }

    fn writer(&self, context: SinkContext) -> Result<Box<dyn SinkWriter>> {
        let mut sender = self.sender.lock();
        let made = self.writers.fetch_add(1, Ordering::AcqRel) + 1;
        let own = if made >= context.shards { sender.take() } else { sender.clone() };
        let Some(own) = own else {
            return Err(EngineError::Internal("a collecting sink is for one job only".into()));
        };
        Ok(Box::new(CollectWriter {
            sender: own,
            epochs: self.epochs,
            taken: Arc::default(),
            wake: context.wake,
            open: Vec::new(),
            closed: VecDeque::new(),
        }))
    }

    fn describe(&self) -> String {
        "to the client".into()
    }
}

struct CollectWriter {
    sender: mpsc::UnboundedSender<Collected>,
    epochs: usize,
    /// Hand-overs that the receiver has not dropped yet.
    taken: Arc<AtomicUsize>,
    wake: WakeHandle,
    /// Rows of the running epoch.
    open: Vec<Delta>,
    /// Rows of the epochs that are not published yet.
    closed: VecDeque<(Epoch, Vec<Delta>)>,
}

impl CollectWriter {
    fn token(epoch: Epoch) -> CommitToken {
        CommitToken(epoch.to_string())
    }

    fn check_receiver(&self) -> Result<()> {
        if self.sender.is_closed() {
            return Err(EngineError::Gone("nobody reads the result any more".into()));
        }
        // Rows out of views cannot be held back: that would stop the views for everybody.
        if self.taken.load(Ordering::Acquire) > BEHIND_MAX {
            let message = format!("the client is more than {BEHIND_MAX} epochs behind");
            return Err(EngineError::Io { message });
        }
        Ok(())
    }
}

impl SinkWriter for CollectWriter {
    fn ready(&self) -> bool {
        self.taken.load(Ordering::Acquire) < self.epochs || self.sender.is_closed()
    }

    fn write(&mut self, delta: &Delta) -> Result<()> {
        self.check_receiver()?;
        self.open.push(delta.clone());
        Ok(())
    }

    fn prepare(&mut self, epoch: Epoch) -> Result<Option<CommitToken>> {
        self.check_receiver()?;
        let deltas = std::mem::take(&mut self.open);
        if deltas.is_empty() {
            return Ok(None);
        }
        self.closed.push_back((epoch, deltas));
        Ok(Some(Self::token(epoch)))
    }

    fn commit(&mut self, token: &CommitToken) -> Result<()> {
        while let Some((epoch, _)) = self.closed.front()
            && Self::token(*epoch) == *token
            && let Some((epoch, deltas)) = self.closed.pop_front()
        {
            self.taken.fetch_add(1, Ordering::AcqRel);
            let place = Place { taken: Arc::clone(&self.taken), wake: self.wake.clone() };
            // A receiver that went away just now is noticed at the next epoch.
            let _ = self.sender.send(Collected { epoch, deltas, _place: place });
        }
        Ok(())
    }

    fn on_end(&mut self) {}
}
