//! Checkpoints that hold only what has changed, and what becomes of them when others fail, are lost or come too late.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::checkpoints::{counting, simulation_with};
use super::harness::*;
use super::unreliable::Unreliable;
use crate::checkpoint::archive::Archive;
use crate::checkpoint::chain::State;
use crate::checkpoint::format_manifest::{JobRecord, Manifest};
use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};
use crate::ports::{MemoryStateStore, StateStore};
use crate::runtime::{JobId, Restore, Simulation};

/// A job that counts keys, after a checkpoint of so many.
fn counted(store: &Arc<dyn StateStore>, live: &Live, keys: i64) -> (Simulation, JobId) {
    let mut simulation = simulation_with(store, 2);
    let job = simulation.deploy(&counting(live.source()), &Restore::Latest).unwrap().remove(0).unwrap().job;
    live.rows(0, 0..keys);
    simulation.run().unwrap();
    simulation.checkpoint(job).unwrap();
    (simulation, job)
}

fn written(simulation: &Simulation, job: JobId) -> u64 {
    simulation.checkpoint_status(job).unwrap().written_bytes
}

/// What a new engine shows of the store.
fn recovered(store: &Arc<dyn StateStore>, live: &Live, shards: usize) -> Vec<(i64, i64)> {
    let mut again = simulation_with(store, shards);
    assert!(again.deploy(&counting(live.source()), &Restore::Latest).unwrap().remove(0).is_ok());
    counts(&again.snapshot(), 1)
}

#[test]
fn a_checkpoint_writes_what_has_changed() {
    const KEYS: i64 = 30_000;
    let store: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
    let live = Live::new(1);
    let (mut simulation, job) = counted(&store, &live, KEYS);
    let full = written(&simulation, job);
    for round in 0..3 {
        live.rows(0, (0..KEYS).step_by(100).map(|key| (key + round * 37) % KEYS));
        simulation.run().unwrap();
        simulation.checkpoint(job).unwrap();
        let changed = written(&simulation, job);
        assert!(changed * 100 < full * 3, "{changed} of {full} bytes");
    }
    // One per shard and checkpoint; nothing has been compacted.
    assert_eq!(store.list("runs/").unwrap().len(), 2 * 4);
    let shown = counts(&simulation.snapshot(), 1);
    drop(simulation);
    for shards in [2, 1, 4] {
        assert_eq!(recovered(&store, &live, shards), shown, "{shards} shards");
    }
}

#[test]
fn long_chains_are_compacted() {
    let store: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
    let live = Live::new(1);
    let (mut simulation, job) = counted(&store, &live, 4_000);
    let full = written(&simulation, job);
    let mut most = 0;
    let mut bases = 0;
    for round in 0..120 {
        live.rows(0, (0..4_000).step_by(100).map(|key| key + round));
        simulation.run().unwrap();
        simulation.checkpoint(job).unwrap();
        bases += u64::from(written(&simulation, job) > full / 2);
        most = most.max(store.list("runs/").unwrap().len());
    }
    assert!((2..=12).contains(&bases), "{bases} of 120 checkpoints are whole");
    // Two checkpoints are kept; the older one has a long chain, when the newer one is whole.
    assert!(most <= 2 * 35, "{most} runs");
    assert_eq!(recovered(&store, &live, 2), counts(&simulation.snapshot(), 1));
}

#[test]
fn what_a_failed_checkpoint_held_is_in_the_next_one() {
    for seed in 0..30 {
        let inner: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
        let store: Arc<dyn StateStore> = Arc::new(Unreliable::new(Arc::clone(&inner), seed, 4));
        let live = Live::new(1);
        let mut simulation = simulation_with(&store, 2);
        let deployed = (0..100).find_map(|_| simulation.deploy(&counting(live.source()), &Restore::Latest).ok());
        let job = deployed.unwrap().remove(0).unwrap().job;
        let mut failed = 0;
        for round in 0..20 {
            live.rows(0, (0..200).step_by(7).map(|key| key + round));
            simulation.advance_us(2_000).unwrap();
            failed = simulation.checkpoint_status(job).unwrap().failed_count;
        }
        let completed = |simulation: &Simulation| simulation.checkpoint_status(job).unwrap().completed_count;
        let before = completed(&simulation);
        for round in 0..100 {
            live.rows(0, [round]);
            simulation.advance_us(2_000).unwrap();
            if completed(&simulation) > before {
                break;
            }
        }
        let shown = counts(&simulation.snapshot(), 1);
        drop(simulation);
        assert!(failed > 0, "seed {seed}");
        assert_eq!(recovered(&inner, &live, 2), shown, "seed {seed}, {failed} failed");
    }
}

#[test]
fn a_base_that_is_lost_takes_its_changes_with_it() {
    let store: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
    let live = Live::new(1);
    let (mut simulation, job) = counted(&store, &live, 2_000);
    live.rows(0, 0..10);
    simulation.run().unwrap();
    simulation.checkpoint(job).unwrap();
    drop(simulation);
    let base = store.list("runs/").unwrap().remove(0);
    store.delete(&base).unwrap();
    let error = simulation_with(&store, 2).deploy(&counting(live.source()), &Restore::Latest).unwrap_err();
    assert!(error.to_string().contains(&base), "{error}");
}

