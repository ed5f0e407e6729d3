//! The schema `millstream`: what the server knows of itself, as tables. Each is made when it is read.

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::datasource::MemTable;
use datafusion::error::{DataFusionError, Result};
use millstream_sql::ast::Show;

use crate::session::Database;

/// The tables, and the `SHOW` that each is.
static TABLES: [(&str, Show); 2] = [("jobs", Show::Jobs), ("watermarks", Show::Watermarks)];

/// `millstream.jobs` and its like.
pub(super) struct OwnTables(Database);

impl OwnTables {
    pub(super) fn new(database: &Database) -> Self {
        Self(database.clone())
    }
}

impl std::fmt::Debug for OwnTables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnTables").finish_non_exhaustive()
    }
}

#[async_trait]
impl SchemaProvider for OwnTables {
    fn table_names(&self) -> Vec<String> {
        TABLES.iter().map(|(name, _)| (*name).to_owned()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let Some((_, show)) = TABLES.iter().find(|(known, _)| *known == name) else { return Ok(None) };
        let (schema, columns) =
            self.0.session().shown(show).map_err(|error| DataFusionError::External(Box::new(error)))?;
        let rows = RecordBatch::try_new(Arc::clone(&schema), columns)?;
        Ok(Some(Arc::new(MemTable::try_new(schema, vec![vec![rows]])?)))
    }

    fn table_exist(&self, name: &str) -> bool {
        TABLES.iter().any(|(known, _)| *known == name)
    }
}
