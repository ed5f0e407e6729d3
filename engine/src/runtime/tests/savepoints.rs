//! Savepoints in places of their own, and those that earlier releases have written.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;

use super::checkpoints::{counting, simulation_with};
use super::harness::*;
use crate::error::EngineError;
use crate::ports::{MemoryStateStore, StateStore};
use crate::runtime::Restore;

#[test]
fn a_savepoint_elsewhere_is_whole_and_needs_nothing_else() {
    let store: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
    let live = Live::new(1);
    let mut simulation = simulation_with(&store, 2);
    let job = simulation.deploy(&counting(live.source()), &Restore::Latest).unwrap().remove(0).unwrap().job;
    live.rows(0, 0..1_000);
    simulation.run().unwrap();
    simulation.checkpoint(job).unwrap();
    live.rows(0, 0..10);
    simulation.run().unwrap();
    let place: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
    simulation.savepoint_to(job, &*place).unwrap();
    assert!(simulation.savepoint_to(job, &*place).unwrap_err().to_string().contains("already"));
    assert_eq!(place.list("").unwrap(), ["runs/0000.run", "runs/0001.run", "savepoint.json"]);
    let shown = counts(&simulation.snapshot(), 1);
    drop(simulation);
    for shards in [2, 1, 4] {
        let empty: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
        let mut again = simulation_with(&empty, shards);
        let restore = Restore::From(Arc::clone(&place));
        let deployed = again.deploy(&counting(live.source()), &restore).unwrap().remove(0).unwrap();
        assert!(deployed.restored.is_some());
        assert_eq!(counts(&again.snapshot(), 1), shown, "{shards} shards");
        again.checkpoint(deployed.job).unwrap();
    }
}

#[test]
fn the_state_of_a_job_can_be_read() {
    let store: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
    let live = Live::new(1);
    let mut simulation = simulation_with(&store, 2);
    let job = simulation.deploy(&counting(live.source()), &Restore::Latest).unwrap().remove(0).unwrap().job;
    live.rows(0, (0..100).chain(0..10));
    simulation.run().unwrap();
    simulation.checkpoint(job).unwrap();
    let tables = simulation.state(job).unwrap();
    let told: Vec<(String, Vec<String>, usize)> = tables
        .iter()
        .map(|table| {
            let names = table.rows.schema().fields().iter().map(|field| field.name().clone()).collect();
            (
                format!("{} {}", table.operator.trim_end_matches(|c: char| c != '-'), table.table),
                names,
                table.rows.num_rows(),
            )
        })
        .collect();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        told,
        [
            ("group-aggregate- keys".to_owned(), names(&["shard", "k", "c1", "calls.c0"]), 100),
            ("materialize- rows".to_owned(), names(&["shard", "k", "n"]), 100),
        ]
    );
    let sum: i64 = tables[0].rows.column(3).as_primitive::<Int64Type>().values().iter().sum();
    assert_eq!(sum, 110);
}

#[test]
fn what_is_wrong_with_a_savepoint_is_said_with_its_name() {
    let store: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
    let live = Live::new(1);
    let mut simulation = simulation_with(&store, 1);
    let job = simulation.deploy(&counting(live.source()), &Restore::Latest).unwrap().remove(0).unwrap().job;
    let place: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
    let start = |uid: &str| {
        let mut members = counting(live.source());
        members[0].uid = Some(uid.into());
        let empty: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
        simulation_with(&empty, 1).deploy(&members, &Restore::From(Arc::clone(&place))).map(drop)
    };
    assert!(start("counts").unwrap_err().to_string().contains("no savepoint"));
    live.rows(0, 0..10);
    simulation.run().unwrap();
    simulation.savepoint_to(job, &*place).unwrap();
    start("counts").unwrap();
    let Err(EngineError::Config { message, hint }) = start("other") else { panic!("it is of another job") };
    assert!(message.contains("other jobs") && hint.unwrap().contains("counts"));
    let run = place.get("runs/0000.run").unwrap().unwrap();
    place.put("runs/0000.run", &run[..run.len() - 9]).unwrap();
    assert!(start("counts").unwrap_err().to_string().contains("runs/0000.run"));
    place.delete("runs/0000.run").unwrap();
    assert!(start("counts").unwrap_err().to_string().contains("gone"));
    place.put("savepoint.json", b"{}").unwrap();
    assert!(start("counts").unwrap_err().to_string().contains("savepoint.json"));
}
