//! [`Database`]: what all sessions share.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use millstream_engine::message::{Delta, Sign};
use millstream_engine::plan::RelationId;
use millstream_engine::ports::Connector;
use millstream_engine::rejects::RejectLimits;
use millstream_engine::runtime::{CheckpointConfig, Engine, EngineConfig, JobId, JobState, MemoryGuard, Owner};
use millstream_sql::error::out_of_memory;
use millstream_sql::{NativeFunction, SqlError, SqlState};
use parking_lot::Mutex;

use super::Session;
use super::deploy::{Makers, job_of_uid};
use super::internal_table::TableGate;
use super::refill::Refilling;
use crate::batch::{BatchRuntime, ReadNotes, Scans};
use crate::catalog::{Catalog, JobKind, JobRegistry, Relations};
use crate::config::{CheckpointSettings, Config};
use crate::durable::DataDirectory;
use crate::durable::catalog_log::CatalogLog;
use crate::durable::format_catalog::{CatalogRecord, CatalogState};
use crate::durable::reject_log::RejectedLog;
use crate::durable::table_log::{Apply, TableLogs, Visible};
use crate::memory::{self, GuardedPool};
use crate::system::{RejectsConnector, rejects_relations};

/// The engine, the catalog and the settings of the process. Cheap to clone; the engine stops with the last clone.
#[derive(Clone)]
pub struct Database(Arc<Inner>);

/// A database that may be gone.
#[derive(Clone)]
pub(crate) struct WeakDatabase(Weak<Inner>);

struct Inner {
    engine: Engine,
    catalog: Arc<Catalog>,
    jobs: JobRegistry,
    batch: BatchRuntime,
    config: Config,
    gates: Mutex<HashMap<RelationId, Arc<TableGate>>>,
    /// `None`: everything is in memory.
    durable: Option<Durable>,
    /// What has been started.
    makers: Mutex<Makers>,
    refilling: Refilling,
    /// Held while a job is started again.
    restarting: tokio::sync::Mutex<()>,
}

/// What a program that holds a database adds to it.
#[derive(Debug, Default)]
pub struct Extensions {
    /// Connectors, each in place of one of the same name.
    pub connectors: Vec<Arc<dyn Connector>>,
    /// Functions, which must not be SQL's own.
    pub functions: Vec<NativeFunction>,
}

/// What is kept over a restart.
struct Durable {
    catalog: Mutex<CatalogLog>,
    tables: TableLogs,
    rejected: Mutex<RejectedLog>,
    /// Given back when the server ends, however it ends.
    _directory: DataDirectory,
}

impl Database {
    /// Starts an engine with all connectors. Nothing is kept over a restart.
    ///
    /// # Errors
    /// Where the threads or the directory for spilling cannot be made.
    pub fn start(config: Config) -> Result<Self, SqlError> {
        let engine = engine_config(&config);
        Self::start_with(config, engine, millstream_connectors::registry())
    }

