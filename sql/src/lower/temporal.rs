//! Joins with one version of a table: in event time, and with what the table holds now.

use datafusion::common::JoinType;
use datafusion::logical_expr::{Expr, LogicalPlan};
use millstream_engine::plan::{AsofMatch, ChangelogMode, CurrentJoinSpec, JoinKind, OperatorSpec, TemporalJoinSpec};
use millstream_engine::ports::Boundedness;

use super::join::{Sided, joined, keyed, shaped};
use super::rel::Rel;
use super::{Lowering, broken, column_of, refuse};
use crate::error::{Result, SqlError};
use crate::query::boundedness;
use crate::query::temporal::{TemporalJoin, Times};

impl Lowering<'_> {
    /// The rows of a temporal join.
    pub(super) fn temporal_join(&mut self, node: &TemporalJoin) -> Result<Rel> {
        let join = &node.join;
        let kind = match join.join_type {
            JoinType::Inner => JoinKind::Inner,
            JoinType::Left => JoinKind::Left,
            _ => return Err(broken("a temporal join that is neither inner nor left")),
        };
        if let Some(rel) = self.lookup_join(node, kind)? {
            return Ok(rel);
        }
        let sided = Sided { kind, left: &join.left, right: &join.right, on: join.on.clone(), join };
        let (left, right) = (self.plan(&join.left)?, self.plan(&join.right)?);
        if !self.now.is_empty() {
            return Err(refuse("a temporal join over what is there now", None));
        }
        if left.changelog == ChangelogMode::Retract {
            return Err(updating("left"));
        }
        let times = node.times.as_ref().map(|times| event_times(node, times, &left, &right)).transpose()?;
        let (left_time, right_retracts) = (left.time_column, right.changelog == ChangelogMode::Retract);
        let keyed = keyed(&sided, left, right)?;
        let residual = join.filter.as_ref().map(|filter| keyed.residual(filter)).transpose()?;
        let (keys, widths, right_at) = (keyed.keys.clone(), keyed.widths, keyed.left.rel.schema.fields().len());
        let mut out = joined(&keyed.left.rel, &keyed.right.rel, kind);
        out.time_column = left_time;
        out.proctime = keyed.left.rel.proctime.clone();
        out.window = keyed.left.rel.window.clone();
        let (inputs, spread) = self.meet(keyed.left.rel, keyed.right.rel, &keys);
        out.spread = spread;
        let spec = match times {
            Some((left_time, right_time, asof)) => {
                OperatorSpec::TemporalJoin(TemporalJoinSpec { kind, keys, left_time, right_time, asof, residual })
            }
            None => {
                let right_ends = boundedness(&join.right) == Boundedness::Bounded;
                OperatorSpec::CurrentJoin(CurrentJoinSpec { kind, keys, residual, right_retracts, right_ends })
            }
        };
        let out = self.node(spec, inputs, out);
        Ok(shaped(out, widths, right_at, kind, join))
    }
}

/// The time columns of both sides. Both must have watermarks on them: else nothing would tell when a version is final.
fn event_times(node: &TemporalJoin, times: &Times, left: &Rel, right: &Rel) -> Result<(usize, usize, AsofMatch)> {
    let find = |expr: &Expr, plan: &LogicalPlan, rel: &Rel, side: &str| {
        let Some(column) = column_of(expr, plan.schema()) else { return Err(broken("a time that is no column")) };
        if rel.time_column == Some(column) {
            return Ok(column);
        }
        let message = format!("the {side} time {expr} of a temporal join must be the event time of its table");
        let error = SqlError::unsupported(message + " in a streaming query");
        Err(error.with_hint("declare WATERMARK FOR the column, or join as of processing time"))
    };
    let left_time = find(&times.left, &node.join.left, left, "left")?;
    let right_time = find(&times.right, &node.join.right, right, "right")?;
    match times.asof {
        AsofMatch::AtOrAfter | AsofMatch::After if right.changelog == ChangelogMode::Retract => Err(updating("right")),
        AsofMatch::AtOrBefore | AsofMatch::Before | AsofMatch::AtOrAfter | AsofMatch::After => {
            Ok((left_time, right_time, times.asof))
        }
    }
}

pub(super) fn updating(side: &str) -> SqlError {
    let message = format!("the {side} side of this temporal join changes rows that it has given");
    SqlError::unsupported(message + ", which is not supported in a streaming query")
        .with_hint("join before aggregating, or aggregate in windows")
}
