//! Cuts a script into statements: by tokens, so that semicolons in strings, comments and quoted names do not count.

use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer};

use crate::error::Result;

use super::dialect::StreamDialect;
use super::fail::unreadable;
use super::hint::is_hint;
use super::words::spells;

/// One statement of a script.
pub(super) struct Piece<'t> {
    /// From its first token to its last, without the semicolon.
    pub(super) text: &'t str,
    /// Its tokens; their spans count from the start of `text`.
    pub(super) tokens: Vec<TokenWithSpan>,
    /// Characters of the script before `text`.
    pub(super) offset: usize,
}

/// The tokens of a text, comments and white space among them.
///
/// # Errors
/// Where a string, a comment or a quoted name does not end.
pub(super) fn tokens(text: &str) -> Result<Vec<TokenWithSpan>> {
    Tokenizer::new(&StreamDialect::new(0), text).tokenize_with_location().map_err(|error| unreadable(text, &error))
}

/// The statements of a script that have a token.
pub(super) fn cut(text: &str) -> Result<Vec<Piece<'_>>> {
    let mut pieces = Vec::new();
    let mut walk = Walk::new(text);
    let mut open: Vec<TokenWithSpan> = Vec::new();
    for token in tokens(text)? {
        match &token.token {
            Token::SemiColon if in_set(&open) => open.push(token),
            Token::SemiColon => pieces.extend(piece(&mut walk, std::mem::take(&mut open))),
            Token::Whitespace(_) if open.is_empty() => {}
            _ => open.push(token),
        }
    }
    pieces.extend(piece(&mut walk, open));
    Ok(pieces)
}

/// Whether the tokens of a statement so far are those of a statement set without its end: its statements are part of it.
fn in_set(open: &[TokenWithSpan]) -> bool {
    let mut words = open.iter().map(|token| &token.token).filter(|token| !matches!(token, Token::Whitespace(_)));
    let begins = match words.next() {
        Some(first) if spells(first, "EXPLAIN") => {
            words.by_ref().take_while(|token| is_option(token)).any(is_statement)
        }
        Some(first) if spells(first, "EXECUTE") || spells(first, "BEGIN") => words.next().is_some_and(is_statement),
        Some(_) | None => false,
    };
    begins
        && words.next().is_some_and(|word| spells(word, "SET"))
        && !words.next_back().is_some_and(|word| spells(word, "END"))
}

fn is_statement(token: &Token) -> bool {
    spells(token, "STATEMENT")
}

/// Whether a token can stand between `EXPLAIN` and `STATEMENT SET`.
fn is_option(token: &Token) -> bool {
    let query = ["SELECT", "INSERT", "WITH", "VALUES", "TABLE"].iter().any(|word| spells(token, word));
    let mark = matches!(token, Token::LParen | Token::RParen | Token::Comma | Token::Number(..));
    mark || (matches!(token, Token::Word(_)) && !query)
}

/// The statement that some tokens make; `None` where there are none.
fn piece<'t>(walk: &mut Walk<'t>, mut tokens: Vec<TokenWithSpan>) -> Option<Piece<'t>> {
    // A hint is a comment that means something.
    while tokens.last().is_some_and(|last| matches!(last.token, Token::Whitespace(_)) && !is_hint(&last.token)) {
        tokens.pop();
    }
    let start = tokens.first()?.span.start;
    let end = tokens.last()?.span.end;
    let (from, offset) = walk.to(start);
    let (to, _) = walk.to(end);
    for token in &mut tokens {
        token.span = Span::new(from_start(token.span.start, start), from_start(token.span.end, start));
    }
    Some(Piece { text: walk.text.get(from..to)?, tokens, offset })
}

/// A location as it is counted from `start`.
fn from_start(location: Location, start: Location) -> Location {
    let line = location.line.saturating_sub(start.line) + 1;
    let column = if line == 1 { location.column.saturating_sub(start.column) + 1 } else { location.column };
    Location::new(line, column)
}

/// Walks forward over a text once, from location to location.
struct Walk<'t> {
    text: &'t str,
    chars: std::iter::Peekable<std::str::CharIndices<'t>>,
    at: Location,
    passed: usize,
}

impl<'t> Walk<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, chars: text.char_indices().peekable(), at: Location::new(1, 1), passed: 0 }
    }

    /// The bytes and the characters before a location that is not behind us.
    fn to(&mut self, location: Location) -> (usize, usize) {
        while self.at < location {
            let Some((_, passed)) = self.chars.next() else { break };
            self.passed += 1;
            self.at = match passed {
                '\n' => Location::new(self.at.line + 1, 1),
                _ => Location::new(self.at.line, self.at.column + 1),
            };
        }
        (self.chars.peek().map_or(self.text.len(), |(byte, _)| *byte), self.passed)
    }
}
