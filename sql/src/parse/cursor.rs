//! [`Cursor`]: a place in the tokens of one statement, with what our top level needs beyond `sqlparser`'s parser.

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::ast::TypeName;
use crate::error::SqlError;
use crate::types;

use super::dialect::StreamDialect;
use super::fail::{Fail, Result};
use super::limits::DEPTH_MAX;
use super::{asof, emit, hint, place, words};

/// A place in the tokens of one statement.
pub(super) struct Cursor<'t> {
    /// The text of the statement.
    pub(super) text: &'t str,
    /// The parser that stands at the place.
    pub(super) parser: Parser<'t>,
}

impl<'t> Cursor<'t> {
    /// At the start of a statement.
    pub(super) fn new(text: &'t str, tokens: Vec<TokenWithSpan>, dialect: &'t StreamDialect) -> Self {
        let tokens = asof::marked(hint::marked(tokens));
        let parser = Parser::new(dialect).with_recursion_limit(DEPTH_MAX).with_tokens_with_locations(tokens);
        Self { text, parser }
    }

    /// Whether these words come next.
    pub(super) fn ahead(&self, words: &[&str]) -> bool {
        words::ahead(&self.parser, words)
    }

    /// Whether one of these words comes next.
    pub(super) fn ahead_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.ahead(&[word]))
    }

    /// Takes these words where they come next.
    pub(super) fn accept(&mut self, words: &[&str]) -> bool {
        words::accept(&mut self.parser, words)
    }

    /// Takes words that must come next.
    pub(super) fn expect(&mut self, expected: &[&str]) -> Result<()> {
        for word in expected {
            words::expect(&mut self.parser, word)?;
        }
        Ok(())
    }

    /// The token `ahead` of the next one.
    pub(super) fn peek(&self, ahead: usize) -> &Token {
        words::peek(&self.parser, ahead)
    }

    /// Takes a token where it comes next.
    pub(super) fn take(&mut self, token: &Token) -> bool {
        self.parser.consume_token(token)
    }

    /// Takes a token that must come next.
    pub(super) fn need(&mut self, token: &Token) -> Result<()> {
        self.parser.expect_token(token)?;
        Ok(())
    }

    /// The error for a next token that is not what it should be.
    pub(super) fn unexpected<T>(&self, wanted: &str) -> Result<T> {
        Ok(words::unexpected(&self.parser, wanted)?)
    }

    /// The statement must be over.
    pub(super) fn end(&self) -> Result<()> {
        if *self.peek(0) == Token::EOF { Ok(()) } else { self.unexpected("end of statement") }
    }

    /// The character position of the next token, from 1; at the end, the one behind the last character.
    pub(super) fn position(&self) -> usize {
        place::position(self.text, self.parser.peek_token_ref().span.start)
            .unwrap_or_else(|| self.text.chars().count() + 1)
    }

    /// The byte where the next token starts.
    pub(super) fn byte(&self) -> usize {
        place::byte(self.text, self.parser.peek_token_ref().span.start).unwrap_or(self.text.len())
    }

    /// The text from a byte to the end of the last taken token.
    pub(super) fn text_from(&self, start: usize) -> &'t str {
        let end = place::byte(self.text, self.parser.get_current_token().span.end).unwrap_or(self.text.len());
        self.text.get(start..end).unwrap_or_default()
    }

    /// The error of a statement that is understood and refused, at the next token.
    pub(super) fn refused<T>(&self, error: SqlError) -> Result<T> {
        Err(Fail::Refused(error.at(self.position())))
    }

    /// A name. Strings are not names.
    pub(super) fn ident(&mut self) -> Result<sp::Ident> {
        match self.peek(0) {
            Token::Word(_) => Ok(self.parser.parse_identifier()?),
            _ => self.unexpected("a name"),
        }
    }

    /// A name that may be qualified.
    pub(super) fn name(&mut self) -> Result<sp::ObjectName> {
        match self.peek(0) {
            Token::Word(_) => Ok(self.parser.parse_object_name(false)?),
            _ => self.unexpected("a name"),
        }
    }

    /// A string.
    pub(super) fn string(&mut self) -> Result<String> {
        let value = match self.peek(0) {
            Token::SingleQuotedString(value) | Token::EscapedStringLiteral(value) => value.clone(),
            Token::DollarQuotedString(quoted) => quoted.value.clone(),
            _ => return self.unexpected("a string"),
        };
        self.parser.advance_token();
        Ok(value)
    }

    /// An expression.
    pub(super) fn expr(&mut self) -> Result<sp::Expr> {
        Ok(self.parser.parse_expr()?)
    }

    /// A type that exists.
    pub(super) fn data_type(&mut self) -> Result<TypeName> {
        let position = self.position();
        let written = types::parse(&mut self.parser)?;
        types::from_sqlparser(&written).map_err(|error| Fail::Refused(error.at(position)))
    }

    /// Whether a query comes next, with or without parentheses around it.
    pub(super) fn query_ahead(&self) -> bool {
        // Each look ahead begins anew, and what is nested deeper is refused anyway.
        let mut ahead = 0;
        while ahead <= DEPTH_MAX && *self.peek(ahead) == Token::LParen {
            ahead += 1;
        }
        ahead > DEPTH_MAX
            || ["SELECT", "WITH", "VALUES", "TABLE"].iter().any(|word| words::spells(self.peek(ahead), word))
    }

    /// A query; `TABLE t` is one.
    pub(super) fn query(&mut self) -> Result<Box<sp::Query>> {
        if !self.query_ahead() {
            return self.unexpected("a query");
        }
        if self.accept(&["TABLE"]) {
            let name = self.name()?;
            return Ok(Box::new(super::prefix::select_all(name, Vec::new())));
        }
        if let Some(query) = self.whole_in_parentheses() {
            return Ok(query);
        }
        let mut query = self.parser.parse_query()?;
        emit::clause(self, &mut query)?;
        Ok(query)
    }

    /// A query that is nothing but one in parentheses: an `EMIT` stands within them.
    fn whole_in_parentheses(&mut self) -> Option<Box<sp::Query>> {
        // A try that fails is work done twice at each level: it is made only where it may succeed.
        let text = self.text.to_ascii_lowercase();
        if !text.contains("emit") && !text.contains("lateness") {
            return None;
        }
        let before = self.parser.index();
        if self.take(&Token::LParen)
            && let Ok(query) = self.query()
            && query.settings.is_some()
            && self.take(&Token::RParen)
        {
            return Some(query);
        }
        while self.parser.index() > before {
            self.parser.prev_token();
        }
        None
    }

    /// `( item, … )` with at least one item.
    pub(super) fn list<T>(&mut self, item: impl Fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        self.need(&Token::LParen)?;
        let items = self.separated(item)?;
        self.need(&Token::RParen)?;
        Ok(items)
    }

    /// `item, …` with at least one item.
    pub(super) fn separated<T>(&mut self, item: impl Fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.take(&Token::Comma) {
            items.push(item(self)?);
        }
        Ok(items)
    }
}
