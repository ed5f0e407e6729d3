//! `LIMIT`, `OFFSET` and `FETCH FIRST`.

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::ast::Spanned;

use crate::error::{Result, SqlError, SqlState};
use crate::query::position::at;

/// Writes `FETCH FIRST n ROWS ONLY` as `LIMIT n`.
///
/// # Errors
/// 2201W and 2201X for negative numbers.
pub(super) fn written_out(query: &mut sp::Query) -> Result<()> {
    fetch_as_limit(query);
    let (limit, offset) = match &query.limit_clause {
        Some(sp::LimitClause::LimitOffset { limit, offset, .. }) => {
            (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
        }
        Some(sp::LimitClause::OffsetCommaLimit { offset, limit }) => (Some(limit), Some(offset)),
        None => (None, None),
    };
    for (name, rows, state) in [("LIMIT", limit, SqlState("2201W")), ("OFFSET", offset, SqlState("2201X"))] {
        if let Some(sp::Expr::UnaryOp { op: sp::UnaryOperator::Minus, expr }) = rows
            && matches!(expr.as_ref(), sp::Expr::Value(_))
        {
            return Err(at(SqlError::new(state, format!("{name} must not be negative")), expr.span()));
        }
    }
    Ok(())
}

fn fetch_as_limit(query: &mut sp::Query) {
    let Some(sp::Fetch { with_ties: false, percent: false, quantity }) = &query.fetch else { return };
    let one = || sp::Expr::Value(sp::Value::Number("1".to_owned(), false).into());
    let rows = quantity.clone().unwrap_or_else(one);
    match &mut query.limit_clause {
        None => {
            let clause = sp::LimitClause::LimitOffset { limit: Some(rows), offset: None, limit_by: Vec::new() };
            query.limit_clause = Some(clause);
        }
        Some(sp::LimitClause::LimitOffset { limit: limit @ None, .. }) => *limit = Some(rows),
        Some(_) => return,
    }
    query.fetch = None;
}
