//! Windowing table functions that are not taken up by an aggregation: the rows get their window's columns.

use std::sync::Arc;

use datafusion::logical_expr::Expr;
use millstream_engine::plan::{ChangelogMode, OperatorSpec, SessionAssignSpec, Step, Window, WindowTime};

use super::rel::Rel;
use super::{Lowering, broken, column_of, refuse};
use crate::error::{Result, SqlError, SqlState};
use crate::query::nodes::WindowTvf;

impl Lowering<'_> {
    /// The rows once for each of their windows.
    pub(super) fn window_tvf(&mut self, tvf: &WindowTvf) -> Result<Rel> {
        let rel = self.plan(&tvf.input)?;
        let time = window_time(tvf, &rel)?;
        let width = rel.schema.fields().len();
        let schema = Arc::clone(datafusion::logical_expr::UserDefinedLogicalNodeCore::schema(tvf).inner());
        let from: Vec<Option<usize>> =
            (0..schema.fields().len()).map(|column| (column < width).then_some(column)).collect();
        let steps = rel.steps.clone();
        let mut out = rel.clone().mapped(&from, Arc::clone(&schema));
        // A window's own time takes over; where rows multiply, a row is no longer told by its key alone.
        out.time_column = Some(width + 2);
        out.window =
            super::rel::WindowColumns { start: [width].into(), end: [width + 1].into(), time: [width + 2].into() };
        out.stream_key = None;
        out.emit = tvf.emit.unwrap_or_default();
        match tvf.window {
            Window::Session { gap_us } => {
                let keys = columns(&tvf.partition_by, tvf)?;
                let (retracts, emit) = (rel.changelog == ChangelogMode::Retract, out.emit);
                if emit.updates() && time == WindowTime::Processing {
                    return Err(refuse("EMIT for sessions of processing time", None));
                }
                // A session that comes out at its close, and not after it, comes out once.
                out.changelog = if emit.updates() { ChangelogMode::Retract } else { ChangelogMode::Append };
                let mut input = rel;
                input.steps = steps;
                let inputs = vec![self.exchange(input, &keys)];
                out.steps = Vec::new();
                out.spread = spread(&keys);
                let spec = OperatorSpec::SessionAssign(SessionAssignSpec { gap_us, time, keys, retracts, emit });
                Ok(self.node(spec, inputs, out))
            }
            window @ (Window::Tumble { .. } | Window::Hop { .. } | Window::Cumulate { .. }) => {
                out.steps = steps;
                out.steps.push(Step::AssignWindows { window, time, schema });
                Ok(out)
            }
        }
    }
}

/// How rows lie after an exchange by these keys.
pub(super) fn spread(keys: &[usize]) -> super::rel::Spread {
    if keys.is_empty() { super::rel::Spread::Single } else { super::rel::Spread::Hash(keys.to_vec()) }
}

/// Where the time of a row comes from.
pub(super) fn window_time(tvf: &WindowTvf, rel: &Rel) -> Result<WindowTime> {
    let Some(column) = column_of(&tvf.time, tvf.input.schema()) else {
        return Err(broken("the time of a window is no column"));
    };
    if rel.proctime.contains(&column) {
        if rel.changelog == ChangelogMode::Retract {
            // What takes a row back comes at another time than the row.
            return Err(refuse("a window of processing time over rows that change", None));
        }
        return Ok(WindowTime::Processing);
    }
    if rel.time_column == Some(column) || rel.window.time.contains(&column) {
        return Ok(WindowTime::Event(column));
    }
    let name = rel.schema.field(column).name();
    let message =
        format!("column \"{name}\" is not an event-time column, so that a streaming window over it never closes");
    let hint = format!("declare WATERMARK FOR {name} AS … on the table, or use PROCTIME()");
    Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message).with_hint(hint))
}

/// The columns that expressions over the input of a window function are.
pub(super) fn columns(exprs: &[Expr], tvf: &WindowTvf) -> Result<Vec<usize>> {
    let schema = tvf.input.schema();
    let column = |expr| column_of(expr, schema).ok_or_else(|| refuse("PARTITION BY an expression", None));
    exprs.iter().map(column).collect()
}
