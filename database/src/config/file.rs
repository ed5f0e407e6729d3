//! `millstream.toml`: a flat table of settings.

use std::collections::BTreeMap;
use std::path::Path;

use thiserror::Error;

/// Read where no file is named.
const DEFAULT_FILE: &str = "millstream.toml";

/// Why the process cannot start with these settings.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// The keys and values of the file as text; empty where no file was named and the default one is not there.
///
/// # Errors
/// Where the file cannot be read or is no flat TOML table.
pub(super) fn read(named: Option<&Path>) -> Result<BTreeMap<String, String>, ConfigError> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(ConfigError(format!("could not read \"{}\": {error}", path.display()))),
    };
    parse(&text).map_err(|error| ConfigError(format!("{}: {}", path.display(), error.0)))
}

fn parse(text: &str) -> Result<BTreeMap<String, String>, ConfigError> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| ConfigError(error.message().to_owned()))?;
    table
        .into_iter()
        .map(|(key, value)| {
            let text = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(flag) => flag.to_string(),
                toml::Value::Float(number) => number.to_string(),
                toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => {
                    return Err(ConfigError(format!("setting \"{key}\" must be a text or a number")));
                }
            };
            Ok((key, text))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn numbers_and_texts() {
        let parsed = parse("shards = 2\nlisten = \"127.0.0.1:1\"").map_err(|error| error.0);
        let parsed: Vec<_> = parsed.into_iter().flatten().collect();
        assert_eq!(parsed, [("listen".into(), "127.0.0.1:1".into()), ("shards".into(), "2".into())]);
    }

    #[test]
    fn tables_are_refused() {
        assert!(parse("[server]\nshards = 2").is_err());
    }
}
