//! `CREATE OR REPLACE MATERIALIZED VIEW` and `ALTER MATERIALIZED VIEW … AS`: a view gets another query, and keeps of its state
//! what is still right.
//!
//! The view keeps its id and its job. All that shares checkpoints with it stops at one checkpoint and goes on from it; the engine
//! tells from the operators of the new query which of them go on and which begin anew
//! ([`Change`](millstream_engine::checkpoint::change::Change)). What reads the view is made anew behind it.

use std::sync::Arc;
use std::time::Duration;

use millstream_engine::checkpoint::change::{Change, Fate};
use millstream_engine::plan::{Dataflow, OperatorSpec, RelationId, SourceSpec};
use millstream_engine::runtime::{JobId, JobState, Restore, StopReason};
use millstream_sql::ast::TypeName;
use millstream_sql::bound::{BoundQuery, BoundStatement};
use millstream_sql::catalog::{CatalogSnapshot, Column, Relation, RelationKind};
use millstream_sql::{SqlError, SqlState};

use super::ddl::fill_view_properties;
use super::deploy::Maker;
use super::job::{JobPlan, blocking};
use super::restart::RestartStrategy;
use super::settings::FILTER_ABOVE_STATE;
use super::{Database, Outcome, Session};
use crate::catalog::{DdlGuard, JobKind, Relations, Supervision};
use crate::durable::format_catalog::{CatalogRecord, RelationEntry, StoredSettings};

/// How long a new checkpoint is waited for; without it the view goes on from an older one.
const CHECKPOINT_WAIT: Duration = Duration::from_secs(10);

/// How long a view's sources are waited for that it reads again: so long its readers see the old rows.
const CATCH_UP_WAIT: Duration = Duration::from_secs(10);

/// What is told where there is no checkpoint.
const NO_CHECKPOINT: &str = "no checkpoint of a view that is replaced; it goes on from an older one";

/// A view that is to get another query, as it was bound.
pub(super) struct Replacement {
    pub(super) old: Arc<Relation>,
    /// With the id of the old one.
    pub(super) relation: Relation,
    pub(super) query: BoundQuery,
    pub(super) tag: &'static str,
}

/// A materialised view with the job that is to fill it.
struct Remade {
    relation: Relation,
    job: JobId,
    plan: JobPlan,
    /// A task follows the job already.
    followed: bool,
}

/// What is carried out whether or not the client waits for it.
struct Carried {
    database: Database,
    old: Arc<Relation>,
    relation: Relation,
    query: BoundQuery,
    settings: StoredSettings,
    strategy: RestartStrategy,
}

/// What a view is to compute, and what becomes of what it has.
pub(super) struct New {
    pub(super) query: BoundQuery,
    pub(super) dataflow: Dataflow,
    /// `None`: nothing is kept of it, since no checkpoint has it.
    pub(super) change: Option<Change>,
}

impl New {
    /// A view's new query, whose last filter stays above the state, or does not, as fewer sources are read again. `job`: what
    /// fills it now.
    ///
    /// # Errors
    /// Where the query cannot be kept up to date.
    pub(super) fn of(
        database: &Database,
        relation: &Relation,
        query: BoundQuery,
        job: Option<JobId>,
    ) -> Result<Self, SqlError> {
        let new = |query: BoundQuery| {
            let dataflow = JobPlan::of_view(relation, query.clone()).lower(database.catalog())?;
            let change = job.and_then(|job| database.engine().change(job, &dataflow));
            Ok::<_, SqlError>(Self { query, dataflow, change })
        };
        let as_set = new(query)?;
        if as_set.change.is_none() || as_set.sources_read_again().next().is_none() {
            return Ok(as_set);
        }
        let mut other = as_set.query.clone();
        other.streaming.filter_above_state = !other.streaming.filter_above_state;
        let other = new(other)?;
        let saves = other.sources_read_again().count() < as_set.sources_read_again().count();
        Ok(if saves { other } else { as_set })
    }

