//! [`Histories`]: of each partition the rows that later frames still reach, and how many rows it had.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array, UInt64Array};
use arrow::datatypes::{Int64Type, SchemaRef, UInt32Type, UInt64Type};

use super::reach::Reach;
use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};
use crate::message::Epoch;
use crate::operators::OperatorState;
use crate::operators::aggregate::{find_table, table_of};
use crate::operators::rank::layout::RowStore;
use crate::operators::told::{Telling, Told};

/// See the module. Only the columns that calls name are kept.
pub(super) struct Histories {
    schema: SchemaRef,
    store: RowStore,
    reach: Reach,
    histories: Vec<History>,
    /// The kept rows, by their numbers in the arena.
    rows: Vec<KeptRow>,
    /// Rows that have been kept so far.
    kept_rows: i64,
    told: Told,
}

/// A row that is kept.
#[derive(Clone, Copy, Default)]
struct KeptRow {
    /// Of its partition.
    slot: u32,
    time: i64,
    /// Its place among all that have been kept: the numbers of the arena are used again.
    place: i64,
}

/// One partition.
#[derive(Default)]
struct History {
    /// Rows and groups of peers so far.
    rows: u64,
    groups: u64,
    /// The rows that are still reached: the first ones of the partition, then the last ones.
    kept: VecDeque<u32>,
}

/// A partition's new rows: their numbers in the batch, in order.
pub(super) struct Arrived<'a> {
    pub(super) slot: u32,
    pub(super) rows: &'a [u32],
    pub(super) groups: u64,
}

impl Histories {
    /// No partitions yet; rows have the columns of `schema`.
    ///
    /// # Errors
    /// Where a column has a type that cannot be kept.
    pub(super) fn new(schema: SchemaRef, reach: Reach) -> Result<Self> {
        let store = RowStore::new(&schema, &[], &[])?;
        let (histories, rows) = (Vec::new(), Vec::new());
        Ok(Self { schema, store, reach, histories, rows, kept_rows: 0, told: Told::default() })
    }

    pub(super) fn resize(&mut self, slots: usize) {
        self.histories.resize_with(slots, History::default);
    }

    /// Rows and groups of peers of a partition so far.
    pub(super) fn counts(&self, slot: u32) -> (u64, u64) {
        self.histories.get(slot as usize).map_or((0, 0), |history| (history.rows, history.groups))
    }

    /// Appends the times and numbers of the rows that are kept of a partition.
    pub(super) fn kept(&self, slot: u32, times: &mut Vec<i64>, ids: &mut Vec<u32>) {
        let Some(history) = self.histories.get(slot as usize) else { return };
        times.extend(history.kept.iter().map(|id| self.rows[*id as usize].time));
        ids.extend(&history.kept);
    }

    /// Keeps a row of a partition.
    fn keep(&mut self, slot: u32, time: i64, row: &[u8]) -> Result<()> {
        let id = self.store.arena.push(&[], row)?;
        if id as usize >= self.rows.len() {
            self.rows.resize(id as usize + 1, KeptRow::default());
        }
        self.rows[id as usize] = KeptRow { slot, time, place: self.kept_rows };
        self.kept_rows += 1;
        self.told.touch([id]);
        self.histories[slot as usize].kept.push_back(id);
        Ok(())
    }

