//! [`PostgresLookup`]: the rows of some keys, by one query for all of them.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use millstream_engine::error::Result;
use millstream_engine::ports::{Answer, Lookup, LookupCache, LookupRequest, TableSpec};

use super::client::{self, Client};
use super::query;
use super::settings::Settings;
use crate::lookup::LookupOptions;

/// See the module.
#[derive(Debug)]
pub(super) struct PostgresLookup {
    options: LookupOptions,
    place: String,
    asker: Arc<Asker>,
}

/// What a task needs to ask.
#[derive(Debug)]
struct Asker {
    client: Client,
    query: String,
    schema: SchemaRef,
}

impl PostgresLookup {
    /// Lookups in a table.
    ///
    /// # Errors
    /// Where a key has a type that cannot be looked up.
    pub(super) fn new(settings: Settings, spec: &TableSpec, request: &LookupRequest) -> Result<Self> {
        let schema = query::columns(spec, &request.columns)?;
        let condition = query::of_keys(query::columns(spec, &request.keys)?.as_ref())?;
        let query = format!("{} WHERE {condition}", query::select(&settings.table, &schema));
        let client = Client::new(settings.config, settings.lookup.retries_max);
        let asker = Arc::new(Asker { client, query, schema });
        Ok(Self { options: settings.lookup, place: settings.place, asker })
    }
}

impl Asker {
    async fn ask(&self, keys: &RecordBatch) -> Result<RecordBatch> {
        let rows = self.client.rows(&self.query, &query::key_texts(keys)?).await?;
        query::batch(&self.schema, &rows)
    }
}

impl Lookup for PostgresLookup {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.asker.schema)
    }

    fn look_up(&self, keys: RecordBatch, answer: Answer) {
        let asker = Arc::clone(&self.asker);
        match client::runtime() {
            Ok(runtime) => drop(runtime.spawn(async move { answer.give(asker.ask(&keys).await) })),
            Err(error) => answer.give(Err(error)),
        }
    }

    fn cache(&self) -> Option<LookupCache> {
        self.options.engine_cache()
    }

    fn describe(&self) -> String {
        self.place.clone()
    }
}
