//! JSON files that are not one object a line: arrays of objects, and objects over several lines, read as if each object stood on a
//! line of its own. What an object is made of is not looked at: that is the decoder's.

use std::io::{self, Read};

/// Bytes read at a time.
const PIECE_BYTES: usize = 64 << 10;

/// See the module.
pub(super) struct OneALine<R> {
    from: R,
    piece: Vec<u8>,
    lines: Lines,
    /// What was made of the last piece, and how much of it was given.
    ready: Vec<u8>,
    given: usize,
    at_end: bool,
}

impl<R: Read> OneALine<R> {
    /// Reads what `from` has.
    pub(super) fn new(from: R) -> Self {
        let (piece, ready) = (vec![0; PIECE_BYTES], Vec::new());
        Self { from, piece, lines: Lines::default(), ready, given: 0, at_end: false }
    }
}

impl<R: Read> Read for OneALine<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.given == self.ready.len() && !self.at_end {
            let count = self.from.read(&mut self.piece)?;
            self.ready.clear();
            self.given = 0;
            self.at_end = count == 0;
            if self.at_end {
                self.lines.end()?;
            }
            self.lines.take(self.piece.get(..count).unwrap_or_default(), &mut self.ready);
        }
        let left = self.ready.get(self.given..).unwrap_or_default();
        let count = left.len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..count), left.get(..count)) {
            to.copy_from_slice(from);
        }
        self.given += count;
        Ok(count)
    }
}

/// Where in the text a byte stands.
#[derive(Debug, Default)]
struct Lines {
    /// Brackets that are open in the running value.
    depth: u64,
    in_string: bool,
    /// The byte before was a backslash in a string.
    escaped: bool,
    /// The values stand in an array that is open.
    in_array: bool,
    /// Something of the running value was written.
    begun: bool,
}

impl Lines {
    fn take(&mut self, bytes: &[u8], into: &mut Vec<u8>) {
        for &byte in bytes {
            if self.in_string {
                into.push(byte);
                self.in_string = byte != b'"' || self.escaped;
                self.escaped = byte == b'\\' && !self.escaped;
                continue;
            }
            match byte {
                b'[' if self.depth == 0 && !self.begun && !self.in_array => self.in_array = true,
                b']' if self.depth == 0 && self.in_array => {
                    self.end_value(into);
                    self.in_array = false;
                }
                b',' if self.depth == 0 && self.in_array => self.end_value(into),
                b' ' | b'\t' | b'\r' | b'\n' if self.depth == 0 => self.end_value(into),
                // Two tokens must not become one.
                b'\r' | b'\n' => into.push(b' '),
                _ => self.of_value(byte, into),
            }
        }
    }

    fn of_value(&mut self, byte: u8, into: &mut Vec<u8>) {
        into.push(byte);
        self.begun = true;
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' if self.depth > 0 => {
                self.depth -= 1;
                if self.depth == 0 {
                    self.end_value(into);
                }
            }
            _ => (),
        }
    }

    fn end_value(&mut self, into: &mut Vec<u8>) {
        if self.begun {
            into.push(b'\n');
        }
        self.begun = false;
    }

    /// Nothing comes any more.
    fn end(&self) -> io::Result<()> {
        if self.in_array || self.depth > 0 || self.in_string {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the JSON text has no end"));
        }
        Ok(())
    }
}

/// The values at the beginning of a text, each on a line of its own; the last one is left out where it is not whole.
pub(super) fn sample_lines(sample: &[u8]) -> Vec<u8> {
    let (mut lines, mut into) = (Lines::default(), Vec::with_capacity(sample.len()));
    lines.take(sample, &mut into);
    if lines.depth > 0 || lines.in_string || lines.begun {
        let whole = memchr::memrchr(b'\n', &into).map_or(0, |end| end + 1);
        into.truncate(whole);
    }
    into
}

/// Whether a text is of another layout than one object a line: its first line is no whole value.
pub(super) fn is_other(sample: &[u8]) -> bool {
    let text = sample.trim_ascii_start();
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut lines = Lines::default();
    lines.take(line, &mut Vec::new());
    text.first() == Some(&b'[') || (text.first() == Some(&b'{') && lines.depth > 0 && !lines.in_string)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn lines(text: &str) -> Result<String, io::Error> {
        let mut read = String::new();
        OneALine::new(text.as_bytes()).read_to_string(&mut read).map(|_| read)
    }

    #[test]
    fn values_get_lines_of_their_own() {
        for (text, wanted) in [
            ("{\"a\":1}\n{\"a\":2}\n", "{\"a\":1}\n{\"a\":2}\n"),
            ("[{\"a\":[1,2]},\n {\"a\":\"],[{\\\"\"}]\n", "{\"a\":[1,2]}\n{\"a\":\"],[{\\\"\"}\n"),
            ("{\n\"a\": 1\n}{\"b\":\"\\\\\"}", "{ \"a\": 1 }\n{\"b\":\"\\\\\"}\n"),
            ("[]", ""),
            ("[1, 2]", "1\n2\n"),
            ("", ""),
        ] {
            assert_eq!(lines(text).unwrap(), wanted);
        }
        assert!(lines("[{\"a\":1}").is_err() && lines("[{\"a\":").is_err());
    }

    #[test]
    fn layouts_are_told_by_the_first_line() {
        assert!(is_other(b" [\n{}]") && is_other(b"{\n\"a\":1}"));
        assert!(!is_other(b"{\"a\":[1]}\n{") && !is_other(b"") && !is_other(b"{\"a"));
        assert_eq!(sample_lines(b"[{\"a\":1},{\"b\":"), b"{\"a\":1}\n");
    }
}
