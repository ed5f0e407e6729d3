//! What DataFusion's planner asks: tables of the catalog snapshot, functions, types, options.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DataFusionError, Result as PlanResult, TableReference};
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner, TypePlanner};
use datafusion::logical_expr::{AggregateUDF, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF};
use datafusion::sql::planner::{NullOrdering, ParserOptions};
use millstream_engine::plan::RelationId;

use super::resolve::tvf::TvfCall;
use super::types::Types;
use super::window::WindowPlanner;
use super::{DEPTH_MAX, expand, relation, temporal, unnest};
use crate::bound::BindContext;
use crate::catalog::{Relation, Semantics};
use crate::error::{Result, SqlError};
use crate::functions::{Registry, registry};

/// A table of the catalog as the planner sees it, until its plan is put in.
#[derive(Debug)]
pub(super) struct PlanSource {
    pub(super) relation: Arc<Relation>,
    /// What it stands for. Its columns have the relation's names.
    pub(super) plan: LogicalPlan,
    pub(super) depends_on: Vec<RelationId>,
}

impl TableSource for PlanSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.plan.schema().inner())
    }
}

/// How the planner reads SQL: names as they are (they are resolved already), exact decimals.
pub(super) fn options(semantics: Semantics) -> ParserOptions {
    let nulls = match semantics {
        Semantics::Postgres => NullOrdering::NullsMax,
        Semantics::Flink => NullOrdering::NullsMin,
    };
    ParserOptions::new()
        .with_default_null_ordering(nulls)
        .with_enable_ident_normalization(false)
        .with_parse_float_as_decimal(true)
        .with_map_string_types_to_utf8view(false)
        .with_collect_spans(true)
}

/// The configuration that plans are made and optimised with.
pub(super) fn config(context: &BindContext) -> ConfigOptions {
    let mut config = ConfigOptions::default();
    config.sql_parser.enable_ident_normalization = false;
    config.sql_parser.parse_float_as_decimal = true;
    config.sql_parser.map_string_types_to_utf8view = false;
    config.execution.time_zone = Some(context.time_zone.clone());
    config
}

/// The planner's view of one statement's surroundings.
pub(super) struct Provider<'a> {
    context: &'a BindContext,
    config: ConfigOptions,
    relation_planners: Vec<Arc<dyn RelationPlanner>>,
    types: Arc<dyn TypePlanner>,
    registry: &'static Registry,
    /// How many views deep the statement is.
    depth: usize,
    /// Tables with options of their own.
    tables: Vec<Arc<Relation>>,
}

impl<'a> Provider<'a> {
    /// The surroundings of a statement with these table function calls.
    ///
    /// # Errors
    /// Where views stand on views too deep.
    pub(super) fn new(context: &'a BindContext, calls: Vec<TvfCall>, depth: usize) -> Result<Self> {
        if depth > DEPTH_MAX {
            return Err(SqlError::unsupported(format!("views stand on views more than {DEPTH_MAX} deep")));
        }
        Ok(Self {
            context,
            config: config(context),
            relation_planners: vec![Arc::new(WindowPlanner::new(calls)), Arc::new(unnest::Planner)],
            types: Arc::new(Types),
            registry: registry(),
            depth,
            tables: Vec::new(),
        })
    }

    /// With tables that the catalog does not have under these names.
    pub(super) fn with_tables(self, tables: Vec<Arc<Relation>>) -> Self {
        Self { tables, ..self }
    }
}

impl ContextProvider for Provider<'_> {
    fn get_table_source(&self, name: TableReference) -> PlanResult<Arc<dyn TableSource>> {
        let catalog = &self.context.catalog;
        let own = self.tables.iter().find(|table| table.name == name.table());
        let found = own.or_else(|| catalog.relations.get(name.table())).or_else(|| catalog.files.get(name.table()));
        let Some(relation) = found else {
            return Err(DataFusionError::Plan(format!("relation \"{}\" does not exist", name.table())));
        };
        relation::source(relation, self.context, self.depth).map_err(external)
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> PlanResult<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.registry.planners
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relation_planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::clone(&self.types))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        if name == temporal::MARKER {
            return Some(temporal::marker());
        }
        if let Some(function) = self.context.catalog.functions.get(name) {
            return Some(expand::placeholder(function, self.context));
        }
        if let Some(function) = self.context.catalog.natives.get(name) {
            return Some(function.planned());
        }
        self.registry.scalar.get(name).cloned()
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.registry.higher_order.get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.registry.aggregate.get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.registry.window.get(name).cloned()
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.config
    }

    fn udf_names(&self) -> Vec<String> {
        self.registry.scalar.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.registry.higher_order.keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.registry.aggregate.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.registry.window.keys().cloned().collect()
    }
}

/// Our error inside DataFusion's, to be taken out again by [`super::from_datafusion`].
pub(super) fn external(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
