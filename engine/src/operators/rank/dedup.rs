//! [`Dedup`]: the first row of each partition in its order, or the last one that arrived, of an input that only inserts;
//! emits the net change at the barrier.
//!
//! The case of one row a partition without an ordered list: a slot has its row, and what it had before the epoch.

use std::cmp::Ordering;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::datatypes::{Schema, SchemaRef};

use super::changes::Changes;
use super::expiry::Expiry;
use super::layout::{Encoded, RowStore};
use super::ordered::{Entry, Probe};
use super::partitions::Shown;
use crate::error::{EngineError, Result};
use crate::message::{Delta, Epoch, Sign};
use crate::operators::aggregate::{find_table, table_of};
use crate::operators::held_watermark::HeldWatermark;
use crate::operators::{Context, Operator, OperatorState};
use crate::plan::{RankEmit, RankSpec};
use crate::time::EventTime;

/// See the module. Output: the input columns, then the rank, which is 1, if asked for.
pub(super) struct Dedup {
    store: RowStore,
    output: SchemaRef,
    /// The last row that arrived is wanted, whatever the order.
    last_arrived: bool,
    /// The row of each slot.
    first: Vec<Option<Entry>>,
    touched: Vec<bool>,
    /// The slots that changed in this epoch, and their rows before.
    before: Vec<(u32, Option<Entry>)>,
    changes: Changes,
    held: HeldWatermark,
    expiry: Option<Expiry>,
}

impl Dedup {
    /// The operator.
    ///
    /// # Errors
    /// Where a column has a type that cannot be compared.
    pub(super) fn new(spec: &RankSpec, input: &Schema, output: SchemaRef) -> Result<Self> {
        let last_arrived = spec.emit == RankEmit::LastArrival;
        let order = if last_arrived { &[] } else { &spec.order[..] };
        Ok(Self {
            store: RowStore::new(input, &spec.partition, order)?,
            output,
            last_arrived,
            first: Vec::new(),
            touched: Vec::new(),
            before: Vec::new(),
            changes: Changes::default(),
            held: HeldWatermark::default(),
            expiry: spec.ttl_us.map(Expiry::new),
        })
    }

    /// The slots of rows.
    fn slots(&mut self, batch: &RecordBatch) -> Result<Vec<u32>> {
        let slots = self.store.slots(batch)?;
        self.first.resize(self.store.table.capacity_slots(), None);
        self.touched.resize(self.store.table.capacity_slots(), false);
        Ok(slots)
    }

    /// The rows that may be wanted: by number, in order of arrival.
    fn candidates(&self, slots: &[u32], sort_keys: &Encoded) -> Vec<u32> {
        if self.last_arrived {
            return last_of_each(slots);
        }
        let arena = &self.store.arena;
        let is_beyond = |row: u32, slot: u32| {
            self.first[slot as usize].is_some_and(|first| first.is_before(arena, sort_keys.row(row as usize)))
        };
        (0..).zip(slots).filter(|(row, slot)| !is_beyond(*row, **slot)).map(|(row, _)| row).collect()
    }

    /// Takes a row if it comes before the one of its partition, or whenever the last one is wanted.
    fn offer(&mut self, slot: u32, probe: &Probe<'_>) -> Result<()> {
        let at = slot as usize;
        let old = self.first[at];
        let order = old.map_or(Ordering::Greater, |old| old.compare(&self.store.arena, probe));
        if order == Ordering::Equal || (order == Ordering::Less && !self.last_arrived) {
            return Ok(());
        }
        if !std::mem::replace(&mut self.touched[at], true) {
            self.before.push((slot, old));
        } else if let Some(old) = old {
            // It came in this epoch and was never seen.
            self.store.arena.remove(&[old.id])?;
        }
        let id = self.store.arena.push(probe.sort_key, probe.rest)?;
        self.first[at] = Some(probe.entry(id, 1));
        Ok(())
    }

