//! [`Ledger`]: what is known of the rows of partitions by their numbers in the arena: their partitions and counts, which of them
//! have left in this epoch, and what checkpoints know of them.

use super::ordered::Entry;
use crate::operators::told::Told;

/// See the module.
#[derive(Default)]
pub(super) struct Ledger {
    /// The slot of the partition of each row, and its count.
    owners: Vec<(u32, i32)>,
    /// Rows that have left; they can still be read.
    gone: Vec<u32>,
    pub(super) told: Told,
}

impl Ledger {
    /// A row has come to a partition.
    pub(super) fn come(&mut self, slot: u32, entry: &Entry) {
        let at = entry.id as usize;
        if at >= self.owners.len() {
            self.owners.resize(at + 1, (0, 0));
        }
        self.owners[at] = (slot, entry.count);
        self.told.touch([entry.id]);
    }

    /// The count of a row has changed.
    pub(super) fn count(&mut self, entry: &Entry) {
        self.owners[entry.id as usize].1 = entry.count;
        self.told.touch([entry.id]);
    }

    /// A row has left its partition.
    pub(super) fn leave(&mut self, id: u32) {
        self.gone.push(id);
    }

    /// The rows that have left since the last call.
    pub(super) fn take_gone(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.gone)
    }

    /// The slots of the partitions of some rows, and their counts.
    pub(super) fn owners(&self, ids: &[u32]) -> (Vec<u32>, Vec<i32>) {
        ids.iter().map(|&id| self.owners[id as usize]).unzip()
    }
}
