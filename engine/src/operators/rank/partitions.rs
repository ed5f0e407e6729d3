//! [`Partitions`]: the rows of all partitions in order, as far as they can still come out.
//!
//! Where the input only inserts, rows beyond the last rank are dropped, and mostly refused before they are encoded:
//! their sort keys are compared with the last kept row's. What leaves in an epoch stays readable until
//! [`Partitions::release`], for those who compare with the state before.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Array, RecordBatch, UInt32Array};
use arrow::datatypes::Schema;

use super::arena::RowArena;
use super::layout::{Encoded, RowStore};
use super::ledger::Ledger;
use super::ordered::{Entry, Ordered, Probe};
use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};
use crate::message::{Delta, Epoch};
use crate::operators::aggregate::table_of;
use crate::plan::{RankFunction, SortKey};

/// Which rows of a partition are wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ranks {
    pub(crate) function: RankFunction,
    /// From 1, both inclusive.
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// See the module.
pub(crate) struct Partitions {
    store: RowStore,
    rows: Vec<Partition>,
    /// The rows by number, and those that left in this epoch.
    ledger: Ledger,
    /// Rows beyond these ranks are dropped. `None`: all rows are kept, for the input retracts.
    bound: Option<Ranks>,
}

/// The rows of one partition.
#[derive(Default)]
struct Partition {
    rows: Ordered,
    /// Number of rows.
    count: i64,
    /// Number of different sort keys; kept for a bounded dense rank only.
    peer_groups: u64,
}

/// A row that is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown {
    pub(crate) entry: Entry,
    pub(crate) rank: u64,
}

impl Partitions {
    /// No partitions yet, for rows of `input`.
    ///
    /// # Errors
    /// Where a column has a type that cannot be compared.
    pub(crate) fn new(input: &Schema, partition: &[usize], order: &[SortKey], bound: Option<Ranks>) -> Result<Self> {
        let store = RowStore::new(input, partition, order)?;
        Ok(Self { store, rows: Vec::new(), ledger: Ledger::default(), bound })
    }

    /// The slots of all partitions.
    pub(crate) fn live_slots(&self) -> Vec<u32> {
        self.store.table.live_slots()
    }

    pub(crate) fn store(&self) -> &RowStore {
        &self.store
    }

    /// Whether a partition has no row.
    pub(crate) fn is_empty(&self, slot: u32) -> bool {
        self.rows.get(slot as usize).is_none_or(|partition| partition.rows.is_empty())
    }

    /// Places rows in their partitions. `accept` is told the partition's slot and the row's number before each change, and
    /// may refuse it; rows beyond the last one kept it is not told of.
    ///
    /// # Errors
    /// Where a column is not of its declared type.
    pub(crate) fn apply(&mut self, delta: &Delta, mut accept: impl FnMut(&Self, u32, usize) -> bool) -> Result<()> {
        let batch = &delta.batch;
        let slots = self.slots(batch)?;
        let sort_keys = self.store.layout.sort_keys(batch)?;
        let candidates = self.candidates(&slots, &sort_keys)?;
        // Few survivors are gathered first, so that the others are not encoded.
        let few = candidates.len() * 2 < batch.num_rows();
        let only = few.then(|| UInt32Array::from(candidates.clone()));
        let rests = self.store.layout.rests(batch, only.as_ref())?;
        for (at, &row) in candidates.iter().enumerate() {
            let row = row as usize;
            let slot = slots[row];
            if accept(self, slot, row) {
                let probe = Probe::new(sort_keys.row(row), rests.row(if few { at } else { row }));
                self.change(slot, &probe, if delta.is_retract(row) { -1 } else { 1 })?;
            }
        }
        Ok(())
    }

    /// The slots of rows; new ones are empty.
    fn slots(&mut self, batch: &RecordBatch) -> Result<Vec<u32>> {
        let slots = self.store.slots(batch)?;
        self.rows.resize_with(self.store.table.capacity_slots(), Partition::default);
        Ok(slots)
    }

    /// The slots of keys; new ones are empty.
    ///
    /// # Errors
    /// Where a column is not of its declared type.
    pub(crate) fn intern(&mut self, keys: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
        let mut slots = Vec::new();
        self.store.table.intern(keys, rows, &mut slots)?;
        self.rows.resize_with(self.store.table.capacity_slots(), Partition::default);
        Ok(slots)
    }

