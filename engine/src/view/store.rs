//! [`ViewStore`]: one shard's rows of a view, in chunks that versions share.
//!
//! The insertions of a delta become a chunk. A retraction finds its row through an index of keys and marks it dead in
//! the chunk's mask. The index is made at the first retraction, so that a view that only grows has none. When a version
//! is made, small and half-dead chunks are written anew, so that chunks and memory stay in proportion to the live rows.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{concat_batches, filter_record_batch, interleave_record_batch};
use arrow::datatypes::SchemaRef;

use super::ViewVersion;
use super::index::{Index, Keys, Place};
use crate::error::{EngineError, Result};
use crate::message::{Delta, Sign};
use crate::pieces::compact::{Size, rewrites};
use crate::pieces::{Mask, Piece, live_batch, next_id};

/// Rows that were added together.
pub(super) struct Chunk {
    batch: RecordBatch,
    /// The keys of the rows, where the store has an index.
    pub(super) keys: Option<Keys>,
    mask: Mask,
}

/// The rows of one shard's part of a view.
pub struct ViewStore {
    schema: SchemaRef,
    /// Columns by which a retraction finds its row.
    key: Vec<usize>,
    chunks: HashMap<u64, Chunk>,
    /// The chunks in the order of their rows.
    order: Vec<u64>,
    index: Option<Index>,
    /// A row replaces the one of its key that is there.
    replaces: bool,
    /// The version made last, where nothing changed since.
    version: Option<Arc<ViewVersion>>,
}

impl ViewStore {
    /// An empty store. `key` are the columns by which a retraction finds its row; all columns where it is `None`.
    pub fn new(schema: SchemaRef, key: Option<&[usize]>) -> Self {
        let key = key.map_or_else(|| (0..schema.fields().len()).collect(), <[usize]>::to_vec);
        Self { schema, key, chunks: HashMap::new(), order: Vec::new(), index: None, replaces: false, version: None }
    }

    /// A row replaces the one of its key that is there.
    #[must_use]
    pub fn replacing(mut self, replaces: bool) -> Self {
        self.replaces = replaces;
        self
    }

    /// Applies a delta, in the order of its rows. Gives the rows that it replaced without a retraction of its own.
    ///
    /// # Errors
    /// A retraction of a row that is not there; a key of a type that cannot be compared.
    pub fn apply(&mut self, delta: &Delta) -> Result<Option<Delta>> {
        self.version = None;
        match &delta.sign {
            Sign::AppendOnly if self.replaces => {
                self.apply_signed(&delta.batch, &BooleanBuffer::new_unset(delta.rows()))
            }
            Sign::AppendOnly => {
                let mut chunk = self.chunk(delta.batch.clone())?;
                let id = next_id();
                if let Some(index) = &mut self.index {
                    for row in 0..chunk.batch.num_rows() {
                        index.insert(&self.chunks, id, &mut chunk, row);
                    }
                }
                self.add(id, chunk);
                Ok(None)
            }
            Sign::Retracts(retracts) => self.apply_signed(&delta.batch, retracts),
        }
    }

