//! Sinks: a table opened for writing, one writer a shard, with a two-phase commit per epoch.

use std::fmt;
use std::sync::Arc;

use crate::error::Result;
use crate::message::{Delta, Epoch};
use crate::rejects::OnError;
use crate::time::EventTime;

use super::{StateStore, WakeHandle};

/// Which changelogs a sink takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepts {
    /// Insertions only.
    Append,
    /// Insertions and retractions.
    Retract,
}

/// What a sink promises when the server dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guarantee {
    /// Rows may be lost or doubled.
    None,
    /// No row is lost; some may be doubled.
    AtLeastOnce,
    /// Neither.
    ExactlyOnce,
}

/// Where a writer stands in its job.
#[derive(Debug, Clone)]
pub struct SinkContext {
    /// Name of the job.
    pub job: String,
    /// This shard, from 0.
    pub shard: usize,
    /// Number of shards.
    pub shards: usize,
    /// Which of the job's sinks: a number that is the same on all its shards.
    pub sink: usize,
    /// Where what is prepared may be kept until it is committed, under [`Self::area`]; `None` where no checkpoints are made.
    /// May block: not to be called on a shard.
    pub store: Option<Arc<dyn StateStore>>,
    /// Wakes the shard, for a sink that is ready again.
    pub wake: WakeHandle,
}

impl SinkContext {
    /// The paths in the store that belong to the sink.
    pub fn area(&self) -> String {
        area(&self.job, self.sink)
    }
}

/// What a sink finds when its job is about to write again.
#[derive(Debug)]
pub struct SinkRecovery<'a> {
    /// Name of the job.
    pub job: &'a str,
    /// Which of the job's sinks.
    pub sink: usize,
    /// What was prepared and is part of the checkpoint that the job continues from: that of one shard after that of another,
    /// the oldest first.
    pub kept: &'a [CommitToken],
    /// Where writers kept what they prepared.
    pub store: &'a Arc<dyn StateStore>,
}

impl SinkRecovery<'_> {
    /// The paths in the store that belong to the sink.
    pub fn area(&self) -> String {
        area(self.job, self.sink)
    }
}

/// The paths of a state store under which sinks keep what they prepared, that of each job below its name.
pub const SINK_AREA: &str = "sinks/";

fn area(job: &str, sink: usize) -> String {
    format!("{SINK_AREA}{job}/{sink}/")
}

/// What [`SinkWriter::prepare`] made ready and [`SinkWriter::commit`] makes visible: the connector's own text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitToken(pub String);

/// A table opened for writing. Shared by all shards of a job.
pub trait Sink: Send + Sync + fmt::Debug {
    /// Which changelogs it takes.
    fn accepts(&self) -> Accepts;

    /// The columns of the input by which it replaces rows, where it does: of an update the new row alone is enough for it.
    fn upsert_key(&self) -> Option<Vec<usize>> {
        None
    }

    /// What is done with rows that it refuses.
    fn on_error(&self) -> OnError {
        OnError::Fail
    }

    /// What it promises when the server dies, where checkpoints are made.
    fn guarantee(&self) -> Guarantee;

    /// Whether its writers can take any number of rows before they are asked to prepare them.
    fn withholds(&self) -> bool {
        false
    }

    /// A job is about to write again after a restart. What it prepared or began and is not in `kept` was never part of a
    /// complete checkpoint: it goes away. What is in `kept` may be made visible here, or by the writers, which are given it
    /// as well. May block; never called on a shard.
    ///
    /// # Errors
    /// Where the target cannot be cleaned.
    fn recover(&self, _recovery: &SinkRecovery<'_>) -> Result<()> {
        Ok(())
    }

    /// What nothing but this opening of the table writes under, where that can be told apart in the table later on.
    fn run(&self) -> Option<String> {
        None
    }

    /// Ends what another opening, of a process that is no more, left under `run` when it was to become visible as a whole:
    /// where that had begun, the rest becomes visible, else all goes away. May block; never called on a shard.
    ///
    /// # Errors
    /// Where the target does not answer.
    fn settle(&self, _run: &str) -> Result<()> {
        Ok(())
    }

    /// A writer for one shard.
    ///
    /// # Errors
    /// Where the target cannot be written.
    fn writer(&self, context: SinkContext) -> Result<Box<dyn SinkWriter>>;

    /// One line for `EXPLAIN`, without secrets.
    fn describe(&self) -> String;
}

/// Writes the rows of one shard.
pub trait SinkWriter: Send {
    /// Whether it takes more rows now. While it does not, the sources of the job are not read; the sink wakes the
    /// shard when it is ready again.
    fn ready(&self) -> bool {
        true
    }

    /// Takes rows of the running epoch.
    ///
    /// # Errors
    /// Where they cannot be written. An error of kind [`Data`](crate::error::ErrorKind::Data) says that a row cannot be
    /// written whenever it is tried, and none of the delta has been: what is done then is told by [`Sink::on_error`]. After
    /// any other the job fails.
    fn write(&mut self, delta: &Delta) -> Result<()>;

    /// The watermark of the sink's input moved. Sinks that commit partitions by event time use it.
    ///
    /// # Errors
    /// Where what it causes fails.
    fn on_watermark(&mut self, _watermark: EventTime) -> Result<()> {
        Ok(())
    }

    /// Makes the rows of the epoch ready to be made visible. `None` where there is nothing to do.
    ///
    /// # Errors
    /// Where they cannot be made durable.
    fn prepare(&mut self, epoch: Epoch) -> Result<Option<CommitToken>>;

    /// As [`Self::prepare`], at a checkpoint: rows that came before are not sent again after a restart, so that none may stay
    /// in the writer. Where checkpoints are made, a sink that declares [`Guarantee::ExactlyOnce`] is asked for nothing
    /// else, and its tokens are committed when the checkpoint is complete, perhaps by the writer of another process.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    fn prepare_checkpoint(&mut self, epoch: Epoch) -> Result<Option<CommitToken>> {
        self.prepare(epoch)
    }

    /// Whether what the prepares have made ready is durable. While it is not, the epoch waits and the shard goes on; the sink
    /// wakes the shard when it is.
    ///
    /// # Errors
    /// Where it cannot be made durable. The job fails.
    fn is_prepared(&mut self) -> Result<bool> {
        Ok(true)
    }

    /// Makes prepared rows visible. Doing it twice is doing it once.
    ///
    /// # Errors
    /// Where it must be tried again.
    fn commit(&mut self, token: &CommitToken) -> Result<()>;

    /// Whether what was to be committed is visible. While it is not, the checkpoint is not complete and the shard goes on; the
    /// sink wakes the shard when it is.
    ///
    /// # Errors
    /// Where it must be tried again. The job fails.
    fn is_committed(&mut self) -> Result<bool> {
        Ok(true)
    }

    /// The input has ended: the next prepare is the last, and closes what is open.
    fn on_end(&mut self);
}
