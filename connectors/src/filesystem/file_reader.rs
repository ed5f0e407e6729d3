//! Reads one file from a position to its end, whatever its format.

use std::path::Path;

use arrow::array::RecordBatch;
use millstream_engine::error::{EngineError, Result};
use millstream_engine::rejects::Rejects;

use super::chunks::Chunks;
use super::cut::Part;
use super::format_offset::Position;
use super::place::Place;
use crate::formats::{Format, Progress, RecordDecoder, WantedColumn};
use arrow::datatypes::Fields;

/// Reads the rows of one open file.
pub(crate) trait FileReader: Send {
    /// At most `rows_max` further rows; `None` at the end. `rejects` takes what cannot be parsed.
    ///
    /// # Errors
    /// Where a row breaks the format, or the file cannot be read.
    fn next(&mut self, rows_max: usize, rejects: &mut Rejects) -> Result<Option<RecordBatch>>;

    /// Where [`Self::next`] continues.
    fn position(&self) -> Position;
}

/// What is read of files, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading<'a> {
    /// How rows stand in them.
    pub(super) format: &'a Format,
    /// Where they are.
    pub(super) place: &'a Place,
    /// What they hold.
    pub(super) columns: &'a Fields,
    /// What is asked for.
    pub(super) wanted: &'a [WantedColumn],
}

/// Opens a part of a file, at a position in it.
///
/// # Errors
/// Where it cannot be opened, or does not hold the format.
pub(super) fn open(reading: Reading<'_>, part: &Part, position: Position) -> Result<Box<dyn FileReader>> {
    let Reading { format, place, columns, wanted } = reading;
    let path: &Path = &part.path;
    let mut name = path.display().to_string();
    let range = part.range.clone().unwrap_or(0..u64::MAX);
    let Some(mut decoder) = format.decoder(columns, wanted)? else {
        let pieces = place.pieces(path).map_err(|error| refuse(&name, error))?;
        let rows = range.start.max(position.at)..range.end;
        return Ok(Box::new(crate::formats::parquet::open(pieces, &name, columns, wanted, rows)?));
    };
    let one_a_line = format.is_any_layout();
    let mut chunks = Chunks::open(place, path, 0..u64::MAX, one_a_line).map_err(|error| refuse(&name, error))?;
    let mut line = read_header(decoder.as_mut(), &mut chunks, &name)?;
    let start = range.start.max(position.at);
    if start > 0 || range.end != u64::MAX {
        // A header is not in the range of a later part, but it is in that of the first one.
        let start = start.max(chunks.position());
        chunks = Chunks::open(place, path, start..range.end, one_a_line).map_err(|error| refuse(&name, error))?;
        line = if position.at > 0 {
            position.line
        } else if range.start > 0 {
            0
        } else {
            line
        };
    }
    if range.start > 0 {
        name = format!("{name} from byte {}", range.start);
    }
    Ok(Box::new(TextFile { name, decoder, chunks, line }))
}

fn refuse(name: &str, error: std::io::Error) -> EngineError {
    EngineError::io(format_args!("cannot read file \"{name}\""), error)
}

/// Lets the decoder take what stands before the first record. Returns the lines passed.
fn read_header(decoder: &mut dyn RecordDecoder, chunks: &mut Chunks, name: &str) -> Result<u64> {
    let mut rejects = Rejects::default();
    let mut progress = Progress { source: name, line: 0, rejects: &mut rejects };
    loop {
        if let Some(count) = decoder.header(chunks.bytes(), chunks.at_end(), &mut progress)? {
            chunks.consume(count);
            return Ok(progress.line);
        }
        chunks.fill().map_err(|error| EngineError::io(format_args!("cannot read file \"{name}\""), error))?;
    }
}

/// A file of records one behind the other.
struct TextFile {
    name: String,
    decoder: Box<dyn RecordDecoder>,
    chunks: Chunks,
    line: u64,
}

impl FileReader for TextFile {
    fn next(&mut self, rows_max: usize, rejects: &mut Rejects) -> Result<Option<RecordBatch>> {
        let mut progress = Progress { source: &self.name, line: self.line, rejects };
        loop {
            let chunks = &mut self.chunks;
            let count = self.decoder.decode(chunks.bytes(), chunks.at_end(), rows_max, &mut progress)?;
            chunks.consume(count);
            // A bad record before the end: keep on until there is a row or nothing left.
            if self.decoder.rows() >= rows_max || chunks.at_end() {
                break;
            }
            chunks
                .fill()
                .map_err(|error| EngineError::io(format_args!("cannot read file \"{}\"", self.name), error))?;
        }
        self.line = progress.line;
        if self.decoder.rows() == 0 {
            return Ok(None);
        }
        self.decoder.finish().map(Some)
    }

    fn position(&self) -> Position {
        Position { at: self.chunks.position(), line: self.line }
    }
}
