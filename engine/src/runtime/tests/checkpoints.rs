//! Checkpoints of jobs: when they are made, what is kept of them, what goes on from them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use parking_lot::Mutex;

use super::harness::*;
use crate::error::Result;
use crate::message::{Delta, Epoch};
use crate::plan::Partitioning;
use crate::ports::{
    Accepts, CommitToken, Guarantee, MemoryStateStore, Sink, SinkContext, SinkRecovery, SinkWriter, StateStore,
};
use crate::runtime::{CheckpointConfig, EngineConfig, Member, MemberKind, Restore, Simulation};
use crate::time::{ProcessingTime, VirtualClock};

pub(super) fn config(store: &Arc<dyn StateStore>) -> CheckpointConfig {
    CheckpointConfig {
        interval_ms: 2,
        timeout_ms: 1_000,
        min_pause_ms: 1,
        retained: 2,
        ..CheckpointConfig::new(Arc::clone(store))
    }
}

pub(super) fn member(uid: &str, plan: Plan) -> Member {
    Member { uid: Some(uid.into()), job: None, kind: MemberKind::Job(plan.job(uid)) }
}

pub(super) fn simulation_with(store: &Arc<dyn StateStore>, shards: usize) -> Simulation {
    let clock = Arc::new(VirtualClock::new(ProcessingTime(0)));
    let checkpoints = Some(config(store));
    let config = EngineConfig { shards, epoch_interval_ms: 1, batch_rows: 7, checkpoints, ..EngineConfig::default() };
    Simulation::new(config, clock, 5)
}

/// A sink outside the process: rows are hidden until they are committed.
#[derive(Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<Pages>>);

#[derive(Default)]
struct Pages {
    /// Hidden rows by number of the transaction.
    hidden: BTreeMap<u64, Vec<i64>>,
    visible: Vec<i64>,
    last: u64,
}

impl Ledger {
    pub(super) fn visible(&self) -> Vec<i64> {
        self.0.lock().visible.clone()
    }

    pub(super) fn hidden(&self) -> BTreeSet<i64> {
        self.0.lock().hidden.values().flatten().copied().collect()
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ledger")
    }
}

impl Sink for Ledger {
    fn accepts(&self) -> Accepts {
        Accepts::Append
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    fn recover(&self, recovery: &SinkRecovery<'_>) -> Result<()> {
        self.0.lock().hidden.retain(|page, _| recovery.kept.contains(&CommitToken(page.to_string())));
        Ok(())
    }

    fn writer(&self, _context: SinkContext) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(LedgerWriter { ledger: self.clone(), rows: Vec::new() }))
    }

    fn describe(&self) -> String {
        "ledger".into()
    }
}

struct LedgerWriter {
    ledger: Ledger,
    rows: Vec<i64>,
}

impl SinkWriter for LedgerWriter {
    fn write(&mut self, delta: &Delta) -> Result<()> {
        self.rows.extend(delta.batch.column(0).as_primitive::<Int64Type>().values());
        Ok(())
    }

    fn prepare(&mut self, _epoch: Epoch) -> Result<Option<CommitToken>> {
        if self.rows.is_empty() {
            return Ok(None);
        }
        let mut pages = self.ledger.0.lock();
        pages.last += 1;
        let page = pages.last;
        pages.hidden.insert(page, std::mem::take(&mut self.rows));
        Ok(Some(CommitToken(page.to_string())))
    }

    fn commit(&mut self, token: &CommitToken) -> Result<()> {
        let mut pages = self.ledger.0.lock();
        if let Some(rows) = pages.hidden.remove(&token.0.parse().unwrap()) {
            pages.visible.extend(rows);
        }
        Ok(())
    }

    fn on_end(&mut self) {}
}

pub(super) fn counting(source: Arc<dyn crate::ports::Source>) -> Vec<Member> {
    vec![member("counts", Plan::default().source(source).count_by_key().view(1, Partitioning::Forward).updating())]
}

#[test]
fn a_view_goes_on_with_the_rows_of_its_checkpoint() {
    let store: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
    let live = Live::new(2);
    let mut first = simulation_with(&store, 2);
    let deployed = first.deploy(&counting(live.source()), &Restore::Latest).unwrap().remove(0).unwrap();
    assert_eq!((deployed.restored, deployed.inserted), (None, 0));
    live.rows(0, 0..10);
    live.rows(1, 5..15);
    first.run().unwrap();
    first.checkpoint(deployed.job).unwrap();
    let before = counts(&first.snapshot(), 1);
    let status = first.checkpoint_status(deployed.job).unwrap();
    assert!(status.completed.is_some() && status.written_bytes > 0 && status.failed_count == 0, "{status:?}");
    drop(first);
    for shards in [1, 2, 4] {
        let mut again = simulation_with(&store, shards);
        let deployed = again.deploy(&counting(live.source()), &Restore::Latest).unwrap().remove(0).unwrap();
        assert!(deployed.restored.is_some());
        // Readers see the rows before anything has run.
        assert_eq!(counts(&again.snapshot(), 1), before);
        live.rows(0, [0, 0, 99]);
        again.run().unwrap();
        again.advance_us(1_000).unwrap();
        let after = counts(&again.snapshot(), 1);
        assert_eq!(after.first(), Some(&(0, 3)), "{shards} shards: {after:?}");
        assert_eq!(after.len(), 16);
    }
}

