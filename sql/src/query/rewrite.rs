//! The expressions of a plan rewritten, with the names of its columns kept.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result as PlanResult};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::from_datafusion;
use crate::error::Result;

/// A plan in which `rewrite` has been given every expression, its parts before itself, in subqueries too; with the columns that
/// the expression is over, which for a filter within the scan of a table are the table's.
///
/// # Errors
/// What `rewrite` gives; where the plan does not fit its new expressions.
pub(super) fn expressions(
    plan: LogicalPlan,
    mut rewrite: impl FnMut(Expr, &DFSchema) -> PlanResult<Transformed<Expr>>,
) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let mut input = DFSchema::empty();
        match &node {
            LogicalPlan::TableScan(scan) => input.merge(&scan.projected_schema),
            other => other.inputs().iter().for_each(|child| input.merge(child.schema())),
        }
        // The columns of VALUES are not called as their expressions, which may be many.
        let names = (!matches!(node, LogicalPlan::Values(_))).then(|| NamePreserver::new(&node));
        let mapped = node.map_expressions(|expr| {
            let name = names.as_ref().map(|names| names.save(&expr));
            let rewritten = expr.transform_up(|expr| rewrite(expr, &input))?;
            Ok(match name {
                Some(name) if rewritten.transformed => Transformed::yes(name.restore(rewritten.data)),
                _ => rewritten,
            })
        })?;
        if mapped.transformed { mapped.map_data(LogicalPlan::recompute_schema) } else { Ok(mapped) }
    });
    Ok(rewritten.map_err(from_datafusion)?.data)
}
