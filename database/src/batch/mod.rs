//! Queries that end: the plan of a bound query over tables that DataFusion can read.
//!
//! A query takes the snapshot of all views once, so it sees one moment. Connector tables are read through the same
//! sources as in streaming. What plans and evaluates has [`threads`] of its own. What runs for ever is in
//! [`crate::session`].

mod connector_table;
mod endless;
pub mod files;
mod fold;
mod prune;
mod scan;
mod threads;
mod view_table;

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use datafusion::execution::cache::cache_manager::CacheManagerConfig;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{MemoryLimit, MemoryPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, displayable, execute_stream};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use millstream_engine::message::BATCH_ROWS;
use millstream_sql::error::{from_arrow, from_datafusion};
use millstream_sql::{SqlError, SqlState};

pub use fold::{difference, fold_deltas};
pub use scan::{ReadNotes, Scans, keep_rejects, no_rows_yet};
pub use threads::{Batches, QueryThreads};

/// What all batch queries share: the memory they may use, their threads, and how parallel they are.
#[derive(Debug, Clone)]
pub struct BatchRuntime {
    environment: Arc<RuntimeEnv>,
    threads: QueryThreads,
    partitions: usize,
    /// Bytes that each sort sets aside to merge what it has spilled.
    merge_bytes: usize,
}

/// Bytes that are enough for a merge.
const MERGE_BYTES_MAX: usize = 10 << 20;

const PANICKED: &str = "internal error: the query panicked, see the log";

impl BatchRuntime {
    /// A runtime whose queries share a pool of memory, and spill to `directory` where it is used up; to the system's
    /// temporary one where none is named.
    ///
    /// # Errors
    /// Where there is no directory to spill to, or no thread to be had.
    pub fn new(pool: Arc<dyn MemoryPool>, directory: Option<PathBuf>, partitions: usize) -> Result<Self, SqlError> {
        let pool_bytes = match pool.memory_limit() {
            MemoryLimit::Finite(bytes) => bytes,
            MemoryLimit::Infinite | MemoryLimit::Unknown => usize::MAX,
        };
        // In a small pool the sorts of one query must not use it up before they have begun.
        let merge_bytes = MERGE_BYTES_MAX.min(pool_bytes / partitions.max(1) / 8);
        let mode = directory.map_or(DiskManagerMode::OsTmpDirectory, |path| DiskManagerMode::Directories(vec![path]));
        let environment = RuntimeEnvBuilder::new()
            .with_memory_pool(pool)
            // Files come and go between two queries.
            .with_cache_manager(CacheManagerConfig { list_files_cache_limit: 0, ..CacheManagerConfig::default() })
            .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(mode))
            .build_arc()
            .map_err(from_datafusion)?;
        let threads = QueryThreads::start(partitions)
            .map_err(|error| SqlError::new(SqlState::INTERNAL_ERROR, format!("could not start threads: {error}")))?;
        Ok(Self { environment, threads, partitions, merge_bytes })
    }

    /// The threads on which queries are planned and evaluated.
    pub fn threads(&self) -> &QueryThreads {
        &self.threads
    }

    /// A context for one query or one session's system catalog.
    pub fn context(&self, time_zone: &str, catalog: (&str, &str)) -> SessionContext {
        let mut config = SessionConfig::new()
            .with_target_partitions(self.partitions)
            .with_batch_size(BATCH_ROWS)
            .with_default_catalog_and_schema(catalog.0, catalog.1)
            .with_information_schema(true);
        // It takes the columns of our views' projections for ambiguous.
        config.options_mut().optimizer.enable_leaf_expression_pushdown = false;
        // Patterns say how deep they look, and a directory is read with all below it.
        config.options_mut().execution.listing_table_ignore_subdirectory = false;
        config.options_mut().execution.sort_spill_reservation_bytes = self.merge_bytes;
        config.options_mut().execution.time_zone = Some(time_zone.to_owned());
        SessionContext::new_with_config_rt(config, Arc::clone(&self.environment))
    }

    /// Optimises a plan whose scans are resolved and makes it executable.
    ///
    /// # Errors
    /// Where DataFusion cannot plan it.
    pub async fn physical(
        &self,
        context: &SessionContext,
        plan: &LogicalPlan,
    ) -> Result<Arc<dyn ExecutionPlan>, SqlError> {
        let state = context.state();
        let plan = state.optimize(plan).map_err(from_datafusion)?;
        // Where the types cannot be made to fit, plain strings do it too.
        if let Ok(Some(views)) = files::with_views(&plan, &state)
            && let Ok(physical) = state.query_planner().create_physical_plan(&views, &state).await
        {
            return Ok(physical);
        }
        state.query_planner().create_physical_plan(&plan, &state).await.map_err(from_datafusion)
    }

    /// Makes a plan and runs it, both on the threads of queries; the batches have `schema`.
    ///
    /// # Errors
    /// Those of `plan`, and where DataFusion cannot plan it further. Errors of rows are in the stream.
    pub async fn run(
        &self,
        context: SessionContext,
        plan: impl FnOnce() -> Result<LogicalPlan, SqlError> + Send + 'static,
        schema: SchemaRef,
    ) -> Result<Batches, SqlError> {
        let runtime = self.clone();
        let computed = async move {
            let physical = runtime.physical(&context, &plan()?).await?;
            let stream = execute_stream(physical, context.task_ctx()).map_err(from_datafusion)?;
            // What a file that is damaged, or an odd value, makes a library assert costs the query, not the connection.
            let stream = AssertUnwindSafe(stream).catch_unwind().map(move |batch| match batch {
                Ok(batch) => batch.map_err(from_datafusion).and_then(|batch| conform(&batch, &schema)),
                Err(_) => Err(SqlError::new(SqlState::INTERNAL_ERROR, PANICKED)),
            });
            Ok(stream.boxed())
        };
        self.threads.stream(computed).await
    }
}

/// The text of a physical plan.
pub fn physical_text(plan: &dyn ExecutionPlan) -> String {
    displayable(plan).indent(false).to_string()
}

/// The same rows under another schema of as many columns; values are cast where their types differ.
///
/// # Errors
/// Where a value does not fit its new type, or is null where none may be.
pub fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, SqlError> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| {
        if column.data_type() == field.data_type() { Ok(Arc::clone(column)) } else { cast(column, field.data_type()) }
    });
    let columns = columns.collect::<Result<Vec<_>, _>>().map_err(from_arrow)?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(from_arrow)
}
