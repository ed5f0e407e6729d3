//! Looking at and taking tokens by the word that they spell, whether or not `sqlparser` knows it as a keyword.

use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

/// Whether a token is this unquoted word, in any case.
pub(crate) fn spells(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(found) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
}

/// The token `ahead` of the next one, white space not counted.
pub(crate) fn peek<'p>(parser: &'p Parser<'_>, ahead: usize) -> &'p Token {
    &parser.peek_nth_token_ref(ahead).token
}

/// Whether the next tokens are these words.
pub(crate) fn ahead(parser: &Parser<'_>, words: &[&str]) -> bool {
    words.iter().enumerate().all(|(index, word)| spells(peek(parser, index), word))
}

/// Takes these words where they come next.
pub(crate) fn accept(parser: &mut Parser<'_>, words: &[&str]) -> bool {
    let there = ahead(parser, words);
    if there {
        words.iter().for_each(|_| parser.advance_token());
    }
    there
}

/// Takes a word that must come next.
///
/// # Errors
/// Where something else does.
pub(crate) fn expect(parser: &mut Parser<'_>, word: &str) -> Result<(), ParserError> {
    if accept(parser, &[word]) { Ok(()) } else { unexpected(parser, word) }
}

/// The error for a next token that is not what it should be.
///
/// # Errors
/// Always.
pub(crate) fn unexpected<T>(parser: &Parser<'_>, wanted: &str) -> Result<T, ParserError> {
    parser.expected_ref(wanted, parser.peek_token_ref())
}
