//! Reading a Nexmark table: splits, pacing, and batches of the columns that are asked for.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, RecordBatchOptions, StructArray, new_null_array};
use arrow::datatypes::{DataType, Field as ArrowField, FieldRef, Schema, SchemaRef};
use millstream_engine::ports::{
    Boundedness, ReadContext, ReadPoll, ScanRequest, Source, Split, SplitReader, TableSpec,
};
use millstream_engine::time::ProcessingTime;
use millstream_engine::{EngineError, Result};

use super::columns::{Columns, Field, Kind};
use super::config::Config;
use super::events::Events;
use super::kind_of;

/// Rows of a block at high rates.
const BLOCK_EVENTS_MAX: u64 = 8_192;
/// How often a paced reader looks at the clock.
const PACE_US: i64 = 10_000;

/// A Nexmark table opened for reading.
#[derive(Debug)]
pub(super) struct NexmarkSource {
    schema: SchemaRef,
    columns: Vec<Column>,
    config: Config,
}

/// A column of the output.
#[derive(Debug, Clone)]
enum Column {
    EventType,
    Row { kind: Kind, fields: Vec<RowField> },
}

/// A field of a ROW column: what it is, and whether somebody reads it.
#[derive(Debug, Clone)]
struct RowField {
    field: Field,
    arrow: FieldRef,
    wanted: bool,
}

impl NexmarkSource {
    pub(super) fn new(table: &TableSpec, request: &ScanRequest, config: Config) -> Result<Self> {
        let mut fields = Vec::with_capacity(request.columns.len());
        let mut columns = Vec::with_capacity(request.columns.len());
        for scan in &request.columns {
            let Some(declared) = table.schema.fields().get(scan.index) else {
                return Err(EngineError::Internal("a scan of a column that is not there".into()));
            };
            fields.push(Arc::clone(declared));
            let wanted =
                |child| config.materialize_all || scan.children.as_ref().is_none_or(|wanted| wanted.contains(&child));
            columns.push(match (kind_of(declared.name()), declared.data_type()) {
                (Some(kind), DataType::Struct(children)) => {
                    let field = |(child, arrow): (usize, &FieldRef)| {
                        let field = kind.field(arrow.name())?;
                        Some(RowField { field, arrow: Arc::clone(arrow), wanted: wanted(child) })
                    };
                    Column::Row { kind, fields: children.iter().enumerate().filter_map(field).collect() }
                }
                _ => Column::EventType,
            });
        }
        if config.materialize_all {
            add_unread(table, request, &mut columns);
        }
        Ok(Self { schema: Arc::new(Schema::new(fields)), columns, config })
    }

    /// Events that are made together: short blocks at low rates, so that splits advance together.
    fn block_events(&self) -> u64 {
        let cycle = self.config.cycle();
        let tenth = self.config.first_rate.min(self.config.next_rate) / 100;
        (tenth / cycle * cycle).clamp(cycle, BLOCK_EVENTS_MAX.max(cycle))
    }
}

/// Columns beyond those of the output that `materialize = all` makes all the same.
fn add_unread(table: &TableSpec, request: &ScanRequest, columns: &mut Vec<Column>) {
    for (index, declared) in table.schema.fields().iter().enumerate() {
        if request.columns.iter().any(|scan| scan.index == index) {
            continue;
        }
        if let (Some(kind), DataType::Struct(children)) = (kind_of(declared.name()), declared.data_type()) {
            let field = |arrow: &FieldRef| {
                let field = kind.field(arrow.name())?;
                Some(RowField { field, arrow: Arc::clone(arrow), wanted: true })
            };
            columns.push(Column::Row { kind, fields: children.iter().filter_map(field).collect() });
        }
    }
}

impl Source for NexmarkSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn boundedness(&self) -> Boundedness {
        if self.config.events.is_some() { Boundedness::Bounded } else { Boundedness::Endless }
    }

    fn replayable(&self) -> bool {
        self.config.base_time_ms.is_some()
    }

    fn splits(&self, parallelism: usize) -> Result<Vec<Split>> {
        let count = parallelism.max(1);
        Ok((0..count).map(|index| Split { id: format!("{index}/{count}") }).collect())
    }

    fn reader(&self, split: &Split) -> Result<Box<dyn SplitReader>> {
        let parsed =
            split.id.split_once('/').and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        let Some((index, count)) = parsed.filter(|(index, count): &(u64, u64)| index < count) else {
            return Err(EngineError::Internal(format!("no split {} of a nexmark table", split.id)));
        };
        Ok(Box::new(NexmarkReader {
            config: self.config.clone(),
            made: None,
            layout: self.columns.clone(),
            schema: Arc::clone(&self.schema),
            block: self.block_events(),
            stride: count,
            next: index * self.block_events(),
            started: None,
            resumed_us: 0,
            nulls: Vec::new(),
        }))
    }

    fn describe(&self) -> String {
        let events = self.config.events.map_or_else(|| "endless".to_owned(), |events| format!("{events} events"));
        format!("nexmark ({events}, {} a second)", self.config.next_rate)
    }
}

