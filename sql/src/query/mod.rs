//! Binding of queries: names, types and meaning.
//!
//! [`resolve`] gives every name the plan's spelling, DataFusion's planner makes the plan over our catalog ([`provider`],
//! [`relation`], [`window`]), [`expand`] and [`semantics`] put our meaning in, DataFusion's analyzer adds the casts, and
//! [`temporal`] makes nodes of temporal joins, [`insert`] fits the rows to a target. Tables of the catalog are opaque to all that and are put in at the end, so that
//! a view keeps the meaning it was made with.

mod casts;
mod decimals;
mod doubles;
mod emit;
mod error;
mod expand;
mod float_keys;
mod forms;
mod insert;
mod interval_groups;
mod intervals;
mod java;
mod lateral;
mod literals;
pub(crate) mod nodes;
mod placement;
pub(crate) mod position;
mod provider;
mod quantified;
mod relation;
mod resolve;
mod rewrite;
mod row_cast;
mod semantics;
mod single_row;
pub(crate) mod temporal;
mod text;
mod text_cast;
mod types;
pub(crate) mod unnest;
mod window;
mod zone;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableScan};
use datafusion::optimizer::Analyzer;
use datafusion::sql::planner::{PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast as sp;
use millstream_engine::plan::RelationId;
use millstream_engine::ports::Boundedness;

use crate::bound::{BindContext, BoundQuery};
use crate::catalog::{RelationKind, Semantics};
use crate::error::Result;
use crate::relation_source::RelationSource;
use provider::{PlanSource, Provider, options};
use resolve::{Columns, Resolved, Resolver};

pub(crate) use error::from_datafusion;
pub(crate) use insert::{bind_insert, is_stored, named, physical_first, stored_type};
pub(crate) use resolve::{option, with_options};

/// Views may stand on views so many deep.
const DEPTH_MAX: usize = 64;

/// Resolves the names of a query.
///
/// # Errors
/// Whatever is wrong with it. Positions are as [`position::packed`] makes them; [`position::in_text`] counts them.
pub(crate) fn bind_query(query: &sp::Query, context: &BindContext) -> Result<BoundQuery> {
    bind_at(query, context, 0)
}

/// The type of an expression over the columns of a table.
///
/// # Errors
/// As [`bind_query`].
pub(crate) fn expression_type(expr: &sp::Expr, schema: &SchemaRef, context: &BindContext) -> Result<DataType> {
    let input = relation::schema_scan(schema)?;
    let plan = project_expression(expr, &input, context)?;
    Ok(plan.schema().field(0).data_type().clone())
}

/// A projection of one expression over a plan whose columns have unique names.
fn project_expression(expr: &sp::Expr, input: &LogicalPlan, context: &BindContext) -> Result<LogicalPlan> {
    let mut expr = expr.clone();
    let resolver = Resolver::new(&context.catalog);
    resolver.expression(&mut expr, input.schema().inner())?;
    literals::typed(&mut expr, context.semantics);
    let provider = Provider::new(context, Vec::new(), 0)?;
    let planner = SqlToRel::new_with_options(&provider, options(context.semantics));
    let planned = planner.sql_to_expr(expr, input.schema(), &mut PlannerContext::new()).map_err(from_datafusion)?;
    let plan = LogicalPlanBuilder::from(input.clone())
        .project([planned.alias("expression")])
        .and_then(LogicalPlanBuilder::build)
        .map_err(from_datafusion)?;
    finish(plan, context)
}

fn bind_at(query: &sp::Query, context: &BindContext, depth: usize) -> Result<BoundQuery> {
    let mut query = query.clone();
    let settings = emit::take(&mut query);
    let resolver = Resolver::new(&context.catalog);
    let columns = resolver.statement(&mut query)?;
    literals::typed(&mut query, context.semantics);
    let Resolved { mut calls, functions, hints, tables } = resolver.finish();
    literals::typed_calls(&mut calls, context.semantics);
    let provider = Provider::new(context, calls, depth)?.with_tables(tables);
    let planner = SqlToRel::new_with_options(&provider, options(context.semantics));
    let parameters = context
        .parameters
        .iter()
        .map(|known| known.as_ref().map(|known| Arc::new(Field::new("parameter", known.clone(), true))));
    let mut planning = PlannerContext::new().with_prepare_param_data_types(parameters.collect());
    let query = sp::Statement::Query(Box::new(query));
    let plan = planner.sql_statement_to_plan_with_context(query, &mut planning).map_err(from_datafusion)?;
    let plan = unnest::joined(emit::times_to_live(plan, &hints)?)?;
    let plan = finish(plan, context)?;
    let clause = emit::clause(&settings, &planner)?;
    let (plan, mut depends_on) = put_tables_in(plan)?;
    let plan = temporal::bind(plan)?;
    let plan = emit::windows(plan, clause, context.streaming.emit)?;
    // Files are no objects of the catalog: nothing can depend on them.
    depends_on.retain(|id| !context.catalog.files.values().any(|file| file.id == *id));
    let plan = plain_text(plan)?;
    let schema = result_schema(&plan, columns);
    let boundedness = boundedness(&plan);
    let (functions, streaming) = (functions.into_iter().collect(), context.streaming);
    Ok(BoundQuery { plan, schema, boundedness, depends_on, functions, streaming })
}

/// A plan in which parameters have got their values: what is cast of them is read as PostgreSQL writes it.
///
/// # Errors
/// Where the plan cannot be made anew.
pub fn with_values(plan: LogicalPlan) -> Result<LogicalPlan> {
    casts::right(plan, Semantics::Postgres)
}

/// Puts our meaning and the casts into a plan of DataFusion's planner.
fn finish(plan: LogicalPlan, context: &BindContext) -> Result<LogicalPlan> {
    placement::check(&plan)?;
    let plan = forms::written_out(plan)?;
    let plan = literals::folded(plan)?;
    let plan = quantified::counted(plan)?;
    let plan = single_row::checked(plan)?;
    let plan = expand::expand(plan)?;
    let plan = doubles::kept(plan)?;
    let plan = casts::right(plan, context.semantics)?;
    let plan = decimals::typed(plan)?;
    let plan = semantics::functions(plan, context.semantics)?;
    let plan = semantics::aggregates(plan, context.semantics)?;
    let plan = intervals::ordered(plan)?;
    let plan =
        Analyzer::new().execute_and_check(plan, &provider::config(context), |_, _| ()).map_err(from_datafusion)?;
    let plan = literals::folded(plan)?;
    let plan = zone::applied(plan, context)?;
    let plan = semantics::arithmetic(plan, context.semantics)?;
    let plan = semantics::questions(plan)?;
    let plan = intervals::by_length(plan)?;
    let plan = interval_groups::by_length(plan)?;
    float_keys::normalised(plan)
}

/// Replaces the opaque tables by what they stand for. Gives the relations that were met, views included.
fn put_tables_in(plan: LogicalPlan) -> Result<(LogicalPlan, Vec<RelationId>)> {
    let mut met = BTreeSet::new();
    let plan = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::TableScan(TableScan { source, table_name, .. }) = &node else {
            return Ok(Transformed::no(node));
        };
        if let Some(scan) = source.downcast_ref::<RelationSource>() {
            met.insert(scan.relation.id);
        }
        let Some(opaque) = source.downcast_ref::<PlanSource>() else { return Ok(Transformed::no(node)) };
        met.insert(opaque.relation.id);
        met.extend(opaque.depends_on.iter().copied());
        let plan = LogicalPlanBuilder::from(opaque.plan.clone()).alias(table_name.clone())?.build()?;
        Ok(Transformed::yes(plan))
    });
    Ok((plan.map_err(from_datafusion)?.data, met.into_iter().collect()))
}

