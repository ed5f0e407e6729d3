//! [`OverOnWatermark`]: window functions in order of event time; rows come out when the watermark has passed them.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanBufferBuilder, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take, take_record_batch};
use arrow::datatypes::{Int64Type, SchemaRef};

use super::running::{Running, Sorted};
use crate::checkpoint::numbers::placed;
use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};
use crate::message::{BATCH_ROWS, Delta, Epoch, Sign};
use crate::operators::aggregate::{find_table, table_of};
use crate::operators::event_time::event_times;
use crate::operators::rank::in_time;
use crate::operators::rank::layout::RowLayout;
use crate::operators::{Context, Operator, OperatorState};
use crate::pieces::{Piece, next_id};
use crate::plan::OverSpec;
use crate::time::EventTime;

/// Runs of waiting rows that are merged when there are more.
const RUNS_MAX: usize = 64;

/// See the module. Output: the input columns, then the calls; rows of a watermark in order of time.
pub(super) struct OverOnWatermark {
    running: Running,
    /// Orders rows of equal time.
    ties: RowLayout,
    input: SchemaRef,
    output: SchemaRef,
    time_column: usize,
    /// Waiting rows.
    runs: Vec<Run>,
    watermark: i64,
}

/// Rows in order of time, of which the first ones are out.
struct Run {
    /// As a piece.
    id: u64,
    rows: RecordBatch,
    /// The first row that waits, and its time.
    start: usize,
    first: i64,
}

impl Run {
    /// The rows that wait.
    fn waiting(&self) -> RecordBatch {
        self.rows.slice(self.start, self.rows.num_rows() - self.start)
    }

    fn piece(&self) -> Piece {
        let live = (self.start > 0).then(|| {
            let mut live = BooleanBufferBuilder::new(self.rows.num_rows());
            live.append_n(self.start, false);
            live.append_n(self.rows.num_rows() - self.start, true);
            live.finish()
        });
        Piece { id: self.id, rows: self.rows.clone(), live }
    }
}

impl OverOnWatermark {
    /// The operator; `time_column` is the only sort key, ascending.
    ///
    /// # Errors
    /// Where a call cannot work on the way.
    pub(super) fn new(spec: &OverSpec, time_column: usize, input: &SchemaRef, output: SchemaRef) -> Result<Self> {
        let by_time = spec.order.first().is_some_and(|key| key.column == time_column && !key.descending);
        if !by_time || spec.retracts {
            return Err(EngineError::Internal("window functions on watermark that are not in order of time".into()));
        }
        Ok(Self {
            running: Running::new(spec, input, true)?,
            ties: RowLayout::new(input, &[], &[])?,
            input: Arc::clone(input),
            output,
            time_column,
            runs: Vec::new(),
            watermark: i64::MIN,
        })
    }

    /// Keeps rows until the watermark has passed them.
    fn wait(&mut self, batch: RecordBatch) -> Result<()> {
        let times = event_times(&batch, self.time_column)?;
        let batch = if times.is_sorted() {
            batch
        } else {
            let mut order: Vec<u32> = (0..).take(times.len()).collect();
            order.sort_by_key(|row| times[*row as usize]);
            take_record_batch(&batch, &UInt32Array::from(order))?
        };
        let first = times.iter().copied().min().unwrap_or(i64::MAX);
        self.runs.push(Run { id: next_id(), rows: batch, start: 0, first });
        if self.runs.len() > RUNS_MAX {
            let runs: Vec<RecordBatch> = std::mem::take(&mut self.runs).iter().map(Run::waiting).collect();
            let merged = concat_batches(&self.input, &runs)?;
            self.wait(merged)?;
        }
        Ok(())
    }

    /// Takes out the rows before the watermark.
    fn due(&mut self, watermark: i64) -> Result<RecordBatch> {
        let mut due = Vec::new();
        for mut run in std::mem::take(&mut self.runs) {
            if run.first >= watermark {
                self.runs.push(run);
                continue;
            }
            let waiting = run.waiting();
            let times = event_times(&waiting, self.time_column)?;
            let end = times.partition_point(|time| *time < watermark);
            due.push(waiting.slice(0, end));
            if let Some(next) = times.get(end) {
                (run.start, run.first) = (run.start + end, *next);
                self.runs.push(run);
            }
        }
        Ok(concat_batches(&self.input, &due)?)
    }

