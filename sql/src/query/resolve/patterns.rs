//! Operators that the planner has not, or means otherwise, as what it has: `LIKE … ESCAPE` as `LIKE` with a backslash,
//! `SIMILAR TO` as a regular expression, `AT TIME ZONE` as a call.

use datafusion::sql::sqlparser::ast as sp;

use super::aggregate_names::call;
use crate::functions::{AT_TIME_ZONE, LIKE_PATTERN, SIMILAR_PATTERN};

/// Writes such an operator with the others.
pub(super) fn written_out(expr: &mut sp::Expr) {
    match expr {
        sp::Expr::Like { pattern, escape_char, .. } | sp::Expr::ILike { pattern, escape_char, .. } => {
            if let Some(escape) = escape_char.take().filter(|escape| !is_backslash(escape)) {
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

fn is_backslash(escape: &sp::ValueWithSpan) -> bool {
    matches!(&escape.value, sp::Value::SingleQuotedString(text) if text == "\\")
}
