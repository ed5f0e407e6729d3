//! State that earlier releases have written still loads, over any number of shards.
//!
//! A fixture that is not there yet is written where `UPDATE_EXPECT` is set; none is ever written anew.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoints::{counting, member, simulation_with};
use super::harness::*;
use super::rejects::divides;
use crate::plan::Partitioning;
use crate::ports::{MemoryStateStore, StateStore};
use crate::rejects::format_rejected::{from_bytes, to_bytes};
use crate::rejects::{OnError, RejectEntry, RejectKind, RejectOrigin, Rejected, RejectedContent};
use crate::runtime::{JobPolicy, JobRequest, Member, MemberKind, Restore, Simulation};
use crate::time::ProcessingTime;

fn place(fixture: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(fixture)
}

/// The files of a fixture as a store.
fn fixture(name: &str) -> Arc<dyn StateStore> {
    fn add(store: &MemoryStateStore, root: &Path, directory: &Path) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                add(store, root, &path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                store.put(&name, &std::fs::read(&path).unwrap()).unwrap();
            }
        }
    }
    let store = MemoryStateStore::default();
    add(&store, &place(name), &place(name));
    Arc::new(store)
}

fn write(name: &str, store: &dyn StateStore, paths: impl IntoIterator<Item = String>) {
    for path in paths {
        let file = place(name).join(&path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, store.get(&path).unwrap().unwrap()).unwrap();
    }
}

/// A view of counts, and one that copies it.
fn members(live: &Live) -> Vec<Member> {
    let copy = Plan::default().view_source(1).updating().view(2, Partitioning::Forward).updating();
    let mut members = counting(live.source());
    members.push(member("copy", copy));
    members
}

/// Starts from a savepoint on so many shards, and sees to it that what follows adds to it.
fn continues(restore: &Restore, store: &Arc<dyn StateStore>, shards: usize, expected: &[(i64, i64)]) {
    let live = Live::new(2);
    let mut simulation = simulation_with(store, shards);
    let deployed = simulation.deploy(&members(&live), restore).unwrap();
    assert!(deployed.into_iter().all(|deployed| deployed.unwrap().restored.is_some()));
    let shown = |simulation: &Simulation, view| counts(&simulation.snapshot(), view);
    assert_eq!(shown(&simulation, 1), expected, "{shards} shards");
    assert_eq!(shown(&simulation, 2), expected, "{shards} shards");
    live.rows(0, [0, 1]);
    simulation.run().unwrap();
    simulation.advance_us(1_000).unwrap();
    let more: Vec<(i64, i64)> = expected.iter().map(|&(key, n)| (key, n + i64::from(key < 2))).collect();
    assert_eq!(shown(&simulation, 1), more, "{shards} shards");
    assert_eq!(shown(&simulation, 2), more, "{shards} shards");
}

#[test]
fn a_store_of_form_1_loads() {
    // Each key once, and every third once more.
    let expected: Vec<(i64, i64)> = (0..30).map(|key| (key, 1 + i64::from(key % 3 == 0))).collect();
    for shards in [2, 1, 4] {
        continues(&Restore::Savepoint("kept".into()), &fixture("store-v1"), shards, &expected);
    }
}

#[test]
fn a_store_and_a_savepoint_of_form_2_load() {
    if !place("store-v2").exists() && std::env::var_os("UPDATE_EXPECT").is_some() {
        write_form_2();
    }
    let expected: Vec<(i64, i64)> = (0..300).map(|key| (key, 1 + i64::from(key % 100 == 0))).collect();
    for shards in [2, 1, 4] {
        continues(&Restore::Savepoint("kept".into()), &fixture("store-v2"), shards, &expected);
        let empty: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
        continues(&Restore::From(fixture("savepoint-v2")), &empty, shards, &expected);
    }
}

/// A view of the rows that an expression can be computed of; what it rejects is kept.
fn rejecting(live: &Live) -> Vec<Member> {
    let plan = Plan::default().source(live.source()).step(divides()).view(1, Partitioning::Forward);
    let policy = JobPolicy { on_error: OnError::Table, ..JobPolicy::default() };
    let kind = MemberKind::Job(JobRequest { policy, ..plan.job("rejecting") });
    vec![Member { uid: Some("rejecting".into()), job: None, kind }]
}

