//! Why parsing stopped, and how PostgreSQL would say it.

use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, Tokenizer, TokenizerError};

use crate::error::{SqlError, SqlState};

use super::dialect::StreamDialect;
use super::place;

/// What a parser of one statement returns.
pub(super) type Result<T, E = Fail> = std::result::Result<T, E>;

/// Why parsing stopped.
#[derive(Debug)]
pub(super) enum Fail {
    /// The text breaks the grammar.
    Syntax(ParserError),
    /// The text says something that is refused for another reason; its position is known.
    Refused(SqlError),
}

impl From<ParserError> for Fail {
    fn from(error: ParserError) -> Self {
        Self::Syntax(error)
    }
}

impl From<SqlError> for Fail {
    fn from(error: SqlError) -> Self {
        Self::Refused(error)
    }
}

impl Fail {
    /// The error of the statement `text`.
    pub(super) fn in_text(self, text: &str) -> SqlError {
        match self {
            Self::Refused(error) => error,
            Self::Syntax(ParserError::RecursionLimitExceeded) => too_deep(text, deepest(text)),
            Self::Syntax(ParserError::TokenizerError(message) | ParserError::ParserError(message)) => {
                syntax_error(text, &message)
            }
        }
    }
}

/// The error for a statement that is nested more deeply than we follow, and where it is.
pub(super) fn too_deep(text: &str, place: Location) -> SqlError {
    SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, "the statement is nested too deeply")
        .with_hint("split it into views or common table expressions")
        .at(place::position(text, place).unwrap_or(1))
}

/// Behind which most brackets are open for the first time: `sqlparser` does not tell where it has stopped.
fn deepest(text: &str) -> Location {
    let tokens = Tokenizer::new(&StreamDialect::new(0), text).tokenize_with_location().unwrap_or_default();
    let (mut open, mut most, mut place) = (0_usize, 0, Location::new(1, 1));
    for token in tokens {
        match token.token {
            Token::LParen | Token::LBracket | Token::LBrace | Token::Lt => open += 1,
            Token::RParen | Token::RBracket | Token::RBrace | Token::Gt => open = open.saturating_sub(1),
            _ => (),
        }
        if open > most {
            (most, place) = (open, token.span.start);
        }
    }
    place
}

/// The error for a text that cannot be cut into tokens.
pub(super) fn unreadable(text: &str, error: &TokenizerError) -> SqlError {
    let at = place::byte(text, error.location).unwrap_or(text.len());
    let near: String = text.get(at..).unwrap_or_default().chars().take(20).collect();
    let what = match error.message.as_str() {
        "Unterminated string literal" => "unterminated quoted string".to_owned(),
        "Unexpected EOF while in a multi-line comment" => "unterminated /* comment".to_owned(),
        other if other.starts_with("Expected close delimiter") => "unterminated quoted identifier".to_owned(),
        other => lower_first(other),
    };
    let message = if near.is_empty() { what } else { format!("{what} at or near \"{near}\"") };
    SqlError::new(SqlState::SYNTAX_ERROR, message).at(text.get(..at).unwrap_or_default().chars().count() + 1)
}

/// `sqlparser`'s message as PostgreSQL's error. Its messages end with the place, where they know one.
fn syntax_error(text: &str, message: &str) -> SqlError {
    let (what, location) = split_location(message);
    let expected = what.strip_prefix("Expected: ").map(|rest| match rest.rfind(", found: ") {
        Some(at) => format!("expected {}", rest.get(..at).unwrap_or(rest)),
        None => format!("expected {rest}"),
    });
    let detail = expected.unwrap_or_else(|| lower_first(what));
    let found = location.and_then(|location| Some((place::position(text, location)?, token_at(text, location)?)));
    let error = match found {
        Some((position, token)) => {
            SqlError::new(SqlState::SYNTAX_ERROR, format!("syntax error at or near \"{token}\"")).at(position)
        }
        None if what.ends_with("found: EOF") => {
            SqlError::new(SqlState::SYNTAX_ERROR, "syntax error at end of input").at(text.chars().count() + 1)
        }
        None => SqlError::new(SqlState::SYNTAX_ERROR, "syntax error"),
    };
    error.with_detail(detail)
}

/// Cuts ` at Line: 1, Column: 2` off the end of a message.
fn split_location(message: &str) -> (&str, Option<Location>) {
    let parsed = message.rsplit_once(" at Line: ").and_then(|(what, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        Some((what, Location::new(line.trim().parse().ok()?, column.trim().parse().ok()?)))
    });
    match parsed {
        Some((what, location)) => (what, Some(location)),
        None => (message, None),
    }
}

/// The token that starts at a location, as written.
fn token_at(text: &str, location: Location) -> Option<&str> {
    let tokens = Tokenizer::new(&StreamDialect::new(0), text).tokenize_with_location().ok()?;
    let token = tokens
        .iter()
        .find(|token| token.span.start == location && !matches!(token.token, Token::Whitespace(_) | Token::EOF))?;
    text.get(place::byte(text, token.span.start)?..place::byte(text, token.span.end)?)
}

fn lower_first(message: &str) -> String {
    let mut chars = message.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
