//! [`Ordered`]: the rows of one partition in order.
//!
//! A list of short blocks of entries: small partitions are one block, and in large ones an insertion moves one block's
//! entries only. An entry has the first bytes of its row, so that most comparisons do not touch the row itself.

use std::cmp::Ordering;

use super::arena::RowArena;

/// Entries after which a block is cut in two.
const BLOCK_ENTRIES: usize = 128;

/// A row and how often it is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// The first 16 bytes, as numbers that compare like them.
    pub(crate) prefix: [u64; 2],
    /// Number of the row in the arena.
    pub(crate) id: u32,
    /// Insertions less retractions. Below 0 where a retraction came before its insertion, in the same epoch.
    pub(crate) count: i32,
}

/// A row that is looked for.
#[derive(Clone, Copy)]
pub(crate) struct Probe<'a> {
    prefix: [u64; 2],
    pub(crate) sort_key: &'a [u8],
    pub(crate) rest: &'a [u8],
}

impl<'a> Probe<'a> {
    pub(crate) fn new(sort_key: &'a [u8], rest: &'a [u8]) -> Self {
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(sort_key.iter().chain(rest)) {
            *to = *from;
        }
        let number = u128::from_be_bytes(bytes);
        // The two halves of the number.
        Self { prefix: [(number >> 64) as u64, number as u64], sort_key, rest }
    }

    /// The entry of this row once it is in the arena.
    pub(crate) fn entry(&self, id: u32, count: i32) -> Entry {
        Entry { prefix: self.prefix, id, count }
    }
}

impl Entry {
    /// How a row stands to a probe.
    pub(crate) fn compare(&self, arena: &RowArena, probe: &Probe<'_>) -> Ordering {
        let rows = || arena.sort_key(self.id).cmp(probe.sort_key).then_with(|| arena.rest(self.id).cmp(probe.rest));
        self.prefix.cmp(&probe.prefix).then_with(rows)
    }

    /// How two rows of a partition stand to each other.
    pub(crate) fn compare_rows(&self, arena: &RowArena, other: &Self) -> Ordering {
        if self.id == other.id {
            return Ordering::Equal;
        }
        let sort_keys = || arena.sort_key(self.id).cmp(arena.sort_key(other.id));
        let rests = || arena.rest(self.id).cmp(arena.rest(other.id));
        self.prefix.cmp(&other.prefix).then_with(sort_keys).then_with(rests)
    }

    /// Whether a sort key is beyond this row's.
    pub(crate) fn is_before(&self, arena: &RowArena, sort_key: &[u8]) -> bool {
        let bytes = (u128::from(self.prefix[0]) << 64 | u128::from(self.prefix[1])).to_be_bytes();
        let common = sort_key.len().min(bytes.len());
        match sort_key[..common].cmp(&bytes[..common]) {
            Ordering::Greater => true,
            Ordering::Less => false,
            Ordering::Equal => sort_key.len() > common && sort_key > arena.sort_key(self.id),
        }
    }

    /// Whether two rows have equal sort keys.
    pub(crate) fn is_peer(&self, arena: &RowArena, other: &Self) -> bool {
        self.id == other.id || arena.sort_key(self.id) == arena.sort_key(other.id)
    }
}

/// See the module. No block is empty.
#[derive(Default)]
pub(crate) struct Ordered {
    blocks: Vec<Vec<Entry>>,
}

/// Block and place in it.
pub(crate) type Position = (usize, usize);

impl Ordered {
    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Where a row is, or where it belongs.
    pub(crate) fn find(&self, arena: &RowArena, probe: &Probe<'_>) -> Result<Position, Position> {
        let starts_after =
            |block: &Vec<Entry>| block.first().is_some_and(|first| first.compare(arena, probe) == Ordering::Greater);
        let block = self.blocks.partition_point(|block| !starts_after(block)).saturating_sub(1);
        let Some(entries) = self.blocks.get(block) else { return Err((0, 0)) };
        match entries.binary_search_by(|entry| entry.compare(arena, probe)) {
            Ok(at) => Ok((block, at)),
            Err(at) => Err((block, at)),
        }
    }

    /// Puts a new entry where [`Self::find`] said that it belongs.
    pub(crate) fn insert(&mut self, (block, at): Position, entry: Entry) {
        let Some(entries) = self.blocks.get_mut(block) else {
            self.blocks.push(vec![entry]);
            return;
        };
        entries.insert(at.min(entries.len()), entry);
        if entries.len() > BLOCK_ENTRIES {
            let tail = entries.split_off(BLOCK_ENTRIES / 2);
            self.blocks.insert(block + 1, tail);
        }
    }

    pub(crate) fn get_mut(&mut self, (block, at): Position) -> Option<&mut Entry> {
        self.blocks.get_mut(block).and_then(|entries| entries.get_mut(at))
    }

