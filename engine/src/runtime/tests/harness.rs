//! What the tests of the runtime are built from: plans, rows, sources that a test feeds.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use parking_lot::Mutex;

use crate::error::{EngineError, Result};
use crate::expr::Scalar;
use crate::message::Delta;
use crate::plan::{
    AggregateCall, AggregateFunction, ChangelogMode, Dataflow, Edge, GroupAggregateSpec, Input, MaterializeSpec, Node,
    NodeId, OperatorSpec, Partitioning, RelationId, SinkSpec, SourceSpec, StatelessSpec, Step, ViewSourceSpec,
    WatermarkSpec, Window, WindowAggregateSpec, WindowEmit, WindowInput, WindowTime,
};
use crate::ports::{Boundedness, MemorySource, ReadContext, ReadPoll, Sink, Source, Split, SplitReader, WakeHandle};
use crate::runtime::{Engine, EngineConfig, JobId, JobPolicy, JobRequest, Simulation};
use crate::time::{EventTime, ProcessingTime, VirtualClock};
use crate::view::GlobalSnapshot;

/// Columns `k` (a number) and `at` (a timestamp of as many microseconds).
pub(super) fn schema() -> SchemaRef {
    let at = DataType::Timestamp(TimeUnit::Microsecond, None);
    Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, false), Field::new("at", at, true)]))
}

pub(super) fn batch(keys: impl IntoIterator<Item = i64>) -> RecordBatch {
    let keys: Vec<i64> = keys.into_iter().collect();
    let at: ArrayRef = Arc::new(TimestampMicrosecondArray::from(keys.clone()));
    RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from(keys)), at]).unwrap()
}

/// A bounded source of the keys `from..to` of each split, in batches of 10.
pub(super) fn memory(splits: impl IntoIterator<Item = (i64, i64)>) -> Arc<dyn Source> {
    let batches =
        |(from, to): (i64, i64)| (from..to).step_by(10).map(|start| batch(start..(start + 10).min(to))).collect();
    Arc::new(MemorySource::new(schema(), splits.into_iter().map(batches).collect()))
}

/// A dataflow that grows node by node.
#[derive(Default)]
pub(super) struct Plan(Dataflow);

impl Plan {
    fn add(mut self, spec: OperatorSpec, inputs: Vec<(usize, Partitioning)>) -> Self {
        let id = NodeId(self.0.nodes.len());
        let inputs = inputs.into_iter().map(|(from, partitioning)| Input { from: NodeId(from), partitioning });
        let edge = Edge { schema: schema(), changelog: ChangelogMode::Append, stream_key: None, time_column: Some(1) };
        self.0.nodes.push(Node { id, spec, inputs: inputs.collect(), edge });
        self
    }

    fn last(&self) -> usize {
        self.0.nodes.len() - 1
    }

    pub(super) fn source(self, source: Arc<dyn Source>) -> Self {
        self.source_with(source, None)
    }

    pub(super) fn source_with(self, source: Arc<dyn Source>, watermark: Option<WatermarkSpec>) -> Self {
        let spec = SourceSpec { table: "numbers".into(), source, steps: Vec::new(), watermark };
        self.add(OperatorSpec::Source(spec), Vec::new())
    }

    pub(super) fn view_source(self, relation: u64) -> Self {
        self.view_source_with(relation, None)
    }

    pub(super) fn view_source_with(self, relation: u64, watermark: Option<WatermarkSpec>) -> Self {
        let (relation, name) = (RelationId(relation), format!("v{relation}"));
        self.add(OperatorSpec::ViewSource(ViewSourceSpec { relation, name, watermark }), Vec::new())
    }

    /// The number of rows of each key, kept up to date.
    pub(super) fn count_by_key(self) -> Self {
        self.count(false)
    }

    /// The same, of rows that come and go.
    pub(super) fn count_by_key_of_changes(self) -> Self {
        self.count(true)
    }

    fn count(self, retracts: bool) -> Self {
        let last = self.last();
        let call = AggregateCall {
            function: AggregateFunction::Count,
            args: Vec::new(),
            order_by: Vec::new(),
            distinct: false,
            filter: None,
            output: Arc::new(Field::new("n", DataType::Int64, false)),
        };
        let spec = GroupAggregateSpec { keys: vec![0], calls: vec![call], retracts, ttl_us: None, upserts: false };
        self.add(OperatorSpec::GroupAggregate(spec), vec![(last, by_key())]).updating()
    }