#[test]
fn checkpoints_come_at_the_interval_and_old_ones_go() {
    let store: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
    let live = Live::new(1);
    let mut simulation = simulation_with(&store, 1);
    let job = simulation.deploy(&counting(live.source()), &Restore::Latest).unwrap().remove(0).unwrap().job;
    simulation.run().unwrap();
    assert_eq!(simulation.checkpoint_status(job).unwrap().completed_count, 1);
    for round in 2..9 {
        live.rows(0, 0..10);
        simulation.advance_us(2_000).unwrap();
        assert_eq!(simulation.checkpoint_status(job).unwrap().completed_count, round);
        assert_eq!(store.list("manifests/").unwrap().len(), 2);
        assert!((1..=3).contains(&store.list("runs/").unwrap().len()), "{:?}", store.list("runs/"));
    }
    // Nothing has moved.
    simulation.advance_us(20_000).unwrap();
    assert_eq!(simulation.checkpoint_status(job).unwrap().completed_count, 8);
}

#[test]
fn a_damaged_checkpoint_is_passed_over() {
    for damage in ["runs/", "manifests/"] {
        let store: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
        let live = Live::new(1);
        let mut simulation = simulation_with(&store, 1);
        let job = simulation.deploy(&counting(live.source()), &Restore::Latest).unwrap().remove(0).unwrap().job;
        live.rows(0, 0..5);
        simulation.run().unwrap();
        simulation.checkpoint(job).unwrap();
        live.rows(0, 0..7);
        simulation.run().unwrap();
        simulation.checkpoint(job).unwrap();
        drop(simulation);
        let newest = store.list(damage).unwrap().pop().unwrap();
        let mut bytes = store.get(&newest).unwrap().unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        store.put(&newest, &bytes).unwrap();
        let mut again = simulation_with(&store, 1);
        again.deploy(&counting(live.source()), &Restore::Latest).unwrap().remove(0).unwrap();
        assert_eq!(counts(&again.snapshot(), 1).len(), 5, "{damage}");
        // The other one is lost too: now it is an error, which names the file.
        if damage == "runs/" {
            let oldest = store.list(damage).unwrap().remove(0);
            store.put(&oldest, b"MSRUN001").unwrap();
            let error = simulation_with(&store, 1).deploy(&counting(live.source()), &Restore::Latest).unwrap_err();
            assert!(error.to_string().contains(&oldest), "{error}");
        }
    }
}

#[test]
fn an_engine_that_was_shut_out_writes_no_more() {
    let store: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
    let live = Live::new(1);
    let mut first = simulation_with(&store, 1);
    let job = first.deploy(&counting(live.source()), &Restore::Latest).unwrap().remove(0).unwrap().job;
    first.run().unwrap();
    let mut second = simulation_with(&store, 1);
    second.deploy(&counting(live.source()), &Restore::Latest).unwrap().remove(0).unwrap();
    live.rows(0, 0..5);
    first.advance_us(5_000).unwrap();
    let status = first.checkpoint_status(job).unwrap();
    assert!(status.error.unwrap().contains("another server"));
    // Nor does it start a job, whose sinks would take over from those of the other one.
    let error = first.deploy(&counting(live.source()), &Restore::Latest).unwrap_err();
    assert!(error.to_string().contains("another server"), "{error}");
}

#[test]
fn a_savepoint_outlives_the_checkpoints_after_it() {
    let store: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
    let live = Live::new(1);
    let mut simulation = simulation_with(&store, 2);
    let job = simulation.deploy(&counting(live.source()), &Restore::Latest).unwrap().remove(0).unwrap().job;
    live.rows(0, 0..5);
    simulation.run().unwrap();
    simulation.savepoint(job, "before").unwrap();
    assert!(simulation.savepoint(job, "before").is_err());
    assert!(simulation.savepoint(job, "../x").is_err());
    for _ in 0..5 {
        live.rows(0, 10..20);
        simulation.advance_us(2_000).unwrap();
    }
    drop(simulation);
    for shards in [1, 4] {
        let mut again = simulation_with(&store, shards);
        let restore = Restore::Savepoint("before".into());
        again.deploy(&counting(live.source()), &restore).unwrap().remove(0).unwrap();
        assert_eq!(counts(&again.snapshot(), 1), (0..5).map(|key| (key, 1)).collect::<Vec<_>>());
        let missing = Restore::Savepoint("after".into());
        assert!(simulation_with(&store, 1).deploy(&counting(live.source()), &missing).is_err());
    }
}