#[test]
fn rejected_rows_of_form_1_are_there_again() {
    if !place("rejected-v1").exists() && std::env::var_os("UPDATE_EXPECT").is_some() {
        let (exported, live) = (MemoryStateStore::default(), Live::new(1));
        let mut simulation = simulation_with(&(Arc::new(MemoryStateStore::default()) as Arc<dyn StateStore>), 2);
        let job = simulation.deploy(&rejecting(&live), &Restore::Latest).unwrap().remove(0).unwrap().job;
        live.rows(0, [0, 1, 0, 2]);
        simulation.run().unwrap();
        simulation.savepoint_to(job, &exported).unwrap();
        write("rejected-v1", &exported, exported.list("").unwrap());
    }
    for shards in [2, 1, 3] {
        let mut simulation = simulation_with(&(Arc::new(MemoryStateStore::default()) as Arc<dyn StateStore>), shards);
        let (live, restore) = (Live::new(1), Restore::From(fixture("rejected-v1")));
        simulation.deploy(&rejecting(&live), &restore).unwrap().remove(0).unwrap();
        let rejected = |simulation: &Simulation| {
            let entries = simulation.rejects().entries(RejectKind::Bad);
            assert!(entries.iter().all(|entry| &*entry.name == "rejecting" && &*entry.operator == "Stateless"));
            assert!(entries.iter().all(|entry| entry.rejected.reason.contains("ivide by zero")), "{entries:?}");
            entries.len()
        };
        assert_eq!((rejected(&simulation), keys(&simulation.snapshot(), 1)), (2, vec![1, 2]));
        live.rows(0, [0]);
        simulation.run().unwrap();
        assert_eq!(rejected(&simulation), 3);
    }
}

#[test]
fn rejected_rows_of_statements_of_form_1_are_read() {
    let file = place("rejected-statements-v1");
    let entry = |kind, content, place: Option<&str>| RejectEntry {
        number: 0,
        job: None,
        name: "insert into kept".into(),
        relation: Some("orders".into()),
        operator: "Sink".into(),
        at: ProcessingTime(7),
        rejected: Rejected { kind, content, reason: "why".into(), place: place.map(str::to_owned) },
        origin: RejectOrigin::default(),
    };
    let record = RejectedContent::Record("no json".into());
    let written = [
        entry(RejectKind::Bad, record, Some("a.json:2")),
        entry(RejectKind::Sink, RejectedContent::Rows(batch([3, 4])), None),
    ];
    if !file.exists() && std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&file, to_bytes(&written.clone().map(Arc::new)).unwrap()).unwrap();
    }
    let bytes = std::fs::read(&file).unwrap();
    let read = from_bytes(&bytes).unwrap();
    assert_eq!(read.len(), 2);
    for (read, written) in read.iter().zip(&written) {
        assert_eq!(format!("{:?}", read.rejected), format!("{:?}", written.rejected));
        assert_eq!((&read.name, &read.relation, &read.operator), (&written.name, &written.relation, &written.operator));
        assert_eq!((read.job, read.at), (None, written.at));
    }
    // Whatever is changed in it, it is an error or other rows, and no panic.
    for at in (0..bytes.len()).step_by(7) {
        let mut broken = bytes.clone();
        broken[at] ^= 0x55;
        drop(from_bytes(&broken));
        drop(from_bytes(&bytes[..at]));
    }
}

fn write_form_2() {
    let store: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
    let exported = MemoryStateStore::default();
    let live = Live::new(2);
    let mut simulation = simulation_with(&store, 2);
    let job = simulation.deploy(&members(&live), &Restore::Latest).unwrap().remove(0).unwrap().job;
    live.rows(0, 0..300);
    simulation.run().unwrap();
    simulation.checkpoint(job).unwrap();
    live.rows(1, [0, 100, 200]);
    simulation.run().unwrap();
    simulation.savepoint(job, "kept").unwrap();
    let runs = store.list("runs/").unwrap();
    write("store-v2", &*store, runs.into_iter().chain(["savepoints/kept.json".to_owned()]));
    simulation.savepoint_to(job, &exported).unwrap();
    write("savepoint-v2", &exported, exported.list("").unwrap());
}
