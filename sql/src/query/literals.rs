//! The types of numbers. A whole number is an `INT` where it fits, else a `BIGINT`, else a `DECIMAL`. One with an exponent is a
//! double in Flink, and exact in PostgreSQL as long as a decimal holds it.
//!
//! The planner reads every whole number as a `BIGINT`. [`typed`] marks in the tree of the statement those that are not; the
//! planner makes casts of the marks, so that it types all that stands around them, and [`folded`] makes literals of the casts.

use std::convert::Infallible;
use std::ops::ControlFlow;

use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::ast::{VisitMut, VisitorMut};

use super::resolve::tvf::TvfCall;
use super::{from_datafusion, rewrite};
use crate::catalog::Semantics;
use crate::error::Result;
use crate::functions::whole_literal;

/// Gives the numbers of a statement or expression their type.
pub(super) fn typed(node: &mut impl VisitMut, semantics: Semantics) {
    let ControlFlow::Continue(()) = node.visit(&mut Numbers { exact: semantics == Semantics::Postgres });
}

/// The same for what has been taken out of a statement.
pub(super) fn typed_calls(calls: &mut [TvfCall], semantics: Semantics) {
    for call in calls {
        typed(&mut call.input, semantics);
        call.partition_by.iter_mut().for_each(|key| typed(key, semantics));
    }
}

/// The most digits of a decimal.
const DIGITS_MAX: usize = 38;

/// The type that marks a number as an `INT`: a name of ClickHouse's, which our parser makes of no text.
const MARK: sp::DataType = sp::DataType::Int32;

/// Whether a type is the mark of an `INT`.
pub(super) fn is_mark(data_type: &sp::DataType) -> bool {
    *data_type == MARK
}

/// A plan in which the casts of whole numbers to whole numbers that hold them are literals.
pub(super) fn folded(plan: LogicalPlan) -> Result<LogicalPlan> {
    rewrite::expressions(plan, |expr, _| Ok(whole_literal(expr)))
}

/// The same for one expression.
pub(super) fn folded_expr(expr: Expr) -> Result<Expr> {
    Ok(expr.transform_up(|expr| Ok(whole_literal(expr))).map_err(from_datafusion)?.data)
}

/// Finds the numbers.
struct Numbers {
    /// Those with exponents are decimals where one can hold them.
    exact: bool,
}

impl VisitorMut for Numbers {
    type Break = Infallible;

