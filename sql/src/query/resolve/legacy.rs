//! Flink's old group windows: `GROUP BY TUMBLE(ts, INTERVAL …)` with `TUMBLE_START(…)` and its like.
//!
//! A query with one is rewritten to a windowing table function over what its `FROM` and `WHERE` give; the auxiliary
//! functions become the columns that it appends.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::ast::{VisitMut, VisitorMut};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::Named;
use super::tvf::{self, TvfCall, TvfKind, is_named, positional};
use crate::error::{Result, SqlError, SqlState};
use crate::query::position::at;

/// Names of the appended columns; not to be met in user tables.
const NAMES: [&str; 3] = ["__window_start", "__window_end", "__window_time"];

/// The suffixes of the auxiliary functions.
const SUFFIXES: [&str; 4] = ["_start", "_end", "_rowtime", "_proctime"];

/// The kinds that have an old form.
const KINDS: [TvfKind; 3] = [TvfKind::Tumble, TvfKind::Hop, TvfKind::Session];

/// Whether the name is that of a group window or of an auxiliary function.
pub(super) fn is_window_function(lower: &str) -> bool {
    KINDS.iter().any(|kind| {
        let name = kind.name().to_ascii_lowercase();
        lower.strip_prefix(&name).is_some_and(|suffix| suffix.is_empty() || SUFFIXES.contains(&suffix))
    })
}

/// The group window of a rewritten query.
#[derive(Debug)]
pub(super) struct LegacyWindow {
    kind: TvfKind,
    /// Its arguments, as text.
    args: Vec<String>,
}

impl LegacyWindow {
    /// Rewrites a resolved query, where it groups by a window.
    pub(super) fn rewrite(
        select: &mut sp::Select,
        outputs: &[Named],
        calls: &mut Vec<TvfCall>,
    ) -> Result<Option<Self>> {
        let sp::GroupByExpr::Expressions(group_by, _) = &mut select.group_by else { return Ok(None) };
        let window_of = |expr: &sp::Expr| match expr {
            sp::Expr::Function(function) => KINDS.into_iter().find(|kind| is_named(&function.name, kind.name())),
            _ => None,
        };
        let mut windows = group_by.iter().enumerate().filter_map(|(at, expr)| window_of(expr).map(|kind| (at, kind)));
        let Some((index, kind)) = windows.next() else { return Ok(None) };
        if windows.next().is_some() {
            return Err(SqlError::new(SqlState::GROUPING_ERROR, "a query can be grouped by one window only"));
        }
        let sp::Expr::Function(function) = group_by.remove(index) else { return Ok(None) };
        let args = positional(&function);
        let span = function.name.0.last().and_then(|part| part.as_ident()).map_or_else(Span::empty, |ident| ident.span);
        let legacy = Self { kind, args: args.iter().map(ToString::to_string).collect() };

        let keys = group_by.iter().map(|key| underlying(key, &select.projection, outputs)).collect();
        let input = tvf::select_all_from(std::mem::take(&mut select.from), select.selection.take());
        let call = legacy.call(args, keys, input, span)?;
        group_by.extend(NAMES.map(|name| sp::Expr::Identifier(sp::Ident::with_quote('"', name))));
        let relation = tvf::placeholder(calls, call, None);
        select.from = vec![sp::TableWithJoins { relation, joins: Vec::new() }];

        for item in &mut select.projection {
            match item {
                sp::SelectItem::UnnamedExpr(expr)
                | sp::SelectItem::ExprWithAlias { expr, .. }
                | sp::SelectItem::ExprWithAliases { expr, .. } => legacy.replace(expr)?,
                sp::SelectItem::Wildcard(_) | sp::SelectItem::QualifiedWildcard(..) => {}
            }
        }
        for expr in select.having.iter_mut().chain(&mut select.qualify) {
            legacy.replace(expr)?;
        }
        Ok(Some(legacy))
    }

