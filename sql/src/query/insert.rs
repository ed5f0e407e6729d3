//! `INSERT`: the rows of a query in the order and the types of the target's stored columns.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, lit};
use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::ast::Spanned;

use super::position::at;
use super::semantics::arithmetic;
use super::{bind_query, from_datafusion, row_cast};
use crate::bound::{BindContext, BoundQuery};
use crate::catalog::{Column, ColumnOrigin, Relation, RelationKind, nearest};
use crate::error::{Result, SqlError, SqlState};

/// Resolves the query of an `INSERT` and fits it to the target.
///
/// # Errors
/// As [`bind_query`]; where the columns do not fit.
pub(crate) fn bind_insert(
    target: &Arc<Relation>,
    columns: &[sp::Ident],
    query: &sp::Query,
    context: &BindContext,
) -> Result<BoundQuery> {
    let stored: Vec<&Column> = target.columns.iter().filter(|column| is_stored(column)).collect();
    let named = if columns.is_empty() { stored.clone() } else { named(target, &stored, columns)? };
    let bound = bind_query(query, context)?;
    let given = bound.plan.schema().fields().len();
    if given != named.len() && (given > named.len() || !columns.is_empty()) {
        let which =
            if given > named.len() { "expressions than target columns" } else { "target columns than expressions" };
        let error = SqlError::new(SqlState::SYNTAX_ERROR, format!("INSERT has more {which}"));
        return Err(at(error, query.span()));
    }
    if given < named.len() {
        let message = format!("table \"{}\" has {} columns but {given} values are given", target.name, named.len());
        return Err(at(SqlError::new(SqlState::SYNTAX_ERROR, message), query.span()));
    }
    let stored = physical_first(stored);
    let mut exprs = Vec::with_capacity(stored.len());
    for column in &stored {
        let data_type = &column.data_type.arrow;
        let expr = match named.iter().position(|name| name.name == column.name) {
            Some(index) => {
                let (qualifier, field) = bound.plan.schema().qualified_field(index);
                assign(Expr::from((qualifier, field)), field.data_type(), column, &bound.plan, index)?
            }
            None if column.nullable => cast(lit(ScalarValue::Null), data_type.clone()),
            None => {
                let message = format!(
                    "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
                    column.name, target.name
                );
                return Err(SqlError::new(SqlState::NOT_NULL_VIOLATION, message));
            }
        };
        // Metadata may be declared in another type than the connector's.
        let stored = stored_type(target, column);
        let expr = if stored == *data_type { expr } else { cast(expr, stored) };
        exprs.push(expr.alias(&column.name));
    }
    let plan = LogicalPlanBuilder::from(bound.plan).project(exprs).and_then(LogicalPlanBuilder::build);
    let plan = arithmetic(plan.map_err(from_datafusion)?, context.semantics)?;
    // An internal table checks its rows itself, and tells which one is at fault.
    let checked = matches!(target.kind, RelationKind::InternalTable(_));
    let field = |column: &&Column| Field::new(&column.name, stored_type(target, column), column.nullable || checked);
    let fields: Vec<Field> = stored.iter().map(field).collect();
    Ok(BoundQuery { plan, schema: Arc::new(Schema::new(fields)), ..bound })
}

/// Whether an `INSERT` gives a column: it is neither computed nor told by the connector alone.
pub(crate) fn is_stored(column: &Column) -> bool {
    match column.origin {
        ColumnOrigin::Physical => true,
        ColumnOrigin::Computed(_) => false,
        ColumnOrigin::Metadata(_, is_virtual) => !is_virtual,
    }
}

/// The type in which a table takes the values of a column.
pub(crate) fn stored_type(target: &Relation, column: &Column) -> DataType {
    let known = match &target.kind {
        RelationKind::ConnectorTable(table) => table.spec.schema.field_with_name(&column.name).ok(),
        RelationKind::InternalTable(_) | RelationKind::View { .. } | RelationKind::MaterializedView { .. } => None,
    };
    known.map_or_else(|| column.data_type.arrow.clone(), |field| field.data_type().clone())
}