    fn flush(&mut self, context: &mut Context<'_>) -> Result<()> {
        let changed = std::mem::take(&mut self.before);
        let mut gone = Vec::new();
        for &(slot, old) in &changed {
            self.touched[slot as usize] = false;
            let new = self.first[slot as usize];
            gone.extend(old.map(|old| old.id));
            if let (Some(old), Some(new)) = (old, new)
                && old.compare_rows(&self.store.arena, &new) == Ordering::Equal
            {
                // Another one came between two equal ones.
                continue;
            }
            old.iter().for_each(|old| self.changes.retract(slot, &Shown { entry: *old, rank: 1 }));
            new.iter().for_each(|new| self.changes.insert(slot, &Shown { entry: *new, rank: 1 }));
        }
        self.changes.emit(&self.store, &self.output, context)?;
        if let Some(expiry) = &mut self.expiry {
            expiry.touch(changed.iter().map(|(slot, _)| *slot), context.now);
            if expiry.is_due(context.now) {
                let expired = expiry.expired(&self.store.table.live_slots(), context.now);
                context.count_evicted(expired.len());
                gone.extend(expired.iter().filter_map(|&slot| self.first[slot as usize].take()).map(|entry| entry.id));
                self.store.table.remove(&expired);
            }
        }
        self.store.arena.remove(&gone)
    }
}

/// The last row of each slot, by number, ascending.
fn last_of_each(slots: &[u32]) -> Vec<u32> {
    let mut rows: Vec<u32> = (0..).take(slots.len()).collect();
    let slot = |row: u32| slots[row as usize];
    rows.sort_by_key(|row| slot(*row));
    let mut last: Vec<u32> =
        rows.chunk_by(|left, right| slot(*left) == slot(*right)).filter_map(|of| of.last().copied()).collect();
    last.sort_unstable();
    last
}

impl Operator for Dedup {
    fn on_delta(&mut self, _port: usize, delta: Delta, _context: &mut Context<'_>) -> Result<()> {
        if delta.sign != Sign::AppendOnly {
            return Err(EngineError::Internal("retractions into a rank over insertions".into()));
        }
        let slots = self.slots(&delta.batch)?;
        let sort_keys = self.store.layout.sort_keys(&delta.batch)?;
        let candidates = self.candidates(&slots, &sort_keys);
        let only = UInt32Array::from(candidates);
        let few = only.len() * 2 < slots.len();
        let rests = self.store.layout.rests(&delta.batch, few.then_some(&only))?;
        for (at, &row) in only.values().iter().enumerate() {
            let row = row as usize;
            self.offer(slots[row], &Probe::new(sort_keys.row(row), rests.row(if few { at } else { row })))?;
        }
        Ok(())
    }

    fn on_watermark(&mut self, watermark: EventTime, _context: &mut Context<'_>) -> Result<()> {
        self.held.hold(watermark);
        Ok(())
    }

    fn on_barrier(&mut self, _epoch: Epoch, context: &mut Context<'_>) -> Result<()> {
        self.flush(context)?;
        self.held.release(context);
        Ok(())
    }

    fn on_end(&mut self, context: &mut Context<'_>) -> Result<()> {
        self.flush(context)?;
        self.held.release(context);
        Ok(())
    }

    fn snapshot(&self) -> Result<OperatorState> {
        let row = |slot: u32| Some((slot, self.first.get(slot as usize).copied().flatten()?.id));
        let (slots, ids): (Vec<u32>, Vec<u32>) = self.store.table.live_slots().into_iter().filter_map(row).unzip();
        let columns = self.store.decode(&ids, &slots)?;
        Ok(OperatorState { tables: vec![("rows".into(), table_of(columns, ids.len())?)] })
    }

    fn restore(&mut self, state: OperatorState) -> Result<()> {
        let rows = find_table(&state, "rows")?;
        let slots = self.slots(rows)?;
        let (sort_keys, rests) = (self.store.layout.sort_keys(rows)?, self.store.layout.rests(rows, None)?);
        for (row, &slot) in slots.iter().enumerate() {
            self.offer(slot, &Probe::new(sort_keys.row(row), rests.row(row)))?;
        }
        self.before.clear();
        self.touched.fill(false);
        Ok(())
    }
    fn reissue(&mut self) -> Result<()> {
        let live = |slot: &u32| self.first.get(*slot as usize).is_some_and(Option::is_some);
        let slots: Vec<u32> = self.store.table.live_slots().into_iter().filter(live).collect();
        slots.iter().for_each(|&slot| self.touched[slot as usize] = true);
        self.before = slots.into_iter().map(|slot| (slot, None)).collect();
        Ok(())
    }
}
