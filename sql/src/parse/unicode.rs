//! `U&'\\00e9' [UESCAPE '!']`: texts with characters by their numbers.

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::forms;
use super::words;

/// The text of a literal behind its token, in which the tokeniser has taken `\` for the escape character.
///
/// # Errors
/// Where `UESCAPE` names no character that can be one, or a number stands for no character.
pub(super) fn literal(parser: &mut Parser, text: String) -> Result<sp::Expr, ParserError> {
    if !words::accept(parser, &["UESCAPE"]) {
        return Ok(forms::text(text));
    }
    let escape = match words::peek(parser, 0) {
        Token::SingleQuotedString(escape) => single(escape),
        _ => return words::unexpected(parser, "a string"),
    };
    let Some(escape) = escape else {
        return Err(ParserError::ParserError("invalid Unicode escape character".to_owned()));
    };
    parser.advance_token();
    let decoded = decoded(&text, escape);
    decoded.map(forms::text).ok_or_else(|| ParserError::ParserError("invalid Unicode escape".to_owned()))
}

/// The only character of a text, where it can be no part of what it escapes.
fn single(text: &str) -> Option<char> {
    let mut characters = text.chars();
    let first = characters.next().filter(|_| characters.next().is_none())?;
    let taken = first.is_ascii_hexdigit() || first.is_whitespace() || matches!(first, '+' | '\'' | '"');
    (!taken).then_some(first)
}

/// Four hexadecimal digits behind the escape character, or six behind it and a `+`; the character twice is itself.
fn decoded(text: &str, escape: char) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(escape) {
        out.push_str(before);
        if let Some(after) = after.strip_prefix(escape) {
            out.push(escape);
            rest = after;
            continue;
        }
        let (digits, length) = after.strip_prefix('+').map_or((after, 4), |digits| (digits, 6));
        let (number, behind) = digits.split_at_checked(length)?;
        out.push(char::from_u32(u32::from_str_radix(number, 16).ok()?)?);
        rest = behind;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::{decoded, single};

    #[test]
    fn characters_by_their_numbers() {
        assert_eq!(decoded("d!0061t!+000061!!", '!').as_deref(), Some("data!"));
        for wrong in ["!006", "!zzzz", "!+110000", "!d800"] {
            assert_eq!(decoded(wrong, '!'), None, "{wrong}");
        }
        assert_eq!((single("!"), single("a"), single("!!"), single("")), (Some('!'), None, None, None));
    }
}
