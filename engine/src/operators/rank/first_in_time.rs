//! [`FirstInTime`]: the first row of each partition in event time, emitted once, when the watermark has passed its time.
//!
//! Until then an earlier row may take its place; after it the key alone is kept, and its further rows are dropped.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{Int64Type, Schema, SchemaRef};

use super::changes::Changes;
use super::expiry::Expiry;
use super::in_time;
use super::partitions::{Partitions, Ranks};
use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};
use crate::message::{Delta, Epoch, Sign};
use crate::operators::aggregate::{find_table, table_of};
use crate::operators::event_time::event_times;
use crate::operators::told::Told;
use crate::operators::{Context, Operator, OperatorState};
use crate::plan::{RankFunction, RankSpec};
use crate::time::EventTime;

/// Microseconds of event time that share an entry of the calendar.
const BUCKET_US: i64 = 100_000;

/// Which row of a partition is wanted.
const FIRST: Ranks = Ranks { function: RankFunction::RowNumber, from: 1, to: 1 };

/// See the module. Output: the input columns, then the rank, which is 1, if asked for.
pub(super) struct FirstInTime {
    partitions: Partitions,
    output: SchemaRef,
    time_column: usize,
    times: Times,
    watermark: i64,
    changes: Changes,
    expiry: Option<Expiry>,
    /// What checkpoints know of the keys whose row is out.
    told: Told,
}

/// When the row of each slot is due.
#[derive(Default)]
struct Times {
    states: Vec<State>,
    /// Slots by the bucket of their row's time; those that have an earlier row since are here twice.
    calendar: BTreeMap<i64, Vec<u32>>,
}

/// What is known of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing.
    New,
    /// Its first row has this time.
    Waits(i64),
    /// Its first row is out.
    Done,
}

impl Times {
    fn resize(&mut self, slots: usize) {
        self.states.resize(slots.max(self.states.len()), State::New);
    }

    /// Whether a row of this time can be the first of its partition; notes it.
    fn accept(&mut self, slot: u32, time: i64) -> bool {
        self.resize(slot as usize + 1);
        let earlier = match self.states[slot as usize] {
            State::Done => return false,
            State::New => true,
            State::Waits(known) => time < known,
        };
        if earlier {
            self.states[slot as usize] = State::Waits(time);
            self.calendar.entry(time.div_euclid(BUCKET_US)).or_default().push(slot);
        }
        true
    }

    /// Takes out the slots whose row is earlier than the watermark, in order of time.
    fn due(&mut self, watermark: i64) -> Vec<u32> {
        let mut due = Vec::new();
        let last = watermark.div_euclid(BUCKET_US);
        while let Some(first) = self.calendar.first_entry().filter(|first| *first.key() <= last) {
            let bucket = *first.key();
            let mut later = Vec::new();
            for slot in first.remove() {
                match self.states[slot as usize] {
                    State::Waits(time) if time < watermark => {
                        due.push((time, slot));
                        self.states[slot as usize] = State::Done;
                    }
                    State::Waits(time) if time.div_euclid(BUCKET_US) == bucket => later.push(slot),
                    State::Waits(_) | State::Done | State::New => {}
                }
            }
            if !later.is_empty() {
                self.calendar.insert(bucket, later);
                break;
            }
        }
        due.sort_unstable();
        due.into_iter().map(|(_, slot)| slot).collect()
    }
}

impl FirstInTime {
    /// The operator; `time_column` is the only sort key.
    ///
    /// # Errors
    /// Where a column has a type that cannot be compared, or the description does not ask for the first row in time.
    pub(super) fn new(spec: &RankSpec, time_column: usize, input: &Schema, output: SchemaRef) -> Result<Self> {
        let by_time = spec.order.first().is_some_and(|key| key.column == time_column && !key.descending);
        let first = spec.function == RankFunction::RowNumber && (spec.from, spec.to) == (1, 1);
        if !by_time || !first || spec.retracts {
            return Err(EngineError::Internal("a rank on watermark that is not the first row in time".into()));
        }
        Ok(Self {
            partitions: Partitions::new(input, &spec.partition, &spec.order, Some(FIRST))?,
            output,
            time_column,
            times: Times::default(),
            watermark: i64::MIN,
            changes: Changes::default(),
            expiry: spec.ttl_us.map(Expiry::new),
            told: Told::default(),
        })
    }