/// The columns of an `INSERT` in the order in which connectors are given them.
pub(crate) fn physical_first(mut stored: Vec<&Column>) -> Vec<&Column> {
    stored.sort_by_key(|column| column.origin != ColumnOrigin::Physical);
    stored
}

/// The target's columns of a column list.
pub(crate) fn named<'t>(target: &Relation, stored: &[&'t Column], columns: &[sp::Ident]) -> Result<Vec<&'t Column>> {
    let mut found: Vec<&Column> = Vec::with_capacity(columns.len());
    for ident in columns {
        let exact = stored.iter().find(|column| column.name == ident.value);
        let mut alike = stored.iter().filter(|column| column.name.eq_ignore_ascii_case(&ident.value));
        let column = match (exact, alike.next(), alike.next()) {
            (Some(column), ..) | (None, Some(column), None) => column,
            (None, Some(_), Some(_)) => {
                let message = format!("column reference \"{}\" is ambiguous", ident.value);
                return Err(at(SqlError::new(SqlState::AMBIGUOUS_COLUMN, message), ident.span));
            }
            (None, None, _) => {
                let message = format!("column \"{}\" of relation \"{}\" does not exist", ident.value, target.name);
                let error = SqlError::new(SqlState::UNDEFINED_COLUMN, message);
                let error = match nearest(&ident.value, stored.iter().map(|column| column.name.as_str())) {
                    Some(near) => error.with_hint(format!("perhaps you meant the column \"{near}\"")),
                    None => error,
                };
                return Err(at(error, ident.span));
            }
        };
        if found.iter().any(|known| known.name == column.name) {
            let message = format!("column \"{}\" specified more than once", column.name);
            return Err(at(SqlError::new(SqlState::DUPLICATE_COLUMN, message), ident.span));
        }
        found.push(column);
    }
    Ok(found)
}

/// A value as the target's type, where an assignment may convert it.
fn assign(value: Expr, from: &DataType, column: &Column, plan: &LogicalPlan, index: usize) -> Result<Expr> {
    let to = &column.data_type.arrow;
    if from == to {
        return Ok(value);
    }
    if row_cast::is_needed(from, to) {
        return Ok(row_cast::row_cast(value, to));
    }
    let text = |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8);
    let free = *from == DataType::Null
        || text(to)
        || (from.is_numeric() && to.is_numeric())
        || (from.is_temporal() && to.is_temporal())
        || (text(from) && is_literal(plan, index))
        || (from.is_nested() && to.is_nested());
    if free && arrow::compute::can_cast_types(from, to) {
        return Ok(cast(value, to.clone()));
    }
    let message =
        format!("column \"{}\" is of type {} but expression is of type {from}", column.name, column.data_type.text);
    Err(SqlError::new(SqlState::DATATYPE_MISMATCH, message)
        .with_hint("you will need to rewrite or cast the expression"))
}

/// Whether the column of the query is a quoted literal in every row: its type is open then, as in PostgreSQL.
fn is_literal(plan: &LogicalPlan, index: usize) -> bool {
    let literal = |expr: &Expr| matches!(expr.clone().unalias(), Expr::Literal(..));
    match plan {
        LogicalPlan::Values(values) => values.values.iter().all(|row| row.get(index).is_some_and(literal)),
        LogicalPlan::Projection(projection) => match projection.expr.get(index) {
            Some(Expr::Column(column)) => {
                let below = projection.input.schema().maybe_index_of_column(column);
                below.is_some_and(|below| is_literal(&projection.input, below))
            }
            Some(expr) => literal(expr),
            None => false,
        },
        LogicalPlan::Sort(sort) => is_literal(&sort.input, index),
        LogicalPlan::Limit(limit) => is_literal(&limit.input, index),
        LogicalPlan::SubqueryAlias(alias) => is_literal(&alias.input, index),
        _ => false,
    }
}
