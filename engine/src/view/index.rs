//! [`Index`]: finds the rows of a [`ViewStore`](super::ViewStore) by key.
//!
//! Rows of equal keys are told apart by an ordinal, and each is indexed under its key and ordinal. So every entry is
//! found in constant time however many copies of a row there are.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::row::{RowConverter, Rows, SortField};
use xxhash_rust::xxh3::xxh3_64;

use super::store::Chunk;
use crate::error::{EngineError, Result};
use crate::spread_table::SpreadTable;

/// Spreads ordinals over the hashes.
const ORDINAL_FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// The keys of a chunk's rows.
pub(super) struct Keys {
    rows: Rows,
    /// Which of the rows with this key it is, from 0.
    ordinals: Vec<u32>,
}

/// Where a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) chunk: u64,
    pub(super) row: u32,
}

/// An entry of the table.
struct Entry {
    hash: u64,
    place: Place,
    /// At ordinal 0: number of rows with this key.
    copies: u32,
}

/// See the module.
pub(super) struct Index {
    columns: Vec<usize>,
    converter: RowConverter,
    entries: SpreadTable<Entry>,
}

impl Place {
    pub(super) fn new(chunk: u64, row: usize) -> Self {
        Self { chunk, row: u32::try_from(row).unwrap_or(u32::MAX) }
    }
}

impl Keys {
    pub(super) fn ordinal(&self, row: usize) -> u32 {
        self.ordinals.get(row).copied().unwrap_or(0)
    }

    /// The key of a row as bytes that are equal where keys are.
    pub(super) fn bytes(&self, row: usize) -> &[u8] {
        if row < self.rows.num_rows() { self.rows.row(row).data() } else { &[] }
    }
}

impl Index {
    /// An empty index over these columns.
    ///
    /// # Errors
    /// Where a column has a type that cannot be compared.
    pub(super) fn new(schema: &Schema, columns: &[usize]) -> Result<Self> {
        let field =
            |column: &usize| schema.fields().get(*column).map(|field| SortField::new(field.data_type().clone()));
        let fields = columns.iter().map(field).collect::<Option<Vec<_>>>();
        let fields = fields.ok_or_else(|| EngineError::Internal("a key column that is not there".into()))?;
        Ok(Self { columns: columns.to_vec(), converter: RowConverter::new(fields)?, entries: SpreadTable::default() })
    }

    /// The keys of all rows, each with ordinal 0.
    ///
    /// # Errors
    /// Where Arrow cannot encode them.
    pub(super) fn keys(&self, batch: &RecordBatch) -> Result<Keys> {
        let columns: Vec<_> = self.columns.iter().map(|column| Arc::clone(batch.column(*column))).collect();
        let rows = self.converter.convert_columns(&columns)?;
        Ok(Keys { rows, ordinals: vec![0; batch.num_rows()] })
    }

    /// Adds a row of chunk `id`, which is not among `chunks` yet.
    pub(super) fn insert(&mut self, chunks: &HashMap<u64, Chunk>, id: u64, fresh: &mut Chunk, row: usize) {
        let Some(key) = fresh.keys.as_ref().map(|keys| keys.bytes(row)) else { return };
        let base = xxh3_64(key);
        let place = Place::new(id, row);
        let ordinal = {
            let known = Known { chunks, id, fresh };
            match self.entries.find_mut(base, |entry| known.is(entry, base, key, 0)) {
                None => 0,
                Some(first) => {
                    first.copies += 1;
                    first.copies - 1
                }
            }
        };
        let hash = hash(base, ordinal);
        self.entries.insert_unique(hash, Entry { hash, place, copies: 1 }, |entry| entry.hash);
        if let Some(slot) = fresh.keys.as_mut().and_then(|keys| keys.ordinals.get_mut(row)) {
            *slot = ordinal;
        }
    }

    /// Puts a row of chunk `id`, which is not among `chunks` yet, in the place of the one row of its key; tells where that
    /// stands. `None` where there is none: nothing is done.
    pub(super) fn replace(
        &mut self,
        chunks: &HashMap<u64, Chunk>,
        id: u64,
        fresh: &Chunk,
        row: usize,
    ) -> Option<Place> {
        let key = fresh.keys.as_ref()?.bytes(row);
        let (base, known) = (xxh3_64(key), Known { chunks, id, fresh });
        let entry = self.entries.find_mut(base, |entry| known.is(entry, base, key, 0))?;
        Some(std::mem::replace(&mut entry.place, Place::new(id, row)))
    }

