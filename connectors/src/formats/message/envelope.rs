//! The JSON around the rows of a change message, and the changes it tells of.

use std::borrow::Cow;

use crate::formats::fault::Fault;
use crate::formats::json::cursor::{Cursor, unescape};

/// A row, as JSON text, that came or went.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change<'a> {
    /// It went.
    pub(super) retract: bool,
    /// The row.
    pub(super) row: Cow<'a, [u8]>,
}

/// The fields of a change message that matter, as they stand in it; `None`: missing or null.
#[derive(Debug, Default)]
pub(super) struct Envelope<'a> {
    before: Option<&'a [u8]>,
    after: Option<&'a [u8]>,
    data: Option<&'a [u8]>,
    old: Option<&'a [u8]>,
    payload: Option<&'a [u8]>,
    /// `op` or `type`.
    kind: Option<String>,
    /// Name of the database.
    pub(super) database: Option<String>,
    /// Name of the table.
    pub(super) table: Option<String>,
}

impl<'a> Envelope<'a> {
    /// Takes a message apart. `schema_include`: the change stands under `payload`.
    ///
    /// # Errors
    /// Where it is no JSON object.
    pub(super) fn parse(message: &'a [u8], schema_include: bool) -> Result<Self, Box<Fault>> {
        let outer = Self::object(message)?;
        match (schema_include, outer.payload) {
            (false, _) => Ok(outer),
            (true, Some(payload)) => Self::object(payload),
            (true, None) => Err(Fault::syntax(0, "the message has no field \"payload\"")),
        }
    }

    fn object(text: &'a [u8]) -> Result<Self, Box<Fault>> {
        let mut found = Self::default();
        let mut cursor = Cursor::new(text);
        cursor.expect(b'{')?;
        let mut first = true;
        while cursor.peek() != Some(b'}') {
            if !first {
                cursor.expect(b',')?;
                cursor.peek();
            }
            first = false;
            let name = cursor.string()?;
            cursor.expect(b':')?;
            cursor.peek();
            let start = cursor.at;
            cursor.skip_value()?;
            let value = Some(cursor.since(start)).filter(|value| *value != b"null");
            match name.raw {
                b"before" => found.before = value,
                b"after" => found.after = value,
                b"data" => found.data = value,
                b"old" => found.old = value,
                b"payload" => found.payload = value,
                b"op" | b"type" => found.kind = value.and_then(text_of),
                b"database" => found.database = value.and_then(text_of),
                b"table" => found.table = value.and_then(text_of),
                _ => {}
            }
        }
        cursor.at += 1;
        match cursor.peek() {
            None => Ok(found),
            Some(_) => Err(cursor.unexpected("the end of the message")),
        }
    }

    fn kind(&self, field: &str) -> Result<&str, Box<Fault>> {
        self.kind.as_deref().ok_or_else(|| Fault::syntax(0, format!("the message has no field \"{field}\"")))
    }

    fn data(&self) -> Result<&'a [u8], Box<Fault>> {
        self.data.ok_or_else(|| Fault::syntax(0, "the message has no field \"data\""))
    }
}

/// The changes of a Debezium message.
///
/// # Errors
/// Where its operation is unknown, or the row that it needs is missing.
pub(super) fn debezium<'a>(envelope: &Envelope<'a>) -> Result<Vec<Change<'a>>, Box<Fault>> {
    let missing = |field: &str, operation: &str| {
        let cause = "a PostgreSQL table needs REPLICA IDENTITY FULL for it";
        Fault::syntax(0, format!("operation \"{operation}\" has no field \"{field}\": {cause}"))
    };
    let change = |retract, row: &'a [u8]| Change { retract, row: Cow::Borrowed(row) };
    let operation = envelope.kind("op")?;
    let before = || envelope.before.ok_or_else(|| missing("before", operation));
    let after = || envelope.after.ok_or_else(|| missing("after", operation));
    match operation {
        "c" | "r" => Ok(vec![change(false, after()?)]),
        "u" => Ok(vec![change(true, before()?), change(false, after()?)]),
        "d" => Ok(vec![change(true, before()?)]),
        other => Err(Fault::syntax(0, format!("unknown operation \"{other}\""))),
    }
}

/// The changes of a Maxwell message.
///
/// # Errors
/// As [`debezium`].
pub(super) fn maxwell<'a>(envelope: &Envelope<'a>) -> Result<Vec<Change<'a>>, Box<Fault>> {
    let data = envelope.data()?;
    changes(&envelope.kind("type")?.to_ascii_lowercase(), data, envelope.old)
}

/// The changes of a Canal message. Changes of a table's definition are none.
///
/// # Errors
/// As [`debezium`].
pub(super) fn canal<'a>(envelope: &Envelope<'a>) -> Result<Vec<Change<'a>>, Box<Fault>> {
    let kind = envelope.kind("type")?.to_ascii_lowercase();
    if kind == "create" {
        return Ok(Vec::new());
    }
    let rows = items(envelope.data()?)?;
    let old = envelope.old.map(items).transpose()?.unwrap_or_default();
    let mut all = Vec::with_capacity(rows.len());
    for (index, row) in rows.into_iter().enumerate() {
        all.extend(changes(&kind, row, old.get(index).copied())?);
    }
    Ok(all)
}

