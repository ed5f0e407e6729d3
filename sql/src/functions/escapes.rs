//! Patterns of `LIKE … ESCAPE` and `SIMILAR TO` in the forms that Arrow's `LIKE` and regular expressions have. No user calls
//! them: the resolver puts them around patterns.

use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::ScalarUDF;

use super::support::Kind::Text;
use super::support::{Args, all, shaped};

/// What the pattern of a `LIKE` with another escape character is made by.
pub(crate) const LIKE_PATTERN: &str = "like_pattern";
/// What the pattern of a `SIMILAR TO` is made by.
pub(crate) const SIMILAR_PATTERN: &str = "similar_pattern";

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        shaped(LIKE_PATTERN, "LIKE pattern ESCAPE character", all(&[Text, Text], Text), |args| written(args, like)),
        shaped(SIMILAR_PATTERN, "SIMILAR TO pattern", all(&[Text, Text], Text), |args| written(args, similar)),
    ]
}

/// Writes a pattern with its escape character, if it has one, in another form; false where it ends with that character.
type Form = fn(&str, Option<char>, &mut String) -> bool;

fn written(args: &Args, form: Form) -> Result<ArrayRef> {
    let (patterns, escapes) = (args.text(0)?, args.text(1)?);
    args.try_write(|row, out| {
        let (Some(pattern), Some(escape)) = (patterns.get(row), escapes.get(row)) else { return Ok(None) };
        let mut characters = escape.chars();
        let first = characters.next();
        if characters.next().is_some() {
            return Err(failed("invalid escape string: it must be empty or one character"));
        }
        if form(pattern, first, out) {
            Ok(Some(()))
        } else {
            Err(failed("the pattern must not end with its escape character"))
        }
    })
}

fn failed(message: &str) -> DataFusionError {
    DataFusionError::Execution(message.to_owned())
}

/// With a backslash for the escape character.
fn like(pattern: &str, escape: Option<char>, out: &mut String) -> bool {
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        let literal = if Some(character) == escape {
            let Some(next) = characters.next() else { return false };
            next
        } else if character == '\\' {
            character
        } else {
            out.push(character);
            continue;
        };
        if matches!(literal, '%' | '_' | '\\') {
            out.push('\\');
        }
        out.push(literal);
    }
    true
}

/// A regular expression that matches whole texts.
fn similar(pattern: &str, escape: Option<char>, out: &mut String) -> bool {
    out.push_str("^(?s:");
    let (mut in_brackets, mut in_braces) = (false, false);
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if Some(character) == escape {
            let Some(next) = characters.next() else { return false };
            push_literal(next, out);
            continue;
        }
        if character == '[' && in_brackets && push_class(&mut characters, out) {
            continue;
        }
        match (character, in_brackets) {
            (',', false) if in_braces => out.push(','),
            ('{' | '}', false) => {
                in_braces = character == '{';
                out.push(character);
            }
            ('[', false) => {
                in_brackets = true;
                out.push('[');
            }
            (']', true) => {
                in_brackets = false;
                out.push(']');
            }
            // Ranges are the same in both.
            (character, true) => out.push(character),
            ('%', false) => out.push_str(".*"),
            ('_', false) => out.push('.'),
            ('(', false) => out.push_str("(?:"),
            ('|' | ')' | '*' | '+' | '?', false) => out.push(character),
            (character, false) => push_literal(character, out),
        }
    }
    out.push_str(")$");
    true
}

/// Appends what follows a bracket within brackets where it is a class as `[:ALPHA:]`; whether it is one.
fn push_class(rest: &mut std::str::Chars<'_>, out: &mut String) -> bool {
    let Some((name, after)) = rest.as_str().strip_prefix(':').and_then(|rest| rest.split_once(":]")) else {
        return false;
    };
    if !name.bytes().all(|letter| letter.is_ascii_alphabetic()) {
        return false;
    }
    out.push_str("[:");
    out.push_str(&name.to_ascii_lowercase());
    out.push_str(":]");
    *rest = after.chars();
    true
}

fn push_literal(character: char, out: &mut String) {
    if character.is_ascii_punctuation() {
        out.push('\\');
    }
    out.push(character);
}

#[cfg(test)]
mod tests {
    use super::{like, similar};

    #[test]
    fn patterns_in_their_other_forms() {
        for (pattern, escape, expected) in [
            ("a!%b%", Some('!'), r"a\%b%"),
            ("a!!b", Some('!'), "a!b"),
            (r"a\b", Some('!'), r"a\\b"),
            (r"a\%", None, r"a\\%"),
        ] {
            let mut out = String::new();
            assert!(like(pattern, escape, &mut out));
            assert_eq!(out, expected);
        }
        assert!(!like("a!", Some('!'), &mut String::new()));
    }

    #[test]
    fn similar_matches_whole_texts() {
        let matches = |pattern: &str, text: &str| {
            let mut out = String::new();
            assert!(similar(pattern, Some('\\'), &mut out));
            regex::Regex::new(&out).unwrap().is_match(text)
        };
        for (pattern, text) in [
            ("(a|b)%", "abc"),
            ("_b_", "abc"),
            ("a.c", "a.c"),
            ("[a-c]+", "abc"),
            (r"a\%", "a%"),
            ("a{2,3}", "aaa"),
            ("[[:ALPHA:]][_[:digit:]]", "a1"),
        ] {
            assert!(matches(pattern, text), "{pattern}");
        }
        for (pattern, text) in [("a.c", "abc"), ("b", "abc"), (r"a\%", "ab"), ("a|b", "ab"), ("^a", "a")] {
            assert!(!matches(pattern, text), "{pattern}");
        }
    }
}
