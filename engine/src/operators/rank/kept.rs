//! [`KeptRows`]: a row of each slot at most, in columns.
//!
//! Rows of this epoch lie in the batches that they came in. At the barrier those that are still wanted are put together into
//! pieces, which is all the copying there is: what is emitted shares their columns, and so does what checkpoints are told. A
//! row that is replaced dies in its piece; [`compact`](crate::pieces::compact) tells which pieces are then written anew.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{interleave_record_batch, take_record_batch};
use arrow::datatypes::{Field, Schema, SchemaRef};

use crate::error::{EngineError, Result};
use crate::pieces::compact::{Size, rewrites};
use crate::pieces::{Mask, Piece, next_id};

/// See the module.
pub(super) struct KeptRows {
    schema: SchemaRef,
    /// By number; those without rows can be had again.
    pieces: Vec<Option<KeptPiece>>,
    free: Vec<u32>,
    /// The batches of this epoch.
    arrived: Vec<RecordBatch>,
    /// The place of each slot's row.
    places: Vec<Option<Place>>,
}

struct KeptPiece {
    id: u64,
    rows: RecordBatch,
    /// Of each row.
    slots: Vec<u32>,
    mask: Mask,
}

/// Where a row lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    of: Of,
    row: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Piece(u32),
    Arrived(u32),
}

impl KeptRows {
    /// No rows of these columns.
    pub(super) fn new(input: &Schema) -> Self {
        let field =
            |(index, field): (usize, &Arc<Field>)| Field::new(format!("c{index}"), field.data_type().clone(), true);
        let schema = Schema::new(input.fields().iter().enumerate().map(field).collect::<Vec<_>>());
        let (pieces, free) = (Vec::new(), Vec::new());
        Self { schema: Arc::new(schema), pieces, free, arrived: Vec::new(), places: Vec::new() }
    }

    /// Makes room for slots `0 .. slots`.
    pub(super) fn resize(&mut self, slots: usize) {
        self.places.resize(slots.max(self.places.len()), None);
    }

    /// The place of a slot's row.
    pub(super) fn place(&self, slot: u32) -> Option<Place> {
        self.places[slot as usize]
    }

    /// The row of a slot is that one.
    pub(super) fn set(&mut self, slot: u32, place: Option<Place>) {
        self.places[slot as usize] = place;
    }

    /// Keeps a batch until the end of the epoch, and gives it with our names for its columns.
    ///
    /// # Errors
    /// Where it has other columns.
    pub(super) fn arrive(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let batch = self.named(batch)?;
        self.arrived.push(batch.clone());
        Ok(batch)
    }

    /// The place of a row of the batch that arrived last.
    pub(super) fn arrived(&self, row: u32) -> Place {
        // More batches than 32 bits count would not fit into memory.
        Place { of: Of::Arrived(self.arrived.len().saturating_sub(1) as u32), row }
    }

    fn named(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), batch.columns().to_vec(), &options)?)
    }

    /// The rows of some places, in this order.
    ///
    /// # Errors
    /// Where Arrow cannot build a column.
    pub(super) fn gather(&self, places: &[Place]) -> Result<RecordBatch> {
        if self.schema.fields().is_empty() || places.is_empty() {
            let none = RecordBatch::new_empty(Arc::clone(&self.schema));
            let options = RecordBatchOptions::new().with_row_count(Some(places.len()));
            return Ok(RecordBatch::try_new_with_options(none.schema(), none.columns().to_vec(), &options)?);
        }
        let mut used = Vec::new();
        let mut order = vec![usize::MAX; self.pieces.len() + self.arrived.len()];
        let mut rows = Vec::with_capacity(places.len());
        for place in places {
            let (at, batch) = match place.of {
                Of::Piece(piece) => {
                    let found = self.pieces.get(piece as usize).and_then(Option::as_ref);
                    (piece as usize, found.map(|piece| &piece.rows))
                }
                Of::Arrived(batch) => (self.pieces.len() + batch as usize, self.arrived.get(batch as usize)),
            };
            if order[at] == usize::MAX {
                order[at] = used.len();
                used.push(batch.ok_or_else(|| EngineError::Internal("a row that is not kept".into()))?);
            }
            rows.push((order[at], place.row as usize));
        }
        if let [only] = used[..] {
            let rows: UInt32Array = places.iter().map(|place| place.row).collect();
            return Ok(take_record_batch(only, &rows)?);
        }
        Ok(interleave_record_batch(&used, &rows)?)
    }

    /// Keeps rows, one of each of these slots: they are where the slots' rows lie from now on.
    pub(super) fn keep(&mut self, rows: RecordBatch, slots: Vec<u32>) {
        if slots.is_empty() {
            return;
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.pieces.push(None);
            // There are fewer pieces than slots, which are 32 bits wide.
            (self.pieces.len() - 1) as u32
        });
        for (row, &slot) in (0..).zip(&slots) {
            self.places[slot as usize] = Some(Place { of: Of::Piece(number), row });
        }
        let mask = Mask::new(slots.len());
        self.pieces[number as usize] = Some(KeptPiece { id: next_id(), rows, slots, mask });
    }

    /// The row of a piece is not wanted any more.
    pub(super) fn kill(&mut self, place: Place) {
        let Of::Piece(number) = place.of else { return };
        let Some(piece) = self.pieces.get_mut(number as usize) else { return };
        let Some(kept) = piece else { return };
        kept.mask.kill(place.row as usize);
        if kept.mask.live_rows() == 0 {
            *piece = None;
            self.free.push(number);
        }
    }

    /// Ends the epoch: all rows that are wanted are in pieces. Writes anew what is small or half dead.
    ///
    /// # Errors
    /// Where Arrow cannot build a column.
    pub(super) fn settle(&mut self) -> Result<()> {
        self.arrived.clear();
        let numbered = (0_u32..).zip(&self.pieces);
        let size = |piece: &KeptPiece| Size { rows: piece.slots.len(), live_rows: piece.mask.live_rows() };
        let (numbers, sizes): (Vec<u32>, Vec<Size>) =
            numbered.filter_map(|(number, piece)| Some((number, size(piece.as_ref()?)))).unzip();
        for run in rewrites(&sizes) {
            let (mut places, mut slots) = (Vec::new(), Vec::new());
            let old = numbers.get(run).unwrap_or_default();
            for &number in old {
                let Some(piece) = self.pieces.get(number as usize).and_then(Option::as_ref) else { continue };
                for row in piece.mask.live() {
                    slots.push(piece.slots[row]);
                    places.push(Place { of: Of::Piece(number), row: row as u32 });
                }
            }
            let rows = self.gather(&places)?;
            for &number in old {
                self.pieces[number as usize] = None;
                self.free.push(number);
            }
            self.keep(rows, slots);
        }
        Ok(())
    }

    /// The columns, as a state has them.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// All rows in pieces, between two epochs.
    pub(super) fn pieces(&mut self) -> Vec<Piece> {
        let piece = |piece: &mut KeptPiece| Piece { id: piece.id, rows: piece.rows.clone(), live: piece.mask.get() };
        self.pieces.iter_mut().flatten().map(piece).collect()
    }
}
