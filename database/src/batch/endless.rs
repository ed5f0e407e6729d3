//! Whether a query over a table that never ends would end.

use datafusion::logical_expr::LogicalPlan;
use millstream_engine::ports::Boundedness;
use millstream_sql::catalog::RelationKind;
use millstream_sql::error::from_datafusion;
use millstream_sql::{RelationSource, SqlError};

/// Refuses a plan that reads an endless table other than through a `LIMIT`.
///
/// # Errors
/// With a hint that names `LIMIT`, `SUBSCRIBE` and `CREATE MATERIALIZED VIEW`.
pub(super) fn check(plan: &LogicalPlan) -> Result<(), SqlError> {
    walk(plan, false)
}

/// `limited`: a `LIMIT` above stops the scan, as only steps that pass rows on as they come stand in between.
fn walk(plan: &LogicalPlan, limited: bool) -> Result<(), SqlError> {
    let below = match plan {
        LogicalPlan::TableScan(scan) => {
            if !limited
                && scan.fetch.is_none()
                && let Some(source) = scan.source.downcast_ref::<RelationSource>()
                && let RelationKind::ConnectorTable(table) = &source.relation.kind
                && table.boundedness == Boundedness::Endless
            {
                return Err(endless(&source.relation.name));
            }
            limited
        }
        LogicalPlan::Limit(limit) => limit.fetch.is_some(),
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::Unnest(_) => limited,
        _ => false,
    };
    for input in plan.inputs() {
        walk(input, below)?;
    }
    let mut inner = Ok(());
    let visited = plan.apply_subqueries(|subquery| {
        if inner.is_ok() {
            inner = walk(subquery, false);
        }
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Jump)
    });
    visited.map_err(from_datafusion)?;
    inner
}

fn endless(name: &str) -> SqlError {
    SqlError::unsupported(format!("table \"{name}\" never ends, so this SELECT would not end"))
        .with_hint("Add a LIMIT, follow it with SUBSCRIBE, or keep the result with CREATE MATERIALIZED VIEW.")
}
