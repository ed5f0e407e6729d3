//! Lookups: a table outside that is asked for the rows of keys, while a job runs.

use std::fmt;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::error::Result;

/// A table opened for lookups. Made once for a job, shared by all shards.
pub trait Lookup: Send + Sync + fmt::Debug {
    /// The schema of the answers: the asked-for columns, in that order.
    fn schema(&self) -> SchemaRef;

    /// Begins to look up the rows of some keys, and returns at once; it tries again by itself where that may help. `keys`: the
    /// key columns that the table was opened with, without nulls, each key once. The rows may come in any order.
    fn look_up(&self, keys: RecordBatch, answer: Answer);

    /// What is kept of the answers; `None`: nothing.
    fn cache(&self) -> Option<LookupCache>;

    /// One line for `EXPLAIN`, without secrets.
    fn describe(&self) -> String;
}

/// Which part of a table is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupRequest {
    /// Indexes of the columns of the answers in [`TableSpec::schema`](super::TableSpec::schema).
    pub columns: Vec<usize>,
    /// Indexes of the key columns there. They are among `columns`.
    pub keys: Vec<usize>,
}

/// How answers are kept, by each shard for itself. That there are no rows of a key is kept as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookupCache {
    /// Rows that are kept at the most; `None`: all.
    pub rows_max: Option<usize>,
    /// A key is asked for again when its answer is so many microseconds old; `None`: never.
    pub expire_us: Option<i64>,
}

/// Takes the rows that a lookup found, on any thread.
pub struct Answer(Box<dyn FnOnce(Result<RecordBatch>) + Send>);

impl Answer {
    /// An answer that is given to `take`.
    pub fn new(take: impl FnOnce(Result<RecordBatch>) + Send + 'static) -> Self {
        Self(Box::new(take))
    }

    /// Gives the rows, or why there are none.
    pub fn give(self, rows: Result<RecordBatch>) {
        (self.0)(rows);
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}