    fn pre_visit_expr(&mut self, expr: &mut sp::Expr) -> ControlFlow<Infallible> {
        // The least INT and the least BIGINT, which do not fit without their sign.
        if let sp::Expr::UnaryOp { op: sp::UnaryOperator::Minus, expr: inner } = expr
            && let sp::Expr::Value(value) = inner.as_ref()
            && let sp::Value::Number(number, _) = &value.value
            && [i64::from(i32::MIN), i64::MIN].iter().any(|least| least.unsigned_abs().to_string() == *number)
        {
            let negative = sp::Value::Number(format!("-{number}"), false);
            *expr = sp::Expr::Value(negative.with_span(value.span));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut sp::Expr) -> ControlFlow<Infallible> {
        match expr {
            sp::Expr::Value(_) => self.value(expr),
            sp::Expr::UnaryOp { op: sp::UnaryOperator::Minus, expr: inner } if is_marked(inner) => {
                unmark(inner);
                *expr = marked(std::mem::replace(expr, sp::Expr::Value(sp::Value::Null.into())));
            }
            // The planner takes a tuple for a row where it begins with a number that is not marked.
            sp::Expr::Tuple(values) if values.first().is_some_and(is_marked) => {
                *expr = sp::Expr::Struct { values: std::mem::take(values), fields: Vec::new() };
            }
            sp::Expr::Interval(interval) => unmark(&mut interval.value),
            sp::Expr::Function(sp::Function { over: Some(sp::WindowType::WindowSpec(window)), .. }) => {
                unmark_frame(window);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut sp::Select) -> ControlFlow<Infallible> {
        if let sp::GroupByExpr::Expressions(exprs, _) = &mut select.group_by {
            exprs.iter_mut().for_each(unmark);
        }
        for sp::NamedWindowDefinition(_, window) in &mut select.named_window {
            if let sp::NamedWindowExpr::WindowSpec(window) = window {
                unmark_frame(window);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut sp::Query) -> ControlFlow<Infallible> {
        if let Some(sp::OrderBy { kind: sp::OrderByKind::Expressions(exprs), .. }) = &mut query.order_by {
            exprs.iter_mut().for_each(|order| unmark(&mut order.expr));
        }
        match &mut query.limit_clause {
            Some(sp::LimitClause::LimitOffset { limit, offset, .. }) => {
                let numbers = limit.iter_mut().chain(offset.iter_mut().map(|offset| &mut offset.value));
                numbers.for_each(unmark);
            }
            Some(sp::LimitClause::OffsetCommaLimit { offset, limit }) => {
                unmark(offset);
                unmark(limit);
            }
            None => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut sp::TableFactor) -> ControlFlow<Infallible> {
        if let sp::TableFactor::TableFunction { expr, .. } = factor {
            unmark(expr);
        }
        ControlFlow::Continue(())
    }
}

impl Numbers {
    /// Types a number.
    fn value(&self, expr: &mut sp::Expr) {
        let sp::Expr::Value(value) = expr else { return };
        let sp::Value::Number(number, _) = &mut value.value else { return };
        number.retain(|digit| digit != '_');
        if let Some((digits, exponent)) = number.split_once(['e', 'E']) {
            if let Some(plain) = Some(self).filter(|those| those.exact).and_then(|_| written_out(digits, exponent)) {
                *number = plain;
                return;
            }
            let (kind, data_type) = (sp::CastKind::Cast, sp::DataType::Double(sp::ExactNumberInfo::None));
            // As a text it may be as great or as small as a double is.
            let text = sp::Value::SingleQuotedString(number.clone()).with_span(value.span);
            let inner = Box::new(sp::Expr::Value(text));
            *expr = sp::Expr::Cast { kind, expr: inner, data_type, array: false, format: None };
        } else if number.parse::<i32>().is_ok() {
            *expr = marked(sp::Expr::Value(value.clone()));
        } else if number.parse::<i64>().is_err() && number.bytes().all(|digit| digit.is_ascii_digit()) {
            // By the point the planner knows it for a decimal.
            number.push('.');
        }
    }
}

/// A number that is an `INT`.
fn marked(number: sp::Expr) -> sp::Expr {
    sp::Expr::Cast { kind: sp::CastKind::Cast, expr: Box::new(number), data_type: MARK, array: false, format: None }
}

fn is_marked(expr: &sp::Expr) -> bool {
    matches!(expr, sp::Expr::Cast { data_type, .. } if is_mark(data_type))
}

/// Takes the mark away where the planner wants to see the number itself: positions, limits, frames.
fn unmark(expr: &mut sp::Expr) {
    if let sp::Expr::Cast { expr: number, data_type, .. } = expr
        && is_mark(data_type)
    {
        *expr = std::mem::replace(number, sp::Expr::Value(sp::Value::Null.into()));
    }
}

fn unmark_frame(window: &mut sp::WindowSpec) {
    let Some(frame) = &mut window.window_frame else { return };
    for bound in std::iter::once(&mut frame.start_bound).chain(&mut frame.end_bound) {
        match bound {
            sp::WindowFrameBound::Preceding(Some(rows)) | sp::WindowFrameBound::Following(Some(rows)) => unmark(rows),
            sp::WindowFrameBound::Preceding(None)
            | sp::WindowFrameBound::Following(None)
            | sp::WindowFrameBound::CurrentRow => {}
        }
    }
}

/// A number without its exponent; `None` where it has more digits than a decimal. It has a point always, by which the planner
/// knows it for a decimal.
fn written_out(number: &str, exponent: &str) -> Option<String> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: String = whole.chars().chain(fraction.chars()).filter(char::is_ascii_digit).collect();
    let before_point = i64::try_from(whole.chars().filter(char::is_ascii_digit).count()).ok()?;
    let point = before_point.checked_add(exponent.parse().ok()?)?;
    let all = i64::try_from(digits.len()).ok()?;
    let zeros = |count: i64| usize::try_from(count.max(0)).ok().filter(|count| *count <= DIGITS_MAX);
    let (before, behind) = ("0".repeat(zeros(-point)?), "0".repeat(zeros(point - all)?));
    let written = format!("{before}{digits}{behind}");
    let (whole, fraction) = written.split_at_checked(usize::try_from(point.max(0)).ok()?)?;
    let whole = whole.trim_start_matches('0');
    if whole.len() + fraction.len() > DIGITS_MAX {
        return None;
    }
    Some(format!("{}.{fraction}", if whole.is_empty() { "0" } else { whole }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_are_written_out() {
        let plain = |number: &str| number.split_once('e').and_then(|(digits, power)| written_out(digits, power));
        let exact = [
            ("1e3", "1000."),
            ("1.5e-3", "0.0015"),
            ("12e-1", "1.2"),
            ("1.50e1", "15.0"),
            ("0e5", "0."),
            (".5e+1", "5."),
            ("00.10e2", "10."),
            ("9e37", "90000000000000000000000000000000000000."),
        ];
        for (number, written) in exact {
            assert_eq!(plain(number).as_deref(), Some(written), "{number}");
        }
        for number in ["1e38", "1e-39", "1e400", "1e-400", "1e99999999999999999999", "1e9223372036854775807"] {
            assert_eq!(plain(number), None, "{number}");
        }
    }
}
