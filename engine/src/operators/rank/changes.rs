//! [`Changes`]: the rows that a rank emits, gathered over partitions and then built batch by batch.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBufferBuilder, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;

use super::layout::RowStore;
use super::partitions::Shown;
use crate::error::Result;
use crate::message::{BATCH_ROWS, Delta};
use crate::operators::Context;

/// How old and new rows of a partition are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    /// By the row: the rank does not come out.
    Row,
    /// By the row, and it changes with its rank: several rows may have one rank.
    RowAndRank,
    /// By the number, which one row has.
    Number,
}

/// See the module.
#[derive(Default)]
pub(super) struct Changes {
    rows: Vec<Change>,
    /// Insertions that wait for the retractions of their partition.
    insertions: Vec<Change>,
}

#[derive(Clone, Copy)]
struct Change {
    id: u32,
    slot: u32,
    rank: u64,
    retracts: bool,
}

impl Changes {
    /// Adds a row that comes, as often as it is there.
    pub(super) fn insert(&mut self, slot: u32, shown: &Shown) {
        push(&mut self.rows, slot, shown, shown.entry.count, false);
    }

    /// Adds what makes the rows of a partition from `before` to `after`, both in order.
    pub(super) fn compare(&mut self, store: &RowStore, slot: u32, before: &[Shown], after: &[Shown], by: Identity) {
        let arena = &store.arena;
        let rows = |old: &Shown, new: &Shown| old.entry.compare_rows(arena, &new.entry);
        let (mut before, mut after) = (before.iter().peekable(), after.iter().peekable());
        loop {
            let order = match (before.peek(), after.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) if by == Identity::Number => old.rank.cmp(&new.rank),
                (Some(old), Some(new)) => rows(old, new),
            };
            let old = if order.is_le() { before.next() } else { None };
            let new = if order.is_ge() { after.next() } else { None };
            match (old, new, by) {
                (Some(old), Some(new), Identity::Number) => {
                    if rows(old, new).is_ne() {
                        push(&mut self.rows, slot, old, 1, true);
                        push(&mut self.insertions, slot, new, 1, false);
                    }
                }
                (Some(old), Some(new), Identity::RowAndRank) if old.rank != new.rank => {
                    push(&mut self.rows, slot, old, old.entry.count, true);
                    push(&mut self.insertions, slot, new, new.entry.count, false);
                }
                (Some(old), Some(new), Identity::Row | Identity::RowAndRank) => {
                    push(&mut self.rows, slot, old, old.entry.count - new.entry.count, true);
                    push(&mut self.insertions, slot, new, new.entry.count - old.entry.count, false);
                }
                (old, new, _) => {
                    old.iter().for_each(|old| push(&mut self.rows, slot, old, old.entry.count, true));
                    new.iter().for_each(|new| push(&mut self.insertions, slot, new, new.entry.count, false));
                }
            }
        }
        self.rows.append(&mut self.insertions);
    }

    /// Emits all that was added; with the rank as last column where the output has one.
    ///
    /// # Errors
    /// Where Arrow cannot build a column.
    pub(super) fn emit(&mut self, store: &RowStore, output: &SchemaRef, context: &mut Context<'_>) -> Result<()> {
        for rows in self.rows.chunks(BATCH_ROWS) {
            let ids: Vec<u32> = rows.iter().map(|change| change.id).collect();
            let slots: Vec<u32> = rows.iter().map(|change| change.slot).collect();
            let mut columns = store.decode(&ids, &slots)?;
            if let Some(field) = output.fields().get(columns.len()) {
                let ranks: ArrayRef = Arc::new(UInt64Array::from_iter_values(rows.iter().map(|change| change.rank)));
                columns.push(cast(&ranks, field.data_type())?);
            }
            let mut retracts = BooleanBufferBuilder::new(rows.len());
            rows.iter().for_each(|change| retracts.append(change.retracts));
            let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
            let batch = RecordBatch::try_new_with_options(Arc::clone(output), columns, &options)?;
            context.emit(Delta::signed(batch, retracts.finish()));
        }
        self.rows.clear();
        Ok(())
    }
}

fn push(to: &mut Vec<Change>, slot: u32, shown: &Shown, copies: i32, retracts: bool) {
    let change = Change { id: shown.entry.id, slot, rank: shown.rank, retracts };
    to.extend(std::iter::repeat_n(change, usize::try_from(copies).unwrap_or(0)));
}
