//! The files of `sqllogictest/`, each against a fresh database: in process on 1, 2 and 4 shards, in every runtime mode, and
//! over the wire.
//!
//! Values are compared in PostgreSQL's text form, NULL as `NULL` and an empty text as `(empty)`. An expected error
//! (`statement error 42P07`) is searched for in `CODE: message`. Every record of a file that fails is told, not the first
//! alone. The two drivers are in [`in_process`] and [`wire`].

mod in_process;
mod modes;
mod wire;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use millstream_server::config::Config;
use millstream_server::session::Database;
use sqllogictest::{AsyncDB, DefaultColumnType, MakeConnection, Record, Runner};

/// How long a file may take before it counts as hanging.
const FILE_SECONDS_MAX: u64 = 60;

/// What a database answers: rows as texts.
type Output = sqllogictest::DBOutput<DefaultColumnType>;

/// An error with its SQLSTATE, as both drivers give it.
#[derive(Debug)]
struct SqlFailure {
    state: String,
    message: String,
}

impl fmt::Display for SqlFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.state, self.message)
    }
}

impl std::error::Error for SqlFailure {}

/// A value as it stands in a file.
fn cell(text: Option<&str>) -> String {
    match text {
        None => "NULL".to_owned(),
        Some("") => "(empty)".to_owned(),
        Some(text) => text.to_owned(),
    }
}

/// All files, in order of their names.
fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sqllogictest");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "slt"));
    files.sort();
    assert!(!files.is_empty(), "no files were found");
    files
}

/// A database with nothing in it.
fn database(shards: usize) -> Database {
    Database::start(Config { shards, ..Config::standard() }).unwrap()
}

/// Carries out the records of a file; the failures, as text.
async fn run_file<M>(make: M, file: &Path) -> Vec<String>
where
    M: MakeConnection,
    M::Conn: AsyncDB<ColumnType = DefaultColumnType>,
{
    let mut runner = Runner::new(make);
    let mut failures = Vec::new();
    let run = async {
        for record in sqllogictest::parse_file(file).unwrap() {
            if let Record::Halt { .. } = record {
                break;
            }
            if let Err(error) = runner.run_async(record).await {
                failures.push(error.to_string());
            }
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(FILE_SECONDS_MAX), run).await;
    if ended.is_err() {
        failures.push(format!("{} did not end within {FILE_SECONDS_MAX} s", file.display()));
    }
    runner.shutdown_async().await;
    failures
}

/// Runs every file, several at once, and fails with all failures together.
fn run_all<F>(run: impl Fn(PathBuf) -> F)
where
    F: Future<Output = Vec<String>> + Send + 'static,
{
    let runtime = crate::runtime();
    let failures: Vec<String> = runtime.block_on(async {
        let running: Vec<_> = files().into_iter().map(|file| tokio::spawn(run(file))).collect();
        let mut failures = Vec::new();
        for file in running {
            failures.extend(file.await.unwrap());
        }
        failures
    });
    assert!(failures.is_empty(), "{} records failed:\n\n{}", failures.len(), failures.join("\n"));
}
