//! A view or an internal table at one moment as a table of DataFusion: one partition a shard.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use millstream_engine::view::{ViewSnapshot, ViewVersion};

/// A view at one epoch.
#[derive(Debug)]
pub(super) struct ViewScan {
    /// Its rows.
    pub(super) view: Arc<ViewSnapshot>,
    /// Its columns as the plan names them.
    pub(super) schema: SchemaRef,
}

#[async_trait]
impl TableProvider for ViewScan {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let schema = Arc::new(self.schema.project(&columns)?);
        let shard = |version: &Arc<ViewVersion>| -> Arc<dyn PartitionStream> {
            Arc::new(ShardScan { version: Arc::clone(version), columns: columns.clone(), schema: Arc::clone(&schema) })
        };
        let mut partitions: Vec<_> = self.view.shards.iter().filter(|version| version.rows() > 0).map(shard).collect();
        if partitions.is_empty() {
            partitions.push(shard(&Arc::default()));
        }
        Ok(Arc::new(StreamingTableExec::try_new(schema, partitions, None, None, false, limit)?))
    }
}

/// One shard's rows.
#[derive(Debug)]
struct ShardScan {
    version: Arc<ViewVersion>,
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl PartitionStream for ShardScan {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let schema = Arc::clone(&self.schema);
        let batches: Vec<Result<RecordBatch>> = match self.version.scan(&self.columns) {
            Ok(batches) => batches.iter().map(|batch| renamed(batch, &schema)).collect(),
            Err(error) => vec![Err(DataFusionError::External(Box::new(error)))],
        };
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), futures::stream::iter(batches)))
    }
}

/// The columns of a batch under a schema that may know better which of them are never null.
fn renamed(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), batch.columns().to_vec(), &rows)?)
}
