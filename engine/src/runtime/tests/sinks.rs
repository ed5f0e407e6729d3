//! Sinks: two-phase commit by epoch, backpressure, and the hand-off to a client.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::harness::*;
use super::watched::Watched;
use crate::message::Epoch;
use crate::plan::Partitioning;
use crate::ports::WakeHandle;
use crate::runtime::{CollectSink, JobState, Simulation};

#[test]
fn a_sink_prepares_at_barriers_and_commits_what_is_complete() {
    let mut simulation = simulation(1, 0);
    let (live, sink) = (Live::new(1), Watched::default());
    let plan = Plan::default().source(live.source()).sink(Arc::new(sink.clone()), Partitioning::Forward);
    simulation.submit(&plan.job("write")).unwrap();
    for rows in [3, 5] {
        live.rows(0, 0..rows);
        simulation.flush().unwrap();
    }
    live.rows(0, 0..2);
    live.push(0, Next::End);
    simulation.flush().unwrap();
    let expected = ["0 prepare 3", "0 commit 3", "0 prepare 5", "0 commit 5", "0 end", "0 prepare 2", "0 commit 2"];
    assert_eq!(*sink.log.lock(), expected);
    assert_eq!(simulation.jobs()[0].state, JobState::Finished);
}

#[test]
fn a_sink_commits_when_all_shards_have_prepared() {
    for seed in 0..20 {
        let mut simulation = simulation(4, seed);
        let sink = Watched::default();
        let plan = Plan::default().source(memory([(0, 100), (100, 200)])).sink(Arc::new(sink.clone()), by_key());
        simulation.submit(&plan.job("write")).unwrap();
        simulation.flush().unwrap();
        let log = sink.log.lock();
        let rows = |what: &str| -> usize {
            let of = log.iter().filter_map(|line| line.split_once(what));
            of.map(|(_, rows)| rows.trim().parse::<usize>().unwrap()).sum()
        };
        assert_eq!((rows("prepare"), rows("commit")), (200, 200), "seed {seed}: {log:?}");
    }
}

#[test]
fn a_sink_that_is_not_ready_holds_its_sources_back() {
    let engine = engine(2);
    let (live, sink) = (Live::new(1), Watched::default());
    sink.blocked.store(true, Ordering::SeqCst);
    let plan = Plan::default().source(live.source()).sink(Arc::new(sink.clone()), Partitioning::Forward);
    let job = engine.submit(plan.job("write")).unwrap();
    block_on(engine.published(job)).unwrap();
    live.rows(0, 0..10);
    // Another job, on the same shards, goes on: the shards have had their turns when it is done.
    let other = engine.submit(Plan::default().source(memory([(0, 100)])).view(1, by_key()).job("other")).unwrap();
    finished(&engine, other);
    assert_eq!(engine.job(job).unwrap().metrics.rows_in, 0);
    sink.unblock();
    block_on(engine.flush()).unwrap();
    assert_eq!(engine.job(job).unwrap().metrics.rows_out, 10);
}

#[test]
fn a_sink_takes_its_time_and_its_shard_goes_on() {
    for seed in 0..20 {
        let mut simulation = simulation(2, seed);
        let sink = Watched::default();
        sink.prepares.store(true, Ordering::SeqCst);
        let plan = Plan::default().source(memory([(0, 10)])).sink(Arc::new(sink.clone()), Partitioning::Single);
        let job = simulation.submit(&plan.job("slow")).unwrap();
        let other = Plan::default().source(memory([(0, 100)])).view(1, by_key()).job("other");
        let other = simulation.submit(&other).unwrap();
        simulation.run().unwrap();
        let state = |simulation: &Simulation, of| simulation.jobs().iter().find(|job| job.id == of).unwrap().state;
        assert_eq!((state(&simulation, job), state(&simulation, other)), (JobState::Running, JobState::Finished));
        assert!(!sink.log.lock().iter().any(|line| line.contains("commit")), "seed {seed}: it is not prepared");
        sink.commits.store(true, Ordering::SeqCst);
        sink.prepares.store(false, Ordering::SeqCst);
        sink.wakes.lock().iter().for_each(WakeHandle::wake);
        simulation.run().unwrap();
        assert_eq!(sink.log.lock().last().unwrap(), "0 commit 10", "seed {seed}");
        assert_eq!(state(&simulation, job), JobState::Running, "seed {seed}: it is not committed");
        sink.unblock();
        simulation.run().unwrap();
        assert_eq!(state(&simulation, job), JobState::Finished, "seed {seed}");
    }
}

#[test]
fn a_client_gets_the_rows_by_epoch_and_then_the_end() {
    for shards in [1, 2, 4] {
        let engine = engine(shards);
        let (sink, mut receiver) = CollectSink::channel(2);
        let plan = Plan::default().source(memory([(0, 30_000), (0, 30_000)])).sink(sink, by_key());
        let job = engine.submit(plan.job("select")).unwrap();
        let (mut rows, mut last) = (0, Epoch(0));
        block_on(async {
            while let Some(collected) = receiver.recv().await {
                assert!(collected.epoch >= last, "epochs come in order");
                last = collected.epoch;
                rows += collected.deltas.iter().map(crate::message::Delta::rows).sum::<usize>();
            }
        });
        assert_eq!(rows, 60_000);
        assert_eq!(finished(&engine, job).state, JobState::Finished);
    }
}

#[test]
fn a_client_that_goes_away_ends_its_job_quietly() {
    let engine = engine(2);
    let live = Live::new(1);
    engine.submit(Plan::default().source(live.source()).view(1, by_key()).job("base")).unwrap();
    let (sink, receiver) = CollectSink::channel(2);
    let subscription = engine.submit(Plan::default().view_source(1).sink(sink, Partitioning::Single).job("subscribe"));
    let subscription = subscription.unwrap();
    drop(receiver);
    live.rows(0, 0..10);
    let status = finished(&engine, subscription);
    assert_eq!((status.state, status.error), (JobState::Canceled, None));
    block_on(engine.flush()).unwrap();
    assert_eq!(keys(&engine.snapshot(), 1).len(), 10);
}

#[test]
fn a_client_that_is_behind_holds_its_source_back_but_not_a_view() {
    let mut simulation = simulation(1, 5);
    let (live, other) = (Live::new(1), Live::new(1));
    let (sink, mut receiver) = CollectSink::channel(1);
    let plan = Plan::default().source(live.source()).sink(sink, Partitioning::Forward);
    simulation.submit(&plan.job("select")).unwrap();
    simulation.submit(&Plan::default().source(other.source()).view(1, by_key()).job("base")).unwrap();
    let (sink, _slow) = CollectSink::channel(1);
    simulation.submit(&Plan::default().view_source(1).sink(sink, Partitioning::Forward).job("subscribe")).unwrap();
    for key in 0..5 {
        live.rows(0, [key]);
        other.rows(0, [key]);
        simulation.advance_us(10_000).unwrap();
        simulation.advance_us(10_000).unwrap();
    }
    assert_eq!(keys(&simulation.snapshot(), 1).len(), 5);
    assert_eq!(simulation.jobs()[0].metrics.rows_in, 1);
    drop(receiver.try_recv().unwrap());
    simulation.advance_us(10_000).unwrap();
    assert!(simulation.jobs()[0].metrics.rows_in > 1);
}
