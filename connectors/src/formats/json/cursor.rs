//! A place in the bytes of one JSON text, and the steps over white space, strings and whole values.
//!
//! Nothing is built here: what a value means for a column is decided in [`super::decode`].

use memchr::memchr2;

use crate::formats::fault::{Fault, shown};

/// Levels of nesting that a skipped value may have.
const DEPTH_MAX: u32 = 128;

/// The result of a step.
pub(in crate::formats) type Step<T> = Result<T, Box<Fault>>;

/// A place in a JSON text.
#[derive(Debug, Clone, Copy)]
pub(in crate::formats) struct Cursor<'a> {
    bytes: &'a [u8],
    /// Bytes behind us.
    pub(in crate::formats) at: usize,
}

/// A string as it stands in the text, without its quotes.
#[derive(Debug, Clone, Copy)]
pub(in crate::formats) struct RawString<'a> {
    /// The bytes between the quotes.
    pub(in crate::formats) raw: &'a [u8],
    /// Whether a backslash is among them.
    pub(in crate::formats) escaped: bool,
}

impl<'a> Cursor<'a> {
    /// At the start of a text.
    pub(in crate::formats) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// What is left of the text.
    pub(in crate::formats) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The bytes from `start` to here.
    pub(in crate::formats) fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.at).unwrap_or_default()
    }

    /// The next byte that is not white space; it is not passed.
    #[inline]
    pub(in crate::formats) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    /// Passes `byte`, which must come next.
    #[inline]
    pub(in crate::formats) fn expect(&mut self, byte: u8) -> Step<()> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.unexpected(&format!("'{}'", char::from(byte))))
        }
    }

    /// The fault that `wanted` should have come here.
    pub(in crate::formats) fn unexpected(&self, wanted: &str) -> Box<Fault> {
        let rest = self.rest();
        if rest.is_empty() {
            return Fault::syntax(self.at, format!("invalid JSON: expected {wanted}, found the end of the line"));
        }
        let end = rest.iter().position(|byte| matches!(byte, b',' | b'}' | b']' | b' ')).unwrap_or(rest.len()).max(1);
        let found = shown(rest.get(..end).unwrap_or(rest));
        Fault::syntax(self.at, format!("invalid JSON at column {}: expected {wanted}, found {found}", self.at + 1))
    }

    /// A string; the opening quote comes next.
    #[inline]
    pub(in crate::formats) fn string(&mut self) -> Step<RawString<'a>> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            let rest = self.rest();
            let Some(stop) = memchr2(b'"', b'\\', rest) else {
                return Err(Fault::syntax(start, "invalid JSON: a string has no end"));
            };
            self.at += stop;
            if rest.get(stop) == Some(&b'"') {
                let raw = self.since(start);
                self.at += 1;
                return Ok(RawString { raw, escaped });
            }
            escaped = true;
            self.at += 2;
            if self.at > self.bytes.len() {
                return Err(Fault::syntax(start, "invalid JSON: a string has no end"));
            }
        }
    }

    /// The bytes of a number, `true`, `false`, `null` or of whatever stands in their place.
    #[inline]
    pub(in crate::formats) fn word(&mut self) -> &'a [u8] {
        let start = self.at;
        while let Some(byte) = self.bytes.get(self.at) {
            if matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n' | b':' | b'"' | b'{' | b'[') {
                break;
            }
            self.at += 1;
        }
        self.since(start)
    }

    /// Passes one value of any kind.
    pub(in crate::formats) fn skip_value(&mut self) -> Step<()> {
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'{' | b'[') => self.skip_nested(),
            Some(_) => {
                let start = self.at;
                let word = self.word();
                if is_scalar_word(word) {
                    return Ok(());
                }
                self.at = start;
                Err(self.unexpected("a value"))
            }
            None => Err(self.unexpected("a value")),
        }
    }

    /// Passes an object or array: brackets must match; what stands between them is taken on trust.
    fn skip_nested(&mut self) -> Step<()> {
        // One bit a level: set for an object.
        let mut objects: u128 = 0;
        let mut depth: u32 = 0;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.string()?;
                    continue;
                }
                Some(open @ (b'{' | b'[')) => {
                    if depth == DEPTH_MAX {
                        return Err(Fault::syntax(self.at, format!("JSON nested deeper than {DEPTH_MAX} levels")));
                    }
                    objects = (objects << 1) | u128::from(open == b'{');
                    depth += 1;
                }
                Some(close @ (b'}' | b']')) => {
                    if (objects & 1 == 1) != (close == b'}') {
                        return Err(self.unexpected(if close == b'}' { "']'" } else { "'}'" }));
                    }
                    objects >>= 1;
                    depth -= 1;
                    if depth == 0 {
                        self.at += 1;
                        return Ok(());
                    }
                }
                Some(_) => {}
                None => return Err(self.unexpected("a closing bracket")),
            }
            self.at += 1;
        }
    }
}

