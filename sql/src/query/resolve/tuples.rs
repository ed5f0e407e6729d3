//! `(a, b) [NOT] IN (SELECT x, y …)`, which the planner has for one column only, as `EXISTS` over the rows of the query.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::ast::{Visit, Visitor};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::tvf::{query_of, select_all_from};
use crate::error::{Result, SqlError};
use crate::query::position::at;

/// What the rows of the query are called. Not to be met in user texts.
const ROWS: &str = "__millstream_tuples";

/// Writes such conditions of a `WHERE` as `EXISTS`: what is not known there is as good as false.
pub(super) fn in_condition(condition: &mut sp::Expr) {
    match condition {
        sp::Expr::BinaryOp { left, op: sp::BinaryOperator::And, right } => {
            in_condition(left);
            in_condition(right);
        }
        sp::Expr::Nested(inner) => in_condition(inner),
        other => {
            if let Some(Tuples { values, query, negated }) = tuples(other) {
                *other = exists(&values, &query, negated);
            }
        }
    }
}

/// Writes one such condition as a value: true for an equal row, null for one that may be.
pub(super) fn as_value(expr: &mut sp::Expr) {
    let Some(Tuples { values, query, negated }) = tuples(expr) else { return };
    let truth = |truth: bool| sp::Expr::Value(sp::Value::Boolean(truth).into());
    let may_be = sp::Expr::UnaryOp { op: sp::UnaryOperator::Not, expr: Box::new(exists(&values, &query, true)) };
    let when = |condition, result| sp::CaseWhen { condition, result };
    *expr = sp::Expr::Case {
        case_token: sp::helpers::attached_token::AttachedToken::empty(),
        end_token: sp::helpers::attached_token::AttachedToken::empty(),
        operand: None,
        conditions: vec![
            when(exists(&values, &query, false), truth(!negated)),
            when(may_be, sp::Expr::Value(sp::Value::Null.into())),
        ],
        else_result: Some(Box::new(truth(negated))),
    };
}

/// Refuses such conditions in a select list: no join tells there of rows that may be equal.
pub(super) fn refuse(expr: &sp::Expr) -> Result<()> {
    let ControlFlow::Break(span) = expr.visit(&mut Found { queries: 0 }) else { return Ok(()) };
    let error = SqlError::unsupported("IN over several columns is supported in conditions only, not as a value");
    Err(at(error.with_hint("put it into a WHERE, or use EXISTS"), span))
}

/// Looks for one outside of subqueries, whose own conditions are no values.
struct Found {
    queries: usize,
}

impl Visitor for Found {
    type Break = Span;

    fn pre_visit_query(&mut self, _query: &sp::Query) -> ControlFlow<Span> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &sp::Query) -> ControlFlow<Span> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &sp::Expr) -> ControlFlow<Span> {
        if self.queries == 0 && tuples(expr).is_some() {
            return ControlFlow::Break(sp::Spanned::span(expr));
        }
        ControlFlow::Continue(())
    }
}

struct Tuples {
    values: Vec<sp::Expr>,
    query: Box<sp::Query>,
    negated: bool,
}

fn tuples(expr: &sp::Expr) -> Option<Tuples> {
    let sp::Expr::InSubquery { expr, subquery, negated } = expr else { return None };
    match expr.as_ref() {
        sp::Expr::Tuple(values) if values.len() > 1 => {
            Some(Tuples { values: values.clone(), query: subquery.clone(), negated: *negated })
        }
        _ => None,
    }
}

/// Whether there is an equal row; `none`: whether there is none, not even one that may be equal.
fn exists(values: &[sp::Expr], query: &sp::Query, none: bool) -> sp::Expr {
    let column = |number: usize| sp::Ident::with_quote('"', format!("{ROWS}{number}"));
    let equal = values.iter().enumerate().map(|(number, value)| sp::Expr::BinaryOp {
        left: Box::new(sp::Expr::Nested(Box::new(value.clone()))),
        op: sp::BinaryOperator::Eq,
        right: Box::new(sp::Expr::Identifier(column(number))),
    });
    let equal = equal.map(|equal| if none { sp::Expr::IsNotFalse(Box::new(equal)) } else { equal });
    let and =
        |left, right| sp::Expr::BinaryOp { left: Box::new(left), op: sp::BinaryOperator::And, right: Box::new(right) };
    let columns = (0..values.len()).map(|number| sp::TableAliasColumnDef { name: column(number), data_type: None });
    let alias =
        sp::TableAlias { explicit: true, name: sp::Ident::with_quote('"', ROWS), columns: columns.collect(), at: None };
    let rows = sp::TableFactor::Derived {
        lateral: false,
        subquery: Box::new(query_of(sp::SetExpr::Query(Box::new(query.clone())))),
        alias: Some(alias),
        sample: None,
    };
    let from = vec![sp::TableWithJoins { relation: rows, joins: Vec::new() }];
    let subquery = Box::new(select_all_from(from, equal.reduce(and)));
    sp::Expr::Exists { subquery, negated: none }
}
