//! [`StreamDialect`]: PostgreSQL's grammar of expressions and queries with Flink's additions.

use std::any::TypeId;
use std::cell::Cell;

use datafusion::sql::sqlparser::ast::{BinaryOperator, CastKind, Expr, Ident};
use datafusion::sql::sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::types;

use super::{emit, json, prefix, words};

const POSTGRES: PostgreSqlDialect = PostgreSqlDialect {};

/// PostgreSQL's grammar with backticks, `TABLE t` as an argument, our types in casts, temporal joins and
/// `MATCH_RECOGNIZE`. User-defined operators are left out: they would swallow `<-` in `x<-1`.
///
/// One is made for each statement: it counts the expressions that are begun. Where `sqlparser` is not sure what an open
/// parenthesis means, it tries one thing and then the other, and in nested ones the tries multiply.
#[derive(Debug)]
pub(super) struct StreamDialect {
    steps_left: Cell<usize>,
}

impl StreamDialect {
    /// For a text of so many tokens.
    pub(super) fn new(tokens: usize) -> Self {
        Self { steps_left: Cell::new(STEPS_MIN.saturating_add(tokens.saturating_mul(STEPS_A_TOKEN))) }
    }

    /// Counts an expression; false where there have been too many.
    fn step(&self) -> bool {
        let left = self.steps_left.get();
        self.steps_left.set(left.saturating_sub(1));
        left > 0
    }
}

/// Expressions that may be begun for each token of a statement, and at the least: far more than any parse without
/// multiplied tries takes.
const STEPS_A_TOKEN: usize = 10;
const STEPS_MIN: usize = 1_000;

impl Dialect for StreamDialect {
    fn dialect(&self) -> TypeId {
        TypeId::of::<PostgreSqlDialect>()
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        matches!(ch, '"' | '`')
    }

    fn identifier_quote_style(&self, _identifier: &str) -> Option<char> {
        Some('"')
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        POSTGRES.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        POSTGRES.is_identifier_part(ch)
    }

    /// Words that start an expression of their own kind and nothing else: where that fails, its error is the error.
    fn is_reserved_for_identifier(&self, word: Keyword) -> bool {
        matches!(word, Keyword::CASE | Keyword::CAST | Keyword::EXISTS | Keyword::NOT | Keyword::TRIM)
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        if self.step() { prefix::prefix(parser) } else { Some(Err(ParserError::RecursionLimitExceeded)) }
    }

    fn parse_infix(&self, parser: &mut Parser, expr: &Expr, precedence: u8) -> Option<Result<Expr, ParserError>> {
        if let Some(test) = json::is_json(parser, expr) {
            return Some(Ok(test));
        }
        if let Some(test) = distinct_from(parser, expr, precedence) {
            return Some(test);
        }
        if overlaps_ahead(parser) {
            return Some(overlaps(parser, expr, precedence));
        }
        if let Some(test) = between(parser, expr) {
            return Some(test);
        }
        parser.consume_token(&Token::DoubleColon).then(|| {
            let data_type = types::parse(parser)?;
            Ok(prefix::cast_to(CastKind::DoubleColon, Box::new(expr.clone()), data_type))
        })
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        if overlaps_ahead(parser) {
            return Some(Ok(POSTGRES.prec_value(Precedence::Like)));
        }
        POSTGRES.get_next_precedence(parser)
    }

    fn prec_value(&self, precedence: Precedence) -> u8 {
        POSTGRES.prec_value(precedence)
    }

    fn supports_unicode_string_literal(&self) -> bool {
        true
    }

    fn supports_string_escape_constant(&self) -> bool {
        true
    }

