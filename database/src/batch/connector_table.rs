//! A connector table as a table of DataFusion: its splits dealt out to partitions, read to the end of what is there.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use futures::TryStreamExt;
use millstream_engine::EngineError;
use millstream_engine::message::{BATCH_ROWS, Delta};
use millstream_engine::plan::ChangelogMode;
use millstream_engine::ports::{
    Boundedness, Connector, ReadContext, ReadPoll, ScanColumn, ScanRequest, Source, Split, SplitReader, WakeHandle,
    policy,
};
use millstream_engine::rejects::{OnError, RejectLog, Rejects};
use millstream_engine::time::{Clock, ProcessingTime};
use millstream_sql::catalog::ConnectorTable;
use tokio::sync::Notify;

use super::prune::{Filters, may_exclude, prune};
use super::{ReadNotes, keep_rejects};

/// A connector table.
pub(super) struct ConnectorScan {
    /// Its connector.
    pub(super) connector: Arc<dyn Connector>,
    /// How it was declared.
    pub(super) table: ConnectorTable,
    /// Its stored columns.
    pub(super) schema: SchemaRef,
    /// The clock that readers are told.
    pub(super) clock: Arc<dyn Clock>,
    /// Counts what is read.
    pub(super) notes: ReadNotes,
    /// Keeps what cannot be parsed.
    pub(super) rejects: Arc<RejectLog>,
}

impl fmt::Debug for ConnectorScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectorScan").field("table", &self.table.spec.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for ConnectorScan {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match may_exclude(&self.table.spec, filter) {
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let schema = Arc::new(self.schema.project(&columns)?);
        let asked = if columns.is_empty() { vec![cheapest_column(&self.schema)] } else { columns };
        let request =
            ScanRequest { columns: asked.into_iter().map(|index| ScanColumn { index, children: None }).collect() };
        let source = self.connector.source(&self.table.spec, &request).map_err(external)?;
        let parallelism = state.config().target_partitions();
        let on_error = policy::source_policy(&self.table.spec.options);
        let listed = Arc::clone(&source);
        let filters = Filters::new(state, &source.schema(), filters)?;
        let splits = tokio::task::spawn_blocking(move || prune(&*listed, listed.splits(parallelism)?, &filters))
            .await
            .map_err(|error| DataFusionError::External(Box::new(error)))?
            .map_err(external)?;
        let partition = |splits: VecDeque<Split>| -> Arc<dyn PartitionStream> {
            Arc::new(SplitsScan {
                source: Arc::clone(&source),
                splits,
                schema: Arc::clone(&schema),
                clock: Arc::clone(&self.clock),
                notes: self.notes.clone(),
                rejects: Rejecting {
                    log: Arc::clone(&self.rejects),
                    table: self.table.spec.name.as_str().into(),
                    on_error,
                },
            })
        };
        // A retraction may come from another split than the row: one hand folds them all.
        let hands = if source.changelog() == ChangelogMode::Retract { 1 } else { parallelism };
        let partitions = deal(splits, hands).into_iter().map(partition).collect();
        Ok(Arc::new(StreamingTableExec::try_new(schema.clone(), partitions, None, None, false, limit)?))
    }
}

/// Deals splits out to at most `hands` hands, at least one.
fn deal(splits: Vec<Split>, hands: usize) -> Vec<VecDeque<Split>> {
    let hands = hands.min(splits.len()).max(1);
    let mut dealt: Vec<VecDeque<Split>> = vec![VecDeque::new(); hands];
    for (index, split) in splits.into_iter().enumerate() {
        if let Some(hand) = dealt.get_mut(index % hands) {
            hand.push_back(split);
        }
    }
    dealt
}

/// The column to read where only the number of rows counts.
fn cheapest_column(schema: &SchemaRef) -> usize {
    let cost = |kind: &DataType| kind.primitive_width().unwrap_or(if kind.is_nested() { 1_000 } else { 100 });
    (0..schema.fields().len()).min_by_key(|index| cost(schema.field(*index).data_type())).unwrap_or(0)
}

fn external(error: EngineError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Some splits of a source, one after the other.
struct SplitsScan {
    source: Arc<dyn Source>,
    splits: VecDeque<Split>,
    schema: SchemaRef,
    clock: Arc<dyn Clock>,
    notes: ReadNotes,
    rejects: Rejecting,
}

/// What is done with rows that cannot be parsed.
#[derive(Clone)]
struct Rejecting {
    log: Arc<RejectLog>,
    table: Arc<str>,
    on_error: OnError,
}

impl fmt::Debug for SplitsScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SplitsScan").field("source", &self.source.describe()).finish_non_exhaustive()
    }
}

