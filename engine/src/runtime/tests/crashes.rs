//! Jobs that are killed at any step of the simulation and go on from their last checkpoint, one of them alone too, while those
//! that it reads go on: what they show and what their sinks have made visible in the end is what an uninterrupted run gives.
//!
//! `MILLSTREAM_SEEDS` is how many seeds are tried of each of the three kinds; what fails names its seed, which `MILLSTREAM_SEED`
//! repeats alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::checkpoints::{Ledger, config, member};
use super::harness::*;
use super::rejects::{Mood, Picky, divides};
use super::unreliable::Unreliable;
use crate::error::EngineError;
use crate::message::Delta;
use crate::plan::{Partitioning, RelationId};
use crate::ports::{MemoryStateStore, StateStore, policy};
use crate::rejects::{OnError, RejectEntry, RejectKind};
use crate::runtime::{
    EngineConfig, JobPolicy, JobRequest, JobState, JobStatus, Member, MemberKind, Restore, Simulation,
};
use crate::time::{ProcessingTime, VirtualClock};

/// How much happens in a seed.
#[derive(Clone, Copy)]
struct Extent {
    /// Rows of the source: of each of 50 keys as many.
    rows: i64,
    crashes: u32,
    /// Steps until a crash, and calls of the store, are fewer than these.
    steps: u64,
    calls: u64,
}

impl Extent {
    /// Most seeds are small, so that there can be many; every sixteenth goes far.
    fn of(seed: u64) -> Self {
        match seed.is_multiple_of(16) {
            true => Self { rows: 400, crashes: 6, steps: 3_000, calls: 120 },
            false => Self { rows: 100, crashes: 4, steps: 700, calls: 60 },
        }
    }
}

/// The outside world: what outlives a crash.
struct World {
    extent: Extent,
    store: Arc<Unreliable>,
    ledger: Ledger,
    /// What the job writes that goes and comes.
    beside: Ledger,
    seed: u64,
    /// The log of inserts into the table.
    inserts: Vec<i64>,
}

impl World {
    fn new(seed: u64, failures: u64) -> Self {
        let store: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
        let store = Arc::new(Unreliable::new(store, seed, failures));
        let (ledger, beside) = (Ledger::default(), Ledger::default());
        Self { extent: Extent::of(seed), store, ledger, beside, seed, inserts: Vec::new() }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % below
    }

    fn members(&self) -> Vec<Member> {
        let table = MemberKind::Table { relation: RelationId(9), name: "t".into(), schema: schema() };
        let numbers = || numbers(self.extent.rows);
        vec![
            member(
                "counts",
                Plan::default().source(numbers()).count_by_key().view(1, Partitioning::Forward).updating(),
            ),
            Member { uid: Some("t".into()), job: None, kind: table },
            // A view over a view, and over the table.
            member("copy", Plan::default().view_source(1).updating().view(2, Partitioning::Forward).updating()),
            member("of_t", Plan::default().view_source(9).count_by_key().view(3, Partitioning::Forward).updating()),
            self.rejecting(),
            member("out", Plan::default().source(numbers()).sink(Arc::new(self.ledger.clone()), Partitioning::Forward)),
            self.beside(),
        ]
    }

    /// A job over a source, a view that changes and a table: it cannot be made anew without writing twice.
    fn beside(&self) -> Member {
        let sink = Arc::new(self.beside.clone());
        let plan = Plan::default().source(numbers(self.extent.rows)).sink(sink, Partitioning::Forward);
        let plan = plan.view_source(1).updating().view(5, Partitioning::Forward).updating();
        member("beside", plan.view_source(9).count_by_key().view(6, Partitioning::Forward).updating())
    }

    /// Stops that job as it is, or starts it again, alone.
    fn stop_or_start(&self, simulation: &mut Simulation) {
        let jobs = simulation.jobs();
        match jobs.iter().find(|job| job.name == "beside" && job.state == JobState::Running) {
            Some(job) => simulation.cancel(job.id).unwrap(),
            // Where the store does not answer, another time.
            None => drop(simulation.deploy(&[self.beside()], &Restore::Latest)),
        }
    }

