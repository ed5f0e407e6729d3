//! `CANCEL JOB`, `STOP JOB`, `START JOB` and savepoints.

use std::sync::Arc;

use millstream_engine::ports::StateStore;
use millstream_engine::runtime::{JobId, JobState, Restore, StopReason};
use millstream_sql::ast::JobControl;
use millstream_sql::{SqlError, SqlState};

use super::deploy::Maker;
use super::job::blocking;
use super::restart::RestartStrategy;
use super::{Notice, Outcome, Session};
use crate::catalog::{JobKind, Supervision};
use crate::durable::format_catalog::CatalogRecord;

impl Session {
    pub(super) async fn control_job(&self, control: JobControl<u64>) -> Result<Outcome, SqlError> {
        match control {
            JobControl::Cancel(id) => self.cancel_job(JobId(id)).await,
            JobControl::Stop { job, savepoint } => self.stop_job(JobId(job), savepoint.as_deref()).await,
            JobControl::Start { job, savepoint } => self.resume_job(JobId(job), savepoint).await,
            JobControl::CreateSavepoint { job, name } => {
                self.savepoint(JobId(job), &name).await?;
                Ok(Outcome::done("CREATE SAVEPOINT"))
            }
            JobControl::DropSavepoint { name, if_exists } => self.drop_savepoint(name, if_exists).await,
        }
    }

    async fn cancel_job(&self, job: JobId) -> Result<Outcome, SqlError> {
        let _guard = self.database.catalog().lock().await;
        let runs = self.database.engine().job(job).is_some();
        if !runs && self.database.jobs().kind(job).is_none() {
            return Err(no_job(job));
        }
        self.database.write(|| CatalogRecord::JobEnded { job: job.0 })?;
        self.database.jobs().ended(job);
        // A view can be started again; an INSERT is gone.
        if self.database.jobs().kind(job) != Some(JobKind::View) {
            self.database.forget_maker(job);
        }
        if runs {
            self.database.engine().cancel(job)?;
        }
        Ok(Outcome::done("CANCEL JOB"))
    }

