//! The schema `millstream`: what runs in the server, as tables that can be queried. `millstream.jobs` is `SHOW JOBS`; what jobs
//! rejected is here for queries that read jobs as well.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::datasource::MemTable;
use datafusion::error::{DataFusionError, Result};

use super::rejects;
use crate::session::{Database, WeakDatabase, jobs_batch};

/// The name of the schema.
pub(super) const NAME: &str = "millstream";

/// The table of jobs.
const JOBS: &str = "jobs";

/// See the module. The system catalog refers to itself, and is never freed: the database must not stay with it.
pub(super) struct RunningSchema(WeakDatabase);

impl RunningSchema {
    /// What runs in a database.
    pub(super) fn new(database: &Database) -> Self {
        Self(database.downgrade())
    }
}

impl fmt::Debug for RunningSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningSchema").finish_non_exhaustive()
    }
}

#[async_trait]
impl SchemaProvider for RunningSchema {
    fn table_names(&self) -> Vec<String> {
        // What PostgreSQL's tools list are the relations of the users.
        Vec::new()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        if !self.table_exist(name) {
            return Ok(None);
        }
        let Some(database) = self.0.upgrade() else { return Ok(None) };
        if let Some(rejected) = rejects::table(database.engine().rejects(), name) {
            let rejected = rejected.map_err(|error| DataFusionError::External(Box::new(error)))?;
            return Ok(Some(Arc::new(MemTable::try_new(rejected.schema(), vec![vec![rejected]])?)));
        }
        let jobs = jobs_batch(&database).map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(Some(Arc::new(MemTable::try_new(jobs.schema(), vec![vec![jobs]])?)))
    }

    fn table_exist(&self, name: &str) -> bool {
        name == JOBS || rejects::is_table(name)
    }
}
