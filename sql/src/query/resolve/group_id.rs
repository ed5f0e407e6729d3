//! `GROUP_ID()`: the number of a grouping set among those that are the same, from 0. Where no two are it is 0 for all.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::ast::{VisitMut, VisitorMut};

use crate::error::{Result, SqlError};

/// Puts its value in where a `SELECT` calls it.
///
/// # Errors
/// Where two of its grouping sets may be the same.
pub(super) fn replaced(select: &mut sp::Select) -> Result<()> {
    let mut calls = Calls { depth: 0, found: false };
    for item in &mut select.projection {
        let ControlFlow::Continue(()) = item.visit(&mut calls);
    }
    if let Some(having) = &mut select.having {
        let ControlFlow::Continue(()) = having.visit(&mut calls);
    }
    if calls.found && !differ(&select.group_by) {
        let error = SqlError::unsupported("GROUP_ID() where a grouping set is there twice is not supported");
        return Err(error.with_hint("With different grouping sets it is 0; GROUPING tells them apart."));
    }
    Ok(())
}

/// Whether no two grouping sets are the same, as far as can be seen at once.
fn differ(group_by: &sp::GroupByExpr) -> bool {
    let sp::GroupByExpr::Expressions(exprs, _) = group_by else { return true };
    let several =
        exprs.iter().filter(|expr| matches!(expr, sp::Expr::GroupingSets(_) | sp::Expr::Cube(_) | sp::Expr::Rollup(_)));
    several.clone().count() <= 1
        && several.into_iter().all(|expr| match expr {
            sp::Expr::GroupingSets(sets) | sp::Expr::Cube(sets) | sp::Expr::Rollup(sets) => {
                let mut seen = HashSet::new();
                sets.iter().all(|set| {
                    let mut columns: Vec<String> = set.iter().map(|column| column.to_string().to_lowercase()).collect();
                    columns.sort_unstable();
                    seen.insert(columns)
                })
            }
            _ => true,
        })
}

/// Finds the calls of one `SELECT`, not of those inside it.
struct Calls {
    depth: usize,
    found: bool,
}

impl VisitorMut for Calls {
    type Break = std::convert::Infallible;

    fn pre_visit_query(&mut self, _query: &mut sp::Query) -> ControlFlow<Self::Break> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut sp::Query) -> ControlFlow<Self::Break> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut sp::Expr) -> ControlFlow<Self::Break> {
        if let sp::Expr::Function(call) = expr
            && self.depth == 0
            && call.name.to_string().eq_ignore_ascii_case("group_id")
            && matches!(&call.args, sp::FunctionArguments::List(list) if list.args.is_empty())
        {
            self.found = true;
            *expr = sp::Expr::Value(sp::Value::Number("0".to_owned(), false).into());
        }
        ControlFlow::Continue(())
    }
}
