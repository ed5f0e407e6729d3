//! [`SessionRevise`]: rows with the columns of their session, where rows may be taken back, come late, or come out before
//! their session closes.
//!
//! All rows of a key are kept in order of time, and its sessions are found anew where something has changed: a row that comes
//! may join two of them, and one that goes may part one. A row that is out with a session that is no longer its own is
//! retracted and comes out with the new one. Equal rows are kept once, with their number.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanBufferBuilder, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Int64Type, SchemaRef};

use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};
use crate::message::{BATCH_ROWS, Delta, Epoch};
use crate::operators::aggregate::{find_table, table_of};
use crate::operators::event_time::event_times;
use crate::operators::group_table::GroupTable;
use crate::operators::told::Told;
use crate::operators::{Context, Operator, OperatorState};
use crate::plan::{EarlyEmit, SessionAssignSpec, WindowTime};
use crate::time::EventTime;

/// See the module. Output: the input columns, then `window_start`, `window_end`, `window_time`; an updating one.
pub struct SessionRevise {
    keys: Vec<usize>,
    time: usize,
    gap: i64,
    lateness: i64,
    /// Rows come out before their session closes.
    early: bool,
    output: SchemaRef,
    /// The rows by all their columns.
    table: GroupTable,
    /// By slot of `table`.
    rows: Vec<Row>,
    key_table: GroupTable,
    /// By slot of `key_table`.
    of_key: Vec<KeyRows>,
    /// Keys by the watermark at which one of their sessions may close or be dropped, at the earliest.
    calendar: BTreeMap<i64, Vec<u32>>,
    /// Keys that have changed in this epoch.
    changed: Vec<u32>,
    watermark: i64,
    out: Out,
    told: Told,
}

/// Equal rows.
#[derive(Clone, Copy, Default)]
struct Row {
    /// How many there are. Below zero while a retraction has come before what it retracts.
    count: i64,
    /// How many of them are out, and with which session.
    out_count: i64,
    out_span: (i64, i64),
}

/// The rows of one key.
#[derive(Clone, Default)]
struct KeyRows {
    /// Time and slot, in order.
    rows: Vec<(i64, u32)>,
    changed: bool,
    /// The calendar's entry.
    next: Option<i64>,
}

/// What goes out: slots of rows with a session and a sign.
#[derive(Default)]
struct Out {
    slots: Vec<u32>,
    spans: Vec<(i64, i64)>,
    retracts: Vec<bool>,
    /// Rows that are dropped once all is out.
    gone: Vec<u32>,
}

impl SessionRevise {
    /// The operator on one shard.
    ///
    /// # Errors
    /// Where a column's type cannot be compared; where sessions are of processing time.
    pub fn new(spec: &SessionAssignSpec, input: &SchemaRef, output: SchemaRef) -> Result<Self> {
        let WindowTime::Event(time) = spec.time else {
            return Err(EngineError::Unsupported("sessions of processing time that are revised".into()));
        };
        let type_of = |column: usize| input.field(column).data_type().clone();
        let key_types: Vec<DataType> = spec.keys.iter().map(|&key| type_of(key)).collect();
        let all: Vec<DataType> = (0..input.fields().len()).map(type_of).collect();
        Ok(Self {
            keys: spec.keys.clone(),
            time,
            gap: spec.gap_us,
            lateness: spec.emit.lateness_us,
            early: spec.emit.early != EarlyEmit::Never,
            output,
            table: GroupTable::new(&all)?,
            rows: Vec::new(),
            key_table: GroupTable::new(&key_types)?,
            of_key: Vec::new(),
            calendar: BTreeMap::new(),
            changed: Vec::new(),
            watermark: i64::MIN,
            out: Out::default(),
            told: Told::default(),
        })
    }

    /// The slots of rows and of their keys.
    fn intern(&mut self, columns: &[ArrayRef], rows: usize) -> Result<(Vec<u32>, Vec<u32>)> {
        let (mut slots, mut keys) = (Vec::new(), Vec::new());
        self.table.intern(columns, rows, &mut slots)?;
        self.rows.resize(self.table.capacity_slots(), Row::default());
        let key_columns: Vec<ArrayRef> = self.keys.iter().map(|&key| Arc::clone(&columns[key])).collect();
        self.key_table.intern(&key_columns, rows, &mut keys)?;
        self.of_key.resize(self.key_table.capacity_slots(), KeyRows::default());
        Ok((slots, keys))
    }

    /// The watermark that closes a session whose last row has this time.
    fn closing(&self, last: i64) -> i64 {
        last.saturating_add(self.gap).saturating_sub(1_000)
    }

    /// The watermark at which such a session takes no more rows.
    fn dropping(&self, last: i64) -> i64 {
        self.closing(last).saturating_add(self.lateness)
    }

