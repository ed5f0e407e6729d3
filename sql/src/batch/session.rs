//! Sessions as window functions: a row begins one when it comes more than the gap after the row before it.

use datafusion::common::{Column, Result as PlanResult, ScalarValue};
use datafusion::functions_aggregate::expr_fn::{max, min, sum};
use datafusion::functions_window::expr_fn::lag;
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, lit, when};

use super::functions::TimeFunction;
use super::{call, input_columns};
use crate::query::nodes::WindowTvf;

/// Names of the columns on the way. Not to be met in user tables.
const TIME: &str = "__millstream_time";
const BEGINS: &str = "__millstream_begins";
const BEFORE: &str = "__millstream_before";
const SESSION: &str = "__millstream_session";
const FIRST: &str = "__millstream_first";
const LAST: &str = "__millstream_last";

/// The rows with the columns of their session. Rows exactly a gap apart are of one session, as in Flink.
pub(super) fn plan(tvf: &WindowTvf, gap_us: i64) -> PlanResult<LogicalPlan> {
    let own = |name: &str| Expr::Column(Column::new_unqualified(name));
    let columns = input_columns(tvf);
    let keys = tvf.partition_by.clone();
    let by_time = || vec![own(TIME).sort(true, false)];
    let with = |more: Vec<Expr>| columns.iter().cloned().chain(more).collect::<Vec<_>>();

    let time = call(TimeFunction::micros(), tvf.time.clone()).alias(TIME);
    let before = lag(own(TIME), None, None).partition_by(keys.clone()).order_by(by_time()).build()?.alias(BEFORE);
    let rows = LogicalPlanBuilder::from(tvf.input.as_ref().clone()).project(with(vec![time]))?.window(vec![before])?;

    let apart = (own(TIME) - own(BEFORE)).gt(lit(gap_us));
    let begins = when(own(BEFORE).is_null().or(apart), lit(1_i64)).otherwise(lit(0_i64))?.alias(BEGINS);
    let rows = rows.project(with(vec![own(TIME), begins]))?;

    let until_here = datafusion::logical_expr::WindowFrame::new_bounds(
        datafusion::logical_expr::WindowFrameUnits::Rows,
        datafusion::logical_expr::WindowFrameBound::Preceding(ScalarValue::UInt64(None)),
        datafusion::logical_expr::WindowFrameBound::CurrentRow,
    );
    let number = sum(own(BEGINS))
        .partition_by(keys.clone())
        .order_by(by_time())
        .window_frame(until_here)
        .build()?
        .alias(SESSION);
    let rows = rows.window(vec![number])?.project(with(vec![own(TIME), own(SESSION)]))?;

    let of_session = || keys.iter().cloned().chain([own(SESSION)]).collect::<Vec<_>>();
    let first = min(own(TIME)).partition_by(of_session()).build()?.alias(FIRST);
    let last = max(own(TIME)).partition_by(of_session()).build()?.alias(LAST);
    let rows = rows.window(vec![first, last])?;
    let ends = [own(FIRST), own(LAST) + lit(gap_us), own(LAST) + lit(gap_us - 1_000)];
    let windows = ends.into_iter().zip(tvf.names());
    let windows = windows.map(|(end, name)| call(TimeFunction::timestamp(), end).alias(name)).collect();
    rows.project(with(windows))?.build()
}
