//! Batch plans: our extension nodes replaced by standard ones, so that DataFusion can run them.
//!
//! A watermark means nothing to a batch query and goes. TUMBLE, HOP and CUMULATE become a list of windows for each row and
//! an unnest, and so does UNNEST; SESSION becomes window functions over the rows of a key in order of time, and so does a
//! temporal join.

mod asof;
mod functions;
mod session;

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result as PlanResult};
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, ScalarUDF, cast};
use millstream_engine::plan::Window;

use self::functions::{FIELDS, WindowsOf};
use crate::bound::BoundQuery;
use crate::error::Result;
use crate::functions::PROCTIME;
use crate::query::from_datafusion;
use crate::query::nodes::{StateTtl, Watermark, WindowTvf};
use crate::query::temporal::TemporalJoin;
use crate::query::unnest::{self, Unnest};

/// The column of windows before it is unnested. Not to be met in user tables.
const WINDOWS: &str = "__millstream_windows";

/// The plan of a bound query without our own nodes.
///
/// # Errors
/// Where DataFusion cannot plan a part.
pub(crate) fn batch_plan(query: &BoundQuery) -> Result<LogicalPlan> {
    let plan = query.plan.clone().transform_up_with_subqueries(|node| {
        if let Some(watermark) = Watermark::of(&node) {
            return Ok(Transformed::yes(watermark.input.as_ref().clone()));
        }
        if let Some(join) = TemporalJoin::of(&node) {
            return Ok(Transformed::yes(asof::plan(join)?));
        }
        if let Some(ttl) = StateTtl::of(&node) {
            return Ok(Transformed::yes(ttl.input.as_ref().clone()));
        }
        if let Some(unnest) = Unnest::of(&node) {
            return Ok(Transformed::yes(unnest::batch_plan(unnest)?));
        }
        match WindowTvf::of(&node) {
            Some(tvf) => Ok(Transformed::yes(windows(tvf)?)),
            None => Ok(Transformed::no(node)),
        }
    });
    let plan = plan.map_err(from_datafusion)?.data.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(clock(expr)?.update_data(|expr| name.restore(expr)))
        })
    });
    Ok(plan.map_err(from_datafusion)?.data)
}

/// The processing time of a batch query is when it began.
fn clock(expr: Expr) -> PlanResult<Transformed<Expr>> {
    expr.transform_up(|expr| match &expr {
        Expr::ScalarFunction(call) if call.name() == PROCTIME => {
            let began = datafusion::functions::datetime::expr_fn::now();
            Ok(Transformed::yes(cast(began, DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())))))
        }
        _ => Ok(Transformed::no(expr)),
    })
}

/// The rows of a window function with their window's columns.
fn windows(tvf: &WindowTvf) -> PlanResult<LogicalPlan> {
    match tvf.window {
        Window::Session { gap_us } => session::plan(tvf, gap_us),
        window @ (Window::Tumble { .. } | Window::Hop { .. } | Window::Cumulate { .. }) => {
            let list = ScalarUDF::new_from_impl(WindowsOf::new(window)).call(vec![tvf.time.clone()]).alias(WINDOWS);
            let mut columns = input_columns(tvf);
            let whole = columns.iter().cloned().chain([list]);
            let rows = LogicalPlanBuilder::from(tvf.input.as_ref().clone()).project(whole)?.unnest_column(WINDOWS)?;
            let field = |(name, alias): (&str, &String)| {
                get_field(Expr::Column(Column::new_unqualified(WINDOWS)), name).alias(alias)
            };
            columns.extend(FIELDS.into_iter().zip(tvf.names()).map(field));
            rows.project(columns)?.build()
        }
    }
}

/// The columns of a window function's input.
fn input_columns(tvf: &WindowTvf) -> Vec<Expr> {
    tvf.input.schema().iter().map(|(qualifier, field)| Expr::from((qualifier, field))).collect()
}

/// Calls a function of ours.
fn call(function: functions::TimeFunction, arg: Expr) -> Expr {
    Arc::new(ScalarUDF::new_from_impl(function)).call(vec![arg])
}
