//! Queries and expressions of the catalog, which are kept as text.

use datafusion::sql::sqlparser::ast as sp;

use crate::error::Result;

/// A query as text.
pub(crate) fn query(text: &str) -> Result<sp::Query> {
    crate::parse::query(text).map(|query| *query)
}

/// An expression as text.
pub(super) fn expression(text: &str) -> Result<sp::Expr> {
    crate::parse::expression(text)
}
