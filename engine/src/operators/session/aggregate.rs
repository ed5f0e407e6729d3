//! [`SessionAggregate`]: aggregation per key and session.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, TimestampMillisecondArray, UInt32Array,
};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Int64Type, SchemaRef};

use super::index::{Closed, LATE, SessionIndex};
use crate::checkpoint::numbers::{NUMBERS, numbers_table, placed};
use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};
use crate::message::{BATCH_ROWS, Delta, Epoch, Sign};
use crate::operators::aggregate::{AggregateSet, find_table, table_of};
use crate::operators::event_time::event_times;
use crate::operators::told::Telling;
use crate::operators::{Context, Operator, OperatorState};
use crate::plan::{SessionAggregateSpec, WindowTime};
use crate::time::{EventTime, ProcessingTime};

/// Output: the keys, the calls, `window_start`, `window_end`, `window_time`.
pub struct SessionAggregate {
    keys: Vec<usize>,
    time: WindowTime,
    output: SchemaRef,
    index: SessionIndex,
    set: AggregateSet,
    watermark: i64,
}

impl SessionAggregate {
    /// The operator on one shard.
    ///
    /// # Errors
    /// Where an aggregate is not defined for its argument's type.
    pub fn new(spec: &SessionAggregateSpec, input: &SchemaRef, output: SchemaRef) -> Result<Self> {
        let types: Vec<_> = spec.keys.iter().map(|&key| input.field(key).data_type().clone()).collect();
        Ok(Self {
            keys: spec.keys.clone(),
            time: spec.time,
            output,
            index: SessionIndex::new(spec.gap_us, &types)?,
            set: AggregateSet::new(&spec.calls, input, false)?,
            watermark: i64::MIN,
        })
    }

    fn close(&mut self, watermark: i64, context: &mut Context<'_>) -> Result<()> {
        self.watermark = self.watermark.max(watermark);
        let closed = self.index.close(watermark);
        for part in closed.chunks(BATCH_ROWS) {
            let slots: Vec<u32> = part.iter().map(|closed| closed.session.slot).collect();
            let mut columns = self.index.key_columns(part)?;
            columns.extend(self.set.read(&slots)?);
            columns.extend(window_columns(part));
            let options = RecordBatchOptions::new().with_row_count(Some(part.len()));
            let batch = RecordBatch::try_new_with_options(Arc::clone(&self.output), columns, &options)?;
            context.emit(Delta::append(batch));
            self.set.clear(&slots);
        }
        self.index.release(&closed);
        Ok(())
    }
}

/// `window_start`, `window_end` and `window_time` of sessions.
pub(super) fn window_columns(closed: &[Closed]) -> [ArrayRef; 3] {
    let millis = |of: fn(&Closed) -> i64| -> ArrayRef {
        let values = closed.iter().map(|closed| of(closed).div_euclid(1_000));
        Arc::new(TimestampMillisecondArray::from_iter_values(values))
    };
    [
        millis(|closed| closed.session.start),
        millis(|closed| closed.session.end),
        millis(|closed| closed.session.end.saturating_sub(1_000)),
    ]
}

/// The time of each row.
pub(super) fn times_of(time: WindowTime, batch: &RecordBatch, now: ProcessingTime) -> Result<Vec<i64>> {
    Ok(match time {
        WindowTime::Processing => vec![now.0; batch.num_rows()],
        WindowTime::Event(column) => event_times(batch, column)?.to_vec(),
    })
}

impl Operator for SessionAggregate {
    fn on_delta(&mut self, _port: usize, delta: Delta, context: &mut Context<'_>) -> Result<()> {
        if delta.sign != Sign::AppendOnly {
            return Err(EngineError::Internal("retractions into a session over insertions".into()));
        }
        let times = times_of(self.time, &delta.batch, context.now)?;
        let keys: Vec<ArrayRef> = self.keys.iter().map(|&key| Arc::clone(delta.batch.column(key))).collect();
        let (mut placed, mut done) = (Vec::with_capacity(times.len()), 0);
        let set = &mut self.set;
        self.index.place(&keys, &times, self.watermark, &mut placed, &mut |merge| {
            // What came before belongs to the sessions as they were.
            let slots = merge.placed.iter().chain([&merge.from, &merge.into]).filter(|slot| **slot != LATE);
            set.resize(slots.max().map_or(0, |most| *most as usize + 1));
            add(set, &delta.batch, &merge.placed[done..], done)?;
            done = merge.placed.len();
            set.merge_within(merge.from, merge.into)
        })?;
        self.set.resize(self.index.capacity_slots());
        add(&mut self.set, &delta.batch, &placed[done..], done)?;
        let late = (0_u32..).zip(&placed).filter(|(_, slot)| **slot == LATE).map(|(row, _)| row);
        context.late(&delta, late)?;
        if self.time == WindowTime::Processing
            && let Some(end) = self.index.next_end()
        {
            context.set_timer(ProcessingTime(end));
        }
        Ok(())
    }

