//! `millstream bench`: how fast, at what cost. Each query runs in a fresh process, which tells what it used.

mod nexmark;
mod run;
mod usage;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::config::Config;

/// Measures queries
#[derive(Debug, Args)]
pub(crate) struct BenchArguments {
    #[command(subcommand)]
    suite: Suite,
}

#[derive(Debug, Subcommand)]
enum Suite {
    /// The Nexmark benchmark
    Nexmark(NexmarkArguments),
}

#[derive(Debug, Clone, Args)]
struct NexmarkArguments {
    /// Queries to run, separated by commas [default: all]
    #[arg(long, value_delimiter = ',')]
    queries: Vec<String>,
    /// Number of events
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Where events come from
    #[arg(long, value_enum, default_value_t = Source::Generator)]
    source: Source,
    /// How results are printed
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Whether the generator makes columns that nobody reads
    #[arg(long, value_enum, default_value_t = Materialize::All)]
    materialize: Materialize,
    /// Where queries are computed
    #[arg(long, value_enum, default_value_t = Mode::Streaming)]
    mode: Mode,
    /// What a child process is to do, and its directory
    #[arg(long, hide = true)]
    child: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Source {
    /// The generator in this process
    Generator,
    /// JSON files, written before the measurement
    Files,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Aligned columns
    Table,
    /// One JSON object a query
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Materialize {
    /// All columns are made
    All,
    /// Only those that the query reads
    Projected,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// As a dataflow
    Streaming,
    /// In DataFusion
    Batch,
}

/// What one query took.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Measure {
    query: String,
    events: u64,
    seconds: f64,
    cpu_seconds: f64,
    events_per_cpu_second: f64,
    peak_memory_bytes: u64,
    rows_out: u64,
}

/// Name of the only "query" that writes the files for the others.
const PREPARE: &str = "prepare";

/// Runs a suite, or, in a child process, one query of it.
pub(crate) async fn run(config: Config, arguments: BenchArguments) -> Result<bool, String> {
    let Suite::Nexmark(arguments) = arguments.suite;
    if let Some(directory) = &arguments.child {
        return run::child(config, &arguments, directory).await.map(|()| true);
    }
    let queries = check_queries(&arguments)?;
    let directory = std::env::temp_dir().join(format!("millstream-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory).map_err(|error| format!("could not make {}: {error}", directory.display()))?;
    let done = run_all(&arguments, &queries, &directory);
    if let Err(error) = std::fs::remove_dir_all(&directory) {
        eprintln!("millstream: could not remove {}: {error}", directory.display());
    }
    done.map(|()| true)
}

fn check_queries(arguments: &NexmarkArguments) -> Result<Vec<String>, String> {
    let known = || nexmark::QUERIES.iter().map(|(name, _)| *name);
    if arguments.queries.is_empty() {
        return Ok(known().map(str::to_owned).collect());
    }
    match arguments.queries.iter().find(|query| !known().any(|name| name == query.as_str())) {
        None => Ok(arguments.queries.clone()),
        Some(unknown) => {
            let known: Vec<&str> = known().collect();
            Err(format!("unknown query \"{unknown}\"; there are {}", known.join(", ")))
        }
    }
}

fn run_all(arguments: &NexmarkArguments, queries: &[String], directory: &Path) -> Result<(), String> {
    if arguments.source == Source::Files {
        measure(arguments, PREPARE, directory)?;
    }
    if arguments.output == Output::Table {
        print(&format!(
            "{:<6} {:>12} {:>10} {:>12} {:>18} {:>12} {:>12}",
            "query", "events", "seconds", "cpu seconds", "events/cpu second", "peak memory", "rows out"
        ))?;
    }
    for query in queries {
        let measure = measure(arguments, query, directory)?;
        print(&match arguments.output {
            Output::Json => serde_json::to_string(&measure).map_err(|error| error.to_string())?,
            Output::Table => format!(
                "{:<6} {:>12} {:>10.3} {:>12.2} {:>18.0} {:>9.1} MB {:>12}",
                measure.query,
                measure.events,
                measure.seconds,
                measure.cpu_seconds,
                measure.events_per_cpu_second,
                measure.peak_memory_bytes as f64 / f64::from(1 << 20),
                measure.rows_out
            ),
        })?;
    }
    Ok(())
}

/// Runs one query in a process of its own.
fn measure(arguments: &NexmarkArguments, query: &str, directory: &Path) -> Result<Measure, String> {
    let program = std::env::current_exe().map_err(|error| format!("could not find this program: {error}"))?;
    let name = |value: &dyn Fn() -> Option<clap::builder::PossibleValue>| {
        value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    };
    // The flags of the process (shards, memory) come before the subcommand and hold for the child as well.
    let mut inherited: Vec<String> = std::env::args().skip(1).take_while(|word| word != "bench").collect();
    inherited.extend(["bench".to_owned(), "nexmark".to_owned()]);
    let child = Command::new(program)
        .args(inherited)
        .args(["--queries", query])
        .args(["--events", &arguments.events.to_string()])
        .args(["--source", &name(&|| arguments.source.to_possible_value())])
        .args(["--materialize", &name(&|| arguments.materialize.to_possible_value())])
        .args(["--mode", &name(&|| arguments.mode.to_possible_value())])
        .arg("--child")
        .arg(directory)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("could not start a process for {query}: {error}"))?;
    if !child.status.success() {
        return Err(format!("{query} failed"));
    }
    serde_json::from_slice(&child.stdout).map_err(|error| format!("{query} told nothing that can be read: {error}"))
}

fn print(line: &str) -> Result<(), String> {
    use std::io::Write;
    writeln!(std::io::stdout(), "{line}").map_err(|error| error.to_string())
}
