//! Joins: which operator serves, and the join of inputs that are kept whole.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{DFSchema, JoinType, NullEquality};
use datafusion::logical_expr::{Expr, Join, LogicalPlan, cast};
use millstream_engine::expr::Scalar;
use millstream_engine::plan::{ChangelogMode, Input, JoinKey, JoinKind, JoinSpec, NodeId, OperatorSpec};

use super::Lowering;
use super::columns::{Extended, extended, narrowed};
use super::rel::{Rel, Spread};
use super::window::spread;
use crate::error::Result;
use crate::query::from_datafusion;

/// A join whose left side is the one that semi, anti and mark joins give.
pub(super) struct Sided<'a> {
    pub(super) kind: JoinKind,
    pub(super) left: &'a LogicalPlan,
    pub(super) right: &'a LogicalPlan,
    pub(super) on: Vec<(Expr, Expr)>,
    pub(super) join: &'a Join,
}

/// The inputs of a join with their keys as columns.
pub(super) struct Keyed {
    pub(super) left: Extended,
    pub(super) right: Extended,
    pub(super) keys: Vec<JoinKey>,
    /// Width of each side without what was appended.
    pub(super) widths: (usize, usize),
}

impl<'a> Sided<'a> {
    fn of(join: &'a Join) -> Self {
        let (kind, turned) = match join.join_type {
            JoinType::Inner => (JoinKind::Inner, false),
            JoinType::Left => (JoinKind::Left, false),
            JoinType::Right => (JoinKind::Right, false),
            JoinType::Full => (JoinKind::Full, false),
            JoinType::LeftSemi => (JoinKind::Semi, false),
            JoinType::LeftAnti => (JoinKind::Anti, false),
            JoinType::LeftMark => (JoinKind::Mark, false),
            JoinType::RightSemi => (JoinKind::Semi, true),
            JoinType::RightAnti => (JoinKind::Anti, true),
            JoinType::RightMark => (JoinKind::Mark, true),
        };
        let on = join.on.iter().cloned();
        if turned {
            let on = on.map(|(left, right)| (right, left)).collect();
            return Self { kind, left: &join.right, right: &join.left, on, join };
        }
        Self { kind, left: &join.left, right: &join.right, on: on.collect(), join }
    }
}

impl Lowering<'_> {
    pub(super) fn join(&mut self, join: &Join) -> Result<Rel> {
        let sided = Sided::of(join);
        let (left, right) = (self.plan(sided.left)?, self.plan(sided.right)?);
        if let Some(rel) = self.window_join(&sided, &left, &right)? {
            return Ok(rel);
        }
        let keyed = keyed(&sided, left, right)?;
        if let Some(rel) = self.interval_join(&sided, &keyed)? {
            return Ok(rel);
        }
        self.regular_join(&sided, keyed)
    }

    /// A join of inputs that are kept whole.
    fn regular_join(&mut self, sided: &Sided<'_>, keyed: Keyed) -> Result<Rel> {
        let residual = sided.join.filter.as_ref().map(|filter| keyed.residual(filter)).transpose()?;
        let Keyed { left, right, keys, widths } = keyed;
        let right_at = left.rel.schema.fields().len();
        let updating = |rel: &Rel| rel.changelog == ChangelogMode::Retract;
        let retracts = (updating(&left.rel), updating(&right.rel));
        let ttl_us = (self.ttl_us(&left.rel), self.ttl_us(&right.rel));
        let kind = sided.kind;
        let append = retracts == (false, false) && matches!(kind, JoinKind::Inner | JoinKind::Semi);
        let mut out = joined(&left.rel, &right.rel, kind);
        if !append {
            out.changelog = ChangelogMode::Retract;
        }
        out.stream_key = match kind {
            JoinKind::Semi | JoinKind::Anti | JoinKind::Mark => left.rel.stream_key.clone(),
            JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full => None,
        };
        let null_aware = sided.join.null_aware && kind == JoinKind::Anti;
        let (inputs, spread) = self.meet(left.rel, right.rel, if null_aware { &[] } else { &keys });
        out.spread = match kind {
            JoinKind::Inner | JoinKind::Left | JoinKind::Semi | JoinKind::Anti | JoinKind::Mark => spread,
            JoinKind::Right | JoinKind::Full => Spread::Any,
        };
        let spec = JoinSpec { kind, keys, residual, retracts, null_aware, ttl_us };
        let out = self.node(OperatorSpec::Join(spec), inputs, out);
        Ok(shaped(out, widths, right_at, kind, sided.join))
    }

    /// Brings rows with equal keys together. Gives how the rows of the left side then lie.
    pub(super) fn meet(&mut self, left: Rel, right: Rel, keys: &[JoinKey]) -> (Vec<Input>, Spread) {
        let left_keys: Vec<usize> = keys.iter().map(|key| key.left).collect();
        let right_keys: Vec<usize> = keys.iter().map(|key| key.right).collect();
        (vec![self.exchange(left, &left_keys), self.exchange(right, &right_keys)], spread(&left_keys))
    }
}

