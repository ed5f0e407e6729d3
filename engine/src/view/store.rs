//! [`ViewStore`]: one shard's rows of a view, in chunks that versions share.
//!
//! Rows of a delta become a chunk; a retraction finds its row through a hash index and marks it dead in the chunk's
//! mask. Append-only views have no index. Small and half-dead neighbours are merged at barriers, so that the number of
//! chunks and the memory stay in proportion to the live rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{BooleanArray, BooleanBufferBuilder, RecordBatch, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, Rows, SortField};
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use super::ViewVersion;
use crate::error::{EngineError, Result};
use crate::message::{BATCH_ROWS, Delta, Sign};

/// Neighbouring small chunks that are worth a merge.
const MERGE_CHUNKS: usize = 8;

/// Rows added together.
struct Chunk {
    batch: RecordBatch,
    /// Keys of the rows, where the store has an index.
    keys: Option<Rows>,
    live: BooleanBufferBuilder,
    live_rows: usize,
    /// The mask as last published; gone when a row died since.
    published: Option<BooleanBuffer>,
}

/// Finds rows by key.
struct Index {
    columns: Vec<usize>,
    converter: RowConverter,
    places: HashTable<Place>,
}

/// Where a row stands, with the hash of its key.
#[derive(Clone, Copy)]
struct Place {
    hash: u64,
    chunk: u32,
    row: u32,
}

/// The rows of one shard's part of a view.
pub struct ViewStore {
    schema: SchemaRef,
    chunks: BTreeMap<u32, Chunk>,
    next_chunk: u32,
    index: Option<Index>,
}

impl ViewStore {
    /// An empty store. `key`: the columns by which retractions find their row; all columns where it is `None`. No index
    /// is kept where `append_only`.
    ///
    /// # Errors
    /// Where a key column has a type that cannot be compared.
    pub fn new(schema: SchemaRef, key: Option<&[usize]>, append_only: bool) -> Result<Self> {
        let index = if append_only {
            None
        } else {
            let columns = key.map_or_else(|| (0..schema.fields().len()).collect(), <[usize]>::to_vec);
            let fields = columns.iter().map(|&column| SortField::new(schema.field(column).data_type().clone()));
            let converter = RowConverter::new(fields.collect())?;
            Some(Index { columns, converter, places: HashTable::new() })
        };
        Ok(Self { schema, chunks: BTreeMap::new(), next_chunk: 0, index })
    }

    /// Applies a delta.
    ///
    /// # Errors
    /// A retraction of a row that is not there.
    pub fn apply(&mut self, delta: &Delta) -> Result<()> {
        match &delta.sign {
            Sign::AppendOnly => self.insert(delta.batch.clone()),
            Sign::Retracts(bits) => {
                // Runs of one sign, in order: a retraction may be of a row that this very delta inserted.
                let mut start = 0;
                while start < bits.len() {
                    let retract = bits.value(start);
                    let run = (start..bits.len()).take_while(|&row| bits.value(row) == retract).count();
                    let rows = delta.batch.slice(start, run);
                    if retract {
                        self.retract(&rows)?
                    } else {
                        self.insert(rows)?
                    }
                    start += run;
                }
                Ok(())
            }
        }
    }

    fn insert(&mut self, batch: RecordBatch) -> Result<()> {
        let id = self.next_chunk;
        self.next_chunk += 1;
        self.add_chunk(id, batch)
    }

    fn add_chunk(&mut self, id: u32, batch: RecordBatch) -> Result<()> {
        let rows = batch.num_rows();
        let keys = match &mut self.index {
            None => None,
            Some(index) => Some(index.add(id, &batch)?),
        };
        let mut live = BooleanBufferBuilder::new(rows);
        live.append_n(rows, true);
        self.chunks.insert(id, Chunk { batch, keys, live, live_rows: rows, published: None });
        Ok(())
    }

