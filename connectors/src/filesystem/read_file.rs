//! Reads one file to its end: a split of a bounded scan.

use std::path::PathBuf;
use std::sync::Arc;

use millstream_engine::error::Result;
use millstream_engine::ports::{ReadContext, ReadPoll, SplitReader};

use super::format_offset::{Position, read_position, write_position};
use super::scan::{FileScan, OpenFile};

/// See the module.
pub(super) struct ReadFile {
    scan: Arc<FileScan>,
    path: PathBuf,
    file: OpenFile,
}

impl ReadFile {
    /// Opens a file at its start.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub(super) fn open(scan: Arc<FileScan>, path: PathBuf) -> Result<Self> {
        let file = OpenFile::open(&scan, &path, Position::default())?;
        Ok(Self { scan, path, file })
    }
}

impl SplitReader for ReadFile {
    fn poll(&mut self, context: &mut ReadContext<'_>) -> Result<ReadPoll> {
        Ok(match self.file.next(context.rows_max, context.rejects)? {
            Some(rows) => rows,
            None => ReadPoll::End,
        })
    }

    fn offset(&self) -> String {
        write_position(self.file.position())
    }

    fn seek(&mut self, offset: &str) -> Result<()> {
        self.file = OpenFile::open(&self.scan, &self.path, read_position(offset)?)?;
        Ok(())
    }
}
