//! Starting failed jobs again, as their restart strategies say.
//!
//! A task follows each job that is not to end. A job that failed because one failed whose view it reads waits for that one:
//! those behind
//! it come back with it, or after it, in order.

use std::time::Duration;

use millstream_engine::runtime::{Engine, JobId, JobState};
use millstream_engine::time::ProcessingTime;
use millstream_sql::SqlError;
use tokio::sync::watch;

use super::Database;
use super::database::WeakDatabase;
use super::job::JobPlan;
use super::restart::{Decision, FailureHistory, RestartStrategy};
use crate::catalog::Supervision;
use crate::durable::format_catalog::CatalogRecord;

/// A job that is followed.
struct Followed {
    database: WeakDatabase,
    engine: Engine,
    job: JobId,
    plan: JobPlan,
    strategy: RestartStrategy,
    history: FailureHistory,
}

impl Database {
    /// Follows a running job that is not to end by itself.
    pub(super) fn supervise(&self, job: JobId, plan: JobPlan, strategy: RestartStrategy) {
        tokio::spawn(self.followed(job, plan, strategy).follow(None));
    }

    /// Follows a job that could not be started, for this reason.
    pub(super) fn supervise_failed(&self, job: JobId, plan: JobPlan, strategy: RestartStrategy, error: &SqlError) {
        let (name, why) = (plan.name.clone(), error.to_string());
        let followed = self.followed(job, plan, strategy);
        let waiting = Supervision::Waiting { name, why: why.clone(), next: None, attempt: 0 };
        self.jobs().supervise(job, waiting);
        tokio::spawn(followed.follow(Some(why)));
    }

    fn followed(&self, job: JobId, plan: JobPlan, strategy: RestartStrategy) -> Followed {
        self.jobs().add(job, plan.record.clone());
        let (database, engine) = (self.downgrade(), self.engine().clone());
        Followed { database, engine, job, plan, strategy, history: FailureHistory::default() }
    }

    /// Whether a job is at work.
    fn runs(&self, job: JobId) -> bool {
        let state = self.engine().job(job).map(|job| job.state);
        matches!(state, Some(JobState::Running | JobState::Finished))
    }
}

impl Followed {
    async fn follow(mut self, mut not_started: Option<String>) {
        loop {
            let why = match not_started.take() {
                Some(why) => why,
                None => match self.failure().await {
                    Some(why) => why,
                    None => return,
                },
            };
            let Some(started) = self.start_again(why).await else { return };
            not_started = started.err().map(|error| error.to_string());
        }
    }

    /// Waits until the job has failed, and gives why. `None`: it ended otherwise.
    async fn failure(&self) -> Option<String> {
        loop {
            let status = self.engine.finished(self.job).await.ok()?;
            match status.state {
                // It was started again with others before anybody looked.
                JobState::Running => {}
                JobState::Finished => return None,
                JobState::Failed => return Some(status.error.unwrap_or_else(|| "it failed".to_owned())),
                JobState::Canceled => {
                    let database = self.database.upgrade()?;
                    // Who starts it again with others holds this until that is done.
                    let _done = database.restarting().await;
                    let state = self.engine.job(self.job)?.state;
                    if state == JobState::Canceled {
                        return database.jobs().waits(self.job);
                    }
                }
            }
        }
    }

    /// Waits as long as it must and starts the job. `None`: it is not to be started again.
    async fn start_again(&mut self, why: String) -> Option<Result<(), SqlError>> {
        let waited = self.wait_for_producers(&why).await?;
        let mut state = self.database.upgrade()?.jobs().watch(self.job)?;
        // What failed with others comes back with them, and was no failure of its own.
        if !waited {
            self.back_off(why, &mut state).await?;
        }
        let database = self.database.upgrade()?;
        let _one_at_a_time = database.restarting().await;
        if state.borrow().is_stopped() {
            return None;
        }
        let started = if database.runs(self.job) { Ok(()) } else { database.restart(self.job).await };
        if started.is_ok() {
            database.jobs().supervise(self.job, Supervision::None);
        }
        Some(started)
    }