/// A store in which something happens when a manifest is on its way.
struct Hooked {
    inner: Arc<dyn StateStore>,
    before: Box<dyn Fn() -> Result<()> + Send + Sync>,
    after: Box<dyn Fn() -> Result<()> + Send + Sync>,
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hooked")
    }
}

impl StateStore for Hooked {
    fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.inner.put(path, bytes)
    }

    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<bool> {
        if !path.starts_with("manifests/") {
            return self.inner.put_if_absent(path, bytes);
        }
        (self.before)()?;
        let put = self.inner.put_if_absent(path, bytes)?;
        (self.after)()?;
        Ok(put)
    }

    fn get(&self, path: &str) -> Result<Option<Vec<u8>>> {
        self.inner.get(path)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.inner.list(prefix)
    }

    fn delete(&self, path: &str) -> Result<()> {
        self.inner.delete(path)
    }

    fn describe(&self) -> String {
        "hooked".into()
    }
}

#[test]
fn a_manifest_that_comes_after_the_claim_of_another_counts_for_nobody() {
    for before in [true, false] {
        let inner: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
        // Another engine opens the store; it finds this epoch.
        let other = Arc::new(Mutex::new(None));
        let open = |wanted: bool| -> Box<dyn Fn() -> Result<()> + Send + Sync> {
            let (inner, other) = (Arc::clone(&inner), Arc::clone(&other));
            Box::new(move || {
                if wanted && other.lock().is_none() {
                    *other.lock() = Some(Archive::open(Arc::clone(&inner), None)?.last_epoch());
                }
                Ok(())
            })
        };
        let (inner_of, hooks) = (Arc::clone(&inner), (open(before), open(!before)));
        let store: Arc<dyn StateStore> = Arc::new(Hooked { inner: inner_of, before: hooks.0, after: hooks.1 });
        let live = Live::new(1);
        let mut first = simulation_with(&store, 1);
        let job = first.deploy(&counting(live.source()), &Restore::Latest).unwrap().remove(0).unwrap().job;
        live.rows(0, 0..5);
        first.advance_us(5_000).unwrap();
        // The writer commits nothing: it does not know what the other found.
        let status = first.checkpoint_status(job).unwrap();
        assert_eq!(status.completed, None);
        assert!(status.error.unwrap().contains("another server"));
        let found = other.lock().unwrap();
        assert_eq!(found == 0, before, "the other found epoch {found}");
        drop(first);
        // A third one agrees with the second.
        let third = Archive::open(Arc::clone(&inner), None).unwrap();
        assert_eq!(third.last_epoch(), found);
        assert_eq!(inner.list("manifests/").unwrap().len(), usize::from(!before));
    }
}

#[test]
fn the_runs_of_a_manifest_that_may_be_there_stay() {
    let inner: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
    let fails = Arc::new(AtomicBool::new(true));
    let failing = Arc::clone(&fails);
    let after = move || match failing.load(Ordering::SeqCst) {
        true => Err(EngineError::io("the store", "no answer")),
        false => Ok(()),
    };
    let store = Hooked { inner: Arc::clone(&inner), before: Box::new(|| Ok(())), after: Box::new(after) };
    let archive = Archive::open(Arc::new(store), None).unwrap();
    let save = |uid: &str, epoch: u64, value: i64| {
        let mut manifest = Manifest::new(1, epoch, 0, 1);
        let (name, plan) = (String::new(), String::new());
        manifest.jobs.push(JobRecord { uid: uid.into(), name, plan, inserted: 0, base_epoch: 0, nodes: Vec::new() });
        let table = Table::whole("rows", batch([value]));
        archive.save(manifest, vec![State { job: uid.into(), operator: "o".into(), shard: 0, tables: vec![table] }])
    };
    let live = ["a", "b"].map(str::to_owned).into();
    assert!(save("b", 1, 1).is_err());
    fails.store(false, Ordering::SeqCst);
    save("a", 2, 2).unwrap();
    archive.clean(&live, 1).unwrap();
    let recovered = || Archive::open(Arc::clone(&inner), None).unwrap().recover(&["b".to_owned()]).unwrap().remove("b");
    assert_eq!(recovered().unwrap().epoch, 1);
    // The first opening is shut out by now, and this one begins with what is there.
    assert!(save("b", 3, 3).unwrap_err().to_string().contains("another server"));
    assert_eq!(inner.list("runs/").unwrap().len(), 3);
}

#[test]
fn who_was_shut_out_deletes_nothing_of_the_other() {
    let store: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
    let live = Live::new(1);
    let (mut first, _) = counted(&store, &live, 100);
    store.put("runs/00000007-000000000001-0000.run", b"of another").unwrap();
    for _ in 0..5 {
        live.rows(0, 0..100);
        first.advance_us(3_000).unwrap();
    }
    assert!(store.get("runs/00000007-000000000001-0000.run").unwrap().is_some());
}
