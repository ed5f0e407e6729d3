//! [`RemoteStore`]: a state store in a bucket of an object store.
//!
//! The calls are few and plain: put, put where nothing is, get, list, delete. What differs from service to service is how a
//! request is addressed and signed, and how a listing reads: [`s3`] for Amazon's and all that speak its language, Google's
//! among them, and [`azure`]. A request that fails in passing is sent again, later each time.

mod azure;
mod listing;
mod s3;
mod url;

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::StateStore;
use ureq::http::{Request, StatusCode};
use ureq::tls::{TlsConfig, TlsProvider};
use ureq::{Agent, Body};

use self::listing::Page;
pub(super) use self::url::StoreUrl;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the service may take to answer, once it has a request.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a request may take with its object, unless the URL says otherwise: milliseconds.
const TIMEOUT_MS: u64 = 600_000;
/// How often a request is sent at most.
const ATTEMPTS: u32 = 6;
/// The pause before the second attempt; it doubles from attempt to attempt.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest object that is read: 16 GiB.
const OBJECT_BYTES_MAX: u64 = 16 << 30;

/// See the module.
pub(super) struct RemoteStore {
    service: Box<dyn Service>,
    agent: Agent,
    /// Before all paths; empty, or ends with `/`.
    prefix: String,
    /// The place for people.
    name: String,
    pause: fn(Duration),
}

/// What a service does in its own way.
trait Service: Send + Sync {
    /// The address and the headers of a request; `when` it is sent.
    fn request(&self, call: &Call<'_>, when: DateTime<Utc>) -> Prepared;

    /// The query of a listing of all keys with a prefix, from where the page before has ended.
    fn list_query(&self, prefix: &str, from: Option<&str>) -> Vec<(&'static str, String)>;

    /// A page of a listing.
    fn page(&self, text: &str) -> Page;
}

/// A request before it is signed.
struct Call<'a> {
    method: &'static str,
    /// The object; empty: the bucket.
    key: &'a str,
    query: Vec<(&'static str, String)>,
    body: &'a [u8],
    /// Only where there is no such object.
    if_absent: bool,
}

/// A request as it is sent.
struct Prepared {
    url: String,
    headers: Vec<(String, String)>,
}

/// An answer.
struct Answer {
    status: StatusCode,
    bytes: Vec<u8>,
    /// An attempt before it has failed, perhaps after the service had done what it was asked to.
    repeated: bool,
}

impl RemoteStore {
    /// The store of a URL. Asks nothing yet.
    ///
    /// # Errors
    /// Where settings are missing.
    pub(super) fn open(url: &StoreUrl, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
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
        // Nobody wakes the thread: it is the one that writes checkpoints.
        let pause = |pause| std::thread::park_timeout(pause);
        Ok(Self { service, agent: config.into(), prefix: url.prefix.clone(), name: url.name(), pause })
    }

    /// Sends a request until it is answered for good.
    fn send(&self, call: &Call<'_>) -> Result<Answer> {
        let mut pause = PAUSE;
        let mut attempt = 1;
        loop {
            let sent = self.send_once(call);
            let again = match &sent {
                Ok((status, bytes)) => is_passing(*status, bytes),
                Err(_) => true,
            };
            if !again || attempt == ATTEMPTS {
                let (status, bytes) = sent.map_err(|error| self.error(call, error))?;
                return Ok(Answer { status, bytes, repeated: attempt > 1 });
            }
            (self.pause)(pause);
            pause *= 2;
            attempt += 1;
        }
    }

    fn send_once(&self, call: &Call<'_>) -> std::result::Result<(StatusCode, Vec<u8>), String> {
        let prepared = self.service.request(call, Utc::now());
        let mut request = Request::builder().method(call.method).uri(&prepared.url);
        for (name, value) in &prepared.headers {
            request = request.header(name, value);
        }
        let answered = match call.method {
            "PUT" => request.body(call.body).map_err(|error| error.to_string()).map(|request| self.agent.run(request)),
            _ => request.body(()).map_err(|error| error.to_string()).map(|request| self.agent.run(request)),
        };
        let mut response: ureq::http::Response<Body> = answered?.map_err(|error| error.to_string())?;
        let body = response.body_mut().with_config().limit(OBJECT_BYTES_MAX).read_to_vec();
        Ok((response.status(), body.map_err(|error| error.to_string())?))
    }

    fn object<'a>(&self, method: &'static str, key: &'a str, body: &'a [u8]) -> Call<'a> {
        Call { method, key, query: Vec::new(), body, if_absent: false }
    }