    fn on_watermark(&mut self, watermark: EventTime, context: &mut Context<'_>) -> Result<()> {
        if self.time != WindowTime::Processing {
            self.close(watermark.0, context)?;
        }
        context.emit_watermark(watermark);
        Ok(())
    }

    fn on_barrier(&mut self, _epoch: Epoch, context: &mut Context<'_>) -> Result<()> {
        // A restored operator has sessions but no timer yet.
        if self.time == WindowTime::Processing
            && let Some(end) = self.index.next_end()
        {
            context.set_timer(ProcessingTime(end));
        }
        Ok(())
    }

    fn on_timer(&mut self, now: ProcessingTime, context: &mut Context<'_>) -> Result<()> {
        self.close(now.0.saturating_sub(1_000), context)?;
        if let Some(end) = self.index.next_end() {
            context.set_timer(ProcessingTime(end.max(now.0 + 1_000)));
        }
        Ok(())
    }

    fn on_end(&mut self, context: &mut Context<'_>) -> Result<()> {
        self.close(i64::MAX, context)
    }

    fn capture(&mut self, epoch: Epoch, base: Option<Epoch>) -> Result<Vec<Table>> {
        let (telling, mut tables) = sessions_tables(&mut self.index, self.watermark, epoch, base)?;
        tables.push(telling.table("calls", self.set.calls_table(&telling.slots)?));
        if self.set.has_distinct() {
            tables.push(telling.table(NUMBERS, numbers_table(&telling.slots)?));
        }
        tables.extend(self.set.capture_distinct("", epoch, base)?);
        Ok(tables)
    }

    fn restore(&mut self, state: OperatorState) -> Result<()> {
        let state = placed(state)?;
        let (slots, watermark) = reopen(&mut self.index, &state, self.keys.len())?;
        self.watermark = watermark;
        self.set.resize(self.index.capacity_slots());
        self.set.restore("", &state, &slots)
    }
}

/// Adds rows `from ..` of a batch to their sessions; gives how many are late.
fn add(set: &mut AggregateSet, batch: &RecordBatch, placed: &[u32], from: usize) -> Result<()> {
    let batch = batch.slice(from, placed.len());
    if !placed.contains(&LATE) {
        return set.update(&batch, placed);
    }
    let kept: Vec<u32> = (0_u32..).zip(placed).filter(|(_, slot)| **slot != LATE).map(|(row, _)| row).collect();
    let slots: Vec<u32> = placed.iter().copied().filter(|slot| *slot != LATE).collect();
    set.update(&take_record_batch(&batch, &UInt32Array::from(kept))?, &slots)
}

/// What a checkpoint at `epoch` after that of `base` is told of the open sessions: keys, start and end; and the watermark.
pub(super) fn sessions_tables(
    index: &mut SessionIndex,
    watermark: i64,
    epoch: Epoch,
    base: Option<Epoch>,
) -> Result<(Telling, Vec<Table>)> {
    let ints = |values: Vec<i64>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
    let (telling, open) = index.capture(epoch, base);
    let mut columns = index.key_columns(&open)?;
    columns.push(ints(open.iter().map(|open| open.session.start).collect()));
    columns.push(ints(open.iter().map(|open| open.session.end).collect()));
    let sessions = telling.table("sessions", table_of(columns, open.len())?);
    let times = Table::whole("times", table_of(vec![ints(vec![watermark])], 1)?);
    Ok((telling, vec![sessions, times]))
}

/// Opens the sessions of [`sessions_tables`]; gives their slots and the watermark.
pub(super) fn reopen(index: &mut SessionIndex, state: &OperatorState, keys: usize) -> Result<(Vec<u32>, i64)> {
    let form = || EngineError::Internal("not a session's state".into());
    let sessions = find_table(state, "sessions")?;
    let ints = |table: &RecordBatch, column: usize| {
        let column = table.columns().get(column).and_then(|column| column.as_primitive_opt::<Int64Type>());
        column.map(|column| column.values().to_vec()).ok_or_else(form)
    };
    let spans: Vec<(i64, i64)> = ints(sessions, keys)?.into_iter().zip(ints(sessions, keys + 1)?).collect();
    let slots = index.reopen(&sessions.columns()[..keys], &spans)?;
    let watermark = ints(find_table(state, "times")?, 0)?.first().copied().ok_or_else(form)?;
    Ok((slots, watermark))
}
