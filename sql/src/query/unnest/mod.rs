//! `UNNEST` and functions in `FROM`: `CROSS JOIN UNNEST(a) WITH ORDINALITY AS t(x, n)`, `LATERAL TABLE(f(x))`.
//!
//! [`Planner`] makes a node over one row of what stands in the `FROM`, with references to the tables before it;
//! [`joined`] puts the node on top of the rows it is joined with, so that no join is left.

mod lateral;
mod node;
mod rows;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, JoinType, Result as PlanResult, ScalarValue, TableReference};
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, ExprSchemable, Join, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast as sp;

pub(crate) use self::node::Unnest;
pub(crate) use self::rows::{RowsOf, columns_of};
use super::from_datafusion;
use super::position::at;
use super::provider::external;
use crate::error::{Result, SqlError, SqlState};
use crate::types::flink_name;

/// Plans `UNNEST` in a `FROM`.
#[derive(Debug)]
pub(super) struct Planner;

impl RelationPlanner for Planner {
    fn plan_relation(
        &self,
        relation: sp::TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> PlanResult<RelationPlanning> {
        let sp::TableFactor::UNNEST { alias, array_exprs, with_offset: false, with_ordinality, .. } = relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let mut of = Vec::with_capacity(array_exprs.len());
        let mut types = Vec::with_capacity(array_exprs.len());
        for written in array_exprs {
            let span = sp::Spanned::span(&written);
            let expr = context.sql_to_expr(written, &DFSchema::empty())?;
            let data_type = expr.get_type(&DFSchema::empty())?;
            if columns_of(std::slice::from_ref(&data_type), false).is_none() {
                let message = format!("UNNEST needs an array, a map or a multiset, not {}", flink_name(&data_type));
                return Err(external(at(SqlError::new(SqlState::DATATYPE_MISMATCH, message), span)));
            }
            of.push(expr);
            types.push(data_type);
        }
        let names = names(&types, with_ordinality, alias.as_ref()).map_err(external)?;
        let one_row = LogicalPlanBuilder::empty(true).build()?;
        let plan = Unnest::try_new(one_row, (of, with_ordinality, false), (None, names))?.into_plan();
        let alias = alias.map(|alias| sp::TableAlias { columns: Vec::new(), ..alias });
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

/// The names of the columns: those of the alias, then those of the fields. A column of elements that are no rows is called
/// as the table.
pub(super) fn names(types: &[DataType], ordinality: bool, alias: Option<&sp::TableAlias>) -> Result<Vec<String>> {
    let columns = columns_of(types, ordinality).unwrap_or_default();
    let given = alias.map_or(&[][..], |alias| alias.columns.as_slice());
    if given.len() > columns.len() {
        let name = alias.map_or("", |alias| alias.name.value.as_str());
        let message =
            format!("table \"{name}\" has {} columns available but {} columns specified", columns.len(), given.len());
        let error = SqlError::new(SqlState("42P10"), message);
        return Err(match given.last() {
            Some(last) => at(error, last.name.span),
            None => error,
        });
    }
    let elements = columns.len() - usize::from(ordinality);
    let mut names: Vec<String> = Vec::with_capacity(columns.len());
    for (index, (name, _)) in columns.iter().enumerate() {
        let name = match (given.get(index), alias) {
            (Some(given), _) => given.name.value.clone(),
            (None, Some(alias)) if index == 0 && elements == 1 && name == "unnest" => alias.name.value.clone(),
            (None, _) => name.clone(),
        };
        let taken = |candidate: &str| names.iter().any(|other| other == candidate);
        let numbered = (0..).map(|number| format!("{name}{number}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|candidate| !taken(candidate));
        names.push(free.unwrap_or(name));
    }
    Ok(names)
}

/// Puts what is unnested on top of the rows that it is joined with, and makes joins of queries that see the tables before them.
///
/// # Errors
/// Where an outer join of what is unnested has a condition; as [`super::lateral::joined`].
pub(super) fn joined(plan: LogicalPlan) -> Result<LogicalPlan> {
    let joined = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Join(join) = &node else { return Ok(Transformed::no(node)) };
        let plan = match over_left(join)? {
            None => super::lateral::joined(join)?,
            over => over,
        };
        Ok(plan.map_or_else(|| Transformed::no(node.clone()), Transformed::yes))
    });
    let plan = joined.map_err(from_datafusion)?.data;
    check_placed(&plan)?;
    Ok(plan)
}

/// Refuses what is unnested of the rows of a query around it: no runtime follows such a reference.
fn check_placed(plan: &LogicalPlan) -> Result<()> {
    let mut refers = false;
    let visited = plan.apply_with_subqueries(|node| {
        refers |= Unnest::of(node).is_some_and(|unnest| unnest.of.iter().any(Expr::contains_outer));
        Ok(TreeNodeRecursion::Continue)
    });
    visited.map_err(from_datafusion)?;
    if refers {
        let error = SqlError::unsupported("UNNEST of a column of the query around it is not supported here");
        return Err(error.with_hint("join it: FROM t CROSS JOIN UNNEST(t.a) AS u(x)"));
    }
    Ok(())
}

fn over_left(join: &Join) -> PlanResult<Option<LogicalPlan>> {
    let outer = match join.join_type {
        JoinType::Inner => false,
        JoinType::Left => true,
        _ => return Ok(None),
    };
    let Some((unnest, table)) = on_the_right(&join.right, None) else {
        return if outer { Ok(None) } else { lateral::over_left(join) };
    };
    let on = join.on.iter().map(|(left, right)| left.clone().eq(right.clone()));
    let condition = conjunction(on.chain(join.filter.clone()).filter(|condition| !is_true(condition)));
    if outer && condition.is_some() {
        let error = SqlError::unsupported("a LEFT JOIN with UNNEST or a table function takes no condition but ON TRUE");
        return Err(external(error.with_hint("filter the array, or the rows after the join")));
    }
    let left = join.left.schema();
    let of = unnest.of.iter().map(|expr| inner(expr.clone(), left)).collect::<PlanResult<Vec<_>>>()?;
    let plan = unnest.over(join.left.as_ref().clone(), of, outer, table)?.into_plan();
    match condition {
        Some(condition) => LogicalPlanBuilder::from(plan).filter(condition)?.build().map(Some),
        None => Ok(Some(plan)),
    }
}

/// The node over one row that the right side of a join is, and its alias.
fn on_the_right(plan: &LogicalPlan, table: Option<TableReference>) -> Option<(&Unnest, Option<TableReference>)> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => on_the_right(&alias.input, table.or_else(|| Some(alias.alias.clone()))),
        LogicalPlan::Subquery(subquery) => on_the_right(&subquery.subquery, table),
        other => {
            let unnest = Unnest::of(other)?;
            matches!(unnest.input.as_ref(), LogicalPlan::EmptyRelation(_)).then_some((unnest, table))
        }
    }
}

/// An expression with the references to the columns of these rows as columns.
pub(super) fn inner(expr: Expr, rows: &DFSchema) -> PlanResult<Expr> {
    let inner = expr.transform(|expr| {
        Ok(match expr {
            Expr::OuterReferenceColumn(_, column) if rows.has_column(&column) => Transformed::yes(Expr::Column(column)),
            other => Transformed::no(other),
        })
    });
    Ok(inner?.data)
}

fn is_true(condition: &Expr) -> bool {
    matches!(condition, Expr::Literal(ScalarValue::Boolean(Some(true)), _))
}

/// The plan of a node for a batch: its lists as a column, which is unnested.
pub(crate) fn batch_plan(unnest: &Unnest) -> PlanResult<LogicalPlan> {
    /// The column of lists. Not to be met in user tables.
    const ROWS: &str = "__millstream_rows";
    let mut columns: Vec<Expr> = unnest.input.schema().iter().map(Expr::from).collect();
    let whole = columns.iter().cloned().chain([unnest.list().alias(ROWS)]);
    let rows = LogicalPlanBuilder::from(unnest.input.as_ref().clone()).project(whole)?.unnest_column(ROWS)?;
    columns.extend(unnest.appended().map(|(field, table, name)| {
        let rows = Expr::Column(datafusion::common::Column::new_unqualified(ROWS));
        datafusion::functions::core::expr_fn::get_field(rows, field).alias_qualified(table, name)
    }));
    rows.project(columns)?.build()
}