    fn emit_before(&mut self, watermark: i64, context: &mut Context<'_>) -> Result<()> {
        self.watermark = self.watermark.max(watermark);
        let due = self.times.due(self.watermark);
        let mut shown = Vec::with_capacity(1);
        for &slot in &due {
            shown.clear();
            self.partitions.show(slot, FIRST, false, &mut shown);
            shown.iter().for_each(|row| self.changes.insert(slot, row));
        }
        self.changes.emit(self.partitions.store(), &self.output, context)?;
        self.partitions.clear(&due);
        self.told.touch(due.iter().copied());
        if let Some(expiry) = &mut self.expiry {
            expiry.touch(due.into_iter(), context.now);
        }
        self.partitions.release()
    }

    /// Forgets keys whose row is out for long.
    fn expire(&mut self, context: &Context<'_>) {
        let Some(expiry) = self.expiry.as_mut().filter(|expiry| expiry.is_due(context.now)) else { return };
        let states = &mut self.times.states;
        let mut done = self.partitions.live_slots();
        done.retain(|&slot| states.get(slot as usize) == Some(&State::Done));
        let expired = expiry.expired(&done, context.now);
        expired.iter().for_each(|&slot| states[slot as usize] = State::New);
        self.partitions.remove(&expired);
    }

    /// Whether the first row of each slot's key is out.
    fn done(&self) -> Vec<bool> {
        self.times.states.iter().map(|state| *state == State::Done).collect()
    }

    /// The keys of some slots as a table.
    fn keys(&self, slots: &[u32]) -> Result<RecordBatch> {
        table_of(self.partitions.store().table.keys(slots)?, slots.len())
    }

    fn times_table(&self) -> Result<RecordBatch> {
        table_of(vec![Arc::new(Int64Array::from(vec![self.watermark]))], 1)
    }
}

impl Operator for FirstInTime {
    fn on_delta(&mut self, _port: usize, delta: Delta, context: &mut Context<'_>) -> Result<()> {
        if delta.sign != Sign::AppendOnly {
            return Err(EngineError::Internal("retractions into a rank over insertions".into()));
        }
        let watermark = self.watermark;
        let Some(delta) = in_time(delta, self.time_column, |time| time < watermark, context)? else { return Ok(()) };
        let at = event_times(&delta.batch, self.time_column)?;
        let times = &mut self.times;
        self.partitions.apply(&delta, |_, slot, row| times.accept(slot, at[row]))
    }

    fn on_watermark(&mut self, watermark: EventTime, context: &mut Context<'_>) -> Result<()> {
        self.emit_before(watermark.0, context)?;
        context.emit_watermark(watermark);
        Ok(())
    }

    fn on_barrier(&mut self, _epoch: Epoch, context: &mut Context<'_>) -> Result<()> {
        self.expire(context);
        self.partitions.release()
    }

    fn on_end(&mut self, context: &mut Context<'_>) -> Result<()> {
        self.emit_before(i64::MAX, context)
    }

    fn capture(&mut self, epoch: Epoch, base: Option<Epoch>) -> Result<Vec<Table>> {
        let done = self.told.tell(epoch, base, &self.done());
        let done = done.table("done", self.keys(&done.slots)?);
        let times = Table::whole("times", self.times_table()?);
        Ok(vec![self.partitions.capture("rows", epoch, base)?, done, times])
    }

    fn restore(&mut self, state: OperatorState) -> Result<()> {
        let rows = find_table(&state, "rows")?;
        let slots = self.partitions.restore(rows)?;
        let at = event_times(rows, self.time_column)?;
        for (&slot, &time) in slots.iter().zip(at.iter()) {
            self.times.accept(slot, time);
        }
        let done = find_table(&state, "done")?;
        for slot in self.partitions.intern(done.columns(), done.num_rows())? {
            self.times.resize(slot as usize + 1);
            self.times.states[slot as usize] = State::Done;
        }
        let times = find_table(&state, "times")?;
        let watermark = times.columns().first().and_then(|column| column.as_primitive_opt::<Int64Type>());
        self.watermark = watermark.filter(|times| !times.is_empty()).map_or(i64::MIN, |times| times.value(0));
        self.partitions.release()
    }
}
