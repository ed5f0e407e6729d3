//! `ALTER TABLE` and `ALTER VIEW`: the definition is read back, changed, and bound as if it were new.

use datafusion::sql::sqlparser::ast as sp;

use crate::ast::{
    AlterAction, AlterTable, AlterView, ColumnDef, ColumnKind, ColumnPlace, CreateTable, CreateView, Statement,
};
use crate::bound::BoundStatement;
use crate::catalog::{Relation, RelationKind, nearest};
use crate::error::{Result, SqlError, SqlState};
use crate::namespace;
use crate::statement_text;

use super::Binder;
use super::names::{span, with_near};

/// The statement that gives a view another query.
fn replacing(old: &Relation, query: &sp::Query, query_text: &str) -> CreateView {
    CreateView {
        name: namespace::absolute(&old.name),
        materialized: false,
        temporary: old.temporary,
        or_replace: true,
        if_not_exists: false,
        columns: Vec::new(),
        column_comments: Vec::new(),
        comment: old.comment.clone(),
        query: Box::new(query.clone()),
        query_text: query_text.to_owned(),
    }
}

/// Whether a view has other column names than its query, or says its columns for the sake of comments on them.
pub(super) fn is_renamed(view: &Relation) -> bool {
    let first = view.definition.lines().next().unwrap_or_default();
    first.ends_with(") AS") || first.ends_with(')') || view.columns.iter().any(|column| column.comment.is_some())
}

/// A new name in the database of an old one.
fn beside(old: &sp::ObjectName, to: &sp::Ident) -> sp::ObjectName {
    let mut name = old.clone();
    name.0.pop();
    name.0.push(sp::ObjectNamePart::Identifier(to.clone()));
    name
}

