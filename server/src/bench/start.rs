//! How soon there is a result after a process starts, and what a server holds that has nothing to do.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::{Output, print, usage};

#[derive(Debug, Args)]
pub(super) struct StartArguments {
    /// How often
    #[arg(long, default_value_t = 20)]
    runs: usize,
    /// How results are printed
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, Serialize)]
struct Start {
    /// From the start of `millstream sql` to its first row, milliseconds: the least, the middle, the most.
    first_result_ms: [f64; 3],
    /// A server a second after its start.
    idle_memory_bytes: u64,
    binary_bytes: u64,
}

/// Starts this program some times.
pub(super) async fn run(arguments: &StartArguments) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| format!("could not find this program: {error}"))?;
    let binary = std::fs::metadata(&program).map_err(|error| error.to_string())?;
    let mut times = Vec::new();
    for _ in 0..arguments.runs.max(1) {
        times.push(first_result_ms(Command::new(&program))?);
    }
    times.sort_by(f64::total_cmp);
    let at = |index: usize| times.get(index).copied().unwrap_or_default();
    let start = Start {
        first_result_ms: [at(0), at(times.len() / 2), at(times.len() - 1)],
        idle_memory_bytes: idle_bytes(Command::new(&program)).await?,
        binary_bytes: binary.len(),
    };
    let megabytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    print(&match arguments.output {
        Output::Json => serde_json::to_string(&start).map_err(|error| error.to_string())?,
        Output::Table => format!(
            "first result   {:.0} ms (least {:.0}, most {:.0})\nidle memory    {:.1} MB\nbinary         {:.1} MB",
            start.first_result_ms[1],
            start.first_result_ms[0],
            start.first_result_ms[2],
            megabytes(start.idle_memory_bytes),
            megabytes(start.binary_bytes)
        ),
    })
}

fn first_result_ms(mut program: Command) -> Result<f64, String> {
    let start = Instant::now();
    let query = "SELECT count(*) FROM (VALUES (1), (2)) v(a)";
    let mut child = program
        .args(["sql", "--output", "json", "-c", query])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("could not start a process: {error}"))?;
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output).read_line(&mut line).map_err(|error| error.to_string())?;
    }
    let took = start.elapsed().as_secs_f64() * 1_000.0;
    child.wait().map_err(|error| error.to_string())?;
    if line.is_empty() { Err("a process gave no result".into()) } else { Ok(took) }
}

async fn idle_bytes(mut program: Command) -> Result<u64, String> {
    let directory = std::env::temp_dir().join(format!("millstream-bench-{}", std::process::id()));
    let mut server = program
        .args(["--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--data-dir"])
        .arg(&directory)
        .arg("server")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("could not start a server: {error}"))?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let bytes = usage::resident_bytes(server.id()).map_err(|error| format!("the server did not stay: {error}"));
    // It is of no use any more, whatever it says to that.
    let _ = server.kill();
    let _ = server.wait();
    let _ = std::fs::remove_dir_all(&directory);
    bytes
}
