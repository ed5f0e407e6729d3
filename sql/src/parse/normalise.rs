//! Rewrites of parsed queries into forms that DataFusion plans.
//!
//! One at present: `TABLE t` inside a set operation becomes `SELECT * FROM t`. Types need none: casts are parsed by
//! [`crate::types`].

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::ast::{VisitMut, VisitorMut};

use crate::ast::{AlterView, Copy, CopyWhat, CreateTable, Statement, SubscribeTo};

use super::prefix::select_all;

/// Rewrites the queries of a statement.
pub(super) fn statement(statement_: &mut Statement) {
    match statement_ {
        Statement::Query(found) => query(found),
        Statement::CreateView(view) => query(&mut view.query),
        Statement::Insert(insert) => query(&mut insert.query),
        Statement::StatementSet(inserts) | Statement::OpenSet(inserts) => {
            inserts.iter_mut().for_each(|insert| query(&mut insert.query))
        }
        Statement::Subscribe(SubscribeTo::Query(found)) => query(found),
        Statement::CreateTable(CreateTable { query: Some(found), .. })
        | Statement::AlterView(AlterView::Query { query: found, .. }) => query(found),
        Statement::Copy(Copy { what: CopyWhat::Query(found), .. }) => query(found),
        Statement::Explain { statement: inner, .. } => statement(inner),
        Statement::Subscribe(SubscribeTo::Relation(_))
        | Statement::Change(_)
        | Statement::AlterTable(_)
        | Statement::AlterView(AlterView::Rename { .. })
        | Statement::Copy(_)
        | Statement::CreateTable(CreateTable { query: None, .. })
        | Statement::CreateFunction(_)
        | Statement::Drop(_)
        | Statement::Namespace(_)
        | Statement::Comment(_)
        | Statement::Show(_)
        | Statement::Describe(_)
        | Statement::Set { .. }
        | Statement::Reset(_)
        | Statement::Job(_)
        | Statement::Flush
        | Statement::Transaction(_)
        | Statement::Kept(_)
        | Statement::Acknowledge(_)
        | Statement::Other(_) => {}
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
