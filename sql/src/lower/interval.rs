//! Joins within bounds of event time: recognised from what the condition says of the two time columns.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use millstream_engine::plan::{ChangelogMode, IntervalJoinSpec, JoinKind, OperatorSpec};

use super::Lowering;
use super::join::{Keyed, Sided, joined, shaped};
use super::rel::{Rel, Spread};
use crate::error::Result;
use crate::query::from_datafusion;

/// A time column of one side plus a span in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shifted {
    is_left: bool,
    by_us: i64,
}

/// How far the left time may be from the right one: `lower <= left - right <= upper`.
#[derive(Debug, Clone, Copy, Default)]
struct Bounds {
    lower_us: Option<i64>,
    upper_us: Option<i64>,
}

impl Lowering<'_> {
    /// A join within bounds of time, where it is one: both inputs only insert, and the condition bounds the difference
    /// of their event times from both sides.
    pub(super) fn interval_join(&mut self, sided: &Sided<'_>, keyed: &Keyed) -> Result<Option<Rel>> {
        let (left, right) = (&keyed.left, &keyed.right);
        let append = |rel: &Rel| rel.changelog == ChangelogMode::Append;
        let (Some(left_time), Some(right_time)) = (left.rel.time_column, right.rel.time_column) else {
            return Ok(None);
        };
        let Some(filter) = &sided.join.filter else { return Ok(None) };
        if !append(&left.rel) || !append(&right.rel) || sided.kind == JoinKind::Mark || sided.join.null_aware {
            return Ok(None);
        }
        let both = left.schema.join(&right.schema).map_err(from_datafusion)?;
        let right_at = left.rel.schema.fields().len();
        let times = Times { schema: &both, left: left_time, right: right_at + right_time };
        let (mut bounds, mut others) = (Bounds::default(), Vec::new());
        for conjunct in split_conjunction(filter) {
            match times.bound(conjunct) {
                Some(bound) => bounds.narrow(bound),
                None => others.push(conjunct.clone()),
            }
        }
        let (Some(lower_us), Some(upper_us)) = (bounds.lower_us, bounds.upper_us) else { return Ok(None) };
        let residual = conjunction(others).map(|others| keyed.residual(&others)).transpose()?;
        let kind = sided.kind;
        let mut out = joined(&left.rel, &right.rel, kind);
        out.time_column = match kind {
            JoinKind::Right => None,
            JoinKind::Inner | JoinKind::Left | JoinKind::Semi | JoinKind::Anti => Some(left_time),
            // The left time may be null.
            JoinKind::Full | JoinKind::Mark => None,
        };
        let keys = keyed.keys.clone();
        let (inputs, spread) = self.meet(left.rel.clone(), right.rel.clone(), &keys);
        out.spread = match kind {
            JoinKind::Inner | JoinKind::Left | JoinKind::Semi | JoinKind::Anti | JoinKind::Mark => spread,
            JoinKind::Right | JoinKind::Full => Spread::Any,
        };
        let spec = IntervalJoinSpec { kind, keys, left_time, right_time, lower_us, upper_us, residual };
        let out = self.node(OperatorSpec::IntervalJoin(spec), inputs, out);
        Ok(Some(shaped(out, keyed.widths, right_at, kind, sided.join)))
    }
}

impl Bounds {
    fn narrow(&mut self, other: Self) {
        let tighter = |have: Option<i64>, new: Option<i64>, pick: fn(i64, i64) -> i64| match (have, new) {
            (Some(have), Some(new)) => Some(pick(have, new)),
            (have, new) => have.or(new),
        };
        self.lower_us = tighter(self.lower_us, other.lower_us, i64::max);
        self.upper_us = tighter(self.upper_us, other.upper_us, i64::min);
    }
}

/// The time columns of both sides, by their place among the columns of both.
struct Times<'a> {
    schema: &'a DFSchema,
    left: usize,
    right: usize,
}

impl Times<'_> {
    /// What a condition says of the difference of the times; `None` where it says something else.
    fn bound(&self, condition: &Expr) -> Option<Bounds> {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return None };
        let (a, b) = (self.shifted(left)?, self.shifted(right)?);
        // Written as: left time + span, compared with right time.
        let (op, span) = match (a.is_left, b.is_left) {
            (true, false) => (*op, b.by_us.checked_sub(a.by_us)?),
            (false, true) => (op.swap()?, a.by_us.checked_sub(b.by_us)?),
            _ => return None,
        };
        let (lower_us, upper_us) = match op {
            Operator::GtEq => (Some(span), None),
            Operator::Gt => (Some(span.checked_add(1)?), None),
            Operator::LtEq => (None, Some(span)),
            Operator::Lt => (None, Some(span.checked_sub(1)?)),
            Operator::Eq => (Some(span), Some(span)),
            _ => return None,
        };
        Some(Bounds { lower_us, upper_us })
    }

    /// A time column plus or minus spans.
    fn shifted(&self, expr: &Expr) -> Option<Shifted> {
        match expr {
            Expr::Column(column) => match self.schema.maybe_index_of_column(column)? {
                index if index == self.left => Some(Shifted { is_left: true, by_us: 0 }),
                index if index == self.right => Some(Shifted { is_left: false, by_us: 0 }),
                _ => None,
            },
            // To a finer unit of timestamps; a coarser one is another time.
            Expr::Cast(cast) if is_fine(cast.field.data_type()) => self.shifted(&cast.expr),
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Plus, right }) => {
                let (time, span) = match (span_us(left), span_us(right)) {
                    (None, Some(span)) => (left, span),
                    (Some(span), None) => (right, span),
                    _ => return None,
                };
                let time = self.shifted(time)?;
                Some(Shifted { by_us: time.by_us.checked_add(span)?, ..time })
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) => {
                let time = self.shifted(left)?;
                Some(Shifted { by_us: time.by_us.checked_sub(span_us(right)?)?, ..time })
            }
            _ => None,
        }
    }
}

fn is_fine(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(TimeUnit::Microsecond | TimeUnit::Nanosecond, _))
}

/// A span without months, in microseconds.
fn span_us(expr: &Expr) -> Option<i64> {
    const DAY_US: i64 = 86_400_000_000;
    let Expr::Literal(value, _) = expr else { return None };
    match value {
        ScalarValue::IntervalDayTime(Some(span)) => {
            i64::from(span.days).checked_mul(DAY_US)?.checked_add(i64::from(span.milliseconds) * 1_000)
        }
        ScalarValue::IntervalMonthDayNano(Some(span)) if span.months == 0 => {
            i64::from(span.days).checked_mul(DAY_US)?.checked_add(span.nanoseconds / 1_000)
        }
        _ => None,
    }
}