    fn retract(&mut self, batch: &RecordBatch) -> Result<()> {
        let Some(index) = &mut self.index else {
            return Err(EngineError::Internal("a retraction reached an append-only view".into()));
        };
        let keys = index.keys(batch)?;
        for row in 0..batch.num_rows() {
            let key = keys.row(row);
            let hash = xxh3_64(key.as_ref());
            let chunks = &self.chunks;
            let same = |place: &Place| {
                let keys = chunks.get(&place.chunk).and_then(|chunk| chunk.keys.as_ref());
                place.hash == hash && keys.is_some_and(|keys| keys.row(place.row as usize) == key)
            };
            let Ok(found) = index.places.find_entry(hash, same) else {
                return Err(EngineError::Internal("a retraction of a row that is not in the view".into()));
            };
            let (place, _) = found.remove();
            if let Some(chunk) = self.chunks.get_mut(&place.chunk) {
                chunk.live.set_bit(place.row as usize, false);
                chunk.live_rows -= 1;
                chunk.published = None;
            }
        }
        Ok(())
    }

    /// An immutable version of the rows as they are now.
    ///
    /// # Errors
    /// Where Arrow cannot merge chunks.
    pub fn version(&mut self) -> Result<Arc<ViewVersion>> {
        self.compact()?;
        let chunks = self.chunks.values_mut().map(|chunk| {
            if chunk.live_rows == chunk.batch.num_rows() {
                return (chunk.batch.clone(), None);
            }
            let mask = chunk.published.get_or_insert_with(|| chunk.live.finish_cloned());
            (chunk.batch.clone(), Some(mask.clone()))
        });
        Ok(Arc::new(ViewVersion { chunks: chunks.collect() }))
    }

    /// All live rows, in batches.
    ///
    /// # Errors
    /// Where Arrow cannot filter.
    pub fn rows(&mut self) -> Result<Vec<RecordBatch>> {
        let columns: Vec<usize> = (0..self.schema.fields().len()).collect();
        let mut rows = self.version()?.scan(&columns)?;
        rows.retain(|batch| batch.num_rows() > 0);
        Ok(rows)
    }

    /// Drops dead chunks and merges runs of small or half-dead neighbours.
    fn compact(&mut self) -> Result<()> {
        self.chunks.retain(|_, chunk| chunk.live_rows > 0);
        let mut run: Vec<u32> = Vec::new();
        let mut runs: Vec<Vec<u32>> = Vec::new();
        for (&id, chunk) in &self.chunks {
            let rows = chunk.batch.num_rows();
            if rows < BATCH_ROWS / 4 || chunk.live_rows * 2 < rows {
                run.push(id);
            } else {
                runs.push(std::mem::take(&mut run));
            }
        }
        runs.push(run);
        for run in runs.into_iter().filter(|run| run.len() >= MERGE_CHUNKS) {
            self.merge(&run)?;
        }
        Ok(())
    }

    /// Puts the live rows of neighbouring chunks into one chunk, in the place of the first.
    fn merge(&mut self, run: &[u32]) -> Result<()> {
        let mut parts = Vec::with_capacity(run.len());
        for id in run {
            let Some(chunk) = self.chunks.remove(id) else { continue };
            let mask = BooleanArray::new(chunk.live.finish_cloned(), None);
            parts.push(filter_record_batch(&chunk.batch, &mask)?);
            if let (Some(index), Some(keys)) = (&mut self.index, &chunk.keys) {
                index.forget(*id, keys, &mask);
            }
        }
        let merged = concat_batches(&self.schema, &parts)?;
        // A view of few rows out of large batches must not keep the batches alive.
        match run.first() {
            Some(first) => self.add_chunk(*first, compacted(merged)?),
            None => Ok(()),
        }
    }
}

/// The same rows in buffers of their own size.
fn compacted(batch: RecordBatch) -> Result<RecordBatch> {
    let rows =
        u32::try_from(batch.num_rows()).map_err(|_| EngineError::Internal("a chunk of over 2^32 rows".into()))?;
    Ok(take_record_batch(&batch, &UInt32Array::from_iter_values(0..rows))?)
}

