//! `UPDATE`, `DELETE` and `INSERT … ON CONFLICT`: each becomes a query for the rows as they were and as they become.
//!
//! The query is written as text around placeholders, which are then replaced by the expressions of the statement, so that
//! errors in those point to where they stand.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::ast::{VisitMut, VisitorMut};

use super::{Binder, names, queries};
use crate::ast::{Change, Changes, Insert, OnConflict, Statement};
use crate::bound::{BoundStatement, ChangeKind};
use crate::catalog::{Column, ColumnOrigin, InternalTable, Relation, RelationKind};
use crate::error::{Result, SqlError, SqlState};

/// The name of new rows in `ON CONFLICT`.
const EXCLUDED: &str = "excluded";
/// What stands for an expression until it is put in.
const PLACEHOLDER: &str = "__millstream_expression_";

impl Binder<'_> {
    /// `UPDATE` and `DELETE`.
    pub(super) fn change(&self, change: &Change) -> Result<BoundStatement> {
        let what = match (change.truncate, change.delete) {
            (true, _) => "TRUNCATE",
            (false, true) => "DELETE",
            (false, false) => "UPDATE",
        };
        let (target, _) = self.changeable(&change.table, what)?;
        let name = change.alias.as_ref().map_or_else(|| target.name.clone(), |alias| alias.value.clone());
        let mut text = Template::default();
        let old = stored(target).map(|column| format!("{}.{}", quoted(&name), quoted(&column.name)));
        let mut columns: Vec<String> = old.collect();
        if !change.delete {
            let set = self.assigned(target, &change.changes)?;
            for (column, value) in stored(target).zip(set) {
                columns.push(match value {
                    Some(value) => format!("CAST({} AS {})", text.hole(value), column.data_type.text),
                    None => format!("{}.{}", quoted(&name), quoted(&column.name)),
                });
            }
        }
        let condition = change.changes.selection.as_ref().map(|condition| text.hole(condition));
        let condition = condition.map_or_else(String::new, |condition| format!(" WHERE {condition}"));
        let sql = format!("SELECT {} FROM {} AS {}{condition}", numbered(&columns), change.table, quoted(&name));
        let query = queries::bind_query(&text.filled(&sql, None)?, self.context)?;
        let kind = match (change.truncate, change.delete) {
            (true, _) => ChangeKind::Truncate,
            (false, true) => ChangeKind::Delete,
            (false, false) => ChangeKind::Update,
        };
        Ok(BoundStatement::Change { target: Arc::clone(target), query, kind })
    }

    /// `INSERT … ON CONFLICT`.
    pub(super) fn upsert(&self, insert: &Insert, on_conflict: &OnConflict) -> Result<BoundStatement> {
        let (target, table) = self.changeable(&insert.table, "INSERT … ON CONFLICT")?;
        let key: Vec<&str> = table.primary_key.iter().map(|&index| table.schema.field(index).name().as_str()).collect();
        let named = |ident: &sp::Ident| key.iter().any(|name| name.eq_ignore_ascii_case(&ident.value));
        let columns = &on_conflict.columns;
        if !(columns.is_empty() || columns.len() == key.len() && columns.iter().all(named)) {
            let message = "there is no unique or exclusion constraint matching the ON CONFLICT specification";
            return Err(SqlError::new(SqlState("42P10"), message).with_hint(format!("the key is ({})", key.join(", "))));
        }
        let given = self.given(target, &insert.columns)?;
        let (own, new) = (quoted(&target.name), quoted(EXCLUDED));
        let value = |column: &Column| match given.contains(&column.name) {
            true => format!("CAST({new}.{} AS {})", quoted(&column.name), column.data_type.text),
            false => format!("CAST(NULL AS {})", column.data_type.text),
        };
        let Some(first) = key.first() else { return Err(no_key(target, "INSERT … ON CONFLICT")) };
        let absent = format!("{own}.{} IS NULL", quoted(first));
        let mut text = Template::default();
        let mut columns: Vec<String> = stored(target).map(|column| format!("{own}.{}", quoted(&column.name))).collect();
        let mut condition = format!(" WHERE {absent}");
        let mut kind = ChangeKind::InsertNew;
        let set = match &on_conflict.update {
            Some(changes) => {
                kind = ChangeKind::Upsert;
                condition = changes
                    .selection
                    .as_ref()
                    .map_or_else(String::new, |selection| format!(" WHERE {absent} OR ({})", text.hole(selection)));
                self.assigned(target, changes)?
            }
            None => vec![None; stored(target).count()],
        };
        for (column, set) in stored(target).zip(set) {
            let kept = match (set, kind) {
                (Some(set), _) => format!("CAST({} AS {})", text.hole(set), column.data_type.text),
                (None, _) => format!("{own}.{}", quoted(&column.name)),
            };
            columns.push(format!("CASE WHEN {absent} THEN {} ELSE {kept} END", value(column)));
        }
        let on: Vec<String> = key.iter().map(|name| format!("{own}.{0} = {new}.{0}", quoted(name))).collect();
        let names: Vec<String> = given.iter().map(|name| quoted(name)).collect();
        let sql = format!(
            "SELECT {} FROM (SELECT 1) AS {new} ({}) LEFT JOIN {} AS {own} ON {}{condition}",
            numbered(&columns),
            names.join(", "),
            insert.table,
            on.join(" AND "),
        );
        let query = queries::bind_query(&text.filled(&sql, Some(&insert.query))?, self.context)?;
        Ok(BoundStatement::Change { target: Arc::clone(target), query, kind })
    }

    /// An internal table whose rows can change.
    fn changeable(&self, name: &sp::ObjectName, what: &str) -> Result<(&Arc<Relation>, &InternalTable)> {
        let target = self.relation(name)?;
        let refuse = |error: SqlError| Err(self.at(error, names::span(name)));
        match &target.kind {
            RelationKind::InternalTable(table) if table.primary_key.is_empty() => refuse(no_key(target, what)),
            RelationKind::InternalTable(table) if table.watermark.is_some() => {
                let message = format!("{what} is not supported on table \"{}\", which has a watermark", target.name);
                refuse(SqlError::unsupported(message).with_hint("a table with a watermark takes new rows only"))
            }
            RelationKind::InternalTable(table) => Ok((target, table)),
            RelationKind::ConnectorTable(_) | RelationKind::View { .. } | RelationKind::MaterializedView { .. } => {
                let message = format!("{what}: \"{}\" is not an internal table", target.name);
                refuse(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message))
            }
        }
    }

    /// The new value of each stored column, where it has one.
    fn assigned<'c>(&self, target: &Relation, changes: &'c Changes) -> Result<Vec<Option<&'c sp::Expr>>> {
        let columns: Vec<&Column> = stored(target).collect();
        let mut set: Vec<Option<&sp::Expr>> = vec![None; columns.len()];
        for (name, value) in &changes.assignments {
            let index = self.column_index(target, &columns, name)?;
            if set.get(index).copied().flatten().is_some() {
                let message = format!("multiple assignments to same column \"{}\"", name.value);
                return Err(self.at(SqlError::new(SqlState::SYNTAX_ERROR, message), name.span));
            }
            if let Some(place) = set.get_mut(index) {
                *place = Some(value);
            }
        }
        Ok(set)
    }

    /// The names of the columns that an `INSERT` gives.
    fn given(&self, target: &Relation, listed: &[sp::Ident]) -> Result<Vec<String>> {
        let columns: Vec<&Column> = stored(target).collect();
        if listed.is_empty() {
            return Ok(columns.iter().map(|column| column.name.clone()).collect());
        }
        let name = |ident: &sp::Ident| {
            let index = self.column_index(target, &columns, ident)?;
            Ok(columns.get(index).map_or_else(String::new, |column| column.name.clone()))
        };
        listed.iter().map(name).collect()
    }

    fn column_index(&self, target: &Relation, columns: &[&Column], name: &sp::Ident) -> Result<usize> {
        let exact = columns.iter().position(|column| column.name == name.value);
        let alike = || columns.iter().position(|column| column.name.eq_ignore_ascii_case(&name.value));
        exact.or_else(alike).ok_or_else(|| {
            let message = format!("column \"{}\" of relation \"{}\" does not exist", name.value, target.name);
            self.at(SqlError::new(SqlState::UNDEFINED_COLUMN, message), name.span)
        })
    }
}

