//! Calls with a time unit: `CEIL(t TO unit)`, `TIMESTAMPADD(unit, n, t)`. The unit becomes a string.

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::prefix::call;
use super::words;

type Result<T, E = ParserError> = std::result::Result<T, E>;

/// A string.
pub(super) fn text(text: impl Into<String>) -> sp::Expr {
    sp::Expr::Value(sp::Value::SingleQuotedString(text.into()).with_empty_span())
}

/// What follows `CEIL` or `FLOOR`: `(number [, scale])` or `(timestamp TO unit)`.
pub(super) fn round(parser: &mut Parser, up: bool) -> Result<sp::Expr> {
    parser.expect_token(&Token::LParen)?;
    let mut args = vec![parser.parse_expr()?];
    let to_unit = words::accept(parser, &["TO"]);
    if to_unit {
        args.insert(0, unit(parser)?);
    }
    while parser.consume_token(&Token::Comma) {
        args.push(parser.parse_expr()?);
    }
    parser.expect_token(&Token::RParen)?;
    let name = match (up, to_unit) {
        (true, true) => "ceil_to",
        (true, false) => "ceil",
        (false, true) => "floor_to",
        (false, false) => "floor",
    };
    Ok(sp::Expr::Function(call(sp::Ident::new(name), args)))
}

/// `TIMESTAMPADD(unit, …)` and `TIMESTAMPDIFF(unit, …)`.
pub(super) fn by_unit(parser: &mut Parser) -> Result<sp::Expr> {
    let name = parser.parse_identifier()?;
    parser.expect_token(&Token::LParen)?;
    let mut args = vec![unit(parser)?];
    while parser.consume_token(&Token::Comma) {
        args.push(parser.parse_expr()?);
    }
    parser.expect_token(&Token::RParen)?;
    Ok(sp::Expr::Function(call(name, args)))
}

/// A unit as a word, or as a string where it is given as one.
fn unit(parser: &mut Parser) -> Result<sp::Expr> {
    match words::peek(parser, 0) {
        Token::Word(word) => {
            let unit = text(word.value.to_ascii_uppercase());
            parser.advance_token();
            Ok(unit)
        }
        Token::SingleQuotedString(_) => Ok(sp::Expr::Value(parser.parse_value()?)),
        _ => words::unexpected(parser, "a time unit"),
    }
}
