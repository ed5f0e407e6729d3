//! The `postgres` connector (also `jdbc` with a `jdbc:postgresql:` URL): tables of a PostgreSQL server, looked up by key in temporal
//! joins and read as a whole elsewhere. It does not write. Connections are not encrypted.

mod client;
mod lookup;
mod query;
mod settings;
mod source;

use std::sync::Arc;

use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::{
    Boundedness, Capabilities, Connector, ConnectorDescriptor, Lookup, LookupRequest, ScanRequest, Sink, Source,
    TableSpec,
};
use millstream_engine::time::SystemClock;

use self::lookup::PostgresLookup;
use self::settings::Settings;
use self::source::PostgresSource;
use crate::lookup::{CacheOption, Scanned};

/// See the module.
#[derive(Debug)]
pub(crate) struct Postgres {
    descriptor: ConnectorDescriptor,
}

impl Postgres {
    /// `postgres`.
    pub(crate) fn new() -> Self {
        Self::named("postgres")
    }

    /// `jdbc`, Flink's name for it.
    pub(crate) fn jdbc() -> Self {
        Self::named("jdbc")
    }

    fn named(name: &'static str) -> Self {
        let descriptor = ConnectorDescriptor {
            name,
            doc: "Reads tables of a PostgreSQL server, and looks up their rows by key.",
            options: settings::options(),
            capabilities: Capabilities { source: true, sink: false, sink_retracts: false, partitioned: false },
            metadata: Vec::new(),
        };
        Self { descriptor }
    }
}

impl Connector for Postgres {
    fn descriptor(&self) -> &ConnectorDescriptor {
        &self.descriptor
    }

    fn validate(&self, table: &TableSpec) -> Result<()> {
        Settings::new(table)?;
        query::check(table)
    }

    fn source(&self, table: &TableSpec, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        let columns: Vec<usize> = request.columns.iter().map(|column| column.index).collect();
        Ok(Arc::new(PostgresSource::new(Settings::new(table)?, table, &columns)?))
    }

    fn lookup(&self, table: &TableSpec, request: &LookupRequest) -> Result<Option<Arc<dyn Lookup>>> {
        let settings = Settings::new(table)?;
        if let CacheOption::Full(_) = settings.lookup.cache {
            let options = settings.lookup;
            let source = Arc::new(PostgresSource::new(settings, table, &request.columns)?);
            let place = |key: &usize| request.columns.iter().position(|column| column == key);
            let keys = request.keys.iter().filter_map(place).collect();
            return Ok(Some(Arc::new(Scanned::new(source, keys, options, Arc::new(SystemClock))?)));
        }
        Ok(Some(Arc::new(PostgresLookup::new(settings, table, request)?)))
    }

    fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>> {
        Err(EngineError::Unsupported(format!("table \"{}\" cannot be written: its connector only reads", table.name)))
    }

    fn boundedness(&self, _table: &TableSpec) -> Boundedness {
        Boundedness::Bounded
    }
}