    /// Starts an engine with this configuration (a clock of a test) and these connectors. Nothing is kept over a restart.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(
        config: Config,
        engine: EngineConfig,
        connectors: BTreeMap<&'static str, Arc<dyn Connector>>,
    ) -> Result<Self, SqlError> {
        Self::made(config, engine, connectors, None)
    }

    /// Starts an engine over [`Config::data_dir`]: all that was made there before is there again, and its jobs run.
    ///
    /// # Errors
    /// As [`Self::start`]; where another server holds the directory, or a file of it is damaged.
    pub async fn open(config: Config) -> Result<Self, SqlError> {
        let engine = engine_config(&config);
        let directory = DataDirectory::take_when_left(&config.data_dir).await?;
        let database = Self::made(config, engine, millstream_connectors::registry(), Some(directory))?;
        database.recover().await?;
        Ok(database)
    }

    /// [`Self::open`] where somebody named a data directory, else [`Self::start`].
    ///
    /// # Errors
    /// As those.
    pub async fn open_where_named(config: Config) -> Result<Self, SqlError> {
        if config.names_data_dir() { Self::open(config).await } else { Self::start(config) }
    }

    /// Starts an engine that also knows the connectors and functions of the program that holds it: over
    /// [`Config::data_dir`] as [`Self::open`] where `durable`, else with nothing kept.
    ///
    /// # Errors
    /// As [`Self::open`]; where the name of a function is one of SQL's own.
    pub async fn open_extended(config: Config, extensions: Extensions, durable: bool) -> Result<Self, SqlError> {
        let engine = engine_config(&config);
        let mut connectors = millstream_connectors::registry();
        let own = extensions.connectors.into_iter();
        connectors.extend(own.map(|connector| (connector.descriptor().name, connector)));
        let directory = match durable {
            true => Some(DataDirectory::take_when_left(&config.data_dir).await?),
            false => None,
        };
        let database = Self::made(config, engine, connectors, directory)?;
        for function in extensions.functions {
            database.add_native(function).await?;
        }
        if durable {
            database.recover().await?;
        }
        Ok(database)
    }

    /// Adds a function of the program, in place of one of the same name.
    ///
    /// # Errors
    /// Where the name is that of a function of SQL, or an aggregate has no parameter.
    pub(super) async fn add_native(&self, function: NativeFunction) -> Result<(), SqlError> {
        let guard = self.0.catalog.lock().await;
        let name = function.name();
        if millstream_sql::function_exists(&name)
            || self.0.catalog.snapshot(&Relations::new()).functions.contains_key(&name)
        {
            return Err(SqlError::new(SqlState::DUPLICATE_FUNCTION, format!("function \"{name}\" already exists")));
        }
        if function.is_aggregate() && function.parameters().is_empty() {
            let message = format!("aggregate function \"{name}\" has no parameter");
            return Err(SqlError::new(SqlState::INVALID_FUNCTION_DEFINITION, message));
        }
        self.0.catalog.put_native(&guard, Arc::new(function));
        Ok(())
    }

    fn made(
        config: Config,
        engine: EngineConfig,
        connectors: BTreeMap<&'static str, Arc<dyn Connector>>,
        // Taken before anything is started: it may be another server's.
        directory: Option<DataDirectory>,
    ) -> Result<Self, SqlError> {
        let kept = directory.as_ref().map(CatalogLog::open).transpose()?;
        let (memory, clock) = (Arc::clone(&engine.memory), Arc::clone(&engine.clock));
        let pool = Arc::new(GuardedPool::new(config.query_memory_bytes, memory, clock));
        let spill = directory.as_ref().map(DataDirectory::spill_folder).transpose()?;
        let batch = BatchRuntime::new(pool, spill, engine.shards.max(1))?;
        let checkpoints = kept.as_ref().map(|kept| checkpoint_config(&config, kept.state())).transpose()?.flatten();
        let engine = Engine::start(EngineConfig { checkpoints, ..engine })?;
        let durable =
            directory.zip(kept).map(|(directory, kept)| Durable::open(directory, kept, &engine)).transpose()?;
        let rejects = RejectsConnector::new(Arc::clone(engine.rejects()));
        let catalog = Catalog::new(connectors).with_system(Arc::new(rejects), rejects_relations());
        Ok(Self(Arc::new(Inner {
            engine,
            catalog: Arc::new(catalog),
            jobs: JobRegistry::default(),
            batch,
            config,
            gates: Mutex::default(),
            durable,
            makers: Mutex::default(),
            refilling: Refilling::default(),
            restarting: tokio::sync::Mutex::default(),
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

    /// What has been started.
    pub(super) fn makers(&self) -> &Mutex<Makers> {
        &self.0.makers
    }

    /// What does not show all its rows yet.
    pub(super) fn refilling(&self) -> &Refilling {
        &self.0.refilling
    }

    /// The settings of the process.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// What batch queries share.
    pub fn batch(&self) -> &BatchRuntime {
        &self.0.batch
    }

    /// Whether what is made is kept over a restart.
    pub fn is_durable(&self) -> bool {
        self.0.durable.is_some()
    }

    /// The scans of one query: all views as they are now.
    pub fn scans(&self) -> Scans {
        Scans {
            catalog: Arc::clone(&self.0.catalog),
            snapshot: self.0.engine.snapshot(),
            clock: Arc::clone(&self.0.engine.config().clock),
            files: Arc::default(),
            notes: ReadNotes::default(),
            rejects: Arc::clone(self.0.engine.rejects()),
        }
    }

    /// Where rejected rows are kept over a restart.
    pub(super) fn rejected_log(&self) -> Option<&Mutex<RejectedLog>> {
        self.0.durable.as_ref().map(|durable| &durable.rejected)
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

    /// Writes what happened to the catalog, where it is kept. When this returns it is on the disk. It waits for the disk on
    /// the thread of the caller: between the record and what the caller does next nothing may be cancelled.
    ///
    /// # Errors
    /// Where it cannot be written: then it must not happen.
    pub(super) fn write(&self, record: impl FnOnce() -> CatalogRecord) -> Result<(), SqlError> {
        match &self.0.durable {
            Some(durable) => Ok(durable.catalog.lock().write(record())?),
            None => Ok(()),
        }
    }

    /// The catalog as it was kept.
    pub(super) fn kept_catalog(&self) -> CatalogState {
        self.0.durable.as_ref().map(|durable| durable.catalog.lock().state().clone()).unwrap_or_default()
    }

    /// The logs of internal tables, where they are kept.
    pub(super) fn table_logs(&self) -> Option<&TableLogs> {
        self.0.durable.as_ref().map(|durable| &durable.tables)
    }

    /// Changes an internal table: when this returns the change is visible and, unless the table is temporary, durable.
    ///
    /// # Errors
    /// Where it cannot be written or the table takes no rows.
    pub(super) async fn change_table(&self, table: RelationId, temporary: bool, delta: Delta) -> Result<(), SqlError> {
        let engine = self.0.engine.config();
        // What makes room must always be possible.
        if delta.sign == Sign::AppendOnly && engine.memory.is_over(engine.clock.now()) {
            return Err(out_of_memory(memory::full(&engine.memory)));
        }
        match self.table_logs().filter(|_| !temporary) {
            Some(logs) => {
                let Err(error) = logs.change(table, delta).await?.await else { return Ok(()) };
                // It is written. Where the table goes back to a checkpoint meanwhile, it gets the change out of its log.
                let _done = self.restarting().await;
                if self.table_runs(table) { Ok(()) } else { Err(error.into()) }
            }
            None => Ok(self.0.engine.insert(table, delta).await?),
        }
    }

    fn table_runs(&self, table: RelationId) -> bool {
        let job = self.0.makers.lock().maker_of(table);
        job.and_then(|job| self.0.engine.job(job)).is_some_and(|status| status.state == JobState::Running)
    }

    /// Held while a job is started again, so that two tries do not meet.
    pub(super) async fn restarting(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.restarting.lock().await
    }

    /// The database for somebody who does not keep it alive.
    pub(crate) fn downgrade(&self) -> WeakDatabase {
        WeakDatabase(Arc::downgrade(&self.0))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The tasks that follow jobs and the thread of the logs hold the engine as well: it must not live on with them.
        self.engine.shutdown();
    }
}

impl WeakDatabase {
    /// The database, where it is still there.
    pub(crate) fn upgrade(&self) -> Option<Database> {
        self.0.upgrade().map(Database)
    }
}

impl Durable {
    fn open(directory: DataDirectory, catalog: CatalogLog, engine: &Engine) -> Result<Self, SqlError> {
        let (engine, rejects) = (engine.clone(), Arc::clone(engine.rejects()));
        let apply: Apply = Box::new(move |table, delta, position| {
            Ok(Box::pin(engine.begin_insert(table, delta, position)?) as Visible)
        });
        let tables = TableLogs::open(&directory, apply)?;
        let rejected = Mutex::new(RejectedLog::open(&directory, &rejects)?);
        Ok(Self { catalog: Mutex::new(catalog), tables, rejected, _directory: directory })
    }
}

/// Where and when checkpoints are made; `None`: never.
fn checkpoint_config(config: &Config, kept: &CatalogState) -> Result<Option<CheckpointConfig>, SqlError> {
    let CheckpointSettings { state_url, interval_ms, timeout_ms, min_pause_ms, retained } = config.checkpoints.clone();
    if interval_ms == 0 {
        return Ok(None);
    }
    let folder = config.data_dir.join("checkpoints");
    let url = if state_url.is_empty() { folder.to_string_lossy().into_owned() } else { state_url };
    let store = millstream_connectors::state_store::open(&url)?;
    let owner = kept.identity.clone().map(|id| Owner {
        id,
        returns: kept.store.as_ref() == Some(&store.describe()),
        writes: |uid| job_of_uid(uid).is_some(),
    });
    Ok(Some(CheckpointConfig { store, owner, interval_ms, timeout_ms, min_pause_ms, retained }))
}

fn engine_config(config: &Config) -> EngineConfig {
    let rejects = RejectLimits {
        job_rows: config.rejected_rows,
        rows: config.rejected_rows.saturating_mul(10),
        ..RejectLimits::default()
    };
    EngineConfig {
        shards: config.shards,
        epoch_interval_ms: config.epoch_interval_ms,
        rejects,
        memory: Arc::new(MemoryGuard::new(config.memory_limit_bytes, memory::resident_bytes)),
        ..EngineConfig::default()
    }
}
