//! A sink that hands the rows of each epoch to somebody in this process: `SUBSCRIBE`, streaming `SELECT`, tests.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::message::{Delta, Epoch};
use crate::ports::Sink;

/// The rows of one epoch of one shard.
#[derive(Debug, Clone)]
pub struct Collected {
    /// The epoch.
    pub epoch: Epoch,
    /// The rows in the order they came.
    pub deltas: Vec<Delta>,
}

/// Makes the sink and the receiving end. The receiver ends when the job does.
#[derive(Debug)]
pub struct CollectSink;

impl CollectSink {
    /// A sink that holds at most `epochs` undelivered epochs a shard before it holds its sources back.
    pub fn channel(_epochs: usize) -> (Arc<dyn Sink>, mpsc::Receiver<Collected>) {
        todo!("runtime helper")
    }
}
