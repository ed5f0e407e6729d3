//! One request: what is asked for, what a service makes of it, and how it is sent until it is answered for good.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use chrono::{DateTime, Utc};
use millstream_engine::error::Result;
use ureq::Body;
use ureq::http::{HeaderMap, Request, StatusCode};

use super::Bucket;
use super::listing::Page;

/// How often a request is sent at most.
pub(crate) const ATTEMPTS: u32 = 6;
/// The pause before the second attempt; it doubles from attempt to attempt.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest object that is read: 16 GiB.
const OBJECT_BYTES_MAX: u64 = 16 << 30;

/// What a service does in its own way.
pub(super) trait Service: Send + Sync {
    /// The address and the headers of a request; `when` it is sent.
    fn request(&self, call: &Call<'_>, when: DateTime<Utc>) -> Prepared;

    /// The query of a listing of all keys with a prefix, from where the page before has ended.
    fn list_query(&self, prefix: &str, from: Option<&str>) -> Vec<(&'static str, String)>;

    /// A page of a listing.
    fn page(&self, text: &str) -> Page;
}

/// A request before it is signed.
pub(super) struct Call<'a> {
    pub(super) method: &'static str,
    /// The object; empty: the bucket.
    pub(super) key: &'a str,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: &'a [u8],
    /// Only where there is no such object.
    pub(super) if_absent: bool,
    /// Only these bytes.
    pub(super) range: Option<Range<u64>>,
    /// Of this object, instead of the body.
    pub(super) copy_of: Option<&'a str>,
}

impl<'a> Call<'a> {
    /// A request that is only about an object.
    pub(super) fn new(method: &'static str, key: &'a str) -> Self {
        Self { method, key, query: Vec::new(), body: &[], if_absent: false, range: None, copy_of: None }
    }

    /// The text of the header `Range`.
    pub(super) fn range_text(&self) -> Option<String> {
        self.range.as_ref().map(|range| format!("bytes={}-{}", range.start, range.end.saturating_sub(1)))
    }
}

/// A request as it is sent.
pub(super) struct Prepared {
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    pub(super) bytes: Vec<u8>,
    /// An attempt before it has failed, perhaps after the service had done what it was asked to.
    pub(super) repeated: bool,
}

impl Answer {
    /// A header's text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether not only the object but the whole bucket is missing.
    pub(super) fn tells_no_bucket(&self) -> bool {
        let text = String::from_utf8_lossy(&self.bytes);
        ["NoSuchBucket", "ContainerNotFound"].iter().any(|code| text.contains(code))
    }

    /// Whether another attempt may succeed.
    fn is_passing(&self) -> bool {
        match self.status.as_u16() {
            408 | 429 => true,
            // Of two conditional writes at the same time; at Azure also where the object is there.
            409 => !String::from_utf8_lossy(&self.bytes).contains("BlobAlreadyExists"),
            _ => self.status.is_server_error(),
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Answer").field(&self.status).finish()
    }
}

impl Bucket {
    /// Sends a request until it is answered for good.
    pub(super) fn send(&self, call: &Call<'_>) -> Result<Answer> {
        let mut pause = PAUSE;
        let mut attempt = 1;
        loop {
            let sent = self.send_once(call);
            let again = match &sent {
                Ok(answer) => answer.is_passing(),
                Err(_) => true,
            };
            if !again || attempt == ATTEMPTS {
                let answer = sent.map_err(|error| self.error(call, error))?;
                return Ok(Answer { repeated: attempt > 1, ..answer });
            }
            (self.pause)(pause);
            pause *= 2;
            attempt += 1;
        }
    }

    fn send_once(&self, call: &Call<'_>) -> std::result::Result<Answer, String> {
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
        let bytes = body.map_err(|error| error.to_string())?;
        Ok(Answer { status: response.status(), headers: response.headers().clone(), bytes, repeated: false })
    }
}
