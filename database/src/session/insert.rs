//! `INSERT INTO`: into an internal table, or as a job into a connector.

use std::sync::Arc;

use futures::StreamExt;
use millstream_engine::message::{Delta, Epoch};
use millstream_engine::ports::{Boundedness, Sink, SinkContext, WakeHandle, policy};
use millstream_engine::rejects::Rejects;
use millstream_engine::runtime::JobId;
use millstream_sql::bound::BoundQuery;
use millstream_sql::catalog::{Relation, RelationKind};
use millstream_sql::{SqlError, SqlState};
use tokio::sync::Notify;

use super::job::{JobGuard, JobPlan, open_sink};
use super::{Notice, Outcome, RuntimeMode, Session, Wording};
use crate::batch::ReadNotes;
use crate::durable::format_catalog::{CatalogRecord, JobEntry};

impl Session {
    pub(super) async fn insert(
        &mut self,
        target: &Relation,
        query: &BoundQuery,
        wording: &Wording<'_>,
    ) -> Result<Outcome, SqlError> {
        match &target.kind {
            RelationKind::InternalTable(table) => {
                let outcome = self.insert_internal(target, table, query).await?;
                self.database.keep_rejected(None).await;
                Ok(outcome)
            }
            RelationKind::ConnectorTable(_) => {
                if self.settings.mode() == RuntimeMode::Batch {
                    let sink = open_sink(self.database.catalog(), target)?;
                    return self.insert_batch(target, sink, query).await;
                }
                self.insert_job(target, query, wording).await
            }
            RelationKind::View { .. } | RelationKind::MaterializedView { .. } => {
                let message = format!("cannot insert into view \"{}\"", target.name);
                Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message))
            }
        }
    }

    /// Runs the query as a dataflow: to its end where it has one, else from now on.
    async fn insert_job(
        &self,
        target: &Relation,
        query: &BoundQuery,
        wording: &Wording<'_>,
    ) -> Result<Outcome, SqlError> {
        let mut plan = JobPlan::of_insert(target, query.clone());
        // One that ends answers with its end: it is not kept.
        plan.lasting = query.boundedness != Boundedness::Bounded && !self.touches_temporary(&plan.record);
        let (job, dataflow) = self.database.start_job(plan.clone()).await?;
        drop(dataflow);
        match query.boundedness {
            Boundedness::Bounded => {
                let status = job.finished().await?;
                let mut outcome = Outcome::done(format!("INSERT 0 {}", status.metrics.rows_out));
                let counts = [
                    (status.metrics.bad_rows, "could not be parsed or computed"),
                    (status.metrics.sink_errors, "were refused by the table"),
                    (status.metrics.late_rows, "came too late for their windows and were dropped"),
                ];
                for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
                    outcome = outcome.with_notice(Notice::warning(format!("{count} rows {what}")));
                }
                Ok(outcome)
            }
            Boundedness::Unbounded | Boundedness::Endless => {
                let job = self.keep_job(job, plan, wording).await?;
                Ok(Outcome::done("INSERT 0 0").with_notice(Notice::info(format!("job {job} started"))))
            }
        }
    }

    /// Lets a job run on, now and after a restart.
    pub(super) async fn keep_job(
        &self,
        job: JobGuard,
        plan: JobPlan,
        wording: &Wording<'_>,
    ) -> Result<JobId, SqlError> {
        if plan.lasting {
            // What the job reads and writes must not be dropped before it is known that it does.
            let _guard = self.database.catalog().lock().await;
            let (statement, settings) = self.kept_text(wording)?;
            let entry = JobEntry { id: job.id().0, statement, settings, stopped: false, failed: None };
            self.decision.make();
            self.database.write(|| CatalogRecord::Job(entry))?;
        }
        let job = job.keep();
        self.database.supervise(job, plan, self.settings.restart_strategy());
        Ok(job)
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
        let run = self.database.writes(target.id, &*sink)?;
        let woken = Arc::new(Notify::new());
        let wake = WakeHandle::new({
            let woken = Arc::clone(&woken);
            move || woken.notify_one()
        });
        let mut writer =
            sink.writer(SinkContext { job: job.clone(), shard: 0, shards: 1, sink: 0, store: None, wake })?;
        let mut count = 0;
        let mut rejects = Rejects::new(sink.on_error());
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            while !writer.ready() {
                woken.notified().await;
            }
            count += batch.num_rows();
            policy::write(writer.as_mut(), &Delta::append(batch), &mut rejects)?;
        }
        self.decision.make();
        writer.on_end();
        let token = writer.prepare(Epoch(1))?;
        while !writer.is_prepared()? {
            woken.notified().await;
        }
        if let Some(token) = token {
            writer.commit(&token)?;
            while !writer.is_committed()? {
                woken.notified().await;
            }
        }
        self.database.written(run);
        let refused = rejects.counts.sink;
        self.database.keep_rejects(&job, Some(&target.name), "Sink", &mut rejects);
        self.database.keep_rejected(None).await;
        let mut outcome = Outcome::done(format!("INSERT 0 {}", (count as u64).saturating_sub(refused)));
        if refused > 0 {
            outcome = outcome.with_notice(Notice::warning(format!("{refused} rows were refused by the table")));
        }
        outcome.notices.extend(Notice::after(&notes));
        Ok(outcome)
    }
}
