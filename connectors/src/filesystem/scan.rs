//! Which columns of a scan come from the file, from its name and from its directories, and the [`Source`] over them.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray, TimestampMillisecondArray, UInt32Array,
};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, FieldRef, Fields, Schema, SchemaRef};
use millstream_engine::error::{EngineError, Result};
use millstream_engine::plan::ChangelogMode;
use millstream_engine::ports::{Boundedness, ReadPoll, ScanRequest, Source, Split, SplitReader, TableSpec};
use millstream_engine::rejects::Rejects;

use super::apart::Apart;
use super::cut::{Part, cut};
use super::file_reader::{self, FileReader, Reading};
use super::format_offset::{Position, WatchOffset, write_position, write_watch};
use super::partition;
use super::read_file::ReadFile;
use super::table::FileTable;
use super::watch::Watch;
use crate::formats::{Column, WantedColumn, change_column, sql_name};

/// A table of files, opened for reading.
#[derive(Debug)]
pub(super) struct FileScan {
    table: FileTable,
    /// Columns that stand in the files.
    stored: Fields,
    /// The ones to read, each once.
    wanted: Vec<WantedColumn>,
    outputs: Vec<Output>,
    schema: SchemaRef,
}

/// Where an asked-for column comes from.
#[derive(Debug, Clone)]
enum Output {
    /// Column of the batch that the file gives.
    Stored(usize),
    /// The `name=…` directory.
    Partition(FieldRef),
    /// The file itself, under this key.
    Metadata(String, FieldRef),
}

/// An open file with the values that are the same for all its rows.
pub(super) struct OpenFile {
    reader: Box<dyn FileReader>,
    constants: Vec<Option<ArrayRef>>,
    scan: Arc<FileScan>,
}

impl FileScan {
    /// Sorts out the columns of a request.
    ///
    /// # Errors
    /// Where a column is not the table's.
    pub(super) fn new(table: FileTable, spec: &TableSpec, request: &ScanRequest) -> Result<Self> {
        let stored: Vec<usize> = table.stored(spec);
        let (mut wanted, mut outputs, mut fields) = (Vec::<WantedColumn>::new(), Vec::new(), Vec::new());
        for column in &request.columns {
            let lost = || EngineError::Internal(format!("table \"{}\" has no column {}", spec.name, column.index));
            let field = spec.schema.fields().get(column.index).ok_or_else(lost)?;
            fields.push(Arc::clone(field));
            outputs.push(if let Some(key) = field.metadata().get(TableSpec::METADATA_KEY) {
                Output::Metadata(key.clone(), Arc::clone(field))
            } else if spec.partitioned_by.contains(&column.index) {
                Output::Partition(Arc::clone(field))
            } else {
                let index = stored.iter().position(|index| *index == column.index).ok_or_else(lost)?;
                match wanted.iter_mut().position(|(known, _)| *known == index) {
                    // Asked for twice: read whole.
                    Some(at) => {
                        if let Some(known) = wanted.get_mut(at) {
                            known.1 = None;
                        }
                        Output::Stored(at)
                    }
                    None => {
                        wanted.push((index, column.children.clone()));
                        Output::Stored(wanted.len() - 1)
                    }
                }
            });
        }
        let mut stored: Vec<FieldRef> =
            stored.iter().filter_map(|index| spec.schema.fields().get(*index).cloned()).collect();
        if let Some(name) = &table.op_column {
            wanted.push((stored.len(), None));
            stored.push(change_column::field(name));
        }
        let stored = stored.into();
        Ok(Self { table, stored, wanted, outputs, schema: Arc::new(Schema::new(fields)) })
    }

    /// The table.
    pub(super) fn table(&self) -> &FileTable {
        &self.table
    }

    /// The value that a column has in every row of the file; `None` for columns that stand in it.
    fn constant(&self, output: &Output, path: &Path) -> Result<Option<ArrayRef>> {
        match output {
            Output::Stored(_) => Ok(None),
            Output::Partition(field) => self.partition_value(field, path).map(Some),
            Output::Metadata(key, field) => {
                let refuse = |error| EngineError::io(format_args!("cannot read file \"{}\"", path.display()), error);
                let text = |text: String| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
                let value = match key.as_str() {
                    "file.path" => text(path.display().to_string()),
                    "file.name" => {
                        text(path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default())
                    }
                    "file.size" => {
                        let (size, _) = self.table.location.place.stat(path).map_err(refuse)?;
                        Arc::new(Int64Array::from(vec![i64::try_from(size).unwrap_or(i64::MAX)]))
                    }
                    "file.modification-time" => {
                        let (_, at) = self.table.location.place.stat(path).map_err(refuse)?;
                        Arc::new(TimestampMillisecondArray::from(vec![at]).with_timezone("UTC"))
                    }
                    other => return Err(EngineError::Internal(format!("no metadata \"{other}\""))),
                };
                Ok(Some(cast(&value, field.data_type())?))
            }
        }
    }

    fn partition_value(&self, field: &FieldRef, path: &Path) -> Result<ArrayRef> {
        let found =
            partition::value(path, field.name(), &self.table.default_partition).ok_or_else(|| EngineError::Config {
                message: format!("file \"{}\" is not in a directory \"{}=…\"", path.display(), field.name()),
                hint: Some("tables with PARTITIONED BY are read from directories named column=value".to_owned()),
            })?;
        let mut column = Column::new(field.data_type(), None)?;
        match found {
            None => column.push_null(),
            Some(text) => {
                if !column.push_text(text.as_bytes()) {
                    return Err(EngineError::config(format!(
                        "directory \"{}={text}\" of file \"{}\" is no {}",
                        field.name(),
                        path.display(),
                        sql_name(field.data_type())
                    )));
                }
            }
        }
        column.finish()
    }

