//! `CREATE TABLE … LIKE` and `CREATE TABLE … AS`: tables whose columns another table or a query gives.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, Fields};
use datafusion::sql::sqlparser::ast as sp;

use crate::ast::{ColumnDef, ColumnKind, CreateTable, Like, LikeFeature, LikeStrategy};
use crate::bound::BoundStatement;
use crate::catalog::{Relation, RelationKind};
use crate::error::{Result, SqlError, SqlState};
use crate::types;

use super::names::span;
use super::{Binder, alter, queries};

impl Binder<'_> {
    /// The table with what it takes over from the table that it is like.
    pub(super) fn like(&self, table: &CreateTable, like: &Like) -> Result<CreateTable> {
        let source = self.relation(&like.table)?;
        if !matches!(source.kind, RelationKind::ConnectorTable(_) | RelationKind::InternalTable(_)) {
            let error = SqlError::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{}\" is not a table", source.name));
            return Err(self.at(error.with_hint("use CREATE TABLE … AS SELECT"), span(&like.table)));
        }
        let base = alter::definition(source)?;
        let mut merged = CreateTable { like: None, columns: Vec::new(), ..table.clone() };
        for column in base.columns {
            let feature = match &column.kind {
                ColumnKind::Physical { .. } => None,
                ColumnKind::Computed(_) => Some(LikeFeature::Generated),
                ColumnKind::Metadata { .. } => Some(LikeFeature::Metadata),
            };
            let strategy = feature.map_or(LikeStrategy::Including, |feature| like.strategy(feature));
            let own = table.columns.iter().find(|own| own.name.value == column.name.value);
            match (strategy, own) {
                (LikeStrategy::Excluding, _) | (LikeStrategy::Overwriting, Some(_)) => {}
                (LikeStrategy::Including, Some(own)) => return Err(self.twice(own)),
                (LikeStrategy::Including | LikeStrategy::Overwriting, None) => merged.columns.push(column),
            }
        }
        merged.columns.extend(table.columns.iter().cloned());
        let keep = |feature, own: bool, what: &str| match like.strategy(feature) {
            LikeStrategy::Excluding => Ok(false),
            LikeStrategy::Overwriting => Ok(!own),
            LikeStrategy::Including if own => {
                let message = format!("both the table and \"{}\" have {what}", source.name);
                let error = SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message);
                Err(self.at(error.with_hint("say EXCLUDING or OVERWRITING behind LIKE"), span(&like.table)))
            }
            LikeStrategy::Including => Ok(true),
        };
        if base.watermark.is_some() && keep(LikeFeature::Watermarks, table.watermark.is_some(), "a watermark")? {
            merged.watermark = base.watermark;
        }
        let own = !table.primary_key.is_empty();
        if !base.primary_key.is_empty() && keep(LikeFeature::Constraints, own, "a primary key")? {
            merged.primary_key = base.primary_key;
        }
        let own = !table.partitioned_by.is_empty();
        if !base.partitioned_by.is_empty() && keep(LikeFeature::Partitions, own, "partitions")? {
            merged.partitioned_by = base.partitioned_by;
        }
        for option in base.options {
            let own = merged.options.iter().any(|(key, ..)| *key == option.0);
            if keep(LikeFeature::Options, own, &format!("option \"{}\"", option.0))? {
                merged.options.push((option.0, option.1, 1));
            }
        }
        Ok(merged)
    }

    fn twice(&self, column: &ColumnDef) -> SqlError {
        let message = format!("column \"{}\" specified more than once", column.name.value);
        self.at(SqlError::new(SqlState::DUPLICATE_COLUMN, message), column.name.span)
    }

    /// `CREATE TABLE … AS`: the table and the query that fills it.
    pub(super) fn create_table_as(
        &self,
        table: &CreateTable,
        query: &sp::Query,
        replaced: Option<&Relation>,
    ) -> Result<BoundStatement> {
        let bound = queries::bind_query(query, self.context)?;
        if let Some(replaced) = replaced.filter(|replaced| bound.depends_on.contains(&replaced.id)) {
            let message = format!("a query of \"{}\" cannot replace it", replaced.name);
            let error = SqlError::unsupported(message).with_hint("fill a table of another name, and rename it");
            return Err(self.at(error, span(&table.name)));
        }
        let filled = self.filled(table, bound.schema.fields())?;
        let relation = self.table_relation(&filled)?;
        let plain = table.columns.is_empty() && table.order.is_empty();
        let given = bound.schema.fields().iter().map(|field| sp::Ident::with_quote('"', field.name()));
        let given = if plain { Vec::new() } else { given.collect() };
        let query = queries::bind_insert(&Arc::new(relation.clone()), &given, query, self.context)?;
        Ok(BoundStatement::CreateTableAs { relation, exists: false, query, replaced: replaced.map(|old| old.id) })
    }

    /// The table with the columns of its query behind those that it declares itself, or in the order that it gives.
    fn filled(&self, table: &CreateTable, fields: &Fields) -> Result<CreateTable> {
        let mut filled = CreateTable { query: None, ..table.clone() };
        let same = |field: &FieldRef, name: &sp::Ident| field.name().eq_ignore_ascii_case(&name.value);
        let mut ordered: Vec<&FieldRef> = Vec::with_capacity(fields.len());
        for name in &table.order {
            let Some(field) = fields.iter().find(|field| same(field, name)) else {
                let message = format!("the query has no column \"{}\"", name.value);
                return Err(self.at(SqlError::new(SqlState::UNDEFINED_COLUMN, message), name.span));
            };
            ordered.push(field);
        }
        if !table.order.is_empty() && ordered.len() != fields.len() {
            let message = "the list of columns must have all columns of the query";
            return Err(self.at(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message), span(&table.name)));
        }
        if table.order.is_empty() {
            ordered.extend(fields);
        }
        for field in ordered {
            let declared = table.columns.iter().find(|column| same(field, &column.name));
            match declared.map(|column| (&column.kind, &column.name)) {
                None => {
                    let data_type = types::from_arrow(field.data_type().clone());
                    let kind = ColumnKind::Physical { data_type, not_null: false };
                    let name = sp::Ident::with_quote('"', field.name());
                    filled.columns.push(ColumnDef { name, kind, comment: None });
                }
                Some((ColumnKind::Physical { .. } | ColumnKind::Metadata { virtual_: false, .. }, _)) => {}
                Some((ColumnKind::Computed(_) | ColumnKind::Metadata { .. }, name)) => {
                    let message =
                        format!("column \"{}\" is not stored, and the query has one of that name", name.value);
                    return Err(self.at(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message), name.span));
                }
            }
        }
        Ok(filled)
    }
}

impl Like {
    /// What becomes of a feature: as said, else as said of all, else as Flink does it: options are overwritten, all
    /// else is included.
    fn strategy(&self, feature: LikeFeature) -> LikeStrategy {
        let said =
            |wanted| self.options.iter().rev().find(|(_, known)| *known == wanted).map(|(strategy, _)| *strategy);
        said(feature).or_else(|| said(LikeFeature::All)).unwrap_or(match feature {
            LikeFeature::Options => LikeStrategy::Overwriting,
            LikeFeature::All
            | LikeFeature::Constraints
            | LikeFeature::Partitions
            | LikeFeature::Generated
            | LikeFeature::Watermarks
            | LikeFeature::Metadata => LikeStrategy::Including,
        })
    }
}
