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
        if self.bytes.get(self.at) == Some(&byte) || self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(self.unexpected_byte(byte))
    }

    #[cold]
    fn unexpected_byte(&self, wanted: u8) -> Box<Fault> {
        self.unexpected(&format!("'{}'", char::from(wanted)))
    }

    /// The fault that `wanted` should have come here.
    #[cold]
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
            let Some(stop) = stop(rest) else {
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

    /// Passes a whole number of at most 18 digits that a comma or bracket follows. Passes nothing where something else
    /// stands here, which may be a number too.
    #[inline]
    pub(in crate::formats) fn whole_number(&mut self) -> Option<i64> {
        let mut at = self.at;
        let negative = self.bytes.get(at) == Some(&b'-');
        at += usize::from(negative);
        let first = at;
        let mut value: i64 = 0;
        loop {
            let byte = *self.bytes.get(at)?;
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                let ends = matches!(byte, b',' | b'}' | b']') && (1..=18).contains(&(at - first));
                return ends.then(|| {
                    self.at = at;
                    if negative { -value } else { value }
                });
            }
            // Wrong behind 18 digits, where it is not used.
            value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
            at += 1;
        }
    }

    /// Passes `null` where a comma or bracket follows it.
    #[inline]
    pub(in crate::formats) fn null(&mut self) -> bool {
        let found = matches!(self.rest(), [b'n', b'u', b'l', b'l', b',' | b'}' | b']', ..]);
        self.at += if found { 4 } else { 0 };
        found
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
            Some(b'n') if self.null() => Ok(()),
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

/// Bytes before the first quote or backslash.
#[inline]
fn stop(text: &[u8]) -> Option<usize> {
    // Most strings are short: they end before a search by vectors has begun.
    let mut at = 0;
    while at < SHORT
        && let Some(word) = text.get(at..).and_then(<[u8]>::first_chunk)
    {
        let word = u64::from_le_bytes(*word);
        let found = zero_bytes(word ^ (EACH_BYTE * b'"' as u64)) | zero_bytes(word ^ (EACH_BYTE * b'\\' as u64));
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    memchr2(b'"', b'\\', text.get(at..)?).map(|stop| at + stop)
}

/// Bytes of a string that are searched a word at a time.
const SHORT: usize = 32;

/// A one in each byte.
const EACH_BYTE: u64 = u64::MAX / 255;

/// The highest bit of the first byte that is zero, and of some behind it.
#[inline]
fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(EACH_BYTE) & !word & (EACH_BYTE << 7)
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
    fn strings_end_at_their_quote_wherever_it_stands() {
        for len in 0..100 {
            for (inside, escaped) in [("", false), ("\\\"", true), ("\\\\", true), ("é\u{7f}#!", false)] {
                for before in [0, len / 2, len] {
                    let raw = format!("{}{inside}{}", "x".repeat(before), "y".repeat(len - before));
                    for behind in ["", "\"", ",\"a\":\"b\"}"] {
                        let text = format!("\"{raw}\"{behind}");
                        let mut cursor = Cursor::new(text.as_bytes());
                        let string = cursor.string().unwrap();
                        assert_eq!((string.raw, string.escaped), (raw.as_bytes(), escaped));
                        assert_eq!(cursor.rest(), behind.as_bytes());
                    }
                    assert!(Cursor::new(format!("\"{raw}").as_bytes()).string().is_err());
                }
            }
        }
    }

    #[test]
    fn whole_numbers_are_passed_and_nothing_else() {
        let number = |text: &str| {
            let mut cursor = Cursor::new(text.as_bytes());
            cursor.whole_number().map(|value| (value, cursor.at))
        };
        assert_eq!(number("0,"), Some((0, 1)));
        assert_eq!(number("-42}"), Some((-42, 3)));
        assert_eq!(number("007]"), Some((7, 3)));
        assert_eq!(number("999999999999999999,"), Some((999_999_999_999_999_999, 18)));
        for other in ["", ",", "-,", "1", "1 ,", "1.5,", "1e3,", "x,", "+1,", "--1,", "1-,", "9223372036854775807,"] {
            assert_eq!(number(other), None, "{other}");
        }
        let long = format!("{},", "9".repeat(100));
        assert_eq!(number(&long), None);
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
