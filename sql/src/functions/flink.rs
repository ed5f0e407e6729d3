//! What functions mean where `sql.semantics` is `flink` and Flink's meaning is not PostgreSQL's. `docs/semantics.md` has
//! the list.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::functions::math::expr_fn::ln;
use datafusion::logical_expr::{Expr, ScalarUDF, lit, when};

use super::registry;

/// What Flink means by a call; `None` where it means the same as PostgreSQL.
pub(crate) fn in_flink(function: &Arc<ScalarUDF>, args: &[Expr]) -> Option<Result<Expr>> {
    let call = || function.call(args.to_vec());
    let other = |name: &str| registry().scalar.get(name).map(|function| Ok(function.call(args.to_vec())));
    match (function.name(), args) {
        ("concat" | "greatest" | "least", _) => Some(null_with_nulls(args, call())),
        ("log", [number]) => Some(Ok(ln(number.clone()))),
        ("regexp_replace", [text, regex, new]) => {
            Some(Ok(function.call(vec![text.clone(), regex.clone(), new.clone(), lit("g")])))
        }
        ("chr", [_]) => other("flink_chr"),
        ("overlaps", [_, _, _, _]) => other("flink_overlaps"),
        ("left", [_, _]) => other("flink_left"),
        ("right", [_, _]) => other("flink_right"),
        ("substr", [_, _] | [_, _, _]) => other("flink_substr"),
        ("array_position", [_, _]) => {
            Some(when(call().is_null(), lit(0_u64)).otherwise(call()).and_then(|found| null_with_nulls(args, found)))
        }
        _ => None,
    }
}

/// Null where an argument is.
fn null_with_nulls(args: &[Expr], value: Expr) -> Result<Expr> {
    match args.iter().cloned().map(Expr::is_not_null).reduce(Expr::and) {
        Some(all) => when(all, value).end(),
        None => Ok(value),
    }
}
