//! Flink's hints behind a table, `orders /*+ OPTIONS('scan.startup.mode' = 'earliest-offset') */`, put into tokens that
//! `sqlparser` reads: those of a call of the table with a mark and the options as its arguments.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Whitespace};

use super::dialect::StreamDialect;
use super::words::spells;

/// The first argument of a table that has options.
pub(crate) const OPTIONS_MARK: &str = "/*+ OPTIONS */";

/// The tokens of a statement with the options behind its tables marked.
pub(super) fn marked(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    if !tokens.iter().any(|token| inner(&token.token).is_some()) {
        return tokens;
    }
    let mut made: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    for token in tokens {
        let before = made.iter().rev().map(|token| &token.token).find(|token| !matches!(token, Token::Whitespace(_)));
        // Behind SELECT stand the hints of the query.
        let named = before.is_some_and(|before| matches!(before, Token::Word(_)) && !spells(before, "SELECT"));
        match inner(&token.token).filter(|_| named).and_then(|text| call(text, &token)) {
            Some(call) => made.extend(call),
            None => made.push(token),
        }
    }
    made
}

/// Whether a token is such a hint.
pub(super) fn is_hint(token: &Token) -> bool {
    inner(token).is_some()
}

/// What stands in the parentheses of an `OPTIONS` hint.
fn inner(token: &Token) -> Option<&str> {
    let Token::Whitespace(Whitespace::MultiLineComment(text)) = token else { return None };
    let text = text.trim_start().strip_prefix('+')?.trim();
    let word = text.get(..7).filter(|word| word.eq_ignore_ascii_case("OPTIONS"))?;
    text.get(word.len()..)?.trim().strip_prefix('(')?.strip_suffix(')')
}

/// `('/*+ OPTIONS */', options)`, all at the place of the comment; `None` where the options are no tokens.
fn call(options: &str, comment: &TokenWithSpan) -> Option<Vec<TokenWithSpan>> {
    let options = Tokenizer::new(&StreamDialect::new(0), options).tokenize().ok()?;
    let begin = [Token::LParen, Token::SingleQuotedString(OPTIONS_MARK.to_owned()), Token::Comma];
    let tokens = begin.into_iter().chain(options).chain([Token::RParen]);
    Some(tokens.map(|token| TokenWithSpan { token, span: comment.span }).collect())
}
