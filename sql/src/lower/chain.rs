//! [`Chain`]: what stands between an aggregation and the window function that it takes up.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};

use super::calls::Part;
use super::column_of;
use crate::error::Result;
use crate::query::from_datafusion;
use crate::query::nodes::WindowTvf;

/// Filters and projections between an aggregation and the window function below, with the aggregation's expressions
/// written over the window function's output.
pub(super) struct Chain<'a> {
    pub(super) tvf: &'a WindowTvf,
    pub(super) schema: &'a DFSchemaRef,
    pub(super) group: Vec<Expr>,
    pub(super) aggregates: Vec<Expr>,
    pub(super) filters: Vec<Expr>,
}

impl<'a> Chain<'a> {
    pub(super) fn of(aggregate: &'a Aggregate) -> Result<Option<Self>> {
        let (mut group, mut aggregates) = (aggregate.group_expr.clone(), aggregate.aggr_expr.clone());
        let (mut filters, mut plan) = (Vec::new(), aggregate.input.as_ref());
        loop {
            if let Some(tvf) = WindowTvf::of(plan) {
                return Ok(Some(Self { tvf, schema: plan.schema(), group, aggregates, filters }));
            }
            match plan {
                LogicalPlan::SubqueryAlias(alias) => {
                    let inner = alias.input.schema();
                    let definitions: Vec<Expr> = inner.iter().map(Expr::from).collect();
                    for expr in group.iter_mut().chain(&mut aggregates).chain(&mut filters) {
                        *expr = inlined(expr, &alias.schema, &definitions)?;
                    }
                    plan = alias.input.as_ref();
                }
                LogicalPlan::Projection(projection) => {
                    for expr in group.iter_mut().chain(&mut aggregates).chain(&mut filters) {
                        *expr = inlined(expr, &projection.schema, &projection.expr)?;
                    }
                    plan = projection.input.as_ref();
                }
                LogicalPlan::Filter(filter) => {
                    filters.push(filter.predicate.clone());
                    plan = filter.input.as_ref();
                }
                _ => return Ok(None),
            }
        }
    }

    /// Which of the window's columns an expression is.
    pub(super) fn part(&self, expr: &Expr, width: usize) -> Option<Part> {
        match column_of(expr, self.schema)?.checked_sub(width)? {
            0 => Some(Part::Start),
            1 => Some(Part::End),
            _ => Some(Part::Time),
        }
    }

    /// Whether an expression reads a column from `width` on.
    pub(super) fn reads_from(&self, expr: &Expr, width: usize) -> bool {
        let reads = |column: &datafusion::common::Column| {
            self.schema.maybe_index_of_column(column).is_none_or(|index| index >= width)
        };
        expr.column_refs().into_iter().any(reads)
    }
}

/// An expression over the output of a projection, written over its input.
pub(super) fn inlined(expr: &Expr, schema: &DFSchema, definitions: &[Expr]) -> Result<Expr> {
    let replaced = expr.clone().transform(|node| {
        let index = match &node {
            Expr::Column(column) => schema.maybe_index_of_column(column),
            _ => None,
        };
        Ok(match index.and_then(|index| definitions.get(index)) {
            Some(definition) => {
                let jump = datafusion::common::tree_node::TreeNodeRecursion::Jump;
                Transformed::new(definition.clone().unalias(), true, jump)
            }
            None => Transformed::no(node),
        })
    });
    Ok(replaced.map_err(from_datafusion)?.data)
}
