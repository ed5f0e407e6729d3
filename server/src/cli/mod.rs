//! The commands: `server`, `sql`, `demo`, `bench`.

mod output;
mod progress;
mod report;
mod server;
mod sql;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::bench::BenchArguments;
use crate::config::{Config, Flags};
use crate::demo::DemoArguments;

pub(crate) use server::stop_requested;

/// A streaming SQL engine that speaks PostgreSQL.
#[derive(Debug, Parser)]
#[command(name = "millstream", version, about)]
struct Arguments {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves PostgreSQL clients until it is stopped
    Server,
    Sql(sql::SqlArguments),
    Demo(DemoArguments),
    Bench(BenchArguments),
}

/// The stack of a thread that plans statements, which may be nested deeply. Memory is taken as it is used.
const STACK_BYTES: usize = 32 << 20;

/// What runs statements.
///
/// # Errors
/// Where no threads can be made.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().thread_stack_size(STACK_BYTES).enable_all().build()
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config = match Config::load(&arguments.flags) {
        Ok(config) => config,
        Err(error) => return refuse(&error.to_string()),
    };
    start_log(&config);
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&format!("could not start: {error}")),
    };
    let done = runtime.block_on(async {
        match arguments.command {
            Command::Server => server::run(config).await.map(|()| true),
            Command::Sql(arguments) => sql::run(config, arguments).await,
            Command::Demo(arguments) => crate::demo::run(config, arguments).await,
            Command::Bench(arguments) => crate::bench::run(config, arguments).await,
        }
    });
    // What still reads or waits in the background has no one to answer.
    runtime.shutdown_background();
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => refuse(&error),
    }
}

fn refuse(message: &str) -> ExitCode {
    tell(format_args!("millstream: {message}"));
    ExitCode::FAILURE
}

/// Writes a line for people, where anybody can read it: a log on a full disk ends nothing.
fn tell(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn start_log(config: &Config) {
    let filter = tracing_subscriber::EnvFilter::try_new(&config.log_level);
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    // What cannot be told is not: standard error may be a file on a full disk.
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    log.log_internal_errors(false).init();
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::Arguments;

    #[test]
    fn commands_and_the_flags_before_them_are_understood() {
        for line in [
            "server",
            "sql -c select",
            "demo --seconds 1",
            "--shards 2 bench nexmark --queries q0,q5 --warmup 5 --chart a.svg",
            "--epoch-interval 10ms bench nexmark --rate 1000 --seconds 3",
            "--shards 2 bench scale --shard-counts 1,2 --job-counts 1 --key-counts 5 --skews 0,50 --epochs 100",
            "bench start --runs 2",
        ] {
            let parsed = Arguments::try_parse_from(format!("millstream {line}").split(' '));
            assert!(parsed.is_ok(), "{line}: {:?}", parsed.err());
        }
    }
}