    /// The number of rows of each window of so many microseconds, at a multiple of a thousand.
    pub(super) fn tumble(mut self, size_us: i64) -> Self {
        let output = Arc::new(Field::new("n", DataType::Int64, false));
        let call = AggregateCall {
            function: AggregateFunction::Count,
            args: Vec::new(),
            order_by: Vec::new(),
            distinct: false,
            filter: None,
            output: Arc::clone(&output),
        };
        let window =
            WindowInput::Assign { window: Window::Tumble { size_us, offset_us: 0 }, time: WindowTime::Event(1) };
        let emit = WindowEmit::default();
        let spec = WindowAggregateSpec { window, keys: Vec::new(), calls: vec![call], retracts: false, emit };
        let last = self.last();
        self = self.add(OperatorSpec::WindowAggregate(spec), vec![(last, Partitioning::Single)]);
        if let Some(node) = self.0.nodes.last_mut() {
            let time = |name: &str| Field::new(name, DataType::Timestamp(TimeUnit::Millisecond, None), false);
            let fields = ["window_start", "window_end", "window_time"].map(time);
            let fields = std::iter::once(output.as_ref().clone()).chain(fields).collect::<Vec<_>>();
            node.edge.schema = Arc::new(Schema::new(fields));
            node.edge.time_column = Some(3);
        }
        self
    }

    /// One step over the rows, which keeps their columns.
    pub(super) fn step(self, step: Step) -> Self {
        let last = self.last();
        self.add(OperatorSpec::Stateless(StatelessSpec { steps: vec![step] }), vec![(last, Partitioning::Forward)])
    }

    /// The last node gives changing numbers by key.
    pub(super) fn updating(mut self) -> Self {
        if let Some(node) = self.0.nodes.last_mut() {
            let number = |name: &str| Field::new(name, DataType::Int64, false);
            node.edge = Edge {
                schema: Arc::new(Schema::new(vec![number("k"), number("n")])),
                changelog: ChangelogMode::Retract,
                stream_key: Some(vec![0]),
                time_column: None,
            };
        }
        self
    }

    /// The union of the last two nodes.
    pub(super) fn union(self, partitioning: &Partitioning) -> Self {
        let last = self.last();
        self.add(OperatorSpec::Union, vec![(last - 1, partitioning.clone()), (last, partitioning.clone())])
    }

    pub(super) fn view(self, relation: u64, partitioning: Partitioning) -> Self {
        let (last, name) = (self.last(), format!("v{relation}"));
        let spec = MaterializeSpec { relation: RelationId(relation), name, replaces: false };
        self.add(OperatorSpec::Materialize(spec), vec![(last, partitioning)])
    }

    pub(super) fn sink(self, sink: Arc<dyn Sink>, partitioning: Partitioning) -> Self {
        let last = self.last();
        self.add(OperatorSpec::Sink(SinkSpec { table: "out".into(), sink }), vec![(last, partitioning)])
    }

    pub(super) fn job(self, name: &str) -> JobRequest {
        JobRequest { name: name.into(), dataflow: Arc::new(self.0), policy: JobPolicy::default() }
    }
}

pub(super) fn by_key() -> Partitioning {
    Partitioning::Hash(vec![0])
}

/// The watermark is the time itself.
pub(super) fn watermark(idle_timeout_us: Option<i64>) -> WatermarkSpec {
    WatermarkSpec { time_column: 1, expr: Scalar::column(&schema(), 1), idle_timeout_us, alignment: None }
}

pub(super) fn engine(shards: usize) -> Engine {
    Engine::start(EngineConfig { shards, epoch_interval_ms: 5, ..EngineConfig::default() }).unwrap()
}

pub(super) fn simulation(shards: usize, seed: u64) -> Simulation {
    let clock = Arc::new(VirtualClock::new(ProcessingTime(0)));
    Simulation::new(
        EngineConfig { shards, epoch_interval_ms: 1, batch_rows: 7, ..EngineConfig::default() },
        clock,
        seed,
    )
}

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
        let limit = std::time::Duration::from_secs(60);
        tokio::time::timeout(limit, future).await.expect("the engine stands still")
    })
}

pub(super) fn finished(engine: &Engine, job: JobId) -> crate::runtime::JobStatus {
    block_on(engine.finished(job)).unwrap()
}

/// The keys of a view, sorted.
pub(super) fn keys(snapshot: &GlobalSnapshot, relation: u64) -> Vec<i64> {
    let mut keys = keys_in_order(snapshot, relation);
    keys.sort_unstable();
    keys
}

