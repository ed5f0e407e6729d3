//! [`TableLogs`]: the changes of internal tables, on the disk before a statement answers.
//!
//! One thread writes. While it waits for the disk further changes queue up, and the next write takes all of them, so that
//! statements that run together share one sync for each table. It hands a change to the engine once it is durable, in the order
//! of the log: what the engine has is always a beginning of the log.

use std::pin::Pin;
use std::sync::mpsc;
use std::thread;

use arrow::array::RecordBatch;
use millstream_engine::EngineError;
use millstream_engine::message::Delta;
use millstream_engine::plan::RelationId;
use millstream_sql::SqlError;
use tokio::sync::oneshot;

use super::DurableError;
use super::directory::DataDirectory;
use super::table_writer::Writer;

/// Resolves when a change is visible.
pub(crate) type Visible = Pin<Box<dyn Future<Output = Result<(), EngineError>> + Send>>;

/// Hands a durable change to the engine, with its position.
pub(crate) type Apply = Box<dyn Fn(RelationId, Delta, u64) -> Result<Visible, EngineError> + Send>;

/// The logs of all internal tables. Dropping it waits until all changes are written.
#[derive(Debug)]
pub(crate) struct TableLogs {
    /// Taken when it is dropped.
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for TableLogs {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing more to write.
            let _ = thread.join();
        }
    }
}

pub(super) enum Request {
    Change {
        table: RelationId,
        delta: Delta,
        done: oneshot::Sender<Result<Visible, SqlError>>,
    },
    Load {
        table: RelationId,
        after: Option<u64>,
        kept: oneshot::Sender<Result<Kept, SqlError>>,
    },
    Replace {
        table: RelationId,
        position: u64,
        rows: Vec<RecordBatch>,
        done: oneshot::Sender<Result<(), SqlError>>,
    },
    /// Requests come from there, and from nowhere else, until it is closed.
    Hold {
        held: oneshot::Sender<()>,
        requests: mpsc::Receiver<Request>,
    },
    Retain(Vec<RelationId>),
    Drop(RelationId),
}

impl TableLogs {
    /// Opens the logs of a directory.
    ///
    /// # Errors
    /// Where the folder or the thread cannot be made.
    pub(crate) fn open(directory: &DataDirectory, apply: Apply) -> Result<Self, DurableError> {
        let folder = directory.folder("tables")?;
        let mut writer = Writer::new(folder.clone(), apply);
        let (sender, receiver) = mpsc::channel();
        let thread = thread::Builder::new().name("table-logs".to_owned()).spawn(move || writer.run(&receiver));
        let thread = thread.map_err(|cause| DurableError::io("start a thread for", &folder, cause))?;
        Ok(Self { requests: Some(sender), thread: Some(thread) })
    }

    /// Lets changes wait, after those that were asked for before, until the result is dropped.
    ///
    /// # Errors
    /// Where the server is shutting down.
    pub(crate) async fn hold(&self) -> Result<HeldLogs, SqlError> {
        let (held, holds) = oneshot::channel();
        let (sender, requests) = mpsc::channel();
        self.send(Request::Hold { held, requests });
        holds.await.map_err(|_| stopped())?;
        Ok(HeldLogs { requests: sender })
    }

    /// Changes a table, durably. Gives what to await until the change is visible.
    ///
    /// # Errors
    /// Where the change cannot be written: then it did not happen.
    pub(crate) async fn change(&self, table: RelationId, delta: Delta) -> Result<Visible, SqlError> {
        let (done, written) = oneshot::channel();
        self.send(Request::Change { table, delta, done });
        written.await.map_err(|_| stopped())?
    }

    /// Removes the logs of all tables but these.
    pub(crate) fn retain(&self, tables: Vec<RelationId>) {
        self.send(Request::Retain(tables));
    }

    /// Removes the log of a table.
    pub(crate) fn forget(&self, table: RelationId) {
        self.send(Request::Drop(table));
    }

    fn send(&self, request: Request) {
        // Where the thread has ended, whoever waits for an answer is told by the channel of the answer.
        let _ = self.requests.as_ref().map(|requests| requests.send(request));
    }
}

/// What the log of a table has beyond a position.
#[derive(Debug)]
pub(crate) enum Kept {
    /// The changes after it, with their positions.
    Changes(Vec<(u64, Delta)>),
    /// All rows as of the last change, where the changes are not told apart any more.
    Rows {
        /// Of the last change.
        position: u64,
        /// The rows.
        rows: Vec<RecordBatch>,
    },
    /// Less than there was at that position: the end of the log is gone. What is kept elsewhere is to take its place, by
    /// [`HeldLogs::replace`].
    Behind {
        /// Of the last change that there is.
        position: u64,
    },
}

/// The logs while changes wait.
#[derive(Debug)]
pub(crate) struct HeldLogs {
    requests: mpsc::Sender<Request>,
}

impl HeldLogs {
    /// What a table has become since a change of this position; `None`: since it was made.
    ///
    /// # Errors
    /// Where its log cannot be read or is damaged.
    pub(crate) async fn load(&self, table: RelationId, after: Option<u64>) -> Result<Kept, SqlError> {
        let (kept, loaded) = oneshot::channel();
        self.requests.send(Request::Load { table, after, kept }).map_err(|_| stopped())?;
        loaded.await.map_err(|_| stopped())?
    }

    /// Writes rows in place of all that the log of a table has; its next change comes after this position.
    ///
    /// # Errors
    /// Where the log cannot be read or written.
    pub(crate) async fn replace(
        &self,
        table: RelationId,
        position: u64,
        rows: Vec<RecordBatch>,
    ) -> Result<(), SqlError> {
        let (done, replaced) = oneshot::channel();
        self.requests.send(Request::Replace { table, position, rows, done }).map_err(|_| stopped())?;
        replaced.await.map_err(|_| stopped())?
    }
}

pub(super) fn stopped() -> SqlError {
    EngineError::Gone("the server is shutting down".into()).into()
}