impl PartitionStream for SplitsScan {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let reading = Reading {
            source: Arc::clone(&self.source),
            splits: self.splits.clone(),
            reader: None,
            clock: Arc::clone(&self.clock),
            notes: self.notes.clone(),
            rejects: self.rejects.clone(),
            woken: Arc::default(),
        };
        let schema = Arc::clone(&self.schema);
        if self.source.changelog() == ChangelogMode::Retract {
            let folded = futures::stream::once(folded(reading))
                .map_ok(|batches| futures::stream::iter(batches.into_iter().map(Ok::<_, DataFusionError>)));
            let batches = folded.try_flatten();
            let batches = batches.and_then(move |batch| futures::future::ready(named(&batch, &schema)));
            return Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches));
        }
        let batches = futures::stream::try_unfold(reading, |mut reading| async move {
            let delta = reading.next().await.map_err(external)?;
            Ok(delta.map(|delta| (delta.batch, reading)))
        });
        let batches = batches.and_then(move |batch| futures::future::ready(named(&batch, &schema)));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}

/// The rows that are left of a source that retracts.
async fn folded(mut reading: Reading) -> Result<Vec<RecordBatch>> {
    let mut deltas = Vec::new();
    while let Some(delta) = reading.next().await.map_err(external)? {
        deltas.push(delta);
    }
    super::fold_deltas(&reading.source.schema(), &deltas).map_err(|error| DataFusionError::External(Box::new(error)))
}

/// The batch under the schema of the plan; without columns where only the count is asked for.
fn named(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if schema.fields().is_empty() {
        return Ok(batch.project(&[])?);
    }
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), batch.columns().to_vec())?)
}

/// The state of a read: the open split and those that follow.
struct Reading {
    source: Arc<dyn Source>,
    splits: VecDeque<Split>,
    reader: Option<Box<dyn SplitReader>>,
    clock: Arc<dyn Clock>,
    notes: ReadNotes,
    rejects: Rejecting,
    woken: Arc<Notify>,
}

impl Reading {
    /// The next rows; `None` at the end of the last split.
    async fn next(&mut self) -> millstream_engine::Result<Option<Delta>> {
        // A source that never ends is read to what is there now; one that ends, or makes rows for ever, is waited for.
        let waits = self.source.boundedness() != Boundedness::Unbounded;
        loop {
            let retry_at = match self.poll()? {
                None => return Ok(None),
                Some(ReadPoll::Batch(batch)) => return Ok(Some(Delta::append(batch))),
                Some(ReadPoll::Changes(delta)) => return Ok(Some(delta)),
                Some(ReadPoll::Fetching { retry_at }) => retry_at,
                // What came after the query began is not read.
                Some(ReadPoll::Splits(_)) => continue,
                Some(ReadPoll::End) => {
                    self.reader = None;
                    continue;
                }
                Some(ReadPoll::Pending { .. }) if !waits => {
                    self.reader = None;
                    continue;
                }
                Some(ReadPoll::Pending { retry_at }) => retry_at,
            };
            wait(self.clock.as_ref(), &self.woken, retry_at).await;
        }
    }

    /// Asks the open reader, or opens the next; `None` where there is none left.
    fn poll(&mut self) -> millstream_engine::Result<Option<ReadPoll>> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            None => match self.splits.pop_front() {
                Some(split) => self.reader.insert(self.source.reader(&split)?),
                None => return Ok(None),
            },
        };
        let woken = Arc::clone(&self.woken);
        let wake = WakeHandle::new(move || woken.notify_one());
        let (mut rejects, now) = (Rejects::new(self.rejects.on_error), self.clock.now());
        let mut context = ReadContext { rows_max: BATCH_ROWS, now, flushing: true, wake: &wake, rejects: &mut rejects };
        let answer = reader.poll(&mut context)?;
        let bad_rows = rejects.counts.bad;
        keep_rejects(&self.rejects.log, "select", Some(&self.rejects.table), "Source", now, &mut rejects);
        let rows = match &answer {
            ReadPoll::Batch(batch) => batch.num_rows() as u64,
            ReadPoll::Changes(delta) => delta.rows() as u64,
            ReadPoll::Fetching { .. } | ReadPoll::Pending { .. } | ReadPoll::Splits(_) | ReadPoll::End => 0,
        };
        self.notes.add(rows, bad_rows);
        Ok(Some(answer))
    }
}

/// Returns when the reader may have something: it woke us, or its time has come.
async fn wait(clock: &dyn Clock, woken: &Notify, retry_at: Option<ProcessingTime>) {
    match retry_at {
        None => woken.notified().await,
        Some(at) => {
            let micros = u64::try_from(at.0.saturating_sub(clock.now().0)).unwrap_or(0);
            // Running out is as good as being woken.
            let _ = tokio::time::timeout(std::time::Duration::from_micros(micros), woken.notified()).await;
        }
    }
}
