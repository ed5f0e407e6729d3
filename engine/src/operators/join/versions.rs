//! [`Versions`]: the rows of a table by key and by the time they are valid from.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::SchemaRef;

use super::NONE;
use super::identity::RowComparison;
use super::store::{Store, keep};
use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};
use crate::message::{Delta, Epoch, Sign};
use crate::operators::aggregate::table_of;
use crate::operators::event_time::event_times;
use crate::operators::told::Told;

/// The versions of each key.
///
/// A retraction names a version. Where a version of the key is inserted after it in the same epoch, that was an update:
/// the old version stays what was valid before. Else the key is deleted from the time of that version on.
pub(super) struct Versions {
    pub(super) store: Store,
    time_column: usize,
    by_time: BTreeMap<(u32, i64), Version>,
    /// Versions by time, the earliest first. When one is behind the watermark, older ones of its key are not needed.
    expiry: BinaryHeap<Reverse<(i64, u32)>>,
    /// Versions that were retracted in this epoch.
    retracted: Vec<(u32, i64)>,
    /// By row: whether it is a deletion.
    deleted: Vec<bool>,
    /// What checkpoints know of that.
    told: Told,
    watermark: i64,
}

#[derive(Clone, Copy)]
struct Version {
    row: u32,
    validity: Validity,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Validity {
    Valid,
    /// Retracted in this epoch: valid again if a later version comes in it.
    Retracted,
    /// From its time on there is no row.
    Deleted,
}

impl Versions {
    pub(super) fn new(schema: &SchemaRef, time_column: usize) -> Self {
        Self {
            store: Store::new(Arc::clone(schema)),
            time_column,
            by_time: BTreeMap::new(),
            expiry: BinaryHeap::new(),
            retracted: Vec::new(),
            deleted: Vec::new(),
            told: Told::default(),
            watermark: i64::MIN,
        }
    }

    /// Takes changes of the table in. `slots`: of the key of each row. Slots without rows are added to `emptied`.
    ///
    /// # Errors
    /// Where an event time is null.
    pub(super) fn fold(&mut self, delta: &Delta, slots: &[u32], emptied: &mut Vec<u32>) -> Result<()> {
        let times = event_times(&delta.batch, self.time_column)?;
        let first = self.store.len();
        match &delta.sign {
            Sign::AppendOnly => self.store.add(delta.batch.clone(), slots)?,
            Sign::Retracts(retracts) => {
                let inserted = delta.filter(&retracts.iter().map(|retract| Some(!retract)).collect())?;
                let slots = slots.iter().zip(retracts.iter()).filter(|(_, retract)| !retract).map(|(slot, _)| *slot);
                self.store.add(inserted.batch, &slots.collect::<Vec<_>>())?;
            }
        }
        let mut inserted = first..self.store.len();
        self.deleted.resize(inserted.end as usize, false);
        // The rows do not change while the versions do, but the store as a whole does.
        let mut gone = Vec::new();
        let mut stored = RowComparison::new(&delta.batch, &self.store.rows);
        for (row, (&slot, &time)) in slots.iter().zip(times.iter()).enumerate() {
            if delta.is_retract(row) {
                let at = (slot, time);
                if let Some(version) = self.by_time.get_mut(&at)
                    && stored.equal(version.row, row)?
                    && !is_superseded(&self.by_time, at)
                {
                    self.by_time.entry(at).and_modify(|version| version.validity = Validity::Retracted);
                    self.retracted.push(at);
                }
            } else if let Some(new) = inserted.next() {
                let obsolete = time < self.watermark
                    && self.by_time.range((slot, time.saturating_add(1))..(slot, self.watermark)).next().is_some();
                if obsolete {
                    gone.push(new);
                    continue;
                }
                let version = Version { row: new, validity: Validity::Valid };
                gone.extend(self.by_time.insert((slot, time), version).map(|old| old.row));
                if let Some((_, before)) = self.by_time.range_mut((slot, i64::MIN)..(slot, time)).next_back()
                    && before.validity == Validity::Retracted
                {
                    before.validity = Validity::Valid;
                }
                self.expiry.push(Reverse((time, slot)));
            }
        }
        gone.into_iter().for_each(|row| emptied.extend(self.store.remove(row)));
        Ok(())
    }

    /// The last version of a key of those up to `time`, or [`NONE`].
    pub(super) fn valid_at(&self, slot: u32, time: i64) -> u32 {
        if slot == NONE {
            return NONE;
        }
        let found = self.by_time.range((slot, i64::MIN)..=(slot, time)).next_back();
        found.filter(|(_, version)| version.validity == Validity::Valid).map_or(NONE, |(_, version)| version.row)
    }

