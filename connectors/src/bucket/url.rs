//! [`StoreUrl`]: `scheme://bucket/prefix?setting=value`.

use std::collections::BTreeMap;

use millstream_engine::error::{EngineError, Result};

/// The parts of a URL of an object store.
#[derive(Debug, Clone)]
pub struct StoreUrl {
    /// `s3`, `gs`, `az` and their other names.
    pub(crate) scheme: String,
    /// The bucket or container.
    pub(super) bucket: String,
    /// What stands behind the bucket, as written, without a slash before it.
    path: String,
    settings: BTreeMap<String, String>,
}

/// What the URLs of object stores begin with.
const SCHEMES: [&str; 6] = ["s3", "s3a", "gs", "gcs", "az", "azure"];

/// The settings that a URL may have.
const SETTINGS: [&str; 6] = ["endpoint", "region", "path-style", "account", "timeout-ms", "anonymous"];

impl StoreUrl {
    /// The parts of a URL. Settings are percent-decoded.
    ///
    /// # Errors
    /// Where there is no bucket, or a setting is unknown.
    pub fn parse(url: &str) -> Result<Self> {
        let refuse = |why: String, hint: &str| EngineError::Config {
            message: format!("URL \"{}\": {why}", url.split('?').next().unwrap_or_default()),
            hint: Some(hint.to_owned()),
        };
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (bucket, path) = place.split_once('/').unwrap_or((place, ""));
        if bucket.is_empty() {
            return Err(refuse("it names no bucket".into(), "write scheme://bucket/prefix"));
        }
        let mut settings = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, "true"));
            if !SETTINGS.contains(&name) {
                let known = format!("settings are {}", SETTINGS.join(", "));
                return Err(refuse(format!("there is no setting \"{name}\""), &known));
            }
            settings.insert(name.to_owned(), decoded(value));
        }
        let path = path.trim_start_matches('/').to_owned();
        Ok(Self { scheme: scheme.to_owned(), bucket: bucket.to_owned(), path, settings })
    }

    /// Whether a text is the URL of an object store.
    pub fn is_one(text: &str) -> bool {
        text.split_once("://").is_some_and(|(scheme, _)| SCHEMES.contains(&scheme))
    }

    /// What stands behind the bucket, as written, without a slash before it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path as that of a directory: empty, or ends with `/`.
    pub(crate) fn prefix(&self) -> String {
        let path = self.path.trim_matches('/');
        if path.is_empty() { String::new() } else { format!("{path}/") }
    }

    /// The URL of the bucket, without settings and without a slash at its end.
    pub fn bucket_name(&self) -> String {
        format!("{}://{}", self.scheme, self.bucket)
    }

    /// Tells the bucket with its settings from others.
    pub(super) fn identity(&self) -> u64 {
        xxhash_rust::xxh3::xxh3_64(format!("{} {:?}", self.bucket_name(), self.settings).as_bytes())
    }

    /// The URL without its settings.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.bucket_name(), self.path)
    }

    pub(super) fn setting(&self, name: &str) -> Option<String> {
        self.settings.get(name).cloned()
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.settings.get(name).is_some_and(|value| value == "true")
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<u64>> {
        let Some(text) = self.settings.get(name) else { return Ok(None) };
        let wrong =
            |_| EngineError::config(format!("{name} in the URL of an object store is \"{text}\", which is no number"));
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
pub(crate) fn encoded(text: &str, keep: &[u8]) -> String {
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
