//! [`S3`]: Amazon S3 and what speaks its language: MinIO, Ceph, R2, and Google Cloud Storage with HMAC keys.
//!
//! Requests are signed as the "Signature Version 4" of the S3 API reference has it. A put where nothing is has the header
//! `If-None-Match: *`, at Google `x-goog-if-generation-match: 0`. Google refuses requests with headers of both families, `x-amz-`
//! and `x-goog-`: so there all are Google's own, and the signature is that of its "V4 signing process", which differs in words.

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use millstream_engine::error::{EngineError, Result};
use sha2::{Digest, Sha256};

use super::StoreUrl;
use super::listing::{Page, Tags, elements, objects};
use super::request::{Call, Prepared, Service};
use super::url::{encoded, query_text};

/// How a listing names what it tells.
const TAGS: Tags = Tags { object: "Contents", key: "Key", size: "Size", modified: "LastModified" };

/// See the module.
pub(super) struct S3 {
    /// Scheme and host, without a path.
    origin: String,
    host: String,
    /// The bucket in the path, with a slash before it; empty where it is in the host.
    base: String,
    bucket: String,
    region: String,
    keys: Option<Keys>,
    words: &'static Words,
}

/// What a service calls the parts of a request.
struct Words {
    algorithm: &'static str,
    /// Before the secret, where a key is made of it.
    before_secret: &'static str,
    service: &'static str,
    end_of_scope: &'static str,
    date: &'static str,
    body_hash: &'static str,
    copy_source: &'static str,
    /// The header of a put where nothing is.
    if_absent: (&'static str, &'static str),
}

const AMAZON: Words = Words {
    algorithm: "AWS4-HMAC-SHA256",
    before_secret: "AWS4",
    service: "s3",
    end_of_scope: "aws4_request",
    date: "x-amz-date",
    body_hash: "x-amz-content-sha256",
    copy_source: "x-amz-copy-source",
    if_absent: ("if-none-match", "*"),
};

const GOOGLE: Words = Words {
    algorithm: "GOOG4-HMAC-SHA256",
    before_secret: "GOOG4",
    service: "storage",
    end_of_scope: "goog4_request",
    date: "x-goog-date",
    body_hash: "x-goog-content-sha256",
    copy_source: "x-goog-copy-source",
    if_absent: ("x-goog-if-generation-match", "0"),
};

struct Keys {
    id: String,
    secret: String,
    session: Option<String>,
}

impl S3 {
    /// The bucket of a URL, with settings from there and from the environment.
    ///
    /// # Errors
    /// Where there are no keys.
    pub(super) fn new(url: &StoreUrl, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let google = matches!(url.scheme.as_str(), "gs" | "gcs");
        let first = |names: &[&str]| names.iter().find_map(|name| env(name)).filter(|value| !value.is_empty());
        let region = url.setting("region").or_else(|| first(&["AWS_REGION", "AWS_DEFAULT_REGION"]));
        let region = region.unwrap_or_else(|| if google { "auto" } else { "us-east-1" }.into());
        let own = if google { "GS_ENDPOINT" } else { "AWS_ENDPOINT_URL_S3" };
        let common: &[&str] = if google { &[] } else { &["AWS_ENDPOINT_URL", "AWS_ENDPOINT"] };
        let endpoint = url.setting("endpoint").or_else(|| first(&[own])).or_else(|| first(common));
        let path_style = endpoint.is_some() || google || url.bucket.contains('.') || url.flag("path-style");
        let endpoint = endpoint.unwrap_or_else(|| match (google, path_style) {
            (true, _) => "https://storage.googleapis.com".into(),
            (false, true) => format!("https://s3.{region}.amazonaws.com"),
            (false, false) => format!("https://{}.s3.{region}.amazonaws.com", url.bucket),
        });
        let origin = endpoint.trim_end_matches('/').to_owned();
        let host = origin.split_once("://").map_or(origin.as_str(), |(_, host)| host).to_owned();
        let names: [&[&str]; 2] = if google {
            [&["GS_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID"], &["GS_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY"]]
        } else {
            [&["AWS_ACCESS_KEY_ID"], &["AWS_SECRET_ACCESS_KEY"]]
        };
        let keys = match (first(names[0]), first(names[1])) {
            _ if url.flag("anonymous") => None,
            (Some(id), Some(secret)) => {
                Some(Keys { id, secret, session: env("AWS_SESSION_TOKEN").filter(|_| !google) })
            }
            _ => {
                return Err(EngineError::Config {
                    message: format!("there are no keys for \"{}\"", url.name()),
                    hint: Some(format!("set {} and {} in the environment", names[0][0], names[1][0])),
                });
            }
        };
        let base = if path_style { format!("/{}", encoded(&url.bucket, b"")) } else { String::new() };
        Ok(Self {
            origin,
            host,
            base,
            bucket: url.bucket.clone(),
            region,
            keys,
            words: if google { &GOOGLE } else { &AMAZON },
        })
    }

