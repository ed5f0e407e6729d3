//! `COPY`.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast as sp;

use crate::ast::{Copy, CopyWhat};
use crate::bound::{BoundQuery, BoundStatement};
use crate::catalog::{Column, Relation};
use crate::error::Result;
use crate::query::{is_stored, named, physical_first, stored_type};
use crate::types;

use super::{Binder, queries};

impl Binder<'_> {
    pub(super) fn copy(&self, copy: &Copy) -> Result<BoundStatement> {
        match &copy.what {
            CopyWhat::Query(query) => Ok(copy_to(copy, queries::bind_query(query, self.context)?)),
            CopyWhat::Table(name, columns) if copy.to => {
                self.relation(name)?;
                let mut query = crate::parse::select_all(name.clone());
                if let (sp::SetExpr::Select(select), false) = (query.body.as_mut(), columns.is_empty()) {
                    let items = columns.iter().cloned().map(sp::Expr::Identifier).map(sp::SelectItem::UnnamedExpr);
                    select.projection = items.collect();
                }
                Ok(copy_to(copy, queries::bind_query(&query, self.context)?))
            }
            CopyWhat::Table(name, columns) => {
                let target = self.writable(name)?;
                let stored: Vec<&Column> = target.columns.iter().filter(|column| is_stored(column)).collect();
                let given = if columns.is_empty() { stored.clone() } else { named(target, &stored, columns)? };
                let stored = physical_first(stored);
                let place = |column: &&Column| stored.iter().position(|other| other.name == column.name);
                Ok(BoundStatement::CopyFrom {
                    target: Arc::clone(target),
                    given: given.iter().filter_map(place).collect(),
                    stored: stored.into_iter().map(|column| as_stored(target, column)).collect(),
                    end: copy.end.clone(),
                    position: copy.position,
                    options: copy.options.clone(),
                })
            }
        }
    }
}

/// The column in the type in which the table takes it.
fn as_stored(target: &Relation, column: &Column) -> Column {
    let data_type = stored_type(target, column);
    if data_type == column.data_type.arrow {
        return column.clone();
    }
    Column { data_type: types::from_arrow(data_type), ..column.clone() }
}

fn copy_to(copy: &Copy, query: BoundQuery) -> BoundStatement {
    BoundStatement::CopyTo { query, end: copy.end.clone(), options: copy.options.clone() }
}
