//! The files of `COPY`: read whole, written under another name and renamed when they are whole.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::Compression as PageCompression;
use datafusion::parquet::file::properties::WriterProperties;
use futures::StreamExt;
use millstream_connectors::{Compression, PackedWriter};
use millstream_sql::ast::{CopyFormat, CopyOptions};
use millstream_sql::{SqlError, SqlState};

use super::CopyEncoder;
use crate::encode::TextStyle;
use crate::session::Rows;

/// All bytes of a file, unpacked.
///
/// # Errors
/// 58P01 where it is not there; 58030 where it cannot be read.
pub(crate) fn read_file(path: &str) -> Result<Vec<u8>, SqlError> {
    let told = |error: io::Error| {
        let state = if error.kind() == io::ErrorKind::NotFound { SqlState::UNDEFINED_FILE } else { SqlState::IO_ERROR };
        SqlError::new(state, format!("could not open file \"{path}\" for reading: {error}"))
    };
    let mut bytes = Vec::new();
    millstream_connectors::open_file(Path::new(path)).map_err(told)?.read_to_end(&mut bytes).map_err(told)?;
    Ok(bytes)
}

/// Writes all rows to a file, in place of one that is there. Returns their number.
///
/// # Errors
/// Those of the rows; 58030 where the file cannot be written. Then no file is left.
pub(crate) async fn write_file(
    path: &str,
    options: &CopyOptions,
    style: TextStyle,
    mut rows: Rows,
) -> Result<u64, SqlError> {
    let mut writer = FileWriter::create(path, options, style, &rows.schema)?;
    let mut count = 0;
    while let Some(batch) = rows.batches.next().await {
        let batch = batch?;
        count += batch.num_rows() as u64;
        // A batch is in memory: what waits here is the disk alone.
        writer.write(&batch)?;
    }
    writer.finish()?;
    Ok(count)
}

/// An unfinished file.
struct FileWriter {
    path: PathBuf,
    /// Its name until it is whole; removed where it never is.
    unfinished: Option<PathBuf>,
    body: Body,
}

enum Body {
    Lines { into: Box<PackedWriter<BufWriter<File>>>, encoder: CopyEncoder, buffer: Vec<u8> },
    Parquet(Box<ArrowWriter<BufWriter<File>>>),
}

impl FileWriter {
    fn create(path: &str, options: &CopyOptions, style: TextStyle, schema: &SchemaRef) -> Result<Self, SqlError> {
        let told = |error: &dyn std::fmt::Display| refuse(path, error);
        let path_buf = PathBuf::from(path);
        let Some(name) = path_buf.file_name().and_then(|name| name.to_str()) else {
            return Err(told(&"it names no file"));
        };
        let unfinished = path_buf.with_file_name(format!(".{name}.unfinished"));
        let file = BufWriter::new(File::create(&unfinished).map_err(|error| told(&error))?);
        let mut writer = Self {
            body: match options.format {
                CopyFormat::Parquet => {
                    let properties = WriterProperties::builder().set_compression(PageCompression::SNAPPY).build();
                    let writer = ArrowWriter::try_new(file, SchemaRef::clone(schema), Some(properties));
                    Body::Parquet(Box::new(writer.map_err(|error| told(&error))?))
                }
                CopyFormat::Text | CopyFormat::Csv | CopyFormat::Json => {
                    let into = PackedWriter::new(file, Compression::of(&path_buf)).map_err(|error| told(&error))?;
                    let encoder = CopyEncoder::new(options.clone(), style);
                    Body::Lines { into: Box::new(into), encoder, buffer: Vec::new() }
                }
            },
            path: path_buf,
            unfinished: Some(unfinished),
        };
        if let Body::Lines { encoder, buffer, .. } = &mut writer.body {
            encoder.header(schema, buffer);
        }
        Ok(writer)
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), SqlError> {
        match &mut self.body {
            Body::Lines { into, encoder, buffer } => {
                (0..batch.num_rows()).for_each(|row| encoder.row(batch, row, buffer));
                into.write_all(buffer).map_err(|error| refuse(&self.path.to_string_lossy(), &error))?;
                buffer.clear();
            }
            Body::Parquet(writer) => {
                writer.write(batch).map_err(|error| refuse(&self.path.to_string_lossy(), &error))?;
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), SqlError> {
        let name = self.path.to_string_lossy().into_owned();
        let told = |error: &dyn std::fmt::Display| refuse(&name, error);
        match &mut self.body {
            Body::Lines { into, buffer, .. } => {
                into.write_all(buffer).map_err(|error| told(&error))?;
                into.finish().and_then(Write::flush).map_err(|error| told(&error))?;
            }
            Body::Parquet(writer) => {
                writer.finish().map_err(|error| told(&error))?;
                writer.inner_mut().flush().map_err(|error| told(&error))?;
            }
        }
        if let Some(unfinished) = self.unfinished.take() {
            std::fs::rename(&unfinished, &self.path).map_err(|error| told(&error))?;
        }
        Ok(())
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        if let Some(unfinished) = &self.unfinished {
            // It is of no use to anybody; there is nobody to tell.
            let _ = std::fs::remove_file(unfinished);
        }
    }
}

fn refuse(path: &str, error: &dyn std::fmt::Display) -> SqlError {
    SqlError::new(SqlState::IO_ERROR, format!("could not write file \"{path}\": {error}"))
}