    /// Adds a row, or takes it back. Gives whether it is late.
    fn apply(&mut self, slot: u32, key: u32, time: i64, retract: bool) -> bool {
        let place = self.of_key[key as usize].rows.binary_search(&(time, slot));
        if let Err(at) = place {
            let near =
                |row: Option<&(i64, u32)>| row.is_some_and(|(other, _)| time.abs_diff(*other) <= self.gap as u64);
            let rows = &self.of_key[key as usize].rows;
            let joins = near(rows.get(at)) || at.checked_sub(1).is_some_and(|before| near(rows.get(before)));
            if !joins && self.dropping(time) <= self.watermark {
                return true;
            }
            self.of_key[key as usize].rows.insert(at, (time, slot));
        }
        self.rows[slot as usize].count += if retract { -1 } else { 1 };
        self.told.touch([slot]);
        // A row that waits for its session to close changes nothing before.
        let shows = self.early || self.lateness > 0 || retract;
        if shows && !std::mem::replace(&mut self.of_key[key as usize].changed, true) {
            self.changed.push(key);
        }
        self.look_at(key, self.closing(time));
        false
    }

    /// Puts a key into the calendar, unless it is there for an earlier moment that is still to come.
    fn look_at(&mut self, key: u32, at: i64) {
        let at = at.max(self.watermark.saturating_add(1));
        let next = &mut self.of_key[key as usize].next;
        if next.is_none_or(|next| at < next) {
            *next = Some(at);
            self.calendar.entry(at).or_default().push(key);
        }
    }

    /// Finds the sessions of a key anew, and what changes with them. `settled`: no retraction waits for its row.
    fn revise(&mut self, key: u32, settled: bool, context: &mut Context<'_>) {
        let mut rows = std::mem::take(&mut self.of_key[key as usize].rows);
        self.of_key[key as usize].next = None;
        let mut unknown = 0;
        rows.retain(|&(_, slot)| {
            let row = &mut self.rows[slot as usize];
            let stays = row.count > 0 || (row.count < 0 && !settled);
            if !stays {
                // What was retracted and never there had been dropped before.
                unknown += usize::try_from(-row.count).unwrap_or(0);
                row.count = 0;
                self.out.show(slot, row, None);
                self.out.gone.push(slot);
            }
            stays
        });
        context.count_late(unknown);
        let mut kept = Vec::with_capacity(rows.len());
        let (gap, mut next) = (self.gap, i64::MAX);
        for session in rows.chunk_by(|left, right| right.0.saturating_sub(left.0) <= gap) {
            let (Some((first, _)), Some((last, _))) = (session.first(), session.last()) else { continue };
            let (closing, dropping) = (self.closing(*last), self.dropping(*last));
            let closed = closing <= self.watermark;
            let span = (self.early || closed).then(|| (*first, last.saturating_add(gap)));
            for &(_, slot) in session {
                if self.out.show(slot, &mut self.rows[slot as usize], span) {
                    self.told.touch([slot]);
                }
            }
            if dropping <= self.watermark {
                self.out.gone.extend(session.iter().map(|(_, slot)| *slot));
            } else {
                kept.extend_from_slice(session);
                next = next.min(if closed { dropping } else { closing });
            }
        }
        self.of_key[key as usize].rows = kept;
        if next < i64::MAX {
            self.look_at(key, next);
        }
    }

    /// Revises keys, emits what changed, and drops what is no longer needed.
    fn revise_all(&mut self, keys: &[u32], settled: bool, context: &mut Context<'_>) -> Result<()> {
        for &key in keys {
            self.revise(key, settled, context);
        }
        let out = std::mem::take(&mut self.out);
        for start in (0..out.slots.len()).step_by(BATCH_ROWS) {
            let part = start..(start + BATCH_ROWS).min(out.slots.len());
            context.emit(self.delta(&out, part)?);
        }
        self.forget(out.gone, keys.to_vec());
        Ok(())
    }

    /// Forgets rows, and those of the keys that have none.
    fn forget(&mut self, mut slots: Vec<u32>, mut keys: Vec<u32>) {
        slots.sort_unstable();
        slots.dedup();
        slots.iter().for_each(|&slot| self.rows[slot as usize] = Row::default());
        self.table.remove(&slots);
        keys.retain(|key| self.of_key[*key as usize].rows.is_empty());
        keys.sort_unstable();
        keys.dedup();
        self.key_table.remove(&keys);
    }

    fn delta(&self, out: &Out, part: std::ops::Range<usize>) -> Result<Delta> {
        let mut columns = self.table.keys(&out.slots[part.clone()])?;
        let spans = &out.spans[part.clone()];
        let millis = |of: fn(&(i64, i64)) -> i64| -> ArrayRef {
            Arc::new(TimestampMillisecondArray::from_iter_values(spans.iter().map(|span| of(span).div_euclid(1_000))))
        };
        columns.extend([millis(|span| span.0), millis(|span| span.1), millis(|span| span.1.saturating_sub(1_000))]);
        let mut retracts = BooleanBufferBuilder::new(part.len());
        retracts.append_slice(&out.retracts[part]);
        Ok(Delta::signed(RecordBatch::try_new(Arc::clone(&self.output), columns)?, retracts.finish()))
    }
}

