//! `SHOW` and `DESCRIBE`: the names in them.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast as sp;

use crate::ast::{Details, Show};
use crate::bound::BoundStatement;
use crate::catalog::RelationKind;
use crate::error::{Result, SqlError, SqlState};
use crate::namespace::{self, FIRST_DATABASE, Namespace};

use super::namespaces::{missing, no_catalog};
use super::{Binder, names};

impl Binder<'_> {
    pub(super) fn show(&self, show: &Show) -> Result<BoundStatement> {
        match show {
            Show::Columns(name) => Ok(BoundStatement::Describe(Arc::clone(self.relation(name)?), None)),
            Show::Partitions(name, of) => self.partitions(name, of),
            Show::Create(name) => Ok(BoundStatement::ShowCreate(Arc::clone(self.relation(name)?))),
            Show::CreateCatalog(name) => {
                self.catalog_prefix(name)?;
                Ok(BoundStatement::Show(show.clone()))
            }
            Show::Of { list, of } => {
                let parts = namespace::parts(of);
                let prefix = match (list.as_ref(), parts.as_slice()) {
                    (Show::Databases | Show::Nothing(_), [_]) => match of.0.first().and_then(|part| part.as_ident()) {
                        Some(catalog) if matches!(list.as_ref(), Show::Databases) => self.catalog_prefix(catalog)?,
                        _ => String::new(),
                    },
                    _ => match self.context.catalog.prefix(&parts) {
                        Some(prefix) => prefix,
                        None => return Err(self.at(missing(&parts.join(".")), names::span(of))),
                    },
                };
                Ok(BoundStatement::Show(Show::Under { list: list.clone(), prefix }))
            }
            Show::Matching { list, pattern } => match self.show(list)? {
                BoundStatement::Show(list) => {
                    let (list, pattern) = (Box::new(list), pattern.clone());
                    Ok(BoundStatement::Show(Show::Matching { list, pattern }))
                }
                BoundStatement::Describe(relation, _) => Ok(BoundStatement::Describe(relation, Some(pattern.clone()))),
                other => Ok(other),
            },
            Show::Details(details) => {
                self.details(details)?;
                Ok(BoundStatement::Show(show.clone()))
            }
            other => Ok(BoundStatement::Show(other.clone())),
        }
    }

    /// What is described must exist.
    fn details(&self, details: &Details) -> Result<()> {
        match details {
            Details::Catalog(name) => self.catalog_prefix(name).map(|_| ()),
            Details::Database(name) => self.database_prefix(name).map(|_| ()),
            Details::Job(id) => super::job_number(id).map(|_| ()),
            Details::Function(name) => {
                let own = self.context.catalog.functions.contains_key(&name.value.to_ascii_lowercase());
                let is_it = |function: crate::ListedFunction| function.name().eq_ignore_ascii_case(&name.value);
                if own || crate::listed_functions().into_iter().any(is_it) {
                    return Ok(());
                }
                let message = format!("function {} does not exist", name.value);
                let error = SqlError::new(SqlState::UNDEFINED_FUNCTION, message);
                Err(self.at(error.with_hint("SHOW FUNCTIONS lists those that exist"), name.span))
            }
        }
    }

    /// What stands before the names of a catalog's databases: nothing, of the default one's.
    pub(super) fn catalog_prefix(&self, name: &sp::Ident) -> Result<String> {
        let catalog = &self.context.catalog;
        let first = || catalog.prefix(&[&name.value, FIRST_DATABASE]);
        match first() {
            Some(prefix) => Ok(prefix.split_once('.').map_or_else(String::new, |(first, _)| format!("{first}."))),
            None => Err(self.at(no_catalog(&name.value), name.span)),
        }
    }

    /// What stands before the names of a database's objects.
    pub(super) fn database_prefix(&self, name: &sp::ObjectName) -> Result<String> {
        let parts = namespace::parts(name);
        let found = self.context.catalog.prefix(&parts);
        found.ok_or_else(|| self.at(missing(&parts.join(".")), names::span(name)))
    }

    fn partitions(&self, name: &sp::ObjectName, of: &[(sp::Ident, String)]) -> Result<BoundStatement> {
        let relation = self.relation(name)?;
        let table = match &relation.kind {
            RelationKind::ConnectorTable(table) if !table.spec.partitioned_by.is_empty() => table,
            _ => {
                let error =
                    SqlError::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{}\" is not partitioned", relation.name));
                return Err(self.at(error, names::span(name)));
            }
        };
        let fields = table.spec.partitioned_by.iter().map(|index| table.spec.schema.field(*index).name());
        let columns: Vec<&String> = fields.collect();
        let mut wanted = Vec::with_capacity(of.len());
        for (column, value) in of {
            let Some(found) = columns.iter().find(|known| known.eq_ignore_ascii_case(&column.value)) else {
                let message = format!("\"{}\" is not partitioned by \"{}\"", relation.name, column.value);
                return Err(self.at(SqlError::new(SqlState::UNDEFINED_COLUMN, message), column.span));
            };
            wanted.push(format!("{found}={value}"));
        }
        Ok(BoundStatement::ShowPartitions(Arc::clone(relation), wanted))
    }
}

/// The statement that makes a catalog again.
pub fn create_catalog(namespace: &Namespace) -> String {
    let name = crate::statement_text::ident(namespace.name.trim_end_matches('.'));
    let comment = namespace.comment.as_ref().map(|text| format!("COMMENT '{}'\n", text.replace('\'', "''")));
    format!("CREATE CATALOG {name}\n{}WITH (\n  'type' = 'generic_in_memory'\n)", comment.unwrap_or_default())
}
