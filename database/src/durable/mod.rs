//! What is still there after `kill -9`: the catalog and the rows of internal tables, in a directory that one server holds.
//!
//! ```text
//! DATA/lock                 held by the server, with its process id
//! DATA/catalog/catalog.log  what exists and what runs: [`format_catalog`]
//! DATA/tables/<id>.log      the changes of one internal table: [`format_table`]
//! DATA/rejected/rejected.log  rows that statements have rejected: [`reject_log`]
//! ```
//! All logs are framed alike ([`format_log`], [`log`]): a torn end is cut off, damage is an error that names the file, but of
//! rejected rows, which are put aside.
//! [`catalog_log`] and [`table_log`] write before a statement answers; [`crate::session`] plays them back at the start.

#[cfg(test)]
mod broken_tests;
pub(crate) mod catalog_log;
mod directory;
pub(crate) mod format_catalog;
mod format_log;
mod format_table;
mod log;
pub(crate) mod reject_log;
pub(crate) mod table_log;
mod table_writer;

use std::path::{Path, PathBuf};

use millstream_sql::{SqlError, SqlState};
use thiserror::Error;

pub(crate) use directory::DataDirectory;

/// `disk_full`
const DISK_FULL: SqlState = SqlState("53100");
/// `data_corrupted`
const DATA_CORRUPTED: SqlState = SqlState("XX001");
/// `object_in_use`
const OBJECT_IN_USE: SqlState = SqlState("55006");

/// Why something durable could not be read or written.
#[derive(Debug, Error)]
pub(crate) enum DurableError {
    /// The operating system refused.
    #[error("could not {what} \"{}\": {cause}", .path.display())]
    Io {
        /// What was tried: `write`, `open`.
        what: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Why not.
        cause: std::io::Error,
    },
    /// The file does not hold what was written.
    #[error("file \"{}\" is damaged at byte {at}: {what}", .path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where, in bytes from its start. All before is whole.
        at: u64,
        /// What is wrong there.
        what: String,
    },
    /// The file that says what the others are is not there.
    #[error("file \"{}\" is missing or empty, and there are rows of tables that only it can tell of", .0.display())]
    Missing(PathBuf),
    /// Another server holds the directory.
    #[error("data directory \"{}\" is in use by another server{holder}", .path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Which process, where it is known: ` (process 12)`.
        holder: String,
    },
    /// An earlier write failed in a way that leaves the end of the file unknown.
    #[error("file \"{}\" takes no more changes: an earlier write failed", .0.display())]
    Closed(PathBuf),
}

impl DurableError {
    fn io(what: &'static str, path: &Path, cause: std::io::Error) -> Self {
        Self::Io { what, path: path.to_owned(), cause }
    }
}

impl From<DurableError> for SqlError {
    fn from(error: DurableError) -> Self {
        let message = error.to_string();
        match error {
            DurableError::Io { cause, .. } if cause.kind() == std::io::ErrorKind::StorageFull => {
                Self::new(DISK_FULL, message).with_hint("Free some space and try again.")
            }
            DurableError::Io { .. } => Self::new(SqlState::IO_ERROR, message),
            DurableError::Damaged { at, .. } => Self::new(DATA_CORRUPTED, message).with_hint(format!(
                "Put the file back from a backup, or cut it at byte {at} and lose what came after."
            )),
            DurableError::Missing(_) => Self::new(DATA_CORRUPTED, message)
                .with_hint("Put the file back from a backup, or start with another --data-dir."),
            DurableError::InUse { .. } => Self::new(OBJECT_IN_USE, message)
                .with_hint("Stop that server, or start this one with another --data-dir."),
            DurableError::Closed(_) => Self::new(SqlState::IO_ERROR, message).with_hint("Restart the server."),
        }
    }
}