    fn error(&self, call: &Call<'_>, why: impl fmt::Display) -> EngineError {
        let what = match call.method {
            "GET" if call.key.is_empty() => "cannot list",
            "GET" => "cannot read",
            "DELETE" => "cannot delete",
            _ => "cannot write",
        };
        let path = call.key.strip_prefix(&self.prefix).unwrap_or(call.key);
        EngineError::io(format_args!("{what} \"{}{path}\"", self.name), why)
    }

    fn refused(&self, call: &Call<'_>, answer: &Answer) -> EngineError {
        let text = String::from_utf8_lossy(&answer.bytes);
        let told = |tag: &str| listing::elements(&text, tag).into_iter().next().unwrap_or_default();
        let (code, message) = (told("Code"), told("Message"));
        let message = message.lines().next().unwrap_or_default();
        self.error(call, format_args!("the service answers {} {code} {message}", answer.status).to_string().trim_end())
    }

    fn checked(&self, path: &str) -> Result<String> {
        let inside = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if inside {
            Ok(format!("{}{path}", self.prefix))
        } else {
            Err(EngineError::Internal(format!("\"{path}\" is no path of a state store")))
        }
    }
}

/// Whether another attempt may succeed.
fn is_passing(status: StatusCode, bytes: &[u8]) -> bool {
    match status.as_u16() {
        408 | 429 => true,
        // Of two conditional writes at the same time; at Azure also where the object is there.
        409 => !String::from_utf8_lossy(bytes).contains("BlobAlreadyExists"),
        _ => status.is_server_error(),
    }
}

impl fmt::Debug for RemoteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RemoteStore").field(&self.name).finish()
    }
}

impl StateStore for RemoteStore {
    fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let key = self.checked(path)?;
        let call = self.object("PUT", &key, bytes);
        let answer = self.send(&call)?;
        if answer.status.is_success() { Ok(()) } else { Err(self.refused(&call, &answer)) }
    }

    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<bool> {
        let key = self.checked(path)?;
        let call = Call { if_absent: true, ..self.object("PUT", &key, bytes) };
        let answer = self.send(&call)?;
        match answer.status.as_u16() {
            200..=299 => Ok(true),
            // What is there may be from an attempt of ours whose answer was lost. Without content nobody can tell.
            409 | 412 => Ok(answer.repeated && !bytes.is_empty() && self.get(path)?.as_deref() == Some(bytes)),
            _ => Err(self.refused(&call, &answer)),
        }
    }

    fn get(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let key = self.checked(path)?;
        let call = self.object("GET", &key, &[]);
        let answer = self.send(&call)?;
        match answer.status.as_u16() {
            200..=299 => Ok(Some(answer.bytes)),
            404 if !is_no_bucket(&answer) => Ok(None),
            _ => Err(self.refused(&call, &answer)),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let all = format!("{}{prefix}", self.prefix);
        let (mut found, mut from) = (Vec::new(), None);
        loop {
            let query = self.service.list_query(&all, from.as_deref());
            let call = Call { query, ..self.object("GET", "", &[]) };
            let answer = self.send(&call)?;
            if !answer.status.is_success() {
                return Err(self.refused(&call, &answer));
            }
            let page = self.service.page(&String::from_utf8_lossy(&answer.bytes));
            found.extend(page.keys.iter().filter_map(|key| key.strip_prefix(&self.prefix)).map(str::to_owned));
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    fn delete(&self, path: &str) -> Result<()> {
        let key = self.checked(path)?;
        let call = self.object("DELETE", &key, &[]);
        let answer = self.send(&call)?;
        if answer.status.is_success() || (answer.status.as_u16() == 404 && !is_no_bucket(&answer)) {
            return Ok(());
        }
        Err(self.refused(&call, &answer))
    }

    fn describe(&self) -> String {
        format!("\"{}\"", self.name)
    }
}

fn is_no_bucket(answer: &Answer) -> bool {
    let text = String::from_utf8_lossy(&answer.bytes);
    ["NoSuchBucket", "ContainerNotFound"].iter().any(|code| text.contains(code))
}
