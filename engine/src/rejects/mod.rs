//! Rows that fail: what is done with them ([`OnError`]), who collects them ([`Rejects`]) and where they are kept
//! ([`RejectLog`]).
//!
//! A row is rejected where it breaks its format, where an expression cannot be computed of it, where it comes too late for its
//! window, or where a sink refuses it. It is counted always, and kept with the reason within a bound: the log is for people,
//! not a queue that nothing is lost from. How a batch that fails becomes the rows that fail is in [`narrow`].

pub mod format_rejected;
mod log;
mod narrow;
#[cfg(test)]
mod tests;

use std::fmt::Display;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;

use crate::error::{EngineError, ErrorKind, Result};
use crate::message::Delta;

pub use log::{RejectEntry, RejectLimits, RejectLog, RejectOrigin};
pub use narrow::{kept_rows, narrow};

/// Bytes of a record that are kept.
const RECORD_BYTES_MAX: usize = 8 << 10;

/// Late rows that are kept of one batch: a source that is behind must not pay for a copy of all it has.
const LATE_ROWS_KEPT: usize = 64;

/// What is done with a row that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// The job fails.
    #[default]
    Fail,
    /// The row is dropped and counted.
    Skip,
    /// The row is dropped, counted and kept in the log.
    Table,
}

impl OnError {
    /// The words of the policies, in the order of the variants.
    pub const WORDS: &'static [&'static str] = &["fail", "skip", "table"];

    /// The policy of a word, whatever its case.
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Self::Fail, Self::Skip, Self::Table];
        let found = Self::WORDS.iter().position(|known| known.eq_ignore_ascii_case(word))?;
        all.get(found).copied()
    }
}

/// Why rows were rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RejectKind {
    /// The watermark had passed them.
    Late,
    /// They could not be parsed or computed.
    Bad,
    /// The sink refused them.
    Sink,
}

impl RejectKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Late, Self::Bad, Self::Sink];
}

/// Rejected rows that have everything but their columns in common.
#[derive(Debug, Clone)]
pub struct Rejected {
    /// Why.
    pub kind: RejectKind,
    /// What came.
    pub content: RejectedContent,
    /// The message of the error; empty where the kind says it all.
    pub reason: String,
    /// Where it stood: file and line, or topic, partition and offset.
    pub place: Option<String>,
}

/// What was rejected.
#[derive(Debug, Clone)]
pub enum RejectedContent {
    /// Rows with columns.
    Rows(RecordBatch),
    /// A record that is no row yet, as text: bytes that are no UTF-8 as `\xNN`, cut off after some kilobytes.
    Record(String),
}

impl RejectedContent {
    /// How many rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::Rows(batch) => batch.num_rows(),
            Self::Record(_) => 1,
        }
    }

    /// Keeps so many rows at most, those that came last.
    fn keep_last(&mut self, rows: usize) {
        if let Self::Rows(batch) = self
            && batch.num_rows() > rows
        {
            *batch = batch.slice(batch.num_rows() - rows, rows);
        }
    }
}

/// How many rows were rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RejectCounts {
    /// Because the watermark had passed them.
    pub late: u64,
    /// Because they could not be parsed or computed; also those that were kept with nulls.
    pub bad: u64,
    /// Because the sink refused them.
    pub sink: u64,
}

/// Collects what is rejected in one step: counts, and the rows that are to be kept.
#[derive(Debug, Default)]
pub struct Rejects {
    /// What is done with rows that fail.
    pub on_error: OnError,
    /// All of them, exactly.
    pub counts: RejectCounts,
    /// Those to keep.
    pub kept: Vec<Rejected>,
}

impl Rejects {
    /// Nothing yet.
    pub fn new(on_error: OnError) -> Self {
        Self { on_error, ..Self::default() }
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.counts == RejectCounts::default()
    }

    /// Takes what was collected; the policy stays.
    pub fn take(&mut self) -> (RejectCounts, Vec<Rejected>) {
        (std::mem::take(&mut self.counts), std::mem::take(&mut self.kept))
    }

    /// Takes over what another one has collected.
    pub fn absorb(&mut self, mut other: Self) {
        self.counts.late += other.counts.late;
        self.counts.bad += other.counts.bad;
        self.counts.sink += other.counts.sink;
        self.kept.append(&mut other.kept);
    }

