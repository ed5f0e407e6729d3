//! Internal tables that continue from a checkpoint get from their logs what came after it; a log that has lost its end gets from
//! the checkpoint what it had.
//!
//! A table shows such changes together with the views that read it. At the start of the server that may take as long as the
//! slowest of them takes: then only queries of what is concerned wait for it ([`Refilling`]).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use millstream_engine::plan::RelationId;
use millstream_engine::runtime::Deployed;
use millstream_sql::SqlError;
use millstream_sql::error::from_arrow;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::Database;
use super::deploy::{Maker, TablePlan};
use crate::batch::difference;
use crate::durable::table_log::{HeldLogs, Kept, Visible};

/// How long the start of the server waits until internal tables show all that they have.
const REFILLED_WITHIN: Duration = Duration::from_secs(5);

/// The internal tables that do not show all that they have yet, each with what closes when it does.
#[derive(Debug, Default)]
pub(super) struct Refilling(Mutex<HashMap<RelationId, watch::Receiver<()>>>);

impl Database {
    /// Gives internal tables the changes that came after the checkpoint that they continue from.
    ///
    /// # Errors
    /// Where a log cannot be read, or one that has lost its end cannot be written.
    pub(super) async fn refill(&self, logs: &HeldLogs, tables: &[(TablePlan, Deployed)]) -> Result<(), SqlError> {
        for (_, visible) in self.begin_refill(logs, tables).await? {
            for visible in visible {
                visible.await?;
            }
        }
        Ok(())
    }

    /// As [`Self::refill`], but what takes long goes on beside: [`Self::refilled`] waits for it.
    ///
    /// # Errors
    /// As [`Self::refill`].
    pub(super) async fn refill_beside(
        &self,
        logs: &HeldLogs,
        tables: &[(TablePlan, Deployed)],
    ) -> Result<(), SqlError> {
        let begun = self.begin_refill(logs, tables).await?;
        let all: Vec<RelationId> = begun.iter().map(|(table, _)| *table).collect();
        for (table, visible) in begun {
            let (done, refilled) = watch::channel(());
            self.refilling().0.lock().insert(table, refilled);
            let database = self.downgrade();
            tokio::spawn(async move {
                for visible in visible {
                    if let Err(error) = visible.await {
                        tracing::warn!(table = table.0, %error, "an internal table does not show what its log has");
                    }
                }
                if let Some(database) = database.upgrade() {
                    database.refilling().0.lock().remove(&table);
                }
                drop(done);
            });
        }
        if tokio::time::timeout(REFILLED_WITHIN, self.refilled(&all)).await.is_err() {
            tracing::warn!("views are slow to catch up with their tables: queries of these wait for them");
        }
        Ok(())
    }

    /// Waits until relations show all that was there before the server was started.
    pub(super) async fn refilled(&self, relations: &[RelationId]) {
        while let Some(mut refilled) = self.refilling_for(relations) {
            // It closes, and says nothing before.
            let _ = refilled.changed().await;
        }
    }

    /// A table that does not show all yet, which is one of these relations or is read by one, over others too.
    fn refilling_for(&self, relations: &[RelationId]) -> Option<watch::Receiver<()>> {
        let refilling = self.refilling().0.lock();
        if refilling.is_empty() {
            return None;
        }
        let makers = self.makers().lock();
        let (mut open, mut met) = (relations.to_vec(), BTreeSet::new());
        while let Some(relation) = open.pop() {
            if !met.insert(relation) {
                continue;
            }
            if let Some(refilled) = refilling.get(&relation) {
                return Some(refilled.clone());
            }
            if let Some(Maker::Job(plan)) = makers.maker_of(relation).and_then(|job| makers.get(job)) {
                open.extend(plan.record.touches);
            }
        }
        None
    }

    async fn begin_refill(
        &self,
        logs: &HeldLogs,
        tables: &[(TablePlan, Deployed)],
    ) -> Result<Vec<(RelationId, Vec<Visible>)>, SqlError> {
        let mut begun = Vec::with_capacity(tables.len());
        for (table, deployed) in tables {
            let conform = |batch: RecordBatch| batch.with_schema(Arc::clone(&table.schema)).map_err(from_arrow);
            let changes = match logs.load(table.relation, deployed.restored.map(|_| deployed.inserted)).await? {
                Kept::Changes(changes) => changes,
                Kept::Rows { position, rows } => {
                    let rows = rows.into_iter().map(conform).collect::<Result<Vec<_>, _>>()?;
                    let change = difference(&table.schema, &self.rows_now(table)?, &rows)?;
                    change.into_iter().map(|delta| (position, delta)).collect()
                }
                Kept::Behind { position } => {
                    let (name, saved) = (&table.name, deployed.inserted);
                    tracing::warn!("the log of table \"{name}\" ends at change {position}, its checkpoint has {saved}");
                    let rows = concat_batches(&table.schema, &self.rows_now(table)?).map_err(from_arrow)?;
                    logs.replace(table.relation, saved, vec![rows]).await?;
                    Vec::new()
                }
            };
            let mut visible = Vec::with_capacity(changes.len());
            for (position, delta) in changes {
                let delta = delta.with_batch(conform(delta.batch.clone())?);
                visible.push(Box::pin(self.engine().begin_insert(table.relation, delta, position)?) as Visible);
            }
            begun.push((table.relation, visible));
        }
        Ok(begun)
    }

    fn rows_now(&self, table: &TablePlan) -> Result<Vec<RecordBatch>, SqlError> {
        let snapshot = self.engine().snapshot();
        let all: Vec<usize> = (0..table.schema.fields().len()).collect();
        let shards = snapshot.views.get(&table.relation).into_iter().flat_map(|view| &view.shards);
        Ok(shards.map(|shard| shard.scan(&all)).collect::<Result<Vec<_>, _>>()?.concat())
    }
}
