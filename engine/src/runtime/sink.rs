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
    commits: Commits,
    prepared: VecDeque<(Epoch, CommitToken)>,
    /// The input has ended.
    ended: bool,
    /// The last prepare, which comes after the end, is done.
    closed: bool,
}

/// When what is written becomes visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Commits {
    /// With its epoch.
    WithEpochs,
    /// With the next checkpoint.
    WithCheckpoints,
    /// When the job ends.
    AtEnd,
}

impl SinkNode {
    pub(super) fn new(writer: Box<dyn SinkWriter>, on_error: OnError, commits: Commits) -> Self {
        let rejects = Rejects::new(on_error);
        Self { writer, rejects, commits, prepared: VecDeque::new(), ended: false, closed: false }
    }

    /// Hands rows to the writer; those that it refuses are rejected where they are not to fail the job.
    ///
    /// # Errors
    /// What the writer reports.
    pub(super) fn write(&mut self, delta: &Delta) -> Result<()> {
        policy::write(self.writer.as_mut(), delta, &mut self.rejects)
    }

    /// Makes the rows of the epoch ready, where they are not collected until the next checkpoint or the end.
    ///
    /// # Errors
    /// What the writer reports.
    pub(super) fn prepare(&mut self, epoch: Epoch, checkpoint: bool) -> Result<()> {
        let waits = match self.commits {
            Commits::WithEpochs => false,
            Commits::WithCheckpoints => !checkpoint,
            Commits::AtEnd => !self.ended,
        };
        if self.closed || waits {
            return Ok(());
        }
        self.closed = self.ended;
        let token = if checkpoint { self.writer.prepare_checkpoint(epoch)? } else { self.writer.prepare(epoch)? };
        if let Some(token) = token {
            self.prepared.push_back((epoch, token));
        }
        Ok(())
    }

    /// Whether something of the epoch, or before, waits to be made visible as soon as the epoch is complete.
    pub(super) fn has_prepared(&self, epoch: Epoch) -> bool {
        self.commits != Commits::WithCheckpoints && self.prepared.front().is_some_and(|(of, _)| *of <= epoch)
    }

    /// What is prepared and may not be visible yet.
    pub(super) fn tokens(&self) -> Vec<String> {
        self.prepared.iter().map(|(_, token)| token.0.clone()).collect()
    }

    /// Makes visible what was prepared before a restart.
    ///
    /// # Errors
    /// What the writer reports.
    pub(super) fn recommit(&mut self, tokens: &[String]) -> Result<()> {
        tokens.iter().try_for_each(|token| self.writer.commit(&CommitToken(token.clone())))
    }

    /// Makes visible what was prepared up to the epoch, which is complete; `checkpoint`: durably so.
    ///
    /// # Errors
    /// What the writer reports.
    pub(super) fn commit(&mut self, epoch: Epoch, checkpoint: bool) -> Result<()> {
        if self.commits == Commits::WithCheckpoints && !checkpoint {
            return Ok(());
        }
        while let Some((of, token)) = self.prepared.front()
            && *of <= epoch
        {
            self.writer.commit(token)?;
            self.prepared.pop_front();
        }
        Ok(())
    }

    /// Whether what is prepared is durable.
    ///
    /// # Errors
    /// What the writer reports.
    pub(super) fn is_prepared(&mut self) -> Result<bool> {
        self.writer.is_prepared()
    }

    /// Whether what was to be committed is visible.
    ///
    /// # Errors
    /// What the writer reports.
    pub(super) fn is_committed(&mut self) -> Result<bool> {
        self.writer.is_committed()
    }

    /// Nothing comes any more.
    pub(super) fn on_end(&mut self) {
        self.ended = true;
        self.writer.on_end();
    }
}
