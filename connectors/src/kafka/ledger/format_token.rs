//! The commit tokens of the Kafka sink as text: JSON with a version. Old versions load for ever.

use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::CommitToken;
use serde_json::{Value, json};

const VERSION: u64 = 1;

/// Messages that are to be sent in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Staged {
    /// The transactional id, and the group whose offset tells what is committed.
    pub(super) lane: String,
    /// What that offset is when it is.
    pub(super) number: i64,
    /// The topic.
    pub(super) topic: String,
    /// The objects in the state store that hold the messages, in order.
    pub(super) chunks: Vec<String>,
}

impl Staged {
    /// The token.
    pub(super) fn write(&self) -> CommitToken {
        let Self { lane, number, topic, chunks } = self;
        CommitToken(
            json!({ "v": VERSION, "lane": lane, "number": number, "topic": topic, "chunks": chunks }).to_string(),
        )
    }

    /// What a token says.
    ///
    /// # Errors
    /// Where it is not this connector's.
    pub(super) fn read(token: &CommitToken) -> Result<Self> {
        let refuse = || EngineError::Internal(format!("\"{}\" is no token of a Kafka sink", token.0));
        let value: Value = serde_json::from_str(&token.0).map_err(|_| refuse())?;
        if value.get("v").and_then(Value::as_u64) != Some(VERSION) {
            return Err(refuse());
        }
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned).ok_or_else(refuse);
        let chunks = value.get("chunks").and_then(Value::as_array).ok_or_else(refuse)?;
        Ok(Self {
            lane: text("lane")?,
            number: value.get("number").and_then(Value::as_i64).ok_or_else(refuse)?,
            topic: text("topic")?,
            chunks: chunks
                .iter()
                .map(|path| path.as_str().map(str::to_owned).ok_or_else(refuse))
                .collect::<Result<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn tokens_of_version_1_load() {
        let staged = Staged { lane: "l".into(), number: 7, topic: "t".into(), chunks: vec!["sinks/a/1/x".into()] };
        let token = CommitToken(r#"{"chunks":["sinks/a/1/x"],"lane":"l","number":7,"topic":"t","v":1}"#.to_owned());
        assert_eq!(staged.write(), token);
        assert_eq!(Staged::read(&token).unwrap(), staged);
        assert!(Staged::read(&CommitToken("{}".to_owned())).is_err());
    }
}
