//! [`StoreUrl`]: `scheme://bucket/prefix?setting=value`.

use std::collections::BTreeMap;

use millstream_engine::error::{EngineError, Result};

/// The parts of a URL of a remote store.
#[derive(Debug, Clone)]
pub(in crate::state_store) struct StoreUrl {
    /// `s3`, `gs`, `az` and their other names.
    pub(in crate::state_store) scheme: String,
    /// The bucket or container.
    pub(super) bucket: String,
    /// Before all paths; empty, or ends with `/`.
    pub(super) prefix: String,
    settings: BTreeMap<String, String>,
}

/// The settings that a URL may have.
const SETTINGS: [&str; 6] = ["endpoint", "region", "path-style", "account", "timeout-ms", "anonymous"];

impl StoreUrl {
    /// The parts of a URL. Settings are percent-decoded.
    ///
    /// # Errors
    /// Where there is no bucket, or a setting is unknown.
    pub(in crate::state_store) fn parse(url: &str) -> Result<Self> {
        let refuse = |why: String, hint: &str| EngineError::Config {
            message: format!("state URL \"{}\": {why}", url.split('?').next().unwrap_or_default()),
            hint: Some(hint.to_owned()),
        };
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        if bucket.is_empty() {
            return Err(refuse("it names no bucket".into(), "write scheme://bucket/prefix"));
        }
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let mut settings = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, "true"));
            if !SETTINGS.contains(&name) {
                let known = format!("settings are {}", SETTINGS.join(", "));
                return Err(refuse(format!("there is no setting \"{name}\""), &known));
            }
            settings.insert(name.to_owned(), decoded(value));
        }
        Ok(Self { scheme: scheme.to_owned(), bucket: bucket.to_owned(), prefix, settings })
    }

    /// The URL without its settings.
    pub(super) fn name(&self) -> String {
        format!("{}://{}/{}", self.scheme, self.bucket, self.prefix)
    }

    pub(super) fn setting(&self, name: &str) -> Option<String> {
        self.settings.get(name).cloned()
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.settings.get(name).is_some_and(|value| value == "true")
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<u64>> {
        let Some(text) = self.settings.get(name) else { return Ok(None) };
        let wrong = |_| EngineError::config(format!("state URL: {name} is \"{text}\", which is no number"));
        text.parse().map(Some).map_err(wrong)
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = after.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A text as part of a URL; `keep` are further bytes that stay.
pub(super) fn encoded(text: &str, keep: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || keep.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// A query, sorted by name, as the signatures want it.
pub(super) fn query_text(query: &[(&'static str, String)]) -> String {
    let mut pairs: Vec<String> =
        query.iter().map(|(name, value)| format!("{}={}", encoded(name, b""), encoded(value, b""))).collect();
    pairs.sort_unstable();
    pairs.join("&")
}