/// Reads one split.
struct NexmarkReader {
    config: Config,
    made: Option<Columns>,
    layout: Vec<Column>,
    schema: SchemaRef,
    block: u64,
    /// Number of splits.
    stride: u64,
    /// The next event.
    next: u64,
    started: Option<ProcessingTime>,
    /// Pacing begins this far from event 0: where the reader went on from an offset.
    resumed_us: u64,
    /// Null columns by the field they stand for, as long as the longest batch so far.
    nulls: Vec<(FieldRef, ArrayRef)>,
}

impl NexmarkReader {
    /// The events of the next batch, and when there will be more where there are none now.
    fn events(&mut self, context: &ReadContext<'_>) -> (Vec<u64>, Option<ProcessingTime>) {
        let started = *self.started.get_or_insert(context.now);
        let elapsed = u64::try_from(context.now.0.saturating_sub(started.0)).unwrap_or(0);
        let elapsed = elapsed.saturating_add(self.resumed_us);
        let paced = self.config.events.is_none();
        let mut events = Vec::with_capacity(context.rows_max);
        while events.len() < context.rows_max && self.config.events.is_none_or(|all| self.next < all) {
            if paced && self.config.since_start_us(self.next) > elapsed {
                break;
            }
            let end = (self.next / self.block + 1) * self.block;
            let end = end.min(self.next + (context.rows_max - events.len()) as u64);
            let end = self.config.events.map_or(end, |all| end.min(all));
            // Those that are due: times rise with the events.
            let due = |event: &u64| !paced || self.config.since_start_us(*event) <= elapsed;
            let before = events.len();
            events.extend((self.next..end).take_while(due));
            self.next += (events.len() - before) as u64;
            if self.next.is_multiple_of(self.block) && self.next > 0 && events.last() == Some(&(self.next - 1)) {
                self.next += (self.stride - 1) * self.block;
            }
        }
        let due = self.config.since_start_us(self.next).saturating_sub(self.resumed_us);
        let due = i64::try_from(due).unwrap_or(i64::MAX);
        let retry = started.plus_us(due).max(context.now.plus_us(PACE_US));
        (events, paced.then_some(retry))
    }

    fn batch(&mut self, numbers: &[u64]) -> Result<RecordBatch> {
        let Some(made) = &self.made else { return Err(EngineError::Internal("an unopened generator".into())) };
        let events = made.events(numbers);
        let mut output = Vec::with_capacity(self.schema.fields().len());
        for column in &self.layout {
            output.push(match column {
                Column::EventType => Arc::new(Int32Array::from(events.codes().to_vec())) as ArrayRef,
                Column::Row { kind, fields } => row_column(made, *kind, fields, &events, &mut self.nulls)?,
            });
        }
        // Columns behind those of the schema were made for their cost only.
        output.truncate(self.schema.fields().len());
        let options = RecordBatchOptions::new().with_row_count(Some(events.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), output, &options)?)
    }
}

/// A ROW column: null for the events of other kinds.
fn row_column(
    made: &Columns,
    kind: Kind,
    fields: &[RowField],
    events: &Events,
    nulls: &mut Vec<(FieldRef, ArrayRef)>,
) -> Result<ArrayRef> {
    let children = fields.iter().map(|field| match field.wanted {
        true => made.column(kind, field.field, events),
        false => null_column(&field.arrow, events.len(), nulls),
    });
    let arrow = fields.iter().map(|field| Arc::clone(&field.arrow)).collect();
    Ok(Arc::new(StructArray::try_new_with_length(arrow, children.collect(), Some(events.rows_of(kind)), events.len())?))
}

/// Nulls in place of a column that nobody reads; made once.
fn null_column(field: &FieldRef, rows: usize, nulls: &mut Vec<(FieldRef, ArrayRef)>) -> ArrayRef {
    if let Some((_, known)) = nulls.iter().find(|(of, column)| of == field && column.len() >= rows) {
        return known.slice(0, rows);
    }
    let made = new_null_array(ArrowField::data_type(field), rows);
    nulls.retain(|(of, _)| of != field);
    nulls.push((Arc::clone(field), Arc::clone(&made)));
    made
}

impl SplitReader for NexmarkReader {
    fn poll(&mut self, context: &mut ReadContext<'_>) -> Result<ReadPoll> {
        if self.made.is_none() {
            let resumed_us = i64::try_from(self.resumed_us).unwrap_or(i64::MAX);
            let start = || context.now.plus_us(resumed_us.saturating_neg()).0.div_euclid(1_000);
            let base = self.config.base_time_ms.unwrap_or_else(start);
            self.made = Some(Columns::new(self.config.clone(), base));
        }
        let (events, retry_at) = self.events(context);
        match (events.is_empty(), retry_at) {
            (false, _) => Ok(ReadPoll::Batch(self.batch(&events)?)),
            (true, Some(retry_at)) => Ok(ReadPoll::Pending { retry_at: Some(retry_at) }),
            (true, None) => Ok(ReadPoll::End),
        }
    }

    fn offset(&self) -> String {
        self.next.to_string()
    }

    fn seek(&mut self, offset: &str) -> Result<()> {
        self.next = offset.parse().map_err(|_| EngineError::Internal(format!("'{offset}' is no nexmark offset")))?;
        self.resumed_us = self.config.since_start_us(self.next);
        self.started = None;
        self.made = None;
        Ok(())
    }
}
