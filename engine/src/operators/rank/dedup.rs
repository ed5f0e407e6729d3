//! [`Dedup`]: the first row of each partition in its order, or the last one that arrived, of an input that only inserts;
//! emits the net change at the barrier.
//!
//! The case of one row a partition without an ordered list: a slot has its row, and what it had before the epoch. Of the order
//! only the first bytes of a row's sort key are kept; rows that tie in these are compared column by column.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, DynComparator, RecordBatch, RecordBatchOptions, UInt64Array, make_comparator};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{SortOptions, cast, interleave_record_batch};
use arrow::datatypes::{DataType, Schema, SchemaRef};

use super::expiry::Expiry;
use super::kept::{KeptRows, Place};
use super::layout::RowLayout;
use crate::checkpoint::table::{Rows, Table};
use crate::error::{EngineError, Result};
use crate::message::{BATCH_ROWS, Delta, Epoch, Sign};
use crate::operators::aggregate::table_parts;
use crate::operators::group_table::GroupTable;
use crate::operators::held_watermark::HeldWatermark;
use crate::operators::{Context, Operator, OperatorState};
use crate::plan::{RankEmit, RankSpec};
use crate::time::EventTime;

/// See the module. Output: the input columns, then the rank, which is 1, if asked for.
pub(super) struct Dedup {
    partition: Vec<usize>,
    layout: RowLayout,
    /// All columns but those of the partition, as the order asks: rows that tie in all of them are equal.
    ties: Vec<(usize, SortOptions)>,
    output: SchemaRef,
    /// The last row that arrived is wanted, whatever the order.
    last_arrived: bool,
    table: GroupTable,
    kept: KeptRows,
    /// The first bytes of the sort key of each slot's row.
    prefixes: Vec<u128>,
    touched: Vec<bool>,
    /// The slots that changed in this epoch, and where their rows were before.
    before: Vec<(u32, Option<Place>)>,
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
        let types: Vec<DataType> = spec.partition.iter().map(|&key| input.field(key).data_type().clone()).collect();
        let ordered = order.iter().map(|key| (key.column, SortOptions::new(key.descending, key.nulls_first)));
        let is_rest =
            |column: &usize| !spec.partition.contains(column) && order.iter().all(|key| key.column != *column);
        let rest = (0..input.fields().len()).filter(is_rest).map(|column| (column, SortOptions::default()));
        Ok(Self {
            partition: spec.partition.clone(),
            layout: RowLayout::new(input, &spec.partition, order)?,
            ties: ordered.chain(rest).collect(),
            output,
            last_arrived,
            table: GroupTable::new(&types)?,
            kept: KeptRows::new(input),
            prefixes: Vec::new(),
            touched: Vec::new(),
            before: Vec::new(),
            held: HeldWatermark::default(),
            expiry: spec.ttl_us.map(Expiry::new),
        })
    }

    /// Takes rows in: what is wanted of them is the row of its slot.
    fn arrive(&mut self, batch: &RecordBatch) -> Result<()> {
        let keys: Vec<ArrayRef> = self.partition.iter().map(|&key| Arc::clone(batch.column(key))).collect();
        let mut slots = Vec::new();
        self.table.intern(&keys, batch.num_rows(), &mut slots)?;
        let capacity = self.table.capacity_slots();
        self.kept.resize(capacity);
        self.prefixes.resize(capacity, 0);
        self.touched.resize(capacity, false);
        let batch = self.kept.arrive(batch)?;
        if self.last_arrived {
            last_of_each(&slots).into_iter().for_each(|row| self.take(slots[row as usize], row, 0));
            return Ok(());
        }
        let sort_keys = self.layout.sort_keys(&batch)?;
        let mut ties = Vec::new();
        for (row, &slot) in (0..).zip(&slots) {
            let prefix = prefix_of(sort_keys.row(row as usize));
            let known = self.kept.place(slot).map(|_| self.prefixes[slot as usize]);
            match known.map_or(Ordering::Less, |known| prefix.cmp(&known)) {
                Ordering::Less => self.take(slot, row, prefix),
                Ordering::Equal => ties.push((slot, row, prefix)),
                Ordering::Greater => {}
            }
        }
        self.break_ties(&batch, ties)
    }

    /// A row of the batch that arrived last is that of its slot from now on.
    fn take(&mut self, slot: u32, row: u32, prefix: u128) {
        let at = slot as usize;
        if !std::mem::replace(&mut self.touched[at], true) {
            self.before.push((slot, self.kept.place(slot)));
        } else if let Some(unseen) = self.kept.place(slot) {
            self.kept.kill(unseen);
        }
        self.kept.set(slot, Some(self.kept.arrived(row)));
        self.prefixes[at] = prefix;
    }

    /// Takes those rows of a batch, given by slot and number, that come before the rows which their slots have, though the
    /// first bytes do not tell.
    fn break_ties(&mut self, batch: &RecordBatch, mut ties: Vec<(u32, u32, u128)>) -> Result<()> {
        ties.retain(|(slot, _, prefix)| self.prefixes[*slot as usize] == *prefix);
        if ties.is_empty() {
            return Ok(());
        }
        ties.sort_by_key(|(slot, _, _)| *slot);
        let inside = self.comparators(batch, batch)?;
        let least = |of: &[(u32, u32, u128)]| {
            of.iter().copied().min_by(|left, right| compare(&inside, left.1 as usize, right.1 as usize))
        };
        let least: Vec<_> = ties.chunk_by(|left, right| left.0 == right.0).filter_map(least).collect();
        let places: Vec<Place> = least.iter().filter_map(|(slot, _, _)| self.kept.place(*slot)).collect();
        let against = self.comparators(batch, &self.kept.gather(&places)?)?;
        for (other, (slot, row, prefix)) in least.into_iter().enumerate() {
            if compare(&against, row as usize, other) == Ordering::Less {
                self.take(slot, row, prefix);
            }
        }
        Ok(())
    }

    fn comparators(&self, left: &RecordBatch, right: &RecordBatch) -> Result<Vec<DynComparator>> {
        let of = |(column, options): &(usize, SortOptions)| {
            Ok(make_comparator(left.column(*column), right.column(*column), *options)?)
        };
        self.ties.iter().map(of).collect()
    }

    fn flush(&mut self, context: &mut Context<'_>) -> Result<()> {
        let changed = std::mem::take(&mut self.before);
        changed.iter().for_each(|(slot, _)| self.touched[*slot as usize] = false);
        let (mut updated, mut new) = (Vec::new(), Vec::new());
        for &(slot, old) in &changed {
            match old {
                Some(old) => updated.push((slot, old)),
                None => new.push(slot),
            }
        }
        for part in updated.chunks(BATCH_ROWS / 2) {
            self.update(part, context)?;
        }
        for slots in new.chunks(BATCH_ROWS) {
            let places = self.places(slots);
            let rows = self.kept.gather(&places)?;
            context.emit(Delta::append(self.output(&rows)?));
            // Rows that come out once more were in pieces.
            places.into_iter().for_each(|place| self.kept.kill(place));
            self.kept.keep(rows, slots.to_vec());
        }
        self.expire(&changed, context);
        self.kept.settle()
    }

    /// Emits old and new rows of slots that had one, the old row just before the new one, and keeps the new ones.
    fn update(&mut self, part: &[(u32, Place)], context: &mut Context<'_>) -> Result<()> {
        let (mut slots, mut old): (Vec<u32>, Vec<Place>) = part.iter().copied().unzip();
        let (mut gone, mut rows) = (self.kept.gather(&old)?, self.kept.gather(&self.places(&slots))?);
        if self.last_arrived {
            // Another one may have come between two equal ones, or none. In an order the new row is another one.
            let equal = self.comparators(&gone, &rows)?;
            let (same, differ): (Vec<usize>, Vec<usize>) =
                (0..slots.len()).partition(|row| compare(&equal, *row, *row) == Ordering::Equal);
            same.iter().for_each(|&row| self.kept.set(slots[row], Some(old[row])));
            if !same.is_empty() {
                (slots, old) = differ.iter().map(|&row| (slots[row], old[row])).unzip();
                (gone, rows) = (self.kept.gather(&old)?, self.kept.gather(&self.places(&slots))?);
            }
        }
        if slots.is_empty() {
            return Ok(());
        }
        let pairs: Vec<(usize, usize)> = (0..slots.len()).flat_map(|row| [(0, row), (1, row)]).collect();
        let both = interleave_record_batch(&[&gone, &rows], &pairs)?;
        let retracts: BooleanBuffer = (0..pairs.len()).map(|row| row % 2 == 0).collect();
        context.emit(Delta::signed(self.output(&both)?, retracts));
        old.into_iter().for_each(|old| self.kept.kill(old));
        self.kept.keep(rows, slots);
        Ok(())
    }

    /// Forgets the partitions whose time is over.
    fn expire(&mut self, changed: &[(u32, Option<Place>)], context: &mut Context<'_>) {
        let Some(expiry) = &mut self.expiry else { return };
        expiry.touch(changed.iter().map(|(slot, _)| *slot), context.now);
        if !expiry.is_due(context.now) {
            return;
        }
        let expired = expiry.expired(&self.table.live_slots(), context.now);
        context.count_evicted(expired.len());
        for &slot in &expired {
            if let Some(place) = self.kept.place(slot) {
                self.kept.kill(place);
            }
            self.kept.set(slot, None);
        }
        self.table.remove(&expired);
    }

    fn places(&self, slots: &[u32]) -> Vec<Place> {
        slots.iter().filter_map(|&slot| self.kept.place(slot)).collect()
    }

    /// Rows as they are emitted.
    fn output(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = rows.columns().to_vec();
        if let Some(field) = self.output.fields().get(columns.len()) {
            let ranks: ArrayRef = Arc::new(UInt64Array::from(vec![1; rows.num_rows()]));
            columns.push(cast(&ranks, field.data_type())?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.output), columns, &options)?)
    }
}