    /// The places of the sources that are read from their beginning, with what they read.
    pub(super) fn sources_read_again(&self) -> impl Iterator<Item = (usize, &SourceSpec)> {
        let rebuilt = |place: usize| self.change.as_ref().is_none_or(|change| change.of(place) == Fate::Rebuilt);
        let sources = self.dataflow.nodes.iter().enumerate().filter_map(|(place, node)| match &node.spec {
            OperatorSpec::Source(source) => Some((place, source)),
            _ => None,
        });
        sources.filter(move |(place, _)| rebuilt(*place))
    }
}

impl Session {
    /// Gives a view another query. Whoever gives up waiting for it finds it done all the same.
    pub(super) async fn replace_view(&self, replacement: Replacement) -> Result<Outcome, SqlError> {
        let Replacement { old, relation, query, tag } = replacement;
        let (settings, strategy) = (self.settings.kept(), self.settings.restart_strategy());
        let carried = Carried { database: self.database.clone(), old, relation, query, settings, strategy };
        let done = tokio::spawn(carried.carry_out()).await;
        done.map_err(|error| SqlError::new(SqlState::INTERNAL_ERROR, format!("internal error: {error}")))??;
        Ok(Outcome::done(tag))
    }

    /// The relations that read a relation, over others too: who is read stands before its readers.
    pub(super) fn behind(snapshot: &CatalogSnapshot, id: RelationId) -> Vec<Arc<Relation>> {
        let mut met = vec![id];
        let mut behind: Vec<Arc<Relation>> = Vec::new();
        let reads = |relation: &Relation, met: &[RelationId]| relation.depends_on.iter().any(|of| met.contains(of));
        while let Some(next) = snapshot.relations.values().find(|of| !met.contains(&of.id) && reads(of, &met)) {
            met.push(next.id);
            behind.push(Arc::clone(next));
        }
        // A reader may have been met before another one that it reads as well.
        let mut ordered: Vec<Arc<Relation>> = Vec::with_capacity(behind.len());
        while !behind.is_empty() {
            let waits = |of: &Relation| behind.iter().any(|other| of.depends_on.contains(&other.id));
            let place = behind.iter().position(|of| !waits(of)).unwrap_or(0);
            ordered.push(behind.remove(place));
        }
        ordered
    }
}

