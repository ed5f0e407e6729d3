//! Carries out one task in this process and prints the answer as JSON.

use std::future::Future;
use std::io::Read;
use std::pin::pin;
use std::time::{Duration, Instant};

use millstream_sql::SqlError;
use serde::Serialize;

use super::task::{Measure, Task, Work};
use super::{latency, print, recovery, rows, usage};
use crate::config::Config;
use crate::session::{Body, Database};

/// How often the rows that were read are looked at while state grows.
const WARMUP_POLL: Duration = Duration::from_millis(2);

/// Reads a task from standard input, carries it out, prints what it tells.
pub(super) async fn run(config: Config) -> Result<(), String> {
    let start = Instant::now();
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|error| format!("could not read a task: {error}"))?;
    let task: Task = serde_json::from_str(&text).map_err(|error| format!("no task: {error}"))?;
    let durable = matches!(task, Task::Fill(_) | Task::Recover(_));
    let database = if durable { Database::open(config).await } else { Database::start(config) };
    let database = database.map_err(|error| told(&error))?;
    let answer = match &task {
        Task::Prepare { script } => match database.session().execute_script(script).await {
            Ok(_) => json(&()),
            Err(error) => Err(told(&error)),
        },
        Task::Measure(work) => measure(&database, work).await.and_then(|measure| json(&measure)),
        Task::Digest { setup, select, mode, left_out } => {
            rows::digest(&mut database.session(), setup, select, *mode, left_out).await.and_then(|digest| json(&digest))
        }
        Task::Latency(follow) => {
            latency::follow(&mut database.session(), follow).await.and_then(|latency| json(&latency))
        }
        Task::Fill(fill) => {
            print(&json(&recovery::fill(&database, fill).await?)?)?;
            // Nothing more is written: what is there must do.
            std::process::exit(0);
        }
        Task::Recover(recover) => recovery::recover(&database, recover, start).await.and_then(|found| json(&found)),
    };
    database.shutdown();
    print(&answer?)
}

fn json<T: Serialize>(value: &T) -> Result<String, String> {
    serde_json::to_string(value).map_err(|error| error.to_string())
}

/// Time and CPU time at a moment, and the rows read until then.
struct Mark {
    at: Instant,
    cpu_seconds: f64,
    rows_in: u64,
}

impl Mark {
    fn now(rows_in: u64) -> Result<Self, String> {
        let cpu_seconds = usage::cpu_seconds().map_err(|error| error.to_string())?;
        Ok(Self { at: Instant::now(), cpu_seconds, rows_in })
    }
}

/// Runs `INSERT`s at the same time and tells what they took.
async fn measure(database: &Database, work: &Work) -> Result<Measure, String> {
    let mut session = database.session();
    session.execute_script(&work.setup).await.map_err(|error| told(&error))?;
    let before = rows_in(database);
    let start = Mark::now(before)?;
    let inserts = futures::future::try_join_all(work.inserts.iter().map(|insert| async {
        let mut session = database.session();
        session.execute_script(insert).await
    }));
    let warm = || rows_in(database).saturating_sub(before) >= work.warmup;
    let (outcomes, start) = if work.warmup > 0 {
        marked(inserts, warm, || Mark::now(rows_in(database))).await?
    } else {
        (inserts.await, start)
    };
    let end = Mark::now(rows_in(database))?;
    let rows_out = outcomes.map_err(|error| told(&error))?.into_iter().flatten().map(|outcome| match outcome.body {
        Body::Done(tag) => tag.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0),
        Body::Rows(_) | Body::Subscription(_) | Body::CopyOut(_) | Body::CopyIn(_) => 0_u64,
    });
    // A source may be read more than once: its rows are counted each time.
    let read = (end.rows_in - before).max(1);
    let steady = (end.rows_in - start.rows_in) as f64 / read as f64;
    let events = (work.events as f64 * steady).round() as u64;
    let cpu_seconds = end.cpu_seconds - start.cpu_seconds;
    Ok(Measure {
        query: work.name.clone(),
        events,
        warmup_events: work.events - events,
        seconds: end.at.duration_since(start.at).as_secs_f64(),
        cpu_seconds,
        // Below a tick of the clock there is nothing to divide by.
        events_per_cpu_second: events as f64 / cpu_seconds.max(0.01),
        peak_memory_bytes: usage::peak_bytes().map_err(|error| error.to_string())?,
        rows_out: rows_out.sum(),
    })
}

/// Runs `work` to its end and marks the moment when `reached` first holds.
async fn marked<T>(
    work: impl Future<Output = T>,
    reached: impl Fn() -> bool,
    mark: impl Fn() -> Result<Mark, String>,
) -> Result<(T, Mark), String> {
    let mut work = pin!(work);
    let mut ticks = tokio::time::interval(WARMUP_POLL);
    loop {
        tokio::select! {
            _ = &mut work => return Err("all events were read before the warm-up was seen to be over: give more".into()),
            _ = ticks.tick() => if reached() {
                let mark = mark()?;
                return Ok((work.await, mark));
            },
        }
    }
}

fn rows_in(database: &Database) -> u64 {
    database.engine().jobs().iter().map(|job| job.metrics.rows_in).sum()
}

/// An error with its hint.
pub(super) fn told(error: &SqlError) -> String {
    match &error.parts().hint {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    }
}
