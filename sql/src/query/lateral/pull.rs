//! How each node of a query gives up what it says of the outer row: [`Pull`].

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinType, Result};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::expr_fn::when;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, ExprFunctionExt, FetchType, Join, Limit, LogicalPlan, LogicalPlanBuilder, SkipType,
    SortExpr, Window, lit,
};

use super::rows::{Key, Rows, Visible};
use super::{Values, filtered, outer_columns, refused};
use crate::query::provider::external;
use crate::query::unnest::Unnest;

/// Frees the nodes of a query from the rows of the left side of its join.
pub(super) struct Pull<'a> {
    left: &'a LogicalPlan,
    names: usize,
}

impl<'a> Pull<'a> {
    pub(super) fn new(left: &'a LogicalPlan) -> Self {
        Self { left, names: 0 }
    }

    /// A qualifier that no table has.
    pub(super) fn name(&mut self) -> String {
        self.names += 1;
        format!("__millstream_lateral{}", self.names)
    }

    /// The rows of a plan.
    pub(super) fn rows(&mut self, plan: &LogicalPlan) -> Result<Rows> {
        if !depends(plan)? {
            return Ok(Rows::of(plan.clone()));
        }
        has_no_queries(plan)?;
        match plan {
            LogicalPlan::Subquery(subquery) => self.rows(&subquery.subquery),
            LogicalPlan::SubqueryAlias(alias) => {
                let mut rows = self.rows(&alias.input)?;
                for (column, field) in rows.columns.iter_mut().zip(alias.schema.fields()) {
                    column.table = Some(alias.alias.clone());
                    column.name.clone_from(field.name());
                }
                Ok(rows)
            }
            LogicalPlan::Filter(filter) => {
                let rows = self.rows(&filter.input)?;
                filter_rows(rows, filter.predicate.clone())
            }
            LogicalPlan::Projection(projection) => {
                let mut rows = self.rows(&projection.input)?;
                let values = projection.expr.iter().map(|expr| rows.over(expr.clone().unalias()));
                rows.columns = visible(plan, values.collect::<Result<Vec<_>>>()?);
                Ok(rows)
            }
            LogicalPlan::Sort(sort) => {
                let mut rows = self.rows(&sort.input)?;
                rows.order = sorted(&rows, &sort.expr)?;
                Ok(rows)
            }
            LogicalPlan::Limit(limit) => self.limit(limit),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(plan, aggregate),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let rows = self.rows(input)?;
                let groups = rows.columns.iter().map(|column| column.value.clone()).collect();
                self.grouped(plan, rows, groups, Vec::new())
            }
            LogicalPlan::Window(window) => self.window(plan, window),
            LogicalPlan::Join(join) => self.join(join),
            other => match Unnest::of(other) {
                Some(unnest) if matches!(unnest.input.as_ref(), LogicalPlan::EmptyRelation(_)) => self.unnest(unnest),
                _ => Err(no_way(other)),
            },
        }
    }

    /// Rows whose key is nothing but equalities, and expressions over them that do not see the outer row.
    fn keyed(&mut self, rows: Rows, exprs: Vec<Expr>) -> Result<(Rows, Vec<Key>, Vec<Expr>)> {
        if rows.met.is_none()
            && !exprs.iter().any(Expr::contains_outer)
            && let Some(keys) = rows.keys()
        {
            return Ok((rows, keys, exprs));
        }
        let values = Values::of(self.left, rows.exprs().chain(&exprs), self.name())?;
        let rows = self.with_values(rows, &values)?;
        let keys = rows.keys().unwrap_or_default();
        let exprs = exprs.into_iter().map(|expr| values.inner(expr)).collect::<Result<_>>()?;
        Ok((rows, keys, exprs))
    }

    /// The rows once for each of the outer values that they belong to.
    fn with_values(&self, rows: Rows, values: &Values) -> Result<Rows> {
        let mut rows = rows.mapped(|expr| values.inner(expr))?;
        let kind = if rows.met.is_some() { JoinType::Left } else { JoinType::Inner };
        let joined =
            LogicalPlanBuilder::from(values.plan.clone()).join_on(rows.plan, kind, rows.conditions)?.build()?;
        rows.plan = filtered(joined, std::mem::take(&mut rows.after))?;
        rows.conditions = values.keys(self.left)?;
        rows.met = None;
        Ok(rows)
    }

    /// The first rows of each outer row: those whose number within the key is not greater.
    fn limit(&mut self, limit: &Limit) -> Result<Rows> {
        let rows = self.rows(&limit.input)?;
        let (SkipType::Literal(skip), FetchType::Literal(fetch)) = (limit.get_skip_type()?, limit.get_fetch_type()?)
        else {
            return Err(no_way(&limit.input));
        };
        if rows.met.is_some() && skip == 0 && fetch != Some(0) {
            return Ok(rows);
        }
        let order = rows.order.clone();
        let (mut rows, keys, exprs) = self.keyed(rows, order.iter().map(|sort| sort.expr.clone()).collect())?;
        let order = order.iter().zip(exprs).map(|(sort, expr)| SortExpr { expr, ..sort.clone() });
        let partition = keys.iter().map(|key| key.inner.clone()).collect();
        let number = row_number().partition_by(partition).order_by(order.collect()).build()?;
        let column = Expr::Column(Column::new_unqualified(number.schema_name().to_string()));
        let mut bounds = Vec::new();
        if skip > 0 {
            bounds.push(column.clone().gt(lit(u64::try_from(skip).unwrap_or(u64::MAX))));
        }
        if let Some(fetch) = fetch {
            bounds.push(column.lt_eq(lit(u64::try_from(skip.saturating_add(fetch)).unwrap_or(u64::MAX))));
        }
        let plan = LogicalPlanBuilder::from(rows.plan).window(vec![number])?.build()?;
        rows.plan = filtered(plan, bounds)?;
        rows.order = Vec::new();
        Ok(rows)
    }

    /// An aggregation of each key. One without groups gives a row where there are no rows, too.
    fn aggregate(&mut self, plan: &LogicalPlan, aggregate: &Aggregate) -> Result<Rows> {
        if aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_))) {
            return Err(no_way(plan));
        }
        let rows = self.rows(&aggregate.input)?;
        let over = |exprs: &[Expr]| exprs.iter().map(|expr| rows.over(expr.clone())).collect::<Result<Vec<_>>>();
        let (groups, calls) = (over(&aggregate.group_expr)?, over(&aggregate.aggr_expr)?);
        let whole = groups.is_empty();
        let mut rows = self.grouped(plan, rows, groups, calls)?;
        if !whole {
            return Ok(rows);
        }
        rows = rows.settled(self.name(), true)?;
        rows.met.clone_from(&rows.marker);
        let Some(met) = rows.met.clone() else { return Ok(rows) };
        let typed = aggregate.schema.fields().iter().zip(&aggregate.aggr_expr);
        for (column, (field, call)) in rows.columns.iter_mut().zip(typed) {
            let Expr::AggregateFunction(call) = call.clone().unalias() else { continue };
            let of_none = call.func.default_value(field.data_type())?;
            if !of_none.is_null() {
                column.value =
                    when(met.clone().is_null(), lit(of_none)).otherwise(std::mem::take(&mut column.value))?;
            }
        }
        Ok(rows)
    }

    /// Rows in groups, of each key. `plan`: the node whose columns these are, groups first.
    fn grouped(&mut self, plan: &LogicalPlan, rows: Rows, groups: Vec<Expr>, calls: Vec<Expr>) -> Result<Rows> {
        let of_groups = groups.len();
        let (rows, keys, mut exprs) = self.keyed(rows, groups.into_iter().chain(calls).collect())?;
        let calls = exprs.split_off(of_groups);
        let mut grouped: Vec<Expr> = Vec::new();
        for expr in exprs.iter().chain(keys.iter().map(|key| &key.inner)) {
            if !grouped.contains(expr) {
                grouped.push(expr.clone());
            }
        }
        let mut called: Vec<Expr> = Vec::new();
        for call in &calls {
            if !called.contains(call) {
                called.push(call.clone());
            }
        }
        let index = |expr: &Expr| grouped.iter().chain(&called).position(|known| known == expr);
        let wanted: Vec<Option<usize>> = exprs.iter().chain(&calls).map(index).collect();
        let of_keys: Vec<Option<usize>> = keys.iter().map(|key| index(&key.inner)).collect();
        let outer: Vec<Expr> = rows.outer_conditions().cloned().collect();
        let made = LogicalPlanBuilder::from(rows.plan).aggregate(grouped, called)?.build()?;
        let column = |index: &Option<usize>| {
            let index = index.ok_or_else(|| no_way(plan))?;
            Ok(Expr::from(made.schema().qualified_field(index)))
        };
        let columns = visible(plan, wanted.iter().map(column).collect::<Result<Vec<_>>>()?);
        let of_keys = of_keys.iter().map(column).collect::<Result<Vec<_>>>()?;
        let conditions = keys.iter().zip(of_keys).map(|(key, own)| key.with_inner(own)).chain(outer).collect();
        Ok(Rows { columns, conditions, ..Rows::of(made) })
    }

    /// Window functions within each key.
    fn window(&mut self, plan: &LogicalPlan, window: &Window) -> Result<Rows> {
        let rows = self.rows(&window.input)?;
        let calls = window.window_expr.iter().map(|expr| rows.over(expr.clone().unalias()));
        let calls = calls.collect::<Result<Vec<_>>>()?;
        let (mut rows, keys, mut calls) = self.keyed(rows, calls)?;
        for call in &mut calls {
            if let Expr::WindowFunction(call) = call {
                call.params.partition_by.extend(keys.iter().map(|key| key.inner.clone()));
            }
        }
        let values = calls.iter().map(|call| Expr::Column(Column::new_unqualified(call.schema_name().to_string())));
        let values: Vec<Expr> = rows.columns.iter().map(|column| column.value.clone()).chain(values).collect();
        rows.plan = LogicalPlanBuilder::from(rows.plan).window(calls)?.build()?;
        rows.columns = visible(plan, values);
        rows.order = Vec::new();
        Ok(rows)
    }

    /// A join within the query.
    fn join(&mut self, join: &Join) -> Result<Rows> {
        let outer = match join.join_type {
            JoinType::Inner => false,
            JoinType::Left if !depends(&join.right)? => true,
            _ => return Err(external(unsupported("an outer join"))),
        };
        let (left, right) = (self.rows(&join.left)?, self.rows(&join.right)?);
        let (left, _, _) =
            if left.met.is_some() { self.keyed(left, Vec::new())? } else { (left, Vec::new(), Vec::new()) };
        let (right, _, _) =
            if right.met.is_some() { self.keyed(right, Vec::new())? } else { (right, Vec::new(), Vec::new()) };
        let (left, right) = (left.settled(self.name(), false)?, right.settled(self.name(), false)?);
        let mut rows = Rows { columns: [left.columns, right.columns].concat(), ..Rows::of(left.plan.clone()) };
        rows.conditions = [left.conditions, right.conditions].concat();
        let on = join.on.iter().map(|(left, right)| left.clone().eq(right.clone()));
        let on = on.chain(join.filter.clone().into_iter().flat_map(split_conjunction_owned));
        let on = on.map(|condition| rows.over(condition)).collect::<Result<Vec<_>>>()?;
        let (of_outer, own): (Vec<Expr>, Vec<Expr>) = on.into_iter().partition(Expr::contains_outer);
        if outer && let Some(column) = outer_columns(of_outer.iter())?.first() {
            return Err(refused("an outer join on columns of the outer row in a LATERAL query", column));
        }
        let kind = if outer { JoinType::Left } else { JoinType::Inner };
        rows.plan = LogicalPlanBuilder::from(left.plan).join_on(right.plan, kind, own)?.build()?;
        rows.conditions.extend(of_outer);
        Ok(rows)
    }

    /// The elements of arrays of the outer row.
    fn unnest(&mut self, unnest: &Unnest) -> Result<Rows> {
        let values = Values::of(self.left, unnest.of.iter(), self.name())?;
        let of = unnest.of.iter().map(|expr| values.inner(expr.clone())).collect::<Result<Vec<_>>>()?;
        let made = unnest.over(values.plan.clone(), of, false, None)?.into_plan();
        let of_values = values.columns.len();
        let mut rows = Rows::of(made);
        rows.columns.drain(..of_values);
        rows.conditions = values.keys(self.left)?;
        Ok(rows)
    }
}

