//! How long a process takes that starts again with the state of another, which ended without a word.

use std::path::Path;
use std::time::{Duration, Instant};

use millstream_engine::runtime::JobState;
use serde::{Deserialize, Serialize};

use super::child::told;
use super::task::{Digest, Mode};
use super::{rows, usage};
use crate::session::{Database, Session};

/// How often a job is looked at while its state grows.
const POLL: Duration = Duration::from_millis(20);

/// A view whose state is to be there again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Fill {
    /// What the figures are of.
    pub(super) name: String,
    /// Statements that come before.
    pub(super) setup: String,
    /// The query of the view, over sources that end.
    pub(super) select: String,
}

/// The start to measure.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Recover {
    /// What the figures are of.
    pub(super) name: String,
    /// Bytes of the data directory that the process starts with.
    pub(super) state_bytes: u64,
}

/// What a start with a state took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Recovery {
    pub(super) query: String,
    /// Rows of the view.
    pub(super) rows: u64,
    /// Bytes of the data directory.
    pub(super) state_bytes: u64,
    /// From the start of the process until the view answers a query.
    pub(super) seconds: f64,
    pub(super) cpu_seconds: f64,
    pub(super) peak_memory_bytes: u64,
}

/// Fills a view from sources that end; its rows.
///
/// # Errors
/// Where a statement or the job fails.
pub(super) async fn fill(database: &Database, fill: &Fill) -> Result<Digest, String> {
    let mut session = database.session();
    let script = format!("{} CREATE MATERIALIZED VIEW recovered AS {};", fill.setup, fill.select);
    session.execute_script(&script).await.map_err(|error| told(&error))?;
    // A job that has finished has made its last checkpoint.
    while let Some(job) = database.engine().jobs().into_iter().find(|job| job.state != JobState::Finished) {
        if let Some(error) = job.error {
            return Err(error);
        }
        tokio::time::sleep(POLL).await;
    }
    view(&mut session).await
}

/// What it took until the view of [`fill`] answered, in a process that started at `start`; and its rows.
///
/// # Errors
/// Where it does not answer.
pub(super) async fn recover(
    database: &Database,
    recover: &Recover,
    start: Instant,
) -> Result<(Recovery, Digest), String> {
    let mut session = database.session();
    session.execute_script("SELECT count(*) FROM recovered").await.map_err(|error| told(&error))?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu_seconds = usage::cpu_seconds().map_err(|error| error.to_string())?;
    let peak_memory_bytes = usage::peak_bytes().map_err(|error| error.to_string())?;
    let digest = view(&mut session).await?;
    let Recover { name, state_bytes } = recover.clone();
    let rows = digest.rows;
    let recovery = Recovery { query: name, rows, state_bytes, seconds, cpu_seconds, peak_memory_bytes };
    Ok((recovery, digest))
}

async fn view(session: &mut Session) -> Result<Digest, String> {
    rows::digest(session, "", "SELECT * FROM recovered", Mode::Streaming, &[]).await
}

/// The bytes of all files below a folder.
pub(super) fn bytes_below(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        bytes += if kind.is_dir() { bytes_below(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}
