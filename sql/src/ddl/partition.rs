//! `INSERT INTO t PARTITION (a = 1, …)`: the values of some columns stand before the query.

use datafusion::sql::sqlparser::ast as sp;

use crate::ast::Insert;
use crate::catalog::Relation;
use crate::error::{Result, SqlError, SqlState};
use crate::query::{is_stored, named};

/// What the rows of the query are called.
const ROWS: &str = "__millstream_rows";

/// The columns that are given, and a query that gives them: those of `PARTITION` behind the others.
pub(super) fn with_values(target: &Relation, insert: &Insert) -> Result<(Vec<sp::Ident>, sp::Query)> {
    let stored: Vec<_> = target.columns.iter().filter(|column| is_stored(column)).collect();
    let idents: Vec<sp::Ident> = insert.partition.iter().map(|(column, _)| column.clone()).collect();
    let fixed = named(target, &stored, &idents)?;
    let quoted = |name: &str| sp::Ident::with_quote('"', name);
    let mut columns = insert.columns.clone();
    if columns.is_empty() {
        let free = stored.iter().filter(|column| !fixed.iter().any(|fixed| fixed.name == column.name));
        columns = free.map(|column| quoted(&column.name)).collect();
    }
    columns.extend(fixed.iter().map(|column| quoted(&column.name)));
    let values = fixed
        .iter()
        .zip(&insert.partition)
        .map(|(column, (_, value))| format!("CAST('{}' AS {})", value.replace('\'', "''"), column.data_type.text));
    let text = format!("SELECT {ROWS}.*, {} FROM (SELECT 1) AS {ROWS}", values.collect::<Vec<_>>().join(", "));
    let mut query = crate::parse::query(&text)?;
    let factor = match query.body.as_mut() {
        sp::SetExpr::Select(select) => select.from.first_mut().map(|from| &mut from.relation),
        _ => None,
    };
    let Some(sp::TableFactor::Derived { subquery, .. }) = factor else {
        return Err(SqlError::new(SqlState::INTERNAL_ERROR, "the rows of a partition have no place"));
    };
    *subquery = insert.query.clone();
    Ok((columns, *query))
}
