//! Rows that fail: a sink that refuses some, rows without a time, rows that come late; and a sink that fails or panics.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::Int64Type;
use datafusion::common::DFSchema;
use datafusion::logical_expr::{col, lit};
use proptest::prelude::*;

use super::harness::*;
use crate::error::{EngineError, Result};
use crate::expr::Scalar;
use crate::message::{Delta, Epoch};
use crate::plan::{Partitioning, RelationId, Step};
use crate::ports::{Accepts, CommitToken, Guarantee, Sink, SinkContext, SinkWriter, Source, policy};
use crate::rejects::{OnError, RejectKind, RejectedContent};
use crate::runtime::{EngineConfig, JobPolicy, JobRequest, JobState, MemoryGuard, Simulation};
use crate::time::{ProcessingTime, VirtualClock};

/// What a [`Picky`] sink does with a row of a key that it does not like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Refuses,
    Fails,
    Panics,
}

/// A sink that takes the keys that are no multiples of ten.
#[derive(Clone)]
pub(super) struct Picky {
    mood: Mood,
    taken: Arc<parking_lot::Mutex<Vec<i64>>>,
}

impl Picky {
    pub(super) fn new(mood: Mood) -> Self {
        Self { mood, taken: Arc::default() }
    }

    fn taken(&self) -> Vec<i64> {
        let mut taken = self.taken.lock().clone();
        taken.sort_unstable();
        taken
    }
}

impl fmt::Debug for Picky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("picky")
    }
}

impl Sink for Picky {
    fn accepts(&self) -> Accepts {
        Accepts::Append
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::None
    }

    fn writer(&self, _context: SinkContext) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(self.clone()))
    }

    fn describe(&self) -> String {
        "picky".into()
    }
}

impl SinkWriter for Picky {
    fn write(&mut self, delta: &Delta) -> Result<()> {
        let keys = keys_of(&delta.batch);
        if let Some(bad) = keys.iter().find(|key| *key % 10 == 0) {
            let message = format!("{bad} is round");
            return Err(match self.mood {
                Mood::Refuses => EngineError::Evaluate(message),
                Mood::Fails => EngineError::Io { message: "No space left on device (os error 28)".into() },
                Mood::Panics => panic!("{message}"),
            });
        }
        self.taken.lock().extend(keys);
        Ok(())
    }

    fn prepare(&mut self, _epoch: Epoch) -> Result<Option<CommitToken>> {
        Ok(None)
    }

    fn commit(&mut self, _token: &CommitToken) -> Result<()> {
        Ok(())
    }

    fn on_end(&mut self) {}
}

fn keys_of(batch: &RecordBatch) -> Vec<i64> {
    batch.column(0).as_primitive::<Int64Type>().values().to_vec()
}

#[test]
fn a_sink_gets_the_rows_that_it_does_not_refuse() {
    for (on_error, kept) in [(OnError::Skip, 0), (OnError::Table, 10)] {
        let engine = engine(2);
        let picky = Picky::new(Mood::Refuses);
        let sink = policy::sink_with(Arc::new(picky.clone()), on_error);
        let plan = Plan::default().source(memory([(0, 60), (60, 100)])).sink(sink, by_key());
        let job = engine.submit(plan.job("write")).unwrap();
        let status = finished(&engine, job);
        assert_eq!(status.state, JobState::Finished);
        assert_eq!(picky.taken(), (0..100).filter(|key| key % 10 != 0).collect::<Vec<_>>());
        let metrics = status.metrics;
        assert_eq!((metrics.rows_out, metrics.sink_errors, metrics.forgotten_rows), (90, 10, 10 - kept));
        let entries = engine.rejects().entries(RejectKind::Sink);
        let mut rejected: Vec<i64> = Vec::new();
        for entry in &entries {
            let RejectedContent::Rows(batch) = &entry.rejected.content else { panic!("a record") };
            rejected.extend(keys_of(batch));
            assert_eq!((&*entry.name, entry.relation.as_deref(), &*entry.operator), ("write", Some("out"), "Sink"));
            assert!(entry.rejected.reason.ends_with("is round"));
        }
        rejected.sort_unstable();
        assert_eq!(rejected, (0..100).filter(|key| kept > 0 && key % 10 == 0).collect::<Vec<_>>());
    }
}

#[test]
fn a_sink_that_fails_or_panics_stops_its_job_only() {
    for (mood, told) in
        [(Mood::Fails, "No space left"), (Mood::Panics, "panic: 0 is round"), (Mood::Refuses, "0 is round")]
    {
        let engine = engine(2);
        let live = Live::new(1);
        // What does not concern a row is not skipped.
        let on_error = if mood == Mood::Refuses { OnError::Fail } else { OnError::Skip };
        let sink = policy::sink_with(Arc::new(Picky::new(mood)), on_error);
        let bad = Plan::default().source(memory([(0, 10)])).sink(sink, Partitioning::Forward);
        let good = engine.submit(Plan::default().source(live.source()).view(1, by_key()).job("good")).unwrap();
        let bad = engine.submit(bad.job("bad")).unwrap();
        let status = finished(&engine, bad);
        assert_eq!(status.state, JobState::Failed);
        assert!(status.error.as_deref().is_some_and(|error| error.contains(told)), "{:?}", status.error);
        live.rows(0, 0..10);
        block_on(engine.flush()).unwrap();
        assert_eq!(keys(&engine.snapshot(), 1), (0..10).collect::<Vec<_>>());
        assert_eq!(engine.job(good).unwrap().state, JobState::Running);
    }
}

