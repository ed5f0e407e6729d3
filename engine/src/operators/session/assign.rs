//! [`SessionAssign`]: rows with the columns of their session, once it is closed.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, interleave_record_batch, take_record_batch};
use arrow::datatypes::{SchemaRef, UInt32Type};

use super::aggregate::{reopen, sessions_table, times_of, window_columns};
use super::index::{Closed, LATE, SessionIndex};
use crate::error::{EngineError, Result};
use crate::message::{BATCH_ROWS, Delta, Epoch, Sign};
use crate::operators::aggregate::{find_table, table_of};
use crate::operators::{Context, Operator, OperatorState};
use crate::plan::{SessionAssignSpec, WindowTime};
use crate::time::{EventTime, ProcessingTime};

/// Output: the input columns, then `window_start`, `window_end`, `window_time`.
pub struct SessionAssign {
    keys: Vec<usize>,
    time: WindowTime,
    input: SchemaRef,
    output: SchemaRef,
    index: SessionIndex,
    /// The rows of each session, as places in `chunks`.
    rows: Vec<Vec<(usize, usize)>>,
    /// Rows as they came, with the number of those that still wait.
    chunks: Vec<(Option<RecordBatch>, usize)>,
    watermark: i64,
}

impl SessionAssign {
    /// The operator on one shard.
    ///
    /// # Errors
    /// Where a key's type cannot be compared.
    pub fn new(spec: &SessionAssignSpec, input: &SchemaRef, output: SchemaRef) -> Result<Self> {
        let types: Vec<_> = spec.keys.iter().map(|&key| input.field(key).data_type().clone()).collect();
        Ok(Self {
            keys: spec.keys.clone(),
            time: spec.time,
            input: Arc::clone(input),
            output,
            index: SessionIndex::new(spec.gap_us, &types)?,
            rows: Vec::new(),
            chunks: Vec::new(),
            watermark: i64::MIN,
        })
    }

    /// Keeps rows whose sessions are known.
    fn keep(&mut self, batch: RecordBatch, placed: &[u32]) {
        self.rows.resize_with(self.index.capacity_slots(), Vec::new);
        let chunk = self.chunks.iter().position(|(batch, _)| batch.is_none()).unwrap_or_else(|| {
            self.chunks.push((None, 0));
            self.chunks.len() - 1
        });
        let mut waiting = 0;
        for (row, &slot) in placed.iter().enumerate().filter(|(_, slot)| **slot != LATE) {
            self.rows[slot as usize].push((chunk, row));
            waiting += 1;
        }
        if waiting > 0 {
            self.chunks[chunk] = (Some(batch), waiting);
        }
    }

    fn close(&mut self, watermark: i64, context: &mut Context<'_>) -> Result<()> {
        self.watermark = self.watermark.max(watermark);
        let closed = self.index.close(watermark);
        let (mut places, mut sessions): (Vec<(usize, usize)>, Vec<Closed>) = (Vec::new(), Vec::new());
        for closed in &closed {
            for place in std::mem::take(&mut self.rows[closed.session.slot as usize]) {
                places.push(place);
                sessions.push(*closed);
            }
        }
        for (places, sessions) in places.chunks(BATCH_ROWS).zip(sessions.chunks(BATCH_ROWS)) {
            let mut columns = self.gather(places)?.columns().to_vec();
            columns.extend(window_columns(sessions));
            context.emit(Delta::append(RecordBatch::try_new(Arc::clone(&self.output), columns)?));
        }
        for (chunk, _) in places {
            let (batch, waiting) = &mut self.chunks[chunk];
            *waiting -= 1;
            if *waiting == 0 {
                *batch = None;
            }
        }
        self.index.release(&closed);
        Ok(())
    }

    fn gather(&self, places: &[(usize, usize)]) -> Result<RecordBatch> {
        let mut at = vec![usize::MAX; self.chunks.len()];
        let mut batches = Vec::new();
        let mut indices = Vec::with_capacity(places.len());
        for &(chunk, row) in places {
            if at[chunk] == usize::MAX {
                let Some(batch) = &self.chunks[chunk].0 else {
                    return Err(EngineError::Internal("rows of a session are gone".into()));
                };
                at[chunk] = batches.len();
                batches.push(batch);
            }
            indices.push((at[chunk], row));
        }
        Ok(interleave_record_batch(&batches, &indices)?)
    }
}

impl Operator for SessionAssign {
    fn on_delta(&mut self, _port: usize, delta: Delta, context: &mut Context<'_>) -> Result<()> {
        if delta.sign != Sign::AppendOnly {
            return Err(EngineError::Internal("retractions into a session over insertions".into()));
        }
        let times = times_of(self.time, &delta.batch, context.now)?;
        let keys: Vec<ArrayRef> = self.keys.iter().map(|&key| Arc::clone(delta.batch.column(key))).collect();
        let mut placed = Vec::with_capacity(times.len());
        // Rows of this batch are kept only when all are placed, so a merge renames those placed before it.
        let mut renames: Vec<(usize, u32, u32)> = Vec::new();
        let rows = &mut self.rows;
        self.index.place(&keys, &times, self.watermark, &mut placed, &mut |merge| {
            let most = merge.from.max(merge.into) as usize;
            if rows.len() <= most {
                rows.resize_with(most + 1, Vec::new);
            }
            let moved = std::mem::take(&mut rows[merge.from as usize]);
            rows[merge.into as usize].extend(moved);
            renames.push((merge.placed.len(), merge.from, merge.into));
            Ok(())
        })?;
        for (before, from, into) in renames {
            placed[..before].iter_mut().filter(|slot| **slot == from).for_each(|slot| *slot = into);
        }
        let late = (0_u32..).zip(&placed).filter(|(_, slot)| **slot == LATE).map(|(row, _)| row);
        context.late(&delta, late)?;
        self.keep(delta.batch, &placed);
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

    fn snapshot(&self) -> Result<OperatorState> {
        let open = self.index.open();
        let mut state = OperatorState { tables: sessions_table(&self.index, &open, self.watermark)? };
        let (mut places, mut of) = (Vec::new(), Vec::new());
        for (position, open) in (0_u32..).zip(&open) {
            let rows = self.rows.get(open.session.slot as usize).map_or(&[][..], Vec::as_slice);
            places.extend_from_slice(rows);
            of.extend(std::iter::repeat_n(position, rows.len()));
        }
        let rows =
            if places.is_empty() { RecordBatch::new_empty(Arc::clone(&self.input)) } else { self.gather(&places)? };
        let count = of.len();
        let of: ArrayRef = Arc::new(UInt32Array::from(of));
        state.tables.push(("rows".into(), concat_batches(&self.input, [&rows])?));
        state.tables.push(("of".into(), table_of(vec![of], count)?));
        Ok(state)
    }

    fn restore(&mut self, state: OperatorState) -> Result<()> {
        let (slots, watermark) = reopen(&mut self.index, &state, self.keys.len())?;
        self.watermark = watermark;
        let of = find_table(&state, "of")?.columns().first().and_then(|column| column.as_primitive_opt::<UInt32Type>());
        let Some(of) = of else { return Err(EngineError::Internal("not a session's state".into())) };
        let placed: Vec<u32> = of.values().iter().filter_map(|at| slots.get(*at as usize).copied()).collect();
        let rows = find_table(&state, "rows")?;
        let all = UInt32Array::from_iter_values((0_u32..).take(rows.num_rows()));
        self.keep(take_record_batch(rows, &all)?, &placed);
        Ok(())
    }
}
