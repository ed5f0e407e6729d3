//! Joins: of two windowed inputs on equal windows.

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::JoinType;
use datafusion::logical_expr::{Expr, Join};
use millstream_engine::expr::Scalar;
use millstream_engine::plan::{ChangelogMode, JoinKind, NodeId, OperatorSpec, WindowJoinSpec};

use super::rel::Rel;
use super::window::spread;
use super::{Lowering, column_of, refuse};
use crate::error::Result;

/// What a join must be.
const EQUAL_WINDOWS: &str = "join both sides on window_start and window_end, after the same window function";

impl Lowering<'_> {
    pub(super) fn join(&mut self, join: &Join) -> Result<Rel> {
        let other = || refuse("a join other than on equal windows", Some(EQUAL_WINDOWS));
        let kind = match join.join_type {
            JoinType::Inner => JoinKind::Inner,
            JoinType::Left => JoinKind::Left,
            JoinType::Right => JoinKind::Right,
            JoinType::Full => JoinKind::Full,
            JoinType::LeftSemi => JoinKind::Semi,
            JoinType::LeftAnti => JoinKind::Anti,
            JoinType::RightSemi | JoinType::RightAnti | JoinType::LeftMark | JoinType::RightMark => return Err(other()),
        };
        let (left, right) = (self.plan(&join.left)?, self.plan(&join.right)?);
        if left.changelog == ChangelogMode::Retract || right.changelog == ChangelogMode::Retract {
            return Err(refuse("a join of rows that change", Some(EQUAL_WINDOWS)));
        }
        let (mut starts, mut ends, mut keys) = (None, None, Vec::new());
        for (of_left, of_right) in &join.on {
            let pair = (column_of(of_left, join.left.schema()), column_of(of_right, join.right.schema()));
            let (Some(a), Some(b)) = pair else { return Err(refuse("a join on an expression", Some(EQUAL_WINDOWS))) };
            if left.window.start.contains(&a) && right.window.start.contains(&b) {
                starts = Some((a, b));
            } else if left.window.end.contains(&a) && right.window.end.contains(&b) {
                ends = Some((a, b));
            } else {
                keys.push((a, b));
            }
        }
        let (Some(window_start), Some(window_end)) = (starts, ends) else { return Err(other()) };
        let residual = join.filter.as_ref().map(|filter| self.residual(filter, join)).transpose()?;
        let mut out = self.joined(&left, &right, kind, join);
        let sides = |of: fn(&(usize, usize)) -> usize| match keys.is_empty() {
            true => vec![of(&window_start), of(&window_end)],
            false => keys.iter().map(of).collect::<Vec<_>>(),
        };
        let (left_keys, right_keys) = (sides(|pair| pair.0), sides(|pair| pair.1));
        // Hash columns must be the same on both sides, or equal rows would not meet.
        let aligned = |rel: &Rel, keys: &[usize]| rel.spread == spread(keys);
        let both = aligned(&left, &left_keys) && aligned(&right, &right_keys);
        let (mut left, mut right) = (left, right);
        if !both {
            left.spread = super::rel::Spread::Any;
            right.spread = super::rel::Spread::Any;
        }
        let inputs = vec![self.exchange(left, &left_keys), self.exchange(right, &right_keys)];
        out.spread = match kind {
            JoinKind::Inner | JoinKind::Left | JoinKind::Semi | JoinKind::Anti => spread(&left_keys),
            JoinKind::Right | JoinKind::Full => super::rel::Spread::Any,
        };
        let spec = WindowJoinSpec { kind, keys, window_start, window_end, residual };
        Ok(self.node(OperatorSpec::WindowJoin(spec), inputs, out))
    }

    /// A further condition, over the columns of both sides.
    fn residual(&self, filter: &Expr, join: &Join) -> Result<Scalar> {
        let both = join.left.schema().join(join.right.schema()).map_err(crate::query::from_datafusion)?;
        Ok(Scalar::compile(filter, &both)?)
    }

    /// What is known of the joined rows.
    fn joined(&self, left: &Rel, right: &Rel, kind: JoinKind, join: &Join) -> Rel {
        let width = left.schema.fields().len();
        let mut out = Rel::new(NodeId(0), Arc::clone(join.schema.inner()));
        let names = join.schema.fields().iter();
        match kind {
            JoinKind::Semi | JoinKind::Anti => out.window = left.window.clone(),
            JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full => {
                let shifted = |columns: &std::collections::BTreeSet<usize>| {
                    columns.iter().map(|column| column + width).collect::<Vec<_>>()
                };
                // A side that may be null does not tell the window.
                if matches!(kind, JoinKind::Inner | JoinKind::Left) {
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
        }
        let fields: Vec<_> = names.map(|field| field.as_ref().clone().with_nullable(true)).collect();
        out.schema = Arc::new(Schema::new(fields));
        out
    }
}