#[test]
fn late_rows_are_kept_with_their_job() {
    let engine = engine(1);
    let live = Live::new(1);
    let plan = Plan::default().source_with(live.source(), Some(watermark(None))).tumble(10_000).view(1, by_key());
    let job = engine.submit(plan.job("windows")).unwrap();
    live.rows(0, [5_000, 25_000]);
    block_on(engine.flush()).unwrap();
    live.rows(0, [6_000, 26_000]);
    block_on(engine.flush()).unwrap();
    let metrics = engine.job(job).unwrap().metrics;
    assert_eq!((metrics.late_rows, metrics.forgotten_rows), (1, 0));
    let entries = engine.rejects().entries(RejectKind::Late);
    let [entry] = entries.as_slice() else { panic!("{} entries", entries.len()) };
    let RejectedContent::Rows(batch) = &entry.rejected.content else { panic!("a record") };
    assert_eq!((keys_of(batch), &*entry.operator, entry.job), (vec![6_000], "WindowAggregate", Some(job)));
}

#[test]
fn rows_without_a_time_are_rejected_before_the_window() {
    for on_error in [OnError::Fail, OnError::Table] {
        let engine = engine(1);
        let live = Live::new(1);
        let plan = Plan::default().source_with(live.source(), Some(watermark(None))).tumble(10_000).view(1, by_key());
        let policy = JobPolicy { on_error, ..JobPolicy::default() };
        let job = engine.submit(JobRequest { policy, ..plan.job("windows") }).unwrap();
        let rows = batch([5_000, 6_000, 25_000]);
        let times = arrow::array::TimestampMicrosecondArray::from(vec![Some(5_000), None, Some(25_000)]);
        live.push(
            0,
            Next::Rows(RecordBatch::try_new(schema(), vec![Arc::clone(rows.column(0)), Arc::new(times)]).unwrap()),
        );
        block_on(engine.flush()).unwrap();
        let status = engine.job(job).unwrap();
        if on_error == OnError::Fail {
            assert_eq!(status.error.as_deref(), Some("null event time in column \"at\""));
            continue;
        }
        assert_eq!((status.state, status.metrics.bad_rows), (JobState::Running, 1));
        let entries = engine.rejects().entries(RejectKind::Bad);
        let [entry] = entries.as_slice() else { panic!("{} entries", entries.len()) };
        let RejectedContent::Rows(batch) = &entry.rejected.content else { panic!("a record") };
        assert!(batch.column(1).is_null(0) && keys_of(batch) == [6_000]);
    }
}

/// `100 / k > 0`, which cannot be computed of the key 0.
pub(super) fn divides() -> Step {
    let columns = DFSchema::try_from(schema().as_ref().clone()).unwrap();
    Step::Filter(Scalar::compile(&(lit(100_i64) / col("k")).gt(lit(0_i64)), &columns).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// A bad row and its retraction fail alike: what is left is as if the row had never been there.
    #[test]
    fn bad_rows_and_their_retractions_leave_nothing_behind(
        batches in prop::collection::vec(prop::collection::vec((0_i64..4, any::<bool>()), 1..20), 1..8),
        shards in 1_usize..3,
    ) {
        let mut simulation = simulation(shards, 7);
        let plan = Plan::default().view_source(1).step(divides()).count_by_key_of_changes().view(2, by_key()).updating();
        simulation.create_table(RelationId(1), "t", schema()).unwrap();
        let policy = JobPolicy { on_error: OnError::Skip, ..JobPolicy::default() };
        simulation.submit(&JobRequest { policy, ..plan.job("v") }).unwrap();
        let mut there = [0_i64; 4];
        let mut bad = 0;
        for rows in batches {
            // No row is taken back that is not there.
            let mut changes = Vec::new();
            for (key, retract) in rows {
                let count = &mut there[key as usize];
                let retract = retract && *count > 0;
                *count += if retract { -1 } else { 1 };
                bad += u64::from(key == 0 && !retract);
                changes.push((key, retract));
            }
            let retracts: BooleanBuffer = changes.iter().map(|change| change.1).collect();
            let delta = Delta::signed(batch(changes.iter().map(|change| change.0)), retracts);
            simulation.insert(RelationId(1), delta).unwrap();
            simulation.flush().unwrap();
            let expected: Vec<(i64, i64)> =
                (1_i64..).zip(&there[1..]).filter(|(_, count)| **count > 0).map(|(key, count)| (key, *count)).collect();
            prop_assert_eq!(counts(&simulation.snapshot(), 2), expected);
        }
        let jobs = simulation.jobs();
        let job = jobs.iter().find(|job| job.name == "v").unwrap();
        prop_assert_eq!((job.state, job.metrics.bad_rows), (JobState::Running, bad));
    }
}

#[test]
fn sources_are_not_read_while_there_is_no_memory() {
    let used = Arc::new(AtomicU64::new(11));
    let told = Arc::clone(&used);
    let memory = Arc::new(MemoryGuard::new(10, move || Some(told.load(Ordering::SeqCst))));
    let clock = Arc::new(VirtualClock::new(ProcessingTime(0)));
    let mut simulation = Simulation::new(EngineConfig { shards: 2, memory, ..EngineConfig::default() }, clock, 3);
    let plan = Plan::default().source(memory_source()).view(1, by_key());
    simulation.submit(&plan.job("held")).unwrap();
    simulation.run().unwrap();
    simulation.advance_us(1_000_000).unwrap();
    let job = &simulation.jobs()[0];
    assert_eq!((job.state, job.held_back, job.metrics.rows_in), (JobState::Running, true, 0));
    used.store(5, Ordering::SeqCst);
    simulation.advance_us(100_000).unwrap();
    let job = &simulation.jobs()[0];
    assert_eq!((job.state, job.held_back, job.metrics.rows_in), (JobState::Finished, false, 100));
}

fn memory_source() -> Arc<dyn Source> {
    super::harness::memory([(0, 60), (60, 100)])
}
