//! Which value of a setting counts, and how its text is read.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::{CheckpointSettings, Config, ConfigError, Origin};
use crate::memory;
use crate::units::{parse_duration_ms, parse_size_bytes};

/// The flags that all commands take.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Flags {
    /// Configuration file [default: millstream.toml, where it exists]
    #[arg(long, global = true, env = "MILLSTREAM_CONFIG")]
    pub config: Option<PathBuf>,
    /// Address of the PostgreSQL protocol [default: 127.0.0.1:4510]
    #[arg(long, global = true)]
    pub listen: Option<String>,
    /// Address of /health and /metrics [default: 127.0.0.1:4511]
    #[arg(long, global = true)]
    pub http_listen: Option<String>,
    /// Directory of the server's own files [default: millstream-data]
    #[arg(long, global = true)]
    pub data_dir: Option<String>,
    /// Number of shards [default: number of cores]
    #[arg(long, global = true)]
    pub shards: Option<String>,
    /// Time between two epochs [default: 100 ms]
    #[arg(long, global = true)]
    pub epoch_interval: Option<String>,
    /// Directory or object store of the checkpoints [default: checkpoints in the data directory]
    #[arg(long, global = true)]
    pub state_url: Option<String>,
    /// Time between two checkpoints; 0 for none [default: 10 s]
    #[arg(long, global = true)]
    pub checkpoint_interval: Option<String>,
    /// Memory that the server may use: above it no source is read [default: 80 % of the machine's]
    #[arg(long, global = true)]
    pub memory_limit: Option<String>,
    /// Memory of it that batch queries may use before they spill to disk [default: half of it]
    #[arg(long, global = true)]
    pub query_memory: Option<String>,
    /// Late, bad and refused rows that are kept of each job and kind; ten times as many in all [default: 1000]
    #[arg(long, global = true)]
    pub rejected_rows: Option<String>,
    /// What is logged: error, warn, info, debug, or a filter [default: warn]
    #[arg(long, global = true)]
    pub log_level: Option<String>,
}

/// A setting of the process as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name as `SHOW` knows it.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// Where the value came from.
    pub origin: Origin,
    /// One sentence for people.
    pub description: &'static str,
}

/// How one setting is found.
#[derive(Debug, Clone, Copy)]
pub struct SettingSource {
    /// Its name in `SHOW` and in the file.
    pub name: &'static str,
    environment: &'static str,
    default: fn() -> String,
    flag: fn(&Flags) -> Option<&String>,
    description: &'static str,
}

const SOURCES: [SettingSource; 14] = [
    SettingSource {
        name: "listen",
        environment: "MILLSTREAM_LISTEN",
        default: || "127.0.0.1:4510".to_owned(),
        flag: |flags| flags.listen.as_ref(),
        description: "Address of the PostgreSQL protocol.",
    },
    SettingSource {
        name: "http-listen",
        environment: "MILLSTREAM_HTTP_LISTEN",
        default: || "127.0.0.1:4511".to_owned(),
        flag: |flags| flags.http_listen.as_ref(),
        description: "Address of /health and /metrics.",
    },
    SettingSource {
        name: "data-dir",
        environment: "MILLSTREAM_DATA_DIR",
        default: || "millstream-data".to_owned(),
        flag: |flags| flags.data_dir.as_ref(),
        description: "Directory of the server's own files.",
    },
    SettingSource {
        name: "shards",
        environment: "MILLSTREAM_SHARDS",
        default: || std::thread::available_parallelism().map_or(1, usize::from).to_string(),
        flag: |flags| flags.shards.as_ref(),
        description: "Number of threads that each run every dataflow for their share of the keys.",
    },
    SettingSource {
        name: "pipeline.epoch-interval",
        environment: "MILLSTREAM_EPOCH_INTERVAL",
        default: || "100 ms".to_owned(),
        flag: |flags| flags.epoch_interval.as_ref(),
        description: "Time between two epochs while rows flow; views change at epochs.",
    },
    SettingSource {
        name: "state-url",
        environment: "MILLSTREAM_STATE_URL",
        default: String::new,
        flag: |flags| flags.state_url.as_ref(),
        description: "Directory or object store of the checkpoints; empty: checkpoints in the data directory.",
    },
    SettingSource {
        name: "execution.checkpointing.interval",
        environment: "MILLSTREAM_CHECKPOINT_INTERVAL",
        default: || "10 s".to_owned(),
        flag: |flags| flags.checkpoint_interval.as_ref(),
        description: "Time between two checkpoints; 0: none are made.",
    },
    SettingSource {
        name: "execution.checkpointing.timeout",
        environment: "MILLSTREAM_CHECKPOINT_TIMEOUT",
        default: || "10 min".to_owned(),
        flag: |_| None,
        description: "Time after which a checkpoint that is not complete is given up.",
    },
    SettingSource {
        name: "execution.checkpointing.min-pause",
        environment: "MILLSTREAM_CHECKPOINT_MIN_PAUSE",
        default: || "500 ms".to_owned(),
        flag: |_| None,
        description: "Time between the end of a checkpoint and the start of the next one.",
    },
    SettingSource {
        name: "execution.checkpointing.num-retained",
        environment: "MILLSTREAM_CHECKPOINTS_RETAINED",
        default: || "2".to_owned(),
        flag: |_| None,
        description: "Checkpoints that are kept for each job.",
    },
    SettingSource {
        name: "memory-limit",
        environment: "MILLSTREAM_MEMORY_LIMIT",
        default: || format!("{} MB", memory::default_limit_bytes() >> 20),
        flag: |flags| flags.memory_limit.as_ref(),
        description: "Memory that the server may use: above it no source is read, and what asks for more gets an error.",
    },
    SettingSource {
        name: "query-memory",
        environment: "MILLSTREAM_QUERY_MEMORY",
        default: || format!("{} MB", query_share(memory::default_limit_bytes()) >> 20),
        flag: |flags| flags.query_memory.as_ref(),
        description: "Memory that the batch queries of all sessions may use before they spill.",
    },
    SettingSource {
        name: "rejected-rows",
        environment: "MILLSTREAM_REJECTED_ROWS",
        default: || "1000".to_owned(),
        flag: |flags| flags.rejected_rows.as_ref(),
        description: "Late, bad and refused rows that are kept of each job and kind; ten times as many in all.",
    },
    SettingSource {
        name: "log-level",
        environment: "MILLSTREAM_LOG_LEVEL",
        default: || "warn".to_owned(),
        flag: |flags| flags.log_level.as_ref(),
        description: "What is logged to standard error.",
    },
];