    /// The rows that are not beyond the last one kept.
    fn candidates(&self, slots: &[u32], sort_keys: &Encoded) -> Result<Vec<u32>> {
        let rows = u32::try_from(slots.len()).map_err(|_| EngineError::Internal("a batch of 2^32 rows".into()))?;
        let Some(bound) = self.bound else { return Ok((0..rows).collect()) };
        let keep = |row: &u32| !self.is_beyond(bound, slots[*row as usize], sort_keys.row(*row as usize));
        Ok((0..rows).filter(keep).collect())
    }

    fn is_beyond(&self, bound: Ranks, slot: u32, sort_key: &[u8]) -> bool {
        let partition = &self.rows[slot as usize];
        partition.is_full(bound)
            && partition.rows.last().is_some_and(|last| last.is_before(&self.store.arena, sort_key))
    }

    /// Adds to the count of a row.
    ///
    /// # Errors
    /// Where there are too many rows.
    pub(crate) fn change(&mut self, slot: u32, probe: &Probe<'_>, by: i32) -> Result<()> {
        let partition = &mut self.rows[slot as usize];
        partition.count += i64::from(by);
        match partition.rows.find(&self.store.arena, probe) {
            Ok(at) => {
                if let Some(entry) = partition.rows.get_mut(at) {
                    entry.count = entry.count.saturating_add(by);
                    self.ledger.count(entry);
                    if entry.count == 0 {
                        self.ledger.leave(entry.id);
                        partition.rows.remove(at);
                    }
                }
            }
            Err(at) => {
                let entry = probe.entry(self.store.arena.push(probe.sort_key, probe.rest)?, by);
                self.ledger.come(slot, &entry);
                if self.bound.is_some_and(|bound| bound.function == RankFunction::DenseRank) {
                    let mut neighbours = partition.rows.neighbours(at).into_iter().flatten();
                    let has_peer = neighbours.any(|other| other.is_peer(&self.store.arena, &entry));
                    partition.peer_groups += u64::from(!has_peer);
                }
                partition.rows.insert(at, entry);
            }
        }
        if let Some(bound) = self.bound {
            partition.truncate(&self.store.arena, bound, probe.sort_key, &mut self.ledger);
        }
        Ok(())
    }

    /// Appends the wanted rows of a partition, in order. `each_copy`: a row that is there often comes as often.
    pub(crate) fn show(&self, slot: u32, ranks: Ranks, each_copy: bool, shown: &mut Vec<Shown>) {
        let partition = &self.rows[slot as usize];
        let (mut position, mut rank, mut peers) = (0_u64, 0_u64, None::<Entry>);
        for entry in partition.rows.iter() {
            // Taken back more often than it came: its insertion was forgotten with its partition.
            let Ok(copies) = u64::try_from(entry.count) else { continue };
            match ranks.function {
                RankFunction::RowNumber => {
                    let (first, last) = (position + 1, position + copies);
                    let (first, last) = (first.max(ranks.from), last.min(ranks.to));
                    if first <= last && each_copy {
                        shown.extend((first..=last).map(|rank| Shown { entry: Entry { count: 1, ..*entry }, rank }));
                    } else if first <= last {
                        let count = i32::try_from(last - first + 1).unwrap_or(i32::MAX);
                        shown.push(Shown { entry: Entry { count, ..*entry }, rank: first });
                    }
                }
                RankFunction::Rank | RankFunction::DenseRank => {
                    if peers.is_none_or(|peer| !peer.is_peer(&self.store.arena, entry)) {
                        peers = Some(*entry);
                        rank = if ranks.function == RankFunction::Rank { position + 1 } else { rank + 1 };
                    }
                    if rank >= ranks.from && rank <= ranks.to {
                        shown.push(Shown { entry: *entry, rank });
                    }
                }
            }
            position += copies;
            if is_done(ranks, position, rank) {
                break;
            }
        }
    }

    /// Drops the rows of partitions.
    pub(crate) fn clear(&mut self, slots: &[u32]) {
        for &slot in slots {
            let partition = std::mem::take(&mut self.rows[slot as usize]);
            partition.rows.iter().for_each(|entry| self.ledger.leave(entry.id));
        }
    }

    /// Forgets partitions with all their rows.
    pub(crate) fn remove(&mut self, slots: &[u32]) {
        self.clear(slots);
        self.store.table.remove(slots);
    }

    /// Gives back the memory of rows that left.
    ///
    /// # Errors
    /// Where there are too many rows.
    pub(crate) fn release(&mut self) -> Result<()> {
        self.store.arena.remove(&self.ledger.take_gone())
    }

    /// All rows and their counts, in the order of their numbers, for a checkpoint at `epoch` after that of `base`, under this name.
    /// What left is released.
    ///
    /// # Errors
    /// Where Arrow cannot build a column.
    pub(crate) fn capture(&mut self, name: &str, epoch: Epoch, base: Option<Epoch>) -> Result<Table> {
        let telling = self.ledger.told.tell(epoch, base, self.store.arena.live());
        Ok(telling.table(name, self.table(&telling.slots)?))
    }