/// Whether `word` is a literal or looks like a number.
fn is_scalar_word(word: &[u8]) -> bool {
    match word.first() {
        Some(b'-' | b'0'..=b'9') => is_number(word),
        Some(_) => matches!(word, b"true" | b"false" | b"null"),
        None => false,
    }
}

/// Whether `word` is made of a number's characters.
pub(in crate::formats) fn is_number(word: &[u8]) -> bool {
    word.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
        && word.iter().any(u8::is_ascii_digit)
}

/// Appends the text of a string with its escapes resolved. `None` where an escape is not JSON's.
pub(in crate::formats) fn unescape(raw: &[u8], into: &mut Vec<u8>) -> Option<()> {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        into.extend_from_slice(rest.get(..at)?);
        rest = rest.get(at + 1..)?;
        let (&kind, tail) = rest.split_first()?;
        rest = tail;
        match kind {
            b'"' | b'\\' | b'/' => into.push(kind),
            b'b' => into.push(0x08),
            b'f' => into.push(0x0c),
            b'n' => into.push(b'\n'),
            b'r' => into.push(b'\r'),
            b't' => into.push(b'\t'),
            b'u' => {
                let (unit, tail) = hex4(rest)?;
                rest = tail;
                let char = match unit {
                    0xd800..=0xdbff => {
                        let (low, tail) = hex4(rest.strip_prefix(b"\\u")?)?;
                        if !(0xdc00..=0xdfff).contains(&low) {
                            return None;
                        }
                        rest = tail;
                        char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00))?
                    }
                    unit => char::from_u32(unit)?,
                };
                into.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => return None,
        }
    }
    into.extend_from_slice(rest);
    Some(())
}

fn hex4(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_at_checked(4)?;
    let mut value = 0;
    for &digit in digits {
        value = value * 16 + char::from(digit).to_digit(16)?;
    }
    Some((value, rest))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn text(raw: &str) -> Option<String> {
        let mut into = vec![];
        unescape(raw.as_bytes(), &mut into)?;
        Some(String::from_utf8(into).unwrap())
    }

    #[test]
    fn escapes() {
        assert_eq!(text(r#"a\"b\\c\/d\n\t\u00e9"#).as_deref(), Some("a\"b\\c/d\n\té"));
        assert_eq!(text(r"\ud83d\ude00").as_deref(), Some("😀"));
        for bad in [r"\ud83d", r"\ud83dx", r"\ude00", r"\x", r"\u12", r"\u12g4", "\\"] {
            assert_eq!(text(bad), None, "{bad}");
        }
    }

    #[test]
    fn values_are_skipped_whole() {
        for value in ["1", "-1.5e3", "true", "null", r#""a\"]b""#, r#"{"a":[1,{"b":"}"}]}"#, "[]", "{}"] {
            let text = format!(" {value} ,");
            let mut cursor = Cursor::new(text.as_bytes());
            cursor.skip_value().unwrap();
            assert_eq!(cursor.peek(), Some(b','), "{value}");
        }
        for bad in ["", "tru", "nul1", "[1", "{\"a\":[}", "\"abc", "\"abc\\", "[}", "-", "x"] {
            assert!(Cursor::new(bad.as_bytes()).skip_value().is_err(), "{bad}");
        }
        let deep = "[".repeat(1_000);
        assert!(Cursor::new(deep.as_bytes()).skip_value().unwrap_err().what.contains("deeper"));
    }
}
