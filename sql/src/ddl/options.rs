//! The `WITH` options of a table, checked against the description of its connector.

use millstream_engine::ports::policy::{SINK_ON_ERROR, SOURCE_ON_ERROR};
use millstream_engine::ports::{ConnectorDescriptor, OptionDescriptor, OptionType, OptionValues, option_value};

use millstream_engine::rejects::OnError;

use crate::catalog::{CatalogSnapshot, nearest};
use crate::error::{Result, SqlError, SqlState};

use super::names::{quoted, with_near};

/// The option that names the connector.
const CONNECTOR: &str = "connector";

/// The option that lets a silent split leave the minimum of watermarks.
pub(crate) const IDLE_TIMEOUT: &str = "scan.watermark.idle-timeout";

/// The option that names the tables that keep together in event time.
pub(crate) const ALIGNMENT_GROUP: &str = "scan.watermark.alignment.group";

/// How far from each other they may be.
pub(crate) const ALIGNMENT_DRIFT: &str = "scan.watermark.alignment.max-drift";

/// How often that is looked at.
pub(crate) const ALIGNMENT_INTERVAL: &str = "scan.watermark.alignment.update-interval";

/// What every table that is read can say, whatever its connector.
const OF_ALL_SOURCES: [OptionDescriptor; 7] = [
    OptionDescriptor {
        name: IDLE_TIMEOUT,
        kind: OptionType::Duration,
        required: false,
        default: None,
        doc: "after so long without a row a split no longer holds the watermark back; 0: never",
    },
    OptionDescriptor {
        name: ALIGNMENT_GROUP,
        kind: OptionType::String,
        required: false,
        default: None,
        doc: "splits of the tables of one group, in one job, wait for those that are behind in event time",
    },
    OptionDescriptor {
        name: ALIGNMENT_DRIFT,
        kind: OptionType::Duration,
        required: false,
        default: None,
        doc: "how far ahead of the least watermark of the group a split is read",
    },
    OptionDescriptor {
        name: ALIGNMENT_INTERVAL,
        kind: OptionType::Duration,
        required: false,
        default: Some("1 s"),
        doc: "how often that is looked at",
    },
    OptionDescriptor {
        name: "scan.watermark.emit.strategy",
        kind: OptionType::Choice(&["on-periodic", "on-event"]),
        required: false,
        default: None,
        doc: "accepted for Flink's sake: the watermark advances with every batch",
    },
    OptionDescriptor {
        name: "scan.watermark.emit.on-event.gap",
        kind: OptionType::Integer,
        required: false,
        default: None,
        doc: "accepted for Flink's sake",
    },
    OptionDescriptor {
        name: SOURCE_ON_ERROR,
        kind: OptionType::Choice(OnError::WORDS),
        required: false,
        default: Some("fail"),
        doc: "what is done with a row that breaks its format: the query fails, or the row is skipped, or kept in \
              millstream.bad_rows",
    },
];

/// What every table that is written can say, whatever its connector.
const OF_ALL_SINKS: [OptionDescriptor; 1] = [OptionDescriptor {
    name: SINK_ON_ERROR,
    kind: OptionType::Choice(OnError::WORDS),
    required: false,
    default: Some("fail"),
    doc: "what is done with a row that the table refuses: the job fails, or the row is skipped, or kept in \
          millstream.sink_errors",
}];

/// How the options of formats end that let some faults pass.
const IGNORES: &str = "ignore-parse-errors";

/// An option as parsed: key, value, position of the key.
type Written = (String, String, usize);

/// The connector of a table with options.
///
/// # Errors
/// Where it is not named, or there is none of that name.
pub(super) fn connector<'c>(options: &[Written], catalog: &'c CatalogSnapshot) -> Result<&'c ConnectorDescriptor> {
    let names: Vec<&str> = catalog.connectors.keys().map(String::as_str).collect();
    let Some((_, name, position)) = options.iter().find(|(key, ..)| key == CONNECTOR) else {
        let position = options.first().map_or(1, |(_, _, position)| *position);
        let error = SqlError::new(SqlState::OPTION_NOT_FOUND, "option \"connector\" is missing");
        let error = error.with_detail(format!("the connectors are {}", quoted(&names)));
        return Err(error.with_hint("a table without WITH is an internal table").at(position));
    };
    if let Some(found) = catalog.connectors.get(name) {
        return Ok(found);
    }
    let message = format!("option \"connector\" names no connector: \"{name}\"");
    let error = SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message);
    let error = error.with_detail(format!("the connectors are {}", quoted(&names))).at(*position);
    Err(with_near(error, nearest(name, names.into_iter())))
}