    fn table(&self, ids: &[u32]) -> Result<RecordBatch> {
        let (slots, counts) = self.ledger.owners(ids);
        let mut columns = self.store.decode(ids, &slots)?;
        columns.push(Arc::new(Int32Array::from(counts)));
        table_of(columns, ids.len())
    }

    /// Takes over what [`Self::capture`] told; gives the slot of each row.
    ///
    /// # Errors
    /// Where the state is not of these rows.
    pub(crate) fn restore(&mut self, state: &RecordBatch) -> Result<Vec<u32>> {
        let Some(counts) = state.columns().last().and_then(|column| column.as_any().downcast_ref::<Int32Array>())
        else {
            return Err(EngineError::Internal("kept rows without their counts".into()));
        };
        let slots = self.slots(state)?;
        let (sort_keys, rests) = (self.store.layout.sort_keys(state)?, self.store.layout.rests(state, None)?);
        for (row, (&slot, &count)) in slots.iter().zip(counts.values()).enumerate() {
            self.change(slot, &Probe::new(sort_keys.row(row), rests.row(row)), count)?;
        }
        Ok(slots)
    }
}

/// Whether no row after this one can have a wanted rank.
fn is_done(ranks: Ranks, position: u64, rank: u64) -> bool {
    match ranks.function {
        RankFunction::RowNumber => position >= ranks.to,
        // A peer of the last one may follow: only a rank beyond says that none does.
        RankFunction::Rank | RankFunction::DenseRank => rank > ranks.to,
    }
}

impl Partition {
    /// Whether a row beyond the last one has no wanted rank.
    fn is_full(&self, bound: Ranks) -> bool {
        match bound.function {
            RankFunction::RowNumber | RankFunction::Rank => {
                u64::try_from(self.count).is_ok_and(|count| count >= bound.to)
            }
            RankFunction::DenseRank => self.peer_groups >= bound.to,
        }
    }

    /// Drops rows beyond the last rank, after a row with this sort key came.
    fn truncate(&mut self, arena: &RowArena, bound: Ranks, sort_key: &[u8], ledger: &mut Ledger) {
        let to = i64::try_from(bound.to).unwrap_or(i64::MAX);
        match bound.function {
            RankFunction::RowNumber => {
                while self.count > to {
                    let excess = i32::try_from(self.count - to).unwrap_or(i32::MAX);
                    match self.rows.last_mut() {
                        Some(last) if last.count > excess => {
                            last.count -= excess;
                            ledger.count(last);
                            self.count -= i64::from(excess);
                        }
                        Some(_) => self.drop_last(ledger),
                        None => return,
                    }
                }
            }
            RankFunction::Rank => {
                if self.count > to && !self.joined_last_peers(arena, sort_key) {
                    while !self.rows.is_empty() && self.count - self.last_peers(arena) >= to {
                        self.drop_last_peers(arena, ledger);
                    }
                }
            }
            RankFunction::DenseRank => {
                if self.peer_groups > bound.to {
                    self.drop_last_peers(arena, ledger);
                }
            }
        }
    }

    /// Whether a new row with this sort key is one of several last peers: then it moved no rank.
    fn joined_last_peers(&self, arena: &RowArena, sort_key: &[u8]) -> bool {
        let mut back = self.rows.iter_back();
        let is_peer = |entry: &Entry| arena.sort_key(entry.id) == sort_key;
        back.next().is_some_and(|last| is_peer(last) && (last.count > 1 || back.next().is_some_and(is_peer)))
    }

    /// Number of rows with the last sort key.
    fn last_peers(&self, arena: &RowArena) -> i64 {
        let Some(last) = self.rows.last() else { return 0 };
        let peers = self.rows.iter_back().take_while(|entry| entry.is_peer(arena, last));
        peers.map(|entry| i64::from(entry.count)).sum()
    }

    fn drop_last_peers(&mut self, arena: &RowArena, ledger: &mut Ledger) {
        let Some(last) = self.rows.last().copied() else { return };
        while self.rows.last().is_some_and(|entry| entry.is_peer(arena, &last)) {
            self.drop_last(ledger);
        }
        self.peer_groups = self.peer_groups.saturating_sub(1);
    }

    fn drop_last(&mut self, ledger: &mut Ledger) {
        if let Some(entry) = self.rows.pop() {
            self.count -= i64::from(entry.count);
            ledger.leave(entry.id);
        }
    }
}
