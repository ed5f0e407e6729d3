//! [`Edit`]s: how a table of rows came out of an earlier one. [`edits`] finds them where nothing is known but the rows;
//! [`Gathered`](super::gathered::Gathered) applies them.
//!
//! A table is told by stretches of rows of the earlier table, each followed by rows that are new. The order of the rows is
//! kept, so that tables whose rows belong to one another by their places stay so. What is found is always right; it is small
//! where rows are replaced, dropped, added at the end or put where others were dropped.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::fingerprint::Fingerprint;

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
            copy(&mut edits, u32::try_from(at).ok()?, 1);
        } else {
            fresh.push(number);
            if fresh.len() * 2 > after.len() {
                return None;
            }
            add_fresh(&mut edits, 1);
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

/// Adds `rows` rows of the earlier table, from row `from` on.
pub(crate) fn copy(edits: &mut Vec<Edit>, from: u32, rows: u32) {
    match edits.last_mut() {
        _ if rows == 0 => {}
        Some(last) if last.fresh == 0 && last.from + last.rows == from => last.rows += rows,
        _ => edits.push(Edit { from, rows, fresh: 0 }),
    }
}

/// Adds new rows.
pub(crate) fn add_fresh(edits: &mut Vec<Edit>, rows: u32) {
    match edits.last_mut() {
        _ if rows == 0 => {}
        Some(last) => last.fresh += rows,
        None => edits.push(Edit { from: 0, rows: 0, fresh: rows }),
    }
}

#[cfg(test)]
#[path = "edits_tests.rs"]
mod tests;
