//! The only operation of a statement that can fail in some way.

use std::convert::Infallible;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::ast::{Spanned, VisitorMut};
use datafusion::sql::sqlparser::tokenizer::Span;

use crate::ast::Statement;
use crate::error::SqlState;

/// Where it stands; `None` where there are several.
pub(super) fn only(state: SqlState, statement: &mut Statement) -> Option<Span> {
    let mut operations = Operations { state, found: Vec::new() };
    for mut part in statement.parts_mut() {
        let ControlFlow::Continue(()) = part.visit(&mut operations);
    }
    match operations.found.as_slice() {
        [only] => Some(*only).filter(|span| *span != Span::empty()),
        _ => None,
    }
}

struct Operations {
    state: SqlState,
    found: Vec<Span>,
}

impl VisitorMut for Operations {
    type Break = Infallible;

    fn post_visit_expr(&mut self, expr: &mut sp::Expr) -> ControlFlow<Infallible> {
        if can_fail(self.state, expr) {
            self.found.push(expr.span());
        }
        ControlFlow::Continue(())
    }
}

/// Whether an operation can fail so, apart from what is in it.
fn can_fail(state: SqlState, expr: &sp::Expr) -> bool {
    match state {
        SqlState::DIVISION_BY_ZERO => divides(expr),
        SqlState::INVALID_REGULAR_EXPRESSION => matches_regex(expr),
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE => casts(expr) || computes(expr),
        SqlState::INVALID_TEXT_REPRESENTATION | SqlState::INVALID_DATETIME_FORMAT => casts(expr),
        SqlState::DATETIME_FIELD_OVERFLOW => casts(expr) || computes(expr) || calls(expr),
        _ => calls(expr),
    }
}

fn divides(expr: &sp::Expr) -> bool {
    match expr {
        sp::Expr::BinaryOp { op, right, .. } => {
            matches!(op, sp::BinaryOperator::Divide | sp::BinaryOperator::Modulo | sp::BinaryOperator::MyIntegerDivide)
                && !is_number_but_zero(right)
        }
        sp::Expr::Function(function) => is_named(function, &["mod", "div", "remainder"]),
        _ => false,
    }
}

fn is_number_but_zero(expr: &sp::Expr) -> bool {
    match expr {
        sp::Expr::Nested(inner) | sp::Expr::UnaryOp { expr: inner, .. } => is_number_but_zero(inner),
        sp::Expr::Value(sp::ValueWithSpan { value: sp::Value::Number(number, _), .. }) => {
            number.parse().is_ok_and(|number: f64| number != 0.0)
        }
        _ => false,
    }
}

fn matches_regex(expr: &sp::Expr) -> bool {
    match expr {
        sp::Expr::SimilarTo { .. } | sp::Expr::RLike { .. } => true,
        sp::Expr::BinaryOp { op, .. } => matches!(
            op,
            sp::BinaryOperator::PGRegexMatch
                | sp::BinaryOperator::PGRegexIMatch
                | sp::BinaryOperator::PGRegexNotMatch
                | sp::BinaryOperator::PGRegexNotIMatch
        ),
        sp::Expr::Function(function) => last_name(function).is_some_and(|name| name.starts_with("regexp")),
        _ => false,
    }
}

fn computes(expr: &sp::Expr) -> bool {
    match expr {
        sp::Expr::BinaryOp { op, .. } => matches!(
            op,
            sp::BinaryOperator::Plus
                | sp::BinaryOperator::Minus
                | sp::BinaryOperator::Multiply
                | sp::BinaryOperator::Divide
        ),
        sp::Expr::Function(function) => is_named(function, &["sum", "abs", "factorial", "power", "pow"]),
        _ => false,
    }
}

/// Whether it is a function, some of which have a form of their own.
fn calls(expr: &sp::Expr) -> bool {
    matches!(
        expr,
        sp::Expr::Function(_)
            | sp::Expr::Extract { .. }
            | sp::Expr::Ceil { .. }
            | sp::Expr::Floor { .. }
            | sp::Expr::Position { .. }
            | sp::Expr::Substring { .. }
            | sp::Expr::Trim { .. }
            | sp::Expr::Overlay { .. }
            | sp::Expr::AtTimeZone { .. }
    )
}

fn casts(expr: &sp::Expr) -> bool {
    let tries = [sp::CastKind::TryCast, sp::CastKind::SafeCast];
    matches!(expr, sp::Expr::Cast { kind, .. } if !tries.contains(kind))
}

fn is_named(function: &sp::Function, names: &[&str]) -> bool {
    last_name(function).is_some_and(|name| names.contains(&name.as_str()))
}

fn last_name(function: &sp::Function) -> Option<String> {
    let name = function.name.0.last()?.as_ident()?;
    Some(name.value.to_ascii_lowercase())
}
