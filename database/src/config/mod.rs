//! The settings of the process: flag, else environment (`MILLSTREAM_…`), else `millstream.toml`, else default; each
//! with the place it came from.
//!
//! Settings of a session are in [`crate::session`].

mod file;
mod values;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

pub use file::ConfigError;
pub use values::{Flags, Setting, SettingSource};

/// The settings of the process, typed.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where psql connects.
    pub listen: SocketAddr,
    /// Where `/health` and `/metrics` are.
    pub http_listen: SocketAddr,
    /// Directory of the server's own files.
    pub data_dir: PathBuf,
    /// Number of shards.
    pub shards: usize,
    /// Milliseconds between two epochs while rows flow.
    pub epoch_interval_ms: u64,
    /// How checkpoints are made.
    pub checkpoints: CheckpointSettings,
    /// Bytes that the process may hold: above that no source is read.
    pub memory_limit_bytes: u64,
    /// Bytes that the batch queries of all sessions may hold before they spill.
    pub query_memory_bytes: usize,
    /// Rejected rows that are kept of each job and kind; ten times as many in all.
    pub rejected_rows: usize,
    /// What is logged: `error`, `warn`, `info`, `debug`, or a filter of `tracing`.
    pub log_level: String,
    /// The same as text, with their origins, for `SHOW ALL`.
    pub settings: Vec<Setting>,
}

/// How checkpoints are made, where there is a data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointSettings {
    /// The directory or object store that they are kept in; empty: a folder of the data directory.
    pub state_url: String,
    /// Milliseconds from one to the next; 0: none are made.
    pub interval_ms: u64,
    /// Milliseconds after which one that is not complete is given up.
    pub timeout_ms: u64,
    /// Milliseconds between two.
    pub min_pause_ms: u64,
    /// How many are kept for each job.
    pub retained: usize,
}

impl Config {
    /// The settings by default, for tests and embedded use: as with no flag, no environment and no file.
    pub fn standard() -> Self {
        values::standard()
    }

    /// Whether somebody said where the server's own files are to be.
    pub fn names_data_dir(&self) -> bool {
        self.settings.iter().any(|setting| setting.name == "data-dir" && setting.origin != Origin::Default)
    }

    /// Reads flags, environment and the configuration file.
    ///
    /// # Errors
    /// Where a value does not parse, a key of the file is unknown, or a file that was named cannot be read.
    pub fn load(flags: &Flags) -> Result<Self, ConfigError> {
        let file = file::read(flags.config.as_deref())?;
        values::resolve(flags, &|name| std::env::var(name).ok(), &file)
    }
}

/// Where the value of a setting came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A command-line flag.
    Flag,
    /// A `MILLSTREAM_…` variable.
    Environment,
    /// `millstream.toml`
    File,
    /// `SET`
    Session,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::File => "file",
            Self::Session => "session",
        })
    }
}