    fn supports_nested_comments(&self) -> bool {
        true
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_notnull_operator(&self) -> bool {
        true
    }

    fn supports_bitwise_shift_operators(&self) -> bool {
        true
    }

    fn allow_extract_custom(&self) -> bool {
        true
    }

    fn allow_extract_single_quotes(&self) -> bool {
        true
    }

    fn supports_comma_separated_trim(&self) -> bool {
        true
    }

    fn supports_table_versioning(&self) -> bool {
        true
    }

    fn supports_match_recognize(&self) -> bool {
        true
    }

    fn supports_array_typedef_with_brackets(&self) -> bool {
        true
    }

    fn supports_interval_options(&self) -> bool {
        true
    }

    fn supports_listen_notify(&self) -> bool {
        true
    }

    fn supports_comment_on(&self) -> bool {
        true
    }

    /// Flink's hints, `SELECT /*+ STATE_TTL('a' = '1h') */ …`.
    fn supports_comment_optimizer_hint(&self) -> bool {
        true
    }

    fn is_select_item_alias(&self, explicit: bool, word: &Keyword, parser: &mut Parser) -> bool {
        explicit || (self.is_column_alias(word, parser) && !emit::begun(parser))
    }

    fn is_table_factor_alias(&self, explicit: bool, word: &Keyword, parser: &mut Parser) -> bool {
        explicit || (self.is_table_alias(word, parser) && !emit::begun(parser))
    }
}

/// `IS [NOT] DISTINCT FROM`. Its right side ends where that of other operators of its precedence does; `sqlparser` would
/// take `AND` and what follows into it.
fn distinct_from(parser: &mut Parser, expr: &Expr, precedence: u8) -> Option<Result<Expr, ParserError>> {
    let not = words::accept(parser, &["IS", "NOT", "DISTINCT", "FROM"]);
    if !not && !words::accept(parser, &["IS", "DISTINCT", "FROM"]) {
        return None;
    }
    let test = if not { Expr::IsNotDistinctFrom } else { Expr::IsDistinctFrom };
    let left = Box::new(expr.clone());
    Some(parser.parse_subexpr(precedence).map(|right| test(left, Box::new(right))))
}

/// `[NOT] BETWEEN {SYMMETRIC | ASYMMETRIC} a AND b`; without the word it is `sqlparser`'s.
fn between(parser: &mut Parser, expr: &Expr) -> Option<Result<Expr, ParserError>> {
    let forms: [(bool, bool, &[&str]); 4] = [
        (false, true, &["BETWEEN", "SYMMETRIC"]),
        (false, false, &["BETWEEN", "ASYMMETRIC"]),
        (true, true, &["NOT", "BETWEEN", "SYMMETRIC"]),
        (true, false, &["NOT", "BETWEEN", "ASYMMETRIC"]),
    ];
    let (negated, symmetric, _) = forms.into_iter().find(|(.., form)| words::accept(parser, form))?;
    let precedence = POSTGRES.prec_value(Precedence::Between);
    let ends = parser.parse_subexpr(precedence).and_then(|low| {
        words::expect(parser, "AND")?;
        Ok((low, parser.parse_subexpr(precedence)?))
    });
    Some(ends.map(|(low, high)| {
        let test = |low: &Expr, high: &Expr| {
            let (low, high) = (Box::new(low.clone()), Box::new(high.clone()));
            Expr::Nested(Box::new(Expr::Between { expr: Box::new(expr.clone()), negated, low, high }))
        };
        if !symmetric {
            return test(&low, &high);
        }
        let op = if negated { BinaryOperator::And } else { BinaryOperator::Or };
        let (left, right) = (Box::new(test(&low, &high)), Box::new(test(&high, &low)));
        Expr::Nested(Box::new(Expr::BinaryOp { left, op, right }))
    }))
}

/// Whether `OVERLAPS (` comes next.
fn overlaps_ahead(parser: &Parser) -> bool {
    words::ahead(parser, &["OVERLAPS"]) && *words::peek(parser, 1) == Token::LParen
}

/// `(start, end) OVERLAPS (start, end)` as a call.
fn overlaps(parser: &mut Parser, left: &Expr, precedence: u8) -> Result<Expr, ParserError> {
    words::expect(parser, "OVERLAPS")?;
    match (left, parser.parse_subexpr(precedence)?) {
        (Expr::Tuple(first), Expr::Tuple(second)) if first.len() == 2 && second.len() == 2 => {
            let args = first.iter().chain(&second).cloned().collect();
            Ok(Expr::Function(prefix::call(Ident::new("overlaps"), args)))
        }
        _ => words::unexpected(parser, "(start, end) on both sides of OVERLAPS"),
    }
}