    /// Takes out the entry of a position that [`Self::find`] gave.
    pub(crate) fn remove(&mut self, (block, at): Position) -> Option<Entry> {
        let entries = self.blocks.get_mut(block).filter(|entries| at < entries.len())?;
        let entry = entries.remove(at);
        if entries.is_empty() {
            self.blocks.remove(block);
        }
        Some(entry)
    }

    /// The entries just before and at a position.
    pub(crate) fn neighbours(&self, (block, at): Position) -> [Option<&Entry>; 2] {
        let entries = self.blocks.get(block);
        let before = match at.checked_sub(1) {
            Some(at) => entries.and_then(|entries| entries.get(at)),
            None => block.checked_sub(1).and_then(|block| self.blocks.get(block)).and_then(|entries| entries.last()),
        };
        let next = || self.blocks.get(block + 1).and_then(|entries| entries.first());
        [before, entries.and_then(|entries| entries.get(at)).or_else(next)]
    }

    pub(crate) fn last(&self) -> Option<&Entry> {
        self.blocks.last().and_then(|entries| entries.last())
    }

    pub(crate) fn last_mut(&mut self) -> Option<&mut Entry> {
        self.blocks.last_mut().and_then(|entries| entries.last_mut())
    }

    pub(crate) fn pop(&mut self) -> Option<Entry> {
        let entries = self.blocks.last_mut()?;
        let entry = entries.pop();
        if entries.is_empty() {
            self.blocks.pop();
        }
        entry
    }

    /// All entries, the last first.
    pub(crate) fn iter_back(&self) -> impl Iterator<Item = &Entry> {
        self.blocks.iter().rev().flat_map(|entries| entries.iter().rev())
    }

    /// All entries in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.blocks.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number out of a row's number, far from its neighbours'.
    fn scattered(number: u32) -> [u8; 4] {
        (number.wrapping_mul(2_654_435_761) % 10_000).to_be_bytes()
    }

    fn keys(rows: &Ordered, arena: &RowArena) -> Vec<Vec<u8>> {
        rows.iter().map(|entry| [arena.sort_key(entry.id), arena.rest(entry.id)].concat()).collect()
    }

    #[test]
    fn rows_stay_in_order_over_many_blocks() {
        let (mut arena, mut rows, mut expected) = (RowArena::default(), Ordered::default(), Vec::new());
        for number in 0..5_000 {
            // All rows agree in what an entry has of them.
            let (key, rest) = ([[0; 20].as_slice(), &scattered(number)].concat(), number.to_be_bytes());
            let probe = Probe::new(&key, &rest);
            let Err(at) = rows.find(&arena, &probe) else { panic!("{number} was there") };
            rows.insert(at, probe.entry(arena.push(&key, &rest).unwrap(), 1));
            expected.push([&key[..], &rest].concat());
        }
        expected.sort();
        assert_eq!(keys(&rows, &arena), expected);
        assert!(
            rows.iter_back().map(|entry| entry.id).eq(rows
                .iter()
                .map(|entry| entry.id)
                .collect::<Vec<_>>()
                .into_iter()
                .rev())
        );
        for gone in expected.iter().step_by(3) {
            let (key, rest) = gone.split_at(24);
            let at = rows.find(&arena, &Probe::new(key, rest)).unwrap();
            let [before, here] = rows.neighbours(at);
            assert!(before.is_none_or(|before| before.compare(&arena, &Probe::new(key, rest)).is_lt()));
            assert!(here.is_some_and(|here| here.compare(&arena, &Probe::new(key, rest)).is_eq()));
            assert!(rows.remove(at).is_some());
        }
        let kept: Vec<Vec<u8>> =
            expected.iter().enumerate().filter(|(at, _)| at % 3 != 0).map(|(_, row)| row.clone()).collect();
        assert_eq!(keys(&rows, &arena), kept);
        while rows.pop().is_some() {}
        assert!(rows.is_empty());
    }

    #[test]
    fn a_sort_key_is_beyond_a_row_only_where_it_is_greater() {
        let mut arena = RowArena::default();
        for (kept, key, beyond) in [
            (&b"b"[..], &b"b"[..], false),
            (b"b", b"a", false),
            (b"b", b"c", true),
            (b"0123456789abcdefX", b"0123456789abcdefX", false),
            (b"0123456789abcdefX", b"0123456789abcdefW", false),
            (b"0123456789abcdefX", b"0123456789abcdefY", true),
        ] {
            let entry = Probe::new(kept, b"rest").entry(arena.push(kept, b"rest").unwrap(), 1);
            assert_eq!(entry.is_before(&arena, key), beyond, "{key:?} after {kept:?}");
        }
    }
}