impl Carried {
    async fn carry_out(self) -> Result<(), SqlError> {
        let database = self.database.clone();
        let catalog = Arc::clone(database.catalog());
        let guard = catalog.lock().await;
        let mut snapshot = catalog.snapshot(&Relations::default());
        if !snapshot.relations.values().any(|found| Arc::ptr_eq(found, &self.old)) {
            let message = format!("materialized view \"{}\" was changed by another session", self.old.name);
            return Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message)
                .with_hint("Try the statement again."));
        }
        let behind = Session::behind(&snapshot, self.old.id);
        check_no_writers(&database, &self.old, &behind)?;
        let mut remade = vec![self.remade(self.relation.clone(), self.query.clone()).await?];
        for old in behind {
            // Views that are only names stand in the queries of those that read them.
            let newest = remade.iter().map(|of| Arc::new(of.relation.clone()));
            snapshot.relations.extend(newest.map(|relation| (relation.name.clone(), relation)));
            if let Some((relation, query)) = self.bound_again(&old, snapshot.clone()).await? {
                remade.push(self.remade(relation, query).await?);
            }
        }
        let before = self.write_definition(&remade)?;
        let views: Vec<RelationId> = remade.iter().map(|of| of.relation.id).collect();
        // Readers see the old rows until the new ones are there.
        database.engine().withhold(&views);
        let deployed = self.deploy(&remade).await;
        match &deployed {
            Ok(()) => self.put(&guard, remade),
            Err(_) => self.write_back(before),
        }
        database.engine().show(&views);
        deployed
    }

    /// Notes durably what the view is to be, where that is kept: before anything is stopped, so that all is as it was where it
    /// cannot be written. Gives what was noted of it.
    fn write_definition(&self, remade: &[Remade]) -> Result<Option<RelationEntry>, SqlError> {
        let Some(Remade { relation, job, plan, .. }) = remade.first() else { return Ok(None) };
        let before = self.database.kept_catalog().relations.into_iter().find(|entry| entry.id == relation.id.0);
        let (id, statement, mut settings) = (relation.id.0, relation.definition.clone(), self.settings.clone());
        match plan.queries.iter().any(|(query, _)| query.streaming.filter_above_state) {
            true => settings.insert(FILTER_ABOVE_STATE.to_owned(), "on".to_owned()),
            false => settings.remove(FILTER_ABOVE_STATE),
        };
        let entry = RelationEntry { id, statement, settings, job: Some(job.0), stopped: false, failed: None };
        self.database.write(|| CatalogRecord::Relation(entry))?;
        Ok(before)
    }

    /// The view stays what it was.
    fn write_back(&self, before: Option<RelationEntry>) {
        let Some(entry) = before else { return };
        if let Err(error) = self.database.write(|| CatalogRecord::Relation(entry)) {
            let view = &self.old.name;
            tracing::error!(view, %error, "the definition of a view that could not be replaced cannot be written back");
        }
    }

    /// A view whose query can run, and its job.
    async fn remade(&self, mut relation: Relation, query: BoundQuery) -> Result<Remade, SqlError> {
        let before = self.database.makers().lock().maker_of(relation.id);
        let (database, of) = (self.database.clone(), relation.clone());
        // Those behind the view are made anew: nothing of them is kept by another plan.
        let kept = before.filter(|_| relation.id == self.old.id);
        let New { query, dataflow, .. } = blocking(move || New::of(&database, &of, query, kept)).await?;
        fill_view_properties(&mut relation.kind, &dataflow);
        if let RelationKind::MaterializedView { streaming, .. } = &mut relation.kind {
            *streaming = query.streaming;
        }
        let plan = JobPlan::of_view(&relation, query);
        let job = before.unwrap_or_else(|| self.database.engine().new_job());
        let followed = match self.database.jobs().supervised().get(&job) {
            None => self.database.engine().job(job).is_some_and(|status| status.state == JobState::Running),
            Some(Supervision::None | Supervision::Waiting { .. }) => true,
            Some(Supervision::GaveUp { .. } | Supervision::Paused { .. } | Supervision::Stopped) => false,
        };
        Ok(Remade { relation, job, plan, followed })
    }

    /// A relation that reads the view, bound again; `None`: it has no job.
    async fn bound_again(
        &self,
        old: &Arc<Relation>,
        snapshot: CatalogSnapshot,
    ) -> Result<Option<(Relation, BoundQuery)>, SqlError> {
        let kept = self.database.kept_catalog().relations.into_iter().find(|entry| entry.id == old.id.0);
        let (text, settings) = kept
            .map_or_else(|| (old.definition.clone(), self.settings.clone()), |kept| (kept.statement, kept.settings));
        // Its own name must not be taken.
        let mut snapshot = snapshot;
        snapshot.relations.remove(&old.name);
        let mut session = self.database.session_under(&settings)?;
        let bound = session.bound_in(&text, snapshot).await.map_err(|error| breaks(&self.old, old, error))?;
        let (mut relation, query) = match bound {
            BoundStatement::CreateMaterializedView { relation, query, .. } => (relation, Some(query)),
            BoundStatement::CreateView { relation, .. } => (relation, None),
            _ => return Err(SqlError::new(SqlState::INTERNAL_ERROR, format!("\"{}\" reads a view", old.name))),
        };
        let same = |(old, new): (&Column, &Column)| column(old) == column(new);
        if relation.columns.len() != old.columns.len() || !old.columns.iter().zip(&relation.columns).all(same) {
            let error = SqlError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, "it would get other columns");
            return Err(breaks(&self.old, old, error));
        }
        relation.id = old.id;
        Ok(query.map(|query| (relation, query)))
    }

    /// Starts the view and what reads it again, with all that goes back to a checkpoint with them. Where that fails they go on as
    /// they were.
    async fn deploy(&self, remade: &[Remade]) -> Result<(), SqlError> {
        let database = &self.database;
        let Some(Remade { job, .. }) = remade.first() else { return Ok(()) };
        let running = database.engine().job(*job).is_some_and(|status| status.state == JobState::Running);
        let checkpoints = database.engine().config().checkpoints.is_some();
        if running && checkpoints {
            // A job that is connected with it may be down, and then none is made.
            match tokio::time::timeout(CHECKPOINT_WAIT, database.engine().checkpoint(*job)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(job = job.0, %error, "{NO_CHECKPOINT}"),
                Err(_) => tracing::warn!(job = job.0, "{NO_CHECKPOINT}"),
            }
        }
        let _one_at_a_time = database.restarting().await;
        let (before, restore) = if checkpoints {
            (database.connected_makers(*job), Restore::Latest)
        } else {
            let makers = database.makers().lock();
            (remade.iter().filter_map(|of| Some((of.job, makers.get(of.job)?))).collect(), Restore::Nothing)
        };
        let of = |job: &JobId| remade.iter().find(|of| of.job == *job).map(|of| Maker::Job(of.plan.clone()));
        let mut after: Vec<(JobId, Maker)> =
            before.iter().map(|(job, maker)| (*job, of(job).unwrap_or_else(|| maker.clone()))).collect();
        let missing = remade.iter().filter(|of| after.iter().all(|(job, _)| *job != of.job));
        let missing: Vec<(JobId, Maker)> = missing.map(|of| (of.job, Maker::Job(of.plan.clone()))).collect();
        after.extend(missing);
        let (engine, job) = (database.engine().clone(), *job);
        let heads: Vec<JobId> = remade.iter().map(|of| of.job).collect();
        let started = match database.start_together(&heads, after, restore.clone(), StopReason::Replaced).await {
            Ok(()) => engine.published(job).await.map_err(SqlError::from),
            Err(error) => Err(error),
        };
        let Err(error) = started else {
            // What reads its sources again has none of their rows yet.
            if tokio::time::timeout(CATCH_UP_WAIT, engine.caught_up(&heads)).await.is_err() {
                tracing::info!(job = job.0, "a view that was replaced is shown before it has read all again");
            }
            return Ok(());
        };
        if !before.is_empty()
            && let Err(again) = database.start_together(&heads, before, restore, StopReason::Restart).await
        {
            tracing::warn!(job = job.0, error = %again, "a view that could not be replaced does not run again yet");
        }
        Err(error)
    }

    /// Notes what the views are now.
    fn put(&self, guard: &DdlGuard<'_>, remade: Vec<Remade>) {
        let database = &self.database;
        let kept = database.kept_catalog().relations;
        for Remade { relation, job, plan, followed } in remade {
            let rested =
                |entry: &&RelationEntry| entry.id == relation.id.0 && (entry.stopped || entry.failed.is_some());
            if kept.iter().any(|entry| rested(&entry))
                && let Err(error) = database.write(|| CatalogRecord::JobStopped { job: job.0, stopped: false })
            {
                tracing::error!(job = job.0, %error, "that a job runs again cannot be written");
            }
            database.jobs().revive(job, plan.record.clone());
            if !followed {
                database.supervise(job, plan, self.strategy);
            }
            database.catalog().put_relation(guard, Arc::new(relation));
        }
    }
}

