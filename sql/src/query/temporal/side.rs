//! Which side of a join an expression reads, and whether it is the processing time.

use datafusion::common::DFSchema;
use datafusion::logical_expr::{Expr, Join, LogicalPlan};

use super::node::TemporalJoin;
use crate::functions::PROCTIME;
use crate::query::nodes::{Watermark, WindowTvf};

/// A side of a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The left one.
    Left,
    /// The right one.
    Right,
}

impl Side {
    /// The side whose columns an expression reads. `None` where it reads both, or none.
    pub(super) fn of(expr: &Expr, join: &Join) -> Option<Self> {
        let columns = expr.column_refs();
        let all = |schema: &DFSchema| columns.iter().all(|column| schema.maybe_index_of_column(column).is_some());
        match (columns.is_empty(), all(join.left.schema()), all(join.right.schema())) {
            (true, ..) => None,
            (false, true, _) => Some(Self::Left),
            (false, false, true) => Some(Self::Right),
            (false, false, false) => None,
        }
    }
}

/// An expression without names and casts around it.
pub(super) fn uncast(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => uncast(&alias.expr),
        Expr::Cast(cast) => uncast(&cast.expr),
        other => other,
    }
}

/// Whether an expression over the columns of a plan is `PROCTIME()`.
pub(super) fn is_proctime(expr: &Expr, plan: &LogicalPlan) -> bool {
    match uncast(expr) {
        Expr::ScalarFunction(call) => call.name() == PROCTIME,
        Expr::Column(column) => {
            plan.schema().maybe_index_of_column(column).is_some_and(|index| is_proctime_column(index, plan))
        }
        _ => false,
    }
}

fn is_proctime_column(index: usize, plan: &LogicalPlan) -> bool {
    let of_two = |left: &LogicalPlan, right: &LogicalPlan| {
        let width = left.schema().fields().len();
        match index.checked_sub(width) {
            None => is_proctime_column(index, left),
            Some(index) => is_proctime_column(index, right),
        }
    };
    if let Some(watermark) = Watermark::of(plan) {
        return is_proctime_column(index, &watermark.input);
    }
    if let Some(tvf) = WindowTvf::of(plan) {
        return index < tvf.input.schema().fields().len() && is_proctime_column(index, &tvf.input);
    }
    if let Some(join) = TemporalJoin::of(plan) {
        return of_two(&join.join.left, &join.join.right);
    }
    match plan {
        LogicalPlan::Projection(projection) => {
            projection.expr.get(index).is_some_and(|expr| is_proctime(expr, &projection.input))
        }
        LogicalPlan::SubqueryAlias(alias) => is_proctime_column(index, &alias.input),
        LogicalPlan::Filter(filter) => is_proctime_column(index, &filter.input),
        LogicalPlan::Union(union) => union.inputs.iter().all(|input| is_proctime_column(index, input)),
        LogicalPlan::Join(join) => of_two(&join.left, &join.right),
        _ => false,
    }
}
