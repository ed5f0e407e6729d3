//! Reads one file from a position to its end, whatever its format.

use std::path::Path;

use arrow::array::RecordBatch;
use millstream_engine::error::{EngineError, Result};
use millstream_engine::rejects::Rejects;

use super::chunks::Chunks;
use super::format_offset::Position;
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

/// Opens a file to read the `wanted` ones of its `columns`.
///
/// # Errors
/// Where it cannot be opened, or does not hold the format.
pub(super) fn open(
    format: &Format,
    path: &Path,
    columns: &Fields,
    wanted: &[WantedColumn],
    position: Position,
) -> Result<Box<dyn FileReader>> {
    let name = path.display().to_string();
    let refuse = |error| EngineError::io(format_args!("cannot read file \"{name}\""), error);
    match format.decoder(columns, wanted)? {
        Some(mut decoder) => {
            let mut chunks = Chunks::open(path, 0).map_err(refuse)?;
            let mut line = read_header(decoder.as_mut(), &mut chunks, &name)?;
            if position.at > 0 {
                chunks = Chunks::open(path, position.at).map_err(refuse)?;
                line = position.line;
            }
            Ok(Box::new(TextFile { name, decoder, chunks, line }))
        }
        None => crate::formats::parquet::open(path, columns, wanted, position.at).map(|reader| {
            let reader: Box<dyn FileReader> = Box::new(reader);
            reader
        }),
    }
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
