//! [`Settings`]: what the options of a table say, read and checked.

use std::collections::BTreeMap;
use std::fmt;

use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::{Boundedness, OptionValues, TableSpec};
use regex::Regex;

use super::layout::Columns;
use super::properties;
use crate::formats::message::{MessageFormat, Role};

/// How often to look for new partitions, in microseconds.
const DISCOVERY_US: i64 = 5 * 60 * 1_000_000;

/// Which of the two connectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavour {
    /// `kafka`
    Append,
    /// `upsert-kafka`
    Upsert,
}

/// Which topics.
#[derive(Debug, Clone)]
pub(super) enum Topics {
    /// These.
    Named(Vec<String>),
    /// All whose whole name matches.
    Pattern(Regex),
}

impl fmt::Display for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(names) => f.write_str(&names.join(";")),
            Self::Pattern(pattern) => write!(f, "matching {pattern}"),
        }
    }
}

/// A place in every partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Point {
    /// The first message that is there.
    Earliest,
    /// Behind the last.
    Latest,
    /// What the consumer group has committed.
    Group,
    /// The first message of this time or later, in milliseconds since 1970.
    Timestamp(i64),
    /// Offsets by partition.
    Offsets(BTreeMap<i32, i64>),
}

/// What the options of a table say.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// Which connector.
    pub(super) flavour: Flavour,
    /// Which topics.
    pub(super) topics: Topics,
    /// Properties of the client.
    pub(super) client: BTreeMap<String, String>,
    /// Where reading begins.
    pub(super) start: Point,
    /// Where it ends.
    pub(super) stop: Option<Point>,
    /// Microseconds between two looks for new partitions; `None`: never.
    pub(super) discovery_us: Option<i64>,
    /// How rows stand in values.
    pub(super) value: MessageFormat,
    /// How rows stand in keys.
    pub(super) key: Option<MessageFormat>,
    /// Which columns stand where.
    pub(super) columns: Columns,
}

impl Settings {
    /// Reads and checks the options of a table.
    ///
    /// # Errors
    /// Where they cannot work.
    pub(super) fn new(flavour: Flavour, table: &TableSpec) -> Result<Self> {
        let options = &table.options;
        let value = MessageFormat::from_options(Role::Value, options)?.ok_or_else(|| EngineError::Config {
            message: format!("table \"{}\" has no option \"format\"", table.name),
            hint: Some("say how rows stand in messages: 'format' = 'json'".to_owned()),
        })?;
        let key = MessageFormat::from_options(Role::Key, options)?;
        let columns = Columns::new(flavour, table, key.is_some())?;
        let settings = Self {
            flavour,
            topics: topics(options)?,
            client: properties::client(options)?,
            start: match flavour {
                Flavour::Append => point(options, "startup", "group-offsets")?.unwrap_or(Point::Group),
                Flavour::Upsert => Point::Earliest,
            },
            stop: point(options, "bounded", "unbounded")?,
            discovery_us: Some(options.duration_us("scan.topic-partition-discovery.interval", DISCOVERY_US)?)
                .filter(|interval| *interval > 0),
            value,
            key,
            columns,
        };
        settings.check(table)?;
        Ok(settings)
    }

    fn check(&self, table: &TableSpec) -> Result<()> {
        self.value.check(&self.columns.value_fields)?;
        if let Some(key) = &self.key {
            key.check(&self.columns.key_fields)?;
            if key.tells_changes() {
                return Err(EngineError::config(format!("format \"{}\" cannot be the format of keys", key.name())));
            }
        }
        if self.flavour == Flavour::Upsert && self.value.tells_changes() {
            return Err(EngineError::Config {
                message: format!("format \"{}\" cannot be used with connector \"upsert-kafka\"", self.value.name()),
                hint: Some("it tells of deletions itself: use connector \"kafka\"".to_owned()),
            });
        }
        if self.flavour == Flavour::Append && !self.value.tells_changes() && !table.primary_key.is_empty() {
            return Err(EngineError::Config {
                message: format!(
                    "table \"{}\" has a PRIMARY KEY, but rows of format \"{}\" are insertions only",
                    table.name,
                    self.value.name()
                ),
                hint: Some("leave PRIMARY KEY out, or use connector \"upsert-kafka\"".to_owned()),
            });
        }
        Ok(())
    }

