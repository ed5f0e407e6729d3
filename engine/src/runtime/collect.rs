//! A sink that hands the rows of each epoch to somebody in this process: `SUBSCRIBE`, streaming `SELECT`, tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use crate::error::{EngineError, Result};
use crate::message::{Delta, Epoch};
use crate::ports::{Accepts, CommitToken, Guarantee, Sink, SinkContext, SinkWriter, WakeHandle};

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

/// Hands over rows at barriers. While the receiver is behind, the sources of the job are held back; when it is dropped,
/// the job fails.
#[derive(Debug)]
pub struct CollectSink {
    sender: mpsc::UnboundedSender<Collected>,
    epochs: usize,
}

impl CollectSink {
    /// A sink and its receiver. A shard with `epochs` hand-overs that nobody has taken reads no more. The receiver ends
    /// when the job and the sink are gone.
    pub fn channel(epochs: usize) -> (Arc<dyn Sink>, mpsc::UnboundedReceiver<Collected>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Arc::new(Self { sender, epochs: epochs.max(1) }), receiver)
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
        Ok(Box::new(CollectWriter {
            sender: Some(self.sender.clone()),
            epochs: self.epochs,
            taken: Arc::default(),
            wake: context.wake,
            open: Vec::new(),
            ended: false,
        }))
    }

    fn describe(&self) -> String {
        "to the client".into()
    }
}

struct CollectWriter {
    /// Gone after the last epoch, so that the receiver ends.
    sender: Option<mpsc::UnboundedSender<Collected>>,
    epochs: usize,
    /// Hand-overs that are not yet dropped by the receiver.
    taken: Arc<AtomicUsize>,
    wake: WakeHandle,
    /// Rows of the running epoch.
    open: Vec<Delta>,
    ended: bool,
}

impl SinkWriter for CollectWriter {
    fn ready(&self) -> bool {
        self.taken.load(Ordering::Acquire) < self.epochs
    }

    fn write(&mut self, delta: &Delta) -> Result<()> {
        self.open.push(delta.clone());
        Ok(())
    }

    fn prepare(&mut self, epoch: Epoch) -> Result<Option<CommitToken>> {
        let deltas = std::mem::take(&mut self.open);
        let Some(sender) = &self.sender else { return Ok(None) };
        if sender.is_closed() {
            return Err(EngineError::Gone("nobody reads the result any more".into()));
        }
        if !deltas.is_empty() {
            self.taken.fetch_add(1, Ordering::AcqRel);
            let place = Place { taken: Arc::clone(&self.taken), wake: self.wake.clone() };
            // A receiver that went away just now is noticed at the next barrier.
            let _ = sender.send(Collected { epoch, deltas, _place: place });
        }
        if self.ended {
            self.sender = None;
        }
        Ok(None)
    }

    fn commit(&mut self, _token: &CommitToken) -> Result<()> {
        Ok(())
    }

    fn on_end(&mut self) {
        self.ended = true;
    }
}
