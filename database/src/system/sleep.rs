//! `pg_sleep(seconds)`: the query waits before it is run, for as long as all its calls say.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{ColumnarValue, Expr, LogicalPlan, ScalarUDF, Volatility, create_udf};
use datafusion::scalar::ScalarValue;
use millstream_sql::SqlError;
use millstream_sql::error::from_datafusion;

const NAME: &str = "pg_sleep";

/// The function, which gives an empty text at once.
pub(super) fn function() -> ScalarUDF {
    let empty = |_: &[ColumnarValue]| Ok(ColumnarValue::Scalar(ScalarValue::Utf8(Some(String::new()))));
    create_udf(NAME, vec![DataType::Float64], DataType::Utf8, Volatility::Volatile, Arc::new(empty))
}

/// Waits as the calls in a plan say. Who goes away meanwhile drops this.
pub(super) async fn wait(plan: &LogicalPlan) -> Result<(), SqlError> {
    let mut seconds = 0.0;
    let visited = plan.apply(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::ScalarFunction(call) = expr
                    && call.name() == NAME
                {
                    seconds += call.args.first().and_then(number).unwrap_or(0.0).max(0.0);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    visited.map_err(from_datafusion)?;
    if let Ok(span) = Duration::try_from_secs_f64(seconds)
        && let Some(until) = tokio::time::Instant::now().checked_add(span)
    {
        tokio::time::sleep_until(until).await;
    }
    Ok(())
}

/// A number that stands in the text.
fn number(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Cast(cast) => number(&cast.expr),
        Expr::Literal(value, _) => match value.cast_to(&DataType::Float64).ok()? {
            ScalarValue::Float64(number) => number,
            _ => None,
        },
        _ => None,
    }
}
