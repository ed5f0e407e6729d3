//! Starting jobs, and stopping them when nobody wants them any more.

use std::sync::Arc;

use millstream_engine::plan::Dataflow;
use millstream_engine::ports::{Connector, Lookup, LookupRequest, ScanRequest, Source};
use millstream_engine::runtime::{JobId, JobRequest, JobState, JobStatus};
use millstream_sql::bound::BoundQuery;
use millstream_sql::catalog::{ConnectorTable, Relation, RelationKind};
use millstream_sql::{Opener, SqlError, SqlState, Target, lower_set};

use super::Database;
use crate::catalog::{Catalog, JobKind, JobRecord};

/// Opens connector tables for the front end.
#[derive(Debug)]
pub(super) struct CatalogOpener<'a>(pub(super) &'a Catalog);

impl Opener for CatalogOpener<'_> {
    fn source(&self, relation: &Relation, request: &ScanRequest) -> Result<Arc<dyn Source>, SqlError> {
        let (connector, table) = self.connector(relation)?;
        Ok(connector.source(&table.spec, request)?)
    }

    fn lookup(&self, relation: &Relation, request: &LookupRequest) -> Result<Option<Arc<dyn Lookup>>, SqlError> {
        let (connector, table) = self.connector(relation)?;
        Ok(connector.lookup(&table.spec, request)?)
    }
}

impl CatalogOpener<'_> {
    /// The connector of a table.
    fn connector<'r>(&self, relation: &'r Relation) -> Result<(&Arc<dyn Connector>, &'r ConnectorTable), SqlError> {
        let RelationKind::ConnectorTable(table) = &relation.kind else {
            let message = format!("relation \"{}\" is not a connector table", relation.name);
            return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message));
        };
        let Some(connector) = self.0.connector(&table.connector) else {
            let message = format!("connector \"{}\" does not exist", table.connector);
            return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message));
        };
        Ok((connector, table))
    }
}

/// A running job that is cancelled when this is dropped.
pub(super) struct JobGuard {
    database: Database,
    job: JobId,
    kept: bool,
}

impl JobGuard {
    /// Which job.
    pub(super) fn id(&self) -> JobId {
        self.job
    }

    /// Lets the job run on.
    pub(super) fn keep(mut self) -> JobId {
        self.kept = true;
        self.job
    }

    /// Waits until the job has ended.
    ///
    /// # Errors
    /// Where it failed or was cancelled.
    pub(super) async fn finished(&self) -> Result<JobStatus, SqlError> {
        check_end(self.database.engine().finished(self.job).await?)
    }

    /// Why the job ended, where it did not end well.
    ///
    /// # Errors
    /// Where it failed or was cancelled.
    pub(super) fn check(&self) -> Result<(), SqlError> {
        match self.database.engine().job(self.job) {
            Some(status) => check_end(status).map(|_| ()),
            None => Ok(()),
        }
    }
}

impl Drop for JobGuard {
    fn drop(&mut self) {
        if !self.kept {
            // A job that has ended needs no cancelling; there is nobody to tell.
            let _ = self.database.engine().cancel(self.job);
            self.database.jobs().ended(self.job);
        }
    }
}

/// The status, where the job ended well or still runs.
fn check_end(status: JobStatus) -> Result<JobStatus, SqlError> {
    match status.state {
        JobState::Running | JobState::Finished => Ok(status),
        JobState::Failed => {
            let message = status.error.unwrap_or_else(|| format!("job {} failed", status.id));
            let error = SqlError::new(SqlState::DATA_EXCEPTION, message);
            Err(match status.hint {
                Some(hint) => error.with_hint(hint),
                None => error,
            })
        }
        JobState::Canceled => {
            let message = format!("canceling statement because job {} was cancelled", status.id);
            Err(SqlError::new(SqlState::QUERY_CANCELED, message))
        }
    }
}

impl Database {
    /// Lowers a query to `target` and runs it. Returns the job and its dataflow.
    ///
    /// # Errors
    /// Where it cannot be lowered, or a source cannot be read.
    pub(super) async fn start_job(
        &self,
        name: &str,
        query: &BoundQuery,
        target: Target,
        record: JobRecord,
    ) -> Result<(JobGuard, Arc<Dataflow>), SqlError> {
        let queries = vec![(query.clone(), target)];
        let (database, name) = (self.clone(), name.to_owned());
        blocking(move || database.run_set(name, queries, record)).await
    }

    /// Lowers the queries of a statement set to one dataflow and runs it.
    ///
    /// # Errors
    /// As [`Self::start_job`].
    pub(super) async fn start_set(
        &self,
        name: &str,
        queries: Vec<(BoundQuery, Target)>,
        record: JobRecord,
    ) -> Result<JobGuard, SqlError> {
        let (database, name) = (self.clone(), name.to_owned());
        blocking(move || database.run_set(name, queries, record)).await.map(|(job, _)| job)
    }

    fn run_set(
        self,
        name: String,
        queries: Vec<(BoundQuery, Target)>,
        record: JobRecord,
    ) -> Result<(JobGuard, Arc<Dataflow>), SqlError> {
        let (queries, targets): (Vec<_>, Vec<_>) = queries.into_iter().unzip();
        let dataflow = lower_set(queries.iter().zip(targets).collect(), &CatalogOpener(self.catalog()))?;
        let dataflow = Arc::new(dataflow);
        let job = self.engine().submit(JobRequest { name, dataflow: Arc::clone(&dataflow) })?;
        self.jobs().add(job, record);
        Ok((JobGuard { database: self, job, kept: false }, dataflow))
    }
}

/// Runs what lists files: not on a thread that others wait for. Where the caller goes away meanwhile, the guard is
/// dropped with the result and the job is cancelled.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SqlError> + Send + 'static,
) -> Result<T, SqlError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| SqlError::new(SqlState::INTERNAL_ERROR, format!("internal error: {error}")))?
}

/// A record of a job that reads what a query reads and writes `writes`.
pub(super) fn record(kind: JobKind, query: &BoundQuery, writes: Option<&Relation>) -> JobRecord {
    let mut touches = query.depends_on.clone();
    touches.extend(writes.map(|relation| relation.id));
    JobRecord { kind, touches }
}
