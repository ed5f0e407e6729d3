//! Sources: a table opened for reading, cut into splits, each read by one shard.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;

use crate::error::Result;
use crate::message::Delta;
use crate::plan::ChangelogMode;
use crate::rejects::{OnError, Rejects};
use crate::time::ProcessingTime;

/// Whether a source ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundedness {
    /// It ends: a file, a generator with a number of rows.
    Bounded,
    /// It never ends, and what it holds now can be read to an end (a watched directory, a topic).
    Unbounded,
    /// It never ends and makes rows for ever: a `SELECT` over it needs a `LIMIT`.
    Endless,
}

/// Which columns of a table are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanRequest {
    /// The columns, in the order of the output schema.
    pub columns: Vec<ScanColumn>,
}

impl ScanRequest {
    /// Every column with all its children.
    pub fn all(columns: usize) -> Self {
        Self { columns: (0..columns).map(|index| ScanColumn { index, children: None }).collect() }
    }
}

/// One column that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanColumn {
    /// Index into [`TableSpec::schema`](super::TableSpec::schema).
    pub index: usize,
    /// For a ROW column: the children that are read. The others may be filled with nulls; the type of the
    /// column stays whole. `None` asks for all.
    pub children: Option<Vec<usize>>,
}

/// A part of a source that one shard reads from its start to its end, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Unique in the source and stable over restarts.
    pub id: String,
}

/// Where an earlier run has left a split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitPlace {
    /// The split.
    pub split: Split,
    /// What [`SplitReader::offset`] gave; `None`: it had not begun.
    pub offset: Option<String>,
    /// It has been read to its end.
    pub ended: bool,
}

/// A table opened for reading. Made once for a job (or a batch query), shared by all shards.
pub trait Source: Send + Sync + fmt::Debug {
    /// The schema of the batches: the asked-for columns, in that order.
    fn schema(&self) -> SchemaRef;

    /// Whether it ends.
    fn boundedness(&self) -> Boundedness;

    /// Which changes its rows are: insertions only, or insertions and retractions ([`ReadPoll::Changes`]).
    fn changelog(&self) -> ChangelogMode {
        ChangelogMode::Append
    }

    /// What is done with rows that break their format, or whose computed columns or watermark cannot be evaluated.
    fn on_error(&self) -> OnError {
        OnError::Fail
    }

    /// Columns of [`Self::schema`] that identify a row of a source that retracts. `None`: the whole row, with
    /// multiplicity.
    fn stream_key(&self) -> Option<Vec<usize>> {
        None
    }

    /// Whether a read can be repeated from an offset (files, generators: yes; a socket: no).
    fn replayable(&self) -> bool;

    /// Cuts the source into splits. At least `parallelism` where the source can be cut at will; fewer where it
    /// cannot. May block on I/O; never called on a shard.
    ///
    /// # Errors
    /// Where the source cannot be listed (missing file, no permission).
    fn splits(&self, parallelism: usize) -> Result<Vec<Split>>;

    /// A job goes on with splits of an earlier run, which has kept where each of them stands: takes the place of
    /// [`Self::splits`]. Returns the splits that there are now beside them; they are read from their starts. May block on
    /// I/O; never called on a shard.
    ///
    /// # Errors
    /// Where a split cannot be read on: what it has not read is gone.
    fn resume(&self, _known: &[SplitPlace]) -> Result<Vec<Split>> {
        Ok(Vec::new())
    }

    /// For each column of [`Self::schema`]: the value that it has in all rows of a split, in one row; `None`: that is not known
    /// without reading it. Filters on such columns leave splits out. May block on I/O; never called on a shard.
    ///
    /// # Errors
    /// Where the value cannot be told.
    fn constants(&self, _split: &Split) -> Result<Vec<Option<ArrayRef>>> {
        Ok(Vec::new())
    }

    /// Opens a split at its start. Called on a shard: must not wait for anything but a local file.
    ///
    /// # Errors
    /// Where the split cannot be opened.
    fn reader(&self, split: &Split) -> Result<Box<dyn SplitReader>>;

    /// One line for `EXPLAIN`: what is read, without secrets.
    fn describe(&self) -> String;
}

/// Reads one split. Owned by one shard.
pub trait SplitReader: Send {
    /// The next rows. Must return quickly: a source that has nothing to give returns [`ReadPoll::Pending`] and
    /// sees to it that the shard is woken.
    ///
    /// # Errors
    /// A row that breaks the format under policy `fail`, or I/O. The job fails.
    fn poll(&mut self, context: &mut ReadContext<'_>) -> Result<ReadPoll>;

    /// Where the next `poll` continues, as the connector's own text (kept in checkpoints).
    fn offset(&self) -> String;

    /// Continues from an offset that [`Self::offset`] gave.
    ///
    /// # Errors
    /// Where the offset is not this split's, or what it points at is gone.
    fn seek(&mut self, offset: &str) -> Result<()>;
}

/// What a reader is told on each poll, and where it reports.
pub struct ReadContext<'a> {
    /// Rows wanted at the most.
    pub rows_max: usize,
    /// The processing time now.
    pub now: ProcessingTime,
    /// Somebody waits for all that is there at this moment (`FLUSH`): look now rather than at the next interval.
    /// The answer [`ReadPoll::Pending`] then means: all that was there has been read.
    pub flushing: bool,
    /// Wakes the shard; clone it for a thread that waits for outside data.
    pub wake: &'a WakeHandle,
    /// Takes the rows that cannot be parsed, as [`Source::on_error`] says.
    pub rejects: &'a mut Rejects,
}

/// The answer of [`SplitReader::poll`].
#[derive(Debug)]
pub enum ReadPoll {
    /// At least one row.
    Batch(RecordBatch),
    /// At least one change, from a source whose [`Source::changelog`] says that it retracts.
    Changes(Delta),
    /// Rows that were there when a flush began are on their way. As [`Self::Pending`], but the flush is not over; the
    /// shard polls again when it is woken, or at `retry_at`.
    Fetching {
        /// When to ask again, where the reader waits for the clock.
        retry_at: Option<ProcessingTime>,
    },
    /// Nothing now. The shard polls again when it is woken, or at `retry_at`.
    Pending {
        /// When to ask again, where the reader waits for the clock.
        retry_at: Option<ProcessingTime>,
    },
    /// The source has splits that it had not before; they are read from their starts. What this split has is asked for
    /// again.
    Splits(Vec<Split>),
    /// The split is at its end, for good.
    End,
}

/// Wakes one shard from another thread. Cheap to clone.
#[derive(Clone)]
pub struct WakeHandle(Arc<dyn Fn() + Send + Sync>);

impl WakeHandle {
    /// A handle that calls `wake`.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(wake))
    }

    /// A handle that does nothing, for readers that are polled in a loop.
    pub fn noop() -> Self {
        Self::new(|| ())
    }

    /// Wakes the shard.
    pub fn wake(&self) {
        (self.0)();
    }
}

impl fmt::Debug for WakeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WakeHandle")
    }
}
