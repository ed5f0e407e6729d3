//! Writes the rows of one shard into part files, one open file a partition.
//!
//! A file becomes visible at the end of the epoch in which it was ended: because of its size, its age, because its
//! partition is complete, because of a checkpoint, or because the input is at its end.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{SortColumn, lexsort_to_indices, partition, take_record_batch};
use arrow::datatypes::{Schema, SchemaRef};
use millstream_engine::error::{EngineError, Result};
use millstream_engine::message::{Delta, Epoch, Sign};
use millstream_engine::ports::{CommitToken, SinkContext, SinkWriter};
use millstream_engine::time::{EventTime, ProcessingTime};

use super::format_token::{self, Renames};
use super::part_file::PartFile;
use super::partition::directory;
use super::sink::FileSink;
use super::staging::hidden_name;
use crate::formats::{Printer, TimestampStyle, change_column};

/// Files that one shard keeps open; the oldest is ended for a further one.
const OPEN_FILES_MAX: usize = 256;

/// Runs of equal partitions in a batch from which it is sorted first.
const RUNS_MAX: usize = 64;

/// See the module.
pub(super) struct FileWriter {
    sink: Arc<FileSink>,
    shard: usize,
    /// Tells the unfinished files of its job from those of others.
    tag: String,
    schema: SchemaRef,
    /// By directory relative to the table's.
    open: BTreeMap<String, OpenPart>,
    /// Ended since the last prepare.
    ended: Renames,
    files: u64,
    watermark: EventTime,
    at_end: bool,
}

struct OpenPart {
    file: PartFile,
    /// When its partition is complete.
    due_us: Option<i64>,
}

impl FileWriter {
    /// A writer without files.
    pub(super) fn new(sink: Arc<FileSink>, context: &SinkContext) -> Self {
        if let Some(partitions) = &sink.partitions {
            partitions.join(context.shards);
        }
        let schema = Arc::new(Schema::new(sink.stored.0.clone()));
        Self {
            sink,
            shard: context.shard,
            tag: tag(&context.job),
            schema,
            open: BTreeMap::new(),
            ended: vec![],
            files: 0,
            watermark: EventTime::MIN,
            at_end: false,
        }
    }

    /// Writes rows that belong to the partition of row `at` of `keys`.
    fn write_part(&mut self, keys: &[ArrayRef], at: usize, rows: &RecordBatch, now: ProcessingTime) -> Result<()> {
        let values = self.values(keys, at)?;
        let parts = values.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
        let relative = directory(parts, &self.sink.table.default_partition);
        let mut part = match self.open.remove(&relative) {
            Some(part) => part,
            None => self.begin(&relative, &values, now)?,
        };
        if let Err(error) = part.file.write(rows) {
            // What the file has is sound, and the rows that can be written may follow.
            self.open.insert(relative, part);
            return Err(error);
        }
        if part.file.bytes() >= self.sink.roll_bytes {
            self.ended.push(part.file.finish()?);
        } else {
            self.open.insert(relative, part);
        }
        Ok(())
    }

    fn begin(&mut self, relative: &str, values: &[(String, Option<String>)], now: ProcessingTime) -> Result<OpenPart> {
        if self.open.len() >= OPEN_FILES_MAX {
            let oldest = self.open.iter().min_by_key(|(_, part)| part.file.begun).map(|(name, _)| name.clone());
            if let Some(part) = oldest.and_then(|oldest| self.open.remove(&oldest)) {
                self.ended.push(part.file.finish()?);
            }
        }
        let directory =
            if relative.is_empty() { self.sink.directory.clone() } else { self.sink.directory.join(relative) };
        let due_us = match &self.sink.partitions {
            Some(partitions) => Some(partitions.completion().due_us(values, now)?),
            None => None,
        };
        let format = &self.sink.table.format;
        let name = format!("part-{}-{}-{}.{}", self.sink.run, self.shard, self.files, format.name());
        self.files += 1;
        let place = &self.sink.table.location.place;
        let names = (directory.join(hidden_name(&name, &self.tag)), directory.join(&name));
        let file = PartFile::begin(place, names, format, &self.sink.stored.0, now)?;
        if let (Some(partitions), Some(due_us)) = (&self.sink.partitions, due_us) {
            partitions.begin_file(&directory, due_us);
        }
        Ok(OpenPart { file, due_us })
    }

    /// Names and texts of the partition columns in one row.
    fn values(&self, keys: &[ArrayRef], at: usize) -> Result<Vec<(String, Option<String>)>> {
        let value = |((name, _), array): (&(String, usize), &ArrayRef)| -> Result<(String, Option<String>)> {
            if array.is_null(at) {
                return Ok((name.clone(), None));
            }
            let mut text = vec![];
            Printer::new(array)?.print(at, TimestampStyle::Sql, &mut text);
            Ok((name.clone(), Some(String::from_utf8_lossy(&text).into_owned())))
        };
        self.sink.partitioned_by.iter().zip(keys).map(value).collect()
    }

