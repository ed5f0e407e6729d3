//! The smallest constant expression that fails by itself.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use datafusion::common::DFSchema;
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::create_physical_expr;
use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::ast::{Spanned, VisitorMut};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::{Search, literals};
use crate::ast::{Part, Statement};
use crate::error::{Result, from_arrow};
use crate::query::{bind_query, from_datafusion};

/// Where that expression stands, or the literal in it that the message quotes.
pub(super) fn failing(search: &Search<'_>, statement: &mut Statement) -> Option<Span> {
    let mut constants = Constants { search, open: Vec::new() };
    statement.parts_mut().into_iter().find_map(|mut part| match part.visit(&mut constants) {
        ControlFlow::Break(found) => found,
        ControlFlow::Continue(()) => None,
    })
}

/// Evaluates constant expressions, what is inside of them first.
struct Constants<'a> {
    search: &'a Search<'a>,
    /// Of each expression that is open: whether all that was met in it is constant.
    open: Vec<bool>,
}

impl VisitorMut for Constants<'_> {
    /// The place; `None` where the time is over.
    type Break = Option<Span>;

    fn pre_visit_expr(&mut self, _expr: &mut sp::Expr) -> ControlFlow<Option<Span>> {
        self.open.push(true);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut sp::Expr) -> ControlFlow<Option<Span>> {
        let is_constant = self.open.pop().unwrap_or(false) && !depends_on_rows(expr);
        if !is_constant {
            if let Some(around) = self.open.last_mut() {
                *around = false;
            }
            return ControlFlow::Continue(());
        }
        if matches!(expr, sp::Expr::Value(_)) {
            return ControlFlow::Continue(());
        }
        if self.search.is_over() {
            return ControlFlow::Break(None);
        }
        let failed = evaluate(expr, self.search).err();
        if !self.search.fails_so(failed.as_ref()) {
            return ControlFlow::Continue(());
        }
        let literal = literals::quoted(&self.search.error.parts().message, vec![Part::Expr(expr)]);
        ControlFlow::Break(literal.or_else(|| Some(expr.span()).filter(|span| *span != Span::empty())))
    }
}

/// Whether an expression has another value in another row, apart from what is in it.
fn depends_on_rows(expr: &sp::Expr) -> bool {
    matches!(
        expr,
        sp::Expr::Identifier(_)
            | sp::Expr::CompoundIdentifier(_)
            | sp::Expr::Wildcard(_)
            | sp::Expr::QualifiedWildcard(..)
            | sp::Expr::Subquery(_)
            | sp::Expr::Exists { .. }
            | sp::Expr::InSubquery { .. }
            | sp::Expr::Value(sp::ValueWithSpan { value: sp::Value::Placeholder(_), .. })
    )
}

/// Evaluates an expression once. What is no expression of single rows is left alone.
fn evaluate(expr: &sp::Expr, search: &Search<'_>) -> Result<()> {
    let bound = bind_query(&query(expr.clone())?, search.context)?;
    let plan = crate::batch::batch_plan(&bound)?;
    let LogicalPlan::Projection(projection) = &plan else { return Ok(()) };
    if !matches!(projection.input.as_ref(), LogicalPlan::EmptyRelation(_)) {
        return Ok(());
    }
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options).map_err(from_arrow)?;
    for expr in &projection.expr {
        let physical =
            create_physical_expr(expr, &DFSchema::empty(), &ExecutionProps::new(), &PhysicalPlanningContext::default());
        physical.and_then(|physical| physical.evaluate(&row)).map_err(from_datafusion)?;
    }
    Ok(())
}

/// `SELECT expr`
fn query(expr: sp::Expr) -> Result<sp::Query> {
    let mut query = crate::parse::query("SELECT NULL")?;
    if let sp::SetExpr::Select(select) = query.body.as_mut() {
        select.projection = vec![sp::SelectItem::UnnamedExpr(expr)];
    }
    Ok(*query)
}
