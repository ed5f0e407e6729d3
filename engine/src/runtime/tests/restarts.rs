//! What a checkpoint costs after a restart, and which calls of the store one makes after which nothing goes.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::checkpoints::{counting, simulation_with};
use super::harness::*;
use crate::error::Result;
use crate::ports::{MemoryStateStore, StateStore};
use crate::runtime::{JobId, Restore, Simulation};

const KEYS: i64 = 30_000;

fn deployed(store: &Arc<dyn StateStore>, live: &Live, shards: usize) -> (Simulation, JobId) {
    let mut simulation = simulation_with(store, shards);
    let job = simulation.deploy(&counting(live.source()), &Restore::Latest).unwrap().remove(0).unwrap().job;
    (simulation, job)
}

/// The bytes of the runs that the engine has written that was started as this one, from 1.
fn stored(store: &Arc<dyn StateStore>, start: i64) -> u64 {
    let (runs, own) = (store.list("runs/").unwrap(), format!("runs/{start:08}-"));
    let own = runs.iter().filter(|path| path.starts_with(&own));
    own.map(|path| store.get(path).unwrap().unwrap().len() as u64).sum()
}

/// The bytes of a checkpoint after rows.
fn checkpoint(simulation: &mut Simulation, job: JobId, live: &Live, keys: impl IntoIterator<Item = i64>) -> u64 {
    live.rows(0, keys);
    simulation.run().unwrap();
    simulation.checkpoint(job).unwrap();
    simulation.checkpoint_status(job).unwrap().written_bytes
}

#[test]
fn the_first_checkpoint_after_a_restart_is_small_too() {
    let store: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
    let live = Live::new(1);
    let (mut first, job) = deployed(&store, &live, 2);
    let full = checkpoint(&mut first, job, &live, 0..KEYS);
    drop(first);
    // Twice, so that what is loaded has changes too.
    for round in 0..3 {
        let (mut again, job) = deployed(&store, &live, 2);
        let changed = (0..KEYS).step_by(100).map(|key| (key + round * 37) % KEYS);
        checkpoint(&mut again, job, &live, changed);
        // The one that is made at once, too.
        let small = stored(&store, round + 2);
        assert!(small * 100 < full * 3, "round {round}: {small} of {full} bytes");
        // And the one after it, whose operators tell their changes themselves.
        let smaller = checkpoint(&mut again, job, &live, [round]);
        assert!(smaller * 100 < full, "round {round}: {smaller} of {full} bytes");
    }
    let (shown, job) = deployed(&store, &live, 2);
    assert_eq!(shown.checkpoint_status(job).unwrap().completed_count, 0);
    let counted: i64 = counts(&shown.snapshot(), 1).iter().map(|(_, count)| count).sum();
    assert_eq!(counted, KEYS + 3 * (KEYS / 100 + 1));
}

#[test]
fn with_another_number_of_shards_the_first_one_is_whole() {
    let store: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
    let live = Live::new(1);
    let (mut first, job) = deployed(&store, &live, 4);
    let full = checkpoint(&mut first, job, &live, 0..KEYS);
    drop(first);
    let (mut again, job) = deployed(&store, &live, 2);
    checkpoint(&mut again, job, &live, [0]);
    let whole = stored(&store, 2);
    assert!(whole * 2 > full, "{whole} of {full} bytes");
    let before = counts(&again.snapshot(), 1);
    drop(again);
    assert_eq!(counts(&deployed(&store, &live, 3).0.snapshot(), 1), before);
}

/// A store that notes what is asked of it besides writing.
struct Noting {
    inner: MemoryStateStore,
    asked: Mutex<Vec<String>>,
}

impl fmt::Debug for Noting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("noting")
    }
}

impl StateStore for Noting {
    fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.inner.put(path, bytes)
    }

    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<bool> {
        self.inner.put_if_absent(path, bytes)
    }

    fn get(&self, path: &str) -> Result<Option<Vec<u8>>> {
        self.asked.lock().push(format!("get {path}"));
        self.inner.get(path)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.asked.lock().push(format!("list {prefix}"));
        self.inner.list(prefix)
    }

    fn delete(&self, path: &str) -> Result<()> {
        self.inner.delete(path)
    }

    fn describe(&self) -> String {
        "noting".into()
    }
}

#[test]
fn a_checkpoint_asks_only_whether_the_store_is_still_its_own() {
    let noting = Arc::new(Noting { inner: MemoryStateStore::default(), asked: Mutex::default() });
    let store: Arc<dyn StateStore> = Arc::<Noting>::clone(&noting);
    let live = Live::new(1);
    let (mut simulation, job) = deployed(&store, &live, 2);
    checkpoint(&mut simulation, job, &live, 0..10);
    simulation.savepoint(job, "kept").unwrap();
    checkpoint(&mut simulation, job, &live, 0..10);
    noting.asked.lock().clear();
    for round in 0..10 {
        checkpoint(&mut simulation, job, &live, [round]);
    }
    let mut asked = std::mem::take(&mut *noting.asked.lock());
    asked.retain(|call| call != "list generations/");
    assert!(asked.is_empty(), "{asked:?}");
    assert!(store.list("manifests/").unwrap().len() <= 2, "old ones go all the same");
    assert!(store.list("savepoints/").unwrap().len() == 1 && !store.list("runs/").unwrap().is_empty());
}
