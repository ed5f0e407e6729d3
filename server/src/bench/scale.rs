//! `millstream bench scale`: how the cost of a row grows with shards, jobs, keys, and keys that are not even.

use clap::Args;

use super::chart::grouped;
use super::task::{Measure, Task, Work};
use super::{Output, print, process};

#[derive(Debug, Args)]
pub(super) struct ScaleArguments {
    /// Rows of each run
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Numbers of shards
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4])]
    shard_counts: Vec<usize>,
    /// Numbers of jobs at once, which share the rows
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100])]
    job_counts: Vec<u64>,
    /// Numbers of keys
    #[arg(long, value_delimiter = ',', default_values_t = [10, 1_000, 100_000, 1_000_000, 10_000_000])]
    key_counts: Vec<u64>,
    /// Percentages of rows that have one and the same key
    #[arg(long, value_delimiter = ',', default_values_t = [0, 10, 50, 90])]
    skews: Vec<u64>,
    /// Milliseconds between two epochs
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 1_000])]
    epochs: Vec<u64>,
    /// How results are printed
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// Keys where their number is not what varies.
const KEYS: u64 = 100_000;

/// A statement over rows with a random key and value.
const AGGREGATE: &str = "SELECT k, count(*) AS n, sum(v) AS total, max(v) AS most FROM numbers GROUP BY k";

/// The same without state.
const STATELESS: &str = "SELECT k, v, v * 2, v % 7 FROM numbers WHERE v % 3 > 0";

/// One run of a table: what varies, its value, and how it is set.
struct Run {
    dimension: &'static str,
    value: u64,
    statement: &'static str,
    keys: u64,
    skew: u64,
    jobs: u64,
    shards: Option<usize>,
    epoch_ms: Option<u64>,
}

impl Run {
    fn new(dimension: &'static str, value: u64, statement: &'static str) -> Self {
        Self { dimension, value, statement, keys: KEYS, skew: 0, jobs: 1, shards: None, epoch_ms: None }
    }

    fn work(&self, events: u64) -> Work {
        let (each, columns) = (events / self.jobs, "k BIGINT, n BIGINT, total BIGINT, most BIGINT");
        // One in a hundred values is below 1 for each percent of skew.
        let key = match self.skew {
            0 => "raw".to_owned(),
            percent => format!("CASE WHEN v % 100 < {percent} THEN 0 ELSE raw END"),
        };
        let setup = format!(
            "SET 'execution.runtime-mode' = 'automatic';\n\
             CREATE TABLE made (raw BIGINT, v BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '{each}', \
             'fields.raw.min' = '0', 'fields.raw.max' = '{}', 'fields.v.min' = '0', 'fields.v.max' = '999999');\n\
             CREATE VIEW numbers AS SELECT {key} AS k, v FROM made;\n\
             CREATE TABLE nowhere ({columns}) WITH ('connector' = 'blackhole');",
            self.keys - 1
        );
        Work {
            name: format!("{} {}", self.dimension, self.value),
            setup,
            inserts: (0..self.jobs).map(|_| format!("INSERT INTO nowhere {}", self.statement)).collect(),
            events: each * self.jobs,
            warmup: 0,
        }
    }
}

/// Runs all tables.
pub(super) fn run(arguments: &ScaleArguments) -> Result<(), String> {
    if arguments.output == Output::Table {
        print(&format!(
            "{:<20} {:>12} {:>10} {:>12} {:>18} {:>12} {:>10}",
            "", "rows", "seconds", "cpu seconds", "rows/cpu second", "peak memory", "cost"
        ))?;
    }
    let mut first: Option<(&str, f64)> = None;
    for run in runs(arguments) {
        let work = run.work(arguments.events);
        let measure: Measure = process::with_flags(&Task::Measure(work), &flags(&run))?;
        let before = first.filter(|(dimension, _)| *dimension == run.dimension);
        let (_, rate) = *first.insert(before.unwrap_or((run.dimension, measure.events_per_cpu_second)));
        print(&match arguments.output {
            Output::Json => serde_json::to_string(&measure).map_err(|error| error.to_string())?,
            Output::Table => format!(
                "{:<20} {:>12} {:>10.3} {:>12.2} {:>18} {:>9.1} MB {:>8.2} x",
                measure.query,
                measure.events,
                measure.seconds,
                measure.cpu_seconds,
                grouped(measure.events_per_cpu_second),
                measure.peak_memory_bytes as f64 / f64::from(1 << 20),
                rate / measure.events_per_cpu_second
            ),
        })?;
    }
    Ok(())
}

/// The runs, table by table; the first of each is what the others are measured by.
fn runs(arguments: &ScaleArguments) -> Vec<Run> {
    let mut runs = Vec::new();
    for &shards in &arguments.shard_counts {
        runs.push(Run { shards: Some(shards), ..Run::new("shards", shards as u64, AGGREGATE) });
    }
    for &jobs in arguments.job_counts.iter().filter(|jobs| **jobs > 0) {
        runs.push(Run { jobs, ..Run::new("jobs", jobs, STATELESS) });
    }
    for &keys in arguments.key_counts.iter().filter(|keys| **keys > 0) {
        runs.push(Run { keys, ..Run::new("keys", keys, AGGREGATE) });
    }
    for &skew in arguments.skews.iter().filter(|skew| **skew <= 100) {
        runs.push(Run { skew, ..Run::new("skew in %", skew, AGGREGATE) });
    }
    for &epoch_ms in &arguments.epochs {
        runs.push(Run { epoch_ms: Some(epoch_ms), ..Run::new("epoch in ms", epoch_ms, AGGREGATE) });
    }
    runs
}

fn flags(run: &Run) -> Vec<(&'static str, String)> {
    let shards = run.shards.map(|shards| ("--shards", shards.to_string()));
    let epoch = run.epoch_ms.map(|epoch| ("--epoch-interval", format!("{epoch} ms")));
    shards.into_iter().chain(epoch).collect()
}

#[cfg(test)]
mod tests {
    use super::{AGGREGATE, Run, STATELESS};

    #[test]
    fn statements_parse_and_jobs_share_the_rows() {
        for run in [
            Run { skew: 50, ..Run::new("skew in %", 50, AGGREGATE) },
            Run { jobs: 10, ..Run::new("jobs", 10, STATELESS) },
        ] {
            let work = run.work(1_005);
            assert_eq!(work.inserts.len() as u64, run.jobs);
            assert_eq!(work.events, 1_005 / run.jobs * run.jobs);
            let script = format!("{}\n{}", work.setup, work.inserts.join(";\n"));
            assert!(millstream_sql::parse(&script).is_ok(), "{script}");
        }
    }
}
