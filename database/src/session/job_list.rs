//! The list of jobs, as `SHOW JOBS` has it: what the engine knows of each, and what is done about those that failed.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use millstream_engine::runtime::{JobId, JobState, JobStatus};

use super::Database;
use super::show::{moments, number, numbers, some_numbers, text, texts};
use crate::catalog::{JobKind, Supervision};
use crate::memory;

/// A job that waits for its next start.
const RESTARTING: &str = "RESTARTING";

/// A job that runs, but whose sources are not read for want of memory.
const HELD_BACK: &str = "HELD BACK";

/// A job that somebody stopped and can start again.
const STOPPED: &str = "STOPPED";

/// One line of the list.
struct Line {
    id: JobId,
    name: String,
    state: String,
    error: Option<String>,
    /// `None`: the engine never had it.
    status: Option<JobStatus>,
    restarts: u32,
    next_restart: Option<i64>,
}

/// The columns of the list.
pub(super) fn schema() -> SchemaRef {
    let moment = |name| Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true);
    Arc::new(Schema::new(vec![
        number("id"),
        text("name"),
        text("kind"),
        text("state"),
        moment("started"),
        number("rows_in"),
        number("rows_out"),
        number("late_rows"),
        number("bad_rows"),
        number("sink_errors"),
        number("forgotten_rows"),
        number("evicted_keys"),
        text("watermark"),
        text("error"),
        number("restarts"),
        moment("next_restart"),
    ]))
}

impl Database {
    /// The columns of the list as it is now.
    pub(super) fn job_list(&self) -> Vec<ArrayRef> {
        let lines =
            lines(self.engine().jobs(), self.jobs().supervised(), &memory::full(&self.engine().config().memory));
        let kind = |job| match self.jobs().kind(job) {
            Some(JobKind::View) => Some("MATERIALIZED VIEW"),
            Some(JobKind::Insert) => Some("INSERT"),
            Some(JobKind::Subscribe) => Some("SUBSCRIBE"),
            Some(JobKind::Query) => Some("SELECT"),
            None => None,
        };
        let status = || lines.iter().map(|line| line.status.as_ref());
        let metrics = || status().map(|status| status.map(|status| status.metrics));
        vec![
            numbers(lines.iter().map(|line| line.id.0)),
            texts(lines.iter().map(|line| line.name.clone())),
            Arc::new(lines.iter().map(|line| kind(line.id)).collect::<StringArray>()),
            texts(lines.iter().map(|line| line.state.clone())),
            moments(status().map(|status| status.map(|status| status.started.0))),
            some_numbers(metrics().map(|metrics| metrics.map(|metrics| metrics.rows_in))),
            some_numbers(metrics().map(|metrics| metrics.map(|metrics| metrics.rows_out))),
            some_numbers(metrics().map(|metrics| metrics.map(|metrics| metrics.late_rows))),
            some_numbers(metrics().map(|metrics| metrics.map(|metrics| metrics.bad_rows))),
            some_numbers(metrics().map(|metrics| metrics.map(|metrics| metrics.sink_errors))),
            some_numbers(metrics().map(|metrics| metrics.map(|metrics| metrics.forgotten_rows))),
            some_numbers(metrics().map(|metrics| metrics.map(|metrics| metrics.evicted_keys))),
            Arc::new(
                metrics().map(|metrics| metrics.map(|metrics| metrics.watermark.to_string())).collect::<StringArray>(),
            ),
            Arc::new(lines.iter().map(|line| line.error.clone()).collect::<StringArray>()),
            numbers(lines.iter().map(|line| u64::from(line.restarts))),
            moments(lines.iter().map(|line| line.next_restart)),
        ]
    }
}

fn lines(jobs: Vec<JobStatus>, mut supervised: BTreeMap<JobId, Supervision>, full: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = jobs
        .into_iter()
        .map(|job| Line {
            id: job.id,
            name: job.name.clone(),
            state: if job.held_back { HELD_BACK.to_owned() } else { job.state.to_string() },
            error: job.error.clone().or_else(|| job.held_back.then(|| full.to_owned())),
            restarts: 0,
            next_restart: None,
            status: Some(job),
        })
        .collect();
    for line in &mut lines {
        if let Some(supervision) = supervised.remove(&line.id) {
            line.adjust(supervision);
        }
    }
    for (id, supervision) in supervised {
        let name = match &supervision {
            Supervision::Waiting { name, .. } | Supervision::GaveUp { name, .. } | Supervision::Paused { name } => {
                name.clone()
            }
            // The engine never had it, and never will.
            Supervision::None | Supervision::Stopped => continue,
        };
        let state = JobState::Failed.to_string();
        let mut line = Line { id, name, state, error: None, status: None, restarts: 0, next_restart: None };
        line.adjust(supervision);
        lines.push(line);
    }
    lines.sort_by_key(|line| line.id);
    lines
}

impl Line {
    fn adjust(&mut self, supervision: Supervision) {
        let failed = self.status.as_ref().is_none_or(|status| status.state == JobState::Failed);
        match supervision {
            Supervision::Waiting { why, next, attempt, .. } if failed => {
                self.state = RESTARTING.to_owned();
                self.error = Some(why);
                self.restarts = attempt;
                self.next_restart = next.map(|at| at.0);
            }
            Supervision::GaveUp { why, .. } if failed => self.error = Some(why),
            Supervision::Paused { .. } => {
                self.state = STOPPED.to_owned();
                self.error = None;
            }
            Supervision::Stopped if failed => self.state = JobState::Canceled.to_string(),
            Supervision::None | Supervision::Stopped | Supervision::Waiting { .. } | Supervision::GaveUp { .. } => (),
        }
    }
}