    /// The brokers, for messages.
    pub(super) fn servers(&self) -> &str {
        self.client.get("bootstrap.servers").map_or("no broker", String::as_str)
    }
}

/// Whether reading ends.
pub(super) fn boundedness(options: &OptionValues) -> Boundedness {
    match options.get("scan.bounded.mode") {
        None => Boundedness::Unbounded,
        Some(word) if word.eq_ignore_ascii_case("unbounded") => Boundedness::Unbounded,
        Some(_) => Boundedness::Bounded,
    }
}

fn topics(options: &OptionValues) -> Result<Topics> {
    match (options.get("topic"), options.get("topic-pattern")) {
        (Some(names), None) => {
            let names: Vec<String> = names.split(';').map(|name| name.trim().to_owned()).collect();
            match names.iter().any(String::is_empty) {
                true => Err(EngineError::config("option \"topic\" has an empty name")),
                false => Ok(Topics::Named(names)),
            }
        }
        (None, Some(pattern)) => match Regex::new(&format!("^(?:{pattern})$")) {
            Ok(pattern) => Ok(Topics::Pattern(pattern)),
            Err(error) => {
                Err(EngineError::config(format!("option \"topic-pattern\" is no regular expression: {error}")))
            }
        },
        (Some(_), Some(_)) => Err(EngineError::config("give \"topic\" or \"topic-pattern\", not both")),
        (None, None) => Err(EngineError::config("give \"topic\" or \"topic-pattern\"")),
    }
}

/// The place that `scan.WHICH.mode` names.
fn point(options: &OptionValues, which: &str, default: &str) -> Result<Option<Point>> {
    let mode_name = format!("scan.{which}.mode");
    let (at, list) = (format!("scan.{which}.timestamp-millis"), format!("scan.{which}.specific-offsets"));
    let mode = options.get(&mode_name).unwrap_or(default).to_ascii_lowercase();
    let needed = |name: &str| {
        options
            .get(name)
            .ok_or_else(|| EngineError::config(format!("'{mode_name}' = '{mode}' needs option \"{name}\"")))
    };
    for (name, of) in [(&at, "timestamp"), (&list, "specific-offsets")] {
        if options.get(name).is_some() && mode != of {
            return Err(EngineError::config(format!("option \"{name}\" needs '{mode_name}' = '{of}'")));
        }
    }
    Ok(match mode.as_str() {
        "earliest-offset" => Some(Point::Earliest),
        "latest-offset" => Some(Point::Latest),
        "group-offsets" => {
            if which == "bounded" && options.get("properties.group.id").is_none() {
                needed("properties.group.id")?;
            }
            Some(Point::Group)
        }
        "timestamp" => {
            needed(&at)?;
            Some(Point::Timestamp(options.integer(&at, 0)?))
        }
        "specific-offsets" => Some(Point::Offsets(specific_offsets(&list, needed(&list)?)?)),
        _ => None,
    })
}

/// Reads `partition:0,offset:42;partition:1,offset:300`.
fn specific_offsets(name: &str, text: &str) -> Result<BTreeMap<i32, i64>> {
    let one = |part: &str| -> Option<(i32, i64)> {
        let (partition, offset) = part.trim().split_once(',')?;
        let partition = partition.trim().strip_prefix("partition:")?.trim().parse().ok()?;
        let offset = offset.trim().strip_prefix("offset:")?.trim().parse().ok()?;
        (partition >= 0 && offset >= 0).then_some((partition, offset))
    };
    let parts = text.split(';').filter(|part| !part.trim().is_empty());
    let read: Option<BTreeMap<i32, i64>> = parts.map(one).collect();
    read.filter(|offsets| !offsets.is_empty()).ok_or_else(|| {
        EngineError::config(format!(
            "option \"{name}\" is no list such as 'partition:0,offset:42;partition:1,offset:300': '{text}'"
        ))
    })
}
