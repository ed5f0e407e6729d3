//! The queries and expressions of a statement.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::ast::{VisitMut, VisitorMut};

use super::{
    AlterAction, AlterView, Changes, ColumnDef, ColumnKind, CopyWhat, Insert, Statement, SubscribeTo, Watermark,
};

/// A part of a statement that has expressions.
pub(crate) enum Part<'a> {
    Query(&'a mut sp::Query),
    Expr(&'a mut sp::Expr),
}

impl Part<'_> {
    /// Visits it and all in it.
    pub(crate) fn visit<V: VisitorMut>(&mut self, visitor: &mut V) -> ControlFlow<V::Break> {
        match self {
            Self::Query(query) => query.visit(visitor),
            Self::Expr(expr) => expr.visit(visitor),
        }
    }
}

impl Statement {
    /// The parts of a statement, in the order in which it is bound.
    pub(crate) fn parts_mut(&mut self) -> Vec<Part<'_>> {
        match self {
            Self::CreateTable(table) => {
                let columns = table.columns.iter_mut().filter_map(of_column);
                let watermark = table.watermark.iter_mut().map(of_watermark);
                columns.chain(watermark).chain(table.query.as_deref_mut().map(Part::Query)).collect()
            }
            Self::AlterTable(alter) => alter.actions.iter_mut().flat_map(of_action).collect(),
            Self::AlterView(AlterView::Query { query, .. }) => vec![Part::Query(query)],
            Self::CreateView(view) => vec![Part::Query(&mut view.query)],
            Self::CreateFunction(function) => vec![Part::Expr(&mut function.body)],
            Self::Insert(insert) => of_insert(insert),
            Self::StatementSet(inserts) | Self::OpenSet(inserts) => inserts.iter_mut().flat_map(of_insert).collect(),
            Self::Change(change) => of_changes(&mut change.changes).collect(),
            Self::Copy(copy) => match &mut copy.what {
                CopyWhat::Query(query) => vec![Part::Query(query)],
                CopyWhat::Table(..) => Vec::new(),
            },
            Self::Query(query) | Self::Subscribe(SubscribeTo::Query(query)) => vec![Part::Query(query)],
            Self::Explain { statement, .. } => statement.parts_mut(),
            Self::AlterView(_)
            | Self::Subscribe(SubscribeTo::Relation(_))
            | Self::Drop(_)
            | Self::Namespace(_)
            | Self::Comment(_)
            | Self::Show(_)
            | Self::Describe(_)
            | Self::Set { .. }
            | Self::Reset(_)
            | Self::Job(_)
            | Self::Flush
            | Self::Kept(_)
            | Self::Transaction(_)
            | Self::Acknowledge(_)
            | Self::Other(_) => Vec::new(),
        }
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
