//! Catalogs and databases: made, dropped and listed.

use std::collections::BTreeSet;

use arrow::array::ArrayRef;
use millstream_engine::plan::RelationId;
use millstream_sql::ast::ObjectKind;
use millstream_sql::catalog::CatalogSnapshot;
use millstream_sql::namespace::{Namespace, split};
use millstream_sql::{SqlError, SqlState};

use super::show::texts;
use super::{Notice, Outcome, Session};
use crate::catalog::DdlGuard;
use crate::durable::format_catalog::{CatalogRecord, NamespaceEntry};

/// What Flink calls the catalog and the database that are always there.
pub(super) const CATALOG: &str = "default_catalog";
pub(super) const DATABASE: &str = "default_database";

impl Session {
    pub(super) fn create_namespaces(
        &mut self,
        guard: &DdlGuard<'_>,
        namespaces: Vec<Namespace>,
        exists: bool,
        tag: &'static str,
    ) -> Result<Outcome, SqlError> {
        if exists {
            let name = namespaces.first().map_or("", |first| first.name.trim_end_matches('.'));
            let message = format!("schema \"{name}\" already exists, skipping");
            return Ok(Outcome::done(tag).with_notice(Notice { state: SqlState("42P06"), ..Notice::info(message) }));
        }
        for namespace in namespaces {
            let entry = NamespaceEntry { name: namespace.name.clone(), comment: namespace.comment.clone() };
            self.database.write(|| CatalogRecord::Namespace(entry))?;
            self.database.catalog().put_namespace(guard, namespace);
        }
        Ok(Outcome::done(tag))
    }

    /// Removes databases, and what is in them before.
    pub(super) fn drop_namespaces(
        &mut self,
        guard: &DdlGuard<'_>,
        names: Vec<String>,
        (relations, functions): (&[RelationId], &[String]),
        tag: &'static str,
        notice: Option<String>,
    ) -> Result<Outcome, SqlError> {
        if !relations.is_empty() || !functions.is_empty() {
            self.drop_objects(guard, relations, functions, ObjectKind::Table, Vec::new())?;
        }
        if !names.is_empty() {
            self.database.write(|| CatalogRecord::NamespacesDropped { names: names.clone() })?;
            self.database.catalog().remove_namespaces(guard, &names);
        }
        let outcome = Outcome::done(tag);
        Ok(match notice {
            Some(notice) => outcome.with_notice(Notice::info(notice)),
            None => outcome,
        })
    }

    /// What exists, as this session sees it.
    pub(super) fn snapshot(&self) -> CatalogSnapshot {
        let snapshot = self.database.catalog().snapshot(&self.temporary);
        CatalogSnapshot { path: self.settings.search_path(), ..snapshot }
    }

    /// The catalog that the session is in.
    pub(super) fn current_catalog(&self) -> Vec<ArrayRef> {
        vec![texts([self.snapshot().current_catalog().unwrap_or_else(|| CATALOG.to_owned())])]
    }

    pub(super) fn catalogs(&self) -> Vec<ArrayRef> {
        let snapshot = self.snapshot();
        let made = snapshot.namespaces.keys().filter_map(|name| name.strip_suffix('.')).map(str::to_owned);
        vec![texts(std::iter::once(CATALOG.to_owned()).chain(made).collect::<BTreeSet<_>>())]
    }

    /// The database that the session is in; none where the search path names none that exists.
    pub(super) fn current_database(&self) -> Vec<ArrayRef> {
        let prefix = self.snapshot().current_prefix();
        vec![texts(prefix.map(|prefix| last(&prefix)))]
    }

    /// The databases of the present catalog.
    pub(super) fn databases(&self) -> Vec<ArrayRef> {
        self.databases_of(self.snapshot().current_catalog().as_deref())
    }

    /// The databases of a catalog; `None`: of the one that is always there.
    pub(super) fn databases_of(&self, of: Option<&str>) -> Vec<ArrayRef> {
        let snapshot = self.snapshot();
        let made = snapshot.namespaces.keys().filter(|name| !name.ends_with('.') && split(name).0 == of);
        let first = of.is_none().then(|| DATABASE.to_owned());
        vec![texts(first.into_iter().chain(made.map(|name| last(name))).collect::<BTreeSet<_>>())]
    }
}

/// The name of a database without its catalog.
pub(super) fn last(prefix: &str) -> String {
    match split(prefix.trim_end_matches('.')).1 {
        "" => DATABASE.to_owned(),
        last => last.to_owned(),
    }
}