/// The inputs of a join with a column for each side of each equality.
pub(super) fn keyed(sided: &Sided<'_>, left: Rel, right: Rel) -> Result<Keyed> {
    let null_equal = sided.join.null_equality == NullEquality::NullEqualsNull;
    let widths = (left.schema.fields().len(), right.schema.fields().len());
    let (left_schema, right_schema) = (sided.left.schema(), sided.right.schema());
    let (mut left_exprs, mut right_exprs) = (Vec::new(), Vec::new());
    for (of_left, of_right) in &sided.on {
        let (of_left, of_right) = same_type(of_left, left_schema, of_right, right_schema)?;
        left_exprs.push(of_left);
        right_exprs.push(of_right);
    }
    let left = extended(left, &left_exprs, left_schema, "left")?;
    let right = extended(right, &right_exprs, right_schema, "right")?;
    let pairs = left.columns.iter().zip(&right.columns);
    let mut keys: Vec<JoinKey> = Vec::with_capacity(left_exprs.len());
    for (&left, &right) in pairs {
        let key = JoinKey { left, right, null_equal };
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    Ok(Keyed { left, right, keys, widths })
}

/// Both sides of an equality in one type, or equal values would not meet.
fn same_type(left: &Expr, left_schema: &DFSchema, right: &Expr, right_schema: &DFSchema) -> Result<(Expr, Expr)> {
    use datafusion::logical_expr::ExprSchemable;
    let (of_left, of_right): (DataType, DataType) =
        (left.get_type(left_schema).map_err(from_datafusion)?, right.get_type(right_schema).map_err(from_datafusion)?);
    if of_left == of_right {
        return Ok((left.clone(), right.clone()));
    }
    let common = datafusion::logical_expr::binary::comparison_coercion(&of_left, &of_right).unwrap_or(of_left);
    Ok((cast(left.clone(), common.clone()), cast(right.clone(), common)))
}

impl Keyed {
    /// A further condition over the columns of both sides.
    pub(super) fn residual(&self, filter: &Expr) -> Result<Scalar> {
        let both = self.left.schema.join(&self.right.schema).map_err(from_datafusion)?;
        Ok(Scalar::compile(filter, &both)?)
    }
}

/// The rows of a join's operator: nothing is known of them but their columns.
pub(super) fn joined(left: &Rel, right: &Rel, kind: JoinKind) -> Rel {
    let of = |rel: &Rel| {
        rel.schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect::<Vec<Field>>()
    };
    let mut fields = of(left);
    match kind {
        JoinKind::Semi | JoinKind::Anti => {}
        JoinKind::Mark => fields.push(Field::new("mark", DataType::Boolean, false)),
        JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full => fields.extend(of(right)),
    }
    Rel::new(NodeId(0), Arc::new(Schema::new(fields)))
}

/// The columns of a join without what was appended to its inputs, under the names of the plan. `right_at`: where the
/// right columns begin.
pub(super) fn shaped(out: Rel, (left, right): (usize, usize), right_at: usize, kind: JoinKind, join: &Join) -> Rel {
    let columns: Vec<usize> = match kind {
        JoinKind::Semi | JoinKind::Anti => (0..left).collect(),
        JoinKind::Mark => (0..left).chain([right_at]).collect(),
        JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full => {
            (0..left).chain(right_at..right_at + right).collect()
        }
    };
    let fields = columns.iter().zip(join.schema.fields());
    let fields: Vec<Field> =
        fields.map(|(&column, named)| out.schema.field(column).clone().with_name(named.name())).collect();
    narrowed(out, &columns, &Arc::new(Schema::new(fields)))
}