    fn apply_signed(&mut self, batch: &RecordBatch, retracts: &BooleanBuffer) -> Result<Option<Delta>> {
        self.make_index()?;
        let inserted = filter_record_batch(batch, &BooleanArray::new(!retracts, None))?;
        let mut fresh = self.chunk(inserted)?;
        let id = next_id();
        let Some(index) = &mut self.index else { return Ok(None) };
        let mut replaced = Vec::new();
        let gone = filter_record_batch(batch, &BooleanArray::new(retracts.clone(), None))?;
        let retracted = index.keys(&gone)?;
        let whole = self.key.len() == self.schema.fields().len();
        let (mut next_insert, mut next_retract) = (0, 0);
        for retract in retracts.iter() {
            if !retract {
                let row = next_insert;
                let old = if self.replaces { index.replace(&self.chunks, id, &fresh, row) } else { None };
                match old {
                    None => index.insert(&self.chunks, id, &mut fresh, row),
                    Some(place) => {
                        let chunk =
                            if place.chunk == id { Some(&mut fresh) } else { self.chunks.get_mut(&place.chunk) };
                        if let Some(chunk) = chunk {
                            chunk.mask.kill(place.row as usize);
                        }
                        replaced.push(place);
                    }
                }
                next_insert += 1;
                continue;
            }
            let key = retracted.bytes(next_retract);
            let copies = index.copies(&self.chunks, id, &fresh, key);
            // Within an epoch the new row of a key may come before its old one goes.
            let ordinal = match copies {
                0 | 1 => 0,
                _ if whole => copies - 1,
                _ => {
                    let place = |ordinal| index.place(&self.chunks, (id, &fresh), key, ordinal);
                    let row = (&gone, next_retract);
                    let found = (0..copies).rev().find(|ordinal| {
                        place(*ordinal).is_some_and(|place| same_row(&self.chunks, (id, &fresh), place, row))
                    });
                    found.unwrap_or(copies - 1)
                }
            };
            let place = index.remove(&mut self.chunks, (id, &mut fresh), key, (ordinal, copies));
            let Some(place) = place else {
                return Err(EngineError::Internal("a retraction of a row that is not in the view".into()));
            };
            next_retract += 1;
            let chunk = if place.chunk == id { Some(&mut fresh) } else { self.chunks.get_mut(&place.chunk) };
            if let Some(chunk) = chunk {
                chunk.mask.kill(place.row as usize);
            }
        }
        let gone = self.gather(&replaced, (id, &fresh))?;
        self.add(id, fresh);
        Ok(gone)
    }

    /// The rows at these places, as retractions.
    fn gather(&self, places: &[Place], (id, fresh): (u64, &Chunk)) -> Result<Option<Delta>> {
        if places.is_empty() {
            return Ok(None);
        }
        let (mut numbers, mut batches) = (HashMap::new(), Vec::new());
        let mut rows = Vec::with_capacity(places.len());
        for place in places {
            let chunk = if place.chunk == id { Some(fresh) } else { self.chunks.get(&place.chunk) };
            let Some(chunk) = chunk else { return Err(EngineError::Internal("a row of no chunk".into())) };
            let number = *numbers.entry(place.chunk).or_insert_with(|| {
                batches.push(&chunk.batch);
                batches.len() - 1
            });
            rows.push((number, place.row as usize));
        }
        let batch = interleave_record_batch(&batches, &rows)?;
        let all = BooleanBuffer::new_set(batch.num_rows());
        Ok(Some(Delta::signed(batch, all)))
    }

    /// An immutable version of the rows as they are now.
    ///
    /// # Errors
    /// Where Arrow cannot join chunks.
    pub fn version(&mut self) -> Result<Arc<ViewVersion>> {
        if let Some(version) = &self.version {
            return Ok(Arc::clone(version));
        }
        self.compact()?;
        let mut chunks = Vec::with_capacity(self.order.len());
        for id in &self.order {
            if let Some(chunk) = self.chunks.get_mut(id) {
                chunks.push(Piece { id: *id, rows: chunk.batch.clone(), live: chunk.mask.get() });
            }
        }
        let version = Arc::new(ViewVersion { chunks });
        self.version = Some(Arc::clone(&version));
        Ok(version)
    }

    fn add(&mut self, id: u64, chunk: Chunk) {
        if chunk.mask.live_rows() > 0 {
            self.chunks.insert(id, chunk);
            self.order.push(id);
        }
    }

    /// A chunk of live rows, with their keys where there is an index.
    fn chunk(&self, batch: RecordBatch) -> Result<Chunk> {
        let keys = self.index.as_ref().map(|index| index.keys(&batch)).transpose()?;
        let mask = Mask::new(batch.num_rows());
        Ok(Chunk { batch, keys, mask })
    }

