//! One part file under construction: its rows on their way through the format into the file.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::datatypes::Fields;
use millstream_engine::error::{EngineError, Result};
use millstream_engine::time::ProcessingTime;
use parquet::arrow::arrow_writer::ArrowWriter;

use super::place::Place;
use super::staging::refuse;
use crate::formats::{Format, RecordEncoder};

/// Encoded bytes that are kept before they are written.
const BUFFER_BYTES: usize = 256 << 10;

/// See the module.
pub(super) struct PartFile {
    body: Body,
    place: Place,
    hidden: PathBuf,
    visible: PathBuf,
    /// When it was begun.
    pub(super) begun: ProcessingTime,
}

enum Body {
    /// Formats whose rows stand one behind the other.
    Text { file: File, encoder: Box<dyn RecordEncoder>, buffer: Vec<u8>, written: u64 },
    /// Parquet.
    Parquet(Box<ArrowWriter<File>>),
}

impl PartFile {
    /// Begins a file with these names, the one it has until it is whole and the one it has then.
    ///
    /// # Errors
    /// Where it cannot be made; `AlreadyExists` never overwrites.
    pub(super) fn begin(
        place: &Place,
        names: (PathBuf, PathBuf),
        format: &Format,
        columns: &Fields,
        now: ProcessingTime,
    ) -> Result<Self> {
        let (hidden, visible) = names;
        let file = place.begin(&hidden).map_err(|error| refuse(&hidden, error))?;
        let body = match (format, format.encoder(columns)) {
            (_, Some(encoder)) => {
                let mut buffer = Vec::new();
                encoder.header(&mut buffer);
                Body::Text { file, encoder, buffer, written: 0 }
            }
            (Format::Parquet(parquet), None) => Body::Parquet(Box::new(parquet.writer(file, columns)?)),
            (Format::Avro | Format::Json(_) | Format::Csv(_) | Format::Raw | Format::Change(_), None) => {
                return Err(EngineError::Internal(format!("format {} has no encoder", format.name())));
            }
        };
        Ok(Self { body, place: place.clone(), hidden, visible, begun: now })
    }

    /// Appends rows.
    ///
    /// # Errors
    /// Where they cannot be encoded or written.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match &mut self.body {
            Body::Text { file, encoder, buffer, written } => {
                encoder.encode(batch, buffer)?;
                if buffer.len() >= BUFFER_BYTES {
                    flush(file, buffer, written).map_err(|error| refuse(&self.hidden, error))?;
                }
                Ok(())
            }
            Body::Parquet(writer) => writer.write(batch).map_err(|error| refuse(&self.hidden, error)),
        }
    }

    /// Bytes so far; for Parquet an estimate.
    pub(super) fn bytes(&self) -> u64 {
        match &self.body {
            Body::Text { buffer, written, .. } => *written + buffer.len() as u64,
            Body::Parquet(writer) => (writer.bytes_written() + writer.in_progress_size()) as u64,
        }
    }

    /// Ends the file and makes it durable. Returns its hidden and its visible path.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(super) fn finish(self) -> Result<(PathBuf, PathBuf)> {
        let file = match self.body {
            Body::Text { mut file, mut buffer, mut written, .. } => {
                flush(&mut file, &mut buffer, &mut written).map_err(|error| refuse(&self.hidden, error))?;
                file
            }
            Body::Parquet(writer) => writer.into_inner().map_err(|error| refuse(&self.hidden, error))?,
        };
        self.place.finish(file, &self.hidden).map_err(|error| refuse(&self.hidden, error))?;
        Ok((self.hidden, self.visible))
    }
}

fn flush(file: &mut File, buffer: &mut Vec<u8>, written: &mut u64) -> io::Result<()> {
    file.write_all(buffer)?;
    *written += buffer.len() as u64;
    buffer.clear();
    Ok(())
}
