//! Plans the windowing table functions that [`super::resolve`] took out of the tree.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result as PlanResult, ScalarValue};
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::tokenizer::Span;
use millstream_engine::operators::windows::windows_most;
use millstream_engine::plan::Window;

use super::nodes::{WindowTvf, span, window_names};
use super::position::at;
use super::provider::external;
use super::resolve::tvf::{TvfCall, TvfKind, placeholder_number};
use crate::error::{Result, SqlError, SqlState};

/// Windows that a row may be in at the most.
const WINDOWS_MAX: usize = 100_000;

/// Turns placeholders into [`WindowTvf`] nodes.
#[derive(Debug)]
pub(super) struct WindowPlanner {
    calls: Arc<Vec<TvfCall>>,
}

impl WindowPlanner {
    pub(super) fn new(calls: Vec<TvfCall>) -> Self {
        Self { calls: Arc::new(calls) }
    }
}

impl RelationPlanner for WindowPlanner {
    fn plan_relation(
        &self,
        relation: sp::TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> PlanResult<RelationPlanning> {
        let Some(call) = placeholder_number(&relation).and_then(|number| self.calls.get(number)) else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let alias = match relation {
            sp::TableFactor::TableFunction { alias, .. } => alias,
            _ => None,
        };
        let subquery = Box::new(call.input.clone());
        let input = context.plan(sp::TableFactor::Derived { lateral: false, subquery, alias: None, sample: None })?;
        let time = context.sql_to_expr(call.time.clone(), input.schema())?;
        check_time(call, &time, input.schema()).map_err(external)?;
        let mut partition_by = Vec::with_capacity(call.partition_by.len());
        for key in &call.partition_by {
            partition_by.push(context.sql_to_expr(key.clone(), input.schema())?);
        }
        let mut spans = Vec::with_capacity(call.intervals.len());
        for interval in &call.intervals {
            spans.push(match interval {
                Some(interval) => {
                    let value = context.sql_to_expr(interval.clone(), &DFSchema::empty())?;
                    Some(interval_micros(call.kind.name(), call.span, &value).map_err(external)?)
                }
                None => None,
            });
        }
        let window = window(call, &spans).map_err(external)?;
        let names = match &call.names {
            Some(names) => names.clone(),
            None => window_names(input.schema().fields().iter().map(|field| field.name().as_str())),
        };
        let plan = WindowTvf::try_new(input, window, time, partition_by, names)?.into_plan();
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

fn check_time(call: &TvfCall, time: &Expr, schema: &DFSchema) -> Result<()> {
    let data_type = time.get_type(schema).map_err(super::from_datafusion)?;
    if let (Expr::Column(_), DataType::Timestamp(..)) = (time, &data_type) {
        return Ok(());
    }
    let message = format!(
        "the time column of {} must be a timestamp, but {} is of type {data_type}",
        call.kind.name(),
        call.time
    );
    let error = SqlError::new(SqlState::DATATYPE_MISMATCH, message);
    Err(at(error.with_hint("name a TIMESTAMP(3) column with a watermark, or a PROCTIME() column"), call.span))
}

/// A constant interval in microseconds. `of`: what takes it, which stands at `span`.
///
/// # Errors
/// Where it is not constant, has months or is too long.
pub(super) fn interval_micros(of: &str, span: Span, value: &Expr) -> Result<i64> {
    let wrong = |message: String| at(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message), span);
    let overflow = || wrong(format!("an interval of {of} is too long"));
    match value {
        Expr::Negative(inner) => interval_micros(of, span, inner)?.checked_neg().ok_or_else(overflow),
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _) => {
            if interval.months != 0 {
                let message = format!("intervals of months or years cannot be used in {of}");
                return Err(at(SqlError::unsupported(message).with_hint("give the interval in days"), span));
            }
            let days = i64::from(interval.days).checked_mul(86_400_000_000).ok_or_else(overflow)?;
            if interval.nanoseconds % 1_000_000 != 0 {
                return Err(wrong(format!("an interval of {of} must be whole milliseconds")));
            }
            days.checked_add(interval.nanoseconds / 1_000).ok_or_else(overflow)
        }
        other => {
            Err(wrong(format!("{of} needs constant intervals, not {other}")).with_hint("write INTERVAL '10' SECOND"))
        }
    }
}

fn window(call: &TvfCall, spans: &[Option<i64>]) -> Result<Window> {
    let kind = call.kind;
    let wrong = |message: String| at(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message), call.span);
    for (name, given) in kind.intervals().iter().zip(spans) {
        if *name != "OFFSET"
            && let Some(given) = given
            && *given <= 0
        {
            let name = name.to_ascii_lowercase();
            return Err(wrong(format!("the {name} of {} must be positive, not {}", kind.name(), span(*given))));
        }
    }
    let get = |index: usize| spans.get(index).copied().flatten().unwrap_or(0);
    let planned = match kind {
        TvfKind::Tumble => Window::Tumble { size_us: get(0), offset_us: get(1) },
        TvfKind::Hop => Window::Hop { slide_us: get(0), size_us: get(1), offset_us: get(2) },
        TvfKind::Cumulate => {
            let (step_us, size_us) = (get(0), get(1));
            if size_us % step_us != 0 {
                let message = format!(
                    "the size of CUMULATE must be a multiple of its step, but {} is none of {}",
                    span(size_us),
                    span(step_us)
                );
                return Err(wrong(message));
            }
            Window::Cumulate { step_us, size_us, offset_us: get(2) }
        }
        TvfKind::Session => Window::Session { gap_us: get(0) },
    };
    let windows = windows_most(planned);
    if windows > WINDOWS_MAX {
        let message = format!("a row would be in up to {windows} windows of {}, more than {WINDOWS_MAX}", kind.name());
        return Err(wrong(message).with_hint("make the slide or the step longer, or the size shorter"));
    }
    Ok(planned)
}