fn no_key(target: &Relation, what: &str) -> SqlError {
    SqlError::unsupported(format!("{what} needs a primary key, which table \"{}\" has not", target.name))
        .with_hint("declare PRIMARY KEY (…) NOT ENFORCED on the table")
}

fn stored(target: &Relation) -> impl Iterator<Item = &Column> {
    target.columns.iter().filter(|column| column.origin == ColumnOrigin::Physical)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The columns under names of their own, since both halves have the same.
fn numbered(columns: &[String]) -> String {
    let named = columns.iter().enumerate().map(|(index, column)| format!("{column} AS c{index}"));
    named.collect::<Vec<_>>().join(", ")
}

/// A query with holes, and what goes into them.
#[derive(Default)]
struct Template<'a> {
    holes: Vec<&'a sp::Expr>,
}

impl<'a> Template<'a> {
    /// A new hole, as text.
    fn hole(&mut self, expr: &'a sp::Expr) -> String {
        self.holes.push(expr);
        format!("({PLACEHOLDER}{})", self.holes.len() - 1)
    }

    /// The query with its holes filled; `rows` takes the place of the derived table.
    fn filled(&self, sql: &str, rows: Option<&sp::Query>) -> Result<sp::Query> {
        let parsed = crate::parse::script(sql)?;
        let Some(Statement::Query(query)) = parsed.into_iter().next().map(|statement| statement.ast) else {
            return Err(SqlError::new(SqlState::INTERNAL_ERROR, "internal error: a change is no query"));
        };
        let mut query = *query;
        let mut filler = Filler { holes: &self.holes, rows };
        let ControlFlow::Continue(()) = query.visit(&mut filler);
        Ok(query)
    }
}

struct Filler<'a> {
    holes: &'a [&'a sp::Expr],
    rows: Option<&'a sp::Query>,
}

impl VisitorMut for Filler<'_> {
    type Break = std::convert::Infallible;

    fn pre_visit_table_factor(&mut self, factor: &mut sp::TableFactor) -> ControlFlow<Self::Break> {
        if let sp::TableFactor::Derived { subquery, .. } = factor
            && let Some(rows) = self.rows.take()
        {
            **subquery = rows.clone();
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut sp::Expr) -> ControlFlow<Self::Break> {
        let hole = match &*expr {
            sp::Expr::Identifier(ident) => ident.value.strip_prefix(PLACEHOLDER).and_then(|number| number.parse().ok()),
            _ => None,
        };
        if let Some(filled) = hole.and_then(|number: usize| self.holes.get(number)) {
            *expr = (*filled).clone();
        }
        ControlFlow::Continue(())
    }
}
