//! Queries over what is unnested of the tables before them: `t, LATERAL (SELECT x * 2 FROM UNNEST(t.a) AS u(x) WHERE x > 1)`.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result, TableReference};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, LogicalPlanBuilder};

use super::{Unnest, inner};

/// What the unnested columns are qualified with below the query. Not to be met in user texts.
const TABLE: &str = "__millstream_lateral";

/// Rows with the columns of a query over them, each with its qualifier and its name in the query.
struct Rows {
    plan: LogicalPlan,
    columns: Vec<(Option<TableReference>, String, Expr)>,
}

/// The inner join with such a query, as filters and projections on top of the left side; `None`: it is none.
pub(super) fn over_left(join: &Join) -> Result<Option<LogicalPlan>> {
    let Some(Rows { plan, columns }) = rows(&join.right, &join.left)? else { return Ok(None) };
    let left = join.left.schema().iter().map(Expr::from);
    let right = columns.into_iter().map(|(table, name, expr)| expr.alias_qualified(table, name));
    let plan = LogicalPlanBuilder::from(plan).project(left.chain(right))?;
    let on = join.on.iter().map(|(left, right)| left.clone().eq(right.clone()));
    match conjunction(on.chain(join.filter.clone())) {
        Some(condition) => plan.filter(condition)?.build().map(Some),
        None => plan.build().map(Some),
    }
}

/// The rows of a query of filters, projections and names over an `UNNEST`, on top of the left side.
fn rows(query: &LogicalPlan, left: &LogicalPlan) -> Result<Option<Rows>> {
    Ok(match query {
        LogicalPlan::Subquery(subquery) => rows(&subquery.subquery, left)?,
        LogicalPlan::SubqueryAlias(alias) => rows(&alias.input, left)?.map(|mut rows| {
            rows.columns.iter_mut().for_each(|(table, ..)| *table = Some(alias.alias.clone()));
            rows
        }),
        LogicalPlan::Filter(filter) => match rows(&filter.input, left)? {
            Some(Rows { plan, columns }) => {
                let condition = over(filter.predicate.clone(), &columns, left.schema())?;
                Some(Rows { plan: LogicalPlanBuilder::from(plan).filter(condition)?.build()?, columns })
            }
            None => None,
        },
        LogicalPlan::Projection(projection) => match rows(&projection.input, left)? {
            Some(Rows { plan, columns }) => {
                let mut projected = Vec::with_capacity(projection.expr.len());
                for (expr, (table, field)) in projection.expr.iter().zip(projection.schema.iter()) {
                    let expr = over(expr.clone().unalias(), &columns, left.schema())?;
                    projected.push((table.cloned(), field.name().clone(), expr));
                }
                Some(Rows { plan, columns: projected })
            }
            None => None,
        },
        other => match Unnest::of(other) {
            Some(unnest) if matches!(unnest.input.as_ref(), LogicalPlan::EmptyRelation(_)) => {
                let of = unnest.of.iter().map(|expr| inner(expr.clone(), left.schema()));
                let table = TableReference::bare(TABLE);
                let over = unnest.over(left.clone(), of.collect::<Result<_>>()?, false, Some(table.clone()))?;
                let column = |(_, _, name): (String, _, &str)| {
                    (None, name.to_owned(), Expr::Column(Column::new(Some(table.clone()), name)))
                };
                Some(Rows { columns: unnest.appended().map(column).collect(), plan: over.into_plan() })
            }
            _ => None,
        },
    })
}

/// An expression of the query over the rows.
fn over(expr: Expr, columns: &[(Option<TableReference>, String, Expr)], left: &DFSchema) -> Result<Expr> {
    let expr = expr.transform_down(|expr| {
        let Expr::Column(column) = &expr else { return Ok(Transformed::no(expr)) };
        let found = columns
            .iter()
            .find(|(table, name, _)| *name == column.name && (column.relation.is_none() || column.relation == *table));
        Ok(match found {
            Some((.., found)) => {
                Transformed::new(found.clone(), true, datafusion::common::tree_node::TreeNodeRecursion::Jump)
            }
            None => Transformed::no(expr),
        })
    })?;
    inner(expr.data, left)
}
