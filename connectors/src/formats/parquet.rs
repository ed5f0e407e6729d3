//! Parquet files: only the asked-for columns are read, by name; a column that the file does not have is null. The
//! reader is driven by the `filesystem` connector, whose [`FileReader`] it implements.

mod fit;

use std::fs::File;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::filter;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use fit::{Rows, fit};
use millstream_engine::error::{EngineError, Result};
use millstream_engine::message::BATCH_ROWS;
use millstream_engine::ports::{OptionDescriptor, OptionType, OptionValues};
use millstream_engine::rejects::Rejects;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::ArrowWriter;

use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::ChunkReader;

use super::WantedColumn;
use super::types::sql_name;
use crate::filesystem::{FileReader, Position};

/// The options of the format.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ParquetFormat {
    compression: Compression,
}

impl ParquetFormat {
    /// Reads the options.
    ///
    /// # Errors
    /// Where the compression is unknown.
    pub(crate) fn from_options(options: &OptionValues) -> Result<Self> {
        let compression = match options.get("parquet.compression").map(str::to_ascii_uppercase).as_deref() {
            None | Some("SNAPPY") => Compression::SNAPPY,
            Some("ZSTD") => Compression::ZSTD(ZstdLevel::default()),
            Some("UNCOMPRESSED" | "NONE") => Compression::UNCOMPRESSED,
            Some(other) => {
                return Err(EngineError::Config {
                    message: format!("unknown option value \"parquet.compression\" = \"{other}\""),
                    hint: Some("the values are SNAPPY, ZSTD and UNCOMPRESSED".to_owned()),
                });
            }
        };
        Ok(Self { compression })
    }

    /// The options for people and for the check of names.
    pub(crate) fn options() -> Vec<OptionDescriptor> {
        vec![OptionDescriptor {
            name: "parquet.compression",
            kind: OptionType::Choice(&["SNAPPY", "ZSTD", "UNCOMPRESSED"]),
            required: false,
            default: Some("SNAPPY"),
            doc: "How the pages of written files are compressed. All kinds are read.",
        }]
    }

    /// Begins a file of `columns`.
    ///
    /// # Errors
    /// Where Parquet cannot carry them.
    pub(crate) fn writer(self, file: File, columns: &Fields) -> Result<ArrowWriter<File>> {
        let properties = WriterProperties::builder().set_compression(self.compression).build();
        let schema = Arc::new(Schema::new(columns.clone()));
        ArrowWriter::try_new(file, schema, Some(properties))
            .map_err(|error| EngineError::io("cannot begin a Parquet file", error))
    }
}

/// An open Parquet file.
pub(crate) struct ParquetFile {
    name: String,
    reader: ParquetRecordBatchReader,
    /// For each column to give: its place in the reader's batches.
    sources: Vec<Option<usize>>,
    schema: SchemaRef,
    rows: u64,
    /// Rows read beyond what was asked for, as they stand in the file.
    left: Option<RecordBatch>,
}

/// Opens a file to read these of its rows.
///
/// # Errors
/// Where it is no Parquet file.
pub(crate) fn open(
    file: impl ChunkReader + 'static,
    name: &str,
    columns: &Fields,
    wanted: &[WantedColumn],
    rows: Range<u64>,
) -> Result<ParquetFile> {
    let builder = catch_unwind(AssertUnwindSafe(|| ParquetRecordBatchReaderBuilder::try_new(file)))
        .map_err(|_| refuse(name, "the file is damaged"))?
        .map_err(|error| refuse(name, error))?;
    let stored = Arc::clone(builder.schema());
    let fields: Vec<Arc<Field>> = wanted.iter().filter_map(|(index, _)| columns.get(*index).cloned()).collect();
    let mut roots: Vec<usize> = fields.iter().filter_map(|field| find(&stored, field.name())).collect();
    roots.sort_unstable();
    roots.dedup();
    let place =
        |field: &Arc<Field>| find(&stored, field.name()).and_then(|root| roots.iter().position(|at| *at == root));
    let sources = fields.iter().map(place).collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots.iter().copied());
    let (groups, before) = row_groups(builder.metadata().row_groups().iter().map(|group| group.num_rows()), &rows);
    let count = |rows: u64| usize::try_from(rows).map_err(|error| refuse(name, error));
    let mut builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS).with_row_groups(groups);
    builder = builder.with_offset(count(rows.start.saturating_sub(before))?);
    if rows.end != u64::MAX {
        builder = builder.with_limit(count(rows.end.saturating_sub(rows.start))?);
    }
    let reader = catch_unwind(AssertUnwindSafe(|| builder.build()))
        .map_err(|_| refuse(name, "the file is damaged"))?
        .map_err(|error| refuse(name, error))?;
    let (name, schema) = (name.to_owned(), Arc::new(Schema::new(fields)));
    Ok(ParquetFile { name, reader, sources, schema, rows: rows.start, left: None })
}

/// The row groups that have some of these rows, and how many rows stand before the first of them.
fn row_groups(counts: impl Iterator<Item = i64>, rows: &Range<u64>) -> (Vec<usize>, u64) {
    let (mut groups, mut before, mut start) = (Vec::new(), 0, 0_u64);
    for (index, count) in counts.enumerate() {
        let end = start.saturating_add(u64::try_from(count).unwrap_or(0));
        if start < rows.end && end > rows.start {
            if groups.is_empty() {
                before = start;
            }
            groups.push(index);
        }
        start = end;
    }
    (groups, before)
}