impl Index {
    fn keys(&self, batch: &RecordBatch) -> Result<Rows> {
        let columns: Vec<_> = self.columns.iter().map(|&column| Arc::clone(batch.column(column))).collect();
        Ok(self.converter.convert_columns(&columns)?)
    }

    /// Adds the rows of a new chunk; gives their keys.
    fn add(&mut self, chunk: u32, batch: &RecordBatch) -> Result<Rows> {
        let keys = self.keys(batch)?;
        for (row, key) in keys.iter().enumerate() {
            let hash = xxh3_64(key.as_ref());
            let place = Place { hash, chunk, row: u32::try_from(row).unwrap_or(u32::MAX) };
            self.places.insert_unique(hash, place, |place| place.hash);
        }
        Ok(keys)
    }

    /// Removes the live rows of a chunk.
    fn forget(&mut self, chunk: u32, keys: &Rows, live: &BooleanArray) {
        for (row, key) in keys.iter().enumerate().filter(|(row, _)| live.value(*row)) {
            let hash = xxh3_64(key.as_ref());
            let here = |place: &Place| place.chunk == chunk && place.row as usize == row;
            if let Ok(found) = self.places.find_entry(hash, here) {
                found.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    fn batch(keys: &[i64], values: &[i64]) -> RecordBatch {
        let column = |values: &[i64]| -> ArrayRef { Arc::new(Int64Array::from(values.to_vec())) };
        RecordBatch::try_from_iter([("k", column(keys)), ("v", column(values))]).expect("two columns")
    }

    fn sorted(store: &mut ViewStore) -> Vec<(i64, i64)> {
        let mut rows = Vec::new();
        for batch in store.rows().expect("rows") {
            let column =
                |index: usize| batch.column(index).as_any().downcast_ref::<Int64Array>().expect("ints").clone();
            let (keys, values) = (column(0), column(1));
            rows.extend((0..batch.num_rows()).map(|row| (keys.value(row), values.value(row))));
        }
        rows.sort_unstable();
        rows
    }

    #[test]
    fn updates_replace_rows_and_memory_follows_the_live_rows() {
        let schema = batch(&[], &[]).schema();
        let mut store = ViewStore::new(schema, Some(&[0]), false).expect("store");
        store.apply(&Delta::append(batch(&[1, 2, 3], &[0, 0, 0]))).expect("insert");
        for round in 1..1_000 {
            let signs = BooleanBuffer::from(vec![true, false]);
            let update = Delta::signed(batch(&[2, 2], &[round - 1, round]), signs);
            store.apply(&update).expect("update");
            store.version().expect("version");
            assert!(store.chunks.len() <= 2 * MERGE_CHUNKS, "{} chunks", store.chunks.len());
        }
        assert_eq!(sorted(&mut store), [(1, 0), (2, 999), (3, 0)]);
    }

    #[test]
    fn equal_rows_count() {
        let mut store = ViewStore::new(batch(&[], &[]).schema(), None, false).expect("store");
        store.apply(&Delta::append(batch(&[1, 1, 1], &[5, 5, 5]))).expect("insert");
        let gone = Delta::signed(batch(&[1, 1], &[5, 5]), BooleanBuffer::from(vec![true, true]));
        store.apply(&gone).expect("retract");
        assert_eq!(sorted(&mut store), [(1, 5)]);
        assert!(store.apply(&gone).is_err());
    }

    #[test]
    fn a_version_does_not_change() {
        let mut store = ViewStore::new(batch(&[], &[]).schema(), Some(&[0]), false).expect("store");
        store.apply(&Delta::append(batch(&[1, 2], &[7, 8]))).expect("insert");
        let before = store.version().expect("version");
        store.apply(&Delta::signed(batch(&[1], &[7]), BooleanBuffer::from(vec![true]))).expect("retract");
        assert_eq!(before.rows(), 2);
        assert_eq!(store.version().expect("version").rows(), 1);
    }
}