impl Out {
    /// Brings what is out of equal rows to `span`; out of sight where there is none. Gives whether that is another one.
    fn show(&mut self, slot: u32, row: &mut Row, span: Option<(i64, i64)>) -> bool {
        let count = if span.is_some() { row.count.max(0) } else { 0 };
        let span = span.unwrap_or(row.out_span);
        let stay = if span == row.out_span { row.out_count.min(count) } else { 0 };
        self.push(slot, row.out_span, row.out_count - stay, true);
        self.push(slot, span, count - stay, false);
        let before = (row.out_count, row.out_span);
        (row.out_count, row.out_span) = (count, span);
        before != (count, span)
    }

    fn push(&mut self, slot: u32, span: (i64, i64), count: i64, retract: bool) {
        for _ in 0..count {
            self.slots.push(slot);
            self.spans.push(span);
            self.retracts.push(retract);
        }
    }
}

impl Operator for SessionRevise {
    fn on_delta(&mut self, _port: usize, delta: Delta, context: &mut Context<'_>) -> Result<()> {
        let times = event_times(&delta.batch, self.time)?;
        let (slots, keys) = self.intern(delta.batch.columns(), delta.rows())?;
        let (mut late, mut late_rows) = (Vec::new(), Vec::new());
        for (row, ((&slot, &key), &time)) in slots.iter().zip(&keys).zip(&times[..]).enumerate() {
            if self.apply(slot, key, time, delta.is_retract(row)) {
                late.push((slot, key, time));
                late_rows.push(u32::try_from(row).unwrap_or(u32::MAX));
            }
        }
        context.late(&delta, late_rows.into_iter())?;
        // An equal row that came after may have been in time.
        late.retain(|(slot, key, time)| self.of_key[*key as usize].rows.binary_search(&(*time, *slot)).is_err());
        self.forget(late.iter().map(|late| late.0).collect(), late.iter().map(|late| late.1).collect());
        Ok(())
    }

    fn on_watermark(&mut self, watermark: EventTime, context: &mut Context<'_>) -> Result<()> {
        self.watermark = self.watermark.max(watermark.0);
        let later = self.calendar.split_off(&self.watermark.saturating_add(1));
        let due = std::mem::replace(&mut self.calendar, later);
        let mut keys = Vec::new();
        for (at, of) in due {
            let of_key = &mut self.of_key;
            let is_due = |key: &u32| of_key[*key as usize].next.take_if(|next| *next == at).is_some();
            keys.extend(of.into_iter().filter(is_due));
        }
        self.revise_all(&keys, false, context)?;
        context.emit_watermark(watermark);
        Ok(())
    }

    fn on_barrier(&mut self, _epoch: Epoch, context: &mut Context<'_>) -> Result<()> {
        let changed = std::mem::take(&mut self.changed);
        for &key in &changed {
            self.of_key[key as usize].changed = false;
        }
        self.revise_all(&changed, true, context)
    }

    fn on_end(&mut self, _context: &mut Context<'_>) -> Result<()> {
        Ok(())
    }

    fn capture(&mut self, epoch: Epoch, base: Option<Epoch>) -> Result<Vec<Table>> {
        let telling = self.told.tell(epoch, base, self.table.live());
        let slots = &telling.slots;
        let ints = |of: fn(&Row) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(slots.iter().map(|&slot| of(&self.rows[slot as usize]))))
        };
        let mut columns = self.table.keys(slots)?;
        columns.extend([
            ints(|row| row.count),
            ints(|row| row.out_count),
            ints(|row| row.out_span.0),
            ints(|row| row.out_span.1),
        ]);
        let rows = telling.table("rows", table_of(columns, slots.len())?);
        let watermark: ArrayRef = Arc::new(Int64Array::from(vec![self.watermark]));
        Ok(vec![rows, Table::whole("times", table_of(vec![watermark], 1)?)])
    }

    fn restore(&mut self, state: OperatorState) -> Result<()> {
        let form = || EngineError::Internal("not a session's state".into());
        let rows = find_table(&state, "rows")?;
        let width = self.output.fields().len() - 3;
        if rows.num_columns() != width + 4 {
            return Err(form());
        }
        let ints = |table: &RecordBatch, column: usize| -> Result<Vec<i64>> {
            let column = table.columns().get(column).and_then(|column| column.as_primitive_opt::<Int64Type>());
            column.map(|column| column.values().to_vec()).ok_or_else(form)
        };
        self.watermark = ints(find_table(&state, "times")?, 0)?.first().copied().ok_or_else(form)?;
        let times = crate::operators::event_time::micros(rows.column(self.time))?;
        let (slots, keys) = self.intern(&rows.columns()[..width], rows.num_rows())?;
        let [count, out_count, start, end] =
            [ints(rows, width)?, ints(rows, width + 1)?, ints(rows, width + 2)?, ints(rows, width + 3)?];
        for (row, (&slot, &key)) in slots.iter().zip(&keys).enumerate() {
            self.rows[slot as usize] =
                Row { count: count[row], out_count: out_count[row], out_span: (start[row], end[row]) };
            let at = self.of_key[key as usize].rows.partition_point(|other| *other < (times[row], slot));
            self.of_key[key as usize].rows.insert(at, (times[row], slot));
            self.look_at(key, self.closing(times[row]));
        }
        Ok(())
    }
}
