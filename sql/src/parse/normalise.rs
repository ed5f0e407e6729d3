//! Rewrites of parsed queries into forms that DataFusion plans.
//!
//! One at present: `TABLE t` inside a set operation becomes `SELECT * FROM t`. Types need none: casts are parsed by
//! [`crate::types`].

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::ast::{VisitMut, VisitorMut};

use crate::ast::Statement;

use super::prefix::select_all;

/// Rewrites the queries of a statement.
pub(super) fn statement(statement: &mut Statement) {
    for mut part in statement.parts_mut() {
        let ControlFlow::Continue(()) = part.visit(&mut Tables);
    }
}

/// Rewrites a query and the queries in it.
pub(super) fn query(query: &mut sp::Query) {
    let ControlFlow::Continue(()) = query.visit(&mut Tables);
}

struct Tables;

impl VisitorMut for Tables {
    type Break = std::convert::Infallible;

    fn pre_visit_query(&mut self, query: &mut sp::Query) -> ControlFlow<Self::Break> {
        tables(&mut query.body);
        ControlFlow::Continue(())
    }
}

fn tables(body: &mut sp::SetExpr) {
    // The left side of a chain of set operations is followed in a loop, since the chain may be long.
    let mut next = Some(body);
    while let Some(body) = next.take() {
        if let sp::SetExpr::Table(table) = body {
            let parts = table.schema_name.take().into_iter().chain(table.table_name.take());
            let name: Vec<sp::Ident> = parts.map(|part| sp::Ident::with_quote('"', part)).collect();
            *body = sp::SetExpr::Query(Box::new(select_all(name.into(), Vec::new())));
        } else if let sp::SetExpr::SetOperation { left, right, .. } = body {
            if matches!(**right, sp::SetExpr::Table(_)) {
                tables(right);
            }
            next = Some(left);
        }
    }
}
