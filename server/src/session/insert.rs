//! `INSERT INTO`: into an internal table, or as a job into a connector.

use std::sync::Arc;

use futures::StreamExt;
use millstream_engine::message::{Delta, Epoch};
use millstream_engine::ports::{Boundedness, Sink, SinkContext, WakeHandle};
use millstream_sql::bound::BoundQuery;
use millstream_sql::catalog::{ConnectorTable, Relation, RelationKind};
use millstream_sql::{SqlError, SqlState, Target};

use super::job::record;
use super::{Notice, Outcome, RuntimeMode, Session};
use crate::batch::ReadNotes;
use crate::catalog::JobKind;

impl Session {
    pub(super) async fn insert(&mut self, target: &Relation, query: &BoundQuery) -> Result<Outcome, SqlError> {
        match &target.kind {
            RelationKind::InternalTable(table) => self.insert_internal(target, table, query).await,
            RelationKind::ConnectorTable(table) => {
                let sink = self.open_sink(table)?;
                if self.settings.mode() == RuntimeMode::Batch {
                    return self.insert_batch(target, sink, query).await;
                }
                self.insert_job(target, sink, query).await
            }
            RelationKind::View { .. } | RelationKind::MaterializedView { .. } => {
                let message = format!("cannot insert into view \"{}\"", target.name);
                Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message))
            }
        }
    }

    /// The table, opened for writing.
    pub(super) fn open_sink(&self, table: &ConnectorTable) -> Result<Arc<dyn Sink>, SqlError> {
        let Some(connector) = self.database.catalog().connector(&table.connector) else {
            let message = format!("connector \"{}\" does not exist", table.connector);
            return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message));
        };
        Ok(connector.sink(&table.spec)?)
    }

    /// Runs the query as a dataflow: to its end where it has one, else from now on.
    async fn insert_job(
        &self,
        target: &Relation,
        sink: Arc<dyn Sink>,
        query: &BoundQuery,
    ) -> Result<Outcome, SqlError> {
        let record = record(JobKind::Insert, query, Some(target));
        let name = format!("insert into {}", target.name);
        let to = Target::Sink(target.name.clone(), sink);
        let (job, dataflow) = self.database.start_job(&name, query, to, record).await?;
        drop(dataflow);
        match query.boundedness {
            Boundedness::Bounded => {
                let status = job.finished().await?;
                let mut outcome = Outcome::done(format!("INSERT 0 {}", status.metrics.rows_out));
                let counts = [
                    (status.metrics.bad_rows, "could not be parsed and were skipped"),
                    (status.metrics.late_rows, "came too late for their windows and were dropped"),
                ];
                for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
                    outcome = outcome.with_notice(Notice::warning(format!("{count} rows {what}")));
                }
                Ok(outcome)
            }
            Boundedness::Unbounded | Boundedness::Endless => {
                let job = job.keep();
                Ok(Outcome::done("INSERT 0 0").with_notice(Notice::info(format!("job {job} started"))))
            }
        }
    }

    /// Computes the rows in batch and hands them to one writer.
    pub(super) async fn insert_batch(
        &self,
        target: &Relation,
        sink: Arc<dyn Sink>,
        query: &BoundQuery,
    ) -> Result<Outcome, SqlError> {
        let notes = ReadNotes::default();
        let mut batches = self.batch_rows(query, &notes).await?;
        let job = format!("insert into {}", target.name);
        let mut writer = sink.writer(SinkContext { job, shard: 0, shards: 1, wake: WakeHandle::noop() })?;
        let mut count = 0;
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            count += batch.num_rows();
            writer.write(&Delta::append(batch))?;
        }
        writer.on_end();
        if let Some(token) = writer.prepare(Epoch(1))? {
            writer.commit(&token)?;
        }
        let mut outcome = Outcome::done(format!("INSERT 0 {count}"));
        outcome.notices.extend(Notice::after(&notes));
        Ok(outcome)
    }
}
