//! `CREATE DATABASE`, `USE`, `DROP CATALOG` and the like, and `COMMENT ON`.

use datafusion::sql::sqlparser::ast as sp;

use crate::ast::{Comment, CommentOn, NamespaceStatement, Touched};
use crate::bound::BoundStatement;
use crate::catalog::{Relation, RelationKind, nearest};
use crate::error::{Result, SqlError, SqlState};
use crate::namespace::{self, FIRST_DATABASE, Namespace, split};
use crate::statement_text;

use super::drop::{Object, described, with_dependents};
use super::names::{span, with_near};
use super::{Binder, alter};

/// The only type of a catalog that can be made.
const CATALOG_TYPE: &str = "generic_in_memory";

impl Binder<'_> {
    pub(super) fn namespace(&self, statement: &NamespaceStatement) -> Result<BoundStatement> {
        match statement {
            NamespaceStatement::CreateDatabase { name, if_not_exists, comment, tag } => {
                self.create_database(name, *if_not_exists, comment.as_ref(), tag)
            }
            NamespaceStatement::DropDatabase { name, if_exists, cascade, tag } => {
                self.drop_database(name, *if_exists, *cascade, tag)
            }
            NamespaceStatement::CreateCatalog { name, if_not_exists, comment, options } => {
                self.create_catalog(name, *if_not_exists, comment.as_ref(), options)
            }
            NamespaceStatement::DropCatalog { name, if_exists } => self.drop_catalog(name, *if_exists),
            NamespaceStatement::Use(name) => {
                let parts = namespace::parts(name);
                let Some(prefix) = self.context.catalog.prefix(&parts) else {
                    return Err(self.at(missing(&parts.join(".")), span(name)));
                };
                Ok(path_to(&prefix))
            }
            NamespaceStatement::Touch { what, tag } => {
                match what {
                    Touched::Database(name) => self.database_prefix(name).map(|_| ())?,
                    Touched::Catalog(name) => self.catalog_prefix(name).map(|_| ())?,
                    Touched::Relation(name) => self.relation(name).map(|_| ())?,
                }
                Ok(BoundStatement::Acknowledge(tag))
            }
            NamespaceStatement::UseCatalog(name) => {
                let first = |catalog: &str| self.context.catalog.prefix(&[catalog, FIRST_DATABASE]);
                match first(&name.value) {
                    Some(prefix) => Ok(path_to(&prefix)),
                    None => Err(self.at(no_catalog(&name.value), name.span)),
                }
            }
        }
    }

    fn create_database(
        &self,
        name: &sp::ObjectName,
        if_not_exists: bool,
        comment: Option<&String>,
        tag: &'static str,
    ) -> Result<BoundStatement> {
        let catalog = &self.context.catalog;
        let parts = namespace::parts(name);
        let refuse = |state, message: String| Err(self.at(SqlError::new(state, message), span(name)));
        if let Some(odd) = parts.iter().find(|part| part.contains(['.', ',', '"']) || part.is_empty()) {
            return refuse(SqlState("42602"), format!("invalid name: \"{odd}\""));
        }
        let (of, last) = match parts.as_slice() {
            [last] => (catalog.current_catalog(), *last),
            [of, last] => match catalog.prefix(&[of, FIRST_DATABASE]) {
                Some(prefix) => (split(prefix.trim_end_matches('.')).0.map(str::to_owned), *last),
                None => return Err(self.at(no_catalog(of), span(name))),
            },
            _ => return refuse(SqlState::SYNTAX_ERROR, format!("improper qualified name: {name}")),
        };
        let made = of.as_ref().map_or_else(|| last.to_owned(), |of| format!("{of}.{last}"));
        let exists = match &of {
            Some(of) => catalog.prefix(&[of, last]).is_some_and(|prefix| prefix.starts_with(of)),
            None => catalog.prefix(&["default_catalog", last]).is_some(),
        };
        if exists && !if_not_exists {
            return refuse(SqlState("42P06"), format!("schema \"{made}\" already exists"));
        }
        let namespaces = vec![Namespace { name: made, comment: comment.cloned() }];
        Ok(BoundStatement::CreateNamespaces { namespaces, exists, tag })
    }

    fn drop_database(
        &self,
        name: &sp::ObjectName,
        if_exists: bool,
        cascade: bool,
        tag: &'static str,
    ) -> Result<BoundStatement> {
        let catalog = &self.context.catalog;
        let parts = namespace::parts(name);
        let shown = parts.join(".");
        let prefix = match catalog.prefix(&parts) {
            Some(prefix) if prefix.is_empty() => {
                let error = SqlError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, "cannot drop the default database");
                return Err(self.at(error, span(name)));
            }
            Some(prefix) => prefix,
            None if if_exists => {
                let notice = Some(format!("schema \"{shown}\" does not exist, skipping"));
                return Ok(BoundStatement::DropNamespaces {
                    names: Vec::new(),
                    relations: Vec::new(),
                    functions: Vec::new(),
                    tag,
                    notice,
                });
            }
            None => return Err(self.at(missing(&shown), span(name))),
        };
        let inside: Vec<_> = catalog.relations.values().filter(|of| of.name.starts_with(&prefix)).collect();
        if let (Some(_), false) = (inside.first(), cascade) {
            let lines: Vec<String> =
                inside.iter().map(|of| format!("{} depends on schema {shown}", described(of))).collect();
            let message = format!("cannot drop schema {shown} because other objects depend on it");
            let error = SqlError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
                .with_detail(lines.join("\n"))
                .with_hint("use DROP … CASCADE to drop the dependent objects too");
            return Err(self.at(error, span(name)));
        }
        let (relations, functions) = with_dependents(inside.iter().map(|of| Object::Relation(of.id)), catalog);
        let names = vec![prefix.trim_end_matches('.').to_owned()];
        Ok(BoundStatement::DropNamespaces { names, relations, functions, tag, notice: None })
    }

    fn create_catalog(
        &self,
        name: &sp::Ident,
        if_not_exists: bool,
        comment: Option<&String>,
        options: &[(String, String, usize)],
    ) -> Result<BoundStatement> {
        const TAG: &str = "CREATE CATALOG";
        let refuse = |state, message: String| Err(self.at(SqlError::new(state, message), name.span));
        if name.value.contains(['.', ',', '"']) || name.value.is_empty() {
            return refuse(SqlState("42602"), format!("invalid name: \"{}\"", name.value));
        }
        for (key, value, position) in options {
            if key != "type" && key != "default-database" {
                let message = format!("a catalog has no option \"{key}\"");
                return Err(SqlError::new(SqlState::INVALID_OPTION_NAME, message).at(*position));
            }
            if key == "type" && !value.eq_ignore_ascii_case(CATALOG_TYPE) {
                let error = SqlError::unsupported(format!("catalogs of type \"{value}\" are not supported"));
                return Err(error
                    .with_hint("the type is 'generic_in_memory'; it is kept over a restart")
                    .at(*position));
            }
        }
        let exists = self.context.catalog.prefix(&[&name.value, FIRST_DATABASE]).is_some();
        if exists && !if_not_exists {
            return refuse(SqlState("42710"), format!("catalog \"{}\" already exists", name.value));
        }
        let first = options.iter().find(|(key, ..)| key == "default-database").map(|(_, value, _)| value.as_str());
        let mut namespaces = vec![Namespace { name: format!("{}.", name.value), comment: comment.cloned() }];
        for database in std::iter::once(FIRST_DATABASE).chain(first.filter(|first| *first != FIRST_DATABASE)) {
            namespaces.push(Namespace { name: format!("{}.{database}", name.value), comment: None });
        }
        Ok(BoundStatement::CreateNamespaces { namespaces, exists, tag: TAG })
    }

    /// Flink drops a catalog with all that is in it; here it has to be empty.
    fn drop_catalog(&self, name: &sp::Ident, if_exists: bool) -> Result<BoundStatement> {
        const TAG: &str = "DROP CATALOG";
        let catalog = &self.context.catalog;
        let known = catalog
            .namespaces
            .keys()
            .find(|key| key.strip_suffix('.').is_some_and(|known| known.eq_ignore_ascii_case(&name.value)));
        let (relations, functions) = (Vec::new(), Vec::new());
        let Some(prefix) = known else {
            if !if_exists {
                return Err(self.at(no_catalog(&name.value), name.span));
            }
            let notice = Some(format!("catalog \"{}\" does not exist, skipping", name.value));
            return Ok(BoundStatement::DropNamespaces { names: Vec::new(), relations, functions, tag: TAG, notice });
        };
        if let Some(inside) = catalog.relations.values().find(|of| of.name.starts_with(prefix.as_str())) {
            let message = format!("cannot drop catalog {} because other objects depend on it", name.value);
            let error = SqlError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
                .with_detail(format!("{} is in it", described(inside)))
                .with_hint("DROP DATABASE … CASCADE drops what is in a database");
            return Err(self.at(error, name.span));
        }
        let names = catalog.namespaces.keys().filter(|key| key.starts_with(prefix.as_str())).cloned().collect();
        Ok(BoundStatement::DropNamespaces { names, relations, functions, tag: TAG, notice: None })
    }

    pub(super) fn comment(&self, comment: &Comment) -> Result<BoundStatement> {
        const TAG: &str = "COMMENT";
        match &comment.on {
            CommentOn::Relation(name) => {
                let old = self.relation(name)?;
                let relation = Relation { comment: comment.text.clone(), ..old.as_ref().clone() };
                self.commented(&old.name, relation, TAG)
            }
            CommentOn::Column(path) => {
                let mut name = path.clone();
                let column = name.0.pop().and_then(|part| part.as_ident().cloned());
                let Some(column) = column.filter(|_| !name.0.is_empty()) else {
                    let error = SqlError::new(SqlState::SYNTAX_ERROR, "column name must be qualified");
                    return Err(self.at(error, span(path)));
                };
                let old = self.relation(&name)?;
                let mut relation = old.as_ref().clone();
                let found = relation.columns.iter_mut().find(|known| known.name.eq_ignore_ascii_case(&column.value));
                let Some(found) = found else {
                    let message = format!("column \"{}\" of relation \"{}\" does not exist", column.value, old.name);
                    let near = nearest(&column.value, old.columns.iter().map(|known| known.name.as_str()));
                    let error = SqlError::new(SqlState::UNDEFINED_COLUMN, message);
                    return Err(self.at(with_near(error, near), column.span));
                };
                found.comment.clone_from(&comment.text);
                self.commented(&old.name, relation, TAG)
            }
            CommentOn::Database(name) => {
                let parts = namespace::parts(name);
                let prefix = self.context.catalog.prefix(&parts);
                let Some(prefix) = prefix else { return Err(self.at(missing(&parts.join(".")), span(name))) };
                if prefix.is_empty() {
                    let error = SqlError::unsupported("a comment on the default database is not supported");
                    return Err(self.at(error, span(name)));
                }
                let name = prefix.trim_end_matches('.').to_owned();
                let namespaces = vec![Namespace { name, comment: comment.text.clone() }];
                Ok(BoundStatement::CreateNamespaces { namespaces, exists: false, tag: TAG })
            }
        }
    }

    /// A relation with other comments, and its definition with them.
    fn commented(&self, old: &str, mut relation: Relation, tag: &'static str) -> Result<BoundStatement> {
        let name = self.context.catalog.written(&relation.name);
        relation.definition = match &relation.kind {
            RelationKind::ConnectorTable(_) | RelationKind::InternalTable(_) => {
                statement_text::create_table(&relation, &name)
            }
            RelationKind::View { query, .. } | RelationKind::MaterializedView { query, .. } => {
                statement_text::create_view(&relation, &name, query, alter::is_renamed(&relation))
            }
        };
        Ok(BoundStatement::Alter { old: old.to_owned(), relation, tag })
    }
}

/// `SET search_path` to the database with this prefix.
fn path_to(prefix: &str) -> BoundStatement {
    let database = prefix.trim_end_matches('.');
    let parts: Vec<String> = database.split('.').map(|part| format!("\"{part}\"")).collect();
    let value = if database.is_empty() { "public".to_owned() } else { parts.join(".") };
    BoundStatement::Set { name: "search_path".to_owned(), value: Some(value) }
}

/// The error for a database that does not exist.
pub(super) fn missing(name: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_SCHEMA_NAME, format!("schema \"{name}\" does not exist"))
        .with_hint("SHOW DATABASES lists those that exist")
}

pub(super) fn no_catalog(name: &str) -> SqlError {
    SqlError::new(SqlState("3D000"), format!("catalog \"{name}\" does not exist"))
        .with_hint("SHOW CATALOGS lists those that exist")
}
