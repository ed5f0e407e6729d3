//! The two ends of an exchange: [`Outlet`] cuts rows by key and shard, [`Inlet`] joins what came from all shards into
//! batches of the usual size.

use std::sync::Arc;

use arrow::array::BooleanBufferBuilder;
use arrow::compute::concat_batches;

use super::ring::Ring;
use crate::error::Result;
use crate::message::{BATCH_ROWS, Delta, Message, Sign};
use crate::operators::key_group::split_by_shard;
use crate::time::EventTime;

/// The sending end on one shard.
pub(super) struct Outlet {
    /// The columns that choose the shard. `None`: all rows to shard 0.
    keys: Option<Vec<usize>>,
    /// One a receiving shard.
    rings: Vec<Arc<Ring>>,
}

impl Outlet {
    pub(super) fn new(keys: Option<Vec<usize>>, rings: Vec<Arc<Ring>>) -> Self {
        Self { keys, rings }
    }

    /// Whether all shards keep up.
    pub(super) fn has_credit(&self) -> bool {
        self.rings.iter().all(|ring| ring.has_credit())
    }

    /// Sends rows to their shards, everything else to all.
    ///
    /// # Errors
    /// Where a key has a type that cannot be hashed.
    pub(super) fn send(&self, message: &Message) -> Result<()> {
        let Message::Delta(delta) = message else {
            self.rings.iter().for_each(|ring| ring.push(message.clone()));
            return Ok(());
        };
        let Some(keys) = &self.keys else {
            if let Some(first) = self.rings.first() {
                first.push(message.clone());
            }
            return Ok(());
        };
        for (ring, part) in self.rings.iter().zip(split_by_shard(delta, keys, self.rings.len())?) {
            if let Some(part) = part {
                ring.push(Message::Delta(part));
            }
        }
        Ok(())
    }
}

/// The receiving end on one shard: a port of a node.
pub(super) struct Inlet {
    pub(super) node: usize,
    pub(super) port: usize,
    /// The channel of the first ring; the others follow.
    pub(super) first_channel: usize,
    /// One a sending shard.
    pub(super) rings: Vec<Arc<Ring>>,
}

/// What was taken out of an inlet.
#[derive(Default)]
pub(super) struct Taken {
    /// Rows, with the channels that they came by.
    deltas: Vec<Delta>,
    pub(super) channels: Vec<usize>,
    /// What comes after the rows, by channel.
    pub(super) controls: Vec<(usize, Message)>,
}

impl Inlet {
    /// Takes about a batch of rows. Watermarks wait until the rows of all rings have been taken, which is as if they
    /// had come a little later; at everything else a ring stops.
    pub(super) fn take(&self, is_held: impl Fn(usize) -> bool) -> Taken {
        let mut taken = Taken::default();
        let mut rows = 0;
        for (index, ring) in self.rings.iter().enumerate() {
            let channel = self.first_channel + index;
            if is_held(channel) {
                continue;
            }
            let mut watermark: Option<EventTime> = None;
            let mut last = None;
            let before = taken.deltas.len();
            while rows < BATCH_ROWS
                && let Some(message) = ring.pop()
            {
                match message {
                    Message::Delta(delta) => {
                        rows += delta.rows();
                        taken.deltas.push(delta);
                    }
                    Message::Watermark(at) => watermark = Some(at),
                    Message::Idle | Message::Barrier(_) | Message::End => {
                        last = Some(message);
                        break;
                    }
                }
            }
            if taken.deltas.len() > before {
                taken.channels.push(channel);
            }
            taken.controls.extend(watermark.map(|at| (channel, Message::Watermark(at))));
            taken.controls.extend(last.map(|message| (channel, message)));
        }
        taken
    }

    /// Nothing is read any more.
    pub(super) fn close(&self) {
        self.rings.iter().for_each(|ring| ring.close());
    }
}

impl Taken {
    /// Whether there was nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.deltas.is_empty() && self.controls.is_empty()
    }

    /// The rows as one delta.
    ///
    /// # Errors
    /// Where Arrow cannot join the batches.
    pub(super) fn joined(&mut self) -> Result<Option<Delta>> {
        let mut deltas = std::mem::take(&mut self.deltas);
        match deltas.len() {
            0 | 1 => Ok(deltas.pop()),
            _ => join(&deltas).map(Some),
        }
    }
}

/// One delta out of several, in their order.
fn join(deltas: &[Delta]) -> Result<Delta> {
    let Some(first) = deltas.first() else {
        return Err(crate::EngineError::Internal("no deltas to join".into()));
    };
    let batch = concat_batches(&first.batch.schema(), deltas.iter().map(|delta| &delta.batch))?;
    if deltas.iter().all(|delta| delta.sign == Sign::AppendOnly) {
        return Ok(Delta::append(batch));
    }
    let mut retracts = BooleanBufferBuilder::new(batch.num_rows());
    for delta in deltas {
        match &delta.sign {
            Sign::AppendOnly => retracts.append_n(delta.rows(), false),
            Sign::Retracts(bits) => retracts.append_buffer(bits),
        }
    }
    Ok(Delta::signed(batch, retracts.finish()))
}
