//! The commit tokens of the `filesystem` sink as text: JSON with a version. Old versions load for ever.

use std::path::PathBuf;

use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::CommitToken;
use serde_json::{Value, json};

const VERSION: u64 = 1;

/// Files to rename: from the hidden to the visible path.
pub(super) type Renames = Vec<(PathBuf, PathBuf)>;

/// The token of some renames.
///
/// # Errors
/// Where a path is not UTF-8.
pub(super) fn write(renames: &Renames) -> Result<CommitToken> {
    let text = |path: &PathBuf| {
        path.to_str().map(str::to_owned).ok_or_else(|| {
            EngineError::io(format_args!("cannot write \"{}\"", path.display()), "its name is not UTF-8")
        })
    };
    let files = renames
        .iter()
        .map(|(hidden, visible)| Ok(json!([text(hidden)?, text(visible)?])))
        .collect::<Result<Vec<Value>>>()?;
    Ok(CommitToken(json!({ "v": VERSION, "files": files }).to_string()))
}

/// The renames of a token.
///
/// # Errors
/// Where the token is not this connector's.
pub(super) fn read(token: &CommitToken) -> Result<Renames> {
    let refuse = || EngineError::Internal(format!("\"{}\" is no token of a filesystem sink", token.0));
    let value: Value = serde_json::from_str(&token.0).map_err(|_| refuse())?;
    if value.get("v").and_then(Value::as_u64) != Some(VERSION) {
        return Err(refuse());
    }
    let files = value.get("files").and_then(Value::as_array).ok_or_else(refuse)?;
    let path = |pair: &Value, at: usize| pair.get(at).and_then(Value::as_str).map(PathBuf::from).ok_or_else(refuse);
    files.iter().map(|pair| Ok((path(pair, 0)?, path(pair, 1)?))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn tokens_of_version_1_load() {
        let renames = vec![(PathBuf::from("/a/.b"), PathBuf::from("/a/b"))];
        let token = CommitToken(r#"{"files":[["/a/.b","/a/b"]],"v":1}"#.to_owned());
        assert_eq!(write(&renames).unwrap(), token);
        assert_eq!(read(&token).unwrap(), renames);
        assert!(read(&CommitToken("{}".to_owned())).is_err());
    }
}
