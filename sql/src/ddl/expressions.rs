//! What the expressions of computed columns, watermarks and functions may hold, and which SQL functions they call.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::functions_aggregate::all_default_aggregate_functions;
use datafusion::sql::sqlparser::ast as sp;

use crate::ast::{ColumnKind, CreateTable};
use crate::catalog::CatalogSnapshot;
use crate::error::{Result, SqlError, SqlState};

/// Checks that an expression needs one row only: no aggregate, no window function, no subquery.
///
/// # Errors
/// Where it needs more; `place` says for people where it stands (`a computed column`).
pub(super) fn check_of_one_row(expr: &sp::Expr, place: &str) -> Result<()> {
    let aggregates: BTreeSet<String> = all_default_aggregate_functions()
        .iter()
        .flat_map(|function| function.aliases().iter().cloned().chain([function.name().to_owned()]))
        .collect();
    let refused = sp::visit_expressions(expr, |expr| {
        let (state, what) = match expr {
            sp::Expr::Function(function) if function.over.is_some() => (SqlState::WINDOWING_ERROR, "window functions"),
            sp::Expr::Function(function) if aggregates.contains(&last(&function.name).to_ascii_lowercase()) => {
                (SqlState::GROUPING_ERROR, "aggregate functions")
            }
            sp::Expr::Subquery(_) | sp::Expr::Exists { .. } | sp::Expr::InSubquery { .. } => {
                (SqlState::FEATURE_NOT_SUPPORTED, "subqueries")
            }
            _ => return ControlFlow::Continue(()),
        };
        ControlFlow::Break(SqlError::new(state, format!("{what} are not allowed in {place}")))
    });
    match refused {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// The SQL functions that the computed columns and the watermark of a table call.
pub(super) fn functions_of_table(table: &CreateTable, catalog: &CatalogSnapshot) -> BTreeSet<String> {
    let computed = table.columns.iter().filter_map(|column| match &column.kind {
        ColumnKind::Computed(expr) => Some(expr.as_ref()),
        ColumnKind::Physical { .. } | ColumnKind::Metadata { .. } => None,
    });
    let watermark = table.watermark.iter().map(|watermark| &watermark.expr);
    computed.chain(watermark).flat_map(|expr| functions_of(expr, catalog)).collect()
}

/// The SQL functions that an expression calls, by lower-case name.
pub(super) fn functions_of(expr: &sp::Expr, catalog: &CatalogSnapshot) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let _: ControlFlow<()> = sp::visit_expressions(expr, |expr| {
        if let sp::Expr::Function(function) = expr {
            found.insert(last(&function.name).to_ascii_lowercase());
        }
        ControlFlow::Continue(())
    });
    found.retain(|name| catalog.functions.contains_key(name));
    found
}

fn last(name: &sp::ObjectName) -> &str {
    name.0.last().and_then(|part| part.as_ident()).map_or("", |ident| ident.value.as_str())
}
