//! Reads one file, or a part of it, to its end: a split of a bounded scan.

use std::sync::Arc;

use millstream_engine::error::Result;
use millstream_engine::ports::{ReadContext, ReadPoll, SplitReader};

use super::cut::Part;
use super::format_offset::{Position, read_position, write_position};
use super::scan::{FileScan, OpenFile};

/// See the module.
pub(super) struct ReadFile {
    scan: Arc<FileScan>,
    part: Part,
    file: OpenFile,
}

impl ReadFile {
    /// Opens a part at its start.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub(super) fn open(scan: Arc<FileScan>, part: Part) -> Result<Self> {
        let file = OpenFile::open(&scan, &part, Position::default())?;
        Ok(Self { scan, part, file })
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
        self.file = OpenFile::open(&self.scan, &self.part, read_position(offset)?)?;
        Ok(())
    }
}
