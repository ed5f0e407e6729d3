//! Texts of Parquet files as Arrow's string views, where that costs nothing: a value that the file has in a dictionary is then
//! not copied for each row that has it, and grouping, comparing and searching short texts takes a third of the time.
//!
//! Statements are bound with plain strings, the type that functions and formats know. So [`with_views`] works on the optimised
//! plan: scans give views, arguments of functions and what is cast are made plain strings again, DataFusion's own coercion sees
//! to comparisons, and who takes the rows casts them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ExprSchema, Statistics};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Cast, Expr, ExprSchemable, LogicalPlan, TableProviderFilterPushDown, TableScan, TableScanBuilder, TableType,
    TryCast,
};
use datafusion::optimizer::Optimizer;
use datafusion::optimizer::analyzer::AnalyzerRule;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::physical_plan::ExecutionPlan;

/// Functions that take views as they are.
const VIEWS_TAKEN: [&str; 4] = ["count", "max", "min", "octet_length"];

/// A table that can be read both ways: with plain strings, as it says, and with views.
#[derive(Debug)]
pub(super) struct TwoWays {
    /// With plain strings.
    pub(super) plain: Arc<dyn TableProvider>,
    /// With views.
    pub(super) views: Arc<dyn TableProvider>,
}

#[async_trait]
impl TableProvider for TwoWays {
    fn schema(&self) -> SchemaRef {
        self.plain.schema()
    }

    fn table_type(&self) -> TableType {
        self.plain.table_type()
    }

    fn statistics(&self) -> Option<Statistics> {
        self.plain.statistics()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.plain.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.plain.scan(state, projection, filters, limit).await
    }
}

/// A schema whose columns of text are views; what is inside of other columns stays.
pub(super) fn view_schema(schema: &Schema) -> SchemaRef {
    let field = |field: &Arc<Field>| match field.data_type() {
        DataType::Utf8 => Arc::new(Field::clone(field).with_data_type(DataType::Utf8View)),
        _ => Arc::clone(field),
    };
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

/// An optimised plan with views in place of plain strings; `None` where none of its tables can be read so. The types of its
/// columns may then be others.
///
/// # Errors
/// Where DataFusion cannot make the types fit.
pub(in crate::batch) fn with_views(plan: &LogicalPlan, state: &SessionState) -> Result<Option<LogicalPlan>> {
    let mut swapped = false;
    let plan = plan.clone().transform_up(|node| {
        let node = match node {
            LogicalPlan::TableScan(scan) => match views_of(&scan) {
                Some(views) => {
                    swapped = true;
                    LogicalPlan::TableScan(reading(scan, views)?)
                }
                None => LogicalPlan::TableScan(scan),
            },
            other => other,
        };
        if swapped { plain_arguments(node) } else { Ok(Transformed::no(node)) }
    })?;
    if !swapped {
        return Ok(None);
    }
    let plan = TypeCoercion::new().analyze(plan.data, state.config_options())?;
    // What coercion has made of constants is to be constants again: row groups are pruned by them.
    let simplify = Optimizer::with_rules(vec![Arc::new(SimplifyExpressions::new())]);
    simplify.optimize(plan, state, |_, _| {}).map(Some)
}

fn views_of(scan: &TableScan) -> Option<Arc<dyn TableProvider>> {
    let provider = source_as_provider(&scan.source).ok()?;
    provider.downcast_ref::<TwoWays>().map(|table| Arc::clone(&table.views))
}

fn reading(scan: TableScan, table: Arc<dyn TableProvider>) -> Result<TableScan> {
    TableScanBuilder::new(scan.table_name, provider_as_source(table))
        .with_projection(scan.projection)
        .with_filters(scan.filters)
        .with_fetch(scan.fetch)
        .build()
}

/// A node whose functions and casts are given plain strings.
fn plain_arguments(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let mut schema = merge_schema(&node.inputs());
    if let LogicalPlan::TableScan(scan) = &node {
        schema.merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?);
    }
    let names = NamePreserver::new(&node);
    let rewritten = node.map_expressions(|expr| {
        let name = names.save(&expr);
        let rewritten = expr.transform_up(|expr| plain_in(expr, &schema))?;
        Ok(rewritten.update_data(|expr| name.restore(expr)))
    })?;
    rewritten.map_data(LogicalPlan::recompute_schema)
}

/// An expression that takes plain strings where it is a function or a cast.
fn plain_in(expr: Expr, schema: &dyn ExprSchema) -> Result<Transformed<Expr>> {
    let plain = |expr: Expr| -> Result<Expr> {
        match expr.get_type(schema)? {
            DataType::Utf8View => expr.cast_to(&DataType::Utf8, schema),
            _ => Ok(expr),
        }
    };
    let all = |args: Vec<Expr>| args.into_iter().map(plain).collect::<Result<Vec<_>>>();
    Ok(Transformed::yes(match expr {
        Expr::ScalarFunction(mut call) if !VIEWS_TAKEN.contains(&call.name()) => {
            call.args = all(call.args)?;
            Expr::ScalarFunction(call)
        }
        Expr::AggregateFunction(mut call) if !VIEWS_TAKEN.contains(&call.func.name()) => {
            call.params.args = all(call.params.args)?;
            for sort in &mut call.params.order_by {
                sort.expr = plain(std::mem::take(&mut sort.expr))?;
            }
            Expr::AggregateFunction(call)
        }
        Expr::WindowFunction(mut call) => {
            call.params.args = all(call.params.args)?;
            Expr::WindowFunction(call)
        }
        Expr::Cast(Cast { expr, field }) => Expr::Cast(Cast { expr: Box::new(plain(*expr)?), field }),
        Expr::TryCast(TryCast { expr, field }) => Expr::TryCast(TryCast { expr: Box::new(plain(*expr)?), field }),
        other => return Ok(Transformed::no(other)),
    }))
}
