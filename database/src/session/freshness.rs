//! Whether the views that a query reads are kept up to date. A view whose job failed for good does not answer; one whose job is
//! started again, or was cancelled, answers with what it had, and a warning.

use millstream_engine::plan::RelationId;
use millstream_engine::runtime::JobState;
use millstream_sql::bound::BoundQuery;
use millstream_sql::catalog::RelationKind;
use millstream_sql::{SqlError, SqlState};

use super::{Notice, Session};
use crate::catalog::Supervision;

/// `object_not_in_prerequisite_state`
const NOT_READY: SqlState = SqlState("55000");

impl Session {
    /// What is to be told of the views that a query reads.
    ///
    /// # Errors
    /// Where the job of one of them failed and is not started again.
    pub(super) fn freshness(&self, query: &BoundQuery) -> Result<Vec<Notice>, SqlError> {
        let mut notices = Vec::new();
        if query.depends_on.is_empty() {
            return Ok(notices);
        }
        let catalog = self.database.catalog().snapshot(&self.temporary);
        for relation in catalog.relations.values().filter(|relation| query.depends_on.contains(&relation.id)) {
            if matches!(relation.kind, RelationKind::MaterializedView { .. }) {
                notices.extend(self.staleness(relation.id, &relation.name)?);
            }
        }
        Ok(notices)
    }

    /// What is to be told of one view.
    fn staleness(&self, view: RelationId, name: &str) -> Result<Option<Notice>, SqlError> {
        let Some((job, supervision)) = self.database.jobs().maker(view) else {
            return Ok(Some(Notice::warning(format!("view \"{name}\" is as it was when its job was cancelled"))));
        };
        if matches!(supervision, Supervision::Paused { .. }) {
            let message = format!("view \"{name}\" is as it was when job {job} was stopped; START JOB lets it go on");
            return Ok(Some(Notice::warning(message)));
        }
        let status = self.database.engine().job(job);
        if status.as_ref().is_some_and(|status| status.state != JobState::Failed) {
            return Ok(None);
        }
        let why = match supervision {
            Supervision::Waiting { why, .. } => {
                let message =
                    format!("view \"{name}\" is as it was when its job failed, which is started again: {why}");
                return Ok(Some(Notice::warning(message)));
            }
            Supervision::GaveUp { why, .. } => Some(why),
            Supervision::None | Supervision::Paused { .. } | Supervision::Stopped => None,
        };
        let why = why.or_else(|| status.and_then(|status| status.error)).unwrap_or_else(|| "it failed".to_owned());
        let error = SqlError::new(NOT_READY, format!("view \"{name}\" is not kept up to date: job {job} failed"));
        Err(error.with_detail(why).with_hint(
            format!(
                "Mend what it reads and use START JOB {job}, or give the view another query; after STOP JOB {job} it is read as it was.",
            ),
        ))
    }
}