/// The settings where nothing was set.
pub(super) fn standard() -> Config {
    let settings = SOURCES.iter().map(|source| source.setting((source.default)(), Origin::Default)).collect();
    let localhost = |port| SocketAddr::from(([127, 0, 0, 1], port));
    Config {
        listen: localhost(4510),
        http_listen: localhost(4511),
        data_dir: PathBuf::from("millstream-data"),
        shards: std::thread::available_parallelism().map_or(1, usize::from),
        epoch_interval_ms: 100,
        checkpoints: CheckpointSettings {
            state_url: String::new(),
            interval_ms: 10_000,
            timeout_ms: 600_000,
            min_pause_ms: 500,
            retained: 2,
        },
        memory_limit_bytes: memory::default_limit_bytes(),
        query_memory_bytes: query_share(memory::default_limit_bytes()),
        rejected_rows: 1_000,
        log_level: "warn".to_owned(),
        settings,
    }
}

/// Takes each setting from the first place that has it.
pub(super) fn resolve(
    flags: &Flags,
    environment: &dyn Fn(&str) -> Option<String>,
    file: &BTreeMap<String, String>,
) -> Result<Config, ConfigError> {
    for key in file.keys() {
        if !SOURCES.iter().any(|source| source.name == key) {
            let nearest = millstream_sql::catalog::nearest(key, SOURCES.iter().map(|source| source.name));
            let hint = nearest.map(|name| format!(", did you mean \"{name}\"?")).unwrap_or_default();
            return Err(ConfigError(format!("unknown setting \"{key}\"{hint}")));
        }
    }
    let mut settings: Vec<Setting> = SOURCES.iter().map(|source| source.resolve(flags, environment, file)).collect();
    share_memory(&mut settings);
    let text = |name: &str| settings.iter().find(|setting| setting.name == name).map_or("", |setting| &setting.value);
    let mut config = standard();
    config.listen = parsed("listen", text("listen"), "an address such as 127.0.0.1:4510", |text| text.parse().ok())?;
    config.http_listen =
        parsed("http-listen", text("http-listen"), "an address such as 127.0.0.1:4511", |text| text.parse().ok())?;
    config.data_dir = PathBuf::from(text("data-dir"));
    config.shards = parsed("shards", text("shards"), "a number from 1 to 1024", |text| {
        text.parse().ok().filter(|shards| (1..=1_024).contains(shards))
    })?;
    config.epoch_interval_ms =
        parsed("pipeline.epoch-interval", text("pipeline.epoch-interval"), "a duration such as 100 ms", |text| {
            parse_duration_ms(text).filter(|interval| *interval > 0)
        })?;
    config.rejected_rows = parsed("rejected-rows", text("rejected-rows"), "a whole number", |text| text.parse().ok())?;
    config.checkpoints = checkpoints(&text)?;
    config.memory_limit_bytes =
        parsed("memory-limit", text("memory-limit"), "a size such as 4 GB", parse_size_bytes)? as u64;
    config.query_memory_bytes =
        parsed("query-memory", text("query-memory"), "a size such as 512 MB", parse_size_bytes)?;
    config.log_level = text("log-level").to_owned();
    config.settings = settings;
    Ok(config)
}

