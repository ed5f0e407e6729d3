//! Queries in a `FROM` that see the tables before them: `t, LATERAL (SELECT … FROM u WHERE u.k = t.k ORDER BY … LIMIT 3)`.
//!
//! [`pull`] frees the query of the outer row, node by node: what it says of it becomes conditions of a join, an aggregation
//! is of each key, a limit a rank within each key. Where the conditions are no equalities, the query is joined with
//! the distinct outer values first, and these are the key. What comes out are joins, aggregations and ranks that both runtimes know.

mod pull;
mod rows;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, JoinType, Result, TableReference};
use datafusion::logical_expr::expr_fn::when;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{EmptyRelation, Expr, Join, LogicalPlan, LogicalPlanBuilder, Operator, binary_expr};

use self::pull::{Pull, depends};
use self::rows::Rows;
use super::position::at;
use super::provider::external;
use super::unnest::inner;
use crate::error::SqlError;

/// The join with a query that sees the left side, as a join with rows that do not; `None`: it is none.
///
/// # Errors
/// Where the query does with the outer row what no join can.
pub(super) fn joined(join: &Join) -> Result<Option<LogicalPlan>> {
    let query = match join.right.as_ref() {
        LogicalPlan::Subquery(_) => true,
        LogicalPlan::SubqueryAlias(alias) => matches!(alias.input.as_ref(), LogicalPlan::Subquery(_)),
        _ => false,
    };
    if !query || !depends(&join.right)? {
        return Ok(None);
    }
    let outer = match join.join_type {
        JoinType::Inner => false,
        JoinType::Left => true,
        _ => {
            return Err(external(SqlError::unsupported(
                "a LATERAL query stands behind a comma, JOIN or LEFT JOIN only",
            )));
        }
    };
    let mut pull = Pull::new(&join.left);
    let rows = pull.rows(&join.right)?;
    let on = join.on.iter().map(|(left, right)| left.clone().eq(right.clone()));
    let on = conjunction(on.chain(join.filter.clone()));
    let left = join.left.as_ref().clone();
    let plan = if outer { outer_join(left, &mut pull, rows, on)? } else { inner_join(left, &mut pull, rows, on)? };
    Ok(Some(plan))
}

/// Every left row with its rows of the query.
fn inner_join(left: LogicalPlan, pull: &mut Pull<'_>, rows: Rows, on: Option<Expr>) -> Result<LogicalPlan> {
    let schema = left.schema().clone();
    let of_left: Vec<Expr> = schema.iter().map(Expr::from).collect();
    let own = |exprs: Vec<Expr>| exprs.into_iter().map(|expr| inner(expr, &schema)).collect::<Result<Vec<_>>>();
    let one_row = matches!(rows.plan, LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: true, .. }));
    let (plan, rows) = if one_row && rows.met.is_none() {
        (filtered(left, own(rows.conditions.clone())?)?, rows)
    } else {
        let rows = rows.settled(pull.name(), false)?;
        let kind = if rows.met.is_some() { JoinType::Left } else { JoinType::Inner };
        let conditions = own(rows.conditions.clone())?;
        let plan = LogicalPlanBuilder::from(left).join_on(rows.plan.clone(), kind, conditions)?.build()?;
        (filtered(plan, own(rows.after.clone())?)?, rows)
    };
    let of_right = rows
        .columns
        .into_iter()
        .map(|column| inner(column.value, &schema).map(|value| value.alias_qualified(column.table, column.name)));
    let plan = LogicalPlanBuilder::from(plan)
        .project(of_left.into_iter().chain(of_right.collect::<Result<Vec<_>>>()?))?
        .build()?;
    filtered(plan, on.into_iter().collect())
}

