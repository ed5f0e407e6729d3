//! [`rewrites`]: which pieces are worth writing anew. A pure choice.
//!
//! Pieces fall into classes by their rows, each eight times the one before. Neighbours of at most one class are
//! joined when together they reach the next, so that a row is written about once a class, and fewer than eight pieces of
//! each class stand side by side. A piece more than half of which is dead is written alone. What is as large as a full batch
//! stays as it came, so that a checkpoint which has it once need not write it again.

use std::ops::Range;

use crate::message::BATCH_ROWS;

/// Growth of a class over the one before.
const GROWTH: usize = 8;

/// Rows from which a piece is not joined any more.
const FULL_ROWS: usize = BATCH_ROWS;

/// Rows up to which a dead half is not worth the work: such a piece is soon joined.
const SMALL_ROWS: usize = 64;

/// The size of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) rows: usize,
    pub(crate) live_rows: usize,
}

/// Runs of neighbouring pieces, in order and disjoint, each of which should become one piece.
pub(crate) fn rewrites(sizes: &[Size]) -> Vec<Range<usize>> {
    let mut chosen: Vec<Range<usize>> = Vec::new();
    let mut limit = FULL_ROWS;
    // The greatest class first: a long run takes in the short ones inside it.
    while limit > 1 {
        for run in runs(sizes, |size| size.rows < limit) {
            let live: usize = sizes.get(run.clone()).unwrap_or_default().iter().map(|size| size.live_rows).sum();
            let free = chosen.iter().all(|other| other.end <= run.start || run.end <= other.start);
            if run.len() > 1 && live >= limit && free {
                chosen.push(run);
            }
        }
        limit /= GROWTH;
    }
    for (index, size) in sizes.iter().enumerate() {
        let free = !chosen.iter().any(|run| run.contains(&index));
        if free && size.rows > SMALL_ROWS && size.live_rows * 2 < size.rows {
            chosen.push(index..index + 1);
        }
    }
    chosen.sort_by_key(|run| run.start);
    chosen
}

/// The longest runs of neighbours that are all `in_run`.
fn runs(sizes: &[Size], in_run: impl Fn(&Size) -> bool) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (index, _) in sizes.iter().enumerate().filter(|(_, size)| in_run(size)) {
        match runs.last_mut() {
            Some(run) if run.end == index => run.end = index + 1,
            _ => runs.push(index..index + 1),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(rows: &[usize]) -> Vec<Size> {
        rows.iter().map(|&rows| Size { rows, live_rows: rows }).collect()
    }

    #[test]
    fn neighbours_join_when_they_fill_the_next_class() {
        assert_eq!(rewrites(&live(&[9, 9])), vec![Range { start: 0, end: 2 }]);
        assert_eq!(rewrites(&live(&[1_000, 9, 9])), vec![Range { start: 1, end: 3 }]);
        assert!(rewrites(&live(&[70_000, 70_000, 5, 5])).is_empty());
    }

    #[test]
    fn the_number_of_pieces_stays_small_and_rows_are_seldom_rewritten() {
        let (mut pieces, mut rewritten) = (Vec::new(), 0);
        for _ in 0..100_000 {
            pieces.push(Size { rows: 10, live_rows: 10 });
            for run in rewrites(&pieces).into_iter().rev() {
                let rows = pieces[run.clone()].iter().map(|size| size.live_rows).sum();
                rewritten += rows;
                pieces.splice(run, [Size { rows, live_rows: rows }]);
            }
            assert!(pieces.len() < 1_000_000 / BATCH_ROWS + 40, "{} pieces", pieces.len());
        }
        assert!(rewritten < 8 * 1_000_000, "{rewritten} rows");
    }

    #[test]
    fn a_half_dead_piece_is_written_anew() {
        let sizes = [Size { rows: 100_000, live_rows: 49_999 }, Size { rows: 100_000, live_rows: 50_000 }];
        assert_eq!(rewrites(&sizes[..1]), vec![Range { start: 0, end: 1 }]);
        assert!(rewrites(&sizes[1..]).is_empty());
    }
}
