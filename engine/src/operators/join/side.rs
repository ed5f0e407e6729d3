//! [`Side`]: one input of a regular join, with what changed in this epoch.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Int64Type, SchemaRef};

use super::NONE;
use super::identity::{Identity, RowComparison, are_equal, comparators};
use super::store::{Store, keep};
use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};
use crate::message::{Delta, Epoch, Sign};
use crate::operators::aggregate::table_of;
use crate::operators::idle_keys::IdleKeys;
use crate::operators::key_group::row_hashes;
use crate::operators::told::Told;
use crate::time::ProcessingTime;

/// The rows of an input. One that retracts has each distinct row once, with its multiplicity.
pub(super) struct Side {
    pub(super) store: Store,
    /// Multiplicity of each row before this epoch, and its change in this epoch.
    weights: Vec<i32>,
    pending: Vec<i32>,
    /// Rows of the other side that are partners of each row, however often they occur there.
    pub(super) partners: Vec<u32>,
    /// Rows with a change, and rows whose changes came to nothing. Some stand here twice.
    touched: Vec<u32>,
    /// Where rows are retracted.
    identity: Option<Identity>,
    idle: Option<IdleKeys>,
    /// Partners are counted.
    counts: bool,
    /// What checkpoints know of the numbers beside the rows.
    pub(super) told: Told,
}

/// The net changes of an epoch.
pub(super) struct Changes {
    /// Rows that are there less often than before the epoch.
    pub(super) falls: Vec<u32>,
    /// Rows that are there more often.
    pub(super) rises: Vec<u32>,
}

impl Side {
    /// `counts`: the partners of its rows are counted.
    pub(super) fn new(schema: SchemaRef, retracts: bool, ttl_us: Option<i64>, counts: bool) -> Self {
        Self {
            store: Store::new(schema),
            weights: Vec::new(),
            pending: Vec::new(),
            partners: Vec::new(),
            touched: Vec::new(),
            identity: retracts.then(Identity::default),
            idle: ttl_us.map(IdleKeys::new),
            counts,
            told: Told::default(),
        }
    }

    /// Whether rows may be retracted.
    pub(super) fn retracts(&self) -> bool {
        self.identity.is_some()
    }

    /// How often a row was there before this epoch.
    pub(super) fn old(&self, row: u32) -> i64 {
        i64::from(self.weights[row as usize])
    }

    /// How often it is there now.
    pub(super) fn new_weight(&self, row: u32) -> i64 {
        i64::from(self.weights[row as usize]) + i64::from(self.pending[row as usize])
    }

    /// Takes rows in; their change is pending.
    ///
    /// # Errors
    /// Where an input that should not retracts.
    pub(super) fn fold(&mut self, delta: &Delta, slots: &[u32]) -> Result<()> {
        match (self.identity.take(), &delta.sign) {
            (Some(mut identity), _) => {
                let folded = self.fold_signed(delta, slots, &mut identity);
                self.identity = Some(identity);
                folded
            }
            (None, Sign::AppendOnly) => {
                for row in self.store.len()..self.store.len() + slots.len() as u32 {
                    self.touched.push(row);
                }
                let rows = self.weights.len() + slots.len();
                self.weights.resize(rows, 0);
                self.pending.resize(rows, 1);
                self.partners.resize(rows, 0);
                self.store.add(delta.batch.clone(), slots)
            }
            (None, Sign::Retracts(_)) => {
                Err(EngineError::Internal("a retraction on an append-only input of a join".into()))
            }
        }
    }

