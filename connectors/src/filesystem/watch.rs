//! Reads what is in a directory and what comes into it: files in the order of their age, each once.
//!
//! A file is read to the end that it has when it is read; what is appended later is not seen, as in Flink. Writers should
//! move finished files into the directory.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_engine::error::Result;
use millstream_engine::ports::{ReadContext, ReadPoll, SplitReader};
use millstream_engine::time::ProcessingTime;

use super::cut::Part;
use super::format_offset::{Position, WatchOffset, read_watch, write_watch};
use super::listing::Listed;
use super::scan::{FileScan, OpenFile};

/// See the module.
pub(super) struct Watch {
    scan: Arc<FileScan>,
    /// `None`: what is there now is all.
    interval_us: Option<i64>,
    /// Files read to their end, and the running one.
    offset: WatchOffset,
    file: Option<OpenFile>,
    waiting: VecDeque<PathBuf>,
    /// When to look again.
    look_at: ProcessingTime,
    /// A look was taken for the `FLUSH` that is under way.
    flush_looked: bool,
}

impl Watch {
    /// Watches the location of a scan; without an interval it reads what is there and ends.
    pub(super) fn new(scan: Arc<FileScan>, interval_us: Option<i64>) -> Self {
        Self {
            scan,
            interval_us,
            offset: WatchOffset::default(),
            file: None,
            waiting: VecDeque::new(),
            look_at: ProcessingTime(i64::MIN),
            flush_looked: false,
        }
    }

    /// Finds the files that were not read yet. While a directory is listed files may come, of which the listing has some and not
    /// others that came before them: a second one has those, so that none is read after a younger one.
    fn look(&mut self) -> Result<()> {
        let found = self.unread()?;
        let Some(youngest) = found.last() else { return Ok(()) };
        let again = self.unread()?;
        self.waiting = again.into_iter().take_while(|file| file <= youngest).map(|file| file.path).collect();
        Ok(())
    }

    /// The files that were not read yet, the oldest first.
    fn unread(&self) -> Result<Vec<Listed>> {
        let mut files = self.scan.table().location.list_present()?;
        files.retain(|file| file.path.to_str().is_some_and(|path| !self.offset.done.contains(path)));
        files.sort();
        Ok(files)
    }

    /// Opens the next file. False where none waits.
    fn open_next(&mut self) -> Result<bool> {
        let Some(path) = self.waiting.pop_front() else { return Ok(false) };
        if self.scan.table().location.place.exists(&path) {
            self.file = Some(OpenFile::open(&self.scan, &Part::whole(&path), Position::default())?);
            self.offset.current = Some((path.display().to_string(), Position::default()));
        } else {
            tracing::warn!(file = %path.display(), "a file vanished before it was read");
        }
        Ok(true)
    }
}

impl SplitReader for Watch {
    fn poll(&mut self, context: &mut ReadContext<'_>) -> Result<ReadPoll> {
        loop {
            if let Some(file) = &mut self.file {
                if let Some(rows) = file.next(context.rows_max, context.rejects)? {
                    if let Some((_, position)) = &mut self.offset.current {
                        *position = file.position();
                    }
                    return Ok(rows);
                }
                self.file = None;
                if let Some((path, _)) = self.offset.current.take() {
                    self.offset.done.insert(path);
                }
            }
            if self.open_next()? {
                continue;
            }
            if context.now >= self.look_at || (context.flushing && !self.flush_looked) {
                self.flush_looked = context.flushing;
                // Where nothing more is waited for, one look is enough.
                self.look_at = self.interval_us.map_or(ProcessingTime(i64::MAX), |span| context.now.plus_us(span));
                self.look()?;
                if !self.waiting.is_empty() {
                    continue;
                }
            }
            self.flush_looked = false;
            if self.interval_us.is_none() {
                return Ok(ReadPoll::End);
            }
            return Ok(ReadPoll::Pending { retry_at: Some(self.look_at) });
        }
    }

    fn offset(&self) -> String {
        write_watch(&self.offset)
    }

    fn seek(&mut self, offset: &str) -> Result<()> {
        self.offset = read_watch(offset)?;
        self.waiting.clear();
        self.look_at = ProcessingTime(i64::MIN);
        self.file = match &self.offset.current {
            Some((path, position)) => Some(OpenFile::open(&self.scan, &Part::whole(Path::new(path)), *position)?),
            None => None,
        };
        Ok(())
    }
}
