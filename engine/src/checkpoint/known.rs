//! [`Known`]: what is remembered of a table as the last complete checkpoint has it, and what the next one writes of it.
//!
//! Of a table in pieces that is their numbers and masks; of one that tells its changes itself, nothing. Only of those that do
//! neither it is a fingerprint a row, 16 bytes, and all rows are read to find what has changed. So it is of every table that was
//! loaded, until the first checkpoint after it.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;

use super::belongs::split_prefix;
use super::edits::{Edit, add_fresh, copy, edits};
use super::fingerprint::{Fingerprint, fingerprints};
use super::format_run::{Batch, Extent};
use super::table::{Changes, Rows, Table};
use crate::error::{EngineError, Result};
use crate::pieces::{Piece, set_bits};

/// See the module.
#[derive(Debug)]
pub(super) struct Known {
    schema: SchemaRef,
    rows: KnownRows,
}

#[derive(Debug)]
enum KnownRows {
    /// Of rows that were compared. `None`: of a type without fingerprints.
    Compared(Option<Vec<Fingerprint>>),
    Pieces(Vec<KnownPiece>),
    /// How many rows there were.
    Told(usize),
}

/// A piece without its rows.
#[derive(Debug)]
struct KnownPiece {
    id: u64,
    rows: usize,
    live: Option<BooleanBuffer>,
}

/// The tables of one operator on one shard, by name.
pub(super) type KnownTables = BTreeMap<String, Known>;

/// What is written of a table.
pub(super) struct Told {
    pub(super) extent: Extent,
    pub(super) batches: Vec<Batch>,
}

impl Known {
    /// What will be known of a table once it is written.
    pub(super) fn of(table: &Table) -> Self {
        let piece = |piece: &Piece| KnownPiece { id: piece.id, rows: piece.rows.num_rows(), live: piece.live.clone() };
        let rows = match &table.rows {
            Rows::Whole(batches) => KnownRows::Compared(fingerprints(batches)),
            Rows::Pieces(pieces) => KnownRows::Pieces(pieces.iter().map(piece).collect()),
            Rows::Changes(changes) => KnownRows::Told(changes.rows),
        };
        Self { schema: Arc::clone(&table.schema), rows }
    }

    /// What is known of a table that was loaded: the rows of these batches.
    pub(super) fn loaded(batches: &[RecordBatch]) -> Option<Self> {
        let schema = batches.first()?.schema();
        Some(Self { schema, rows: KnownRows::Compared(fingerprints(batches)) })
    }

    /// What is written of a table that will be known so, where it was known as `before`: with its name then, and as of
    /// an epoch.
    ///
    /// # Errors
    /// Where the table tells changes of another capture; where Arrow cannot copy rows.
    pub(super) fn told(&self, table: &Table, before: Option<(String, &Self, u64)>) -> Result<Told> {
        let before = before.filter(|(_, known, _)| known.schema == table.schema);
        let (changes, of) = match (&table.rows, before) {
            (Rows::Changes(Changes { since: Some((since, edits)), told, .. }), before) => {
                let of =
                    before.filter(|(_, known, epoch)| *epoch == since.0 && matches!(known.rows, KnownRows::Told(_)));
                let (of, known, _) = of.ok_or_else(unknown)?;
                (Some((edits.clone(), vec![told.clone().into()], known.count())), of)
            }
            (Rows::Whole(batches), Some((of, known, _))) => (self.compared(known, batches)?, of),
            // The first time after the rows were loaded.
            (Rows::Pieces(pieces), Some((of, known, _))) if matches!(known.rows, KnownRows::Compared(_)) => {
                (self.compared(known, &pieces.iter().map(Piece::live_batch).collect::<Result<Vec<_>>>()?)?, of)
            }
            (Rows::Changes(Changes { since: None, told, .. }), Some((of, known, _))) => {
                (self.compared(known, std::slice::from_ref(told))?, of)
            }
            (Rows::Pieces(pieces), Some((of, known, _))) => (known.pieces(pieces), of),
            (_, None) => (None, String::new()),
        };
        let Some((edits, batches, before)) = changes else {
            let batches = table.batches().ok_or_else(unknown)?;
            return Ok(Told { extent: Extent::Whole, batches });
        };
        let same = match edits[..] {
            [] => before == 0,
            [Edit { from: 0, rows, fresh: 0 }] => rows as usize == before,
            _ => false,
        };
        Ok(match same {
            true => Told { extent: Extent::Same { of }, batches: Vec::new() },
            false => Told { extent: Extent::Changes { of, edits }, batches },
        })
    }

    fn count(&self) -> usize {
        match &self.rows {
            KnownRows::Compared(prints) => prints.as_ref().map_or(0, Vec::len),
            KnownRows::Pieces(pieces) => pieces.iter().map(KnownPiece::live_rows).sum(),
            KnownRows::Told(rows) => *rows,
        }
    }

    /// The changes of rows that are compared.
    fn compared(&self, before: &Self, batches: &[RecordBatch]) -> Result<Found> {
        let KnownRows::Compared(Some(known)) = &before.rows else { return Ok(None) };
        let prints = match &self.rows {
            KnownRows::Compared(Some(prints)) => Cow::Borrowed(prints),
            KnownRows::Compared(None) => return Ok(None),
            KnownRows::Pieces(_) | KnownRows::Told(_) => match fingerprints(batches) {
                Some(prints) => Cow::Owned(prints),
                None => return Ok(None),
            },
        };
        let found = edits(known, &prints);
        let Some((edits, fresh)) = found else { return Ok(None) };
        let fresh = take(batches, fresh)?.into_iter().map(Batch::from).collect();
        Ok(Some((edits, fresh, known.len())))
    }