    /// A job whose operator rejects the key 0, and whose sink, behind an exchange, the other multiples of ten.
    fn rejecting(&self) -> Member {
        let sink = policy::sink_with(Arc::new(Picky::new(Mood::Refuses)), OnError::Table);
        let plan = Plan::default().source(numbers(self.extent.rows)).step(divides()).sink(sink, by_key());
        let policy = JobPolicy { on_error: OnError::Table, ..JobPolicy::default() };
        let kind = MemberKind::Job(JobRequest { policy, ..plan.job("rejecting") });
        Member { uid: Some("rejecting".into()), job: None, kind }
    }

    /// Starts, goes some steps, and stops without a word; `None`: to the end.
    fn run(&mut self, shards: usize, steps: Option<u64>) -> Option<Outcome> {
        let clock = Arc::new(VirtualClock::new(ProcessingTime(0)));
        let config = EngineConfig {
            shards,
            epoch_interval_ms: 1,
            batch_rows: 7,
            checkpoints: Some(config(&(Arc::clone(&self.store) as Arc<dyn StateStore>))),
            ..EngineConfig::default()
        };
        let seed = self.random(1 << 30);
        let mut simulation = Simulation::new(config, Arc::clone(&clock), seed);
        let deployed = match simulation.deploy(&self.members(), &Restore::Latest) {
            Ok(deployed) => deployed,
            // The store did not answer: the server tries again.
            Err(_) => return None,
        };
        if deployed.iter().any(|deployed| matches!(deployed, Err(EngineError::Io { .. }))) {
            return None;
        }
        let deployed: Vec<_> = deployed.into_iter().map(|deployed| deployed.unwrap()).collect();
        let seen = usize::try_from(deployed[1].inserted).unwrap();
        for (number, key) in self.inserts.clone().iter().enumerate().skip(seen) {
            let rows = Delta::append(batch([*key]));
            simulation.insert_numbered(RelationId(9), rows, number as u64 + 1).unwrap();
        }
        for _ in 0..steps.unwrap_or(0) {
            simulation.step();
            match self.random(40) {
                0 => clock.advance_us(500),
                1 => {
                    let key = i64::try_from(self.random(5)).unwrap();
                    self.inserts.push(key);
                    let number = self.inserts.len() as u64;
                    simulation.insert_numbered(RelationId(9), Delta::append(batch([key])), number).unwrap();
                }
                2 => self.stop_or_start(&mut simulation),
                _ => {}
            }
        }
        if steps.is_some() {
            return None;
        }
        let finished = |simulation: &Simulation| {
            let jobs = simulation.jobs();
            let endless = ["of_t", "beside"];
            let over = |job: &JobStatus| job.state == JobState::Finished || endless.contains(&job.name.as_str());
            // What an endless job writes becomes visible with its next checkpoint.
            jobs.iter().all(over) && self.beside.visible().len() as i64 >= self.extent.rows
        };
        for _ in 0..10_000 {
            if finished(&simulation) {
                break;
            }
            simulation.advance_us(600).unwrap();
        }
        assert!(finished(&simulation), "{:?}", simulation.jobs());
        let rows = |entry: &RejectEntry| entry.rejected.content.rows() as i64;
        let rejected =
            [RejectKind::Bad, RejectKind::Sink].map(|of| simulation.rejects().entries(of).iter().map(rows).sum());
        let snapshot = simulation.snapshot();
        Some(Outcome {
            rejected,
            counts: counts(&snapshot, 1),
            copy: counts(&snapshot, 2),
            table: counts(&snapshot, 3),
            beside: [counts(&snapshot, 5), counts(&snapshot, 6)],
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    counts: Vec<(i64, i64)>,
    copy: Vec<(i64, i64)>,
    table: Vec<(i64, i64)>,
    /// The same, by the job that goes and comes.
    beside: [Vec<(i64, i64)>; 2],
    /// Bad rows, and those that the sink refused.
    rejected: [i64; 2],
}

/// The keys 0 to 49, each as often, in two splits.
fn numbers(rows: i64) -> Arc<dyn crate::ports::Source> {
    let split = |start: i64| (start..start + rows / 2).step_by(10).map(|at| batch((at..at + 10).map(|n| n % 50)));
    Arc::new(crate::ports::MemorySource::new(schema(), vec![split(0).collect(), split(rows / 2).collect()]))
}

/// Names the seed where a test fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}

/// Crashes and goes on, again and again; gives the trace of all calls of the store.
fn crash(seed: u64, failures: u64, shards: &[usize]) -> u64 {
    let _seed = Seed(seed);
    let mut world = World::new(seed, failures);
    let Extent { rows, crashes, steps, calls } = world.extent;
    for _ in 0..crashes {
        let steps = world.random(steps);
        let shards = shards[usize::try_from(world.random(shards.len() as u64)).unwrap()];
        // Every other crash is in the middle of a call of the store: the rest of the process does not know yet.
        let calls = world.random(calls);
        world.store.dies_after(calls.is_multiple_of(2).then_some(calls / 2));
        world.run(shards, Some(steps));
        world.store.dies_after(None);
    }
    let outcome = std::iter::repeat_with(|| world.run(shards[0], None)).take(200).find_map(|outcome| outcome);
    let expected: Vec<(i64, i64)> = (0..50).map(|key| (key, rows / 50)).collect();
    let mut table: BTreeMap<i64, i64> = BTreeMap::new();
    world.inserts.iter().for_each(|key| *table.entry(*key).or_default() += 1);
    let outcome = outcome.unwrap();
    assert_eq!(outcome.counts, expected);
    assert_eq!(outcome.copy, expected);
    assert_eq!(outcome.rejected, [rows / 50, rows / 50 * 4]);
    let table = table.into_iter().collect::<Vec<_>>();
    assert_eq!(outcome.table, table);
    assert_eq!(outcome.beside, [expected.clone(), table]);
    for ledger in [&world.ledger, &world.beside] {
        let mut written: BTreeMap<i64, i64> = BTreeMap::new();
        ledger.visible().into_iter().for_each(|key| *written.entry(key).or_default() += 1);
        assert_eq!(written.into_iter().collect::<Vec<_>>(), expected);
        let left: BTreeSet<i64> = ledger.hidden();
        assert!(left.is_empty(), "{left:?} is left over");
    }
    world.store.trace()
}

/// Tries so many seeds of a kind from `first` on, `MILLSTREAM_SEEDS` or a few, on two threads: each of them has seeds of its own.
fn try_seeds(first: u64, failures: u64, shards: &[usize]) {
    let seeds = std::env::var("MILLSTREAM_SEEDS").map_or(24, |seeds| seeds.parse().unwrap());
    if let Ok(seed) = std::env::var("MILLSTREAM_SEED") {
        let seed: u64 = seed.parse().unwrap();
        if (first..first + 100_000).contains(&seed) {
            crash(seed, failures, shards);
        }
        return;
    }
    let next = AtomicU64::new(0);
    let try_some = || {
        while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < seeds) {
            assert_ne!(crash(first + seed, failures, shards), 0);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(try_some);
        try_some();
    });
}

#[test]
fn a_crash_at_any_step_loses_and_doubles_nothing() {
    try_seeds(0, 0, &[2]);
}

#[test]
fn nor_does_one_with_another_number_of_shards() {
    try_seeds(100_000, 0, &[1, 2, 4, 3]);
}

#[test]
fn nor_does_one_with_a_store_that_fails_loses_tears_and_delays() {
    try_seeds(200_000, 9, &[2, 3]);
}

#[test]
fn a_seed_tells_everything() {
    for seed in [7, 16, 300_007] {
        assert_eq!(crash(seed, 9, &[2, 3]), crash(seed, 9, &[2, 3]), "seed {seed}");
    }
}