/// The keys of a view, shard by shard.
pub(super) fn keys_in_order(snapshot: &GlobalSnapshot, relation: u64) -> Vec<i64> {
    let view = snapshot.views.get(&RelationId(relation)).expect("the view is there");
    let batches = view.shards.iter().flat_map(|version| version.scan(&[0]).unwrap());
    batches.flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

/// The numbers by key of a view of [`Plan::count_by_key`], sorted.
pub(super) fn counts(snapshot: &GlobalSnapshot, relation: u64) -> Vec<(i64, i64)> {
    let view = snapshot.views.get(&RelationId(relation)).expect("the view is there");
    let batches = view.shards.iter().flat_map(|version| version.scan(&[0, 1]).unwrap());
    let numbers = |batch: &RecordBatch, index: usize| batch.column(index).as_primitive::<Int64Type>().values().to_vec();
    let mut counts: Vec<_> = batches.flat_map(|batch| numbers(&batch, 0).into_iter().zip(numbers(&batch, 1))).collect();
    counts.sort_unstable();
    counts
}

pub(super) fn view_watermark(snapshot: &GlobalSnapshot, relation: u64) -> EventTime {
    snapshot.views.get(&RelationId(relation)).expect("the view is there").watermark
}

/// What a reader of [`Live`] gives next.
pub(super) enum Next {
    Rows(RecordBatch),
    Changes(Delta),
    /// Rows are on their way; the reader wakes its shard at once.
    Fetch,
    Fail,
    Panic,
    /// The source has these splits too.
    Splits(Vec<usize>),
    End,
}

/// An unbounded source that a test feeds, one queue a split.
#[derive(Clone, Default)]
pub(super) struct Live {
    splits: Vec<Arc<LiveSplit>>,
    /// Splits that are not listed.
    hidden: usize,
}

#[derive(Default)]
struct LiveSplit {
    queue: Mutex<VecDeque<Next>>,
    wake: Mutex<Option<WakeHandle>>,
}

impl Live {
    pub(super) fn new(splits: usize) -> Self {
        Self::hiding(splits, 0)
    }

    /// A source of which `hidden` splits are not listed.
    pub(super) fn hiding(splits: usize, hidden: usize) -> Self {
        Self { splits: (0..splits + hidden).map(|_| Arc::default()).collect(), hidden }
    }

    pub(super) fn push(&self, split: usize, next: Next) {
        self.splits[split].queue.lock().push_back(next);
        if let Some(wake) = &*self.splits[split].wake.lock() {
            wake.wake();
        }
    }

    pub(super) fn rows(&self, split: usize, keys: impl IntoIterator<Item = i64>) {
        self.push(split, Next::Rows(batch(keys)));
    }

    pub(super) fn source(&self) -> Arc<dyn Source> {
        Arc::new(self.clone())
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("live")
    }
}

impl Source for Live {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn boundedness(&self) -> Boundedness {
        Boundedness::Unbounded
    }

    fn replayable(&self) -> bool {
        false
    }

    fn splits(&self, _parallelism: usize) -> Result<Vec<Split>> {
        Ok((0..self.splits.len() - self.hidden).map(|index| Split { id: index.to_string() }).collect())
    }

    fn reader(&self, split: &Split) -> Result<Box<dyn SplitReader>> {
        let index: usize = split.id.parse().unwrap();
        Ok(Box::new(LiveReader(Arc::clone(&self.splits[index]))))
    }

    fn describe(&self) -> String {
        "live".into()
    }
}

struct LiveReader(Arc<LiveSplit>);

impl SplitReader for LiveReader {
    fn poll(&mut self, context: &mut ReadContext<'_>) -> Result<ReadPoll> {
        *self.0.wake.lock() = Some(context.wake.clone());
        Ok(match self.0.queue.lock().pop_front() {
            None => ReadPoll::Pending { retry_at: None },
            Some(Next::Rows(batch)) => ReadPoll::Batch(batch),
            Some(Next::Changes(delta)) => ReadPoll::Changes(delta),
            Some(Next::Fetch) => {
                context.wake.wake();
                ReadPoll::Fetching { retry_at: None }
            }
            Some(Next::Fail) => {
                return Err(EngineError::BadRow { message: "row 7 is bad".into(), hint: Some("mend it".into()) });
            }
            Some(Next::Panic) => panic!("a reader that panics"),
            Some(Next::Splits(splits)) => {
                ReadPoll::Splits(splits.iter().map(|index| Split { id: index.to_string() }).collect())
            }
            Some(Next::End) => ReadPoll::End,
        })
    }

    fn offset(&self) -> String {
        String::new()
    }

    fn seek(&mut self, _offset: &str) -> Result<()> {
        Ok(())
    }
}