/// What batch queries may use of the server's memory where nobody says otherwise: half of it. What is used beside it counts too:
/// above the limit of the server nobody is given more.
fn query_share(memory_limit_bytes: u64) -> usize {
    usize::try_from(memory_limit_bytes / 2).unwrap_or(usize::MAX)
}

/// Where a limit of the memory was set and no memory for queries, these have their share of that limit.
fn share_memory(settings: &mut [Setting]) {
    let limit = settings.iter().find(|setting| setting.name == "memory-limit");
    let limit = limit.and_then(|setting| parse_size_bytes(&setting.value)).unwrap_or(usize::MAX) as u64;
    let share = settings.iter_mut().find(|setting| setting.name == "query-memory");
    if let Some(share) = share.filter(|setting| setting.origin == Origin::Default) {
        share.value = format!("{} kB", query_share(limit) >> 10);
    }
}

fn checkpoints<'a>(text: &impl Fn(&str) -> &'a str) -> Result<CheckpointSettings, ConfigError> {
    let duration = |name| parsed(name, text(name), "a duration such as 10 s", parse_duration_ms);
    let retained = "execution.checkpointing.num-retained";
    Ok(CheckpointSettings {
        state_url: text("state-url").to_owned(),
        interval_ms: duration("execution.checkpointing.interval")?,
        timeout_ms: duration("execution.checkpointing.timeout")?,
        min_pause_ms: duration("execution.checkpointing.min-pause")?,
        retained: parsed(retained, text(retained), "a number from 1", |text| {
            text.parse().ok().filter(|count| *count > 0)
        })?,
    })
}

fn parsed<T>(name: &str, text: &str, wanted: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, ConfigError> {
    parse(text).ok_or_else(|| ConfigError(format!("invalid value for setting \"{name}\": \"{text}\" is not {wanted}")))
}

impl SettingSource {
    fn setting(&self, value: String, origin: Origin) -> Setting {
        Setting { name: self.name, value, origin, description: self.description }
    }

    fn resolve(
        &self,
        flags: &Flags,
        environment: &dyn Fn(&str) -> Option<String>,
        file: &BTreeMap<String, String>,
    ) -> Setting {
        if let Some(value) = (self.flag)(flags) {
            return self.setting(value.clone(), Origin::Flag);
        }
        if let Some(value) = environment(self.environment) {
            return self.setting(value, Origin::Environment);
        }
        if let Some(value) = file.get(self.name) {
            return self.setting(value.clone(), Origin::File);
        }
        self.setting((self.default)(), Origin::Default)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed assertion of a test.

    use std::collections::BTreeMap;

    use super::{Flags, resolve};
    use crate::config::Origin;

    #[test]
    fn flag_then_environment_then_file() {
        let flags = Flags { shards: Some("3".into()), ..Flags::default() };
        let environment = |name: &str| {
            let known = name == "MILLSTREAM_SHARDS" || name == "MILLSTREAM_MEMORY_LIMIT";
            known.then(|| if name.ends_with("SHARDS") { "5".to_owned() } else { "2 MB".to_owned() })
        };
        let file = BTreeMap::from([
            ("memory-limit".to_owned(), "9 MB".to_owned()),
            ("pipeline.epoch-interval".to_owned(), "1 s".to_owned()),
        ]);
        let config = resolve(&flags, &environment, &file).unwrap();
        assert_eq!((config.shards, config.memory_limit_bytes, config.epoch_interval_ms), (3, 2 << 20, 1_000));
        assert_eq!(config.query_memory_bytes, 1 << 20, "half of the limit");
        let origins: Vec<Origin> = config.settings.iter().map(|setting| setting.origin).collect();
        assert_eq!(origins.iter().filter(|origin| **origin == Origin::Default).count(), 11);
        assert!(origins.contains(&Origin::Flag) && origins.contains(&Origin::Environment));
    }

    #[test]
    fn the_memory_of_queries_that_is_set_counts() {
        let flags = Flags { memory_limit: Some("8 GB".into()), query_memory: Some("3 MB".into()), ..Flags::default() };
        assert_eq!(resolve(&flags, &|_| None, &BTreeMap::new()).unwrap().query_memory_bytes, 3 << 20);
        let flags = Flags { query_memory: None, ..flags };
        assert_eq!(resolve(&flags, &|_| None, &BTreeMap::new()).unwrap().query_memory_bytes, 4 << 30);
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let file = BTreeMap::from([("memory-limt".to_owned(), "9 MB".to_owned())]);
        let error = resolve(&Flags::default(), &|_| None, &file).unwrap_err();
        assert_eq!(error.0, "unknown setting \"memory-limt\", did you mean \"memory-limit\"?");
    }
}
