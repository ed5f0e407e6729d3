//! What a relation of the catalog stands for in a plan.
//!
//! A connector table or internal table is a scan of its stored columns, a projection to the declared ones, and a
//! watermark; a view is its query; a materialised view is a scan.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::TableReference;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableSource, cast};
use datafusion::sql::planner::{PlannerContext, SqlToRel};
use millstream_engine::plan::RelationId;

use super::nodes::Watermark;
use super::provider::{PlanSource, Provider, options};
use super::resolve::Resolver;
use super::{bind_at, finish, from_datafusion, literals, text};
use crate::bound::BindContext;
use crate::catalog::{CatalogSnapshot, ColumnOrigin, Relation, RelationKind};
use crate::error::{Result, SqlError, SqlState};
use crate::relation_source::RelationSource;

/// The relation for the planner.
pub(super) fn source(relation: &Arc<Relation>, context: &BindContext, depth: usize) -> Result<Arc<dyn TableSource>> {
    let (plan, depends_on) = match &relation.kind {
        RelationKind::ConnectorTable(table) => {
            (table_plan(relation, &table.spec.schema, table.watermark.as_ref(), context)?, Vec::new())
        }
        RelationKind::InternalTable(table) => {
            (table_plan(relation, &table.schema, table.watermark.as_ref(), context)?, Vec::new())
        }
        RelationKind::View { query, semantics, path } => {
            let mut context = BindContext { semantics: *semantics, ..context.clone() };
            if context.catalog.path != *path {
                let catalog = CatalogSnapshot { path: path.clone(), ..context.catalog.as_ref().clone() };
                context.catalog = Arc::new(catalog);
            }
            view_plan(relation, query, &context, depth)?
        }
        RelationKind::MaterializedView { .. } => {
            let schema = declared(relation);
            return Ok(Arc::new(RelationSource { relation: Arc::clone(relation), schema }));
        }
    };
    Ok(Arc::new(PlanSource { relation: Arc::clone(relation), plan, depends_on }))
}

/// The declared columns.
fn declared(relation: &Relation) -> SchemaRef {
    let columns = relation.columns.iter();
    let fields: Vec<Field> =
        columns.map(|column| Field::new(&column.name, column.data_type.arrow.clone(), column.nullable)).collect();
    Arc::new(Schema::new(fields))
}

fn table_plan(
    relation: &Arc<Relation>,
    stored: &SchemaRef,
    watermark: Option<&(usize, String)>,
    context: &BindContext,
) -> Result<LogicalPlan> {
    let name = TableReference::bare(relation.name.as_str());
    let source = RelationSource { relation: Arc::clone(relation), schema: Arc::clone(stored) };
    let scan = LogicalPlanBuilder::scan(name.clone(), Arc::new(source), None)
        .and_then(LogicalPlanBuilder::build)
        .map_err(from_datafusion)?;
    let plain = relation.columns.len() == stored.fields().len()
        && relation.columns.iter().zip(stored.fields()).all(|(column, field)| {
            column.name == *field.name()
                && column.data_type.arrow == *field.data_type()
                && !matches!(column.origin, ColumnOrigin::Computed(_))
        });
    let mut plan = if plain { scan } else { project_declared(relation, scan, context)? };
    if let Some((index, expr)) = watermark {
        let (qualifier, field) = plan.schema().qualified_field(*index);
        let column = Expr::from((qualifier, field));
        let expr = over(expr, &plan, context)?;
        // The analyzer adds casts to plans only, so the node is made first and finished as a plan.
        plan = finish(Watermark::plan(plan, column, expr), context)?;
    }
    Ok(plan)
}

/// All declared columns in their order, computed ones evaluated.
fn project_declared(relation: &Relation, scan: LogicalPlan, context: &BindContext) -> Result<LogicalPlan> {
    let mut exprs = Vec::with_capacity(relation.columns.len());
    for column in &relation.columns {
        let expr = match &column.origin {
            ColumnOrigin::Physical | ColumnOrigin::Metadata(..) => {
                let field = scan.schema().qualified_field_with_unqualified_name(&column.name);
                let (qualifier, field) = field.map_err(from_datafusion)?;
                let stored = Expr::from((qualifier, field));
                if *field.data_type() == column.data_type.arrow {
                    stored
                } else {
                    cast(stored, column.data_type.arrow.clone())
                }
            }
            ColumnOrigin::Computed(text) => over(text, &scan, context)?,
        };
        exprs.push(expr.alias(&column.name));
    }
    let plan = LogicalPlanBuilder::from(scan).project(exprs).and_then(LogicalPlanBuilder::build);
    finish(plan.map_err(from_datafusion)?, context)
}

/// An expression of the catalog over the columns of a plan.
fn over(expr: &str, plan: &LogicalPlan, context: &BindContext) -> Result<Expr> {
    let mut expr = text::expression(expr)?;
    let resolver = Resolver::new(&context.catalog);
    resolver.expression(&mut expr, plan.schema().inner())?;
    literals::typed(&mut expr, context.semantics);
    let provider = Provider::new(context, Vec::new(), 0)?;
    let planner = SqlToRel::new_with_options(&provider, options(context.semantics));
    planner.sql_to_expr(expr, plan.schema(), &mut PlannerContext::new()).map_err(from_datafusion)
}

fn view_plan(
    relation: &Relation,
    query: &str,
    context: &BindContext,
    depth: usize,
) -> Result<(LogicalPlan, Vec<RelationId>)> {
    let bound = bind_at(&text::query(query)?, context, depth + 1)?;
    let schema = bound.plan.schema();
    if schema.fields().len() != relation.columns.len() {
        let message = format!(
            "view \"{}\" has {} columns, its query now gives {}",
            relation.name,
            relation.columns.len(),
            schema.fields().len()
        );
        return Err(
            SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message).with_hint("drop the view and create it again")
        );
    }
    let exprs: Vec<Expr> = schema
        .iter()
        .zip(&relation.columns)
        .map(|((qualifier, field), column)| Expr::from((qualifier, field)).alias(&column.name))
        .collect();
    let plan = LogicalPlanBuilder::from(bound.plan).project(exprs).and_then(LogicalPlanBuilder::build);
    Ok((plan.map_err(from_datafusion)?, bound.depends_on))
}

/// A scan of columns that belong to no relation, to bind an expression over them.
pub(super) fn schema_scan(schema: &SchemaRef) -> Result<LogicalPlan> {
    let source = datafusion::logical_expr::logical_plan::builder::LogicalTableSource::new(Arc::clone(schema));
    LogicalPlanBuilder::scan("__columns", Arc::new(source), None)
        .and_then(LogicalPlanBuilder::build)
        .map_err(from_datafusion)
}
