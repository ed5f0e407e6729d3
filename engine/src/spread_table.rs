//! [`SpreadTable`]: a hash table that grows a little at a time.
//!
//! A hash table that doubles moves all its entries at once. With millions of entries that takes a tenth of a second and
//! more, for which whoever waits for an epoch waits too. From [`SPLIT`] entries on this table has [`PARTS`] parts, of which
//! the greatest gets twice the entries of the least: they double one after the other, and each is a small share of all.

use hashbrown::HashTable;
use hashbrown::hash_table::{AbsentEntry, OccupiedEntry};

/// Entries from which a table has parts.
const SPLIT: usize = 1 << 15;

/// Number of parts.
const PARTS: usize = 32;

/// Which part gets an entry, by eight bits of its hash.
const PART_OF: [u8; 256] = shares();

/// See the module. The hash of an entry must be the same whenever it is asked for.
pub(crate) struct SpreadTable<T> {
    /// One, or [`PARTS`].
    parts: Vec<HashTable<T>>,
}

impl<T> Default for SpreadTable<T> {
    fn default() -> Self {
        Self { parts: vec![HashTable::new()] }
    }
}

impl<T> SpreadTable<T> {
    /// The entry with this hash for which `same` holds.
    pub(crate) fn find(&self, hash: u64, same: impl FnMut(&T) -> bool) -> Option<&T> {
        self.parts[part_of(hash, self.parts.len())].find(hash, same)
    }

    /// The entry with this hash for which `same` holds, to be changed; its hash may not change.
    pub(crate) fn find_mut(&mut self, hash: u64, same: impl FnMut(&T) -> bool) -> Option<&mut T> {
        let part = part_of(hash, self.parts.len());
        self.parts[part].find_mut(hash, same)
    }

    /// The entry with this hash for which `same` holds, to be taken out.
    ///
    /// # Errors
    /// Where there is none.
    pub(crate) fn find_entry(
        &mut self,
        hash: u64,
        same: impl FnMut(&T) -> bool,
    ) -> Result<OccupiedEntry<'_, T>, AbsentEntry<'_, T>> {
        let part = part_of(hash, self.parts.len());
        self.parts[part].find_entry(hash, same)
    }

    /// Adds an entry that is not there. `hash_of` tells the hash of any entry.
    pub(crate) fn insert_unique(&mut self, hash: u64, entry: T, hash_of: impl Fn(&T) -> u64) {
        if let [whole] = self.parts.as_mut_slice()
            && whole.len() == SPLIT
        {
            let mut parts: Vec<HashTable<T>> = std::iter::repeat_with(HashTable::new).take(PARTS).collect();
            for entry in whole.drain() {
                let hash = hash_of(&entry);
                parts[part_of(hash, PARTS)].insert_unique(hash, entry, &hash_of);
            }
            self.parts = parts;
        }
        let part = part_of(hash, self.parts.len());
        self.parts[part].insert_unique(hash, entry, hash_of);
    }

    /// Entries that there is room for.
    pub(crate) fn capacity(&self) -> usize {
        self.parts.iter().map(HashTable::capacity).sum()
    }
}

/// The place of an entry's part among so many. hashbrown uses the lowest and the highest bits of a hash.
fn part_of(hash: u64, parts: usize) -> usize {
    if parts == 1 { 0 } else { usize::from(PART_OF[usize::from((hash >> 40) as u8)]) }
}

/// Gives each part a share: the first ones 1, the last ones 2, and those between in steps.
const fn shares() -> [u8; 256] {
    let all = PARTS * PARTS + PARTS * (PARTS - 1) / 2;
    let mut table = [0; 256];
    let (mut slot, mut part, mut end) = (0, 0, PARTS);
    while slot < table.len() {
        while end * table.len() <= slot * all {
            part += 1;
            end += PARTS + part;
        }
        table[slot] = part as u8;
        slot += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(value: &u64) -> u64 {
        value.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    #[test]
    fn entries_are_found_before_and_after_the_split() {
        let mut table = SpreadTable::default();
        let count = SPLIT as u64 * 3;
        for value in 0..count {
            table.insert_unique(hash(&value), value, hash);
            let early = value / 2;
            assert_eq!(table.find(hash(&early), |other| *other == early), Some(&early));
        }
        assert_eq!(table.parts.len(), PARTS);
        assert_eq!(table.parts.iter().map(HashTable::len).sum::<usize>() as u64, count);
        for value in (0..count).step_by(2) {
            assert!(
                table.find_entry(hash(&value), |other| *other == value).is_ok_and(|found| found.remove().0 == value)
            );
        }
        for value in 0..count {
            let found = table.find_mut(hash(&value), |other| *other == value).map(|found| *found);
            assert_eq!(found, (value % 2 == 1).then_some(value));
        }
    }

    #[test]
    fn every_part_gets_its_share() {
        let slots = |part: usize| PART_OF.iter().filter(|other| usize::from(**other) == part).count();
        assert!((0..PARTS).all(|part| (5..=11).contains(&slots(part))));
        assert_eq!((0..PARTS).map(slots).sum::<usize>(), 256);
        assert!(slots(PARTS - 1) >= slots(0) * 3 / 2);
    }

    #[test]
    fn no_insertion_moves_many_entries() {
        let mut table = SpreadTable::default();
        let (mut before, mut most) = (0, 0);
        for value in 0..300_000 {
            let capacities: Vec<usize> = table.parts.iter().map(HashTable::capacity).collect();
            table.insert_unique(hash(&value), value, hash);
            let after = table.capacity();
            if after != before && capacities.len() == PARTS {
                let moved = table.parts.iter().zip(&capacities).find(|(part, was)| part.capacity() != **was);
                most = moved.map_or(0, |(part, _)| part.len()).max(most);
            }
            before = after;
        }
        assert!((1..=300_000 / 20).contains(&most), "{most} of 300,000 entries moved at once");
    }
}
