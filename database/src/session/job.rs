//! Starting jobs, and stopping them when nobody wants them any more.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use millstream_engine::plan::{Dataflow, RelationId};
use millstream_engine::ports::{
    Boundedness, Connector, Lookup, LookupRequest, MemorySource, ScanRequest, Sink, Source, policy,
};
use millstream_engine::runtime::{JobId, JobPolicy, JobRequest, JobState, JobStatus};
use millstream_engine::view::GlobalSnapshot;
use millstream_sql::bound::BoundQuery;
use millstream_sql::catalog::{ConnectorTable, Relation, RelationKind};
use millstream_sql::error::from_failure;
use millstream_sql::{Opener, SqlError, SqlState, Target, lower_set};

use super::Database;
use super::query::inputs;
use crate::batch::{conform, no_rows_yet};
use crate::catalog::{Catalog, JobKind, JobRecord};

/// How the system's error for a full disk ends.
/// Stands in the error of a job whose view another job has left.
const OF_READER: &str = "\", which the job reads, ";

const NO_SPACE: &str = "(os error 28)";

/// `disk_full`
const DISK_FULL: SqlState = SqlState("53100");

/// Opens connector tables for the front end.
#[derive(Debug)]
pub(super) struct CatalogOpener<'a>(pub(super) &'a Catalog);

/// Opens views and internal tables as well, at one moment.
struct SnapshotOpener<'a> {
    tables: CatalogOpener<'a>,
    snapshot: &'a GlobalSnapshot,
}

impl Opener for SnapshotOpener<'_> {
    fn source(&self, relation: &Relation, request: &ScanRequest) -> Result<Arc<dyn Source>, SqlError> {
        self.tables.source(relation, request)
    }

    fn lookup(&self, relation: &Relation, request: &LookupRequest) -> Result<Option<Arc<dyn Lookup>>, SqlError> {
        self.tables.lookup(relation, request)
    }

    fn rows_now(&self, relation: &Relation, schema: &SchemaRef) -> Result<Option<Arc<dyn Source>>, SqlError> {
        let view = self.snapshot.views.get(&relation.id).ok_or_else(|| no_rows_yet(relation))?;
        let columns: Vec<usize> = (0..schema.fields().len()).collect();
        let mut splits = Vec::with_capacity(view.shards.len());
        for shard in &view.shards {
            let rows = shard.scan(&columns)?;
            splits.push(rows.iter().map(|batch| conform(batch, schema)).collect::<Result<Vec<_>, _>>()?);
        }
        Ok(Some(Arc::new(MemorySource::new(Arc::clone(schema), splits))))
    }
}

impl Opener for CatalogOpener<'_> {
    fn source(&self, relation: &Relation, request: &ScanRequest) -> Result<Arc<dyn Source>, SqlError> {
        let (connector, table) = self.connector(relation)?;
        let source = connector.source(&table.spec, request)?;
        Ok(policy::source_with(source, policy::source_policy(&table.spec.options)))
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
    /// What it writes is noted under these names.
    runs: Vec<String>,
    kept: bool,
}

impl JobGuard {
    /// Guards a job, which is about to be started.
    pub(super) fn new(database: Database, job: JobId, runs: Vec<String>) -> Self {
        Self { database, job, runs, kept: false }
    }

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
        let status = check_end(self.database.engine().finished(self.job).await?)?;
        self.database.written(self.runs.iter().cloned());
        self.database.keep_rejected(Some(self.job)).await;
        Ok(status)
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
            self.database.forget_maker(self.job);
        }
    }
}