    fn emit_before(&mut self, watermark: i64, context: &mut Context<'_>) -> Result<()> {
        self.watermark = self.watermark.max(watermark);
        let batch = self.due(self.watermark)?;
        if batch.num_rows() == 0 {
            return self.running.sweep(self.watermark);
        }
        let times = event_times(&batch, self.time_column)?;
        let slots = self.running.slots(&batch)?;
        let order = self.order(&batch, &slots, &times)?;
        let horizon = self.watermark;
        let sorted = Sorted { batch: &batch, slots: &slots, times: &times, order: &order, horizon };
        let results = self.running.process(&sorted)?;
        let mut by_time: Vec<u32> = (0..).take(order.len()).collect();
        by_time.sort_by_key(|place| times[order[*place as usize] as usize]);
        for places in by_time.chunks(BATCH_ROWS) {
            context.check()?;
            let rows = UInt32Array::from_iter_values(places.iter().map(|place| order[*place as usize]));
            let places = UInt32Array::from(places.to_vec());
            let mut columns: Vec<ArrayRef> = take_record_batch(&batch, &rows)?.columns().to_vec();
            for column in &results {
                columns.push(take(column, &places, None)?);
            }
            context.emit(Delta::append(RecordBatch::try_new(Arc::clone(&self.output), columns)?));
        }
        Ok(())
    }

    /// The rows by partition, then by time; rows of equal time by all their columns, so that arrival does not matter.
    fn order(&self, batch: &RecordBatch, slots: &[u32], times: &[i64]) -> Result<Vec<u32>> {
        let mut order: Vec<u32> = (0..).take(slots.len()).collect();
        let key = |row: u32| (slots[row as usize], times[row as usize]);
        order.sort_unstable_by_key(|row| key(*row));
        let ties: Vec<&mut [u32]> =
            order.chunk_by_mut(|left, right| key(*left) == key(*right)).filter(|rows| rows.len() > 1).collect();
        if ties.is_empty() {
            return Ok(order);
        }
        let tied = UInt32Array::from_iter_values(ties.iter().flat_map(|rows| rows.iter().copied()));
        let encoded = self.ties.rests(batch, Some(&tied))?;
        let mut next = 0;
        for rows in ties {
            let mut numbered: Vec<(usize, u32)> = (next..).zip(rows.iter().copied()).collect();
            numbered.sort_by(|(left, _), (right, _)| encoded.row(*left).cmp(encoded.row(*right)));
            next += rows.len();
            rows.iter_mut().zip(numbered).for_each(|(row, (_, sorted))| *row = sorted);
        }
        Ok(order)
    }
}

impl Operator for OverOnWatermark {
    fn on_delta(&mut self, _port: usize, delta: Delta, context: &mut Context<'_>) -> Result<()> {
        if delta.sign != Sign::AppendOnly {
            return Err(EngineError::Internal("retractions into window functions over insertions".into()));
        }
        let watermark = self.watermark;
        match in_time(delta, self.time_column, |time| time < watermark, context)? {
            Some(delta) => self.wait(delta.batch),
            None => Ok(()),
        }
    }

    fn on_watermark(&mut self, watermark: EventTime, context: &mut Context<'_>) -> Result<()> {
        self.emit_before(watermark.0, context)?;
        context.emit_watermark(watermark);
        Ok(())
    }

    fn on_barrier(&mut self, _epoch: Epoch, _context: &mut Context<'_>) -> Result<()> {
        Ok(())
    }

    fn on_end(&mut self, context: &mut Context<'_>) -> Result<()> {
        self.emit_before(i64::MAX, context)
    }

    fn capture(&mut self, epoch: Epoch, base: Option<Epoch>) -> Result<Vec<Table>> {
        let mut tables = self.running.capture(epoch, base)?;
        tables.push(Table::in_pieces("waiting", &self.input, self.runs.iter().map(Run::piece).collect()));
        let watermark: ArrayRef = Arc::new(Int64Array::from(vec![self.watermark]));
        tables.push(Table::whole("times", table_of(vec![watermark], 1)?));
        Ok(tables)
    }

    fn restore(&mut self, state: OperatorState) -> Result<()> {
        let state = placed(state)?;
        self.running.restore(&state)?;
        let waiting = find_table(&state, "waiting")?;
        if waiting.num_rows() > 0 {
            self.wait(waiting.clone())?;
        }
        let times = find_table(&state, "times")?;
        let watermark = times.columns().first().and_then(|column| column.as_primitive_opt::<Int64Type>());
        self.watermark = watermark.filter(|times| !times.is_empty()).map_or(i64::MIN, |times| times.value(0));
        Ok(())
    }
}