    fn assemble(&self, batch: &RecordBatch, constants: &[Option<ArrayRef>]) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let mut zeros: Option<UInt32Array> = None;
        let mut arrays = Vec::with_capacity(self.outputs.len());
        for (output, constant) in self.outputs.iter().zip(constants) {
            arrays.push(match (output, constant) {
                (Output::Stored(index), _) => Arc::clone(
                    batch
                        .columns()
                        .get(*index)
                        .ok_or_else(|| EngineError::Internal("a file reader gave too few columns".to_owned()))?,
                ),
                (_, Some(value)) => {
                    let zeros = zeros.get_or_insert_with(|| UInt32Array::from(vec![0; rows]));
                    take(value, zeros, None)?
                }
                (_, None) => return Err(EngineError::Internal("a column of a file has no value".to_owned())),
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?)
    }
}

impl OpenFile {
    /// Opens a part of a file at a position.
    ///
    /// # Errors
    /// Where it cannot be opened, or its directories lack a partition column.
    pub(super) fn open(scan: &Arc<FileScan>, part: &Part, position: Position) -> Result<Self> {
        let (format, place) = (&scan.table.format, &scan.table.location.place);
        let reading = Reading { format, place, columns: &scan.stored, wanted: &scan.wanted };
        let reader = file_reader::open(reading, part, position)?;
        let constants = scan.outputs.iter().map(|output| scan.constant(output, &part.path)).collect::<Result<_>>()?;
        Ok(Self { reader, constants, scan: Arc::clone(scan) })
    }

    /// At most `rows_max` further rows; `None` at the end.
    ///
    /// # Errors
    /// As [`FileReader::next`].
    pub(super) fn next(&mut self, rows_max: usize, rejects: &mut Rejects) -> Result<Option<ReadPoll>> {
        let Some(batch) = self.reader.next(rows_max, rejects)? else { return Ok(None) };
        let assembled = self.scan.assemble(&batch, &self.constants)?;
        Ok(Some(match self.scan.table.op_column {
            Some(_) => ReadPoll::Changes(change_column::split(&batch)?.with_batch(assembled)),
            None => ReadPoll::Batch(assembled),
        }))
    }

    /// Where [`Self::next`] continues.
    pub(super) fn position(&self) -> Position {
        self.reader.position()
    }
}

/// The [`Source`] over a scan.
#[derive(Debug)]
pub(super) struct FileSource(pub(super) Arc<FileScan>);

impl Source for FileSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.0.schema)
    }

    fn boundedness(&self) -> Boundedness {
        self.0.table.boundedness()
    }

    fn changelog(&self) -> ChangelogMode {
        match self.0.table.op_column {
            Some(_) => ChangelogMode::Retract,
            None => ChangelogMode::Append,
        }
    }

    fn replayable(&self) -> bool {
        true
    }

    fn splits(&self, _parallelism: usize) -> Result<Vec<Split>> {
        if self.0.table.monitor_interval_us.is_some() {
            // One reader: a second one that happened to get no file would hold the watermark back for ever.
            return Ok(vec![Split { id: "watch".to_owned() }]);
        }
        if self.0.table.op_column.is_some() {
            // What a file takes back may have come with one before it: one reader takes them in the order of their age.
            self.0.table.location.list()?;
            return Ok(vec![Split { id: "all".to_owned() }]);
        }
        let table = &self.0.table;
        let mut splits = Vec::new();
        for file in table.location.list()? {
            for part in cut(&table.location.place, &table.format, &file, table.split_bytes)? {
                let id = part.id(&table.format).ok_or_else(|| {
                    let what = format_args!("cannot read file \"{}\"", file.path.display()).to_string();
                    EngineError::io(what, "its name is not UTF-8")
                })?;
                splits.push(Split { id });
            }
        }
        Ok(splits)
    }

    fn constants(&self, split: &Split) -> Result<Vec<Option<ArrayRef>>> {
        let path = Part::of_id(&split.id, &self.0.table.format).path;
        self.0.outputs.iter().map(|output| self.0.constant(output, &path)).collect()
    }

    fn reader(&self, split: &Split) -> Result<Box<dyn SplitReader>> {
        let scan = Arc::clone(&self.0);
        let interval_us = scan.table.monitor_interval_us;
        if interval_us.is_some() || scan.table.op_column.is_some() {
            if !scan.table.location.place.is_remote() {
                return Ok(Box::new(Watch::new(scan, interval_us)));
            }
            let start = write_watch(&WatchOffset::default());
            return Ok(Box::new(Apart::new(start, move || Ok(Box::new(Watch::new(scan, interval_us))))));
        }
        let part = Part::of_id(&split.id, &scan.table.format);
        if !scan.table.location.place.is_remote() {
            return Ok(Box::new(ReadFile::open(scan, part)?));
        }
        let start = write_position(Position::default());
        Ok(Box::new(Apart::new(start, move || Ok(Box::new(ReadFile::open(scan, part)?)))))
    }

    fn describe(&self) -> String {
        let watched = if self.0.table.monitor_interval_us.is_some() { ", watched" } else { "" };
        format!("filesystem {} ({}{watched})", self.0.table.location.path.display(), self.0.table.format.name())
    }
}

/// The metadata that the source offers.
pub(super) fn metadata() -> Vec<(&'static str, DataType)> {
    vec![
        ("file.path", DataType::Utf8),
        ("file.name", DataType::Utf8),
        ("file.size", DataType::Int64),
        ("file.modification-time", DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, Some("UTC".into()))),
    ]
}