impl Binder<'_> {
    pub(super) fn alter_table(&self, alter: &AlterTable) -> Result<BoundStatement> {
        if alter.if_exists && self.is_missing(&alter.name) {
            return Ok(BoundStatement::Acknowledge("ALTER TABLE"));
        }
        let old = self.relation(&alter.name)?;
        if !matches!(old.kind, RelationKind::ConnectorTable(_) | RelationKind::InternalTable(_)) {
            let error = SqlError::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{}\" is not a table", old.name));
            return Err(self.at(error, span(&alter.name)));
        }
        let options_only =
            alter.actions.iter().all(|action| matches!(action, AlterAction::Set(_) | AlterAction::Reset(_)));
        if !options_only {
            self.no_readers(old, &alter.name)?;
        }
        let mut table = definition(old)?;
        for action in &alter.actions {
            self.check_action(old, alter, action)?;
            self.apply(&mut table, action)?;
        }
        let renamed = alter.actions.iter().any(|action| matches!(action, AlterAction::Rename(_)));
        if renamed {
            self.existing(&table.name, &self.simple(&table.name)?, old.temporary, false)?;
        }
        let mut relation = self.table_relation(&table)?;
        relation.id = old.id;
        Ok(BoundStatement::Alter { old: old.name.clone(), relation, tag: "ALTER TABLE" })
    }

    pub(super) fn alter_view(&self, alter: &AlterView) -> Result<BoundStatement> {
        let (name, if_exists) = match alter {
            AlterView::Rename { name, if_exists, .. } => (name, *if_exists),
            AlterView::Query { name, .. } => (name, false),
        };
        if if_exists && self.is_missing(name) {
            return Ok(BoundStatement::Acknowledge("ALTER VIEW"));
        }
        let old = self.relation(name)?;
        if let AlterView::Query { materialized: true, query, query_text, .. } = alter {
            let view = CreateView { materialized: true, ..replacing(old, query, query_text) };
            return Ok(match self.create_view(&view)? {
                BoundStatement::CreateMaterializedView { relation, exists, replaced, query, tag: _ } => {
                    let tag = "ALTER MATERIALIZED VIEW";
                    BoundStatement::CreateMaterializedView { relation, exists, replaced, query, tag }
                }
                other => other,
            });
        }
        let RelationKind::View { query: old_query, .. } = &old.kind else {
            let error = SqlError::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{}\" is not a view", old.name));
            return Err(self.at(error, span(name)));
        };
        match alter {
            AlterView::Rename { to, .. } => {
                self.no_readers(old, name)?;
                let to = beside(&namespace::absolute(&old.name), to);
                let renamed = self.simple(&to)?;
                self.existing(&to, &renamed, old.temporary, false)?;
                let mut relation = Relation { name: renamed.clone(), ..old.as_ref().clone() };
                let name = self.context.catalog.written(&relation.name);
                relation.definition = statement_text::create_view(&relation, &name, old_query, is_renamed(old));
                Ok(BoundStatement::Alter { old: old.name.clone(), relation, tag: "ALTER VIEW" })
            }
            AlterView::Query { query, query_text, .. } => {
                let view = replacing(old, query, query_text);
                match self.create_view(&view)? {
                    BoundStatement::CreateView { mut relation, .. } => {
                        relation.id = old.id;
                        Ok(BoundStatement::Alter { old: old.name.clone(), relation, tag: "ALTER VIEW" })
                    }
                    other => Ok(other),
                }
            }
        }
    }

    /// Refuses a change of what others read by name.
    pub(super) fn no_readers(&self, old: &Relation, name: &sp::ObjectName) -> Result<()> {
        let catalog = &self.context.catalog;
        let Some(reader) = catalog.relations.values().find(|other| other.depends_on.contains(&old.id)) else {
            return Ok(());
        };
        let message = format!("cannot change \"{}\" because other objects depend on it", old.name);
        let error = SqlError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
            .with_detail(format!("{} depends on it", super::drop::described(reader)))
            .with_hint("drop them first, and create them again afterwards");
        Err(self.at(error, span(name)))
    }

    /// The rows of an internal table are kept as they are: only its name can change.
    fn check_action(&self, old: &Relation, alter: &AlterTable, action: &AlterAction) -> Result<()> {
        if matches!(old.kind, RelationKind::InternalTable(_)) && !matches!(action, AlterAction::Rename(_)) {
            let error = SqlError::unsupported("ALTER TABLE can only rename an internal table");
            let hint = "create a table with the columns that are wanted and fill it with INSERT INTO … SELECT";
            return Err(self.at(error.with_hint(hint), span(&alter.name)));
        }
        Ok(())
    }

    fn apply(&self, table: &mut CreateTable, action: &AlterAction) -> Result<()> {
        match action {
            AlterAction::Rename(to) => table.name = beside(&table.name, to),
            AlterAction::RenameColumn(from, to) => self.rename_column(table, from, to)?,
            AlterAction::Set(options) => {
                for (key, value, position) in options {
                    table.options.retain(|(known, ..)| known != key);
                    table.options.push((key.clone(), value.clone(), *position));
                }
            }
            AlterAction::Reset(keys) => {
                if keys.iter().any(|key| key == "connector") {
                    let error =
                        SqlError::new(SqlState::INVALID_TABLE_DEFINITION, "option \"connector\" cannot be reset");
                    return Err(error);
                }
                table.options.retain(|(known, ..)| !keys.contains(known));
            }
            AlterAction::Put { modify, column, watermark, primary_key, place } => {
                if let Some(column) = column {
                    self.put_column(table, column, *modify, place)?;
                }
                if let Some(watermark) = watermark {
                    self.present("a watermark", *modify, table.watermark.is_some())?;
                    table.watermark = Some(watermark.as_ref().clone());
                }
                if !primary_key.is_empty() {
                    self.present("a primary key", *modify, !table.primary_key.is_empty())?;
                    table.primary_key.clone_from(primary_key);
                }
            }
            AlterAction::DropColumn(name) => {
                let index = self.declared_index(table, name)?;
                let column = table.columns.remove(index).name;
                let watermark =
                    table.watermark.as_ref().is_some_and(|watermark| watermark.column.value == column.value);
                let used = |list: &[sp::Ident]| list.iter().any(|key| key.value == column.value);
                if watermark || used(&table.primary_key) || used(&table.partitioned_by) {
                    let message = format!(
                        "column \"{}\" is part of the watermark, the primary key or the partitions",
                        name.value
                    );
                    return Err(self.at(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message), name.span));
                }
            }
            AlterAction::DropPrimaryKey => {
                self.present("a primary key", true, !table.primary_key.is_empty())?;
                table.primary_key.clear();
            }
            AlterAction::DropWatermark => {
                self.present("a watermark", true, table.watermark.is_some())?;
                table.watermark = None;
            }
        }
        Ok(())
    }

    /// Checks that the table has something where it is to be there, and has not where it is not.
    fn present(&self, what: &str, wanted: bool, found: bool) -> Result<()> {
        if wanted == found {
            return Ok(());
        }
        let message = format!("the table has {}{what}", if found { "" } else { "not " });
        let message = if found { message } else { message.replace("not a ", "no ") };
        let hint = if found { "use MODIFY to change it" } else { "use ADD to add one" };
        Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message).with_hint(hint))
    }

    fn put_column(&self, table: &mut CreateTable, column: &ColumnDef, modify: bool, place: &ColumnPlace) -> Result<()> {
        let mut index = table.columns.len();
        if modify {
            index = self.declared_index(table, &column.name)?;
            table.columns.remove(index);
        } else if table.columns.iter().any(|known| known.name.value == column.name.value) {
            let message = format!("column \"{}\" of the table already exists", column.name.value);
            return Err(self.at(SqlError::new(SqlState::DUPLICATE_COLUMN, message), column.name.span));
        }
        match place {
            ColumnPlace::Same => {}
            ColumnPlace::First => index = 0,
            ColumnPlace::After(other) => index = self.declared_index(table, other)? + 1,
        }
        table.columns.insert(index, column.clone());
        Ok(())
    }

    fn rename_column(&self, table: &mut CreateTable, from: &sp::Ident, to: &sp::Ident) -> Result<()> {
        let index = self.declared_index(table, from)?;
        if table.columns.iter().any(|known| known.name.value == to.value) {
            let message = format!("column \"{}\" of the table already exists", to.value);
            return Err(self.at(SqlError::new(SqlState::DUPLICATE_COLUMN, message), to.span));
        }
        let computed = table.columns.iter().any(|column| matches!(column.kind, ColumnKind::Computed(_)));
        if computed || table.watermark.is_some() {
            let message = "a column cannot be renamed where the table has computed columns or a watermark";
            let hint = "drop them first, and add them again with the new name";
            return Err(self.at(SqlError::unsupported(message).with_hint(hint), from.span));
        }
        let Some(column) = table.columns.get_mut(index) else { return Ok(()) };
        let old = std::mem::replace(&mut column.name, to.clone());
        if let ColumnKind::Metadata { key: key @ None, .. } = &mut column.kind {
            *key = Some(old.value.clone());
        }
        for key in table.primary_key.iter_mut().chain(&mut table.partitioned_by) {
            if key.value == old.value {
                *key = to.clone();
            }
        }
        Ok(())
    }

    /// The index of a column: its exact name, else the only one that differs in case alone.
    fn declared_index(&self, table: &CreateTable, name: &sp::Ident) -> Result<usize> {
        let exact = table.columns.iter().position(|column| column.name.value == name.value);
        let alike = || table.columns.iter().position(|column| column.name.value.eq_ignore_ascii_case(&name.value));
        exact.or_else(alike).ok_or_else(|| {
            let message = format!("column \"{}\" of the table does not exist", name.value);
            let names = table.columns.iter().map(|column| column.name.value.as_str());
            let error = with_near(SqlError::new(SqlState::UNDEFINED_COLUMN, message), nearest(&name.value, names));
            self.at(error, name.span)
        })
    }
}

/// The `CREATE TABLE` that a table was made with.
///
/// # Errors
/// Where its definition does not parse, which is a bug.
pub(super) fn definition(relation: &Relation) -> Result<CreateTable> {
    let mut statements = crate::parse::script(&relation.definition)?;
    match statements.pop().map(|statement| statement.ast) {
        Some(Statement::CreateTable(table)) => Ok(CreateTable { name: namespace::absolute(&relation.name), ..table }),
        _ => {
            let message = format!("the definition of \"{}\" is not that of a table", relation.name);
            Err(SqlError::new(SqlState::INTERNAL_ERROR, message))
        }
    }
}
