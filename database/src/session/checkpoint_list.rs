//! `SHOW CHECKPOINTS` and `SHOW SAVEPOINTS`.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{Schema, SchemaRef};
use millstream_engine::runtime::{CheckpointStatus, JobId};
use millstream_sql::SqlError;

use super::Database;
use super::deploy::Maker;
use super::show::{number, numbers, some_numbers, text, texts};

/// The columns of the list of checkpoints.
pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        number("job"),
        text("name"),
        number("epoch"),
        number("completed"),
        number("failed"),
        number("bytes"),
        number("duration_ms"),
        text("error"),
    ]))
}

/// The columns of the list of savepoints.
pub(super) fn savepoint_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![text("name"), number("epoch"), number("bytes"), text("members")]))
}

impl Database {
    /// The last checkpoint of each job and internal table that has any.
    pub(super) fn checkpoint_list(&self) -> Vec<ArrayRef> {
        let lines: Vec<(JobId, String, CheckpointStatus)> = self
            .makers()
            .lock()
            .durable()
            .filter_map(|(job, maker)| Some((job, maker.name().to_owned(), self.engine().checkpoint_status(job)?)))
            .collect();
        let statuses = || lines.iter().map(|(_, _, status)| status);
        vec![
            numbers(lines.iter().map(|(job, _, _)| job.0)),
            texts(lines.iter().map(|(_, name, _)| name.clone())),
            some_numbers(statuses().map(|status| status.completed.map(|epoch| epoch.0))),
            numbers(statuses().map(|status| status.completed_count)),
            numbers(statuses().map(|status| status.failed_count)),
            numbers(statuses().map(|status| status.written_bytes)),
            numbers(statuses().map(|status| status.duration_ms)),
            Arc::new(statuses().map(|status| status.error.clone()).collect::<StringArray>()),
        ]
    }

    /// The job of this name or number, of those that are part of checkpoints.
    pub(crate) fn durable_job(&self, name: &str) -> Option<JobId> {
        let number = name.parse().ok().map(JobId);
        let makers = self.makers().lock();
        let found = makers.durable().find(|(job, maker)| maker.name() == name || Some(*job) == number);
        found.map(|(job, _)| job)
    }

    /// The savepoints.
    pub(super) fn savepoint_list(&self) -> Result<Vec<ArrayRef>, SqlError> {
        let found = self.engine().savepoints()?;
        Ok(vec![
            texts(found.iter().map(|savepoint| savepoint.name.clone())),
            numbers(found.iter().map(|savepoint| savepoint.epoch.0)),
            numbers(found.iter().map(|savepoint| savepoint.bytes)),
            texts(found.iter().map(|savepoint| savepoint.members.join(", "))),
        ])
    }
}

impl Maker {
    /// For people.
    fn name(&self) -> &str {
        match self {
            Self::Job(plan) => &plan.name,
            Self::Table(table) => &table.name,
        }
    }
}
