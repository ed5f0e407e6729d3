//! The grammar of JSON, over text that is not taken apart: where a value ends, what kind it is.

/// Values may stand in values so many deep.
const DEPTH_MAX: usize = 256;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Object,
    Array,
    Text,
    Number,
    Truth,
    Null,
}

/// The kind of a text that is one JSON value; `None` where it is not.
pub(super) fn kind(text: &str) -> Option<Kind> {
    let text = text.trim_matches(is_space);
    (skip(text, 0)? == text.len()).then_some(())?;
    kind_of(text)
}

/// The kind of a value by its first character.
pub(super) fn kind_of(text: &str) -> Option<Kind> {
    Some(match text.as_bytes().first()? {
        b'{' => Kind::Object,
        b'[' => Kind::Array,
        b'"' => Kind::Text,
        b't' | b'f' => Kind::Truth,
        b'n' => Kind::Null,
        _ => Kind::Number,
    })
}

fn is_space(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\n' | '\r')
}

/// The place behind white space.
pub(super) fn space(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes().iter().skip(at);
    at + bytes.take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count()
}

/// The place behind the value that starts there.
pub(super) fn skip(text: &str, at: usize) -> Option<usize> {
    value(text, at, 0)
}

fn value(text: &str, at: usize, depth: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let at = space(text, at);
    let word = |word: &str| text.get(at..)?.starts_with(word).then_some(at + word.len());
    match bytes.get(at)? {
        b'{' if depth < DEPTH_MAX => members(text, at, depth, b'}'),
        b'[' if depth < DEPTH_MAX => members(text, at, depth, b']'),
        b'"' => string(text, at),
        b't' => word("true"),
        b'f' => word("false"),
        b'n' => word("null"),
        b'-' | b'0'..=b'9' => number(bytes, at),
        _ => None,
    }
}

fn members(text: &str, at: usize, depth: usize, close: u8) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = space(text, at + 1);
    if *bytes.get(at)? == close {
        return Some(at + 1);
    }
    loop {
        if close == b'}' {
            at = space(text, string(text, space(text, at))?);
            (*bytes.get(at)? == b':').then_some(())?;
            at += 1;
        }
        at = space(text, value(text, at, depth + 1)?);
        match *bytes.get(at)? {
            b',' => at += 1,
            end if end == close => return Some(at + 1),
            _ => return None,
        }
    }
}

/// The place behind the string that starts there.
pub(super) fn string(text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    (*bytes.get(at)? == b'"').then_some(())?;
    let mut at = at + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => match bytes.get(at + 1)? {
                b'u' => {
                    let digits = bytes.get(at + 2..at + 6)?;
                    digits.iter().all(u8::is_ascii_hexdigit).then_some(())?;
                    at += 6;
                }
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                _ => return None,
            },
            0..=0x1F => return None,
            _ => at += 1,
        }
    }
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let digits = |from: usize| bytes.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = at + usize::from(bytes.get(at) == Some(&b'-'));
    let whole = digits(at);
    if whole == 0 || (whole > 1 && bytes.get(at) == Some(&b'0')) {
        return None;
    }
    at += whole;
    if bytes.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        at += (fraction > 0).then_some(fraction + 1)?;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at);
        at += (exponent > 0).then_some(exponent)?;
    }
    Some(at)
}

/// Appends JSON without the white space between its tokens.
pub(super) fn compact(json: &str, out: &mut String) {
    let (mut quoted, mut escaped) = (false, false);
    for letter in json.chars() {
        if quoted {
            quoted = escaped || letter != '"';
            escaped = !escaped && letter == '\\';
        } else if is_space(letter) {
            continue;
        } else {
            quoted = letter == '"';
        }
        out.push(letter);
    }
}

/// Appends the text of a JSON string.
pub(super) fn unquoted(json: &str, out: &mut String) -> Option<()> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    let mut letters = inner.chars();
    let code = |letters: &mut std::str::Chars<'_>| {
        let digits = letters.as_str().get(..4)?;
        letters.nth(3)?;
        u16::from_str_radix(digits, 16).ok()
    };
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        out.push(match letters.next()? {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let first = code(&mut letters)?;
                let mut pair = [first, 0];
                let mut units = 1;
                if (0xD800..0xDC00).contains(&first) && letters.as_str().starts_with("\\u") {
                    letters.nth(1)?;
                    pair = [first, code(&mut letters)?];
                    units = 2;
                }
                let decoded = char::decode_utf16(pair.into_iter().take(units)).next()?;
                decoded.unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            other => other,
        });
    }
    Some(())
}
