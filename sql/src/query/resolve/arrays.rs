//! `ARRAY[…]` as a call: the planner does not see the columns of the tables before a `LATERAL` or of a query around a
//! subquery within the brackets.

use std::convert::Infallible;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::ast::{VisitMut, VisitorMut};

use super::aggregate_names::call;

/// The function that makes an array of its arguments.
pub(super) const MAKE_ARRAY: &str = "make_array";

/// Writes the arrays of an expression as calls.
pub(super) fn as_calls(expr: &mut sp::Expr) {
    let ControlFlow::Continue(()) = expr.visit(&mut Arrays);
}

struct Arrays;

impl VisitorMut for Arrays {
    type Break = Infallible;

    fn post_visit_expr(&mut self, expr: &mut sp::Expr) -> ControlFlow<Infallible> {
        if let sp::Expr::Array(array) = expr
            && !array.elem.is_empty()
        {
            *expr = sp::Expr::Function(call(MAKE_ARRAY, std::mem::take(&mut array.elem)));
        }
        ControlFlow::Continue(())
    }
}
