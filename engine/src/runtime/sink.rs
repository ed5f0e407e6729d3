//! [`SinkNode`]: a sink's writer on one shard, and what it has prepared but not yet made visible.

use std::collections::VecDeque;

use crate::error::Result;
use crate::message::{Delta, Epoch};
use crate::ports::{CommitToken, SinkWriter, policy};
use crate::rejects::{OnError, Rejects};

/// See the module.
pub(super) struct SinkNode {
    pub(super) writer: Box<dyn SinkWriter>,
    /// What is done with rows that the writer refuses, and those that it has refused.
    pub(super) rejects: Rejects,
    prepared: VecDeque<(Epoch, CommitToken)>,
    /// The input has ended.
    ended: bool,
    /// The last prepare, which comes after the end, is done.
    closed: bool,
}

impl SinkNode {
    pub(super) fn new(writer: Box<dyn SinkWriter>, on_error: OnError) -> Self {
        Self { writer, rejects: Rejects::new(on_error), prepared: VecDeque::new(), ended: false, closed: false }
    }

    /// Hands rows to the writer; those that it refuses are rejected where they are not to fail the job.
    ///
    /// # Errors
    /// What the writer reports.
    pub(super) fn write(&mut self, delta: &Delta) -> Result<()> {
        policy::write(self.writer.as_mut(), delta, &mut self.rejects)
    }

    /// Makes the rows of the epoch ready.
    ///
    /// # Errors
    /// What the writer reports.
    pub(super) fn prepare(&mut self, epoch: Epoch) -> Result<()> {
        if self.closed {
            return Ok(());
        }
        self.closed = self.ended;
        if let Some(token) = self.writer.prepare(epoch)? {
            self.prepared.push_back((epoch, token));
        }
        Ok(())
    }

    /// Whether something of the epoch, or before, waits to be made visible.
    pub(super) fn has_prepared(&self, epoch: Epoch) -> bool {
        self.prepared.front().is_some_and(|(of, _)| *of <= epoch)
    }

    /// Makes visible what was prepared up to the epoch.
    ///
    /// # Errors
    /// What the writer reports.
    pub(super) fn commit(&mut self, epoch: Epoch) -> Result<()> {
        while let Some((of, token)) = self.prepared.front()
            && *of <= epoch
        {
            self.writer.commit(token)?;
            self.prepared.pop_front();
        }
        Ok(())
    }

    /// Nothing comes any more.
    pub(super) fn on_end(&mut self) {
        self.ended = true;
        self.writer.on_end();
    }
}