    /// Stops a job until it is started; its state is in its last checkpoint, or in the savepoint.
    async fn stop_job(&self, job: JobId, savepoint: Option<&str>) -> Result<Outcome, SqlError> {
        let _guard = self.database.catalog().lock().await;
        let name = self.lasting_job(job)?;
        if self.database.jobs().is_stopped(job) {
            return Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, format!("job {job} is stopped")));
        }
        let running = self.database.engine().job(job).is_some_and(|status| status.state == JobState::Running);
        match savepoint {
            Some(savepoint) => self.savepoint(job, savepoint).await?,
            // So that it goes on from here.
            None if running && self.database.engine().config().checkpoints.is_some() => {
                self.database.engine().checkpoint(job).await?;
            }
            None => {}
        }
        self.database.write(|| CatalogRecord::JobStopped { job: job.0, stopped: true })?;
        self.database.jobs().pause(job, name);
        if running {
            self.database.engine().cancel(job)?;
        }
        Ok(Outcome::done("STOP JOB"))
    }

    /// Starts a job that was stopped.
    async fn resume_job(&self, job: JobId, savepoint: Option<String>) -> Result<Outcome, SqlError> {
        let _guard = self.database.catalog().lock().await;
        let name = self.lasting_job(job)?;
        let failure = self.database.jobs().failure(job);
        if failure.is_none() && !self.database.jobs().is_stopped(job) {
            let error = SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, format!("job {job} is not stopped"));
            return Err(error.with_hint(format!("Use STOP JOB {job} first.")));
        }
        let strategy = self.strategy_of(job)?;
        let _one_at_a_time = self.database.restarting().await;
        if let Err(error) = self.database.start_stopped(job, savepoint).await {
            if let Some(why) = failure {
                self.database.jobs().supervise(job, Supervision::GaveUp { name, why });
            }
            return Err(error);
        }
        self.database.write(|| CatalogRecord::JobStopped { job: job.0, stopped: false })?;
        let Some(Maker::Job(plan)) = self.database.makers().lock().get(job) else { return Err(no_job(job)) };
        self.database.jobs().revive(job, plan.record.clone());
        self.database.supervise(job, plan, strategy);
        Ok(Outcome::done("START JOB").with_notice(Notice::info(format!("job {job} started"))))
    }

    /// The restart strategy that is kept with a job; where nothing is kept, the session's.
    fn strategy_of(&self, job: JobId) -> Result<RestartStrategy, SqlError> {
        let kept = self.database.kept_catalog();
        let of_view = kept.relations.iter().find(|entry| entry.job == Some(job.0)).map(|entry| &entry.settings);
        let of_insert = kept.jobs.iter().find(|entry| entry.id == job.0).map(|entry| &entry.settings);
        match of_view.or(of_insert) {
            Some(settings) => Ok(self.database.session_under(settings)?.settings.restart_strategy()),
            None => Ok(self.settings.restart_strategy()),
        }
    }

    async fn savepoint(&self, job: JobId, name: &str) -> Result<(), SqlError> {
        self.lasting_job(job)?;
        if self.database.engine().config().checkpoints.is_none() {
            let error = SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "no checkpoints are made");
            return Err(error.with_hint("Start the server with a data directory and a checkpoint interval over 0."));
        }
        if is_place(name) {
            let store = open_place(name).await?;
            return Ok(self.database.engine().savepoint_to(job, store).await?);
        }
        Ok(self.database.engine().savepoint(job, name).await?)
    }

    async fn drop_savepoint(&self, name: String, if_exists: bool) -> Result<Outcome, SqlError> {
        let outcome = Outcome::done("DROP SAVEPOINT");
        let (engine, dropped) = (self.database.engine().clone(), name.clone());
        match blocking(move || Ok(engine.drop_savepoint(&dropped)?)).await? {
            true => Ok(outcome),
            false if if_exists => {
                Ok(outcome.with_notice(Notice::info(format!("savepoint \"{name}\" does not exist, skipping"))))
            }
            false => {
                let error = SqlError::new(SqlState::UNDEFINED_OBJECT, format!("savepoint \"{name}\" does not exist"));
                Err(error.with_hint("SHOW SAVEPOINTS lists the savepoints."))
            }
        }
    }

    /// The name of a job that can be stopped and started.
    fn lasting_job(&self, job: JobId) -> Result<String, SqlError> {
        match self.database.makers().lock().get(job) {
            Some(Maker::Job(plan)) if plan.lasting => Ok(plan.name),
            Some(Maker::Job(_)) => {
                let message = format!("job {job} ends with its session or by itself");
                Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message).with_hint("CANCEL JOB ends it."))
            }
            Some(Maker::Table(_)) | None => Err(no_job(job)),
        }
    }
}

impl super::Database {
    /// Forgets what a job is. What is saved of it goes.
    pub(super) fn forget_maker(&self, job: JobId) {
        let uid = self.makers().lock().remove(job);
        if let Some(uid) = uid {
            self.engine().forget_saved(&uid);
        }
    }

    /// Starts a job that was stopped: from its last checkpoint, or together with all that it is connected with from a
    /// savepoint. The caller holds [`super::Database::restarting`].
    async fn start_stopped(&self, job: JobId, savepoint: Option<String>) -> Result<(), SqlError> {
        match savepoint {
            Some(name) => {
                let restore = match is_place(&name) {
                    true => Restore::From(open_place(&name).await?),
                    false => Restore::Savepoint(name),
                };
                self.start_together(&[job], self.connected_makers(job), restore, StopReason::Restart).await
            }
            None => {
                let own = self.makers().lock().get(job).ok_or_else(|| no_job(job))?;
                self.start_together(&[job], vec![(job, own)], Restore::Latest, StopReason::Restart).await
            }
        }
    }
}

/// Whether a savepoint is one in a place of its own: a path or URL, not a name.
fn is_place(savepoint: &str) -> bool {
    savepoint.starts_with('/') || savepoint.contains("://")
}

async fn open_place(url: &str) -> Result<Arc<dyn StateStore>, SqlError> {
    let url = url.to_owned();
    blocking(move || Ok(millstream_connectors::state_store::open(&url)?)).await
}

fn no_job(job: JobId) -> SqlError {
    let error = SqlError::new(SqlState::UNDEFINED_OBJECT, format!("job {job} does not exist"));
    error.with_hint("SHOW JOBS lists the jobs.")
}
