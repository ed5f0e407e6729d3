//! The smallest expression that keeps a statement from being bound: with null in its place the error is gone.

use std::convert::Infallible;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::ast::{Spanned, VisitorMut};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::Search;
use crate::ast::ParsedStatement;

/// Where that expression stands.
pub(super) fn smallest(search: &Search<'_>, statement: &ParsedStatement) -> Option<Span> {
    let mut nodes = Nodes::default();
    let mut ast = statement.ast.clone();
    for mut part in ast.parts_mut() {
        let ControlFlow::Continue(()) = part.visit(&mut nodes);
    }
    let mut found = None;
    while let Some(next) =
        nodes.under(found).find(|node| !search.is_over() && is_bound_without(search, statement, *node))
    {
        found = Some(next);
    }
    nodes.span(found?)
}

/// Whether the error is gone where the expression of that number is null.
fn is_bound_without(search: &Search<'_>, statement: &ParsedStatement, number: usize) -> bool {
    let mut changed = statement.clone();
    let mut without = Without { number, next: 0 };
    for mut part in changed.ast.parts_mut() {
        let ControlFlow::Continue(()) = part.visit(&mut without);
    }
    !search.fails_so(crate::api::bind(&changed, search.context).err().as_ref())
}

/// The expressions of a statement, numbered as they are met.
#[derive(Default)]
struct Nodes {
    /// Of each: the expression around it, and its place.
    met: Vec<(Option<usize>, Span)>,
    open: Vec<usize>,
}

impl Nodes {
    /// The expressions directly in another one, or in none.
    fn under(&self, parent: Option<usize>) -> impl Iterator<Item = usize> + '_ {
        self.met.iter().enumerate().filter(move |(_, (of, _))| *of == parent).map(|(number, _)| number)
    }

    /// The place of an expression, or of the first in it that has one.
    fn span(&self, number: usize) -> Option<Span> {
        let (_, span) = self.met.get(number)?;
        if *span != Span::empty() {
            return Some(*span);
        }
        self.under(Some(number)).find_map(|inner| self.span(inner))
    }
}

impl VisitorMut for Nodes {
    type Break = Infallible;

    fn pre_visit_expr(&mut self, expr: &mut sp::Expr) -> ControlFlow<Infallible> {
        self.open.push(self.met.len());
        let around = self.open.len().checked_sub(2).and_then(|index| self.open.get(index)).copied();
        self.met.push((around, expr.span()));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _expr: &mut sp::Expr) -> ControlFlow<Infallible> {
        self.open.pop();
        ControlFlow::Continue(())
    }
}

/// Puts null in the place of an expression.
struct Without {
    number: usize,
    next: usize,
}

impl VisitorMut for Without {
    type Break = Infallible;

    fn pre_visit_expr(&mut self, expr: &mut sp::Expr) -> ControlFlow<Infallible> {
        if self.next == self.number {
            *expr = sp::Expr::Value(sp::Value::Null.with_empty_span());
        }
        self.next += 1;
        ControlFlow::Continue(())
    }
}
