//! [`Azure`]: a container of Azure Blob Storage, with the key of its account or a shared access signature.
//!
//! Requests are signed as "Authorize with Shared Key" of the Blob service's reference has it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use millstream_engine::error::{EngineError, Result};
use sha2::Sha256;

use super::StoreUrl;
use super::listing::{Page, Tags, elements, objects};
use super::request::{Call, Prepared, Service};
use super::url::{encoded, query_text};

/// How a listing names what it tells.
const TAGS: Tags = Tags { object: "Blob", key: "Name", size: "Content-Length", modified: "Last-Modified" };

/// The version of the service that is spoken.
const VERSION: &str = "2021-08-06";

/// See the module.
pub(super) struct Azure {
    /// Scheme, host and what of the path stands before the container.
    origin: String,
    account: String,
    /// The path of the container.
    base: String,
    access: Access,
}

enum Access {
    Key(Vec<u8>),
    /// A query.
    Signature(String),
}

impl Azure {
    /// The container of a URL, with settings from there and from the environment.
    ///
    /// # Errors
    /// Where account or key are missing.
    pub(super) fn new(url: &StoreUrl, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let missing = |what: &str, hint: &str| EngineError::Config {
            message: format!("there is no {what} for \"{}\"", url.name()),
            hint: Some(hint.to_owned()),
        };
        let account = url.setting("account").or_else(|| env("AZURE_STORAGE_ACCOUNT"));
        let account = account.ok_or_else(|| missing("account", "set AZURE_STORAGE_ACCOUNT in the environment"))?;
        let endpoint = url.setting("endpoint").or_else(|| env("AZURE_STORAGE_ENDPOINT"));
        let endpoint = endpoint.unwrap_or_else(|| format!("https://{account}.blob.core.windows.net"));
        let origin = endpoint.trim_end_matches('/').to_owned();
        let access = match (env("AZURE_STORAGE_KEY"), env("AZURE_STORAGE_SAS_TOKEN")) {
            (Some(key), _) => {
                let key = BASE64.decode(key.trim());
                Access::Key(key.map_err(|_| missing("usable key", "AZURE_STORAGE_KEY is in Base64"))?)
            }
            (None, Some(token)) => Access::Signature(token.trim_start_matches('?').to_owned()),
            (None, None) => {
                let hint = "set AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN in the environment";
                return Err(missing("key", hint));
            }
        };
        let base = format!("/{}", encoded(&url.bucket, b""));
        Ok(Self { origin, account, base, access })
    }

    fn authorization(&self, key: &[u8], call: &Call<'_>, headers: &[(String, String)], path: &str) -> String {
        let value = |name: &str| headers.iter().find(|(header, _)| header == name).map_or("", |(_, value)| value);
        let length = if call.body.is_empty() { String::new() } else { call.body.len().to_string() };
        let own: String = headers
            .iter()
            .filter(|(name, _)| name.starts_with("x-ms-"))
            .map(|(name, value)| format!("{name}:{value}\n"))
            .collect();
        let within = self.origin.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
        let within = within.map_or(String::new(), |(_, path)| format!("/{path}"));
        let mut query = call.query.clone();
        query.sort_unstable();
        let query: String = query.iter().map(|(name, value)| format!("\n{name}:{value}")).collect();
        // Encoding, language, length, MD5, type, date, modified since, match, none match, unmodified since, range.
        let text = format!(
            "{}\n\n\n{length}\n\n\n\n\n\n{}\n\n\n{own}/{}{within}{path}{query}",
            call.method,
            value("if-none-match"),
            self.account
        );
        let signature = Hmac::<Sha256>::new_from_slice(key).map_or_else(
            |_| Vec::new(),
            |mut mac| {
                mac.update(text.as_bytes());
                mac.finalize().into_bytes().to_vec()
            },
        );
        format!("SharedKey {}:{}", self.account, BASE64.encode(signature))
    }
}

impl Service for Azure {
    fn request(&self, call: &Call<'_>, when: DateTime<Utc>) -> Prepared {
        let path = match call.key {
            "" => self.base.clone(),
            key => format!("{}/{}", self.base, encoded(key, b"/")),
        };
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut headers = Vec::new();
        if call.if_absent {
            headers.push(header("if-none-match", "*"));
        }
        // Sorted by name, as the signature wants them.
        match call.copy_of {
            Some(from) => {
                let access = match &self.access {
                    Access::Key(_) => String::new(),
                    Access::Signature(signature) => format!("?{signature}"),
                };
                let source = format!("{}{}/{}{access}", self.origin, self.base, encoded(from, b"/"));
                headers.push(header("x-ms-copy-source", &source));
            }
            None if call.method == "PUT" => headers.push(header("x-ms-blob-type", "BlockBlob")),
            None => {}
        }
        headers.push(header("x-ms-date", &when.format("%a, %d %b %Y %H:%M:%S GMT").to_string()));
        headers.extend(call.range_text().map(|range| header("x-ms-range", &range)));
        headers.push(header("x-ms-version", VERSION));
        let mut query = query_text(&call.query);
        match &self.access {
            Access::Key(key) => {
                let authorization = self.authorization(key, call, &headers, &path);
                headers.push(header("authorization", &authorization));
            }
            Access::Signature(signature) => {
                let mark = if query.is_empty() { "" } else { "&" };
                query = format!("{query}{mark}{signature}");
            }
        }
        let mark = if query.is_empty() { "" } else { "?" };
        Prepared { url: format!("{}{path}{mark}{query}", self.origin), headers }
    }

    fn list_query(&self, prefix: &str, from: Option<&str>) -> Vec<(&'static str, String)> {
        let mut query =
            vec![("comp", "list".to_owned()), ("prefix", prefix.to_owned()), ("restype", "container".to_owned())];
        query.extend(from.map(|from| ("marker", from.to_owned())));
        query
    }

    fn page(&self, text: &str) -> Page {
        let next = elements(text, "NextMarker").into_iter().next();
        Page { objects: objects(text, &TAGS), next: next.filter(|next| !next.is_empty()) }
    }
}
