//! `millstream bench nexmark`: what its queries take, or how late their rows are at a fixed rate.
//!
//! Before a query counts, its rows as a stream must be its rows as a batch.

mod queries;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::chart::{bars, grouped};
use super::latency::{Follow, Latency};
use super::recovery::{Fill, Recover, Recovery, bytes_below};
use super::task::{Digest, Measure, Mode, Task, Work};
use super::{Output, print, process};

#[derive(Debug, Clone, Args)]
pub(super) struct NexmarkArguments {
    /// Queries to run, separated by commas [default: all, or with --rate those that show an event's time]
    #[arg(long, value_delimiter = ',')]
    queries: Vec<String>,
    /// Number of events that count
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Number of events before those, to fill state
    #[arg(long, default_value_t = 0)]
    warmup: u64,
    /// Where events come from
    #[arg(long, value_enum, default_value_t = Source::Generator)]
    source: Source,
    /// With --source kafka: the brokers, as host:port
    #[arg(long, default_value = "127.0.0.1:9092")]
    brokers: String,
    /// How results are printed
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Whether the generator makes columns that nobody reads
    #[arg(long, value_enum, default_value_t = Materialize::All)]
    materialize: Materialize,
    /// Where queries are computed
    #[arg(long, value_enum, default_value_t = Mode::Streaming)]
    mode: Mode,
    /// Over so many events a query's rows as a stream must be those as a batch before it counts; 0: unchecked
    #[arg(long, default_value_t = 100_000)]
    check_events: u64,
    /// Measures latency at so many events a second instead
    #[arg(long)]
    rate: Option<u64>,
    /// How many seconds latency is measured
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Measures instead how long a process takes that starts again with the state of all events
    #[arg(long, conflicts_with_all = ["rate", "warmup", "mode", "check_events"])]
    recovery: bool,
    /// Draws events per CPU second (or the latency's p99, or the seconds of a recovery) into this SVG file
    #[arg(long)]
    chart: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Source {
    /// The generator in this process
    Generator,
    /// JSON files, written before the measurement
    Files,
    /// A topic of JSON messages in Kafka, written before the measurement and left there
    Kafka,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Materialize {
    /// All columns are made
    All,
    /// Only those that the query reads
    Projected,
}

impl Materialize {
    fn option(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Projected => "projected",
        }
    }
}

/// Measures the queries; false where rows were wrong.
pub(super) fn run(arguments: &NexmarkArguments) -> Result<bool, String> {
    if arguments.mode == Mode::Batch && (arguments.warmup > 0 || arguments.rate.is_some()) {
        return Err("a batch has neither a warm-up nor a rate".into());
    }
    let names = names(arguments)?;
    let directory = std::env::temp_dir().join(format!("millstream-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory).map_err(|error| format!("could not make {}: {error}", directory.display()))?;
    let done = match arguments.rate {
        Some(rate) => latencies(arguments, &names, rate, &directory).map(|()| true),
        None if arguments.recovery => recoveries(arguments, &names, &directory),
        None => measures(arguments, &names, &directory),
    };
    if let Err(error) = std::fs::remove_dir_all(&directory) {
        eprintln!("millstream: could not remove {}: {error}", directory.display());
    }
    done
}

fn names(arguments: &NexmarkArguments) -> Result<Vec<String>, String> {
    let latency = arguments.rate.is_some();
    let known: Vec<&str> = queries::QUERIES
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !latency || queries::time_column(name).is_some())
        .collect();
    if arguments.queries.is_empty() {
        return Ok(known.into_iter().map(str::to_owned).collect());
    }
    match arguments.queries.iter().find(|query| !known.contains(&query.as_str())) {
        None => Ok(arguments.queries.clone()),
        Some(unknown) if latency && queries::QUERIES.iter().any(|(name, _)| name == unknown) => {
            Err(format!("the rows of {unknown} do not tell an event's time; those of {} do", known.join(", ")))
        }
        Some(unknown) => Err(format!("unknown query \"{unknown}\"; there are {}", known.join(", "))),
    }
}

/// A query's statements, with files of its own.
struct Parts {
    setup: String,
    insert: String,
    select: String,
}

impl Parts {
    /// The query over `source`; its files go below `directory`, apart from those of other runs.
    fn new(name: &str, source: &str, directory: &Path, run: &str) -> Result<Self, String> {
        let output = directory.join(run).join(name);
        let text = queries::query(name, &output.display().to_string()).ok_or_else(|| format!("no query {name}"))?;
        let mut statements = millstream_sql::parse(&text).map_err(|error| error.to_string())?;
        let insert = statements.pop().ok_or_else(|| format!("query {name} is empty"))?.text;
        let select = insert.find("SELECT").and_then(|at| insert.get(at..)).unwrap_or_default().to_owned();
        let mut setup = format!("{source}{}", queries::VIEWS);
        for statement in statements {
            setup = setup + &statement.text + ";\n";
        }
        Ok(Self { setup, insert, select })
    }
}

fn measures(arguments: &NexmarkArguments, names: &[String], directory: &Path) -> Result<bool, String> {
    let (source, small) = sources(arguments, directory)?;
    if arguments.output == Output::Table {
        print(&format!(
            "{:<6} {:>12} {:>10} {:>12} {:>18} {:>12} {:>12} {:>12}",
            "query",
            "events",
            "seconds",
            "cpu seconds",
            "events/cpu second",
            "peak memory",
            "changes out",
            "rows checked"
        ))?;
    }
    let (mut bars_of, mut right) = (Vec::new(), true);
    for name in names {
        let checked = match check(arguments, name, &small, directory)? {
            Check::Wrong { stream, batch } => {
                eprintln!(
                    "millstream: {name} is not measured: {} rows as a stream, {} as a batch, or others",
                    stream.rows, batch.rows
                );
                right = false;
                continue;
            }
            Check::Right(rows) => rows.to_string(),
            Check::Unchecked => "-".to_owned(),
        };
        let parts = Parts::new(name, &source, directory, "measured")?;
        let mode = match arguments.mode {
            Mode::Streaming => "automatic",
            Mode::Batch => "batch",
        };
        let work = Work {
            name: name.clone(),
            setup: format!("SET 'execution.runtime-mode' = '{mode}';\n{}", parts.setup),
            inserts: vec![format!("SET 'execution.runtime-mode' = '{mode}'; {}", parts.insert)],
            events: arguments.warmup + arguments.events,
            warmup: arguments.warmup,
        };
        let measure: Measure = process::run(&Task::Measure(work))?;
        print(&match arguments.output {
            Output::Json => serde_json::to_string(&measure).map_err(|error| error.to_string())?,
            Output::Table => format!(
                "{:<6} {:>12} {:>10.3} {:>12.2} {:>18} {:>9.1} MB {:>12} {checked:>12}",
                measure.query,
                measure.events,
                measure.seconds,
                measure.cpu_seconds,
                grouped(measure.events_per_cpu_second),
                megabytes(measure.peak_memory_bytes),
                measure.rows_out,
            ),
        })?;
        bars_of.push((name.clone(), measure.events_per_cpu_second));
    }
    draw(arguments, "Nexmark", "events per CPU second", &bars_of)?;
    Ok(right)
}

/// The table that queries read when they are measured, and when their rows are checked. What it reads is written.
fn sources(arguments: &NexmarkArguments, directory: &Path) -> Result<(String, String), String> {
    let made = |events: u64, name: &str, materialize: &str| -> Result<String, String> {
        let (written, read, flags) = match arguments.source {
            Source::Generator => return Ok(queries::generator_table("events", events, materialize)),
            Source::Files => {
                let path = directory.join(name).display().to_string();
                (queries::file_table("events", &path, false), queries::file_table("events", &path, true), vec![])
            }
            Source::Kafka => {
                let topic = format!("millstream-bench-{}-{name}", std::process::id());
                let table = |event_time| queries::topic_table("events", &arguments.brokers, &topic, event_time);
                // Two writers of one partition would put its events in an order in which some are late.
                (table(false), table(true), vec![("--shards", "1".to_owned())])
            }
        };
        let generated = queries::generator_table("generated", events, "all");
        let insert = "INSERT INTO events SELECT event_type, person, auction, bid FROM generated".to_owned();
        process::with_flags::<()>(&Task::Prepare { script: [generated, written, insert].concat() }, &flags)?;
        Ok(read)
    };
    let source = made(arguments.warmup + arguments.events, "events", arguments.materialize.option())?;
    let small =
        if arguments.check_events == 0 { String::new() } else { made(arguments.check_events, "check", "projected")? };
    Ok((source, small))
}

/// Whether the rows of a query are right.
enum Check {
    Unchecked,
    /// So many rows, the same both ways.
    Right(u64),
    Wrong {
        stream: Digest,
        batch: Digest,
    },
}

fn check(arguments: &NexmarkArguments, name: &str, small: &str, directory: &Path) -> Result<Check, String> {
    if arguments.check_events == 0 || queries::BY_THE_CLOCK.contains(&name) {
        return Ok(Check::Unchecked);
    }
    // Whatever the stream reads, its rows must be those of the events as they are made.
    let made = queries::generator_table("events", arguments.check_events, "projected");
    let digest = |mode: Mode, source: &str| -> Result<Digest, String> {
        let Parts { setup, select, .. } = Parts::new(name, source, directory, mode.setting())?;
        process::run(&Task::Digest { setup, select, mode, left_out: queries::open_columns(name).to_vec() })
    };
    let (stream, batch) = (digest(Mode::Streaming, small)?, digest(Mode::Batch, &made)?);
    Ok(if stream == batch { Check::Right(stream.rows) } else { Check::Wrong { stream, batch } })
}

fn latencies(arguments: &NexmarkArguments, names: &[String], rate: u64, directory: &Path) -> Result<(), String> {
    if arguments.output == Output::Table {
        print(&format!(
            "{:<6} {:>12} {:>10} {:>10} {:>10} {:>10} {:>10} {:>12} {:>12}",
            "query", "events/s", "p50", "p99", "p99.9", "most", "cpu", "peak memory", "rows"
        ))?;
    }
    let mut bars_of = Vec::new();
    for name in names {
        let Parts { setup, select, .. } = Parts::new(name, &queries::paced_table(rate), directory, "latency")?;
        let column = queries::time_column(name).unwrap_or_default();
        let (seconds, warmup_seconds) = (arguments.seconds, 2);
        let follow = Follow { name: name.clone(), setup, select, column, rate, seconds, warmup_seconds };
        let latency: Latency = process::run(&Task::Latency(follow))?;
        let millis = |value: u64| format!("{value} ms");
        print(&match arguments.output {
            Output::Json => serde_json::to_string(&latency).map_err(|error| error.to_string())?,
            Output::Table => format!(
                "{:<6} {:>12} {:>10} {:>10} {:>10} {:>10} {:>8.0} % {:>9.1} MB {:>12}",
                latency.query,
                latency.events_per_second,
                millis(latency.p50_ms),
                millis(latency.p99_ms),
                millis(latency.p999_ms),
                millis(latency.max_ms),
                latency.cpu * 100.0,
                megabytes(latency.peak_memory_bytes),
                latency.rows
            ),
        })?;
        bars_of.push((name.clone(), latency.p99_ms as f64));
    }
    draw(arguments, "Nexmark", &format!("ms from event to view, p99, at {rate} events a second"), &bars_of)
}

fn recoveries(arguments: &NexmarkArguments, names: &[String], directory: &Path) -> Result<bool, String> {
    let (source, _) = sources(&NexmarkArguments { check_events: 0, ..arguments.clone() }, directory)?;
    if arguments.output == Output::Table {
        print(&format!(
            "{:<6} {:>12} {:>10} {:>12} {:>12} {:>12} {:>12}",
            "query", "events", "seconds", "cpu seconds", "state", "peak memory", "rows"
        ))?;
    }
    let (mut bars_of, mut right) = (Vec::new(), true);
    for name in names {
        let Parts { setup, select, .. } = Parts::new(name, &source, directory, "measured")?;
        let data = directory.join(format!("{name}-data"));
        let flags = [("--data-dir", data.display().to_string()), ("--checkpoint-interval", "1h".to_owned())];
        let fill = Task::Fill(Fill { name: name.clone(), setup, select });
        let before: Digest = process::with_flags(&fill, &flags)?;
        let state_bytes = bytes_below(&data).map_err(|error| format!("could not read {}: {error}", data.display()))?;
        let recover = Task::Recover(Recover { name: name.clone(), state_bytes });
        let (recovery, after): (Recovery, Digest) = process::with_flags(&recover, &flags)?;
        if before != after {
            eprintln!(
                "millstream: {name}: {} rows before the restart, {} after it, or others",
                before.rows, after.rows
            );
            right = false;
            continue;
        }
        print(&match arguments.output {
            Output::Json => serde_json::to_string(&recovery).map_err(|error| error.to_string())?,
            Output::Table => format!(
                "{:<6} {:>12} {:>10.3} {:>12.2} {:>9.1} MB {:>9.1} MB {:>12}",
                recovery.query,
                arguments.events,
                recovery.seconds,
                recovery.cpu_seconds,
                megabytes(recovery.state_bytes),
                megabytes(recovery.peak_memory_bytes),
                recovery.rows
            ),
        })?;
        bars_of.push((name.clone(), recovery.seconds));
    }
    draw(arguments, "Nexmark", &format!("seconds to start again after {} events", arguments.events), &bars_of)?;
    Ok(right)
}

fn draw(arguments: &NexmarkArguments, title: &str, unit: &str, values: &[(String, f64)]) -> Result<(), String> {
    let Some(path) = &arguments.chart else { return Ok(()) };
    std::fs::write(path, bars(title, unit, values))
        .map_err(|error| format!("could not write {}: {error}", path.display()))
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