    /// Makes the index, where there is none: no row is dead then.
    fn make_index(&mut self) -> Result<()> {
        if self.index.is_some() {
            return Ok(());
        }
        let mut index = Index::new(&self.schema, &self.key)?;
        for id in &self.order {
            let Some(mut chunk) = self.chunks.remove(id) else { continue };
            chunk.keys = Some(index.keys(&chunk.batch)?);
            for row in 0..chunk.batch.num_rows() {
                index.insert(&self.chunks, *id, &mut chunk, row);
            }
            self.chunks.insert(*id, chunk);
        }
        self.index = Some(index);
        Ok(())
    }

    /// Drops dead chunks, and writes anew what [`rewrites`] chooses.
    fn compact(&mut self) -> Result<()> {
        self.chunks.retain(|_, chunk| chunk.mask.live_rows() > 0);
        self.order.retain(|id| self.chunks.contains_key(id));
        let sizes = self.order.iter().filter_map(|id| self.chunks.get(id));
        let sizes: Vec<Size> =
            sizes.map(|chunk| Size { rows: chunk.batch.num_rows(), live_rows: chunk.mask.live_rows() }).collect();
        // From the back, so that the positions of those that are still to come stay right.
        for run in rewrites(&sizes).into_iter().rev() {
            let old: Vec<u64> = self.order.get(run.clone()).unwrap_or_default().to_vec();
            let new = self.rewrite(&old)?;
            self.order.splice(run, [new]);
        }
        Ok(())
    }

    /// Puts the live rows of some chunks into a new one.
    fn rewrite(&mut self, old: &[u64]) -> Result<u64> {
        let mut parts = Vec::with_capacity(old.len());
        let mut moved = Vec::new();
        for id in old {
            let Some(mut chunk) = self.chunks.remove(id) else { continue };
            parts.push(live_batch(&chunk.batch, chunk.mask.get().as_ref())?);
            moved.push((*id, chunk));
        }
        let mut fresh = self.chunk(own_buffers(&self.schema, &parts)?)?;
        let id = next_id();
        if let Some(index) = &mut self.index {
            let live = moved.iter().flat_map(|(id, chunk)| chunk.live_places(*id));
            for (row, (place, ordinal)) in live.enumerate() {
                index.relocate(place, id, &mut fresh, row, ordinal);
            }
        }
        self.chunks.insert(id, fresh);
        Ok(id)
    }
}

impl Chunk {
    /// Its live rows in order, each with its ordinal among rows of the same key.
    fn live_places(&self, id: u64) -> impl Iterator<Item = (Place, u32)> {
        let ordinal = |row| self.keys.as_ref().map_or(0, |keys| keys.ordinal(row));
        self.mask.live().map(move |row| (Place::new(id, row), ordinal(row)))
    }
}

/// Whether the row at a place has the same values as row `row` of a batch.
fn same_row(
    chunks: &HashMap<u64, Chunk>,
    (id, fresh): (u64, &Chunk),
    place: Place,
    (batch, row): (&RecordBatch, usize),
) -> bool {
    let chunk = if place.chunk == id { Some(fresh) } else { chunks.get(&place.chunk) };
    let same = |(left, right): (&ArrayRef, &ArrayRef)| left.slice(place.row as usize, 1) == right.slice(row, 1);
    chunk.is_some_and(|chunk| chunk.batch.columns().iter().zip(batch.columns()).all(same))
}

/// The rows of all parts in buffers of their own size: what the parts were cut from can go.
fn own_buffers(schema: &SchemaRef, parts: &[RecordBatch]) -> Result<RecordBatch> {
    match parts {
        [only] => {
            let rows = u64::try_from(only.num_rows()).unwrap_or(u64::MAX);
            let all = arrow::array::UInt64Array::from_iter_values(0..rows);
            Ok(arrow::compute::take_record_batch(only, &all)?)
        }
        _ => Ok(concat_batches(schema, parts)?),
    }
}
