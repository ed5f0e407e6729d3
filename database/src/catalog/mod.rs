//! The server's catalog: relations, SQL functions and connectors, shared by all sessions.
//!
//! Readers take an immutable state without a lock; who changes it holds the [`DdlGuard`] from binding the statement to
//! the end of it, so that a statement meets the catalog it was bound against. Temporary relations are the session's.
//! It is in memory; [`crate::durable`] keeps what makes it again after a restart.

mod jobs;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use millstream_engine::plan::RelationId;
use millstream_engine::ports::{Connector, ConnectorDescriptor};
use millstream_sql::NativeFunction;
use millstream_sql::catalog::{CatalogSnapshot, Relation, SqlFunction};
use millstream_sql::namespace::{Namespace, SearchPath};

pub use jobs::{JobKind, JobRecord, JobRegistry, Supervision};

/// Relations by their declared names.
pub type Relations = BTreeMap<String, Arc<Relation>>;

/// Held while the catalog is changed. One at a time.
pub type DdlGuard<'a> = tokio::sync::MutexGuard<'a, ()>;

#[derive(Debug, Clone, Default)]
struct State {
    relations: Relations,
    functions: BTreeMap<String, Arc<SqlFunction>>,
    natives: BTreeMap<String, Arc<NativeFunction>>,
    namespaces: BTreeMap<String, Namespace>,
}

/// What exists.
#[derive(Debug)]
pub struct Catalog {
    state: ArcSwap<State>,
    next_id: AtomicU64,
    connectors: BTreeMap<&'static str, Arc<dyn Connector>>,
    descriptors: BTreeMap<String, Arc<ConnectorDescriptor>>,
    /// Tables that no list shows, by their qualified names.
    system: Relations,
    ddl: tokio::sync::Mutex<()>,
}

impl Catalog {
    /// An empty catalog that knows these connectors.
    pub fn new(connectors: BTreeMap<&'static str, Arc<dyn Connector>>) -> Self {
        let descriptors = connectors
            .iter()
            .map(|(name, connector)| ((*name).to_owned(), Arc::new(connector.descriptor().clone())))
            .collect();
        Self {
            state: ArcSwap::default(),
            next_id: AtomicU64::new(1),
            connectors,
            descriptors,
            system: Relations::new(),
            ddl: tokio::sync::Mutex::new(()),
        }
    }

    /// With tables of the system's own, and the connector that reads them; no list shows either.
    #[must_use]
    pub fn with_system(mut self, connector: Arc<dyn Connector>, relations: Relations) -> Self {
        self.connectors.insert(connector.descriptor().name, connector);
        self.system = relations;
        self
    }

    /// Waits until no other statement changes the catalog.
    pub async fn lock(&self) -> DdlGuard<'_> {
        self.ddl.lock().await
    }

    /// What a session sees: its temporary relations shadow the others. Its search path is for the session to put in.
    pub fn snapshot(&self, temporary: &Relations) -> CatalogSnapshot {
        let state = self.state.load();
        let mut relations = state.relations.clone();
        relations.extend(temporary.iter().map(|(name, relation)| (name.clone(), Arc::clone(relation))));
        CatalogSnapshot {
            relations,
            functions: state.functions.clone(),
            natives: state.natives.clone(),
            files: self.system.clone(),
            connectors: self.descriptors.clone(),
            namespaces: state.namespaces.clone(),
            path: SearchPath::default(),
        }
    }

    /// An id that no relation has had.
    pub fn next_id(&self) -> RelationId {
        RelationId(self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    /// Gives no id up to this one to a new relation.
    pub fn reserve_ids(&self, last: RelationId) {
        self.next_id.fetch_max(last.0.saturating_add(1), Ordering::Relaxed);
    }

    /// The connector of that name.
    pub fn connector(&self, name: &str) -> Option<&Arc<dyn Connector>> {
        self.connectors.get(name)
    }

    /// Adds a relation, in place of one of the same name.
    pub fn put_relation(&self, _guard: &DdlGuard<'_>, relation: Arc<Relation>) {
        self.change(|state| {
            state.relations.insert(relation.name.clone(), Arc::clone(&relation));
        });
    }

    /// Removes a relation and gives it back; `None` where there is none with that id.
    pub fn remove_relation(&self, _guard: &DdlGuard<'_>, id: RelationId) -> Option<Arc<Relation>> {
        let found = self.state.load().relations.values().find(|relation| relation.id == id).cloned();
        if let Some(relation) = &found {
            self.change(|state| {
                state.relations.remove(&relation.name);
            });
        }
        found
    }

    /// Removes a name that its relation does not have any more.
    pub fn remove_name(&self, _guard: &DdlGuard<'_>, name: &str) {
        self.change(|state| {
            state.relations.remove(name);
        });
    }

    /// Adds a function, in place of one of the same name.
    pub fn put_function(&self, _guard: &DdlGuard<'_>, function: Arc<SqlFunction>) {
        self.change(|state| {
            state.functions.insert(function.name.to_lowercase(), Arc::clone(&function));
        });
    }

    /// Adds a function of the program that holds the database, in place of one of the same name.
    pub fn put_native(&self, _guard: &DdlGuard<'_>, function: Arc<NativeFunction>) {
        self.change(|state| {
            state.natives.insert(function.name(), Arc::clone(&function));
        });
    }

    /// Removes a function by its lower-case name.
    pub fn remove_function(&self, _guard: &DdlGuard<'_>, name: &str) {
        self.change(|state| {
            state.functions.remove(name);
        });
    }

    /// Adds a database or catalog, in place of one of the same name.
    pub fn put_namespace(&self, _guard: &DdlGuard<'_>, namespace: Namespace) {
        self.change(|state| {
            state.namespaces.insert(namespace.name.clone(), namespace.clone());
        });
    }

    /// Removes databases and catalogs.
    pub fn remove_namespaces(&self, _guard: &DdlGuard<'_>, names: &[String]) {
        self.change(|state| state.namespaces.retain(|name, _| !names.contains(name)));
    }

    /// Makes the next state from the present one. Writers hold the guard, so none is lost.
    fn change(&self, edit: impl Fn(&mut State)) {
        self.state.rcu(|state| {
            let mut next = State::clone(state);
            edit(&mut next);
            next
        });
    }
}
