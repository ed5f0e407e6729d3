//! Batch plans: our extension nodes replaced by standard ones.

use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::LogicalPlan;

use crate::bound::BoundQuery;
use crate::error::Result;
use crate::query::from_datafusion;
use crate::query::nodes::Watermark;

/// The plan of a bound query without our own nodes.
///
/// # Errors
/// Where a part has no batch form.
pub(crate) fn batch_plan(query: &BoundQuery) -> Result<LogicalPlan> {
    let plan = query.plan.clone().transform_up_with_subqueries(|node| {
        Ok(match Watermark::of(&node) {
            Some(watermark) => Transformed::yes(watermark.input.as_ref().clone()),
            None => Transformed::no(node),
        })
    });
    Ok(plan.map_err(from_datafusion)?.data)
}
