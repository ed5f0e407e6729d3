//! Reading a datagen table: splits that share the rows, pacing, batches.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use millstream_engine::ports::{
    Boundedness, ReadContext, ReadPoll, ScanColumn, ScanRequest, Source, Split, SplitReader, TableSpec,
};
use millstream_engine::time::ProcessingTime;
use millstream_engine::{EngineError, Result};

use super::generator::Generator;

/// How often a paced reader looks at the clock.
const PACE_US: i64 = 10_000;

/// A datagen table opened for reading.
#[derive(Debug)]
pub(super) struct DatagenSource {
    schema: SchemaRef,
    columns: Vec<ScanColumn>,
    generator: Generator,
}

impl DatagenSource {
    pub(super) fn new(table: &TableSpec, request: &ScanRequest, generator: Generator) -> Result<Self> {
        let columns: Vec<usize> = request.columns.iter().map(|column| column.index).collect();
        let schema: Schema = table.schema.project(&columns)?;
        Ok(Self { schema: Arc::new(schema), columns: request.columns.clone(), generator })
    }
}

impl Source for DatagenSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn boundedness(&self) -> Boundedness {
        if self.generator.rows().is_some() { Boundedness::Bounded } else { Boundedness::Endless }
    }

    fn replayable(&self) -> bool {
        // Timestamps are those of the moment they are made in; all other values come again.
        let timeless = |field: &FieldRef| !has_time(field.data_type());
        self.schema.fields().iter().all(timeless)
    }

    fn splits(&self, parallelism: usize) -> Result<Vec<Split>> {
        let count = parallelism.max(1);
        Ok((0..count).map(|index| Split { id: format!("{index}/{count}") }).collect())
    }

    fn reader(&self, split: &Split) -> Result<Box<dyn SplitReader>> {
        let parsed =
            split.id.split_once('/').and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        let Some((next, stride)) = parsed.filter(|(index, count): &(u64, u64)| index < count) else {
            return Err(EngineError::Internal(format!("no split {} of a datagen table", split.id)));
        };
        Ok(Box::new(DatagenReader {
            schema: Arc::clone(&self.schema),
            columns: self.columns.clone(),
            generator: self.generator.clone(),
            next,
            stride,
            started: None,
        }))
    }

    fn describe(&self) -> String {
        match self.generator.rows() {
            Some(rows) => format!("datagen ({rows} rows)"),
            None => format!("datagen ({} rows a second)", self.generator.rows_per_second),
        }
    }
}

/// Whether a type is, or holds, one whose values depend on the clock.
fn has_time(of: &DataType) -> bool {
    match of {
        DataType::Struct(fields) => fields.iter().any(|field| has_time(field.data_type())),
        DataType::List(element) => has_time(element.data_type()),
        other => other.is_temporal(),
    }
}

/// Reads every `stride`-th row.
struct DatagenReader {
    schema: SchemaRef,
    columns: Vec<ScanColumn>,
    generator: Generator,
    next: u64,
    stride: u64,
    /// When the first row was made, and its number.
    started: Option<(ProcessingTime, u64)>,
}

impl DatagenReader {
    /// The first row that may not be made yet; when it may, where the table is paced.
    fn limit(&mut self, now: ProcessingTime) -> u64 {
        if let Some(rows) = self.generator.rows() {
            return rows;
        }
        let (started, first) = *self.started.get_or_insert((now, self.next));
        let elapsed = u128::try_from(now.0.saturating_sub(started.0)).unwrap_or(0);
        let due = elapsed * u128::from(self.generator.rows_per_second) / 1_000_000;
        first.saturating_add(u64::try_from(due).unwrap_or(u64::MAX)).saturating_add(1)
    }

    /// When the next row may be made, at the earliest after a pause: a slow table shall not look at the clock all the
    /// time, a fast one not make batches of a row.
    fn due(&self, now: ProcessingTime) -> ProcessingTime {
        let (started, first) = self.started.unwrap_or((now, self.next));
        let behind = u128::from(self.next.saturating_sub(first)) * 1_000_000;
        let us = behind.div_ceil(u128::from(self.generator.rows_per_second));
        started.plus_us(i64::try_from(us).unwrap_or(i64::MAX)).max(now.plus_us(PACE_US))
    }
}

impl SplitReader for DatagenReader {
    fn poll(&mut self, context: &mut ReadContext<'_>) -> Result<ReadPoll> {
        let limit = self.limit(context.now);
        let rows_max = context.rows_max.min(self.generator.batch_rows_max());
        let stride = usize::try_from(self.stride).unwrap_or(usize::MAX);
        let rows: Vec<u64> = (self.next..limit).step_by(stride).take(rows_max).collect();
        let Some(last) = rows.last() else {
            return Ok(match self.generator.rows() {
                Some(_) => ReadPoll::End,
                None => ReadPoll::Pending { retry_at: Some(self.due(context.now)) },
            });
        };
        self.next = last + self.stride;
        let columns = self
            .columns
            .iter()
            .map(|column| self.generator.column(column.index, column.children.as_deref(), &rows, context.now.0));
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        Ok(ReadPoll::Batch(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?))
    }

    fn offset(&self) -> String {
        self.next.to_string()
    }

    fn seek(&mut self, offset: &str) -> Result<()> {
        self.next = offset.parse().map_err(|_| EngineError::Internal(format!("'{offset}' is no datagen offset")))?;
        Ok(())
    }
}