/// The status, where the job ended well or still runs.
fn check_end(status: JobStatus) -> Result<JobStatus, SqlError> {
    match status.state {
        JobState::Running | JobState::Finished => Ok(status),
        JobState::Failed => {
            let message = status.error.unwrap_or_else(|| format!("job {} failed", status.id));
            let error = if message.ends_with(NO_SPACE) {
                SqlError::new(DISK_FULL, message)
            } else if message.contains(OF_READER) {
                SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
            } else {
                from_failure(&message)
            };
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

/// What a job computes and where it goes: enough to start it, and to start it again.
#[derive(Debug, Clone)]
pub(super) struct JobPlan {
    /// For people: the view's name, `insert into t`.
    pub(super) name: String,
    /// More than one are a statement set.
    pub(super) queries: Vec<(BoundQuery, Output)>,
    pub(super) record: JobRecord,
    /// It is part of checkpoints, and runs again after a restart of the server.
    pub(super) lasting: bool,
    /// Views and internal tables are read once, as they are here, and not followed.
    pub(super) snapshot: Option<Arc<GlobalSnapshot>>,
}

/// Where the rows of a query go.
#[derive(Debug, Clone)]
pub(super) enum Output {
    /// Into a view.
    View(RelationId, String),
    /// Into a connector table, which is opened for writing at each start.
    Table(Arc<Relation>),
    /// To whoever started the job.
    Collected(Arc<dyn Sink>),
}

impl JobPlan {
    /// The job of a materialised view.
    pub(super) fn of_view(relation: &Relation, query: BoundQuery) -> Self {
        let mut record = record(JobKind::View, &query, Some(relation));
        record.makes = Some(relation.id);
        let output = Output::View(relation.id, relation.name.clone());
        Self {
            name: relation.name.clone(),
            queries: vec![(query, output)],
            record,
            lasting: !relation.temporary,
            snapshot: None,
        }
    }

    /// The job of an `INSERT` into a connector table.
    pub(super) fn of_insert(target: &Relation, query: BoundQuery) -> Self {
        let record = record(JobKind::Insert, &query, Some(target));
        let output = Output::Table(Arc::new(target.clone()));
        let queries = vec![(query, output)];
        Self { name: format!("insert into {}", target.name), queries, record, lasting: true, snapshot: None }
    }

    /// The job of a statement set.
    pub(super) fn of_set(inserts: Vec<(Arc<Relation>, BoundQuery)>) -> Self {
        let mut touches = Vec::new();
        for (target, query) in &inserts {
            touches.extend(query.depends_on.iter().copied().chain([target.id]));
        }
        let queries = inserts.into_iter().map(|(target, query)| (query, Output::Table(target))).collect();
        let record = JobRecord { kind: JobKind::Insert, touches, makes: None };
        Self { name: "statement set".to_owned(), queries, record, lasting: true, snapshot: None }
    }

    /// A job whose rows somebody waits for.
    pub(super) fn collected(kind: JobKind, name: &str, query: &BoundQuery, sink: Arc<dyn Sink>) -> Self {
        let record = record(kind, query, None);
        let queries = vec![(query.clone(), Output::Collected(sink))];
        Self { name: name.to_owned(), queries, record, lasting: false, snapshot: None }
    }

    /// Whether it neither reads nor writes anything but views: it can be made anew out of them.
    pub(super) fn rebuilds(&self) -> bool {
        self.queries.iter().all(|(query, output)| {
            matches!(output, Output::View(..)) && inputs(&query.plan).is_ok_and(|inputs| inputs.connectors.is_none())
        })
    }

    /// Whether it ends, and somebody waits for that.
    pub(super) fn ends(&self) -> bool {
        !self.lasting && self.queries.iter().all(|(query, _)| query.boundedness == Boundedness::Bounded)
    }

    /// What the engine is asked to run.
    pub(super) fn request(&self, dataflow: &Arc<Dataflow>) -> JobRequest {
        let streaming = self.queries.first().map(|(query, _)| query.streaming).unwrap_or_default();
        let policy = JobPolicy {
            on_error: streaming.on_error,
            evaluation_limit_us: streaming.evaluation_limit_us,
            ends: self.ends(),
        };
        JobRequest { name: self.name.clone(), dataflow: Arc::clone(dataflow), policy }
    }

    /// The dataflow, its tables opened.
    pub(super) fn lower(&self, catalog: &Catalog) -> Result<Dataflow, SqlError> {
        let targets = self.queries.iter().map(|(query, output)| {
            let target = match output {
                Output::View(relation, name) => Target::View(*relation, name.clone()),
                Output::Table(relation) => Target::Sink(relation.name.clone(), open_sink(catalog, relation)?),
                Output::Collected(sink) => Target::Sink("the client".to_owned(), Arc::clone(sink)),
            };
            Ok((query, target))
        });
        let (targets, tables) = (targets.collect::<Result<_, SqlError>>()?, CatalogOpener(catalog));
        match &self.snapshot {
            Some(snapshot) => lower_set(targets, &SnapshotOpener { tables, snapshot }),
            None => lower_set(targets, &tables),
        }
    }
}

/// A connector table, opened for writing.
pub(super) fn open_sink(catalog: &Catalog, relation: &Relation) -> Result<Arc<dyn Sink>, SqlError> {
    let opener = CatalogOpener(catalog);
    let (connector, table) = opener.connector(relation)?;
    Ok(policy::sink_with(connector.sink(&table.spec)?, policy::sink_policy(&table.spec.options)))
}

/// Runs what lists files: not on a thread that others wait for. Where the caller goes away meanwhile, the guard is
/// dropped with the result and the job is cancelled.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SqlError> + Send + 'static,
) -> Result<T, SqlError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| SqlError::new(SqlState::INTERNAL_ERROR, format!("internal error: {error}")))?
}

/// A record of a job that reads what a query reads and writes `writes`.
fn record(kind: JobKind, query: &BoundQuery, writes: Option<&Relation>) -> JobRecord {
    let mut touches = query.depends_on.clone();
    touches.extend(writes.map(|relation| relation.id));
    JobRecord { kind, touches, makes: None }
}
