//! From a batch that fails to the rows that fail, by halves.
//!
//! # Why the state stays consistent
//! What is narrowed is a function of the row: filters, projections and join conditions. So a row and, later, its retraction
//! fail alike, and both are dropped: nobody downstream sees one without the other. What depends on the clock besides (`NOW()`)
//! may decide otherwise on the retraction, but so may its value, which is why such queries do not take retractions back in any
//! case. A batch is computed as a whole or not at all, so rows of a failed try have not left the operator.

use arrow::array::BooleanArray;
use arrow::buffer::BooleanBuffer;

use super::{RejectKind, Rejects};
use crate::error::{ErrorKind, Result};
use crate::message::Delta;

/// Does `work` on all rows of a delta but those that it fails on, which are rejected. The results come in the order of the
/// rows. `work` must leave nothing behind where it fails. With `n` bad rows of `m` it is done about `2 n log m` times.
///
/// # Errors
/// Errors that are not about data.
pub fn narrow<T>(
    kind: RejectKind,
    delta: &Delta,
    rejects: &mut Rejects,
    work: &mut dyn FnMut(&Delta) -> Result<T>,
) -> Result<Vec<T>> {
    let mut done = Vec::with_capacity(1);
    // A list of what is left rather than recursion: the last is next.
    let mut left = vec![delta.clone()];
    while let Some(delta) = left.pop() {
        match work(&delta) {
            Ok(result) => done.push(result),
            Err(error) if error.kind() != ErrorKind::Data => return Err(error),
            Err(error) if delta.rows() <= 1 => rejects.row(kind, &delta, &error)?,
            Err(_) => {
                let half = delta.rows() / 2;
                left.push(delta.slice(half, delta.rows() - half));
                left.push(delta.slice(0, half));
            }
        }
    }
    Ok(done)
}

/// As [`narrow`] for a condition: true for the rows for which it holds, false for those it fails on.
///
/// # Errors
/// As [`narrow`].
pub fn kept_rows(
    delta: &Delta,
    rejects: &mut Rejects,
    condition: &mut dyn FnMut(&Delta) -> Result<BooleanArray>,
) -> Result<BooleanArray> {
    let start = delta.batch.num_rows();
    let mut flags = vec![false; start];
    let mut left = vec![(0, start)];
    while let Some((from, rows)) = left.pop() {
        let part = delta.slice(from, rows);
        match condition(&part) {
            Ok(holds) => {
                let into = flags.get_mut(from..from + rows).unwrap_or_default();
                into.iter_mut().zip(holds.values().iter()).for_each(|(flag, holds)| *flag = holds);
            }
            Err(error) if error.kind() != ErrorKind::Data => return Err(error),
            Err(error) if rows <= 1 => rejects.row(RejectKind::Bad, &part, &error)?,
            Err(_) => {
                left.push((from + rows / 2, rows - rows / 2));
                left.push((from, rows / 2));
            }
        }
    }
    Ok(BooleanArray::new(BooleanBuffer::from(flags), None))
}