    /// Counts rows that stay, with null for what did not fit.
    pub fn count_nulled(&mut self, rows: u64) {
        self.counts.bad += rows;
    }

    /// Counts late rows that are not at hand any more.
    pub fn count_late(&mut self, rows: usize) {
        self.counts.late += rows as u64;
    }

    /// Rows of a delta came too late. A copy of the first is kept; of retractions there is nothing to keep.
    pub fn late(&mut self, delta: &Delta, rows: impl Iterator<Item = u32> + Clone) -> Result<()> {
        let count = rows.clone().count();
        self.count_late(count);
        let inserted = rows.filter(|row| !delta.is_retract(*row as usize)).take(LATE_ROWS_KEPT);
        let inserted: UInt32Array = inserted.collect();
        if !inserted.is_empty() {
            let batch = take_record_batch(&delta.batch, &inserted)?;
            self.keep(RejectKind::Late, RejectedContent::Rows(batch), String::new(), None);
        }
        Ok(())
    }

    /// A record breaks its format. `ignored`: the options of the format say to go on.
    ///
    /// # Errors
    /// The error, where it is not to be gone on.
    pub fn record(
        &mut self,
        record: &[u8],
        place: &dyn Display,
        ignored: bool,
        error: impl FnOnce() -> EngineError,
    ) -> Result<()> {
        match self.on_error {
            OnError::Fail if ignored => self.counts.bad += 1,
            OnError::Fail => return Err(error()),
            OnError::Skip => {
                let error = error();
                if error.kind() != ErrorKind::Data {
                    return Err(error);
                }
                self.counts.bad += 1;
            }
            OnError::Table => {
                let error = error();
                if error.kind() != ErrorKind::Data {
                    return Err(error);
                }
                self.counts.bad += 1;
                let (place, message) = (place.to_string(), error.to_string());
                let reason =
                    message.strip_prefix(&place).map_or(message.as_str(), |rest| rest.trim_start_matches(": "));
                let content = RejectedContent::Record(record_text(record));
                self.keep(RejectKind::Bad, content, reason.to_owned(), Some(place));
            }
        }
        Ok(())
    }

    /// A row of a delta that has only this one cannot be computed or written.
    pub fn row(&mut self, kind: RejectKind, delta: &Delta, error: &EngineError) -> Result<()> {
        // The row was told of when it was inserted; that it is gone now is no news.
        if delta.is_retract(0) {
            return Ok(());
        }
        match kind {
            RejectKind::Late => self.counts.late += 1,
            RejectKind::Bad => self.counts.bad += 1,
            RejectKind::Sink => self.counts.sink += 1,
        }
        if self.on_error == OnError::Table {
            // A copy: the slice would keep the whole batch.
            let batch = take_record_batch(&delta.batch, &UInt32Array::from(vec![0]))?;
            self.keep(kind, RejectedContent::Rows(batch), error.to_string(), None);
        }
        Ok(())
    }

    fn keep(&mut self, kind: RejectKind, content: RejectedContent, reason: String, place: Option<String>) {
        self.kept.push(Rejected { kind, content, reason, place });
    }
}

/// The start of a record as text: what is no UTF-8 stands as `\xNN`.
fn record_text(record: &[u8]) -> String {
    use std::fmt::Write as _;
    let record = record.strip_suffix(b"\n").unwrap_or(record);
    let record = record.strip_suffix(b"\r").unwrap_or(record);
    let cut = record.get(..RECORD_BYTES_MAX).unwrap_or(record);
    let mut text = String::with_capacity(cut.len());
    let mut chunks = cut.utf8_chunks().peekable();
    while let Some(chunk) = chunks.next() {
        text.push_str(chunk.valid());
        // A character that the cut went through is left out.
        if chunks.peek().is_some() || cut.len() == record.len() {
            for byte in chunk.invalid() {
                // Writing to a string cannot fail.
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
    }
    if cut.len() < record.len() {
        text.push('…');
    }
    // PostgreSQL's texts have no zero bytes.
    if text.contains('\0') { text.replace('\0', "\\x00") } else { text }
}