/// The options but `connector`, all known, of the right type and complete.
///
/// # Errors
/// At the first that is not; the error names it, its connector and the nearest right name.
pub(crate) fn check(options: &[Written], connector: &ConnectorDescriptor) -> Result<OptionValues> {
    let mut checked = OptionValues::default();
    let mut of_connector = 1;
    for (key, value, position) in options {
        if key == CONNECTOR && checked.0.is_empty() {
            of_connector = *position;
        }
        if key != CONNECTOR {
            let option = general(key, connector)
                .map_or_else(|| known(key, connector), Ok)
                .map_err(|error| error.at(*position))?;
            typed(key, value, option, connector).map_err(|error| error.at(*position))?;
        }
        if checked.0.insert(key.clone(), value.clone()).is_some() {
            let error = SqlError::new(SqlState::INVALID_OPTION_NAME, format!("option \"{key}\" is given twice"));
            return Err(error.at(*position));
        }
    }
    checked.0.remove(CONNECTOR);
    contradictions(options)?;
    for option in connector.options.iter().filter(|option| option.required) {
        if !checked.0.contains_key(option.name) {
            let message = format!("connector \"{}\" needs option \"{}\"", connector.name, option.name);
            let error = SqlError::new(SqlState::OPTION_NOT_FOUND, message);
            return Err(error.with_hint(option.doc).at(of_connector));
        }
    }
    Ok(checked)
}

/// The description of an option that tables have whatever their connector.
fn general(key: &str, connector: &ConnectorDescriptor) -> Option<&'static OptionDescriptor> {
    let of_sources = OF_ALL_SOURCES.iter().filter(|_| connector.capabilities.source);
    let of_sinks = OF_ALL_SINKS.iter().filter(|_| connector.capabilities.sink);
    of_sources.chain(of_sinks).find(|option| option.name == key)
}

/// Options that say different things about the same rows, or nothing without one another.
fn contradictions(options: &[Written]) -> Result<()> {
    let has = |name: &str| options.iter().find(|(key, ..)| key == name).map(|(_, _, position)| *position);
    if let (Some(position), None) | (None, Some(position)) = (has(ALIGNMENT_GROUP), has(ALIGNMENT_DRIFT)) {
        let message = format!("options \"{ALIGNMENT_GROUP}\" and \"{ALIGNMENT_DRIFT}\" need one another");
        return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message).at(position));
    }
    let says = options.iter().any(|(key, ..)| key == SOURCE_ON_ERROR);
    let ignores = |(key, value, _): &&Written| key.ends_with(IGNORES) && value.eq_ignore_ascii_case("true");
    match options.iter().find(ignores).filter(|_| says) {
        Some((key, _, position)) => {
            let message = format!("options \"{SOURCE_ON_ERROR}\" and \"{key}\" both say what is done with bad rows");
            let error = SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message);
            Err(error.with_hint(format!("leave \"{key}\" out")).at(*position))
        }
        None => Ok(()),
    }
}

/// The description of an option.
fn known<'c>(key: &str, connector: &'c ConnectorDescriptor) -> Result<&'c OptionDescriptor> {
    let exact = connector.options.iter().find(|option| option.name == key);
    if let Some(found) = exact.or_else(|| connector.options.iter().find(|option| fits(key, option.name))) {
        return Ok(found);
    }
    let names: Vec<&str> = connector.options.iter().map(|option| option.name).collect();
    let message = format!("connector \"{}\" has no option \"{key}\"", connector.name);
    let error = SqlError::new(SqlState::INVALID_OPTION_NAME, message);
    let detail =
        if names.is_empty() { "it has none".to_owned() } else { format!("its options are {}", quoted(&names)) };
    let error = error.with_detail(detail);
    Err(with_near(error, nearest(key, names.into_iter())))
}

/// Whether a key is what a name with one `*` stands for: `fields.a.min` for `fields.*.min`.
fn fits(key: &str, name: &str) -> bool {
    let Some((before, behind)) = name.split_once('*') else { return key == name };
    key.len() > before.len() + behind.len() && key.starts_with(before) && key.ends_with(behind)
}

/// Checks the type of a value.
fn typed(key: &str, value: &str, option: &OptionDescriptor, connector: &ConnectorDescriptor) -> Result<()> {
    let Err(takes) = option_value::check(&option.kind, value) else { return Ok(()) };
    let message = format!("option \"{key}\" of connector \"{}\" takes {takes}, not \"{value}\"", connector.name);
    let error = SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message);
    Err(match &option.kind {
        OptionType::Choice(words) => with_near(error, nearest(value, words.iter().copied())),
        OptionType::String
        | OptionType::Boolean
        | OptionType::Integer
        | OptionType::Double
        | OptionType::Duration
        | OptionType::MemorySize => error.with_hint(option.doc),
    })
}
