//! [`ForwardJoin`]: joins rows with the next row of the other input: that with the least time from their own on.
//!
//! A row is joined when the watermark has passed its partner, since then no earlier one can come; the partner meets nothing
//! after that and is dropped. A row without a partner waits until there is one, or until the end. The watermark
//! that comes out stays behind the rows that wait.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{Int64Type, SchemaRef};

use super::NONE;
use super::keys::Keys;
use super::pairs::{Output, Pairs, Residual, Rows};
use super::store::Store;
use super::timed::TimedStore;
use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};
use crate::message::{BATCH_ROWS, Delta, Epoch, Sign};
use crate::operators::aggregate::{find_table, table_of};
use crate::operators::event_time::event_times;
use crate::operators::{Context, Operator, OperatorState};
use crate::plan::TemporalJoinSpec;
use crate::time::EventTime;

/// See the module. Port 0: the rows; port 1: the rows that they are joined with.
pub struct ForwardJoin {
    outer: bool,
    /// A partner of the same time does not count.
    strict: bool,
    keys: Keys,
    left: TimedStore,
    /// Left rows by key and time.
    waiting: BTreeMap<(u32, i64), Vec<u32>>,
    right: Store,
    right_time: usize,
    /// The row of the right input by key and time; of several the last one.
    partners: BTreeMap<(u32, i64), u32>,
    /// What is in `partners`, the earliest first.
    calendar: BinaryHeap<Reverse<(i64, u32)>>,
    residual: Residual,
    output: Output,
    watermark: i64,
}

impl ForwardJoin {
    /// The operator on one shard. `strict`: a partner is later than the row.
    ///
    /// # Errors
    /// Where keys are not of equal types; for a kind other than `Inner` and `Left`.
    pub fn new(
        spec: &TemporalJoinSpec,
        strict: bool,
        left: &SchemaRef,
        right: &SchemaRef,
        output: SchemaRef,
    ) -> Result<Self> {
        Ok(Self {
            outer: super::temporal::is_outer(spec.kind)?,
            strict,
            keys: Keys::new(&spec.keys, [left, right], false)?,
            left: TimedStore::new(left, spec.left_time),
            waiting: BTreeMap::new(),
            right: Store::new(Arc::clone(right)),
            right_time: spec.right_time,
            partners: BTreeMap::new(),
            calendar: BinaryHeap::new(),
            residual: Residual::new(spec.residual.clone(), [left, right]),
            output: Output::new(spec.kind, output),
            watermark: i64::MIN,
        })
    }

    fn add_right(&mut self, delta: Delta) -> Result<()> {
        let (delta, slots) = self.keys.keyed(1, delta, false)?;
        let times = event_times(&delta.batch, self.right_time)?;
        let first = self.right.len();
        self.right.add(delta.batch.clone(), &slots)?;
        for (row, (&time, &slot)) in (first..).zip(times.iter().zip(&slots)) {
            match self.partners.insert((slot, time), row) {
                Some(old) => {
                    self.right.remove(old);
                }
                None => self.calendar.push(Reverse((time, slot))),
            }
        }
        Ok(())
    }

    /// Keeps left rows. Those whose key equals none come out at once, where they come out at all.
    fn add_left(&mut self, delta: Delta, context: &mut Context<'_>) -> Result<()> {
        let delta = self.left.in_time(delta, self.watermark, context)?;
        let (delta, slots) = self.keys.keyed(0, delta, self.outer)?;
        let first = self.left.store.len();
        self.left.add(delta.batch, &slots)?;
        let mut alone = Vec::new();
        for (row, &slot) in (first..).zip(&slots) {
            if slot == NONE {
                alone.push(row);
            } else {
                self.waiting.entry((slot, self.left.times[row as usize])).or_default().push(row);
            }
        }
        self.put_out(&Pairs::default(), &alone, context)?;
        for row in alone {
            self.left.store.remove(row);
        }
        Ok(())
    }

    /// Joins the rows whose partner the watermark has passed.
    fn pass(&mut self, watermark: i64, context: &mut Context<'_>) -> Result<()> {
        self.watermark = self.watermark.max(watermark);
        let (mut pairs, mut used) = (Pairs::default(), Vec::new());
        while let Some(&Reverse((time, slot))) = self.calendar.peek()
            && time < self.watermark
        {
            self.calendar.pop();
            let Some(partner) = self.partners.remove(&(slot, time)) else { continue };
            let upto = if self.strict { time.saturating_sub(1) } else { time };
            let met: Vec<(u32, i64)> =
                self.waiting.range((slot, i64::MIN)..=(slot, upto)).map(|(key, _)| *key).collect();
            for key in met {
                for row in self.waiting.remove(&key).unwrap_or_default() {
                    pairs.0.push(row);
                    pairs.1.push(partner);
                }
            }
            used.push(partner);
            if pairs.0.len() >= BATCH_ROWS {
                self.join(&mut pairs, &mut used, context)?;
            }
        }
        self.join(&mut pairs, &mut used, context)?;
        self.compact()
    }