/// Name and type of a column.
fn column(column: &Column) -> (&str, &TypeName) {
    (&column.name, &column.data_type)
}

/// Refuses to replace a view whose rows a job writes elsewhere: what it has written of them stays written.
fn check_no_writers(database: &Database, old: &Relation, behind: &[Arc<Relation>]) -> Result<(), SqlError> {
    let views = behind.iter().filter(|of| !matches!(of.kind, RelationKind::View { .. })).map(|of| of.id);
    for view in views.chain([old.id]) {
        for (job, kind) in database.jobs().touching(view) {
            let lives = database.engine().job(job).is_some_and(|status| !status.state.is_terminal());
            if kind == JobKind::Insert && (lives || database.jobs().is_stopped(job)) {
                let message = format!("cannot replace \"{}\" because other objects depend on it", old.name);
                return Err(SqlError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
                    .with_detail(format!("job {job} writes its rows to a table"))
                    .with_hint(format!("Use CANCEL JOB {job} first, and write the rows anew afterwards.")));
            }
        }
    }
    Ok(())
}

fn breaks(view: &Relation, reader: &Relation, error: SqlError) -> SqlError {
    let message = format!("cannot replace \"{}\" because \"{}\" reads it", view.name, reader.name);
    SqlError::new(SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message)
        .with_detail(format!("with the new query: {error}"))
        .with_hint(format!("Drop \"{}\" first, and create it again afterwards.", reader.name))
}
