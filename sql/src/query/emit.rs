//! `EMIT` and `STATE_TTL`: what a query says of when its windows come out and how long its state is kept, put into its plan.

use datafusion::common::DFSchema;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::planner::{PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::tokenizer::Span;
use millstream_engine::plan::{EarlyEmit, WindowEmit};
use millstream_engine::ports::option_value::parse_duration_us;

use super::from_datafusion;
use super::nodes::{StateTtl, WindowTvf};
use super::position::at;
use super::provider::Provider;
use super::window::interval_micros;
use crate::error::{Result, SqlError, SqlState};
use crate::parse::emit::keys;

/// An `EMIT` clause and where it stands.
pub(super) struct EmitClause {
    emit: WindowEmit,
    span: Span,
}

/// How long state over a table is kept: `STATE_TTL('table' = 'duration')`.
#[derive(Debug, Clone)]
pub(super) struct TtlHint {
    pub(super) table: String,
    pub(super) ttl_us: i64,
}

/// Takes the clause out of a query.
pub(super) fn take(query: &mut sp::Query) -> Vec<sp::Setting> {
    query.settings.take().unwrap_or_default()
}

/// The clause that [`take`] took out.
///
/// # Errors
/// Where an interval is none, or is not positive.
pub(super) fn clause(settings: &[sp::Setting], planner: &SqlToRel<'_, Provider<'_>>) -> Result<Option<EmitClause>> {
    let Some(span) = settings.first().map(|setting| setting.key.span) else { return Ok(None) };
    let mut emit = WindowEmit { holds_watermark: true, ..WindowEmit::default() };
    for setting in settings {
        let interval = || -> Result<i64> {
            let schema = DFSchema::empty();
            let value = planner.sql_to_expr(setting.value.clone(), &schema, &mut PlannerContext::new());
            let micros = interval_micros("EMIT", span, &value.map_err(from_datafusion)?)?;
            if micros <= 0 {
                let error = SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "an interval of EMIT must be positive");
                return Err(at(error, span));
            }
            Ok(micros)
        };
        match (setting.key.value.as_str(), &setting.value) {
            (keys::EARLY, sp::Expr::Identifier(_)) => emit.early = EarlyEmit::EachEpoch,
            (keys::EARLY, _) => emit.early = EarlyEmit::Every(interval()?),
            (keys::LATENESS, _) => emit.lateness_us = interval()?,
            (_, _) => {}
        }
    }
    Ok(Some(EmitClause { emit, span }))
}

/// Says of the windows of a plan when they come out: those that nobody has said it of, neither a view nor a query in it.
///
/// # Errors
/// Where the clause is there and there is no window.
pub(super) fn windows(plan: LogicalPlan, clause: Option<EmitClause>, default: WindowEmit) -> Result<LogicalPlan> {
    let emit = match &clause {
        Some(clause) => clause.emit,
        None if default.updates() => default,
        None => return Ok(plan),
    };
    let mut found = false;
    let plan = plan.transform_up_with_subqueries(|node| {
        let Some(tvf) = WindowTvf::of(&node) else { return Ok(Transformed::no(node)) };
        found = true;
        Ok(match tvf.emit {
            Some(_) => Transformed::no(node),
            None => Transformed::yes(tvf.clone().emitting(emit).into_plan()),
        })
    });
    let plan = plan.map_err(from_datafusion)?.data;
    match clause {
        Some(clause) if !found => {
            let error = SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "EMIT needs a query with windows");
            let hint = "group by TUMBLE, HOP, CUMULATE or SESSION; other results are updated with each epoch anyway";
            Err(at(error.with_hint(hint), clause.span))
        }
        Some(_) | None => Ok(plan),
    }
}

/// The `STATE_TTL` hints of a `SELECT`. Other hints are not for us.
///
/// # Errors
/// Where one is not of the form `STATE_TTL('table' = 'duration', …)`.
pub(super) fn hints(hints: &[sp::OptimizerHint]) -> Result<Vec<TtlHint>> {
    let wrong = |what: &str| {
        SqlError::new(SqlState::SYNTAX_ERROR, format!("the hint STATE_TTL {what}"))
            .with_hint("write /*+ STATE_TTL('orders' = '1 h', 'items' = '2 d') */")
    };
    let mut found = Vec::new();
    for hint in hints {
        let upper = hint.text.to_ascii_uppercase();
        let mut from = 0;
        while let Some(at) = upper.get(from..).and_then(|rest| rest.find("STATE_TTL")) {
            from += at + "STATE_TTL".len();
            let rest = hint.text.get(from..).unwrap_or_default().trim_start();
            let inner = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map(|(inner, _)| inner);
            for pair in inner.ok_or_else(|| wrong("needs parentheses"))?.split(',') {
                let (table, span) =
                    pair.split_once('=').ok_or_else(|| wrong("needs pairs of a table and a duration"))?;
                let unquoted = |text: &str| text.trim().trim_matches(['\'', '"', '`']).to_owned();
                let ttl = unquoted(span);
                let ttl_us = parse_duration_us(&ttl).ok_or_else(|| wrong(&format!("has no duration \"{ttl}\"")))?;
                found.push(TtlHint { table: unquoted(table), ttl_us });
            }
        }
    }
    Ok(found)
}

/// Puts the hints over the tables that they name.
///
/// # Errors
/// Where there is no such table in the query.
pub(super) fn times_to_live(mut plan: LogicalPlan, hints: &[TtlHint]) -> Result<LogicalPlan> {
    for hint in hints {
        let is_meant = |node: &LogicalPlan| match node {
            LogicalPlan::SubqueryAlias(alias) => alias.alias.table().eq_ignore_ascii_case(&hint.table),
            LogicalPlan::TableScan(scan) => scan.table_name.table().eq_ignore_ascii_case(&hint.table),
            _ => false,
        };
        let mut found = false;
        let wrapped = plan.transform_up_with_subqueries(|node| {
            if !is_meant(&node) {
                return Ok(Transformed::no(node));
            }
            found = true;
            Ok(Transformed::yes(StateTtl::plan(node, hint.ttl_us)))
        });
        plan = wrapped.map_err(from_datafusion)?.data;
        if !found {
            let message = format!("the hint STATE_TTL names \"{}\", which the query does not read", hint.table);
            return Err(SqlError::new(SqlState::UNDEFINED_TABLE, message)
                .with_hint("name a table, or its alias where it has one"));
        }
    }
    Ok(plan)
}