/// The changes of one row: `old` holds the former values of the columns that changed.
fn changes<'a>(kind: &str, row: &'a [u8], old: Option<&'a [u8]>) -> Result<Vec<Change<'a>>, Box<Fault>> {
    let change = |retract| Change { retract, row: Cow::Borrowed(row) };
    match kind {
        "insert" | "bootstrap-insert" => Ok(vec![change(false)]),
        "delete" => Ok(vec![change(true)]),
        "update" => {
            let old = old.ok_or_else(|| Fault::syntax(0, "an update has no field \"old\""))?;
            Ok(vec![Change { retract: true, row: Cow::Owned(overlaid(row, old)?) }, change(false)])
        }
        other => Err(Fault::syntax(0, format!("unknown type \"{other}\""))),
    }
}

/// The object `row` with the fields of the object `old` behind its own: the last value of a field counts.
fn overlaid(row: &[u8], old: &[u8]) -> Result<Vec<u8>, Box<Fault>> {
    let inner = |text: &[u8]| -> Option<Vec<u8>> {
        Some(text.trim_ascii().strip_prefix(b"{")?.strip_suffix(b"}")?.trim_ascii().to_vec())
    };
    let (Some(row), Some(old)) = (inner(row), inner(old)) else {
        return Err(Fault::syntax(0, "a row is no JSON object"));
    };
    let comma: &[u8] = if row.is_empty() || old.is_empty() { b"" } else { b"," };
    Ok([b"{", row.as_slice(), comma, old.as_slice(), b"}"].concat())
}

/// The items of an array.
fn items(text: &[u8]) -> Result<Vec<&[u8]>, Box<Fault>> {
    let mut cursor = Cursor::new(text);
    cursor.expect(b'[')?;
    let mut found = Vec::new();
    while cursor.peek() != Some(b']') {
        if !found.is_empty() {
            cursor.expect(b',')?;
            cursor.peek();
        }
        let start = cursor.at;
        cursor.skip_value()?;
        found.push(cursor.since(start));
    }
    Ok(found)
}

/// The text of a string value.
fn text_of(value: &[u8]) -> Option<String> {
    let raw = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let mut text = Vec::new();
    unescape(raw, &mut text)?;
    String::from_utf8(text).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use super::*;

    /// The changes of a message, `-` before a row that went; or what is wrong with it.
    fn told(of: fn(&Envelope<'_>) -> Vec<String>, message: &str) -> Vec<String> {
        of(&Envelope::parse(message.as_bytes(), message.contains("payload")).unwrap())
    }

    fn shown(changes: Result<Vec<Change<'_>>, Box<Fault>>) -> Vec<String> {
        match changes {
            Ok(changes) => {
                let one = |change: Change<'_>| {
                    let sign = if change.retract { "-" } else { "+" };
                    format!("{sign}{}", String::from_utf8_lossy(&change.row))
                };
                changes.into_iter().map(one).collect()
            }
            Err(fault) => vec![fault.what],
        }
    }

    #[test]
    fn debezium_messages() {
        let of = |message| told(|envelope| shown(debezium(envelope)), message);
        assert_eq!(of(r#"{"before":null,"after":{"a":1},"op":"c"}"#), [r#"+{"a":1}"#]);
        assert_eq!(of(r#"{"op":"u","before":{"a":1},"after":{"a":2}}"#), [r#"-{"a":1}"#, r#"+{"a":2}"#]);
        assert_eq!(of(r#"{"schema":{},"payload":{"op":"d","before":{"a":1}}}"#), [r#"-{"a":1}"#]);
        assert!(of(r#"{"op":"u","before":null,"after":{}}"#).concat().contains("REPLICA IDENTITY"));
        assert_eq!(of(r#"{"op":"x"}"#), [r#"unknown operation "x""#]);
        assert_eq!(of("{}"), [r#"the message has no field "op""#]);
    }

    #[test]
    fn canal_and_maxwell_messages() {
        let of = |message| told(|envelope| shown(canal(envelope)), message);
        let update = r#"{"type":"UPDATE","data":[{"a":1,"b":2}, {"a":3}],"old":[{"b":9},{}]}"#;
        assert_eq!(of(update), [r#"-{"a":1,"b":2,"b":9}"#, r#"+{"a":1,"b":2}"#, r#"-{"a":3}"#, r#"+{"a":3}"#]);
        assert_eq!(of(r#"{"type":"CREATE","data":null}"#), [""; 0]);
        assert_eq!(of(r#"{"type":"DELETE","data":[{"a":1}]}"#), [r#"-{"a":1}"#]);
        let of = |message| told(|envelope| shown(maxwell(envelope)), message);
        assert_eq!(of(r#"{"type":"insert","data":{"a":1}}"#), [r#"+{"a":1}"#]);
        assert_eq!(of(r#"{"type":"update","data":{"a":1}}"#), [r#"an update has no field "old""#]);
        assert_eq!(of(r#"{"type":"alter","data":{}}"#), [r#"unknown type "alter""#]);
    }

    #[test]
    fn what_is_no_object_is_a_fault() {
        for bad in ["", "[]", "{", r#"{"a":1"#, r#"{"a":1} x"#, r#"{"op" "c"}"#, "{\"a\":[}"] {
            assert!(Envelope::parse(bad.as_bytes(), false).is_err(), "{bad}");
        }
        assert!(Envelope::parse(b"{}", true).is_err(), "no payload");
    }
}
