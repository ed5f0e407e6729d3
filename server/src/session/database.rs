//! [`Database`]: what all sessions share.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use millstream_engine::plan::RelationId;
use millstream_engine::ports::Connector;
use millstream_engine::runtime::{Engine, EngineConfig, JobId, JobState};
use millstream_sql::SqlError;
use parking_lot::Mutex;

use super::Session;
use super::internal_table::TableGate;
use crate::batch::{BatchRuntime, ReadNotes, Scans};
use crate::catalog::{Catalog, JobKind, JobRegistry};
use crate::config::Config;

/// The engine, the catalog and the settings of the process. Cheap to clone; the engine stops with the last clone.
#[derive(Clone)]
pub struct Database(Arc<Inner>);

struct Inner {
    engine: Engine,
    catalog: Arc<Catalog>,
    jobs: JobRegistry,
    batch: BatchRuntime,
    config: Config,
    gates: Mutex<HashMap<RelationId, Arc<TableGate>>>,
}

impl Database {
    /// Starts an engine with all connectors.
    ///
    /// # Errors
    /// Where the threads or the directory for spilling cannot be made.
    pub fn start(config: Config) -> Result<Self, SqlError> {
        let engine = EngineConfig {
            shards: config.shards,
            epoch_interval_ms: config.epoch_interval_ms,
            ..EngineConfig::default()
        };
        Self::start_with(config, engine, millstream_connectors::registry())
    }

    /// Starts an engine with this configuration (a clock of a test) and these connectors.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(
        config: Config,
        engine: EngineConfig,
        connectors: BTreeMap<&'static str, Arc<dyn Connector>>,
    ) -> Result<Self, SqlError> {
        let batch = BatchRuntime::new(config.memory_limit_bytes, engine.shards.max(1))?;
        let engine = Engine::start(engine)?;
        Ok(Self(Arc::new(Inner {
            engine,
            catalog: Arc::new(Catalog::new(connectors)),
            jobs: JobRegistry::default(),
            batch,
            config,
            gates: Mutex::default(),
        })))
    }

    /// A new session with the settings of the process.
    pub fn session(&self) -> Session {
        Session::new(self.clone())
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// The catalog.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.0.catalog
    }

    /// What each job is for.
    pub fn jobs(&self) -> &JobRegistry {
        &self.0.jobs
    }

    /// The settings of the process.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// What batch queries share.
    pub fn batch(&self) -> &BatchRuntime {
        &self.0.batch
    }

    /// The scans of one query: all views as they are now.
    pub fn scans(&self) -> Scans {
        Scans {
            catalog: Arc::clone(&self.0.catalog),
            snapshot: self.0.engine.snapshot(),
            clock: Arc::clone(&self.0.engine.config().clock),
            files: Arc::default(),
            notes: ReadNotes::default(),
        }
    }

    /// Jobs that write to connectors and still run.
    pub fn running_inserts(&self) -> Vec<JobId> {
        let jobs = self.0.engine.jobs().into_iter().filter(|job| job.state == JobState::Running);
        jobs.map(|job| job.id).filter(|job| self.0.jobs.kind(*job) == Some(JobKind::Insert)).collect()
    }

    /// Stops all jobs.
    pub fn shutdown(&self) {
        self.0.engine.shutdown();
    }

    /// The gate through which all inserts into an internal table go.
    pub(super) fn gate(&self, table: RelationId) -> Arc<TableGate> {
        Arc::clone(self.0.gates.lock().entry(table).or_default())
    }

    /// Forgets the gate of a dropped table.
    pub(super) fn remove_gate(&self, table: RelationId) {
        self.0.gates.lock().remove(&table);
    }
}