/// Every left row with its rows of the query for which `on` holds, or with nulls.
fn outer_join(left: LogicalPlan, pull: &mut Pull<'_>, rows: Rows, on: Option<Expr>) -> Result<LogicalPlan> {
    let schema = left.schema().clone();
    let of_left: Vec<Expr> = schema.iter().map(Expr::from).collect();
    let rows = rows.settled(pull.name(), true)?;
    let on = on.map(|on| rows.over(on)).transpose()?;
    let own = |exprs: Vec<Expr>| exprs.into_iter().map(|expr| inner(expr, &schema)).collect::<Result<Vec<_>>>();
    // A query that always gives a row has it where these hold; else what its rows are joined by tells.
    let (conditions, there) = match &rows.met {
        Some(_) => (rows.conditions.clone(), conjunction(own(rows.after.iter().cloned().chain(on).collect())?)),
        None => (rows.conditions.iter().cloned().chain(on).collect(), rows.marker.clone().map(Expr::is_not_null)),
    };
    let plan = LogicalPlanBuilder::from(left).join_on(rows.plan.clone(), JoinType::Left, own(conditions)?)?;
    let always = rows.met.is_some();
    let of_right = rows.columns.into_iter().map(|column| {
        let value = inner(column.value, &schema)?;
        let plain = matches!(value, Expr::Column(_)) && !always;
        let value = match &there {
            Some(there) if !plain => when(there.clone(), value).end()?,
            Some(_) | None => value,
        };
        Ok(value.alias_qualified(column.table, column.name))
    });
    plan.project(of_left.into_iter().chain(of_right.collect::<Result<Vec<_>>>()?))?.build()
}

fn filtered(plan: LogicalPlan, conditions: Vec<Expr>) -> Result<LogicalPlan> {
    match conjunction(conditions) {
        Some(condition) => LogicalPlanBuilder::from(plan).filter(condition)?.build(),
        None => Ok(plan),
    }
}

/// The distinct values of some columns of the outer rows.
struct Values {
    plan: LogicalPlan,
    /// The columns, as the query names them and as they are called here.
    columns: Vec<(Column, Expr)>,
}

impl Values {
    /// The values of the columns that these expressions see.
    ///
    /// # Errors
    /// Where a column is not of these rows but of a query further out.
    fn of<'e>(left: &LogicalPlan, exprs: impl Iterator<Item = &'e Expr>, name: String) -> Result<Self> {
        let table = TableReference::bare(name);
        let mut columns: Vec<(Column, Expr)> = Vec::new();
        for column in outer_columns(exprs)? {
            if !left.schema().has_column(&column) {
                return Err(refused("a LATERAL query that sees a query further out", &column));
            }
            if columns.iter().all(|(known, _)| *known != column) {
                let own = Expr::Column(Column::new(Some(table.clone()), format!("value{}", columns.len())));
                columns.push((column, own));
            }
        }
        let named = columns.iter().enumerate().map(|(index, (column, _))| {
            Expr::Column(column.clone()).alias_qualified(Some(table.clone()), format!("value{index}"))
        });
        let plan = LogicalPlanBuilder::from(left.clone()).project(named)?.distinct()?.build()?;
        Ok(Self { plan, columns })
    }

    /// An expression of the query over these values.
    fn inner(&self, expr: Expr) -> Result<Expr> {
        let expr = expr.transform(|expr| {
            Ok(match &expr {
                Expr::OuterReferenceColumn(_, outer) => match self.columns.iter().find(|(column, _)| column == outer) {
                    Some((_, own)) => Transformed::yes(own.clone()),
                    None => Transformed::no(expr),
                },
                _ => Transformed::no(expr),
            })
        });
        Ok(expr?.data)
    }

    /// The conditions by which outer rows find their values.
    fn keys(&self, left: &LogicalPlan) -> Result<Vec<Expr>> {
        let key = |(column, own): &(Column, Expr)| {
            let field = left.schema().qualified_field_from_column(column)?.1;
            let outer = Expr::OuterReferenceColumn(field.clone(), column.clone());
            Ok(binary_expr(outer, Operator::IsNotDistinctFrom, own.clone()))
        };
        self.columns.iter().map(key).collect()
    }
}

/// The columns of outer rows that expressions see.
fn outer_columns<'e>(exprs: impl Iterator<Item = &'e Expr>) -> Result<Vec<Column>> {
    let mut columns = Vec::new();
    for expr in exprs {
        expr.apply(|expr| {
            if let Expr::OuterReferenceColumn(_, column) = expr {
                columns.push(column.clone());
            }
            Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
        })?;
    }
    Ok(columns)
}

/// The error for what a query cannot do with a column of the outer row.
fn refused(what: &str, column: &Column) -> datafusion::common::DataFusionError {
    use datafusion::sql::sqlparser::tokenizer::{Location, Span};
    let error = SqlError::unsupported(format!("{what} is not supported: {}", column.flat_name()));
    let error = error.with_hint("name the column in its WHERE, select list or aggregates, or write a join");
    external(match column.spans().first() {
        Some(span) => {
            let start = Location::new(span.start.line, span.start.column);
            at(error, Span::new(start, start))
        }
        None => error,
    })
}
