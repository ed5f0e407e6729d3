//! `millstream bench`: how fast, at what cost. What is measured runs in a fresh process, which tells what it used.
//!
//! The suites say what is measured: [`nexmark`], [`scale`], [`start`]. They hand [`task::Task`]s to child processes
//! ([`process`]), which [`child`] carries out.

mod chart;
mod child;
mod latency;
mod nexmark;
mod process;
mod recovery;
mod rows;
mod scale;
mod start;
mod task;
mod usage;

use clap::{Args, Subcommand, ValueEnum};

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
    Nexmark(Box<nexmark::NexmarkArguments>),
    /// How cost grows with shards, jobs, keys and skew
    Scale(scale::ScaleArguments),
    /// The time to the first result, and memory at rest
    Start(start::StartArguments),
    /// Carries out one task, which comes as JSON on standard input
    #[command(hide = true)]
    Child,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Aligned columns
    Table,
    /// One JSON object a line
    Json,
}

/// Runs a suite, or, in a child process, one task of it. False where a query's rows are wrong.
pub(crate) async fn run(config: Config, arguments: BenchArguments) -> Result<bool, String> {
    match arguments.suite {
        Suite::Nexmark(arguments) => nexmark::run(&arguments),
        Suite::Scale(arguments) => scale::run(&arguments).map(|()| true),
        Suite::Start(arguments) => start::run(&arguments).await.map(|()| true),
        Suite::Child => child::run(config).await.map(|()| true),
    }
}

fn print(line: &str) -> Result<(), String> {
    use std::io::Write;
    writeln!(std::io::stdout(), "{line}").map_err(|error| error.to_string())
}