/// The rows of a file in as many ranges, each of whole row groups, as it takes for none to have much more than `bytes_max`
/// bytes of the file.
///
/// # Errors
/// Where it is no Parquet file.
pub(crate) fn cut(file: impl ChunkReader + 'static, name: &str, bytes_max: u64) -> Result<Vec<Range<u64>>> {
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&file).map_err(|error| refuse(name, error))?;
    let (mut ranges, mut start, mut end, mut bytes) = (Vec::new(), 0, 0, 0_u64);
    for group in metadata.row_groups() {
        let size = u64::try_from(group.compressed_size()).unwrap_or(0);
        if end > start && bytes.saturating_add(size) > bytes_max {
            ranges.push(start..end);
            (start, bytes) = (end, 0);
        }
        end += u64::try_from(group.num_rows()).unwrap_or(0);
        bytes = bytes.saturating_add(size);
    }
    ranges.push(start..end);
    Ok(ranges)
}

/// The column of that name: exact, else the only one that differs in case alone.
fn find(schema: &Schema, name: &str) -> Option<usize> {
    let fields = schema.fields();
    fields.iter().position(|field| field.name() == name).or_else(|| {
        let mut alike =
            fields.iter().enumerate().filter(|(_, field)| field.name().to_lowercase() == name.to_lowercase());
        match (alike.next(), alike.next()) {
            (Some((index, _)), None) => Some(index),
            (Some(_), Some(_)) | (None, _) => None,
        }
    })
}

impl ParquetFile {
    /// The columns that are to be given, and no row with a value that does not fit.
    fn convert(&self, batch: &RecordBatch, rejects: &mut Rejects) -> Result<RecordBatch> {
        let mut arrays = Vec::with_capacity(self.sources.len());
        let mut good = vec![true; batch.num_rows()];
        let rows = Rows { file: &self.name, before: self.rows, batch };
        for (field, source) in self.schema.fields().iter().zip(&self.sources) {
            let Some(array) = source.and_then(|source| batch.columns().get(source)) else {
                arrays.push(self.absent(field, batch.num_rows())?);
                continue;
            };
            if !field.is_nullable() && array.null_count() > 0 {
                return Err(self.bad(format!("has nulls in column \"{}\", which is NOT NULL", field.name())));
            }
            if array.data_type() == field.data_type() {
                arrays.push(Arc::clone(array));
                continue;
            }
            let fitted = fit(array, field.data_type()).ok_or_else(|| self.other_type(field, array.data_type()))?;
            for row in fitted.misfits() {
                // A row is told of once.
                if let Some(good) = good.get_mut(row).filter(|good| **good) {
                    rows.refuse(row, array, field, rejects)?;
                    *good = false;
                }
            }
            arrays.push(fitted.values);
        }
        let arrays = if good.contains(&false) {
            let good = BooleanArray::from(good.clone());
            arrays.iter().map(|array| filter(array, &good)).collect::<Result<Vec<_>, _>>()?
        } else {
            arrays
        };
        let count = good.iter().filter(|good| **good).count();
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?)
    }

    /// A column that the file does not have.
    fn absent(&self, field: &Field, rows: usize) -> Result<ArrayRef> {
        if !field.is_nullable() {
            return Err(self.bad(format!("has no column \"{}\", which is NOT NULL", field.name())));
        }
        Ok(new_null_array(field.data_type(), rows))
    }

    fn other_type(&self, field: &Field, found: &DataType) -> EngineError {
        let (name, found, expected) = (field.name(), sql_name(found), sql_name(field.data_type()));
        self.bad(format!("has column \"{name}\" of type {found}, expected {expected}"))
    }

    /// Further rows as they stand in the file; `None` at its end.
    fn read(&mut self) -> Result<Option<RecordBatch>> {
        if let Some(batch) = self.left.take() {
            return Ok(Some(batch));
        }
        loop {
            // What is damaged inside of a page may be noticed nowhere but in an assertion of the library.
            match catch_unwind(AssertUnwindSafe(|| self.reader.next())) {
                Err(_) => return Err(refuse(&self.name, "the file is damaged")),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(refuse(&self.name, error)),
                Ok(Some(Ok(batch))) if batch.num_rows() == 0 => {}
                Ok(Some(Ok(batch))) => return Ok(Some(batch)),
            }
        }
    }

    fn bad(&self, what: String) -> EngineError {
        EngineError::BadRow {
            message: format!("file \"{}\" {what}", self.name),
            hint: Some("declare the column as it is in the file".to_owned()),
        }
    }
}

impl FileReader for ParquetFile {
    fn next(&mut self, rows_max: usize, rejects: &mut Rejects) -> Result<Option<RecordBatch>> {
        loop {
            let Some(batch) = self.read()? else { return Ok(None) };
            let taken = batch.num_rows().min(rows_max.max(1));
            if taken < batch.num_rows() {
                self.left = Some(batch.slice(taken, batch.num_rows() - taken));
            }
            let converted = self.convert(&batch.slice(0, taken), rejects)?;
            self.rows += taken as u64;
            if converted.num_rows() > 0 {
                return Ok(Some(converted));
            }
        }
    }

    fn position(&self) -> Position {
        Position { at: self.rows, line: 0 }
    }
}

fn refuse(name: &str, error: impl std::fmt::Display) -> EngineError {
    EngineError::io(format_args!("cannot read Parquet file \"{name}\""), error)
}
