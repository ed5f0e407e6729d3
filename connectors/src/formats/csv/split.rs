//! Where the fields of a CSV record are, quotes and line ends inside quotes included.

use memchr::{memchr2, memchr3};

use crate::formats::fault::Fault;

/// The characters that take a record apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marks {
    /// Between two fields.
    pub(super) delimiter: u8,
    /// Around a field that holds other marks; doubled it stands for itself.
    pub(super) quote: Option<u8>,
    /// Before a character that stands for itself.
    pub(super) escape: Option<u8>,
}

/// One field of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// First byte, without the quote.
    pub(super) start: usize,
    /// Behind the last byte, without the quote.
    pub(super) end: usize,
    /// It stood in quotes.
    pub(super) quoted: bool,
    /// Doubled quotes or escapes are in it.
    pub(super) escaped: bool,
}

/// Finds the fields of the record at the start of `bytes` and returns its length with its line end. `None` where the
/// record goes on behind `bytes`, which cannot be `at_end`.
///
/// # Errors
/// Where quotes do not match. The length of what to pass over comes with the fault.
pub(super) fn split(
    bytes: &[u8],
    at_end: bool,
    marks: Marks,
    spans: &mut Vec<Span>,
) -> Result<Option<usize>, (Box<Fault>, usize)> {
    spans.clear();
    let mut at = 0;
    loop {
        let quoted = marks.quote.is_some() && bytes.get(at).copied() == marks.quote;
        let found =
            if quoted { quoted_field(bytes, at, at_end, marks)? } else { plain_field(bytes, at, at_end, marks) };
        let Some((mut span, end)) = found else { return Ok(None) };
        match bytes.get(end) {
            Some(&byte) if byte == marks.delimiter && byte != b'\n' => {
                spans.push(span);
                at = end + 1;
            }
            last => {
                if !span.quoted && span.end > span.start && bytes.get(span.end - 1) == Some(&b'\r') {
                    span.end -= 1;
                }
                spans.push(span);
                return Ok(Some(end + usize::from(last.is_some())));
            }
        }
    }
}

/// A field without quotes, and where it ends: at a delimiter, a line end or the end of all.
fn plain_field(bytes: &[u8], start: usize, at_end: bool, marks: Marks) -> Option<(Span, usize)> {
    let (mut at, mut escaped) = (start, false);
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let stop = memchr3(marks.delimiter, b'\n', marks.escape.unwrap_or(marks.delimiter), rest);
        match stop {
            Some(stop) if marks.escape.is_some() && rest.get(stop).copied() == marks.escape => {
                escaped = true;
                at += stop + 2;
            }
            Some(stop) => return Some((Span { start, end: at + stop, quoted: false, escaped }, at + stop)),
            None if at_end => return Some((Span { start, end: bytes.len(), quoted: false, escaped }, bytes.len())),
            None => return None,
        }
    }
}

/// A field and where the next begins; none at the end of the record. On a fault, where reading may go on.
type Split = Result<Option<(Span, usize)>, (Box<Fault>, usize)>;

/// A field in quotes, and where what follows the closing quote begins.
fn quoted_field(bytes: &[u8], open: usize, at_end: bool, marks: Marks) -> Split {
    let quote = marks.quote.unwrap_or(b'"');
    let (start, mut at, mut escaped) = (open + 1, open + 1, false);
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(stop) = memchr2(quote, marks.escape.unwrap_or(quote), rest) else {
            return if at_end {
                Err((Fault::syntax(open, "a quoted field has no end"), bytes.len()))
            } else {
                Ok(None)
            };
        };
        let here = at + stop;
        let next = bytes.get(here + 1).copied();
        if rest.get(stop) != Some(&quote) || next == Some(quote) {
            escaped = true;
            at = here + 2;
            continue;
        }
        let span = Span { start, end: here, quoted: true, escaped };
        return match next {
            None if !at_end => Ok(None),
            None | Some(b'\n') => Ok(Some((span, here + 1))),
            Some(byte) if byte == marks.delimiter => Ok(Some((span, here + 1))),
            Some(b'\r') if matches!(bytes.get(here + 2), Some(b'\n')) || (at_end && bytes.len() == here + 2) => {
                Ok(Some((span, here + 2)))
            }
            Some(b'\r') if bytes.len() == here + 2 => Ok(None),
            Some(_) => {
                let line = memchr::memchr(b'\n', bytes.get(here..).unwrap_or_default());
                match line {
                    Some(line) => Err((Fault::syntax(here, "text behind a closing quote"), here + line + 1)),
                    None if at_end => Err((Fault::syntax(here, "text behind a closing quote"), bytes.len())),
                    None => Ok(None),
                }
            }
        };
    }
}

/// Appends the text of a field with doubled quotes and escapes resolved.
pub(super) fn unescape(raw: &[u8], quoted: bool, marks: Marks, into: &mut Vec<u8>) {
    let mut bytes = raw.iter().copied();
    while let Some(byte) = bytes.next() {
        if Some(byte) == marks.escape || (quoted && Some(byte) == marks.quote) {
            into.extend(bytes.next());
        } else {
            into.push(byte);
        }
    }
}