    /// Adds each change to the row that equals the changed one, or to a new row.
    fn fold_signed(&mut self, delta: &Delta, slots: &[u32], identity: &mut Identity) -> Result<()> {
        let hashes = row_hashes(delta.batch.columns(), delta.rows())?;
        let base = self.store.len();
        // Rows of the batch that become rows of the store.
        let mut fresh: Vec<u32> = Vec::new();
        let mut stored = RowComparison::new(&delta.batch, &self.store.rows);
        let inside = comparators(delta.batch.columns(), &delta.batch)?;
        for (row, &hash) in hashes.iter().enumerate() {
            let mut failed = None;
            let found = identity.find(hash, |other| match other.checked_sub(base) {
                Some(at) => are_equal(&inside, fresh[at as usize] as usize, row),
                None => stored.equal(other, row).unwrap_or_else(|error| {
                    failed = Some(error);
                    false
                }),
            });
            if let Some(error) = failed {
                return Err(error);
            }
            let at = match found {
                Some(at) => at as usize,
                None => {
                    identity.push(hash);
                    fresh.push(row as u32);
                    self.weights.push(0);
                    self.pending.push(0);
                    self.partners.push(0);
                    self.pending.len() - 1
                }
            };
            let pending = &mut self.pending[at];
            if *pending == 0 {
                self.touched.push(at as u32);
            }
            *pending = pending
                .checked_add(if delta.is_retract(row) { -1 } else { 1 })
                .ok_or_else(|| EngineError::Unsupported("over 2^31 equal rows in a join".into()))?;
        }
        let slots: Vec<u32> = fresh.iter().map(|&row| slots[row as usize]).collect();
        // Arrow loses the number of rows without columns.
        let rows = match delta.batch.num_columns() {
            0 => delta.batch.slice(0, fresh.len()),
            _ => take_record_batch(&delta.batch, &UInt32Array::from(fresh))?,
        };
        self.store.add(rows, &slots)
    }

    /// The net changes since the last call of [`Self::settle`].
    ///
    /// # Errors
    /// Where a row was retracted more often than inserted and is not one that was forgotten.
    pub(super) fn changes(&mut self) -> Result<Changes> {
        self.touched.sort_unstable();
        self.touched.dedup();
        let mut changes = Changes { falls: Vec::new(), rises: Vec::new() };
        for &row in &self.touched {
            let at = row as usize;
            if self.weights[at].checked_add(self.pending[at]).is_none_or(|new| new < 0) {
                if self.idle.is_none() {
                    return Err(EngineError::BadRow {
                        message: "an input of a join retracts a row that it has not inserted".into(),
                        hint: None,
                    });
                }
                // The row was idle and is forgotten: what was made of it stays.
                self.pending[at] = -self.weights[at];
            }
            match self.pending[at] {
                0 => {}
                ..0 => changes.falls.push(row),
                1.. => changes.rises.push(row),
            }
        }
        Ok(changes)
    }

    /// Makes the pending changes the state, and forgets the rows that are no more, or that nothing can ever meet.
    /// Slots without rows are added to `emptied`.
    pub(super) fn settle(&mut self, now: ProcessingTime, emptied: &mut Vec<u32>) {
        let mut touched = std::mem::take(&mut self.touched);
        for &row in &touched {
            let at = row as usize;
            self.weights[at] += std::mem::take(&mut self.pending[at]);
            if self.weights[at] == 0 || (self.identity.is_none() && self.store.slot(row) == NONE) {
                self.forget(row, emptied);
            }
        }
        self.told.touch(touched.iter().copied());
        if let Some(idle) = &mut self.idle {
            touched.retain(|row| self.store.is_live(*row));
            idle.touch(&touched, now);
        }
        touched.clear();
        self.touched = touched;
    }

    /// Forgets a row.
    pub(super) fn forget(&mut self, row: u32, emptied: &mut Vec<u32>) {
        if !self.store.is_live(row) {
            return;
        }
        self.weights[row as usize] = 0;
        emptied.extend(self.store.remove(row));
        if let Some(identity) = &mut self.identity {
            identity.remove(row);
        }
    }

    /// Forgets the rows that were idle for too long, and tells how many. Nothing of them is retracted.
    pub(super) fn expire(&mut self, now: ProcessingTime, emptied: &mut Vec<u32>) -> usize {
        let Some(idle) = &mut self.idle else { return 0 };
        let gone = idle.expire(now, |row| self.store.is_live(row));
        gone.iter().for_each(|&row| self.forget(row, emptied));
        gone.len()
    }

