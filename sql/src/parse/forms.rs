//! Calls with a time unit: `CEIL(t TO unit)`, `TIMESTAMPADD(unit, n, t)`, `EXTRACT(unit FROM t)`. The unit becomes a string.

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

/// Units that a date has: added to one, they give a date.
const OF_DATES: [&str; 5] = ["DAY", "WEEK", "MONTH", "QUARTER", "YEAR"];

/// `TIMESTAMPADD(unit, …)` and `TIMESTAMPDIFF(unit, …)`.
pub(super) fn by_unit(parser: &mut Parser) -> Result<sp::Expr> {
    let mut name = parser.parse_identifier()?;
    parser.expect_token(&Token::LParen)?;
    let of_dates = OF_DATES.into_iter().any(|unit| words::ahead(parser, &[unit]));
    if of_dates && name.value.eq_ignore_ascii_case("timestampadd") {
        name = sp::Ident::new(TIMESTAMPADD_DATES);
    }
    let mut args = vec![unit(parser)?];
    while parser.consume_token(&Token::Comma) {
        args.push(parser.parse_expr()?);
    }
    parser.expect_token(&Token::RParen)?;
    Ok(sp::Expr::Function(call(name, args)))
}

/// What `TIMESTAMPADD` of a unit that a date has is called.
pub(crate) const TIMESTAMPADD_DATES: &str = "timestampadd_to";

/// What follows `EXTRACT`. Of units above the year it is reckoned from the year.
pub(super) fn extract(parser: &mut Parser) -> Result<sp::Expr> {
    let (years, up) = match words::peek(parser, 1) {
        Token::Word(word) => match word.value.to_ascii_uppercase().as_str() {
            "DECADE" => (10, 0),
            "CENTURY" => (100, 99),
            "MILLENNIUM" => (1_000, 999),
            _ => return parser.parse_extract_expr(),
        },
        _ => return parser.parse_extract_expr(),
    };
    parser.expect_token(&Token::LParen)?;
    parser.advance_token();
    words::expect(parser, "FROM")?;
    let year = sp::Expr::Function(call(sp::Ident::new("date_part"), vec![text("year"), parser.parse_expr()?]));
    parser.expect_token(&Token::RParen)?;
    let number = |number: u32| Box::new(sp::Expr::Value(sp::Value::Number(number.to_string(), false).into()));
    let binary = |left, op, right| Box::new(sp::Expr::Nested(Box::new(sp::Expr::BinaryOp { left, op, right })));
    let year = binary(Box::new(year), sp::BinaryOperator::Plus, number(up));
    let units = binary(year, sp::BinaryOperator::Divide, number(years));
    // The name of the column comes from the outermost call.
    Ok(sp::Expr::Function(call(sp::Ident::new(EXTRACTED), vec![*units])))
}

/// What gives a reckoned part of a time.
pub(crate) const EXTRACTED: &str = "extract_to";

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