    /// Emits left rows with their partners, and forgets both.
    fn join(&mut self, pairs: &mut Pairs, used: &mut Vec<u32>, context: &mut Context<'_>) -> Result<()> {
        let rows = pairs.0.clone();
        self.residual.narrow([&self.left.store.rows, &self.right.rows], pairs, context)?;
        let mut joined = pairs.0.iter().peekable();
        let alone: Vec<u32> = match self.outer {
            true => rows.iter().copied().filter(|row| joined.next_if_eq(&row).is_none()).collect(),
            false => Vec::new(),
        };
        self.put_out(pairs, &alone, context)?;
        let mut emptied = Vec::new();
        rows.into_iter().for_each(|row| emptied.extend(self.left.store.remove(row)));
        used.drain(..).for_each(|row| emptied.extend(self.right.remove(row)));
        *pairs = Pairs::default();
        self.forget_keys(emptied);
        Ok(())
    }

    fn put_out(&self, pairs: &Pairs, alone: &[u32], context: &mut Context<'_>) -> Result<()> {
        let (stores, mut deltas) = ([&self.left.store.rows, &self.right.rows], Vec::new());
        self.output.make(stores, &Rows::Pairs(&pairs.0, &pairs.1), false, &mut deltas)?;
        if self.outer {
            self.output.make(stores, &Rows::Left(alone, false), false, &mut deltas)?;
        }
        deltas.into_iter().for_each(|delta| context.emit(delta));
        Ok(())
    }

    /// Nothing more comes: what waits has no partner.
    fn finish(&mut self, context: &mut Context<'_>) -> Result<()> {
        self.pass(i64::MAX, context)?;
        let mut alone: Vec<u32> = std::mem::take(&mut self.waiting).into_values().flatten().collect();
        alone.sort_by_key(|&row| self.left.times[row as usize]);
        self.put_out(&Pairs::default(), &alone, context)?;
        let mut emptied = Vec::new();
        alone.into_iter().for_each(|row| emptied.extend(self.left.store.remove(row)));
        self.forget_keys(emptied);
        Ok(())
    }

    fn forget_keys(&mut self, mut emptied: Vec<u32>) {
        let stores = [&self.left.store, &self.right];
        emptied.retain(|&slot| stores.iter().all(|store| store.first(slot) == NONE));
        self.keys.remove(&emptied);
    }

    fn compact(&mut self) -> Result<()> {
        let renumbered = |rows: u32, kept: &[u32]| {
            let mut numbers = vec![NONE; rows as usize];
            (0..).zip(kept).for_each(|(new, &old)| numbers[old as usize] = new);
            numbers
        };
        let rows = self.left.store.len();
        if let Some(kept) = self.left.compact()? {
            let numbers = renumbered(rows, &kept);
            self.waiting.values_mut().flatten().for_each(|row| *row = numbers[*row as usize]);
        }
        let rows = self.right.len();
        if let Some(kept) = self.right.compact()? {
            let numbers = renumbered(rows, &kept);
            self.partners.values_mut().for_each(|row| *row = numbers[*row as usize]);
        }
        Ok(())
    }
}

impl Operator for ForwardJoin {
    fn on_delta(&mut self, port: usize, delta: Delta, context: &mut Context<'_>) -> Result<()> {
        if delta.sign != Sign::AppendOnly {
            return Err(EngineError::Unsupported("an ASOF join of an updating input".into()));
        }
        if port == 1 { self.add_right(delta) } else { self.add_left(delta, context) }
    }

    fn on_watermark(&mut self, watermark: EventTime, context: &mut Context<'_>) -> Result<()> {
        if watermark == EventTime::MAX {
            self.finish(context)?;
        } else {
            self.pass(watermark.0, context)?;
        }
        let waiting = self.left.earliest().unwrap_or(i64::MAX);
        context.emit_watermark(EventTime(watermark.0.min(waiting)));
        Ok(())
    }

    fn on_barrier(&mut self, _epoch: Epoch, _context: &mut Context<'_>) -> Result<()> {
        Ok(())
    }

    fn on_end(&mut self, context: &mut Context<'_>) -> Result<()> {
        self.finish(context)
    }

    fn capture(&mut self, _epoch: Epoch, _base: Option<Epoch>) -> Result<Vec<Table>> {
        let watermark: ArrayRef = Arc::new(Int64Array::from(vec![self.watermark]));
        let times = Table::whole("times", table_of(vec![watermark], 1)?);
        Ok(vec![self.left.store.table("left"), self.right.table("right"), times])
    }

    fn restore(&mut self, state: OperatorState) -> Result<()> {
        let left = find_table(&state, "left")?.clone();
        if left.num_rows() > 0 {
            let slots = self.keys.slots(0, &left)?;
            self.left.add(left, &slots)?;
            for (row, &slot) in (0..).zip(&slots) {
                self.waiting.entry((slot, self.left.times[row as usize])).or_default().push(row);
            }
        }
        self.add_right(Delta::append(find_table(&state, "right")?.clone()))?;
        let times = find_table(&state, "times")?;
        let watermark = times.columns().first().and_then(|column| column.as_primitive_opt::<Int64Type>());
        self.watermark = watermark.filter(|times| !times.is_empty()).map_or(i64::MIN, |times| times.value(0));
        Ok(())
    }
}
