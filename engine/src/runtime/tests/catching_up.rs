//! Jobs that go on from a checkpoint beside views that have gone on without them.

use std::sync::Arc;

use super::checkpoints::{counting, member, simulation_with};
use super::harness::*;
use crate::plan::Partitioning;
use crate::ports::{MemoryStateStore, StateStore};
use crate::runtime::{JobId, JobState, Member, Restore, Simulation};

/// A job that reads a source and, besides, view 1: it counts the rows of the view by how many there are of a key.
fn reader(live: &Live) -> Vec<Member> {
    let rows = Plan::default().source(live.source()).view(3, Partitioning::Forward);
    let counted = rows.view_source(1).updating().count_by_key_of_changes();
    vec![member("reader", counted.view(2, Partitioning::Forward).updating())]
}

fn start(simulation: &mut Simulation, members: &[Member]) -> JobId {
    simulation.deploy(members, &Restore::Latest).unwrap().remove(0).unwrap().job
}

fn settle(simulation: &mut Simulation) {
    simulation.run().unwrap();
    simulation.advance_us(3_000).unwrap();
}

/// Each key of view 1 once: it has a row for each.
fn once(keys: impl IntoIterator<Item = i64>) -> Vec<(i64, i64)> {
    keys.into_iter().map(|key| (key, 1)).collect()
}

#[test]
fn a_job_reads_what_a_view_has_changed_while_it_was_stopped() {
    let store: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
    let (counted, own) = (Live::new(2), Live::new(1));
    let mut simulation = simulation_with(&store, 2);
    start(&mut simulation, &counting(counted.source()));
    let mut job = start(&mut simulation, &reader(&own));
    counted.rows(0, 0..20);
    own.rows(0, 0..5);
    settle(&mut simulation);
    assert_eq!(counts(&simulation.snapshot(), 2), once(0..20));
    for round in 1..4 {
        simulation.checkpoint(job).unwrap();
        simulation.cancel(job).unwrap();
        // Rows are changed, and new ones come, over more checkpoints than are kept of the view.
        for _ in 0..4 {
            counted.rows(1, (0..20).step_by(3));
            settle(&mut simulation);
        }
        counted.rows(0, [100 + round]);
        own.rows(0, [round * 10]);
        settle(&mut simulation);
        job = start(&mut simulation, &reader(&own));
        settle(&mut simulation);
        let expected = once((0..20).chain((1..=round).map(|round| 100 + round)));
        assert_eq!(counts(&simulation.snapshot(), 2), expected, "round {round}");
        assert_eq!(keys(&simulation.snapshot(), 3).len(), 5 + usize::try_from(round).unwrap());
        // From here on it follows the view.
        counted.rows(0, [100 + round, 3]);
        settle(&mut simulation);
        assert_eq!(counts(&simulation.snapshot(), 2), expected);
    }
}

#[test]
fn it_reads_no_more_than_what_has_changed() {
    let store: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
    let (counted, own) = (Live::new(1), Live::new(1));
    let mut simulation = simulation_with(&store, 2);
    start(&mut simulation, &counting(counted.source()));
    let mut job = start(&mut simulation, &reader(&own));
    counted.rows(0, 0..30);
    settle(&mut simulation);
    // A row that changes is two rows: the old one goes.
    for (changed, read) in [(Vec::new(), 0), (vec![7], 2), (vec![7, 7, 40, 8], 5)] {
        simulation.checkpoint(job).unwrap();
        simulation.cancel(job).unwrap();
        counted.rows(0, changed);
        settle(&mut simulation);
        job = start(&mut simulation, &reader(&own));
        settle(&mut simulation);
        let status = simulation.jobs().into_iter().find(|status| status.id == job).unwrap();
        assert_eq!((status.state, status.metrics.rows_in), (JobState::Running, read));
    }
    assert_eq!(counts(&simulation.snapshot(), 2), once((0..30).chain([40])));
}

#[test]
fn a_view_that_only_adds_rows_must_have_those_that_were_read() {
    let store: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
    let (live, own) = (Live::new(1), Live::new(1));
    let rows = |live: &Live| vec![member("rows", Plan::default().source(live.source()).view(1, Partitioning::Forward))];
    let reader = |own: &Live| {
        let rows = Plan::default().source(own.source()).view(3, Partitioning::Forward);
        vec![member("reader", rows.view_source(1).view(2, Partitioning::Forward))]
    };
    let mut simulation = simulation_with(&store, 2);
    let made = start(&mut simulation, &rows(&live));
    let mut job = start(&mut simulation, &reader(&own));
    live.rows(0, 0..20);
    settle(&mut simulation);
    simulation.checkpoint(job).unwrap();
    simulation.cancel(job).unwrap();
    live.rows(0, 20..40);
    settle(&mut simulation);
    job = start(&mut simulation, &reader(&own));
    settle(&mut simulation);
    assert_eq!(keys(&simulation.snapshot(), 2), (0..40).collect::<Vec<_>>());

    // Made anew over other rows: what was read of it cannot be taken back.
    simulation.checkpoint(job).unwrap();
    simulation.cancel(job).unwrap();
    simulation.cancel(made).unwrap();
    let other = Live::new(1);
    other.rows(0, 0..10);
    simulation.deploy(&rows(&other), &Restore::Nothing).unwrap().remove(0).unwrap();
    settle(&mut simulation);
    job = start(&mut simulation, &reader(&own));
    settle(&mut simulation);
    let status = simulation.jobs().into_iter().find(|status| status.id == job).unwrap();
    assert_eq!((status.state, status.hopeless), (JobState::Failed, true), "{status:?}");
    assert!(status.error.as_ref().unwrap().contains("\"v1\" are not in it any more"), "{status:?}");
}
