//! Our relations as a schema of DataFusion, for the system tables to list. They cannot be read through it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use millstream_sql::catalog::{CatalogSnapshot, Relation, RelationKind};

/// The relations of one database that a session sees.
#[derive(Debug, Default)]
pub(super) struct RelationsSchema {
    catalog: Arc<ArcSwap<CatalogSnapshot>>,
    /// What stands before their names: `db.`; nothing in the default database.
    prefix: String,
}

impl RelationsSchema {
    /// Takes over what exists now.
    pub(super) fn replace(&self, catalog: CatalogSnapshot) {
        self.catalog.store(Arc::new(catalog));
    }

    /// The relations of another database.
    pub(super) fn of(&self, database: &str) -> Self {
        Self { catalog: self.shared(), prefix: format!("{database}.") }
    }

    /// What exists, as it changes.
    pub(super) fn shared(&self) -> Arc<ArcSwap<CatalogSnapshot>> {
        Arc::clone(&self.catalog)
    }
}

#[async_trait]
impl SchemaProvider for RelationsSchema {
    fn table_names(&self) -> Vec<String> {
        let catalog = self.catalog.load();
        let inside = catalog.relations.keys().filter_map(|name| name.strip_prefix(self.prefix.as_str()));
        inside.filter(|name| !name.contains('.')).map(str::to_owned).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let found = self.catalog.load().relations.get(&format!("{}{name}", self.prefix)).cloned();
        Ok(found.map(|relation| Arc::new(Listed::new(relation)) as Arc<dyn TableProvider>))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.catalog.load().relations.contains_key(&format!("{}{name}", self.prefix))
    }
}

/// A relation with its columns, for listings.
#[derive(Debug)]
struct Listed {
    relation: Arc<Relation>,
    schema: SchemaRef,
}

impl Listed {
    fn new(relation: Arc<Relation>) -> Self {
        let fields = relation
            .columns
            .iter()
            .map(|column| Field::new(&column.name, column.data_type.arrow.clone(), column.nullable));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Self { relation, schema }
    }
}

#[async_trait]
impl TableProvider for Listed {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        match &self.relation.kind {
            RelationKind::ConnectorTable(_) | RelationKind::InternalTable(_) => TableType::Base,
            RelationKind::View { .. } | RelationKind::MaterializedView { .. } => TableType::View,
        }
    }

    fn get_table_definition(&self) -> Option<&str> {
        Some(&self.relation.definition)
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Err(DataFusionError::NotImplemented(format!(
            "a query of the system catalog cannot read relation \"{}\"",
            self.relation.name
        )))
    }
}
