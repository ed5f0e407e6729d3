//! [`Edit`]s: how a table of rows came out of an earlier one. [`edits`] finds them, [`Gathered`] applies them.
//!
//! A table is told by stretches of rows of the earlier table, each followed by rows that are new. The order of the rows is
//! kept, so that tables whose rows belong to one another by their places stay so. What is found is always right; it is small
//! where rows are replaced, dropped, added at the end or put where others were dropped.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, new_empty_array};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::SchemaRef;

use super::fingerprint::Fingerprint;
use crate::error::{EngineError, Result};

/// Rows of the earlier table, then new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edit {
    /// The first row that is taken of the earlier table.
    pub from: u32,
    /// How many rows are taken from there.
    pub rows: u32,
    /// How many new rows follow.
    pub fresh: u32,
}

/// Rows that are looked at to tell whether two places fit.
const REACH: usize = 8;
/// How far around the expected place a fitting one is looked for.
const STEPS: usize = 16;
/// What stands for rows that are there several times.
const SEVERAL: u32 = u32::MAX;

/// How `after` came out of `before`, and which rows of `after` are new. `None`: so many are new that the whole table is
/// hardly more.
pub fn edits(before: &[Fingerprint], after: &[Fingerprint]) -> Option<(Vec<Edit>, Vec<u32>)> {
    let rows = u32::try_from(after.len()).ok()?;
    u32::try_from(before.len()).ok().filter(|rows| *rows < SEVERAL)?;
    let (mut edits, mut fresh) = (Vec::new(), Vec::new());
    let mut places = None;
    let mut at = 0_usize;
    for (row, number) in (0..after.len()).zip(0..rows) {
        let wanted = after.get(row)?;
        if before.get(at) != Some(wanted) {
            at = resync(before, after, row, at, &mut places);
        }
        if before.get(at) == Some(wanted) {
            copy(&mut edits, u32::try_from(at).ok()?);
        } else {
            fresh.push(number);
            if fresh.len() * 2 > after.len() {
                return None;
            }
            add_fresh(&mut edits);
        }
        at += 1;
    }
    Some((edits, fresh))
}

/// Where `after` goes on in `before` from row `row`, which is not that at `at`.
fn resync(
    before: &[Fingerprint],
    after: &[Fingerprint],
    row: usize,
    at: usize,
    places: &mut Option<HashMap<Fingerprint, u32>>,
) -> usize {
    let fits = |at: usize| {
        let pairs = before.get(at..).unwrap_or_default().iter().zip(after.get(row..).unwrap_or_default());
        pairs.take(REACH).filter(|(before, after)| before == after).count()
    };
    let mut best = (fits(at), at);
    let mut consider = |place: usize| {
        let fit = fits(place);
        if fit > best.0 {
            best = (fit, place);
        }
        best.0
    };
    let enough = (after.len() - row).min(REACH).saturating_sub(2);
    for step in 1..=2 {
        consider(at + step);
        consider(at.saturating_sub(step));
    }
    if consider(at) >= enough.max(1) {
        return best.1;
    }
    let places = places.get_or_insert_with(|| {
        let mut places = HashMap::with_capacity(before.len());
        for (place, print) in (0_u32..).zip(before) {
            match places.entry(*print) {
                Entry::Vacant(vacant) => drop(vacant.insert(place)),
                Entry::Occupied(mut there) => drop(there.insert(SEVERAL)),
            }
        }
        places
    });
    if let Some(place) = after.get(row).and_then(|print| places.get(print)).filter(|place| **place != SEVERAL) {
        consider(*place as usize);
    }
    if consider(at) < enough {
        for step in 3..=STEPS {
            consider(at + step);
            consider(at.saturating_sub(step));
        }
    }
    best.1
}

fn copy(edits: &mut Vec<Edit>, row: u32) {
    match edits.last_mut() {
        Some(last) if last.fresh == 0 && last.from + last.rows == row => last.rows += 1,
        _ => edits.push(Edit { from: row, rows: 1, fresh: 0 }),
    }
}

fn add_fresh(edits: &mut Vec<Edit>) {
    match edits.last_mut() {
        Some(last) => last.fresh += 1,
        None => edits.push(Edit { from: 0, rows: 0, fresh: 1 }),
    }
}

/// Where each row of a table comes from, while changes are applied one after another.
#[derive(Debug, Clone)]
pub struct Gathered {
    schema: SchemaRef,
    sources: Vec<RecordBatch>,
    /// Source and row.
    rows: Vec<(u32, u32)>,
}

impl Gathered {
    /// A whole table of these columns.
    ///
    /// # Errors
    /// Where it has over 2^32 rows.
    pub fn whole(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Self> {
        let mut gathered = Self { schema: Arc::clone(schema), sources: Vec::new(), rows: Vec::new() };
        for batch in batches {
            let rows = gathered.add(batch)?;
            gathered.rows.extend(rows);
        }
        Ok(gathered)
    }

    /// The table after changes, whose new rows these are.
    ///
    /// # Errors
    /// Where the changes do not fit the table.
    pub fn changed(mut self, edits: &[Edit], fresh: &[RecordBatch]) -> Result<Self> {
        let mut added = Vec::new();
        for batch in fresh {
            added.extend(self.add(batch)?);
        }
        let mut rows = Vec::with_capacity(self.rows.len() + added.len());
        let mut next = 0_usize;
        for edit in edits {
            let from = edit.from as usize;
            rows.extend_from_slice(self.rows.get(from..from + edit.rows as usize).ok_or_else(unfit)?);
            let end = next + edit.fresh as usize;
            rows.extend_from_slice(added.get(next..end).ok_or_else(unfit)?);
            next = end;
        }
        if next != added.len() {
            return Err(unfit());
        }
        self.rows = rows;
        Ok(self)
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<impl Iterator<Item = (u32, u32)> + use<>> {
        let source = u32::try_from(self.sources.len()).map_err(|_| unfit())?;
        let rows = u32::try_from(batch.num_rows()).map_err(|_| unfit())?;
        self.sources.push(batch.clone());
        Ok((0..rows).map(move |row| (source, row)))
    }

    /// The rows.
    ///
    /// # Errors
    /// Where the sources have other columns.
    pub fn rows(&self) -> Result<RecordBatch> {
        if self.schema.fields().is_empty() || self.rows.is_empty() {
            let columns = self.schema.fields().iter().map(|field| new_empty_array(field.data_type())).collect();
            let options = RecordBatchOptions::new().with_row_count(Some(self.rows.len()));
            return Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?);
        }
        if let [only] = self.sources.as_slice()
            && only.num_rows() == self.rows.len()
            && (0..).zip(&self.rows).all(|(place, (_, row))| place == *row)
        {
            return Ok(only.clone());
        }
        let sources: Vec<&RecordBatch> = self.sources.iter().collect();
        let rows: Vec<(usize, usize)> =
            self.rows.iter().map(|(source, row)| (*source as usize, *row as usize)).collect();
        Ok(interleave_record_batch(&sources, &rows)?)
    }
}

fn unfit() -> EngineError {
    EngineError::Internal("changes of a state table that do not fit it".into())
}

#[cfg(test)]
#[path = "edits_tests.rs"]
mod tests;