    /// The header `Authorization` over these headers, which are sorted.
    fn authorization(&self, keys: &Keys, signed: &Signed<'_>) -> String {
        let names = signed.headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
        let lines: String = signed.headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
        let request =
            format!("{}\n{}\n{}\n{lines}\n{names}\n{}", signed.method, signed.path, signed.query, signed.body_hash);
        let day = signed.moment.get(..8).unwrap_or_default();
        let Words { algorithm, before_secret, service, end_of_scope, .. } = self.words;
        let scope = format!("{day}/{}/{service}/{end_of_scope}", self.region);
        let text = format!("{algorithm}\n{}\n{scope}\n{}", signed.moment, hex(&Sha256::digest(request)));
        let start = format!("{before_secret}{}", keys.secret).into_bytes();
        let key = [day, &self.region, service, end_of_scope].iter().fold(start, |key, part| mac(&key, part));
        let signature = hex(&mac(&key, &text));
        format!("{algorithm} Credential={}/{scope}, SignedHeaders={names}, Signature={signature}", keys.id)
    }
}

/// What a signature is over.
struct Signed<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
    headers: &'a [(String, String)],
    body_hash: &'a str,
    moment: &'a str,
}

impl Service for S3 {
    fn request(&self, call: &Call<'_>, when: DateTime<Utc>) -> Prepared {
        let path = format!("{}/{}", self.base, encoded(call.key, b"/"));
        let query = query_text(&call.query);
        let body_hash = hex(&Sha256::digest(call.body));
        let moment = when.format("%Y%m%dT%H%M%SZ").to_string();
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let words = self.words;
        let mut headers =
            vec![header("host", &self.host), header(words.body_hash, &body_hash), header(words.date, &moment)];
        if call.if_absent {
            headers.push(header(words.if_absent.0, words.if_absent.1));
        }
        headers.extend(call.range_text().map(|range| header("range", &range)));
        if let Some(from) = call.copy_of {
            headers
                .push(header(words.copy_source, &format!("/{}/{}", encoded(&self.bucket, b""), encoded(from, b"/"))));
        }
        if let Some(keys) = &self.keys {
            headers.extend(keys.session.as_ref().map(|token| header("x-amz-security-token", token)));
            headers.sort_unstable();
            let (method, path, query, body_hash) = (call.method, path.as_str(), query.as_str(), body_hash.as_str());
            let signed = Signed { method, path, query, headers: &headers, body_hash, moment: &moment };
            let authorization = self.authorization(keys, &signed);
            headers.push(header("authorization", &authorization));
        }
        let mark = if query.is_empty() { "" } else { "?" };
        Prepared { url: format!("{}{path}{mark}{query}", self.origin), headers }
    }

    fn list_query(&self, prefix: &str, from: Option<&str>) -> Vec<(&'static str, String)> {
        let mut query = vec![("list-type", "2".to_owned()), ("prefix", prefix.to_owned())];
        query.extend(from.map(|from| ("continuation-token", from.to_owned())));
        query
    }

    fn page(&self, text: &str) -> Page {
        let next = elements(text, "NextContinuationToken").into_iter().next();
        Page { objects: objects(text, &TAGS), next: next.filter(|next| !next.is_empty()) }
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    // A key may be of any length.
    Hmac::<Sha256>::new_from_slice(key).map_or_else(
        |_| Vec::new(),
        |mut mac| {
            mac.update(text.as_bytes());
            mac.finalize().into_bytes().to_vec()
        },
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// The example "GET Bucket (List Objects)" of the S3 API reference, "Signature Calculations for the Authorization Header".
    #[test]
    fn the_signature_is_that_of_the_reference() {
        let keys = Keys {
            id: "AKIAIOSFODNN7EXAMPLE".into(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
            session: None,
        };
        let host = "examplebucket.s3.amazonaws.com".to_owned();
        let (origin, region) = (format!("https://{host}"), "us-east-1".to_owned());
        let (base, bucket) = (String::new(), "examplebucket".to_owned());
        let s3 = S3 { origin, host, base, bucket, region, keys: Some(keys), words: &AMAZON };
        let query = vec![("prefix", "J".to_owned()), ("max-keys", "2".to_owned())];
        let call = Call { query, ..Call::new("GET", "") };
        let when = DateTime::parse_from_rfc3339("2013-05-24T00:00:00Z").unwrap().to_utc();
        let prepared = s3.request(&call, when);
        assert_eq!(prepared.url, "https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J");
        let (_, authorization) = prepared.headers.last().unwrap();
        let signature = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7";
        assert!(authorization.ends_with(&format!("Signature={signature}")), "{authorization}");
    }

    #[test]
    fn a_request_to_google_has_headers_of_one_family() {
        let url = StoreUrl::parse("gs://bucket/state").unwrap();
        let s3 = S3::new(&url, &|name| Some(name.to_ascii_lowercase())).unwrap();
        let call = Call { body: b"x", if_absent: true, ..Call::new("PUT", "state/a") };
        let prepared = s3.request(&call, DateTime::parse_from_rfc3339("2026-01-02T03:04:05Z").unwrap().to_utc());
        let names: Vec<&str> = prepared.headers.iter().map(|(name, _)| name.as_str()).collect();
        let google = ["host", "x-goog-content-sha256", "x-goog-date", "x-goog-if-generation-match", "authorization"];
        assert_eq!(names, google);
        let (_, authorization) = prepared.headers.last().unwrap();
        let start = "GOOG4-HMAC-SHA256 Credential=gs_access_key_id/20260102/aws_region/storage/goog4_request, ";
        assert!(authorization.starts_with(start), "{authorization}");
    }
}