/// The first bytes of a sort key, as a number that compares like them.
fn prefix_of(sort_key: &[u8]) -> u128 {
    let mut bytes = [0; size_of::<u128>()];
    bytes.iter_mut().zip(sort_key).for_each(|(to, from)| *to = *from);
    u128::from_be_bytes(bytes)
}

fn compare(comparators: &[DynComparator], left: usize, right: usize) -> Ordering {
    comparators.iter().map(|compare| compare(left, right)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
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
        self.arrive(&delta.batch)
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

    fn capture(&mut self, _epoch: Epoch, _base: Option<Epoch>) -> Result<Vec<Table>> {
        let (schema, rows) = (Arc::clone(self.kept.schema()), Rows::Pieces(self.kept.pieces()));
        Ok(vec![Table { name: "rows".into(), schema, rows }])
    }

    fn restore(&mut self, state: OperatorState) -> Result<()> {
        for rows in table_parts(&state, "rows") {
            self.arrive(rows)?;
        }
        let slots: Vec<u32> = std::mem::take(&mut self.before).into_iter().map(|(slot, _)| slot).collect();
        self.touched.fill(false);
        for slots in slots.chunks(BATCH_ROWS) {
            let rows = self.kept.gather(&self.places(slots))?;
            self.kept.keep(rows, slots.to_vec());
        }
        self.kept.settle()
    }

    fn reissue(&mut self) -> Result<()> {
        let mut slots = self.table.live_slots();
        slots.retain(|&slot| self.kept.place(slot).is_some());
        slots.iter().for_each(|&slot| self.touched[slot as usize] = true);
        self.before = slots.into_iter().map(|slot| (slot, None)).collect();
        Ok(())
    }
}