    /// Kept rows.
    ///
    /// # Errors
    /// Where Arrow cannot build a column.
    pub(super) fn decode(&self, ids: &[u32]) -> Result<RecordBatch> {
        let columns = self.store.decode(ids, &vec![0; ids.len()])?;
        let options = RecordBatchOptions::new().with_row_count(Some(ids.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    /// Notes new rows of partitions and drops what no row from `horizon` on reaches.
    ///
    /// # Errors
    /// Where a column is not of its declared type.
    pub(super) fn add(
        &mut self,
        batch: &RecordBatch,
        times: &[i64],
        arrived: &[Arrived<'_>],
        horizon: i64,
    ) -> Result<()> {
        let mut wanted = Vec::new();
        let mut counts = Vec::with_capacity(arrived.len());
        for partition in arrived {
            let history = &mut self.histories[partition.slot as usize];
            let before = wanted.len();
            for (at, &row) in partition.rows.iter().enumerate() {
                let from_end = partition.rows.len() - at;
                if is_reached(self.reach, history.rows + at as u64, from_end, times[row as usize], horizon) {
                    wanted.push(row);
                }
            }
            counts.push(wanted.len() - before);
            history.rows += partition.rows.len() as u64;
            history.groups += partition.groups;
        }
        let wanted = UInt32Array::from(wanted);
        let encoded = self.store.layout.rests(batch, Some(&wanted))?;
        let mut next = 0;
        for (partition, count) in arrived.iter().zip(counts) {
            for at in next..next + count {
                self.keep(partition.slot, times[wanted.value(at) as usize], encoded.row(at))?;
            }
            next += count;
            self.evict(partition.slot, horizon)?;
        }
        Ok(())
    }

    /// Drops the rows of a partition that no row from `horizon` on reaches; tells whether any is left.
    ///
    /// # Errors
    /// Where there are too many rows.
    pub(super) fn evict(&mut self, slot: u32, horizon: i64) -> Result<bool> {
        let history = &mut self.histories[slot as usize];
        let head = self.reach.head as usize;
        while let Some(id) = history.kept.get(head).copied() {
            let time = self.rows[id as usize].time;
            // A row's number is only of interest among the first, which stay.
            if is_reached(self.reach, u64::MAX, history.kept.len() - head, time, horizon) {
                break;
            }
            history.kept.remove(head);
            self.store.arena.remove(&[id])?;
        }
        Ok(!history.kept.is_empty())
    }

    /// Forgets partitions.
    ///
    /// # Errors
    /// As [`Self::evict`].
    pub(super) fn remove(&mut self, slots: &[u32]) -> Result<()> {
        for &slot in slots {
            let history = std::mem::take(&mut self.histories[slot as usize]);
            self.store.arena.remove(&Vec::from(history.kept))?;
        }
        Ok(())
    }

    /// The state: the counts of the partitions of which a checkpoint at `epoch` after that of `base` is told this, and the kept rows,
    /// by the slots of their partitions.
    ///
    /// # Errors
    /// Where Arrow cannot build a table.
    pub(super) fn capture(&mut self, telling: &Telling, epoch: Epoch, base: Option<Epoch>) -> Result<[Table; 2]> {
        let (rows, groups): (Vec<u64>, Vec<u64>) = telling.slots.iter().map(|&slot| self.counts(slot)).unzip();
        let counts: Vec<ArrayRef> = vec![Arc::new(UInt64Array::from(rows)), Arc::new(UInt64Array::from(groups))];
        let counts = telling.table("counts", table_of(counts, telling.slots.len())?);
        let telling = self.told.tell(epoch, base, self.store.arena.live());
        let rows: Vec<KeptRow> = telling.slots.iter().map(|&id| self.rows[id as usize]).collect();
        let ints =
            |of: fn(&KeptRow) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(rows.iter().map(of))) };
        let of = UInt32Array::from_iter_values(rows.iter().map(|row| row.slot));
        let mut kept: Vec<ArrayRef> = vec![Arc::new(of), ints(|row| row.time)];
        kept.extend(self.decode(&telling.slots)?.columns().iter().map(Arc::clone));
        kept.push(ints(|row| row.place));
        Ok([counts, telling.table("kept", table_of(kept, rows.len())?)])
    }

    /// Takes over what [`Self::capture`] told, with places instead of slots, for partitions with these slots.
    ///
    /// # Errors
    /// Where the state is not of these rows.
    pub(super) fn restore(&mut self, state: &OperatorState, slots: &[u32]) -> Result<()> {
        let other_form = || EngineError::Internal("rows of window functions of another form".into());
        let counts = find_table(state, "counts")?;
        let column = |at: usize| counts.columns().get(at).and_then(|column| column.as_primitive_opt::<UInt64Type>());
        let (Some(rows), Some(groups)) = (column(0), column(1)) else { return Err(other_form()) };
        for ((&slot, &rows), &groups) in slots.iter().zip(rows.values()).zip(groups.values()) {
            let history = &mut self.histories[slot as usize];
            (history.rows, history.groups) = (rows, groups);
        }
        let kept = find_table(state, "kept")?;
        let [of, times, columns @ ..] = kept.columns() else { return Err(other_form()) };
        let (Some(of), Some(times)) = (of.as_primitive_opt::<UInt32Type>(), times.as_primitive_opt::<Int64Type>())
        else {
            return Err(other_form());
        };
        let (columns, places) = columns.split_at_checked(self.schema.fields().len()).ok_or_else(other_form)?;
        let mut order: Vec<usize> = (0..kept.num_rows()).collect();
        // Those of earlier releases are in order, and do not say their places.
        if let Some(places) = places.first() {
            let places = places.as_primitive_opt::<Int64Type>().ok_or_else(other_form)?;
            order.sort_by_key(|&row| places.value(row));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(kept.num_rows()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns.to_vec(), &options)?;
        let encoded = self.store.layout.rests(&batch, None)?;
        for row in order {
            let Some(&slot) = slots.get(of.value(row) as usize) else { return Err(other_form()) };
            self.keep(slot, times.value(row), encoded.row(row))?;
        }
        Ok(())
    }
}

/// Whether a row is reached by rows that come at `horizon` or later: the row's number from the partition's start, and the
/// number of rows from it to the last one.
fn is_reached(reach: Reach, from_start: u64, from_end: usize, time: i64, horizon: i64) -> bool {
    let in_range = reach.range.is_some_and(|range| time >= horizon.saturating_sub(range));
    reach.all || from_start < u64::from(reach.head) || from_end <= reach.rows as usize || in_range
}
