//! [`Bucket`]: the objects of a bucket or container of an object store. Checkpoints are kept in one
//! ([`crate::state_store`]), and tables of files read and written there ([`crate::filesystem`]).
//!
//! The calls are few and plain: put, put where nothing is, get, a range of it, what it is, list, copy, delete. What differs
//! from service to service is how a request is addressed and signed, and how a listing reads: [`s3`] for Amazon's and all
//! that speak its language, Google's among them, and [`azure`]. A request that fails in passing is sent again, later each
//! time. All calls block: they are made on threads that may wait.

mod azure;
mod listing;
mod request;
mod s3;
mod url;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millstream_engine::error::{EngineError, Result};
use ureq::Agent;
use ureq::tls::{TlsConfig, TlsProvider};

use self::request::{Answer, Call, Service};

pub(crate) use self::listing::elements;
pub use self::url::StoreUrl;
#[cfg(test)]
pub(crate) use self::{request::ATTEMPTS, url::encoded};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the service may take to answer, once it has a request.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a request may take with its object, unless the URL says otherwise: milliseconds.
const TIMEOUT_MS: u64 = 600_000;

/// An object, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its name in the bucket.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// When it was written: milliseconds since 1970-01-01 UTC.
    pub modified_ms: i64,
}

/// See the module.
pub struct Bucket {
    service: Box<dyn Service>,
    agent: Agent,
    /// The place for people, without a slash at its end.
    name: String,
    /// Of the URL without its path, settings included.
    identity: u64,
    pause: fn(Duration),
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bucket").field(&self.name).finish()
    }
}

impl Bucket {
    /// The bucket of a URL, with settings from the environment of the process. Asks nothing yet.
    ///
    /// # Errors
    /// Where settings are missing.
    pub fn open(url: &StoreUrl) -> Result<Arc<Self>> {
        Self::with_settings(url, &|name| std::env::var(name).ok()).map(Arc::new)
    }

