//! [`Registry`]: the calls to a schema registry.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::OptionValues;
use parking_lot::Mutex;
use serde_json::{Value, json};
use ureq::Agent;
use ureq::tls::{TlsConfig, TlsProvider};

use super::schema::Schema;

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What a registry sends and takes.
const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// A schema registry, with the schemas it has given.
pub(super) struct Registry {
    agent: Agent,
    urls: Vec<String>,
    /// The header `Authorization`.
    authorization: Option<String>,
    known: Mutex<HashMap<u32, Schema>>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("urls", &self.urls).finish_non_exhaustive()
    }
}

impl Registry {
    /// The registry that the options of a format name. Asks nothing yet.
    ///
    /// # Errors
    /// Where they name none.
    pub(super) fn from_options(format: &str, options: &OptionValues) -> Result<Self> {
        let option = |name: &str| options.get(&format!("{format}.{name}"));
        let text = option("url").unwrap_or_default();
        let mut urls: Vec<String> = text
            .split(',')
            .map(|url| url.trim().trim_end_matches('/').to_owned())
            .filter(|url| !url.is_empty())
            .collect();
        if urls.is_empty() {
            return Err(EngineError::Config {
                message: format!("format \"{format}\" needs option \"{format}.url\""),
                hint: Some("give the address of the schema registry: 'http://host:8081'".to_owned()),
            });
        }
        let mut user_info = option("basic-auth.user-info").map(str::to_owned);
        for url in &mut urls {
            // http://name:password@host
            if let Some((scheme, rest)) = url.clone().split_once("://")
                && let Some((user, host)) = rest.rsplit_once('@')
            {
                user_info.get_or_insert_with(|| user.to_owned());
                *url = format!("{scheme}://{host}");
            }
        }
        let bearer = option("bearer-auth.token").map(|token| format!("Bearer {token}"));
        let authorization = user_info.map(|user| format!("Basic {}", BASE64.encode(user))).or(bearer);
        let tls = TlsConfig::builder().provider(TlsProvider::NativeTls).build();
        let config =
            Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false).tls_config(tls).build();
        Ok(Self { agent: config.into(), urls, authorization, known: Mutex::new(HashMap::new()) })
    }

    /// A schema by its id. Waits for the registry the first time.
    ///
    /// # Errors
    /// Where the registry does not answer, or does not know it.
    pub(super) fn schema(&self, id: u32) -> Result<Schema> {
        if let Some(known) = self.known.lock().get(&id) {
            return Ok(known.clone());
        }
        let answer = self.call(&format!("/schemas/ids/{id}"), None)?;
        let broken = |what: String| EngineError::io(format_args!("the schema with id {id}"), what);
        if let Some(kind) = answer.get("schemaType").and_then(Value::as_str).filter(|kind| *kind != "AVRO") {
            return Err(broken(format!("it is not of Avro but of {kind}")));
        }
        let text = answer.get("schema").and_then(Value::as_str);
        let text = text.ok_or_else(|| broken("the registry's answer has no \"schema\"".to_owned()))?;
        let schema = Schema::parse(text).map_err(broken)?;
        self.known.lock().insert(id, schema.clone());
        Ok(schema)
    }

    /// Registers a schema, and returns its id.
    ///
    /// # Errors
    /// Where the registry does not answer, or refuses it.
    pub(super) fn register(&self, subject: &str, schema: &str) -> Result<u32> {
        let body = json!({"schema": schema});
        let answer = self.call(&format!("/subjects/{}/versions", encoded(subject)), Some(&body))?;
        let id = answer.get("id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
        id.ok_or_else(|| EngineError::io("the schema registry", "its answer has no \"id\""))
    }

    /// Asks one registry after the other until one answers.
    fn call(&self, path: &str, body: Option<&Value>) -> Result<Value> {
        let mut last = EngineError::io("the schema registry", "no address");
        for url in &self.urls {
            let what = format!("the schema registry at {url}");
            let authorization = self.authorization.as_deref();
            let sent = match body {
                None => {
                    let mut request = self.agent.get(format!("{url}{path}")).header("Accept", CONTENT_TYPE);
                    if let Some(authorization) = authorization {
                        request = request.header("Authorization", authorization);
                    }
                    request.call()
                }
                Some(body) => {
                    let mut request = self.agent.post(format!("{url}{path}")).header("Content-Type", CONTENT_TYPE);
                    if let Some(authorization) = authorization {
                        request = request.header("Authorization", authorization);
                    }
                    request.send(body.to_string())
                }
            };
            let mut response = match sent {
                Ok(response) => response,
                Err(error) => {
                    last = EngineError::io(format_args!("cannot reach {what}"), error);
                    continue;
                }
            };
            let text = response.body_mut().read_to_string().map_err(|error| EngineError::io(&what, error))?;
            let answer: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
            if response.status().is_success() {
                return Ok(answer);
            }
            let reason = answer.get("message").and_then(Value::as_str).unwrap_or("no reason given");
            return Err(EngineError::io(what, format_args!("{path}: {reason} ({})", response.status())));
        }
        Err(last)
    }
}

/// A name as a part of a path.
fn encoded(name: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    name.bytes().map(one).collect()
}
