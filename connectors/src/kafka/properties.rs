//! From `properties.*`, which Flink's users write for the Java client, to the properties of librdkafka.

use std::collections::BTreeMap;

use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::OptionValues;

/// Properties of the Java client that mean nothing here.
const IGNORED: &[&str] = &[
    "key.deserializer",
    "value.deserializer",
    "key.serializer",
    "value.serializer",
    "enable.auto.commit",
    "auto.commit.interval.ms",
    "max.poll.records",
    "partition.discovery.interval.ms",
    "client.dns.lookup",
    "commit.offsets.on.checkpoint",
];

/// Properties of the Java client that have another name: what to write instead.
const RENAMED: &[(&str, &str)] = &[
    ("ssl.truststore.location", "properties.ssl.ca.location (a PEM file)"),
    ("ssl.truststore.password", "properties.ssl.ca.location (a PEM file)"),
    ("ssl.truststore.type", "properties.ssl.ca.location (a PEM file)"),
    ("ssl.keystore.type", "properties.ssl.keystore.location (PKCS#12)"),
    ("sasl.login.callback.handler.class", "properties.sasl.oauthbearer.config"),
];

/// The properties of the client.
///
/// # Errors
/// Where one of them has no meaning for librdkafka and ignoring it would change what happens.
pub(super) fn client(options: &OptionValues) -> Result<BTreeMap<String, String>> {
    let mut properties = BTreeMap::new();
    for (key, value) in &options.0 {
        let Some(name) = key.strip_prefix("properties.") else { continue };
        if IGNORED.contains(&name) {
            continue;
        }
        if let Some((_, instead)) = RENAMED.iter().find(|(java, _)| *java == name) {
            return Err(EngineError::Config {
                message: format!("option \"{key}\" is of the Java client"),
                hint: Some(format!("write {instead}")),
            });
        }
        if name == "sasl.jaas.config" {
            for (field, property) in [("username", "sasl.username"), ("password", "sasl.password")] {
                if let Some(found) = jaas_field(value, field) {
                    properties.insert(property.to_owned(), found);
                }
            }
            continue;
        }
        let value = match (name, value.to_ascii_lowercase().as_str()) {
            ("auto.offset.reset", "none") => "error".to_owned(),
            _ => value.clone(),
        };
        properties.insert(name.to_owned(), value);
    }
    Ok(properties)
}

/// The value of `field="…"` in a JAAS configuration.
fn jaas_field(text: &str, field: &str) -> Option<String> {
    let start = text.find(&format!("{field}="))? + field.len() + 1;
    let rest = text.get(start..)?;
    let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let inner = rest.get(1..)?;
    inner.get(..inner.find(quote)?).map(str::to_owned)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use super::*;

    #[test]
    fn what_java_users_write_is_understood() {
        let given = [
            ("properties.bootstrap.servers", "a:1"),
            ("properties.key.deserializer", "x"),
            ("properties.sasl.jaas.config", "org…PlainLoginModule required username=\"bo b\" password='s;ec';"),
            ("topic", "t"),
        ];
        let options = OptionValues(given.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect());
        let read: Vec<(String, String)> = client(&options).unwrap().into_iter().collect();
        let want = [("bootstrap.servers", "a:1"), ("sasl.password", "s;ec"), ("sasl.username", "bo b")];
        assert_eq!(read, want.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let java = [("properties.ssl.truststore.location".to_owned(), "x".to_owned())];
        let error = client(&OptionValues(java.into())).unwrap_err();
        assert!(error.hint().unwrap().contains("ssl.ca.location"));
    }
}
