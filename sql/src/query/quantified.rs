//! `IN (query)`, `EXISTS (query)` and `> ALL (query)` as values, in a select list or an aggregation: counts of the query's
//! rows are compared. In conditions they are left as they are: those become joins.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result as PlanResult, ScalarValue};
use datafusion::functions_aggregate::expr_fn::{count, max, min};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, binary_expr, lit, not, when,
};

use super::{from_datafusion, rewrite};
use crate::error::Result;

/// What the column of a query is called. Not to be met in user tables.
const ROWS: &str = "__millstream_in";

/// A plan in which only conditions have `IN`, `EXISTS`, `ANY` and `ALL` of queries. Before the analyzer.
pub(super) fn counted(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = rewrite::expressions(plan, |expr, _| match expr {
        Expr::SetComparison(comparison) => Ok(Transformed::yes(Expr::SetComparison(apart(comparison)?))),
        other => Ok(Transformed::no(other)),
    })?;
    let rewritten = plan.transform_up_with_subqueries(|node| match &node {
        LogicalPlan::Projection(_) if has_quantified(&node)? => in_projection(node),
        LogicalPlan::Aggregate(_) if has_quantified(&node)? => below_aggregation(node),
        LogicalPlan::Filter(_) => in_condition(node),
        _ => Ok(Transformed::no(node)),
    });
    Ok(rewritten.map_err(from_datafusion)?.data)
}

/// A comparison whose rows have a name of their own: a column of the outer rows may be called as theirs.
fn apart(comparison: SetComparison) -> PlanResult<SetComparison> {
    let SetComparison { expr, subquery, op, quantifier } = comparison;
    let mut columns = subquery.subquery.schema().columns().into_iter();
    let (Some(column), None) = (columns.next(), columns.next()) else {
        return Ok(SetComparison { expr, subquery, op, quantifier });
    };
    let named = LogicalPlanBuilder::from(Arc::clone(&subquery.subquery))
        .project([Expr::Column(column).alias(ROWS)])?
        .build()?;
    Ok(SetComparison { expr, subquery: Subquery { subquery: Arc::new(named), ..subquery }, op, quantifier })
}

/// A filter whose conditions `= ANY` and `<> ALL` are `IN` and `NOT IN`, which are joined by equality.
fn in_condition(node: LogicalPlan) -> PlanResult<Transformed<LogicalPlan>> {
    let is_equality = |expr: &Expr| match expr {
        Expr::SetComparison(comparison) => membership(comparison).is_some(),
        _ => false,
    };
    let LogicalPlan::Filter(mut filter) = node else { return Ok(Transformed::no(node)) };
    if !split_conjunction(&filter.predicate).into_iter().any(is_equality) {
        return Ok(Transformed::no(LogicalPlan::Filter(filter)));
    }
    let conditions = split_conjunction_owned(filter.predicate).into_iter().map(|condition| match condition {
        Expr::SetComparison(comparison) => match membership(&comparison) {
            Some(negated) => {
                Expr::InSubquery(InSubquery { expr: comparison.expr, subquery: comparison.subquery, negated })
            }
            None => Expr::SetComparison(comparison),
        },
        other => other,
    });
    filter.predicate = conjunction(conditions).unwrap_or_else(|| lit(true));
    Ok(Transformed::yes(LogicalPlan::Filter(filter)))
}

/// Whether a comparison is `NOT IN`, or `IN`; `None` where it is neither.
fn membership(comparison: &SetComparison) -> Option<bool> {
    match (comparison.op, &comparison.quantifier) {
        (Operator::Eq, SetQuantifier::Any) => Some(false),
        (Operator::NotEq, SetQuantifier::All) => Some(true),
        _ => None,
    }
}

fn is_quantified(expr: &Expr) -> bool {
    matches!(expr, Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_))
}

