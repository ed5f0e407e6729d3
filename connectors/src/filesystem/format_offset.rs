//! The offsets of the `filesystem` source as text: JSON with a version, kept in checkpoints. Old versions load for ever.

use std::collections::BTreeSet;

use millstream_engine::error::{EngineError, Result};
use serde_json::{Value, json};

const VERSION: u64 = 1;

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Position {
    /// Bytes (text formats) or rows (Parquet) behind us.
    pub(crate) at: u64,
    /// Lines behind us, for messages.
    pub(crate) line: u64,
}

/// Where a watched directory stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct WatchOffset {
    /// Files read to their end.
    pub(crate) done: BTreeSet<String>,
    /// The file being read.
    pub(crate) current: Option<(String, Position)>,
}

/// The text of a position.
pub(crate) fn write_position(position: Position) -> String {
    json!({ "v": VERSION, "at": position.at, "line": position.line }).to_string()
}

/// The position of a text.
///
/// # Errors
/// Where the text is not one.
pub(crate) fn read_position(text: &str) -> Result<Position> {
    position(&parse(text)?).ok_or_else(|| refuse(text))
}

/// The text of a watched directory's offset.
pub(crate) fn write_watch(offset: &WatchOffset) -> String {
    let current =
        offset.current.as_ref().map(|(file, place)| json!({"file": file, "at": place.at, "line": place.line}));
    json!({ "v": VERSION, "done": offset.done, "current": current }).to_string()
}

/// The offset of a watched directory from its text.
///
/// # Errors
/// Where the text is not one.
pub(crate) fn read_watch(text: &str) -> Result<WatchOffset> {
    let value = parse(text)?;
    let done = value.get("done").and_then(Value::as_array).ok_or_else(|| refuse(text))?;
    let done = done.iter().map(|file| file.as_str().map(str::to_owned).ok_or_else(|| refuse(text)));
    let current = match value.get("current") {
        None | Some(Value::Null) => None,
        Some(current) => {
            let file = current.get("file").and_then(Value::as_str).ok_or_else(|| refuse(text))?;
            Some((file.to_owned(), position(current).ok_or_else(|| refuse(text))?))
        }
    };
    Ok(WatchOffset { done: done.collect::<Result<_>>()?, current })
}

fn parse(text: &str) -> Result<Value> {
    let value: Value = serde_json::from_str(text).map_err(|_| refuse(text))?;
    match value.get("v").and_then(Value::as_u64) {
        Some(VERSION) => Ok(value),
        Some(_) | None => Err(refuse(text)),
    }
}

fn position(value: &Value) -> Option<Position> {
    Some(Position { at: value.get("at")?.as_u64()?, line: value.get("line")?.as_u64()? })
}

fn refuse(text: &str) -> EngineError {
    EngineError::config(format!("\"{text}\" is no offset of a filesystem source"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn offsets_of_version_1_load() {
        let position = Position { at: 17, line: 2 };
        assert_eq!(read_position(r#"{"at":17,"line":2,"v":1}"#).unwrap(), position);
        assert_eq!(read_position(&write_position(position)).unwrap(), position);
        let watch = WatchOffset { done: BTreeSet::from(["a".to_owned()]), current: Some(("b".to_owned(), position)) };
        let text = r#"{"current":{"at":17,"file":"b","line":2},"done":["a"],"v":1}"#;
        assert_eq!(write_watch(&watch), text);
        assert_eq!(read_watch(text).unwrap(), watch);
        for bad in ["", "{}", r#"{"v":2,"at":1,"line":1}"#, r#"{"v":1,"done":[1]}"#] {
            assert!(read_position(bad).is_err() && read_watch(bad).is_err(), "{bad}");
        }
    }
}