    /// As [`Self::open`], with other settings than those of the environment.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(crate) fn with_settings(url: &StoreUrl, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let service: Box<dyn Service> = match url.scheme.as_str() {
            "az" | "azure" => Box::new(azure::Azure::new(url, env)?),
            _ => Box::new(s3::S3::new(url, env)?),
        };
        let timeout = url.number("timeout-ms")?.unwrap_or(TIMEOUT_MS);
        let tls = TlsConfig::builder().provider(TlsProvider::NativeTls).build();
        let config = Agent::config_builder()
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(ANSWER_TIMEOUT))
            .timeout_global(Some(Duration::from_millis(timeout)))
            .http_status_as_error(false)
            .max_redirects(0)
            .tls_config(tls)
            .build();
        // Nobody wakes the thread: it is one that may wait.
        let pause = |pause| std::thread::park_timeout(pause);
        let (name, identity) = (url.bucket_name(), url.identity());
        Ok(Self { service, agent: config.into(), name, identity, pause })
    }

    /// The same bucket, whose requests are repeated at once.
    #[cfg(test)]
    pub(crate) fn impatient(mut self) -> Self {
        self.pause = |_| ();
        self
    }

    /// The bucket for people: `s3://name`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same for buckets whose URLs have the same name and settings.
    pub fn identity(&self) -> u64 {
        self.identity
    }

    /// Writes an object; replaces what is there.
    ///
    /// # Errors
    /// Where the service cannot be reached or refuses.
    pub fn put(&self, key: &str, bytes: &[u8]) -> Result<()> {
        let call = Call { body: bytes, ..Call::new("PUT", key) };
        self.done(&call).map(|_| ())
    }

    /// As [`Self::put`] where nothing is there; else changes nothing and gives false.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub(crate) fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<bool> {
        let call = Call { body: bytes, if_absent: true, ..Call::new("PUT", key) };
        let answer = self.send(&call)?;
        match answer.status.as_u16() {
            200..=299 => Ok(true),
            // What is there may be from an attempt of ours whose answer was lost. Without content nobody can tell.
            409 | 412 => Ok(answer.repeated && !bytes.is_empty() && self.get(key)?.as_deref() == Some(bytes)),
            _ => Err(self.refused(&call, &answer)),
        }
    }

    /// The content of an object; `None` where there is none.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn get(&self, key: &str) -> Result<Option<Bytes>> {
        let call = Call::new("GET", key);
        Ok(self.found(&call)?.map(|answer| answer.bytes.into()))
    }

    /// Some bytes of an object that is there; as many as it has.
    ///
    /// # Errors
    /// As [`Self::put`]; where it is not there.
    pub fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let call = Call { range: Some(range.clone()), ..Call::new("GET", key) };
        match self.found(&call)? {
            // A service that knows no ranges gives the whole.
            Some(answer) if answer.status.as_u16() == 200 => {
                let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(answer.bytes.len());
                let (start, end) = (place(range.start), place(range.end));
                Ok(Bytes::from(answer.bytes).slice(start..end))
            }
            Some(answer) => Ok(answer.bytes.into()),
            None => Err(self.error(&call, "no such object")),
        }
    }

    /// What an object is, without its content; `None` where there is none.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn head(&self, key: &str) -> Result<Option<Object>> {
        let call = Call::new("HEAD", key);
        let Some(answer) = self.found(&call)? else { return Ok(None) };
        let size = answer.header("content-length").and_then(|text| text.parse().ok());
        let size = size.ok_or_else(|| self.error(&call, "the service does not tell the size"))?;
        let modified = answer.header("last-modified").and_then(|text| chrono::DateTime::parse_from_rfc2822(text).ok());
        let modified_ms = modified.map_or(0, |at| at.timestamp_millis());
        Ok(Some(Object { key: key.to_owned(), size, modified_ms }))
    }

    /// All objects whose names begin with `prefix`, by name.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        let (mut found, mut from) = (Vec::new(), None);
        loop {
            let query = self.service.list_query(prefix, from.as_deref());
            let answer = self.done(&Call { query, ..Call::new("GET", "") })?;
            let page = self.service.page(&String::from_utf8_lossy(&answer.bytes));
            found.extend(page.objects);
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        found.sort_unstable_by(|left, right| left.key.cmp(&right.key));
        Ok(found)
    }

    /// Copies an object within the bucket; replaces what is there. False where there is none to copy.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn copy(&self, from: &str, to: &str) -> Result<bool> {
        let call = Call { copy_of: Some(from), ..Call::new("PUT", to) };
        let Some(answer) = self.found(&call)? else { return Ok(false) };
        // A copy may fail after the service has begun to answer.
        match answer.bytes.windows(7).any(|text| text == b"<Error>") {
            true => Err(self.refused(&call, &answer)),
            false => Ok(true),
        }
    }

    /// Removes an object. Nothing happens where there is none.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn delete(&self, key: &str) -> Result<()> {
        self.found(&Call::new("DELETE", key)).map(|_| ())
    }

    /// The answer of a request that must succeed.
    fn done(&self, call: &Call<'_>) -> Result<Answer> {
        let answer = self.send(call)?;
        if answer.status.is_success() { Ok(answer) } else { Err(self.refused(call, &answer)) }
    }

    /// The answer of a request for an object; `None` where there is none.
    fn found(&self, call: &Call<'_>) -> Result<Option<Answer>> {
        let answer = self.send(call)?;
        match answer.status.as_u16() {
            200..=299 => Ok(Some(answer)),
            404 if !answer.tells_no_bucket() => Ok(None),
            _ => Err(self.refused(call, &answer)),
        }
    }

    fn error(&self, call: &Call<'_>, why: impl fmt::Display) -> EngineError {
        let what = match call.method {
            "GET" if call.key.is_empty() => "cannot list",
            "GET" | "HEAD" => "cannot read",
            "DELETE" => "cannot delete",
            _ => "cannot write",
        };
        EngineError::io(format_args!("{what} \"{}/{}\"", self.name, call.key), why)
    }

    fn refused(&self, call: &Call<'_>, answer: &Answer) -> EngineError {
        let text = String::from_utf8_lossy(&answer.bytes);
        let told = |tag: &str| elements(&text, tag).into_iter().next().unwrap_or_default();
        let (code, message) = (told("Code"), told("Message"));
        let message = message.lines().next().unwrap_or_default();
        self.error(call, format_args!("the service answers {} {code} {message}", answer.status).to_string().trim_end())
    }
}
