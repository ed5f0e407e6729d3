//! Operators that the planner has not, or means otherwise, as what it has: `LIKE … ESCAPE` as `LIKE` with a backslash,
//! `SIMILAR TO` as a regular expression, `AT TIME ZONE` as a call.

use datafusion::sql::sqlparser::ast as sp;

use super::aggregate_names::call;
use crate::error::{Result, SqlError};
use crate::functions::{AT_TIME_ZONE, LIKE_PATTERN, SIMILAR_PATTERN};
use crate::query::position::at;

/// Writes such an operator with the others.
pub(super) fn written_out(expr: &mut sp::Expr) {
    match expr {
        sp::Expr::Like { pattern, escape_char, .. } | sp::Expr::ILike { pattern, escape_char, .. } => {
            if let Some(escape) = escape_char.take() {
                let given = std::mem::replace(pattern.as_mut(), sp::Expr::Value(sp::Value::Null.into()));
                **pattern = sp::Expr::Function(call(LIKE_PATTERN, vec![given, sp::Expr::Value(escape)]));
            }
        }
        sp::Expr::SimilarTo { negated, expr: text, pattern, escape_char } => {
            let backslash = || sp::Value::SingleQuotedString("\\".to_owned()).into();
            let escape = sp::Expr::Value(escape_char.take().unwrap_or_else(backslash));
            let regex = call(SIMILAR_PATTERN, vec![pattern.as_ref().clone(), escape]);
            let text = sp::Expr::Nested(text.clone());
            let matched = sp::Expr::Function(call("regexp_like", vec![text, sp::Expr::Function(regex)]));
            *expr = if *negated {
                sp::Expr::UnaryOp { op: sp::UnaryOperator::Not, expr: Box::new(matched) }
            } else {
                matched
            };
        }
        sp::Expr::AtTimeZone { timestamp, time_zone } => {
            let args = vec![time_zone.as_ref().clone(), timestamp.as_ref().clone()];
            *expr = sp::Expr::Function(call(AT_TIME_ZONE, args));
        }
        _ => {}
    }
}

/// Takes away the order of bytes, which texts have anyway.
///
/// # Errors
/// For another order.
pub(super) fn without_collation(expr: &mut sp::Expr) -> Result<()> {
    while let sp::Expr::Collate { expr: inner, collation } = expr {
        let name = collation.0.last().and_then(|part| part.as_ident());
        if !name.is_some_and(|name| BYTES.iter().any(|bytes| name.value.eq_ignore_ascii_case(bytes))) {
            let error = SqlError::unsupported(format!("COLLATE {collation} is not supported"));
            let error = error.with_hint("texts are ordered by their bytes, as with COLLATE \"C\"");
            return Err(match name {
                Some(name) => at(error, name.span),
                None => error,
            });
        }
        *expr = std::mem::replace(inner.as_mut(), sp::Expr::Value(sp::Value::Null.into()));
    }
    Ok(())
}

/// Names of the order by bytes.
const BYTES: [&str; 5] = ["default", "C", "POSIX", "C.UTF-8", "ucs_basic"];
