//! `ALTER TABLE`, `ALTER VIEW` and `CREATE TABLE … AS`.

use std::sync::Arc;

use millstream_sql::bound::BoundQuery;
use millstream_sql::catalog::{Relation, RelationKind};
use millstream_sql::{SqlError, SqlState};
use tokio::runtime::Handle;

use super::ddl::forget;
use super::{Body, Database, Outcome, Session, Wording};
use crate::catalog::DdlGuard;
use crate::durable::format_catalog::CatalogRecord;

impl Session {
    /// Puts the new form of a relation in the place of the old one.
    pub(super) fn alter(
        &mut self,
        guard: &DdlGuard<'_>,
        old: &str,
        mut relation: Relation,
        tag: &'static str,
    ) -> Result<Outcome, SqlError> {
        if let RelationKind::ConnectorTable(table) = &mut relation.kind {
            self.check_connector_table(table)?;
        }
        let temporary = relation.temporary;
        // The record puts the new form in the place of the old one, whatever its name was.
        let name = relation.name.clone();
        // A new name changes nothing of what the relation was bound under.
        let wording = Wording { text: "", lacks: None, settings_as_before: name != *old };
        self.put(guard, relation, &wording, None)?;
        if name != *old {
            if temporary {
                self.temporary.remove(old);
            } else {
                self.database.catalog().remove_name(guard, old);
            }
        }
        Ok(Outcome::done(tag))
    }

    /// Adds a table and fills it. Where filling fails, the table goes again.
    pub(super) async fn create_table_as(
        &mut self,
        guard: DdlGuard<'_>,
        relation: Relation,
        exists: bool,
        query: &BoundQuery,
    ) -> Result<Outcome, SqlError> {
        let (name, temporary) = (relation.name.clone(), relation.temporary);
        let wording = Wording {
            text: "",
            lacks: Some((
                "CREATE TABLE AS of a query that does not end starts no job that is kept over a restart",
                "Use CREATE TABLE, then INSERT.",
            )),
            settings_as_before: false,
        };
        let created = self.create_table(&guard, relation, exists, &Wording::of("", &[]))?;
        if exists {
            return Ok(created);
        }
        let snapshot = self.database.catalog().snapshot(&self.temporary);
        let Some(relation) = snapshot.relations.get(&name).filter(|found| found.temporary == temporary) else {
            return Err(SqlError::new(SqlState::INTERNAL_ERROR, format!("table \"{name}\" is gone")));
        };
        // Filling may take long: others may change the catalog meanwhile, and it may be stopped.
        drop(guard);
        let unfilled = Unfilled { database: self.database.clone(), relation: Some(Arc::clone(relation)) };
        self.decision.revoke();
        let filled = self.insert(relation, query, &wording).await;
        let relation = unfilled.done();
        match filled {
            Ok(Outcome { notices, body }) => {
                let body = match body {
                    Body::Done(tag) => Body::Done(format!("SELECT {}", tag.rsplit(' ').next().unwrap_or("0"))),
                    other => other,
                };
                Ok(Outcome { notices, body })
            }
            Err(error) => {
                if let Some(relation) = relation {
                    self.temporary.retain(|_, temporary| temporary.id != relation.id);
                    take_back(&self.database, &relation).await?;
                }
                Err(error)
            }
        }
    }
}

/// A table that is being filled for the first time. Where that is stopped, the table goes.
struct Unfilled {
    database: Database,
    relation: Option<Arc<Relation>>,
}

impl Unfilled {
    /// The table, which stays.
    fn done(mut self) -> Option<Arc<Relation>> {
        self.relation.take()
    }
}

impl Drop for Unfilled {
    fn drop(&mut self) {
        // Without a runtime the process is about to end: the next start finds an empty table.
        let (Some(relation), Ok(runtime)) = (self.relation.take(), Handle::try_current()) else { return };
        let database = self.database.clone();
        runtime.spawn(async move {
            if let Err(error) = take_back(&database, &relation).await {
                tracing::warn!(table = relation.name, %error, "a table that was not filled stays");
            }
        });
    }
}

/// Drops a table that was just made.
async fn take_back(database: &Database, relation: &Relation) -> Result<(), SqlError> {
    let catalog = Arc::clone(database.catalog());
    let guard = catalog.lock().await;
    if !relation.temporary {
        database.write(|| CatalogRecord::Dropped { relations: vec![relation.id.0], functions: vec![] })?;
    }
    catalog.remove_relation(&guard, relation.id);
    forget(database, relation);
    Ok(())
}