fn has_quantified(node: &LogicalPlan) -> PlanResult<bool> {
    let mut found = false;
    node.apply_expressions(|expr| {
        found |= expr.exists(|expr| Ok(is_quantified(expr)))?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

fn in_projection(node: LogicalPlan) -> PlanResult<Transformed<LogicalPlan>> {
    let input = node.inputs().first().map_or_else(|| Arc::new(DFSchema::empty()), |input| Arc::clone(input.schema()));
    let names = NamePreserver::new_for_projection();
    let mapped = node.map_expressions(|expr| {
        let name = names.save(&expr);
        let rewritten = expr.transform_up(|expr| value(expr, &input))?;
        Ok(if rewritten.transformed { Transformed::yes(name.restore(rewritten.data)) } else { rewritten })
    })?;
    mapped.map_data(LogicalPlan::recompute_schema)
}

/// An aggregation over columns that hold what it would compute of queries.
fn below_aggregation(node: LogicalPlan) -> PlanResult<Transformed<LogicalPlan>> {
    let Some(input) = node.inputs().first().map(|input| (*input).clone()) else { return Ok(Transformed::no(node)) };
    let mut columns: Vec<Expr> = input.schema().iter().map(Expr::from).collect();
    let schema = Arc::clone(input.schema());
    let names = NamePreserver::new(&node);
    let mut added = 0;
    let mapped = node.map_expressions(|expr| {
        let name = names.save(&expr);
        let rewritten = expr.transform_down(|expr| {
            if !is_quantified(&expr) {
                return Ok(Transformed::no(expr));
            }
            let column = format!("__quantified{added}");
            added += 1;
            columns.push(value(expr, &schema)?.data.alias(&column));
            Ok(Transformed::new(Expr::Column(Column::new_unqualified(column)), true, TreeNodeRecursion::Jump))
        })?;
        Ok(if rewritten.transformed { Transformed::yes(name.restore(rewritten.data)) } else { rewritten })
    })?;
    let below = LogicalPlanBuilder::from(input).project(columns)?.build()?;
    let exprs = mapped.data.expressions();
    Ok(Transformed::yes(mapped.data.with_new_exprs(exprs, vec![below])?))
}

/// The truth of one `IN`, `EXISTS`, `ANY` or `ALL`. `input`: the columns of the outer rows.
fn value(expr: Expr, input: &DFSchema) -> PlanResult<Transformed<Expr>> {
    match expr {
        Expr::Exists(Exists { subquery, negated }) => {
            let any = rows(&subquery, None, count(lit(1_i64)))?.gt(lit(0_i64));
            Ok(Transformed::yes(if negated { not(any) } else { any }))
        }
        Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
            let columns = subquery.subquery.schema().columns();
            let [column] = columns.as_slice() else {
                return Ok(Transformed::no(Expr::InSubquery(InSubquery { expr, subquery, negated })));
            };
            // Under a name of its own: a table may be on both sides of the comparison.
            let named = LogicalPlanBuilder::from(Arc::clone(&subquery.subquery))
                .project([Expr::Column(column.clone()).alias(ROWS)])?
                .build()?;
            let column = Expr::Column(Column::new_unqualified(ROWS));
            let subquery = Subquery { subquery: Arc::new(named), ..subquery };
            let equal = rows(&subquery, Some(column.clone().eq(outer(*expr.clone(), input)?)), count(lit(1_i64)))?;
            let all = rows(&subquery, None, count(lit(1_i64)))?;
            let nulls = rows(&subquery, Some(column.is_null()), count(lit(1_i64)))?;
            let unknown = expr.is_null().or(nulls.gt(lit(0_i64)));
            let found = when(equal.gt(lit(0_i64)), lit(true))
                .when(all.eq(lit(0_i64)), lit(false))
                .when(unknown, lit(ScalarValue::Boolean(None)))
                .otherwise(lit(false))?;
            Ok(Transformed::yes(if negated { not(found) } else { found }))
        }
        Expr::SetComparison(comparison) => compared(comparison, input),
        other => Ok(Transformed::no(other)),
    }
}

/// The truth of a comparison with all rows of a query, or any: with the least and the greatest of them.
fn compared(comparison: SetComparison, input: &DFSchema) -> PlanResult<Transformed<Expr>> {
    let negated = membership(&comparison);
    let SetComparison { expr, subquery, op, quantifier } = comparison;
    if let Some(negated) = negated {
        return value(Expr::InSubquery(InSubquery { expr, subquery, negated }), input);
    }
    let any = quantifier == SetQuantifier::Any;
    let column = Expr::from(subquery.subquery.schema().qualified_field(0));
    let least = || Ok(binary_expr(*expr.clone(), op, rows(&subquery, None, min(column.clone()))?));
    let greatest = || Ok(binary_expr(*expr.clone(), op, rows(&subquery, None, max(column.clone()))?));
    let holds: PlanResult<Expr> = match (op, any) {
        (Operator::Lt | Operator::LtEq, true) | (Operator::Gt | Operator::GtEq, false) => greatest(),
        (Operator::Lt | Operator::LtEq, false) | (Operator::Gt | Operator::GtEq, true) => least(),
        (_, true) => least().and_then(|holds: Expr| Ok(holds.or(greatest()?))),
        (_, false) => least().and_then(|holds: Expr| Ok(holds.and(greatest()?))),
    };
    let (all, present) = (rows(&subquery, None, count(lit(1_i64)))?, rows(&subquery, None, count(column.clone()))?);
    let unknown = expr.clone().is_null().or(present.lt(all.clone()));
    let decides = if any { holds?.is_true() } else { holds?.is_false() };
    let found = when(all.eq(lit(0_i64)), lit(!any))
        .when(decides, lit(any))
        .when(unknown, lit(ScalarValue::Boolean(None)))
        .otherwise(lit(!any))?;
    Ok(Transformed::yes(found))
}

/// An aggregate of the rows of a subquery, of those that fit a condition, as a value.
fn rows(subquery: &Subquery, condition: Option<Expr>, aggregate: Expr) -> PlanResult<Expr> {
    let mut outer_ref_columns = subquery.outer_ref_columns.clone();
    let mut builder = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone());
    if let Some(condition) = condition {
        condition.apply(|expr| {
            if matches!(expr, Expr::OuterReferenceColumn(..)) && !outer_ref_columns.contains(expr) {
                outer_ref_columns.push(expr.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        builder = builder.filter(condition)?;
    }
    let counted = builder.aggregate(Vec::<Expr>::new(), [aggregate])?.build()?;
    let subquery = Subquery { subquery: Arc::new(counted), outer_ref_columns, spans: subquery.spans.clone() };
    Ok(Expr::ScalarSubquery(subquery))
}

/// An expression over the outer rows as the subquery sees it.
fn outer(expr: Expr, input: &DFSchema) -> PlanResult<Expr> {
    let seen = expr.transform(|expr| match &expr {
        Expr::Column(column) => {
            let (_, field) = match &column.relation {
                Some(_) => input.qualified_field_from_column(column)?,
                None => input.qualified_field_with_unqualified_name(&column.name)?,
            };
            Ok(Transformed::yes(Expr::OuterReferenceColumn(Arc::clone(field), column.clone())))
        }
        _ => Ok(Transformed::no(expr)),
    })?;
    Ok(seen.data)
}