    /// Waits as the strategy says. `None`: it says to let it be, or the job was stopped meanwhile.
    async fn back_off(&mut self, why: String, state: &mut watch::Receiver<Supervision>) -> Option<()> {
        let now = self.engine.config().clock.now();
        self.history.failed(now);
        let hopeless = self.engine.job(self.job).is_some_and(|status| status.hopeless);
        let decision =
            if hopeless { Decision::GiveUp } else { self.history.decide(&self.strategy, chance(self.job, now)) };
        let (at, attempt) = match decision {
            Decision::Restart { at, attempt } => (at, attempt),
            Decision::GiveUp => return self.give_up(why),
        };
        tracing::warn!(
            job = self.job.0,
            name = self.plan.name,
            attempt,
            error = why,
            "job failed and is started again"
        );
        self.note(Supervision::Waiting { name: self.plan.name.clone(), why, next: Some(at), attempt })?;
        let wait = Duration::from_micros(u64::try_from(at.0.saturating_sub(now.0)).unwrap_or(0));
        tokio::select! {
            () = tokio::time::sleep(wait) => Some(()),
            _ = state.wait_for(Supervision::is_stopped) => None,
        }
    }

    /// Returns when all jobs run whose views this one reads: whether it had to wait. `None`: they never will, or this one
    /// was stopped.
    async fn wait_for_producers(&self, why: &str) -> Option<bool> {
        let mut waited = false;
        loop {
            let database = self.database.upgrade()?;
            let producers = database.jobs().producers(self.job);
            let Some(waits_for) = producers.into_iter().find(|producer| !database.runs(*producer)) else {
                return Some(waited);
            };
            waited = true;
            let name = self.plan.name.clone();
            self.note(Supervision::Waiting { name, why: why.to_owned(), next: None, attempt: 0 })?;
            let mut producer = database.jobs().watch(waits_for)?;
            let mut own = database.jobs().watch(self.job)?;
            match &*producer.borrow_and_update() {
                // It was started between the two looks.
                _ if database.runs(waits_for) => continue,
                Supervision::GaveUp { .. } | Supervision::Stopped => {
                    return self.give_up(why.to_owned());
                }
                Supervision::None | Supervision::Waiting { .. } | Supervision::Paused { .. } => (),
            }
            drop(database);
            // The producer's task notes that it runs again only after it has started it.
            tokio::select! {
                changed = producer.changed() => changed.ok()?,
                _ = own.wait_for(Supervision::is_stopped) => return None,
            }
        }
    }

    /// Lets the job be, until somebody starts it: over restarts of the server too. Always `None`.
    fn give_up<T>(&self, why: String) -> Option<T> {
        let (job, error) = (self.job.0, why.clone());
        let written = match self.plan.lasting {
            true => self.database.upgrade()?.write(|| CatalogRecord::JobFailed { job, error }),
            false => Ok(()),
        };
        if let Err(error) = written {
            tracing::error!(job, %error, "that a job failed cannot be written: it is tried again after a restart");
        }
        self.note(Supervision::GaveUp { name: self.plan.name.clone(), why })?;
        self.engine.abandon(self.job);
        None
    }

    fn note(&self, supervision: Supervision) -> Option<()> {
        self.database.upgrade()?.jobs().supervise(self.job, supervision);
        Some(())
    }
}

/// A number from −1 to 1 that differs from job to job and from time to time.
fn chance(job: JobId, now: ProcessingTime) -> f64 {
    let mut bytes = [0; 16];
    let (first, second) = bytes.split_at_mut(8);
    first.copy_from_slice(&job.0.to_le_bytes());
    second.copy_from_slice(&now.0.to_le_bytes());
    let hash = xxhash_rust::xxh3::xxh3_64(&bytes);
    (hash as f64 / u64::MAX as f64).mul_add(2.0, -1.0)
}