/// The rows for which a condition holds.
fn filter_rows(mut rows: Rows, predicate: Expr) -> Result<Rows> {
    let mut own = Vec::new();
    for condition in split_conjunction_owned(predicate) {
        let condition = rows.over(condition)?;
        if rows.met.is_some() {
            rows.after.push(condition);
        } else if condition.contains_outer() {
            rows.conditions.push(condition);
        } else {
            own.push(condition);
        }
    }
    if let Some(condition) = conjunction(own) {
        rows.plan = LogicalPlanBuilder::from(rows.plan).filter(condition)?.build()?;
    }
    Ok(rows)
}

fn sorted(rows: &Rows, order: &[SortExpr]) -> Result<Vec<SortExpr>> {
    let sorted = order.iter().map(|sort| Ok(SortExpr { expr: rows.over(sort.expr.clone())?, ..sort.clone() }));
    sorted.collect()
}

/// The columns of a node with their values.
fn visible(node: &LogicalPlan, values: Vec<Expr>) -> Vec<Visible> {
    let named = node.schema().iter().zip(values);
    named.map(|((table, field), value)| Visible { table: table.cloned(), name: field.name().clone(), value }).collect()
}

/// Whether a plan sees rows outside it.
pub(super) fn depends(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply(|node| {
        let inputs = node.inputs();
        let own = |column: &Column| inputs.iter().any(|input| input.schema().has_column(column));
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                found |= match (expr, queried(expr)) {
                    (Expr::OuterReferenceColumn(..), _) => true,
                    (_, Some(seen)) => outer_columns(seen.iter())?.iter().any(|column| !own(column)),
                    (_, None) => false,
                };
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

/// The columns of outer rows that a query in an expression sees.
fn queried(expr: &Expr) -> Option<&[Expr]> {
    match expr {
        Expr::ScalarSubquery(subquery) => Some(&subquery.outer_ref_columns),
        Expr::Exists(exists) => Some(&exists.subquery.outer_ref_columns),
        Expr::InSubquery(query) => Some(&query.subquery.outer_ref_columns),
        Expr::SetComparison(comparison) => Some(&comparison.subquery.outer_ref_columns),
        _ => None,
    }
}

/// Refuses queries in the expressions of a node that see its rows: they would get other columns.
fn has_no_queries(plan: &LogicalPlan) -> Result<()> {
    plan.apply_expressions(|expr| {
        expr.apply(|expr| match queried(expr).map(|seen| outer_columns(seen.iter())).transpose()?.as_deref() {
            Some([column, ..]) => Err(refused("a correlated subquery within a LATERAL query", column)),
            Some([]) | None => Ok(TreeNodeRecursion::Continue),
        })
    })?;
    Ok(())
}

fn unsupported(what: &str) -> crate::error::SqlError {
    crate::error::SqlError::unsupported(format!(
        "{what} of rows that see the tables before a LATERAL query is not supported"
    ))
}

/// The error for a node that no join can do for each outer row.
fn no_way(plan: &LogicalPlan) -> datafusion::common::DataFusionError {
    let what = match plan {
        LogicalPlan::Union(_) => "UNION",
        LogicalPlan::Aggregate(_) => "GROUPING SETS",
        LogicalPlan::Distinct(_) => "DISTINCT ON",
        LogicalPlan::RecursiveQuery(_) => "WITH RECURSIVE",
        LogicalPlan::Extension(_) => "a table function",
        _ => "this part",
    };
    external(unsupported(what).with_hint("put the condition on the outer row around it"))
}
