//! [`Outlet`]: where a writer's messages go: to the brokers at once, or into a transaction.

use std::sync::Arc;

use millstream_engine::error::Result;
use millstream_engine::message::Epoch;
use millstream_engine::ports::CommitToken;

use super::ledger::Lane;
use super::outgoing::Outgoing;
use super::producer::{Producer, Sent};

/// See the module.
pub(super) enum Outlet {
    /// To the brokers; an epoch may wait until they have them.
    Direct(Direct),
    /// With a checkpoint.
    Transactions(Box<Lane>),
}

/// See [`Outlet::Direct`].
pub(super) struct Direct {
    producer: Arc<Producer>,
    /// Those of the running epoch.
    sent: Arc<Sent>,
    /// Those of epochs that wait until the brokers have them.
    waiting: Vec<Arc<Sent>>,
}

impl Direct {
    /// Nothing is sent.
    pub(super) fn new(producer: Arc<Producer>) -> Self {
        Self { producer, sent: Arc::default(), waiting: Vec::new() }
    }
}

impl Outlet {
    /// Partitions of the topic, at least 1.
    pub(super) fn partitions(&self) -> usize {
        match self {
            Self::Direct(direct) => direct.producer.partitions.max(1),
            Self::Transactions(lane) => lane.partitions.max(1),
        }
    }

    /// Whether more messages may be sent.
    pub(super) fn ready(&self) -> bool {
        match self {
            Self::Direct(direct) => direct.producer.ready(),
            Self::Transactions(lane) => lane.ready(),
        }
    }

    /// An error where an earlier message was not taken.
    ///
    /// # Errors
    /// See above.
    pub(super) fn check(&self) -> Result<()> {
        match self {
            Self::Direct(direct) => direct.producer.check(),
            Self::Transactions(_) => Ok(()),
        }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// Where it is not taken.
    pub(super) fn send(&mut self, message: &Outgoing<'_>) -> Result<()> {
        match self {
            Self::Direct(direct) => direct.producer.send(message, &direct.sent),
            Self::Transactions(lane) => lane.stage(message),
        }
    }

    /// The epoch has ended. `waits`: it is prepared when the brokers have its messages.
    pub(super) fn prepare(&mut self, epoch: Epoch, waits: bool) -> Option<CommitToken> {
        match self {
            Self::Direct(direct) => {
                if waits && !direct.sent.is_over() {
                    direct.waiting.push(std::mem::take(&mut direct.sent));
                }
                None
            }
            Self::Transactions(lane) => lane.prepare(epoch),
        }
    }

    /// Whether all epochs that wait are prepared.
    ///
    /// # Errors
    /// Where messages were not taken.
    pub(super) fn is_prepared(&mut self) -> Result<bool> {
        match self {
            Self::Direct(direct) => {
                direct.producer.check()?;
                direct.waiting.retain(|sent| !sent.is_over());
                Ok(direct.waiting.is_empty())
            }
            Self::Transactions(lane) => lane.is_prepared(),
        }
    }

    /// Begins to commit what was prepared.
    ///
    /// # Errors
    /// Where the token is not of this connector.
    pub(super) fn commit(&mut self, token: &CommitToken) -> Result<()> {
        match self {
            Self::Direct(_) => Ok(()),
            Self::Transactions(lane) => lane.commit(token),
        }
    }

    /// Whether all is committed.
    ///
    /// # Errors
    /// Where it could not be.
    pub(super) fn is_committed(&self) -> Result<bool> {
        match self {
            Self::Direct(_) => Ok(true),
            Self::Transactions(lane) => lane.is_committed(),
        }
    }
}