    /// Drops dead rows where they are the most.
    ///
    /// # Errors
    /// Where Arrow cannot build a column.
    pub(super) fn compact(&mut self) -> Result<()> {
        let Some(kept) = self.store.compact()? else { return Ok(()) };
        self.told.forget();
        keep(&mut self.weights, &kept);
        keep(&mut self.pending, &kept);
        keep(&mut self.partners, &kept);
        if let Some(identity) = &mut self.identity {
            identity.keep(&kept);
        }
        if let Some(idle) = &mut self.idle {
            *idle = idle.renumbered(&kept);
        }
        Ok(())
    }

    /// The live rows; and for each its multiplicity, its partners and when it was touched, where these are not the same for
    /// all: for a checkpoint at `epoch` after that of `base`, under these names. Nothing is pending.
    ///
    /// # Errors
    /// Where Arrow cannot build a column.
    pub(super) fn capture(&mut self, names: (&str, &str), epoch: Epoch, base: Option<Epoch>) -> Result<Vec<Table>> {
        let mut tables = vec![self.store.table(names.0)];
        if self.has_numbers() {
            let telling = self.told.tell(epoch, base, self.store.live());
            tables.push(telling.table(names.1, self.numbers(&telling.slots)?));
        }
        Ok(tables)
    }

    /// Whether something is to be known of each row: not where each is there once, and nobody counts its partners or looks
    /// when it was touched.
    fn has_numbers(&self) -> bool {
        self.identity.is_some() || self.counts || self.idle.is_some()
    }

    /// What is known of these rows.
    fn numbers(&self, rows: &[u32]) -> Result<RecordBatch> {
        let column = |of: &dyn Fn(usize) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|&row| of(row as usize))))
        };
        let columns = vec![
            column(&|row| i64::from(self.weights[row])),
            column(&|row| i64::from(self.partners[row])),
            column(&|row| self.idle.as_ref().map_or(0, |idle| idle.touched(row))),
        ];
        table_of(columns, rows.len())
    }

    /// Takes over what [`Self::capture`] told, or a part of it. The side is new, or has the parts before.
    ///
    /// # Errors
    /// Where the tables do not fit one another.
    pub(super) fn restore(&mut self, rows: RecordBatch, state: Option<&RecordBatch>, slots: &[u32]) -> Result<()> {
        let wrong = || EngineError::Internal("the state of a join does not fit".into());
        let (first, count) = (self.store.len(), rows.num_rows());
        let mut touched = Vec::new();
        match state {
            Some(state) => {
                let numbers = state.columns().iter().map(|column| column.as_primitive_opt::<Int64Type>());
                let numbers: Vec<&Int64Array> = numbers.collect::<Option<_>>().ok_or_else(wrong)?;
                let [weights, partners, last] = numbers[..] else { return Err(wrong()) };
                for (&weight, &partners) in weights.values().iter().zip(partners.values()) {
                    self.weights.push(i32::try_from(weight).map_err(|_| wrong())?);
                    self.partners.push(u32::try_from(partners).unwrap_or(0));
                }
                touched.extend_from_slice(last.values());
            }
            None if self.has_numbers() => return Err(wrong()),
            None => {
                self.weights.resize(self.weights.len() + count, 1);
                self.partners.resize(self.partners.len() + count, 0);
            }
        }
        if self.weights.len() != first as usize + count || slots.len() != count {
            return Err(wrong());
        }
        self.pending.resize(self.weights.len(), 0);
        if let Some(identity) = &mut self.identity {
            row_hashes(rows.columns(), count)?.into_iter().for_each(|hash| identity.push(hash));
        }
        self.store.add(rows, slots)?;
        if let Some(idle) = &mut self.idle {
            let fresh: Vec<u32> = (first..self.store.len()).collect();
            idle.restore(&fresh, &touched);
        }
        Ok(())
    }

    /// Lets all rows come as if they had not been there.
    pub(super) fn reissue(&mut self) {
        for row in self.store.live_rows() {
            let at = row as usize;
            self.pending[at] += std::mem::take(&mut self.weights[at]);
            self.touched.push(row);
        }
        self.partners.fill(0);
    }
}
