//! Queries and expressions of the catalog, which are kept as text.

use std::any::TypeId;

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::dialect::{Dialect, PostgreSqlDialect};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::error::{Result, SqlError, SqlState};

#[derive(Debug)]
struct Mini;

impl Dialect for Mini {
    fn dialect(&self) -> TypeId {
        TypeId::of::<PostgreSqlDialect>()
    }
    fn is_identifier_start(&self, ch: char) -> bool {
        PostgreSqlDialect {}.is_identifier_start(ch)
    }
    fn is_identifier_part(&self, ch: char) -> bool {
        PostgreSqlDialect {}.is_identifier_part(ch)
    }
    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }
    fn supports_group_by_expr(&self) -> bool {
        true
    }
    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<sp::Expr, ParserError>> {
        if !parser.parse_keyword(Keyword::TABLE) {
            return None;
        }
        Some(parser.parse_identifier().and_then(|name| {
            let mut query = super::resolve::tvf::select_all(name);
            if parser.parse_keywords(&[Keyword::PARTITION, Keyword::BY])
                && let sp::SetExpr::Select(select) = query.body.as_mut()
            {
                select.distribute_by = vec![parser.parse_expr()?];
            }
            Ok(sp::Expr::Subquery(Box::new(query)))
        }))
    }
}

fn error(error: ParserError) -> SqlError {
    SqlError::new(SqlState::SYNTAX_ERROR, error.to_string())
}

/// A query as text.
pub(crate) fn query(text: &str) -> Result<sp::Query> {
    let mut parser = Parser::new(&Mini).try_with_sql(text).map_err(error)?;
    let query = parser.parse_query().map_err(error)?;
    parser.expect_token(&Token::EOF).map_err(error)?;
    Ok(*query)
}

/// An expression as text.
pub(super) fn expression(text: &str) -> Result<sp::Expr> {
    Parser::new(&Mini).try_with_sql(text).and_then(|mut parser| parser.parse_expr()).map_err(error)
}
