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

/// The command tag.
const CREATED: &str = "CREATE MATERIALIZED VIEW";

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
        if let Some(replaced) = replaced {
            self.check_no_cycle(view, replaced, &query)?;
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
            false => RelationKind::View { query: text, semantics, path: self.context.catalog.path.clone() },
        };
        let mut relation = Relation {
            id: replaced.map_or(RelationId(0), |replaced| replaced.id),
            name,
            temporary,
            columns: self.view_columns(view, &query)?,
            kind,
            definition: String::new(),
            comment: view.comment.clone(),
            depends_on: query.depends_on.clone(),
            functions: query.functions.clone(),
        };
        let name = self.context.catalog.written(&relation.name);
        relation.definition = statement_text::create_view(&relation, &name, &view.query_text, !view.columns.is_empty());
        Ok(match view.materialized {
            true => {
                let replaced = replaced.map(Arc::clone);
                if let Some(replaced) = &replaced {
                    self.check_columns(view, replaced, &relation)?;
                }
                BoundStatement::CreateMaterializedView { relation, exists: false, replaced, query, tag: CREATED }
            }
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
        Ok(BoundStatement::CreateMaterializedView { relation, exists: true, replaced: None, query, tag: CREATED })
    }

    /// The view that `OR REPLACE` replaces.
    fn replaced(&self, view: &CreateView, name: &str) -> Result<Option<&Arc<Relation>>> {
        let catalog = &self.context.catalog;
        let Some(found) =
            catalog.relations.get(name).filter(|found| view.or_replace && found.temporary == view.temporary)
        else {
            return Ok(None);
        };
        match (&found.kind, view.materialized) {
            // Those that read it are made anew with it.
            (RelationKind::MaterializedView { .. }, true) => return Ok(Some(found)),
            (RelationKind::View { .. }, false) => {}
            (_, materialized) => {
                let kind = if materialized { "materialized view" } else { "view" };
                let error = SqlError::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{name}\" is not a {kind}"));
                return Err(self.at(error, span(&view.name)));
            }
        }
        if let Some(reader) = self.readers(found).next() {
            let message = format!("cannot replace view {name} because other objects depend on it");
            let error = SqlError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message);
            let detail = format!("{} depends on view {name}", super::drop::described(reader));
            return Err(self.at(error.with_detail(detail), span(&view.name)));
        }
        Ok(Some(found))
    }

    /// What reads a relation itself.
    fn readers(&self, of: &Relation) -> impl Iterator<Item = &Arc<Relation>> {
        self.context.catalog.relations.values().filter(move |other| other.depends_on.contains(&of.id))
    }

    /// Refuses a query that reads the view, or what reads it.
    fn check_no_cycle(&self, view: &CreateView, replaced: &Relation, query: &BoundQuery) -> Result<()> {
        let mut behind: BTreeSet<RelationId> = [replaced.id].into();
        let mut open = vec![replaced];
        while let Some(of) = open.pop() {
            open.extend(self.readers(of).filter(|reader| behind.insert(reader.id)).map(AsRef::as_ref));
        }
        if query.depends_on.iter().all(|id| !behind.contains(id)) {
            return Ok(());
        }
        let message = format!("view \"{}\" cannot read itself", replaced.name);
        Err(self.at(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message), span(&view.name)))
    }

    /// What others read keeps its columns; new ones come behind them.
    fn check_columns(&self, view: &CreateView, replaced: &Relation, new: &Relation) -> Result<()> {
        let Some(reader) = self.readers(replaced).next() else { return Ok(()) };
        let mut places = replaced.columns.iter().zip((0..).map(|place| new.columns.get(place)));
        let same = |old: &Column, new: &Column| new.name == old.name && new.data_type == old.data_type;
        let Some((old, _)) = places.find(|(old, new)| !new.is_some_and(|new| same(old, new))) else { return Ok(()) };
        let message = format!("cannot change column \"{}\" of materialized view \"{}\"", old.name, replaced.name);
        let error = SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message)
            .with_detail(format!("{} reads the view", super::drop::described(reader)))
            .with_hint("keep the columns with their types and their order, and add new ones behind them");
        Err(self.at(error, span(&view.name)))
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
        for (index, field) in query.schema.fields().iter().enumerate() {
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
                comment: view.column_comments.get(index).cloned().flatten(),
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
