//! Rows from sources through exchanges into views; watermarks, idleness, `FLUSH`; threads and simulation agree.

use std::sync::Arc;

use super::harness::*;
use crate::message::{Delta, Epoch};
use crate::plan::{Alignment, Partitioning, WatermarkSpec};
use crate::runtime::{JobState, Simulation};
use crate::time::EventTime;

#[test]
fn bounded_rows_arrive_once_on_any_number_of_shards() {
    for shards in [1, 2, 4] {
        for splits in [1, 3, 8] {
            let engine = engine(shards);
            let ranges = (0..splits).map(|split| (split * 1_000, (split + 1) * 1_000));
            let plan = Plan::default().source(memory(ranges)).view(1, by_key());
            let job = engine.submit(plan.job("copy")).unwrap();
            let status = finished(&engine, job);
            assert_eq!((status.state, status.error), (JobState::Finished, None));
            let rows = (splits * 1_000) as u64;
            assert_eq!((status.metrics.rows_in, status.metrics.rows_out), (rows, rows));
            assert_eq!(status.metrics.watermark, EventTime::MAX);
            assert_eq!(keys(&engine.snapshot(), 1), (0..splits * 1_000).collect::<Vec<_>>());
        }
    }
}

#[test]
fn two_sources_meet_in_a_union_behind_two_exchanges() {
    for shards in [1, 2, 4] {
        let engine = engine(shards);
        let plan = Plan::default().source(memory([(0, 500)])).source(memory([(500, 700), (700, 1_000)]));
        let plan = plan.union(&by_key()).view(1, Partitioning::Single);
        let job = engine.submit(plan.job("union")).unwrap();
        assert_eq!(finished(&engine, job).state, JobState::Finished);
        assert_eq!(keys(&engine.snapshot(), 1), (0..1_000).collect::<Vec<_>>());
        let view = Arc::clone(&engine.snapshot().views[&crate::plan::RelationId(1)]);
        assert!(view.shards.iter().skip(1).all(|version| version.rows() == 0), "single means shard 0");
    }
}

#[test]
fn the_simulation_gives_the_same_rows_for_every_seed() {
    for seed in 0..20 {
        for shards in [1, 2, 4] {
            let mut simulation = simulation(shards, seed);
            let plan = Plan::default().source(memory([(0, 100), (100, 250), (250, 300)])).source(memory([(300, 400)]));
            let base = simulation.submit(&plan.union(&by_key()).view(1, by_key()).job("base")).unwrap();
            let over = Plan::default().view_source(1).view(2, by_key()).job("over");
            let over = simulation.submit(&over).unwrap();
            simulation.flush().unwrap();
            let expected: Vec<i64> = (0..400).collect();
            assert_eq!(keys(&simulation.snapshot(), 1), expected, "seed {seed}, {shards} shards");
            assert_eq!(keys(&simulation.snapshot(), 2), expected, "seed {seed}, {shards} shards");
            let states: Vec<_> = simulation.jobs().iter().map(|job| (job.id, job.state)).collect();
            assert_eq!(states, [(base, JobState::Finished), (over, JobState::Finished)]);
        }
    }
}

