//! What statements that end write to tables of connectors: it becomes visible as a whole, also where the server is killed.
//!
//! Before such a statement writes, the catalog notes under which name its sink does. What the catalog has noted and nobody has
//! ended is settled by the sink at the next start: nothing else is, whatever else there is in the same place.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream_engine::plan::{Dataflow, OperatorSpec, RelationId};
use millstream_engine::ports::Sink;
use millstream_sql::SqlError;

use super::Database;
use super::job::{JobPlan, Output, blocking, open_sink};
use crate::durable::format_catalog::CatalogRecord;

/// How long the start waits for a place that does not answer.
const SETTLED_WITHIN: Duration = Duration::from_secs(5);

impl Database {
    /// Notes that a statement writes to a table. Gives what [`Self::written`] is to be told.
    ///
    /// # Errors
    /// Where it cannot be noted.
    pub(super) fn writes(&self, relation: RelationId, sink: &dyn Sink) -> Result<Option<String>, SqlError> {
        let Some(run) = sink.run().filter(|_| self.is_durable()) else { return Ok(None) };
        self.write(|| CatalogRecord::Writing { run: run.clone(), relation: relation.0 })?;
        Ok(Some(run))
    }

    /// Notes what a job writes that ends.
    ///
    /// # Errors
    /// As [`Self::writes`].
    pub(super) fn job_writes(&self, plan: &JobPlan, dataflow: &Dataflow) -> Result<Vec<String>, SqlError> {
        let target = |(_, output): &'_ (_, Output)| match output {
            Output::Table(relation) => Some((relation.name.clone(), relation.id)),
            Output::View(..) | Output::Collected(_) => None,
        };
        let targets: BTreeMap<String, RelationId> = plan.queries.iter().filter_map(target).collect();
        let mut runs = Vec::new();
        for node in &dataflow.nodes {
            if let OperatorSpec::Sink(spec) = &node.spec
                && let Some(relation) = targets.get(&spec.table)
            {
                runs.extend(self.writes(*relation, &*spec.sink)?);
            }
        }
        Ok(runs)
    }

    /// All that was written under these names is visible.
    pub(super) fn written(&self, runs: impl IntoIterator<Item = String>) {
        for run in runs {
            if let Err(error) = self.write(|| CatalogRecord::Written { run }) {
                // Looked at again at the next start: there is nothing to be done then.
                tracing::warn!(%error, "that a statement has written all cannot be noted");
            }
        }
    }

    /// Ends what statements had begun to write when the server was killed.
    pub(super) async fn settle(&self, writing: Vec<(String, u64)>) {
        let relations = self.catalog().snapshot(&crate::catalog::Relations::default()).relations;
        for (run, table) in writing {
            let Some(relation) = relations.values().find(|relation| relation.id.0 == table).map(Arc::clone) else {
                self.written([run]);
                continue;
            };
            let (database, name) = (self.clone(), relation.name.clone());
            let settling = blocking(move || {
                open_sink(database.catalog(), &relation)?.settle(&run)?;
                database.written([run]);
                Ok(())
            });
            let settled = tokio::time::timeout(SETTLED_WITHIN, settling).await;
            if let Ok(Err(error)) = settled {
                tracing::warn!(table = name, %error, "what a statement left unfinished stays until the next start");
            }
        }
    }
}