/// Casts the text types that only DataFusion has to ours.
fn plain_text(plan: LogicalPlan) -> Result<LogicalPlan> {
    let odd = |data_type: &DataType| matches!(data_type, DataType::Utf8View | DataType::LargeUtf8);
    if !plan.schema().fields().iter().any(|field| odd(field.data_type())) {
        return Ok(plan);
    }
    let exprs: Vec<Expr> = plan
        .schema()
        .iter()
        .map(|(qualifier, field)| {
            let column = Expr::from((qualifier, field));
            if !odd(field.data_type()) {
                return column;
            }
            let cast = datafusion::logical_expr::cast(column, DataType::Utf8);
            cast.alias_qualified(qualifier.cloned(), field.name())
        })
        .collect();
    LogicalPlanBuilder::from(plan).project(exprs).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}

/// The columns of the result under the names that the user sees.
fn result_schema(plan: &LogicalPlan, columns: Columns) -> SchemaRef {
    let fields = plan.schema().fields();
    let names = columns.filter(|columns| columns.len() == fields.len());
    let fields: Vec<Field> = fields
        .iter()
        .enumerate()
        .map(|(index, field)| {
            let name = names.as_ref().and_then(|names| names.get(index)).map_or(field.name(), |column| &column.name);
            Field::new(name, field.data_type().clone(), field.is_nullable())
        })
        .collect();
    Arc::new(Schema::new(fields))
}

/// Whether reading the plan ends: the least bounded of its tables.
pub(crate) fn boundedness(plan: &LogicalPlan) -> Boundedness {
    let rank = |boundedness: Boundedness| match boundedness {
        Boundedness::Bounded => 0,
        Boundedness::Unbounded => 1,
        Boundedness::Endless => 2,
    };
    let mut least = Boundedness::Bounded;
    // The closure never fails, so neither does the walk.
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(scan) = scan.source.downcast_ref::<RelationSource>()
        {
            let here = match &scan.relation.kind {
                RelationKind::ConnectorTable(table) => table.boundedness,
                RelationKind::InternalTable(_) | RelationKind::View { .. } | RelationKind::MaterializedView { .. } => {
                    Boundedness::Unbounded
                }
            };
            if rank(here) > rank(least) {
                least = here;
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    least
}
