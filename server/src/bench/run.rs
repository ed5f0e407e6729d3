//! One query in a process of its own: set up, measured, told as JSON.

use std::path::Path;
use std::time::Instant;

use clap::ValueEnum;
use millstream_sql::SqlError;

use super::{Measure, Mode, NexmarkArguments, PREPARE, Source, nexmark, print, usage};
use crate::config::Config;
use crate::session::{Body, Database, Session};

/// Runs the one query of `arguments` and prints what it took.
pub(super) async fn child(config: Config, arguments: &NexmarkArguments, directory: &Path) -> Result<(), String> {
    let query = arguments.queries.first().ok_or("no query")?;
    let database = Database::start(config).map_err(|error| error.to_string())?;
    let mut session = database.session();
    let measure = if query == PREPARE {
        write_files(&mut session, arguments, directory).await
    } else {
        measure_query(&mut session, arguments, query, directory).await
    };
    database.shutdown();
    print(&serde_json::to_string(&measure?).map_err(|error| error.to_string())?)
}

/// Writes all events as JSON files.
async fn write_files(session: &mut Session, arguments: &NexmarkArguments, directory: &Path) -> Result<Measure, String> {
    let path = events_path(directory);
    let setup =
        [nexmark::generator_table("generated", arguments.events, "all"), nexmark::file_table("events", &path, false)];
    session.execute_script(&setup.concat()).await.map_err(|error| told(&error))?;
    measured(session, arguments, PREPARE, "INSERT INTO events SELECT event_type, person, auction, bid FROM generated")
        .await
}

async fn measure_query(
    session: &mut Session,
    arguments: &NexmarkArguments,
    query: &str,
    directory: &Path,
) -> Result<Measure, String> {
    let materialize = arguments.materialize.to_possible_value().map(|value| value.get_name().to_owned());
    let source = match arguments.source {
        Source::Generator => nexmark::generator_table("events", arguments.events, &materialize.unwrap_or_default()),
        Source::Files => nexmark::file_table("events", &events_path(directory), true),
    };
    let text = nexmark::query(query, &directory.display().to_string()).ok_or_else(|| format!("no query {query}"))?;
    let mode = match arguments.mode {
        Mode::Streaming => "automatic",
        Mode::Batch => "batch",
    };
    let setup = format!("SET 'execution.runtime-mode' = '{mode}'; {source}{}", nexmark::VIEWS);
    session.execute_script(&setup).await.map_err(|error| told(&error))?;
    let mut statements = millstream_sql::parse(&text).map_err(|error| told(&error))?;
    let insert = statements.pop().ok_or_else(|| format!("query {query} is empty"))?;
    for statement in &statements {
        session.execute(statement, &[]).await.map_err(|error| told(&error))?;
    }
    measured(session, arguments, query, &insert.text).await
}

/// Runs an `INSERT` and tells what it took.
async fn measured(
    session: &mut Session,
    arguments: &NexmarkArguments,
    query: &str,
    insert: &str,
) -> Result<Measure, String> {
    let cpu_before = usage::cpu_seconds().map_err(|error| error.to_string())?;
    let start = Instant::now();
    let outcome = session.execute_script(insert).await.map_err(|error| told(&error))?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu_seconds = usage::cpu_seconds().map_err(|error| error.to_string())? - cpu_before;
    let rows_out = match outcome.map(|outcome| outcome.body) {
        Some(Body::Done(tag)) => tag.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0),
        _ => 0,
    };
    Ok(Measure {
        query: query.to_owned(),
        events: arguments.events,
        seconds,
        cpu_seconds,
        // Below a tick of the clock there is nothing to divide by.
        events_per_cpu_second: arguments.events as f64 / cpu_seconds.max(0.01),
        peak_memory_bytes: usage::peak_bytes().map_err(|error| error.to_string())?,
        rows_out,
    })
}

fn events_path(directory: &Path) -> String {
    directory.join("events").display().to_string()
}

fn told(error: &SqlError) -> String {
    match &error.parts().hint {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    }
}
