//! From text to [`ParsedStatement`]s: a script is tokenised once, cut at its semicolons, and each statement is parsed by
//! our own top level, which hands expressions and queries to `sqlparser` under [`dialect::StreamDialect`].
//!
//! Reading order: [`script`] cuts, [`statement`] tells statements apart by their first words, the `create_*`, `session`
//! and `rows` files parse one family each. Types stand in [`crate::types`]. Names are not resolved here.

mod alter;
mod asof;
mod copy;
mod create_table;
mod create_view;
mod cursor;
mod dialect;
pub(crate) mod emit;
mod fail;
mod foreign;
mod forms;
mod hint;
mod interval;
mod job;
mod json;
mod kept;
mod limits;
mod materialized_table;
mod namespace;
mod normalise;
pub(crate) mod place;
mod prefix;
mod rows;
mod script;
mod session;
mod show;
mod statement;
mod unicode;
pub(crate) mod words;

#[cfg(test)]
mod tests;

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::ast::{ParsedStatement, Statement};
use crate::error::{Result, SqlError};

use cursor::Cursor;
use dialect::StreamDialect;
pub(crate) use forms::{EXTRACTED, TIMESTAMPADD_DATES};
pub(crate) use hint::OPTIONS_MARK;
use script::Piece;

/// Cuts a script into statements and parses each. Statements without a token are dropped.
///
/// # Errors
/// A syntax error with its position in `text`.
pub(crate) fn script(text: &str) -> Result<Vec<ParsedStatement>> {
    script::cut(text)?.into_iter().map(|piece| parsed(piece).map_err(|(error, before)| error.moved(before))).collect()
}

/// Parses one piece of a script. An error counts from the start of the piece and comes with the characters before it.
fn parsed(piece: Piece<'_>) -> Result<ParsedStatement, (SqlError, usize)> {
    let Piece { text, tokens, offset } = piece;
    match statement_of(text, tokens) {
        Ok(ast) => Ok(ParsedStatement { ast, text: text.to_owned(), parameters: Vec::new(), offset }),
        Err(error) => Err((error, offset)),
    }
}

/// Parses the tokens of one statement. What our grammar refuses and PostgreSQL's tools send is parsed as PostgreSQL's.
fn statement_of(text: &str, tokens: Vec<TokenWithSpan>) -> Result<Statement> {
    limits::prepare();
    limits::check(text, &tokens)?;
    let catalog = names_catalog(&tokens);
    let dialect = StreamDialect::new(tokens.len());
    let mut cursor = Cursor::new(text, tokens, &dialect);
    let refused = match statement::statement(&mut cursor).and_then(|ast| cursor.end().map(|()| ast)) {
        Ok(mut ast) => {
            normalise::statement(&mut ast);
            return Ok(ast);
        }
        Err(fail) => fail.in_text(text),
    };
    match catalog.then(|| as_postgres(text)).flatten() {
        Some(ast) => Ok(ast),
        None => Err(refused),
    }
}

/// Whether a statement names the system catalog, so that PostgreSQL's own grammar is worth trying.
fn names_catalog(tokens: &[TokenWithSpan]) -> bool {
    tokens.iter().any(|token| match &token.token {
        Token::Word(word) => word.value.starts_with("pg_") || word.value.eq_ignore_ascii_case("information_schema"),
        _ => false,
    })
}

/// The statement in plain PostgreSQL, where `sqlparser` understands it.
fn as_postgres(text: &str) -> Option<Statement> {
    let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, text).ok()?;
    match (statements.pop(), statements.is_empty()) {
        (Some(sp::Statement::Query(query)), true) => Some(Statement::Query(query)),
        (Some(other), true) => Some(Statement::Other(Box::new(other))),
        _ => None,
    }
}

/// `SELECT * FROM name`
pub(crate) fn select_all(name: sp::ObjectName) -> sp::Query {
    prefix::select_all(name, Vec::new())
}

/// Parses the text of a query, as a view keeps it.
///
/// # Errors
/// A syntax error with its position in `text`.
pub(crate) fn query(text: &str) -> Result<Box<sp::Query>> {
    whole(text, |cursor| cursor.query()).map(|mut query| {
        normalise::query(&mut query);
        query
    })
}

/// Parses the text of an expression, as computed columns, watermarks and SQL functions keep it.
///
/// # Errors
/// A syntax error with its position in `text`.
pub(crate) fn expression(text: &str) -> Result<sp::Expr> {
    whole(text, |cursor| cursor.expr())
}

/// Parses the text of a type.
#[cfg(test)]
pub(crate) fn data_type(text: &str) -> Result<crate::ast::TypeName> {
    let written = whole(text, |cursor| Ok(crate::types::parse(&mut cursor.parser)?))?;
    crate::types::from_sqlparser(&written)
}

/// Runs one parser over a whole text.
fn whole<T>(text: &str, parse: impl FnOnce(&mut Cursor<'_>) -> fail::Result<T>) -> Result<T> {
    let tokens = script::tokens(text)?;
    limits::prepare();
    limits::check(text, &tokens)?;
    let dialect = StreamDialect::new(tokens.len());
    let mut cursor = Cursor::new(text, tokens, &dialect);
    parse(&mut cursor).and_then(|made| cursor.end().map(|()| made)).map_err(|fail| fail.in_text(text))
}
