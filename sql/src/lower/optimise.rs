//! The rules that a plan is optimised with before it is lowered.
//!
//! A chosen list of DataFusion's: those that only batch engines profit from, and those that make nodes that we cannot
//! lower (`SingleDistinctToGroupBy`, Top-K), are left out.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::common_subexpr_eliminate::CommonSubexprEliminate;
use datafusion::optimizer::decorrelate_lateral_join::DecorrelateLateralJoin;
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion::optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion::optimizer::eliminate_duplicated_expr::EliminateDuplicatedExpr;
use datafusion::optimizer::eliminate_filter::EliminateFilter;
use datafusion::optimizer::eliminate_outer_join::EliminateOuterJoin;
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::propagate_empty_relation::PropagateEmptyRelation;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
use datafusion::optimizer::rewrite_set_comparison::RewriteSetComparison;
use datafusion::optimizer::scalar_subquery_to_join::ScalarSubqueryToJoin;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::optimizer::{Optimizer, OptimizerContext, OptimizerRule};

use super::fence;
use crate::error::Result;
use crate::query::from_datafusion;

/// The plan, made cheaper. `filter_above_state`: what stands below its last filter is made cheaper as if that were not there.
pub(super) fn optimise(plan: &LogicalPlan, filter_above_state: bool) -> Result<LogicalPlan> {
    let rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![
        Arc::new(SimplifyExpressions::new()),
        Arc::new(RewriteSetComparison::new()),
        Arc::new(DecorrelatePredicateSubquery::new()),
        Arc::new(ScalarSubqueryToJoin::new()),
        Arc::new(DecorrelateLateralJoin::new()),
        Arc::new(ReplaceDistinctWithAggregate::new()),
        Arc::new(ExtractEquijoinPredicate::new()),
        Arc::new(EliminateDuplicatedExpr::new()),
        Arc::new(EliminateFilter::new()),
        Arc::new(EliminateCrossJoin::new()),
        Arc::new(PropagateEmptyRelation::new()),
        Arc::new(EliminateOuterJoin::new()),
        Arc::new(PushDownFilter::new()),
        Arc::new(CommonSubexprEliminate::new()),
        Arc::new(OptimizeProjections::new()),
    ];
    let mut options = ConfigOptions::new();
    // A dataflow has no subqueries that are run by themselves: they are joins.
    options.optimizer.enable_physical_uncorrelated_scalar_subquery = false;
    let context = OptimizerContext::new_with_config_options(Arc::new(options));
    one_row_each(plan)?;
    let plan = if filter_above_state { fence::below_last_filter(plan)? } else { plan.clone() };
    let plan = Optimizer::with_rules(rules).optimize(plan, &context, |_, _| ()).map_err(from_datafusion)?;
    if filter_above_state { fence::without(plan) } else { Ok(plan) }
}

/// Refuses subqueries in expressions that may give more than a row: as joins they would multiply rows.
fn one_row_each(plan: &LogicalPlan) -> Result<()> {
    let mut several = false;
    let visited = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::ScalarSubquery(subquery) = expr {
                    several |= subquery.outer_ref_columns.is_empty() && subquery.subquery.max_rows() != Some(1);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    visited.map_err(from_datafusion)?;
    if several {
        return Err(super::refuse(
            "a subquery in an expression that may give several rows",
            Some("aggregate its rows"),
        ));
    }
    Ok(())
}
