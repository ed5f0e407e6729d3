//! Binding of statements: names to objects, checks, and canonical text, for everything but the queries themselves, which
//! are bound by [`crate::query`].
//!
//! One file a statement: [`table`], [`view`], [`function`], [`drop`]. [`system`] tells the queries that are for
//! PostgreSQL's system catalog. Nothing is changed here: a [`BoundStatement`] says what the server is to do.

mod alter;
mod change;
mod copy;
mod drop;
mod expressions;
mod function;
mod like;
mod names;
mod namespaces;
mod options;
mod partition;
mod queries;
mod show;
mod system;
mod table;
mod view;

#[cfg(test)]
mod tests;

pub(crate) use options::{ALIGNMENT_DRIFT, ALIGNMENT_GROUP, ALIGNMENT_INTERVAL, IDLE_TIMEOUT, check as check_options};
pub use show::create_catalog;

use std::sync::Arc;

use datafusion::sql::sqlparser::ast as sp;

use crate::ast::{AlterView, Insert, ParsedStatement, Statement, SubscribeTo};
use crate::bound::{BindContext, BoundQuery, BoundStatement};
use crate::catalog::{LookupError, Relation, RelationKind};
use crate::error::{Result, SqlError, SqlState};
use crate::namespace;
use crate::parse::place;
use crate::query::with_options;

/// Resolves the names of a statement.
///
/// # Errors
/// Whatever is wrong with it, with a position in the text of the statement where one is known.
pub(crate) fn bind(statement: &ParsedStatement, context: &BindContext) -> Result<BoundStatement> {
    let binder = Binder { text: &statement.text, context };
    binder.statement(&statement.ast).map_err(|error| queries::in_text(error, &statement.text))
}

/// A statement's text, for positions, and what it is bound against.
struct Binder<'a> {
    text: &'a str,
    context: &'a BindContext,
}

