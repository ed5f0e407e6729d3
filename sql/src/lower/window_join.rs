//! Joins of two windowed inputs on equal windows.

use std::collections::BTreeSet;

use millstream_engine::plan::{ChangelogMode, JoinKind, OperatorSpec, WindowJoinSpec};

use super::Lowering;
use super::join::{Sided, joined, keyed, shaped};
use super::rel::{Rel, Spread};
use super::window::spread;
use crate::error::Result;

impl Lowering<'_> {
    /// A join on equal windows, where it is one.
    pub(super) fn window_join(&mut self, sided: &Sided<'_>, left: &Rel, right: &Rel) -> Result<Option<Rel>> {
        let append = |rel: &Rel| rel.changelog == ChangelogMode::Append;
        if !append(left) || !append(right) || sided.join.null_aware {
            return Ok(None);
        }
        let of = keyed(sided, left.clone(), right.clone())?;
        let (mut starts, mut ends, mut keys) = (None, None, Vec::new());
        for key in &of.keys {
            let (a, b) = (key.left, key.right);
            if left.window.start.contains(&a) && right.window.start.contains(&b) {
                starts = Some((a, b));
            } else if left.window.end.contains(&a) && right.window.end.contains(&b) {
                ends = Some((a, b));
            } else if key.null_equal {
                return Ok(None);
            } else {
                keys.push((a, b));
            }
        }
        let (Some(window_start), Some(window_end)) = (starts, ends) else { return Ok(None) };
        let residual = sided.join.filter.as_ref().map(|filter| of.residual(filter)).transpose()?;
        let kind = sided.kind;
        let (left, right, widths) = (of.left.rel, of.right.rel, of.widths);
        let right_at = left.schema.fields().len();
        let mut out = joined(&left, &right, kind);
        windows_of(&mut out, &left, &right, kind);
        let sides = |of: fn(&(usize, usize)) -> usize| match keys.is_empty() {
            true => vec![of(&window_start), of(&window_end)],
            false => keys.iter().map(of).collect::<Vec<_>>(),
        };
        let (left_keys, right_keys) = (sides(|pair| pair.0), sides(|pair| pair.1));
        let inputs = vec![self.exchange(left, &left_keys), self.exchange(right, &right_keys)];
        out.spread = match kind {
            JoinKind::Inner | JoinKind::Left | JoinKind::Semi | JoinKind::Anti | JoinKind::Mark => spread(&left_keys),
            JoinKind::Right | JoinKind::Full => Spread::Any,
        };
        let spec = WindowJoinSpec { kind, keys, window_start, window_end, residual };
        let out = self.node(OperatorSpec::WindowJoin(spec), inputs, out);
        Ok(Some(shaped(out, widths, right_at, kind, sided.join)))
    }
}

/// The windows of joined rows. A side that may be null does not tell the window.
fn windows_of(out: &mut Rel, left: &Rel, right: &Rel, kind: JoinKind) {
    let width = left.schema.fields().len();
    let shifted = |columns: &BTreeSet<usize>| columns.iter().map(|column| column + width).collect::<Vec<_>>();
    let of_left = matches!(kind, JoinKind::Inner | JoinKind::Left | JoinKind::Semi | JoinKind::Anti | JoinKind::Mark);
    if of_left {
        out.window = left.window.clone();
        out.time_column = left.time_column;
    }
    if matches!(kind, JoinKind::Inner | JoinKind::Right) {
        out.window.start.extend(shifted(&right.window.start));
        out.window.end.extend(shifted(&right.window.end));
        out.window.time.extend(shifted(&right.window.time));
        out.time_column = out.time_column.or(right.time_column.map(|column| column + width));
    }
}