#[test]
fn flush_makes_what_a_live_source_has_visible() {
    for shards in [1, 2] {
        let engine = engine(shards);
        let live = Live::new(3);
        engine.submit(Plan::default().source(live.source()).view(1, by_key()).job("live")).unwrap();
        for round in 0..20 {
            for split in 0..3 {
                live.rows(split, [round * 3 + split as i64]);
            }
            block_on(engine.flush()).unwrap();
            assert_eq!(keys(&engine.snapshot(), 1), (0..(round + 1) * 3).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_flush_waits_for_rows_that_are_on_their_way() {
    for shards in [1, 2] {
        let engine = engine(shards);
        let live = Live::new(2);
        for _ in 0..3 {
            live.push(1, Next::Fetch);
        }
        live.rows(1, [1, 2]);
        engine.submit(Plan::default().source(live.source()).view(1, by_key()).job("live")).unwrap();
        block_on(engine.flush()).unwrap();
        assert_eq!(keys(&engine.snapshot(), 1), [1, 2], "{shards} shards");
    }
}

#[test]
fn a_source_may_retract() {
    let mut simulation = simulation(2, 1);
    let live = Live::new(1);
    simulation.submit(&Plan::default().source(live.source()).view(1, by_key()).job("live")).unwrap();
    live.rows(0, [1, 2]);
    live.push(0, Next::Changes(Delta::signed(batch([1, 3]), vec![true, false].into())));
    simulation.flush().unwrap();
    assert_eq!(keys(&simulation.snapshot(), 1), [2, 3]);
}

#[test]
fn no_epoch_begins_while_nothing_moves() {
    let mut simulation = simulation(2, 1);
    let live = Live::new(2);
    simulation.submit(&Plan::default().source(live.source()).view(1, by_key()).job("live")).unwrap();
    simulation.submit(&Plan::default().view_source(1).view(2, by_key()).job("over")).unwrap();
    live.rows(0, [1]);
    simulation.flush().unwrap();
    settle(&mut simulation);
    let before = simulation.last_epoch();
    for _ in 0..100 {
        simulation.advance_us(1_000_000).unwrap();
    }
    assert_eq!(simulation.last_epoch(), before);
    live.rows(0, [2]);
    simulation.advance_us(1_000_000).unwrap();
    assert!(simulation.last_epoch() > before);
    assert_eq!(keys(&simulation.snapshot(), 2), [1, 2]);
}

#[test]
fn an_idle_engine_stands_still() {
    let engine = engine(2);
    let live = Live::new(2);
    let job = engine.submit(Plan::default().source(live.source()).view(1, by_key()).job("live")).unwrap();
    block_on(engine.published(job)).unwrap();
    block_on(engine.flush()).unwrap();
    let before = engine.last_epoch();
    assert!(before > Epoch(0));
    // Whatever waits for the interval has had its time when another component has begun an epoch of its own by it.
    let other = Live::new(1);
    let job = engine.submit(Plan::default().source(other.source()).view(2, by_key()).job("other")).unwrap();
    block_on(engine.published(job)).unwrap();
    assert_eq!(engine.last_epoch(), Epoch(before.0 + 1));
}

#[test]
fn the_watermark_of_a_view_is_the_least_of_its_splits() {
    for seed in 0..10 {
        let mut simulation = simulation(2, seed);
        let live = Live::new(3);
        let plan = Plan::default().source_with(live.source(), Some(watermark(None))).view(1, by_key());
        simulation.submit(&plan.job("live")).unwrap();
        live.rows(0, [50]);
        live.rows(1, [20, 70, 60]);
        simulation.flush().unwrap();
        assert_eq!(view_watermark(&simulation.snapshot(), 1), EventTime::MIN, "one split has not begun");
        live.rows(2, [90]);
        simulation.flush().unwrap();
        assert_eq!(view_watermark(&simulation.snapshot(), 1), EventTime(50));
        live.push(0, Next::End);
        simulation.flush().unwrap();
        assert_eq!(view_watermark(&simulation.snapshot(), 1), EventTime(70));
    }
}

#[test]
fn idle_splits_leave_the_minimum_and_all_idle_is_their_greatest() {
    for shards in [1, 2, 4] {
        let mut simulation = simulation(shards, 3);
        let live = Live::new(2);
        let plan = Plan::default().source_with(live.source(), Some(watermark(Some(1_000_000)))).view(1, by_key());
        simulation.submit(&plan.job("live")).unwrap();
        live.rows(0, [50]);
        settle(&mut simulation);
        assert_eq!(view_watermark(&simulation.snapshot(), 1), EventTime::MIN);
        // Split 1 has said nothing for a second, split 0 has just said something.
        simulation.advance_us(900_000).unwrap();
        live.rows(0, [60]);
        simulation.advance_us(200_000).unwrap();
        settle(&mut simulation);
        assert_eq!(view_watermark(&simulation.snapshot(), 1), EventTime(60), "{shards} shards");
        // It comes back behind, and says nothing again: the greatest of both counts.
        live.rows(1, [10]);
        settle(&mut simulation);
        live.rows(0, [80]);
        settle(&mut simulation);
        assert_eq!(view_watermark(&simulation.snapshot(), 1), EventTime(60), "{shards} shards");
        simulation.advance_us(2_000_000).unwrap();
        settle(&mut simulation);
        assert_eq!(view_watermark(&simulation.snapshot(), 1), EventTime(80), "{shards} shards");
        assert!(simulation.splits().iter().all(|split| split.idle));
    }
}

#[test]
fn a_split_that_comes_later_has_a_watermark_of_its_own() {
    for shards in [1, 2] {
        let mut simulation = simulation(shards, 5);
        let live = Live::hiding(1, 1);
        let plan = Plan::default().source_with(live.source(), Some(watermark(None))).view(1, by_key());
        simulation.submit(&plan.job("live")).unwrap();
        live.rows(0, [50]);
        simulation.flush().unwrap();
        assert_eq!(view_watermark(&simulation.snapshot(), 1), EventTime(50));
        // Told twice: read once.
        live.push(0, Next::Splits(vec![1]));
        live.push(0, Next::Splits(vec![0, 1]));
        live.rows(0, [90]);
        live.rows(1, [60]);
        simulation.flush().unwrap();
        assert_eq!(keys(&simulation.snapshot(), 1), [50, 60, 90]);
        assert_eq!(view_watermark(&simulation.snapshot(), 1), EventTime(60));
        assert_eq!(simulation.splits().len(), 2);
        live.rows(1, [100]);
        simulation.flush().unwrap();
        assert_eq!(view_watermark(&simulation.snapshot(), 1), EventTime(90));
    }
}

#[test]
fn splits_that_are_far_ahead_wait_for_those_behind() {
    let mut simulation = simulation(2, 7);
    let live = Live::new(3);
    let alignment = Alignment { group: "g".into(), max_drift_us: 10, interval_us: 1_000 };
    let spec = WatermarkSpec { alignment: Some(alignment), ..watermark(None) };
    let plan = Plan::default().source_with(live.source(), Some(spec)).view(1, by_key());
    simulation.submit(&plan.job("live")).unwrap();
    // The third has not begun: nobody waits for it.
    live.rows(0, [50]);
    live.rows(1, [20]);
    settle(&mut simulation);
    live.rows(0, [51]);
    settle(&mut simulation);
    assert_eq!(keys(&simulation.snapshot(), 1), [20, 50], "51 is 31 ahead");
    live.rows(1, [40]);
    settle(&mut simulation);
    settle(&mut simulation);
    assert_eq!(keys(&simulation.snapshot(), 1), [20, 40, 50, 51]);
    live.rows(0, [90]);
    settle(&mut simulation);
    assert_eq!(keys(&simulation.snapshot(), 1), [20, 40, 50, 51], "51 is 11 ahead");
    live.rows(1, [45]);
    settle(&mut simulation);
    settle(&mut simulation);
    live.rows(0, [91]);
    settle(&mut simulation);
    assert_eq!(keys(&simulation.snapshot(), 1), [20, 40, 45, 50, 51, 90]);
    simulation.flush().unwrap();
    assert_eq!(keys(&simulation.snapshot(), 1), [20, 40, 45, 50, 51, 90, 91], "who waits for all is given all");
}

/// Lets everything that is due within an epoch interval happen.
fn settle(simulation: &mut Simulation) {
    for _ in 0..3 {
        simulation.advance_us(1_000).unwrap();
    }
}
