//! What is wrong with one record of a text format, and the message that a user gets for it.

use std::fmt::Write as _;

use millstream_engine::error::EngineError;

/// Characters of a record that a message shows at the most.
const EXCERPT_CHARS: usize = 80;

/// How far a fault reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// The record cannot be taken apart.
    Syntax,
    /// One value does not fit its column; the rest of the record is sound.
    Value,
}

/// A record that breaks its format or the declared columns.
#[derive(Debug)]
pub(crate) struct Fault {
    /// How far it reaches.
    pub(crate) kind: FaultKind,
    /// Byte of the record where it shows.
    pub(crate) at: usize,
    /// What was expected and what was found.
    pub(crate) what: String,
    /// The column, with the ROW fields on the way to it, outermost first. Empty: the record as a whole.
    pub(crate) path: Vec<String>,
}

impl Fault {
    /// The record cannot be taken apart.
    pub(crate) fn syntax(at: usize, what: impl Into<String>) -> Box<Self> {
        Box::new(Self { kind: FaultKind::Syntax, at, what: what.into(), path: Vec::new() })
    }

    /// One value does not fit.
    pub(crate) fn value(at: usize, what: impl Into<String>) -> Box<Self> {
        Box::new(Self { kind: FaultKind::Value, at, what: what.into(), path: Vec::new() })
    }

    /// The same fault, seen from the ROW or record that holds the field `name`.
    pub(crate) fn inside(mut self: Box<Self>, name: &str) -> Box<Self> {
        self.path.insert(0, name.to_owned());
        self
    }

    /// The error for a user: `PLACE: column "c": WHAT, in: EXCERPT`; of a record without a text to show, and an empty hint,
    /// without these.
    pub(crate) fn into_error(self, place: &str, record: &[u8], hint: &str) -> EngineError {
        let mut message = format!("{place}: ");
        if !self.path.is_empty() {
            let _ = write!(message, "column \"{}\": ", self.path.join("."));
        }
        message += &self.what;
        let shown = excerpt(record, self.at);
        if !shown.is_empty() {
            let _ = write!(message, ", in: {shown}");
        }
        EngineError::BadRow { message, hint: (!hint.is_empty()).then(|| hint.to_owned()) }
    }
}

/// At most [`EXCERPT_CHARS`] characters of `record` around byte `at`, printable.
pub(crate) fn excerpt(record: &[u8], at: usize) -> String {
    let text = String::from_utf8_lossy(record);
    let text = text.trim_end_matches(['\r', '\n']);
    let chars = text.chars().count();
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    if chars <= EXCERPT_CHARS {
        return text.chars().map(printable).collect();
    }
    let before = String::from_utf8_lossy(record.get(..at.min(record.len())).unwrap_or_default()).chars().count();
    let first = before.saturating_sub(EXCERPT_CHARS / 2).min(chars - EXCERPT_CHARS);
    let piece: String = text.chars().skip(first).take(EXCERPT_CHARS).map(printable).collect();
    let (head, tail) = (if first > 0 { "…" } else { "" }, if first + EXCERPT_CHARS < chars { "…" } else { "" });
    format!("{head}{piece}{tail}")
}

/// A value for a message: quoted, shortened.
pub(crate) fn shown(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let mut chars = text.chars();
    let head: String = chars.by_ref().take(40).collect();
    if chars.next().is_some() { format!("{head}…") } else { head }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_short_and_show_the_place() {
        assert_eq!(excerpt(b"short\tline\r\n", 3), "short line");
        let mut long = vec![b'a'; 500];
        long.extend_from_slice(b"HERE");
        long.extend_from_slice(&[b'b'; 500]);
        let piece = excerpt(&long, 500);
        assert!(piece.contains("HERE") && piece.starts_with('…') && piece.ends_with('…'));
        assert_eq!(piece.chars().count(), EXCERPT_CHARS + 2);
        assert!(excerpt(&[0xff, 0xfe], 1).contains('\u{fffd}'));
    }
}