impl Binder<'_> {
    fn statement(&self, statement: &Statement) -> Result<BoundStatement> {
        match statement {
            Statement::CreateTable(table) => self.create_table(table),
            Statement::AlterTable(alter) => self.alter_table(alter),
            Statement::AlterView(alter) => self.alter_view(alter),
            Statement::CreateView(view) => self.create_view(view),
            Statement::CreateFunction(function) => self.create_function(function),
            Statement::Drop(drop) => self.drop(drop),
            Statement::Namespace(statement) => self.namespace(statement),
            Statement::Comment(comment) => self.comment(comment),
            Statement::Insert(insert) => self.insert(insert),
            Statement::StatementSet(inserts) => self.statement_set(inserts),
            // Looked at now, so that what is wrong is told where it stands.
            Statement::OpenSet(inserts) => {
                self.statement_set(inserts)?;
                Ok(BoundStatement::Acknowledge("BEGIN"))
            }
            Statement::Change(change) => self.change(change),
            Statement::Copy(copy) => self.copy(copy),
            Statement::Query(query) if system::is_for_catalog(query.as_ref(), &self.context.catalog) => {
                Ok(BoundStatement::SystemCatalog)
            }
            Statement::Query(query) => Ok(BoundStatement::Query(queries::bind_query(query, self.context)?)),
            Statement::Subscribe(to) => self.subscribe(to),
            Statement::Explain { statement, options } => self.explain(statement, options),
            Statement::Show(show) => self.show(show),
            Statement::Describe(name) => Ok(BoundStatement::Describe(Arc::clone(self.relation(name)?), None)),
            Statement::Set { name, value } => Ok(BoundStatement::Set { name: name.clone(), value: value.clone() }),
            Statement::Reset(name) => Ok(BoundStatement::Reset(name.clone())),
            Statement::Job(control) => control.map_job(|id| job_number(id)).map(BoundStatement::Job),
            Statement::Flush => Ok(BoundStatement::Flush),
            Statement::Transaction(tag) | Statement::Acknowledge(tag) => Ok(BoundStatement::Acknowledge(tag)),
            Statement::Other(other) if system::is_for_catalog(other.as_ref(), &self.context.catalog) => {
                Ok(BoundStatement::SystemCatalog)
            }
            Statement::Kept(_) | Statement::Other(_) => Err(self.unsupported()),
        }
    }

    /// The error of a statement that is understood and not done.
    fn unsupported(&self) -> SqlError {
        let words: Vec<_> = self.text.split_whitespace().take(2).map(str::to_ascii_uppercase).collect();
        let with_object = ["CREATE", "DROP", "ALTER", "COMMENT", "LOCK"];
        let name = match words.as_slice() {
            [verb, object] if with_object.contains(&verb.as_str()) => format!("{verb} {object}"),
            [verb, ..] => verb.clone(),
            [] => "this statement".to_owned(),
        };
        SqlError::unsupported(format!("{name} is not supported")).at(1)
    }

    /// The error with the place of `span`.
    fn at(&self, error: SqlError, span: datafusion::sql::sqlparser::tokenizer::Span) -> SqlError {
        match place::position(self.text, span.start) {
            Some(position) => error.at(position),
            None => error,
        }
    }

    fn insert(&self, insert: &Insert) -> Result<BoundStatement> {
        let target = self.writable(&insert.table)?;
        if let Some(on_conflict) = &insert.on_conflict {
            return self.upsert(insert, on_conflict);
        }
        let query = self.rows_for(target, insert)?;
        let target = match insert.options.as_slice() {
            [] => Arc::clone(target),
            options => Arc::new(with_options(&self.context.catalog, target, options)?),
        };
        Ok(BoundStatement::Insert { target, query })
    }

    /// The rows of an `INSERT`, those of `PARTITION (…)` with the values that it gives.
    fn rows_for(&self, target: &Arc<Relation>, insert: &Insert) -> Result<BoundQuery> {
        if insert.partition.is_empty() {
            return queries::bind_insert(target, &insert.columns, &insert.query, self.context);
        }
        let (columns, query) = partition::with_values(target, insert)?;
        queries::bind_insert(target, &columns, &query, self.context)
    }

    fn statement_set(&self, inserts: &[Insert]) -> Result<BoundStatement> {
        let mut bound = Vec::with_capacity(inserts.len());
        for insert in inserts {
            let target = self.writable(&insert.table)?;
            if matches!(target.kind, RelationKind::InternalTable(_)) {
                let message = format!("a statement set cannot write to internal table \"{}\"", target.name);
                let error = SqlError::unsupported(message).with_hint("run the INSERT by itself");
                return Err(self.at(error, names::span(&insert.table)));
            }
            let query = self.rows_for(target, insert)?;
            bound.push((Arc::clone(target), query));
        }
        Ok(BoundStatement::StatementSet(bound))
    }

    /// The table of a name, which must be one that rows can be added to.
    fn writable(&self, name: &sp::ObjectName) -> Result<&Arc<Relation>> {
        let target = self.relation(name)?;
        let refuse = |state, message| Err(self.at(SqlError::new(state, message), names::span(name)));
        match &target.kind {
            RelationKind::View { .. } | RelationKind::MaterializedView { .. } => {
                return refuse(SqlState::WRONG_OBJECT_TYPE, format!("cannot insert into view \"{}\"", target.name));
            }
            RelationKind::ConnectorTable(table) => {
                let connector = self.context.catalog.connectors.get(&table.connector);
                if connector.is_some_and(|connector| !connector.capabilities.sink) {
                    let message = format!(
                        "cannot insert into table \"{}\": connector \"{}\" only reads",
                        target.name, table.connector
                    );
                    return refuse(SqlState::WRONG_OBJECT_TYPE, message);
                }
            }
            RelationKind::InternalTable(_) => {}
        }
        Ok(target)
    }

    fn subscribe(&self, to: &SubscribeTo) -> Result<BoundStatement> {
        let query = match to {
            SubscribeTo::Query(query) => queries::bind_query(query, self.context)?,
            SubscribeTo::Relation(name) => {
                self.relation(name)?;
                queries::bind_query(&crate::parse::select_all(name.clone()), self.context)?
            }
        };
        Ok(BoundStatement::Subscribe(query))
    }

    fn explain(&self, statement: &Statement, options: &[String]) -> Result<BoundStatement> {
        let bound = match statement {
            // A view has no plan of its own: that of its query is shown.
            Statement::CreateView(view) if !view.materialized => {
                BoundStatement::Query(queries::bind_query(&view.query, self.context)?)
            }
            Statement::Query(_)
            | Statement::Insert(_)
            | Statement::StatementSet(_)
            | Statement::OpenSet(_)
            | Statement::Subscribe(_)
            | Statement::CreateView(_)
            | Statement::AlterView(AlterView::Query { materialized: true, .. }) => self.statement(statement)?,
            Statement::Change(_)
            | Statement::Copy(_)
            | Statement::AlterTable(_)
            | Statement::AlterView(_)
            | Statement::CreateTable(_)
            | Statement::CreateFunction(_)
            | Statement::Drop(_)
            | Statement::Namespace(_)
            | Statement::Comment(_)
            | Statement::Explain { .. }
            | Statement::Show(_)
            | Statement::Describe(_)
            | Statement::Set { .. }
            | Statement::Reset(_)
            | Statement::Job(_)
            | Statement::Flush
            | Statement::Transaction(_)
            | Statement::Kept(_)
            | Statement::Acknowledge(_)
            | Statement::Other(_) => BoundStatement::SystemCatalog,
        };
        if matches!(bound, BoundStatement::SystemCatalog) {
            return Err(SqlError::unsupported("EXPLAIN does not take this statement")
                .with_hint("it takes queries, INSERT, STATEMENT SET, SUBSCRIBE, CREATE and ALTER MATERIALIZED VIEW"));
        }
        Ok(BoundStatement::Explain { statement: Box::new(bound), options: options.to_vec() })
    }

    /// The relation of a name.
    fn relation(&self, name: &sp::ObjectName) -> Result<&Arc<Relation>> {
        let (catalog, parts) = (&self.context.catalog, namespace::parts(name));
        catalog.candidates(&parts).map_err(|error| self.at(error, names::span(name)))?;
        catalog.find(&parts).map_err(|error| self.at(names::missing(&parts.join("."), error), names::span(name)))
    }

    /// Whether a name leads to no relation, though to a database.
    fn is_missing(&self, name: &sp::ObjectName) -> bool {
        let (catalog, parts) = (&self.context.catalog, namespace::parts(name));
        catalog.candidates(&parts).is_ok() && matches!(catalog.find(&parts), Err(LookupError::Missing(_)))
    }

    /// The name that an object of this name is made under.
    fn simple(&self, name: &sp::ObjectName) -> Result<String> {
        names::made(name, &self.context.catalog).map_err(|error| self.at(error, names::span(name)))
    }
}

/// The number of a job as written.
fn job_number(id: &str) -> Result<u64> {
    id.parse().map_err(|_| {
        let message = format!("invalid input syntax for type bigint: \"{id}\"");
        SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, message)
            .with_hint("SHOW JOBS lists the numbers of the jobs")
    })
}
