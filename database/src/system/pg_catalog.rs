//! The schema `pg_catalog` of `datafusion-pg-catalog`, with what it cannot know: which views are materialised.

use std::sync::Arc;

use arc_swap::ArcSwap;
use arrow::array::cast::AsArray;
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, Session, TableProvider};
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::{ExecutionPlan, collect};
use millstream_sql::catalog::{CatalogSnapshot, Relation, RelationKind};
use millstream_sql::namespace::split;

use super::SCHEMA;

/// Owner of everything.
const OWNER: &str = "postgres";

/// `pg_catalog` with corrections.
#[derive(Debug)]
pub(super) struct PgCatalog {
    inner: Arc<dyn SchemaProvider>,
    relations: Arc<ArcSwap<CatalogSnapshot>>,
}

impl PgCatalog {
    pub(super) fn new(inner: Arc<dyn SchemaProvider>, relations: Arc<ArcSwap<CatalogSnapshot>>) -> Self {
        Self { inner, relations }
    }

    /// The materialised views; columns that we have nothing for are null.
    fn pg_matviews(&self, table: &dyn TableProvider) -> Result<Arc<dyn TableProvider>> {
        let relations = self.relations.load();
        let views: Vec<&Arc<Relation>> =
            relations.relations.values().filter(|relation| is_materialized(relation)).collect();
        let text = |value: &dyn Fn(&Relation) -> String| -> ArrayRef {
            Arc::new(views.iter().map(|view| Some(value(view))).collect::<StringArray>())
        };
        let schema = table.schema();
        let columns = schema.fields().iter().map(|field| match (field.name().as_str(), field.data_type()) {
            ("schemaname", DataType::Utf8) => text(&|view| split(&view.name).0.unwrap_or(SCHEMA).to_owned()),
            ("matviewname", DataType::Utf8) => text(&|view| split(&view.name).1.to_owned()),
            ("matviewowner", DataType::Utf8) => text(&|_| OWNER.to_owned()),
            ("definition", DataType::Utf8) => text(&|view| view.definition.clone()),
            ("hasindexes", DataType::Boolean) => Arc::new(BooleanArray::from(vec![false; views.len()])),
            ("ispopulated", DataType::Boolean) => Arc::new(BooleanArray::from(vec![true; views.len()])),
            (_, kind) => arrow::array::new_null_array(kind, views.len()),
        });
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns.collect())?;
        Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
    }
}

#[async_trait]
impl SchemaProvider for PgCatalog {
    fn table_names(&self) -> Vec<String> {
        self.inner.table_names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(table) = self.inner.table(name).await? else {
            return Ok(None);
        };
        match name {
            "pg_class" => Ok(Some(Arc::new(PgClass { inner: table, relations: Arc::clone(&self.relations) }))),
            "pg_matviews" => self.pg_matviews(table.as_ref()).map(Some),
            _ => Ok(Some(table)),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.inner.table_exist(name)
    }
}

/// `pg_class` with `relkind` `m` for materialised views. It is read when it is scanned and not before: to list its rows
/// every table of every schema is looked up, this one among them.
#[derive(Debug)]
struct PgClass {
    inner: Arc<dyn TableProvider>,
    relations: Arc<ArcSwap<CatalogSnapshot>>,
}

#[async_trait]
impl TableProvider for PgClass {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }

    fn table_type(&self) -> TableType {
        self.inner.table_type()
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = self.inner.scan(state, None, &[], None).await?;
        let batches = collect(plan, state.task_ctx()).await?;
        let relations = self.relations.load_full();
        let batches = batches.iter().map(|batch| with_kinds(batch, &relations)).collect::<Result<Vec<_>>>()?;
        let table = MemTable::try_new(self.inner.schema(), vec![batches])?;
        table.scan(state, projection, filters, limit).await
    }
}

fn is_materialized(relation: &Relation) -> bool {
    match &relation.kind {
        RelationKind::MaterializedView { .. } => true,
        RelationKind::ConnectorTable(_) | RelationKind::InternalTable(_) | RelationKind::View { .. } => false,
    }
}

/// The rows of `pg_class` with the kinds of our relations.
fn with_kinds(batch: &RecordBatch, relations: &CatalogSnapshot) -> Result<RecordBatch> {
    let schema = batch.schema();
    let (Some((at, _)), Some(names)) = (schema.column_with_name("relkind"), batch.column_by_name("relname")) else {
        return Ok(batch.clone());
    };
    let (Some(names), Some(kinds)) = (names.as_string_opt::<i32>(), batch.column(at).as_string_opt::<i32>()) else {
        return Ok(batch.clone());
    };
    let kind = |row: usize| {
        let name = names.is_valid(row).then(|| names.value(row))?;
        // A view of this name in another database has the same kind, or neither is told from a table.
        let mut named = relations.relations.values().filter(|relation| split(&relation.name).1 == name).peekable();
        let ours = named.peek().is_some() && named.all(|relation| is_materialized(relation));
        if ours { Some("m") } else { kinds.is_valid(row).then(|| kinds.value(row)) }
    };
    let kinds: StringArray = (0..batch.num_rows()).map(kind).collect();
    let mut columns = batch.columns().to_vec();
    if let Some(column) = columns.get_mut(at) {
        *column = Arc::new(kinds);
    }
    Ok(RecordBatch::try_new(schema, columns)?)
}
