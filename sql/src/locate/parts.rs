//! The queries and expressions of a statement.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::ast::{VisitMut, VisitorMut};

use crate::ast::{
    AlterAction, AlterView, Changes, ColumnDef, ColumnKind, CopyWhat, Insert, Statement, SubscribeTo, Watermark,
};

/// A part of a statement that has expressions.
pub(super) enum Part<'a> {
    Query(&'a mut sp::Query),
    Expr(&'a mut sp::Expr),
}

impl Part<'_> {
    pub(super) fn visit<V: VisitorMut>(&mut self, visitor: &mut V) -> ControlFlow<V::Break> {
        match self {
            Self::Query(query) => query.visit(visitor),
            Self::Expr(expr) => expr.visit(visitor),
        }
    }
}

/// The parts of a statement, in the order in which it is bound.
pub(super) fn of(statement: &mut Statement) -> Vec<Part<'_>> {
    match statement {
        Statement::CreateTable(table) => {
            let columns = table.columns.iter_mut().filter_map(of_column);
            let watermark = table.watermark.iter_mut().map(of_watermark);
            columns.chain(watermark).chain(table.query.as_deref_mut().map(Part::Query)).collect()
        }
        Statement::AlterTable(alter) => alter.actions.iter_mut().flat_map(of_action).collect(),
        Statement::AlterView(AlterView::Query { query, .. }) => vec![Part::Query(query)],
        Statement::CreateView(view) => vec![Part::Query(&mut view.query)],
        Statement::CreateFunction(function) => vec![Part::Expr(&mut function.body)],
        Statement::Insert(insert) => of_insert(insert),
        Statement::StatementSet(inserts) | Statement::OpenSet(inserts) => {
            inserts.iter_mut().flat_map(of_insert).collect()
        }
        Statement::Change(change) => of_changes(&mut change.changes).collect(),
        Statement::Copy(copy) => match &mut copy.what {
            CopyWhat::Query(query) => vec![Part::Query(query)],
            CopyWhat::Table(..) => Vec::new(),
        },
        Statement::Query(query) | Statement::Subscribe(SubscribeTo::Query(query)) => vec![Part::Query(query)],
        Statement::Explain { statement, .. } => of(statement),
        Statement::AlterView(_)
        | Statement::Subscribe(SubscribeTo::Relation(_))
        | Statement::Drop(_)
        | Statement::Namespace(_)
        | Statement::Comment(_)
        | Statement::Show(_)
        | Statement::Describe(_)
        | Statement::Set { .. }
        | Statement::Reset(_)
        | Statement::Job(_)
        | Statement::Flush
        | Statement::Kept(_)
        | Statement::Transaction(_)
        | Statement::Acknowledge(_)
        | Statement::Other(_) => Vec::new(),
    }
}

fn of_insert(insert: &mut Insert) -> Vec<Part<'_>> {
    let on_conflict = insert.on_conflict.as_mut().and_then(|conflict| conflict.update.as_mut());
    std::iter::once(Part::Query(&mut insert.query)).chain(on_conflict.into_iter().flat_map(of_changes)).collect()
}

fn of_changes(changes: &mut Changes) -> impl Iterator<Item = Part<'_>> {
    let assigned = changes.assignments.iter_mut().map(|(_, value)| Part::Expr(value));
    assigned.chain(changes.selection.as_mut().map(Part::Expr))
}

fn of_action(action: &mut AlterAction) -> Vec<Part<'_>> {
    match action {
        AlterAction::Put { column, watermark, .. } => {
            let column = column.iter_mut().filter_map(|column| of_column(column));
            column.chain(watermark.iter_mut().map(|watermark| of_watermark(watermark))).collect()
        }
        AlterAction::Rename(_)
        | AlterAction::RenameColumn(..)
        | AlterAction::Set(_)
        | AlterAction::Reset(_)
        | AlterAction::DropColumn(_)
        | AlterAction::DropPrimaryKey
        | AlterAction::DropWatermark => Vec::new(),
    }
}

fn of_column(column: &mut ColumnDef) -> Option<Part<'_>> {
    match &mut column.kind {
        ColumnKind::Computed(expr) => Some(Part::Expr(expr)),
        ColumnKind::Physical { .. } | ColumnKind::Metadata { .. } => None,
    }
}

fn of_watermark(watermark: &mut Watermark) -> Part<'_> {
    Part::Expr(&mut watermark.expr)
}
