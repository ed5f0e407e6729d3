//! The files of `COPY`: read whole, written under another name and renamed when they are whole.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression as PageCompression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;
use futures::StreamExt;
use millstream_connectors::bucket::{Bucket, StoreUrl};
use millstream_connectors::{Compression, PackedWriter};
use millstream_sql::ast::{CopyCompression, CopyFormat, CopyOptions};
use millstream_sql::{SqlError, SqlState};

use super::CopyEncoder;
use crate::encode::TextStyle;
use crate::session::Rows;

/// All bytes of a file, unpacked.
///
/// # Errors
/// 58P01 where it is not there; 58030 where it cannot be read.
pub(crate) fn read_file(path: &str) -> Result<Vec<u8>, SqlError> {
    let told = |state, why: &dyn std::fmt::Display| {
        SqlError::new(state, format!("could not open file \"{path}\" for reading: {why}"))
    };
    let read = millstream_connectors::read_whole(path).map_err(|error| told(SqlState::IO_ERROR, &error))?;
    read.ok_or_else(|| told(SqlState::UNDEFINED_FILE, &"no such file or directory"))
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
    let finished = tokio::task::spawn_blocking(move || writer.finish()).await;
    finished.map_err(|error| refuse(path, &error))??;
    Ok(count)
}

/// Where a file is to be.
enum Target {
    Local(PathBuf),
    Bucket(Arc<Bucket>, String),
}

/// An unfinished file.
struct FileWriter {
    /// The path as the user has written it, without settings.
    name: String,
    target: Target,
    /// Its name until it is whole; removed where it never is, or goes to a bucket.
    unfinished: Option<PathBuf>,
    body: Body,
}

enum Body {
    Lines { into: Box<PackedWriter<BufWriter<File>>>, encoder: CopyEncoder, buffer: Vec<u8> },
    Parquet(Box<ArrowWriter<BufWriter<File>>>),
}

/// Tells the unfinished files of one process apart that go to buckets.
static FILES: AtomicU64 = AtomicU64::new(0);

/// Where a path leads, and where its file is written first.
fn target(path: &str) -> Result<(Target, PathBuf), SqlError> {
    if StoreUrl::is_one(path) {
        let url = StoreUrl::parse(path)?;
        if url.path().is_empty() || url.path().ends_with('/') {
            return Err(refuse(path, &"it names no file"));
        }
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let unfinished = std::env::temp_dir().join(format!("millstream-copy-{}-{number}", std::process::id()));
        return Ok((Target::Bucket(Bucket::open(&url)?, url.path().to_owned()), unfinished));
    }
    let local = PathBuf::from(path.strip_prefix("file://").unwrap_or(path));
    let Some(name) = local.file_name().and_then(|name| name.to_str()) else {
        return Err(refuse(path, &"it names no file"));
    };
    let unfinished = local.with_file_name(format!(".{name}.unfinished"));
    Ok((Target::Local(local), unfinished))
}

impl FileWriter {
    fn create(path: &str, options: &CopyOptions, style: TextStyle, schema: &SchemaRef) -> Result<Self, SqlError> {
        let (target, unfinished) = target(path)?;
        let name = match &target {
            Target::Local(path) => path.to_string_lossy().into_owned(),
            Target::Bucket(bucket, key) => format!("{}/{key}", bucket.name()),
        };
        let told = |error: &dyn std::fmt::Display| refuse(&name, error);
        let file = BufWriter::new(File::create(&unfinished).map_err(|error| told(&error))?);
        let body = match options.format {
            CopyFormat::Parquet => {
                let properties = WriterProperties::builder().set_compression(pages(options.compression)).build();
                let writer = ArrowWriter::try_new(file, SchemaRef::clone(schema), Some(properties));
                Body::Parquet(Box::new(writer.map_err(|error| told(&error))?))
            }
            CopyFormat::Text | CopyFormat::Csv | CopyFormat::Json => {
                let compression = packing(options.compression).unwrap_or_else(|| Compression::of(Path::new(&name)));
                let into = PackedWriter::new(file, compression).map_err(|error| told(&error))?;
                let mut encoder = CopyEncoder::new(options.clone(), style);
                let mut buffer = Vec::new();
                encoder.header(schema, &mut buffer);
                Body::Lines { into: Box::new(into), encoder, buffer }
            }
        };
        Ok(Self { name, target, unfinished: Some(unfinished), body })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), SqlError> {
        match &mut self.body {
            Body::Lines { into, encoder, buffer } => {
                (0..batch.num_rows()).for_each(|row| encoder.row(batch, row, buffer));
                into.write_all(buffer).map_err(|error| refuse(&self.name, &error))?;
                buffer.clear();
            }
            Body::Parquet(writer) => {
                writer.write(batch).map_err(|error| refuse(&self.name, &error))?;
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), SqlError> {
        let name = self.name.clone();
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
        match (&self.target, &self.unfinished) {
            (Target::Local(path), Some(unfinished)) => {
                std::fs::rename(unfinished, path).map_err(|error| told(&error))?;
                self.unfinished = None;
            }
            (Target::Bucket(bucket, key), Some(unfinished)) => {
                let bytes = std::fs::read(unfinished).map_err(|error| told(&error))?;
                bucket.put(key, &bytes)?;
            }
            (Target::Local(_) | Target::Bucket(..), None) => {}
        }
        Ok(())
    }
}

/// How the pages of a Parquet file are packed.
fn pages(asked: Option<CopyCompression>) -> PageCompression {
    match asked {
        None | Some(CopyCompression::Snappy) => PageCompression::SNAPPY,
        Some(CopyCompression::Zstd) => PageCompression::ZSTD(ZstdLevel::default()),
        // The statement with gzip was refused.
        Some(CopyCompression::None | CopyCompression::Gzip) => PageCompression::UNCOMPRESSED,
    }
}

/// How a file of lines is packed; `None`: its name tells.
fn packing(asked: Option<CopyCompression>) -> Option<Compression> {
    asked.map(|asked| match asked {
        CopyCompression::None => Compression::None,
        CopyCompression::Snappy => Compression::Snappy,
        CopyCompression::Zstd => Compression::Zstd,
        CopyCompression::Gzip => Compression::Gzip,
    })
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