    /// Number of rows with a key.
    pub(super) fn copies(&self, chunks: &HashMap<u64, Chunk>, id: u64, fresh: &Chunk, key: &[u8]) -> u32 {
        let (base, known) = (xxh3_64(key), Known { chunks, id, fresh });
        self.entries.find(base, |entry| known.is(entry, base, key, 0)).map_or(0, |first| first.copies)
    }

    /// Where the row of a key with this ordinal stands.
    pub(super) fn place(
        &self,
        chunks: &HashMap<u64, Chunk>,
        (id, fresh): (u64, &Chunk),
        key: &[u8],
        ordinal: u32,
    ) -> Option<Place> {
        let (hash, known) = (hash(xxh3_64(key), ordinal), Known { chunks, id, fresh });
        self.entries.find(hash, |entry| known.is(entry, hash, key, ordinal)).map(|entry| entry.place)
    }

    /// Takes a row of a key out: the one with that ordinal, of so many; tells where it stands. The last one gets its
    /// ordinal.
    pub(super) fn remove(
        &mut self,
        chunks: &mut HashMap<u64, Chunk>,
        (id, fresh): (u64, &mut Chunk),
        key: &[u8],
        (ordinal, copies): (u32, u32),
    ) -> Option<Place> {
        let (base, last) = (xxh3_64(key), copies.checked_sub(1)?);
        let place = {
            let known = Known { chunks, id, fresh };
            self.entries.find_mut(base, |entry| known.is(entry, base, key, 0))?.copies = last;
            let hash = hash(base, last);
            self.entries.find_entry(hash, |entry| known.is(entry, hash, key, last)).ok()?.remove().0.place
        };
        if ordinal == last {
            return Some(place);
        }
        let freed = {
            let known = Known { chunks, id, fresh };
            let hash = hash(base, ordinal);
            let entry = self.entries.find_mut(hash, |entry| known.is(entry, hash, key, ordinal))?;
            std::mem::replace(&mut entry.place, place)
        };
        let chunk = if place.chunk == id { Some(fresh) } else { chunks.get_mut(&place.chunk) };
        let ordinals = chunk.and_then(|chunk| chunk.keys.as_mut()).map(|keys| &mut keys.ordinals);
        if let Some(slot) = ordinals.and_then(|ordinals| ordinals.get_mut(place.row as usize)) {
            *slot = ordinal;
        }
        Some(freed)
    }

    /// The row at `from` now is row `row` of chunk `id`.
    pub(super) fn relocate(&mut self, from: Place, id: u64, fresh: &mut Chunk, row: usize, ordinal: u32) {
        let Some(keys) = &mut fresh.keys else { return };
        if let Some(slot) = keys.ordinals.get_mut(row) {
            *slot = ordinal;
        }
        let hash = hash(xxh3_64(keys.bytes(row)), ordinal);
        if let Some(entry) = self.entries.find_mut(hash, |entry| entry.place == from) {
            entry.place = Place::new(id, row);
        }
    }
}

/// The chunks of the store, and the one that is being added.
struct Known<'a> {
    chunks: &'a HashMap<u64, Chunk>,
    id: u64,
    fresh: &'a Chunk,
}

impl Known<'_> {
    /// Whether the entry is that of the key and ordinal.
    fn is(&self, entry: &Entry, hash: u64, key: &[u8], ordinal: u32) -> bool {
        let place = entry.place;
        let chunk = if place.chunk == self.id { Some(self.fresh) } else { self.chunks.get(&place.chunk) };
        let row = place.row as usize;
        entry.hash == hash
            && chunk
                .and_then(|chunk| chunk.keys.as_ref())
                .is_some_and(|keys| keys.ordinal(row) == ordinal && keys.bytes(row) == key)
    }
}

fn hash(base: u64, ordinal: u32) -> u64 {
    base ^ u64::from(ordinal).wrapping_mul(ORDINAL_FACTOR)
}
