//! One part file under construction: hidden by a leading dot until it is renamed.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::Fields;
use millstream_engine::error::{EngineError, Result};
use millstream_engine::time::ProcessingTime;
use parquet::arrow::arrow_writer::ArrowWriter;

use crate::formats::{Format, RecordEncoder};
use crate::state_store::sync_directory;

/// Encoded bytes that are kept before they are written.
const BUFFER_BYTES: usize = 256 << 10;

/// How the names of unfinished files end.
const UNFINISHED: &str = ".inprogress";

/// See the module.
pub(super) struct PartFile {
    body: Body,
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
    /// Begins the file that will be `directory/name`. `tag` tells whose unfinished file it is.
    ///
    /// # Errors
    /// Where it cannot be made; `AlreadyExists` never overwrites.
    pub(super) fn begin(
        directory: &Path,
        name: &str,
        tag: &str,
        format: &Format,
        columns: &Fields,
        now: ProcessingTime,
    ) -> Result<Self> {
        fs::create_dir_all(directory).map_err(|error| {
            EngineError::io(format_args!("cannot make directory \"{}\"", directory.display()), error)
        })?;
        let (hidden, visible) = (directory.join(format!(".{name}.{tag}{UNFINISHED}")), directory.join(name));
        let file =
            OpenOptions::new().write(true).create_new(true).open(&hidden).map_err(|error| refuse(&hidden, error))?;
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
        Ok(Self { body, hidden, visible, begun: now })
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
        file.sync_all().map_err(|error| refuse(&self.hidden, error))?;
        sync_parent(&self.hidden)?;
        Ok((self.hidden, self.visible))
    }
}

fn flush(file: &mut File, buffer: &mut Vec<u8>, written: &mut u64) -> io::Result<()> {
    file.write_all(buffer)?;
    *written += buffer.len() as u64;
    buffer.clear();
    Ok(())
}

/// Deletes the unfinished files with this tag below a directory, but for those in `kept`.
///
/// # Errors
/// Where the directory cannot be read, or a file cannot be deleted.
pub(super) fn remove_unfinished(directory: &Path, tag: &str, kept: &BTreeSet<PathBuf>) -> Result<()> {
    let refuse = |error| EngineError::io(format_args!("cannot clean directory \"{}\"", directory.display()), error);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refuse(error)),
    };
    let ending = format!(".{tag}{UNFINISHED}");
    for entry in entries {
        let entry = entry.map_err(refuse)?;
        if entry.file_type().map_err(refuse)?.is_dir() {
            remove_unfinished(&entry.path(), tag, kept)?;
            continue;
        }
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with('.') && name.ends_with(&ending));
        if is_ours && !kept.contains(&entry.path()) {
            fs::remove_file(entry.path()).map_err(refuse)?;
        }
    }
    Ok(())
}

fn sync_parent(path: &Path) -> Result<()> {
    path.parent().map_or(Ok(()), sync_directory)
}

/// Gives a finished file its visible name, durably. Doing it twice is doing it once.
///
/// # Errors
/// Where neither name exists, or the file system refuses.
pub(super) fn publish(hidden: &Path, visible: &Path) -> Result<()> {
    match fs::rename(hidden, visible) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && visible.exists() => Ok(()),
        result => {
            result.map_err(|error| {
                let names =
                    format_args!("cannot rename \"{}\" to \"{}\"", hidden.display(), visible.display()).to_string();
                EngineError::io(names, error)
            })?;
            sync_parent(visible)
        }
    }
}

fn refuse(path: &Path, error: impl std::fmt::Display) -> EngineError {
    EngineError::io(format_args!("cannot write file \"{}\"", path.display()), error)
}
