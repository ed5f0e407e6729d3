//! A file read from front to back in pieces, with room for a record that crosses the border of two.

use std::fmt;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use super::compressed;
use super::json_layout::OneALine;
use super::place::Place;

/// Bytes read at a time: at first, as there may be thousands of small files, and at the most, when each piece has been twice
/// the one before.
const CHUNK_BYTES_MIN: usize = 32 << 10;
const CHUNK_BYTES: usize = 1 << 20;

/// Bytes that one record may have.
const RECORD_BYTES_MAX: usize = 256 << 20;

/// The part of a file that is in memory.
pub(super) struct Chunks {
    file: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Place in the file of the byte at `start`.
    position: u64,
    at_end: bool,
    /// Of the next piece.
    piece_bytes: usize,
}

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks").field("position", &self.position).finish_non_exhaustive()
    }
}

impl Chunks {
    /// Opens a file at the first byte of a range of what it unpacks to, to read as far as that. A byte order mark at its
    /// start is passed over. `one_a_line`: its JSON is of any layout, and is given with one value a line, which is what the
    /// range counts.
    ///
    /// # Errors
    /// Where it cannot be opened or read.
    pub(super) fn open(place: &Place, path: &Path, range: Range<u64>, one_a_line: bool) -> io::Result<Self> {
        let position = range.start;
        let file: Box<dyn Read + Send> = if one_a_line {
            let mut lines = OneALine::new(compressed::open(place, path, 0)?);
            io::copy(&mut lines.by_ref().take(position), &mut io::sink())?;
            Box::new(lines)
        } else {
            compressed::open(place, path, position)?
        };
        let file: Box<dyn Read + Send> = match range.end {
            u64::MAX => file,
            end => Box::new(file.take(end.saturating_sub(position))),
        };
        let piece_bytes = CHUNK_BYTES_MIN;
        let mut chunks = Self { file, buffer: Vec::new(), start: 0, end: 0, position, at_end: false, piece_bytes };
        if position == 0 {
            chunks.fill()?;
            if chunks.bytes().starts_with(b"\xef\xbb\xbf") {
                chunks.consume(3);
            }
        }
        Ok(chunks)
    }

    /// What was read and not consumed.
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Nothing comes behind [`Self::bytes`].
    pub(super) fn at_end(&self) -> bool {
        self.at_end
    }

    /// Place in the file of the first byte of [`Self::bytes`].
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Passes over `count` bytes.
    pub(super) fn consume(&mut self, count: usize) {
        let count = count.min(self.end - self.start);
        self.start += count;
        self.position += count as u64;
    }

    /// Reads more behind [`Self::bytes`].
    ///
    /// # Errors
    /// Where the file cannot be read, or a record is too long.
    pub(super) fn fill(&mut self) -> io::Result<()> {
        let kept = self.end - self.start;
        if kept >= RECORD_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a record at byte {} is longer than {} MiB", self.position, RECORD_BYTES_MAX >> 20),
            ));
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.start = 0;
        self.end = kept;
        let piece = self.piece_bytes;
        self.piece_bytes = CHUNK_BYTES.min(piece * 2);
        if self.buffer.len() < kept + piece {
            self.buffer.resize((kept + piece).max(self.buffer.len() * 2).min(kept + RECORD_BYTES_MAX), 0);
        }
        while let Some(room) = self.buffer.get_mut(self.end..).filter(|room| !room.is_empty()) {
            match self.file.read(room) {
                Ok(0) => {
                    self.at_end = true;
                    break;
                }
                Ok(count) => {
                    self.end += count;
                    if self.end - kept >= piece / 2 {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