    /// The changes of rows in pieces.
    fn pieces(&self, pieces: &[Piece]) -> Found {
        let KnownRows::Pieces(known) = &self.rows else { return None };
        let (edits, fresh) = changes_of_pieces(known, pieces)?;
        Some((edits, fresh.into_iter().map(Batch::from).collect(), self.count()))
    }
}

/// Edits, new rows, and how many rows there were before.
type Found = Option<(Vec<Edit>, Vec<Batch>, usize)>;

impl KnownPiece {
    fn live_rows(&self) -> usize {
        self.live.as_ref().map_or(self.rows, BooleanBuffer::count_set_bits)
    }
}

/// How pieces came out of those that were known, and which are new. `None`: so much is new that all is hardly more.
fn changes_of_pieces<'a>(known: &[KnownPiece], pieces: &'a [Piece]) -> Option<(Vec<Edit>, Vec<&'a Piece>)> {
    let mut first = 0_u32;
    let mut places = HashMap::with_capacity(known.len());
    for piece in known {
        places.insert(piece.id, (piece, first));
        first = first.checked_add(u32::try_from(piece.live_rows()).ok()?)?;
    }
    let (mut edits, mut fresh, mut fresh_rows, mut rows) = (Vec::new(), Vec::new(), 0_u32, 0_u32);
    for piece in pieces {
        let live_rows = u32::try_from(piece.live_rows()).ok()?;
        rows = rows.checked_add(live_rows)?;
        let survived = places.get(&piece.id).is_some_and(|(known, first)| survivors(&mut edits, known, *first, piece));
        if !survived {
            fresh_rows += live_rows;
            add_fresh(&mut edits, live_rows);
            fresh.push(piece);
        }
    }
    (fresh_rows <= rows / 2).then_some((edits, fresh))
}

/// Takes what lives of a piece from the rows that were known of it, the first of which was row `first`. False: it is not a
/// later state of that piece.
fn survivors(edits: &mut Vec<Edit>, known: &KnownPiece, first: u32, piece: &Piece) -> bool {
    let words = |live: Option<&BooleanBuffer>| match live {
        Some(live) => live.bit_chunks().iter_padded().collect(),
        None => BooleanBuffer::new_set(known.rows).bit_chunks().iter_padded().collect::<Vec<u64>>(),
    };
    let same = match (&known.live, &piece.live) {
        (None, None) => true,
        (Some(then), Some(now)) => then.inner().ptr_eq(now.inner()) && then.offset() == now.offset(),
        (None, Some(_)) | (Some(_), None) => false,
    };
    if same && known.rows == piece.rows.num_rows() {
        // Counted in 32 bits before.
        copy(edits, first, known.live_rows() as u32);
        return true;
    }
    let (then, now) = (words(known.live.as_ref()), words(piece.live.as_ref()));
    if known.rows != piece.rows.num_rows() || then.iter().zip(&now).any(|(then, now)| now & !then != 0) {
        return false;
    }
    let mut row = first;
    for (then, now) in then.into_iter().zip(now) {
        if then == now {
            copy(edits, row, then.count_ones());
            row += then.count_ones();
            continue;
        }
        for bit in set_bits(then) {
            copy(edits, row, (now >> bit & 1) as u32);
            row += 1;
        }
    }
    true
}

/// What a table was called before, when the tables of its operator have become `now`: those of a window have its number in
/// front, which is less after earlier windows have closed.
pub(super) fn name_before(table: &str, now: &KnownTables, old: &KnownTables) -> Option<String> {
    let windows = |tables: &'_ KnownTables| match tables.get("windows").map(|known| &known.rows) {
        Some(KnownRows::Compared(prints)) => prints.clone(),
        Some(KnownRows::Pieces(_) | KnownRows::Told(_)) | None => None,
    };
    let (Some((number, rest)), Some(now)) = (split_prefix(table), windows(now)) else { return Some(table.to_owned()) };
    let window = now.get(number)?;
    let before = windows(old)?.iter().position(|before| before == window)?;
    Some(format!("{before}/{rest}"))
}

/// Rows by their numbers, counted through all batches.
fn take(batches: &[RecordBatch], rows: Vec<u32>) -> Result<Vec<RecordBatch>> {
    let mut taken = Vec::new();
    let (mut start, mut rows) = (0_u32, rows.into_iter().peekable());
    for batch in batches {
        let end = start.saturating_add(u32::try_from(batch.num_rows()).unwrap_or(u32::MAX));
        let mut own = Vec::new();
        while let Some(row) = rows.next_if(|row| *row < end) {
            own.push(row - start);
        }
        start = end;
        if own.is_empty() {
            continue;
        }
        taken.push(match batch.num_columns() {
            0 => batch.slice(0, own.len()),
            _ => take_record_batch(batch, &UInt32Array::from(own))?,
        });
    }
    Ok(taken)
}

fn unknown() -> EngineError {
    EngineError::Internal("the state tells changes of another checkpoint than the last complete one".into())
}

#[cfg(test)]
#[path = "known_tests.rs"]
mod tests;
