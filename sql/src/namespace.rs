//! Catalogs and databases, which PostgreSQL calls databases and schemas: how a name with dots finds its object.
//!
//! There is always the catalog `default_catalog` (in PostgreSQL's words the database `millstream`) with the database
//! `default_database` (the schema `public`). What is in it has its bare name in a [`CatalogSnapshot`]; what is in
//! another database has the name of that in front: `db.t`, or `cat.db.t` in another catalog. So no part of a name has a
//! dot in it.

use datafusion::sql::sqlparser::ast as sp;

use crate::catalog::{CatalogSnapshot, LookupError, Relation};
use crate::error::{Result, SqlError, SqlState};
use std::sync::Arc;

/// The names of the catalog that is always there.
const CATALOGS: [&str; 2] = ["default_catalog", "millstream"];
/// What PostgreSQL's clients call the only database.
pub const DATABASE: &str = "millstream";
/// The names of its database.
const DATABASES: [&str; 4] = ["default_database", "public", "default", "millstream"];
/// Where a new catalog's tables are when nothing else is said, as in Flink.
pub const FIRST_DATABASE: &str = "default";

/// A database or catalog that somebody made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Namespace {
    /// `db`, or `cat.db`; of a catalog `cat.`.
    pub name: String,
    /// `COMMENT`
    pub comment: Option<String>,
}

/// Which databases a bare name is looked up in, in order; new objects are made in the first that exists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SearchPath(Vec<Vec<String>>);

impl SearchPath {
    /// Reads `a, "b c", cat.db`. Names in quotes stay as they are.
    pub fn parse(text: &str) -> Self {
        let parts = |entry: &str| {
            let parts = entry.split('.').map(|part| part.trim().trim_matches(['"', '`', '\'']).to_owned());
            parts.filter(|part| !part.is_empty()).collect::<Vec<_>>()
        };
        Self(text.split(',').map(parts).filter(|parts| !parts.is_empty()).collect())
    }
}

fn is_any(name: &str, names: &[&str]) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// The last part of a relation's name, and the database in front of it: `None` in the default one.
pub fn split(name: &str) -> (Option<&str>, &str) {
    match name.rsplit_once('.') {
        Some((database, last)) => (Some(database), last),
        None => (None, name),
    }
}

impl CatalogSnapshot {
    /// What stands before the names of a database's objects; `None` where there is no such database.
    pub fn prefix(&self, parts: &[&str]) -> Option<String> {
        match parts {
            [catalog, database] if is_any(catalog, &CATALOGS) => self.default_prefix(database),
            [catalog, database] => self.made(&format!("{catalog}.{database}")),
            // A database of the present catalog, else of the default one.
            [database] => {
                let catalog = self.current_catalog().filter(|_| !is_any(database, &DATABASES[..2]));
                let own = catalog.and_then(|catalog| self.made(&format!("{catalog}.{database}")));
                own.or_else(|| self.default_prefix(database))
            }
            _ => None,
        }
    }

    fn default_prefix(&self, database: &str) -> Option<String> {
        self.made(database).or_else(|| is_any(database, &DATABASES).then(String::new))
    }

    /// The prefix of a database that was made.
    fn made(&self, name: &str) -> Option<String> {
        let exact = self.namespaces.get(name);
        let any_case = || self.namespaces.values().find(|known| known.name.eq_ignore_ascii_case(name));
        exact.or_else(any_case).map(|known| format!("{}.", known.name))
    }

