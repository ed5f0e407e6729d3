//! [`SessionAssign`]: rows with the columns of their session, once it is closed.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{SchemaRef, UInt32Type};

use super::aggregate::{reopen, sessions_tables, times_of, window_columns};
use super::index::{Closed, LATE, SessionIndex};
use crate::checkpoint::numbers::{NUMBERS, numbers_table, placed};
use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};
use crate::message::{BATCH_ROWS, Delta, Epoch, Sign};
use crate::operators::aggregate::find_table;
use crate::operators::join::NONE;
use crate::operators::join::store::Store;
use crate::operators::told::Told;
use crate::operators::{Context, Operator, OperatorState};
use crate::plan::{SessionAssignSpec, WindowTime};
use crate::time::{EventTime, ProcessingTime};

/// Output: the input columns, then `window_start`, `window_end`, `window_time`.
pub struct SessionAssign {
    keys: Vec<usize>,
    time: WindowTime,
    output: SchemaRef,
    index: SessionIndex,
    /// The rows of open sessions, by the slots of these.
    rows: Store,
    /// What checkpoints know of which row is whose.
    told: Told,
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
            output,
            index: SessionIndex::new(spec.gap_us, &types)?,
            rows: Store::new(Arc::clone(input)),
            told: Told::default(),
            watermark: i64::MIN,
        })
    }

    /// Keeps rows whose sessions are known.
    fn keep(&mut self, batch: RecordBatch, placed: &[u32]) -> Result<()> {
        if !placed.contains(&LATE) {
            return self.rows.add(batch, placed);
        }
        let kept: Vec<u32> = (0_u32..).zip(placed).filter(|(_, slot)| **slot != LATE).map(|(row, _)| row).collect();
        let slots: Vec<u32> = placed.iter().copied().filter(|slot| *slot != LATE).collect();
        self.rows.add(take_record_batch(&batch, &UInt32Array::from(kept))?, &slots)
    }

    fn close(&mut self, watermark: i64, context: &mut Context<'_>) -> Result<()> {
        self.watermark = self.watermark.max(watermark);
        let closed = self.index.close(watermark);
        let (mut rows, mut sessions): (Vec<u32>, Vec<Closed>) = (Vec::new(), Vec::new());
        for closed in &closed {
            let first = rows.len();
            let mut row = self.rows.first(closed.session.slot);
            while row != NONE {
                rows.push(row);
                row = self.rows.after(row);
            }
            // The rows of a slot begin with the newest one.
            rows[first..].reverse();
            sessions.resize(rows.len(), *closed);
        }
        for (rows, sessions) in rows.chunks(BATCH_ROWS).zip(sessions.chunks(BATCH_ROWS)) {
            let mut columns = self.rows.rows.gather(rows)?;
            columns.extend(window_columns(sessions));
            context.emit(Delta::append(RecordBatch::try_new(Arc::clone(&self.output), columns)?));
        }
        for row in rows {
            self.rows.remove(row);
        }
        self.index.release(&closed);
        if self.rows.compact()?.is_some() {
            self.told.forget();
        }
        Ok(())
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
        let (rows, told) = (&mut self.rows, &mut self.told);
        self.index.place(&keys, &times, self.watermark, &mut placed, &mut |merge| {
            told.touch(rows.move_rows(merge.from, merge.into));
            renames.push((merge.placed.len(), merge.from, merge.into));
            Ok(())
        })?;
        for (before, from, into) in renames {
            placed[..before].iter_mut().filter(|slot| **slot == from).for_each(|slot| *slot = into);
        }
        let late = (0_u32..).zip(&placed).filter(|(_, slot)| **slot == LATE).map(|(row, _)| row);
        context.late(&delta, late)?;
        self.keep(delta.batch, &placed)?;
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
        tables.push(telling.table(NUMBERS, numbers_table(&telling.slots)?));
        tables.push(self.rows.table("rows"));
        let telling = self.told.tell(epoch, base, self.rows.live());
        let of: Vec<u32> = telling.slots.iter().map(|&row| self.rows.slot(row)).collect();
        tables.push(telling.table("of", numbers_table(&of)?));
        Ok(tables)
    }

    fn restore(&mut self, state: OperatorState) -> Result<()> {
        let state = placed(state)?;
        let (slots, watermark) = reopen(&mut self.index, &state, self.keys.len())?;
        self.watermark = watermark;
        let of = find_table(&state, "of")?.columns().first().and_then(|column| column.as_primitive_opt::<UInt32Type>());
        let Some(of) = of else { return Err(EngineError::Internal("not a session's state".into())) };
        let placed: Vec<u32> = of.values().iter().filter_map(|at| slots.get(*at as usize).copied()).collect();
        self.keep(find_table(&state, "rows")?.clone(), &placed)
    }
}