    fn call(&self, args: Vec<sp::Expr>, keys: Vec<sp::Expr>, input: sp::Query, span: Span) -> Result<TvfCall> {
        let kind = self.kind;
        let mut args = args.into_iter();
        let time = args.next().filter(|time| matches!(time, sp::Expr::Identifier(_) | sp::Expr::CompoundIdentifier(_)));
        let Some(time) = time else {
            let message = format!("the first argument of {} must be a time column", kind.name());
            return Err(at(SqlError::new(SqlState::SYNTAX_ERROR, message), span));
        };
        let needed = kind.intervals().iter().filter(|name| **name != "OFFSET").count();
        let mut intervals: Vec<Option<sp::Expr>> = args.map(Some).collect();
        if intervals.len() != needed {
            let message = format!("{} takes a time column and {needed} interval(s)", kind.name());
            return Err(at(SqlError::new(SqlState::SYNTAX_ERROR, message), span));
        }
        intervals.resize_with(kind.intervals().len(), || None);
        let partition_by = if kind == TvfKind::Session { keys } else { Vec::new() };
        let names = Some(NAMES.map(str::to_owned));
        Ok(TvfCall { kind, input, time, partition_by, intervals, names, span })
    }

    /// Puts the appended columns in the place of the auxiliary functions.
    pub(super) fn replace(&self, expr: &mut sp::Expr) -> Result<()> {
        match expr.visit(&mut Replace(self)) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }

    /// The column that a call stands for; `None` where it is another function.
    fn column(&self, function: &sp::Function) -> Result<Option<sp::Expr>> {
        let Some(sp::ObjectNamePart::Identifier(ident)) = function.name.0.last() else { return Ok(None) };
        let lower = ident.value.to_ascii_lowercase();
        if !is_window_function(&lower) {
            return Ok(None);
        }
        let kind = self.kind.name().to_ascii_lowercase();
        let args: Vec<String> = positional(function).iter().map(ToString::to_string).collect();
        let Some(suffix) = lower.strip_prefix(&kind).filter(|_| args == self.args) else {
            let message = format!("{} does not belong to the window of GROUP BY", ident.value.to_ascii_uppercase());
            let hint = format!("it must be a function of {} with the same arguments", self.kind.name());
            return Err(at(SqlError::new(SqlState::GROUPING_ERROR, message).with_hint(hint), ident.span));
        };
        let name = match suffix {
            "_proctime" => {
                let mut proctime = function.clone();
                proctime.name = sp::ObjectName::from(vec![sp::Ident::new("proctime")]);
                if let sp::FunctionArguments::List(list) = &mut proctime.args {
                    list.args.clear();
                }
                return Ok(Some(sp::Expr::Function(proctime)));
            }
            "_end" => NAMES[1],
            "_rowtime" => NAMES[2],
            _ => NAMES[0],
        };
        Ok(Some(sp::Expr::Identifier(sp::Ident::with_quote('"', name))))
    }
}

/// A group key without the alias or the position that it is given by.
fn underlying(key: &sp::Expr, projection: &[sp::SelectItem], outputs: &[Named]) -> sp::Expr {
    let position = match key {
        sp::Expr::Value(value) => match &value.value {
            sp::Value::Number(number, _) => number.parse::<usize>().ok().and_then(|number| number.checked_sub(1)),
            _ => None,
        },
        sp::Expr::Identifier(ident) => outputs.iter().position(|output| output.plan == ident.value),
        _ => None,
    };
    match position.and_then(|position| projection.get(position)) {
        Some(sp::SelectItem::ExprWithAlias { expr, .. } | sp::SelectItem::UnnamedExpr(expr)) => expr.clone(),
        Some(_) | None => key.clone(),
    }
}

struct Replace<'w>(&'w LegacyWindow);

impl VisitorMut for Replace<'_> {
    type Break = SqlError;

    fn post_visit_expr(&mut self, expr: &mut sp::Expr) -> ControlFlow<SqlError> {
        let sp::Expr::Function(function) = &*expr else { return ControlFlow::Continue(()) };
        match self.0.column(function) {
            Ok(Some(column)) => *expr = column,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }
}