    /// The databases that are searched, by their prefixes.
    fn searched(&self) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for parts in &self.path.0 {
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            let prefix = match parts.as_slice() {
                [database] => self.default_prefix(database),
                other => self.prefix(other),
            };
            found.extend(prefix.filter(|prefix| !found.contains(prefix)));
        }
        if self.path.0.is_empty() {
            found.push(String::new());
        }
        found
    }

    /// The database in which objects are made, by its prefix.
    pub fn current_prefix(&self) -> Option<String> {
        self.searched().into_iter().next()
    }

    /// The schema in which objects are made, as PostgreSQL's clients name it; `None` where the path leads to none.
    pub fn current_schema(&self) -> Option<String> {
        let prefix = self.current_prefix()?;
        Some(match prefix.trim_end_matches('.') {
            "" => "public".to_owned(),
            database => database.to_owned(),
        })
    }

    /// The catalog that the present database is in, where it is not the default one.
    pub fn current_catalog(&self) -> Option<String> {
        let (catalog, _) = self.path.0.first().and_then(|parts| match parts.as_slice() {
            [catalog, database] => Some((catalog, database)),
            _ => None,
        })?;
        Some(catalog.clone()).filter(|catalog| !is_any(catalog, &CATALOGS))
    }

    /// The names that a name may mean, in the order in which they are tried.
    ///
    /// # Errors
    /// Where the database in front of it does not exist.
    pub fn candidates(&self, parts: &[&str]) -> Result<Vec<String>> {
        match parts {
            [name] => Ok(self.searched().into_iter().map(|prefix| format!("{prefix}{name}")).collect()),
            [schema @ .., name] if schema.len() <= 2 && !schema.is_empty() => match self.prefix(schema) {
                Some(prefix) => Ok(vec![format!("{prefix}{name}")]),
                None => {
                    let message = format!("schema \"{}\" does not exist", schema.join("."));
                    Err(SqlError::new(SqlState::INVALID_SCHEMA_NAME, message)
                        .with_hint("SHOW DATABASES lists those that exist"))
                }
            },
            _ => {
                let message = format!("improper qualified name (too many dotted names): {}", parts.join("."));
                Err(SqlError::new(SqlState::SYNTAX_ERROR, message))
            }
        }
    }

    /// The relation of a name, where one of the databases that are searched has it.
    ///
    /// # Errors
    /// Where none or more than one fits.
    pub fn find(&self, parts: &[&str]) -> std::result::Result<&Arc<Relation>, LookupError> {
        let candidates = self.candidates(parts).unwrap_or_default();
        let mut missing = LookupError::Missing(None);
        for candidate in candidates.iter().rev() {
            match self.relation(candidate) {
                Err(LookupError::Missing(None)) => {}
                Err(error) => missing = error,
                Ok(_) => {}
            }
        }
        let found = candidates.iter().find_map(|candidate| match self.relation(candidate) {
            Err(LookupError::Missing(_)) => None,
            other => Some(other),
        });
        found.unwrap_or(Err(missing))
    }

    /// How a relation's name is written for it to be found from here.
    pub fn written(&self, name: &str) -> String {
        let (database, last) = split(name);
        let ident = crate::statement_text::ident;
        match database {
            Some(database) => database.split('.').chain([last]).map(ident).collect::<Vec<_>>().join("."),
            None if self.current_prefix().is_none_or(|prefix| prefix.is_empty()) => ident(last),
            None => format!("public.{}", ident(last)),
        }
    }
}

/// The name of a relation as a statement says it, wherever it is bound.
pub(crate) fn absolute(name: &str) -> sp::ObjectName {
    let (database, last) = split(name);
    let database = database.unwrap_or("public");
    let parts = database.split('.').chain([last]).map(|part| sp::Ident::with_quote('"', part));
    sp::ObjectName::from(parts.collect::<Vec<_>>())
}

/// The parts of a name.
pub(crate) fn parts(name: &sp::ObjectName) -> Vec<&str> {
    name.0.iter().filter_map(|part| part.as_ident()).map(|ident| ident.value.as_str()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    fn snapshot(path: &str) -> CatalogSnapshot {
        let names = ["d", "Mixed", "c.", "c.default", "c.d"];
        let made = |name: &str| (name.to_owned(), Namespace { name: name.to_owned(), comment: None });
        let namespaces = names.into_iter().map(made).collect();
        CatalogSnapshot { namespaces, path: SearchPath::parse(path), ..CatalogSnapshot::default() }
    }

    #[test]
    fn bare_names_are_searched_for_along_the_path() {
        let of = |path: &str| snapshot(path).candidates(&["t"]).unwrap();
        assert_eq!(of("\"$user\", public"), ["t"]);
        assert_eq!(of(""), ["t"]);
        assert_eq!(of("d, nothing, public"), ["d.t", "t"]);
        assert_eq!(of("mixed"), ["Mixed.t"]);
        assert_eq!(of("c.d"), ["c.d.t"]);
        assert!(of("nothing").is_empty());
    }

    #[test]
    fn qualified_names_are_of_the_present_catalog_first() {
        let of = |path: &str, parts: &[&str]| snapshot(path).candidates(parts).map(|found| found.join(" "));
        assert_eq!(of("public", &["d", "t"]).unwrap(), "d.t");
        assert_eq!(of("c.default", &["d", "t"]).unwrap(), "c.d.t");
        assert_eq!(of("c.default", &["Mixed", "t"]).unwrap(), "Mixed.t");
        assert_eq!(of("c.default", &["public", "t"]).unwrap(), "t");
        assert_eq!(of("c.default", &["default_catalog", "d", "t"]).unwrap(), "d.t");
        assert_eq!(of("public", &["default_catalog", "default_database", "t"]).unwrap(), "t");
        assert_eq!(of("public", &["e", "t"]).unwrap_err().parts().state.0, "3F000");
        assert_eq!(of("public", &["a", "b", "c", "t"]).unwrap_err().parts().state.0, "42601");
    }

    #[test]
    fn a_name_is_written_as_it_is_found() {
        assert_eq!(snapshot("public").written("t"), "t");
        assert_eq!(snapshot("d").written("t"), "public.t");
        assert_eq!(snapshot("d").written("c.d.select"), "c.d.`select`");
    }
}
