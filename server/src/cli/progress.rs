//! Progress on standard error while statements run: rows, rows a second, watermark. Only where that is a terminal.

use std::future::Future;
use std::io::{IsTerminal, Write, stderr};
use std::pin::pin;
use std::time::{Duration, Instant};

use millstream_engine::runtime::JobState;
use millstream_engine::time::EventTime;

use crate::session::Database;

/// Time between two lines.
const INTERVAL: Duration = Duration::from_millis(250);

/// Writes the progress of all jobs over one line of the terminal.
pub(super) struct Progress {
    database: Database,
    terminal: bool,
    shown: bool,
    last: Option<(Instant, u64)>,
}

impl Progress {
    pub(super) fn new(database: Database) -> Self {
        Self { database, terminal: stderr().is_terminal(), shown: false, last: None }
    }

    /// Runs `work` to its end and shows how it goes on.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        if !self.terminal {
            return work.await;
        }
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + INTERVAL, INTERVAL);
        loop {
            tokio::select! {
                result = &mut work => {
                    self.clear();
                    return result;
                }
                _ = ticks.tick() => self.show(),
            }
        }
    }

    fn show(&mut self) {
        let jobs = self.database.engine().jobs();
        let running: Vec<_> = jobs.iter().filter(|job| job.state == JobState::Running).collect();
        if running.is_empty() {
            return;
        }
        let rows: u64 = running.iter().map(|job| job.metrics.rows_in).sum();
        let watermark = running.iter().map(|job| job.metrics.watermark).min().unwrap_or(EventTime::MIN);
        let now = Instant::now();
        let rate = self.last.map_or(0.0, |(at, before)| {
            let seconds = now.duration_since(at).as_secs_f64();
            if seconds > 0.0 { rows.saturating_sub(before) as f64 / seconds } else { 0.0 }
        });
        self.last = Some((now, rows));
        // Nobody is told where the terminal is gone.
        let _ = write!(stderr(), "\r\x1b[K{rows} rows, {rate:.0} rows/s, watermark {watermark}");
        self.shown = true;
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