    /// The epoch is closed: what was retracted and not replaced is deleted.
    pub(super) fn settle(&mut self, emptied: &mut Vec<u32>) {
        for at in std::mem::take(&mut self.retracted) {
            if let Some(version) = self.by_time.get_mut(&at)
                && version.validity == Validity::Retracted
            {
                version.validity = Validity::Deleted;
                self.deleted[version.row as usize] = true;
                self.told.touch([version.row]);
                if at.1 < self.watermark {
                    self.forget_deleted(at, emptied);
                }
            }
        }
    }

    /// Drops versions that no row can meet that is not before the watermark: of each key those older than the newest one
    /// before it.
    pub(super) fn expire(&mut self, watermark: i64, emptied: &mut Vec<u32>) {
        self.watermark = watermark;
        while let Some(&Reverse((time, slot))) = self.expiry.peek()
            && time < watermark
        {
            self.expiry.pop();
            // The slot may belong to another key by now; then its version of that time is as far behind.
            if !self.by_time.contains_key(&(slot, time)) {
                continue;
            }
            while let Some((&older, version)) = self.by_time.range((slot, i64::MIN)..(slot, time)).next() {
                emptied.extend(self.store.remove(version.row));
                self.by_time.remove(&older);
            }
            self.forget_deleted((slot, time), emptied);
        }
    }

    /// Drops a deletion before which nothing is known.
    fn forget_deleted(&mut self, at: (u32, i64), emptied: &mut Vec<u32>) {
        let is_first = self.by_time.range((at.0, i64::MIN)..at).next().is_none();
        if let Some(version) = self.by_time.get(&at)
            && version.validity == Validity::Deleted
            && is_first
        {
            emptied.extend(self.store.remove(version.row));
            self.by_time.remove(&at);
        }
    }

    /// Drops dead rows where they are the most.
    ///
    /// # Errors
    /// Where Arrow cannot build a column.
    pub(super) fn compact(&mut self) -> Result<()> {
        let rows = self.store.len();
        let Some(kept) = self.store.compact()? else { return Ok(()) };
        keep(&mut self.deleted, &kept);
        self.told.forget();
        let mut renumbered = vec![NONE; rows as usize];
        for (new, &old) in (0..).zip(&kept) {
            renumbered[old as usize] = new;
        }
        self.by_time.values_mut().for_each(|version| version.row = renumbered[version.row as usize]);
        Ok(())
    }

    /// The rows of all versions, and whether each is a deletion, for a checkpoint at `epoch` after that of `base`. No epoch is
    /// open.
    ///
    /// # Errors
    /// Where Arrow cannot build a column.
    pub(super) fn capture(&mut self, epoch: Epoch, base: Option<Epoch>) -> Result<[Table; 2]> {
        let telling = self.told.tell(epoch, base, self.store.live());
        let deleted: BooleanArray = telling.slots.iter().map(|&row| Some(self.deleted[row as usize])).collect();
        let deleted = table_of(vec![Arc::new(deleted)], telling.slots.len())?;
        Ok([self.store.table("right"), telling.table("right_deleted", deleted)])
    }

    /// Takes over what [`Self::capture`] told.
    ///
    /// # Errors
    /// Where the tables do not fit one another.
    pub(super) fn restore(
        &mut self,
        rows: RecordBatch,
        state: &RecordBatch,
        slots: &[u32],
        watermark: i64,
    ) -> Result<()> {
        let deleted = state.columns().first().and_then(|column| column.as_boolean_opt());
        let deleted = deleted.filter(|deleted| deleted.len() == rows.num_rows() && deleted.len() == slots.len());
        let deleted =
            deleted.ok_or_else(|| EngineError::Internal("the state of a temporal join does not fit".into()))?;
        self.fold(&Delta::append(rows.clone()), slots, &mut Vec::new())?;
        let times = event_times(&rows, self.time_column)?;
        for ((&slot, &time), _) in
            slots.iter().zip(times.iter()).zip(deleted.values().iter()).filter(|(_, deleted)| *deleted)
        {
            if let Some(version) = self.by_time.get_mut(&(slot, time)) {
                version.validity = Validity::Deleted;
                self.deleted[version.row as usize] = true;
            }
        }
        self.watermark = watermark;
        Ok(())
    }
}

/// Whether a later version of the same key is there: what is retracted after that is history, not a deletion.
fn is_superseded(by_time: &BTreeMap<(u32, i64), Version>, (slot, time): (u32, i64)) -> bool {
    let later = by_time.range((slot, time)..=(slot, i64::MAX)).nth(1);
    later.is_some_and(|(_, version)| version.validity == Validity::Valid)
}