    /// The columns of a batch that stand in the files.
    fn stored(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let arrays = self.sink.stored.1.iter().map(|index| column(batch, *index)).collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?)
    }

    fn keys(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        self.sink.partitioned_by.iter().map(|(_, index)| column(batch, *index)).collect()
    }

    /// Ends the files whose time has come.
    fn roll(&mut self, now: ProcessingTime) -> Result<()> {
        let is_over = |part: &OpenPart| {
            self.at_end
                || now.0.saturating_sub(part.file.begun.0) >= self.sink.roll_us
                || matches!((&self.sink.partitions, part.due_us), (Some(partitions), Some(due_us))
                    if partitions.is_due(due_us, self.watermark, now))
        };
        let over: Vec<String> =
            self.open.iter().filter(|(_, part)| is_over(part)).map(|(name, _)| name.clone()).collect();
        for name in over {
            if let Some(part) = self.open.remove(&name) {
                self.ended.push(part.file.finish()?);
            }
        }
        Ok(())
    }
}

impl SinkWriter for FileWriter {
    fn write(&mut self, delta: &Delta) -> Result<()> {
        if delta.rows() == 0 {
            return Ok(());
        }
        let now = self.sink.clock.now();
        let mut batch = match (&delta.sign, &self.sink.table.op_column) {
            (_, Some(name)) => change_column::appended(delta, name)?,
            (Sign::AppendOnly, None) => delta.batch.clone(),
            (Sign::Retracts(_), None) => {
                return Err(EngineError::Unsupported("files take insertions only, not retractions".to_owned()));
            }
        };
        let mut keys = self.keys(&batch)?;
        if keys.is_empty() {
            return self.write_part(&keys, 0, &self.stored(&batch)?, now);
        }
        let mut runs = partition(&keys)?.ranges();
        if runs.len() > RUNS_MAX {
            batch = take_record_batch(&batch, &stable_order(&keys, batch.num_rows())?)?;
            keys = self.keys(&batch)?;
            runs = partition(&keys)?.ranges();
        }
        let stored = self.stored(&batch)?;
        // A row that is refused must be so before others have been written.
        if let Some(partitions) = &self.sink.partitions {
            for run in &runs {
                partitions.completion().due_us(&self.values(&keys, run.start)?, now)?;
            }
        }
        for (index, run) in runs.iter().enumerate() {
            let written = self.write_part(&keys, run.start, &stored.slice(run.start, run.len()), now);
            written.map_err(|error| if index == 0 { error } else { half_written(&error) })?;
        }
        Ok(())
    }

    fn on_watermark(&mut self, watermark: EventTime) -> Result<()> {
        self.watermark = self.watermark.max(watermark);
        Ok(())
    }

    fn prepare_checkpoint(&mut self, epoch: Epoch) -> Result<Option<CommitToken>> {
        // What stays open would be lost with the server.
        for (_, part) in std::mem::take(&mut self.open) {
            self.ended.push(part.file.finish()?);
        }
        self.prepare(epoch)
    }

    fn prepare(&mut self, _epoch: Epoch) -> Result<Option<CommitToken>> {
        let now = self.sink.clock.now();
        self.roll(now)?;
        if let Some(partitions) = &self.sink.partitions {
            // Rows below the watermark are all in this or an earlier epoch: only now may others rely on it.
            partitions.advance(self.shard, if self.at_end { EventTime::MAX } else { self.watermark });
            partitions.mark(now)?;
        }
        if self.ended.is_empty() {
            return Ok(None);
        }
        format_token::write(&std::mem::take(&mut self.ended)).map(Some)
    }

    fn commit(&mut self, token: &CommitToken) -> Result<()> {
        for (hidden, visible) in format_token::read(token)? {
            let is_new = self.sink.table.location.place.publish(&hidden, &visible)?;
            if let (Some(partitions), true) = (&self.sink.partitions, is_new) {
                partitions.end_file(&visible.parent().map(PathBuf::from).unwrap_or_default());
            }
        }
        match &self.sink.partitions {
            Some(partitions) => partitions.mark(self.sink.clock.now()),
            None => Ok(()),
        }
    }

    fn on_end(&mut self) {
        self.at_end = true;
    }
}

/// The error where some rows of a delta have been written: they must not be tried again.
fn half_written(error: &EngineError) -> EngineError {
    EngineError::Io { message: error.to_string() }
}

/// What stands in the names of the unfinished files of a job.
pub(super) fn tag(job: &str) -> String {
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(job.as_bytes()))
}

/// The order of rows by key, rows of one key as they came.
fn stable_order(keys: &[ArrayRef], rows: usize) -> Result<UInt32Array> {
    let rows = u32::try_from(rows).map_err(|error| EngineError::Internal(error.to_string()))?;
    let mut columns: Vec<SortColumn> =
        keys.iter().map(|key| SortColumn { values: Arc::clone(key), options: None }).collect();
    columns.push(SortColumn { values: Arc::new(UInt32Array::from_iter_values(0..rows)), options: None });
    Ok(lexsort_to_indices(&columns, None)?)
}

fn column(batch: &RecordBatch, index: usize) -> Result<ArrayRef> {
    let found = batch.columns().get(index).map(Arc::clone);
    found.ok_or_else(|| EngineError::Internal(format!("the sink's input has no column {index}")))
}
