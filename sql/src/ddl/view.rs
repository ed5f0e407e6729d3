//! `CREATE VIEW` and `CREATE MATERIALIZED VIEW`.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use millstream_engine::plan::RelationId;

use crate::ast::CreateView;
use crate::bound::{BoundQuery, BoundStatement};
use crate::catalog::{Column, ColumnOrigin, Relation, RelationKind};
use crate::error::{Result, SqlError, SqlState};
use crate::statement_text;
use crate::types;

use super::names::span;
use super::{Binder, queries};

impl Binder<'_> {
    pub(super) fn create_view(&self, view: &CreateView) -> Result<BoundStatement> {
        let name = self.simple(&view.name)?;
        let replaced = self.replaced(view, &name)?;
        if replaced.is_none()
            && let Some(existing) = self.existing(&view.name, &name, view.temporary, view.if_not_exists)?
        {
            return self.existing_view(view, existing);
        }
        let query = self.renamed(view, queries::bind_query(&view.query, self.context)?)?;
        let temporary = self.temporary(view, &query)?;
        if replaced.is_some_and(|replaced| query.depends_on.contains(&replaced.id)) {
            let message = format!("view \"{name}\" cannot read itself");
            return Err(self.at(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message), span(&view.name)));
        }
        let semantics = self.context.semantics;
        let text = view.query_text.clone();
        let kind = match view.materialized {
            true => RelationKind::MaterializedView {
                query: text,
                semantics,
                streaming: self.context.streaming,
                stream_key: None,
                append_only: false,
                time_column: None,
            },
            false => RelationKind::View { query: text, semantics },
        };
        let mut relation = Relation {
            id: RelationId(0),
            name,
            temporary,
            columns: self.view_columns(view, &query)?,
            kind,
            definition: String::new(),
            comment: None,
            depends_on: query.depends_on.clone(),
            functions: query.functions.clone(),
        };
        relation.definition = statement_text::create_view(&relation, &view.query_text, !view.columns.is_empty());
        Ok(match view.materialized {
            true => BoundStatement::CreateMaterializedView { relation, exists: false, query },
            false => BoundStatement::CreateView { relation, exists: false, replace: replaced.is_some() },
        })
    }

    /// The answer where `IF NOT EXISTS` was said and there is a relation of that name.
    fn existing_view(&self, view: &CreateView, existing: &Arc<Relation>) -> Result<BoundStatement> {
        let relation = existing.as_ref().clone();
        if !view.materialized {
            return Ok(BoundStatement::CreateView { relation, exists: true, replace: false });
        }
        let query = queries::bind_query(&view.query, self.context)?;
        Ok(BoundStatement::CreateMaterializedView { relation, exists: true, query })
    }

    /// The view that `OR REPLACE` replaces.
    fn replaced(&self, view: &CreateView, name: &str) -> Result<Option<&Arc<Relation>>> {
        let catalog = &self.context.catalog;
        let Some(found) =
            catalog.relations.get(name).filter(|found| view.or_replace && found.temporary == view.temporary)
        else {
            return Ok(None);
        };
        if !matches!(found.kind, RelationKind::View { .. }) {
            let error = SqlError::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{name}\" is not a view"));
            return Err(self.at(error, span(&view.name)));
        }
        let readers: Vec<_> = catalog.relations.values().filter(|other| other.depends_on.contains(&found.id)).collect();
        if let Some(reader) = readers.first() {
            let message = format!("cannot replace view {name} because other objects depend on it");
            let error = SqlError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message);
            let detail = format!("{} depends on view {name}", super::drop::described(reader));
            return Err(self.at(error.with_detail(detail), span(&view.name)));
        }
        Ok(Some(found))
    }

    /// The query with the names that the statement gives its columns.
    fn renamed(&self, view: &CreateView, mut query: BoundQuery) -> Result<BoundQuery> {
        if view.columns.is_empty() {
            return Ok(query);
        }
        let (named, given) = (view.columns.len(), query.schema.fields().len());
        if named != given {
            let message = format!("the view has {named} column names but its query has {given} columns");
            return Err(self.at(SqlError::new(SqlState::SYNTAX_ERROR, message), span(&view.name)));
        }
        let fields = query.schema.fields().iter().zip(&view.columns);
        let fields: Vec<Field> = fields.map(|(field, name)| field.as_ref().clone().with_name(&name.value)).collect();
        query.schema = Arc::new(Schema::new(fields));
        Ok(query)
    }

    fn view_columns(&self, view: &CreateView, query: &BoundQuery) -> Result<Vec<Column>> {
        let mut seen = BTreeSet::new();
        let mut columns = Vec::with_capacity(query.schema.fields().len());
        for field in query.schema.fields() {
            if !seen.insert(field.name().clone()) {
                let message = format!("column \"{}\" specified more than once", field.name());
                let error = SqlError::new(SqlState::DUPLICATE_COLUMN, message);
                return Err(self.at(error.with_hint("give the columns names with AS"), span(&view.name)));
            }
            columns.push(Column {
                name: field.name().clone(),
                data_type: types::from_arrow(field.data_type().clone()),
                nullable: field.is_nullable(),
                origin: ColumnOrigin::Physical,
                comment: None,
            });
        }
        Ok(columns)
    }

    /// A view on something temporary is temporary, as in PostgreSQL; a materialised view cannot be.
    fn temporary(&self, view: &CreateView, query: &BoundQuery) -> Result<bool> {
        let relations = &self.context.catalog.relations;
        let of = relations.values().find(|relation| relation.temporary && query.depends_on.contains(&relation.id));
        match of {
            Some(of) if view.materialized => {
                let message = format!("a materialized view cannot read \"{}\", which is temporary", of.name);
                Err(self.at(SqlError::unsupported(message), span(&view.name)))
            }
            Some(_) => Ok(true),
            None => Ok(view.temporary),
        }
    }
}
