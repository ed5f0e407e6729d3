//! Where window functions may not stand.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::from_datafusion;
use crate::error::{Result, SqlError, SqlState};

/// Refuses window functions in conditions and among what is grouped by. Of a plan of the planner.
pub(super) fn check(plan: &LogicalPlan) -> Result<()> {
    let mut wrong = None;
    let visited = plan.apply_with_subqueries(|node| {
        let (place, exprs) = match node {
            LogicalPlan::Filter(filter) if matches!(filter.input.as_ref(), LogicalPlan::Aggregate(_)) => {
                ("HAVING", vec![&filter.predicate])
            }
            LogicalPlan::Filter(filter) => ("WHERE", vec![&filter.predicate]),
            LogicalPlan::Join(join) => ("JOIN conditions", join.filter.iter().collect()),
            LogicalPlan::Aggregate(aggregate) => ("GROUP BY", aggregate.group_expr.iter().collect()),
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        for expr in exprs {
            if expr.exists(|expr| Ok(matches!(expr, Expr::WindowFunction(_))))? {
                wrong = Some(place);
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    visited.map_err(from_datafusion)?;
    match wrong {
        Some(place) => {
            let message = format!("window functions are not allowed in {place}");
            let error = SqlError::new(SqlState::WINDOWING_ERROR, message);
            Err(error.with_hint("compute it in a subquery and filter its rows, or use QUALIFY"))
        }
        None => Ok(()),
    }
}
