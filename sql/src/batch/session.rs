//! Sessions as window functions: a row begins one when it comes more than the gap after the row before it.

use datafusion::common::{Column, Result as PlanResult, ScalarValue};
use datafusion::functions_aggregate::{min_max, sum};
use datafusion::functions_window::expr_fn::lag;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{
    AggregateUDF, Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, WindowFrame, WindowFrameBound,
    WindowFrameUnits, WindowFunctionDefinition, lit, when,
};
use std::sync::Arc;

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
    let columns = input_columns(tvf);
    let keys = || tvf.partition_by.clone();
    let by_time = || vec![own(TIME).sort(true, false)];
    let with = |more: Vec<Expr>| columns.iter().cloned().chain(more).collect::<Vec<_>>();

    let time = call(TimeFunction::micros(), tvf.time.clone()).alias(TIME);
    let rows = LogicalPlanBuilder::from(tvf.input.as_ref().clone()).project(with(vec![time]))?;
    let before = lag(own(TIME), Some(1), None).partition_by(keys()).order_by(by_time()).build()?;
    let rows = windowed(rows, with(vec![own(TIME)]), before, BEFORE)?;

    let apart = (own(TIME) - own(BEFORE)).gt(lit(gap_us));
    let begins = when(own(BEFORE).is_null().or(apart), lit(1_i64)).otherwise(lit(0_i64))?.alias(BEGINS);
    let rows = rows.project(with(vec![own(TIME), begins]))?;

    let until_here = WindowFrame::new_bounds(
        WindowFrameUnits::Rows,
        WindowFrameBound::Preceding(ScalarValue::UInt64(None)),
        WindowFrameBound::CurrentRow,
    );
    let number =
        over(sum::sum_udaf(), BEGINS).partition_by(keys()).order_by(by_time()).window_frame(until_here).build()?;
    let rows = windowed(rows, with(vec![own(TIME)]), number, SESSION)?;

    let of_session = || keys().into_iter().chain([own(SESSION)]).collect::<Vec<_>>();
    let first = over(min_max::min_udaf(), TIME).partition_by(of_session()).build()?;
    let rows = windowed(rows, with(vec![own(TIME), own(SESSION)]), first, FIRST)?;
    let last = over(min_max::max_udaf(), TIME).partition_by(of_session()).build()?;
    let rows = windowed(rows, with(vec![own(FIRST)]), last, LAST)?;

    let ends = [own(FIRST), own(LAST) + lit(gap_us), own(LAST) + lit(gap_us - 1_000)];
    let windows = ends.into_iter().zip(tvf.names());
    let windows = windows.map(|(end, name)| call(TimeFunction::timestamp(), end).alias(name)).collect();
    rows.project(with(windows))?.build()
}

/// A column of this plan's own.
fn own(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

/// An aggregate of a column as a window function.
fn over(function: Arc<AggregateUDF>, column: &str) -> Expr {
    let function = WindowFunctionDefinition::AggregateUDF(function);
    Expr::WindowFunction(Box::new(WindowFunction::new(function, vec![own(column)])))
}

/// Rows of the columns `keep` and the value of a window function under a name.
fn windowed(
    rows: LogicalPlanBuilder,
    mut keep: Vec<Expr>,
    function: Expr,
    name: &str,
) -> PlanResult<LogicalPlanBuilder> {
    keep.push(own(&function.schema_name().to_string()).alias(name));
    rows.window(vec![function])?.project(keep)
}
