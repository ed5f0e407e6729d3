//! What statements reject: noted where people look for it, and kept over a restart when they have ended.

use millstream_engine::rejects::Rejects;
use millstream_engine::runtime::JobId;

use super::Database;
use super::job::blocking;
use crate::batch::keep_rejects;

impl Database {
    /// Notes what a statement that is no job has rejected.
    pub(super) fn keep_rejects(&self, name: &str, relation: Option<&str>, operator: &str, rejects: &mut Rejects) {
        let at = self.engine().config().clock.now();
        keep_rejects(self.engine().rejects(), name, relation, operator, at, rejects);
    }

    /// Keeps over a restart what statements have rejected, and this job, which was one and has ended. Where it cannot be written
    /// that is told, and the statement stands all the same.
    pub(super) async fn keep_rejected(&self, job: Option<JobId>) {
        // What every other statement comes to.
        if [None, job].into_iter().all(|of| self.engine().rejects().last(of).is_none()) {
            return;
        }
        let database = self.clone();
        let write = move || match database.rejected_log() {
            Some(log) => Ok(log.lock().keep(job, database.engine().rejects())?),
            None => Ok(()),
        };
        if let Err(error) = blocking(write).await {
            tracing::warn!(%error, "rejected rows are not kept over a restart");
        }
    }
}
