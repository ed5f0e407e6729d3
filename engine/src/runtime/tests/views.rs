//! Views on views, internal tables, and what readers see meanwhile.

use arrow::buffer::BooleanBuffer;

use super::harness::*;
use crate::message::Delta;
use crate::plan::{Partitioning, RelationId};
use crate::runtime::JobState;
use crate::time::EventTime;

#[test]
fn readers_see_connected_views_at_the_same_epoch() {
    for shards in [1, 2, 4] {
        let engine = engine(shards);
        let live = Live::new(2);
        let base = Plan::default().source(live.source()).view(1, Partitioning::Forward);
        engine.submit(base.job("base")).unwrap();
        engine.submit(Plan::default().view_source(1).view(2, by_key()).job("over")).unwrap();
        engine.submit(Plan::default().view_source(2).view(3, Partitioning::Single).job("top")).unwrap();
        let (mut seen, mut sizes) = (0, 0);
        for round in 0..120 {
            live.rows(round % 2, (0..50).map(|key| round as i64 * 50 + key));
            let snapshot = engine.snapshot();
            let base = keys(&snapshot, 1);
            assert_eq!(base, keys(&snapshot, 2));
            assert_eq!(base, keys(&snapshot, 3));
            assert!(base.len() >= seen, "a view shrank");
            sizes += usize::from(base.len() > seen);
            seen = base.len();
            if round % 30 == 0 {
                block_on(engine.flush()).unwrap();
            }
        }
        assert!(sizes > 1);
        block_on(engine.flush()).unwrap();
        assert_eq!(keys(&engine.snapshot(), 3).len(), 6_000);
    }
}

#[test]
fn updates_reach_a_view_and_its_copy_in_the_same_epoch() {
    for shards in [1, 2, 4] {
        let engine = engine(shards);
        let live = Live::new(2);
        let base = Plan::default().source(live.source()).count_by_key().view(1, Partitioning::Forward).updating();
        engine.submit(base.job("base")).unwrap();
        let copy = Plan::default().view_source(1).updating().view(2, Partitioning::Single).updating();
        engine.submit(copy.job("copy")).unwrap();
        for round in 0..200 {
            live.rows(round % 2, (0..50).map(|key| (key * key + round as i64) % 17));
            let snapshot = engine.snapshot();
            let base = counts(&snapshot, 1);
            assert_eq!(base, counts(&snapshot, 2));
            assert!(base.len() <= 17, "{base:?}");
        }
        block_on(engine.flush()).unwrap();
        let snapshot = engine.snapshot();
        let rows = |relation| counts(&snapshot, relation).into_iter().map(|(_, count)| count).sum::<i64>();
        assert_eq!((rows(1), rows(2)), (10_000, 10_000));
    }
}

#[test]
fn updates_are_the_same_in_every_order() {
    let mut expected = None;
    for seed in 0..20 {
        let mut simulation = simulation(1 + (seed % 4) as usize, seed);
        let plan = Plan::default().source(memory([(0, 60), (20, 80), (40, 100)])).count_by_key();
        simulation.submit(&plan.view(1, Partitioning::Forward).updating().job("base")).unwrap();
        for _ in 0..seed * 5 {
            simulation.step();
        }
        let copy = Plan::default().view_source(1).updating().view(2, by_key()).updating();
        simulation.submit(&copy.job("copy")).unwrap();
        simulation.flush().unwrap();
        let found = (counts(&simulation.snapshot(), 1), counts(&simulation.snapshot(), 2));
        assert_eq!(found.0, found.1, "seed {seed}");
        assert_eq!(*expected.get_or_insert(found.0.clone()), found.0, "seed {seed}");
    }
}

#[test]
fn a_new_view_starts_from_the_rows_of_a_running_one() {
    for seed in 0..30 {
        let shards = 1 + (seed % 4) as usize;
        let mut simulation = simulation(shards, seed);
        let live = Live::new(2);
        simulation.submit(&Plan::default().source(live.source()).view(1, by_key()).job("base")).unwrap();
        live.rows(0, 0..20);
        live.rows(1, 20..40);
        // Somewhere in the middle of things.
        for _ in 0..seed {
            simulation.step();
        }
        simulation.submit(&Plan::default().view_source(1).view(2, Partitioning::Forward).job("over")).unwrap();
        live.rows(0, 40..60);
        for _ in 0..seed {
            simulation.step();
        }
        let both = Plan::default().view_source(1).view_source(2).union(&by_key()).view(3, by_key());
        simulation.submit(&both.job("both")).unwrap();
        live.rows(1, 60..80);
        simulation.flush().unwrap();
        let expected: Vec<i64> = (0..80).collect();
        assert_eq!(keys(&simulation.snapshot(), 2), expected, "seed {seed}");
        let twice: Vec<i64> = (0..160).map(|key| key / 2).collect();
        assert_eq!(keys(&simulation.snapshot(), 3), twice, "seed {seed}");
    }
}

#[test]
fn a_new_view_reads_the_rows_of_a_finished_one() {
    let engine = engine(2);
    let base = engine.submit(Plan::default().source(memory([(0, 1_000)])).view(1, by_key()).job("base")).unwrap();
    assert_eq!(finished(&engine, base).state, JobState::Finished);
    let over = engine.submit(Plan::default().view_source(1).view(2, Partitioning::Forward).job("over")).unwrap();
    block_on(engine.published(over)).unwrap();
    assert_eq!(keys(&engine.snapshot(), 2), (0..1_000).collect::<Vec<_>>());
    let status = finished(&engine, over);
    assert_eq!((status.state, status.metrics.rows_in), (JobState::Finished, 1_000));
}

#[test]
fn a_job_may_join_two_components() {
    let engine = engine(2);
    let (left, right) = (Live::new(1), Live::new(1));
    engine.submit(Plan::default().source(left.source()).view(1, by_key()).job("left")).unwrap();
    engine.submit(Plan::default().source(right.source()).view(2, by_key()).job("right")).unwrap();
    left.rows(0, 0..10);
    right.rows(0, 10..20);
    let both = Plan::default().view_source(1).view_source(2).union(&by_key()).view(3, by_key());
    let both = engine.submit(both.job("both")).unwrap();
    block_on(engine.published(both)).unwrap();
    left.rows(0, 20..30);
    right.rows(0, 30..40);
    block_on(engine.flush()).unwrap();
    assert_eq!(keys(&engine.snapshot(), 3), (0..40).collect::<Vec<_>>());
}

#[test]
fn an_insert_is_visible_in_the_table_and_in_every_view_on_it() {
    for shards in [1, 2, 4] {
        let engine = engine(shards);
        engine.create_table(RelationId(1), "t", schema()).unwrap();
        engine.submit(Plan::default().view_source(1).view(2, by_key()).job("over")).unwrap();
        engine.submit(Plan::default().view_source(2).view(3, Partitioning::Single).job("top")).unwrap();
        for key in 0..50 {
            block_on(engine.insert(RelationId(1), Delta::append(batch([100 - key])))).unwrap();
            let snapshot = engine.snapshot();
            let expected: Vec<i64> = (0..=key).map(|key| 100 - key).collect();
            assert_eq!(keys_in_order(&snapshot, 1), expected, "rows keep the order of insertion");
            assert_eq!(keys(&snapshot, 3).len(), expected.len());
        }
        let gone = Delta::signed(batch([100]), BooleanBuffer::new_set(1));
        block_on(engine.insert(RelationId(1), gone)).unwrap();
        assert_eq!(keys(&engine.snapshot(), 3).len(), 49);
        assert!(engine.jobs().iter().all(|job| job.name != "t"), "a table is no job");
    }
}

#[test]
fn a_table_with_a_watermark_is_not_held_back_by_shards_without_rows() {
    for shards in [1, 2, 4] {
        let engine = engine(shards);
        engine.create_table(RelationId(1), "t", schema()).unwrap();
        // The rows that are there have no order in time: none of them is late.
        block_on(engine.insert(RelationId(1), Delta::append(batch([70, 10, 40])))).unwrap();
        let over = Plan::default().view_source_with(1, Some(watermark(None))).view(2, by_key());
        let over = engine.submit(over.job("over")).unwrap();
        block_on(engine.published(over)).unwrap();
        assert_eq!(view_watermark(&engine.snapshot(), 2), EventTime(70), "{shards} shards");
        block_on(engine.insert(RelationId(1), Delta::append(batch([90])))).unwrap();
        assert_eq!(view_watermark(&engine.snapshot(), 2), EventTime(90), "{shards} shards");
        assert_eq!(engine.job(over).unwrap().metrics.watermark, EventTime(90), "{shards} shards");
    }
}

#[test]
fn inserts_at_the_same_time_all_arrive() {
    let engine = engine(2);
    engine.create_table(RelationId(1), "t", schema()).unwrap();
    block_on(async {
        let inserts = (0..20).map(|key| {
            let engine = engine.clone();
            async move { engine.insert(RelationId(1), Delta::append(batch([key]))).await }
        });
        let mut all = tokio::task::JoinSet::new();
        inserts.for_each(|insert| {
            all.spawn(insert);
        });
        while let Some(done) = all.join_next().await {
            done.unwrap().unwrap();
        }
    });
    assert_eq!(keys(&engine.snapshot(), 1), (0..20).collect::<Vec<_>>());
}

#[test]
fn a_dropped_table_is_gone() {
    let engine = engine(2);
    engine.create_table(RelationId(1), "t", schema()).unwrap();
    engine.drop_relation(RelationId(1)).unwrap();
    assert!(engine.snapshot().views.is_empty());
    assert!(engine.drop_relation(RelationId(1)).is_err());
    let error = block_on(engine.insert(RelationId(1), Delta::append(batch([1])))).unwrap_err();
    assert_eq!(error.to_string(), "the table does not exist");
    let error = engine.submit(Plan::default().view_source(1).view(2, by_key()).job("late")).unwrap_err();
    assert_eq!(error.to_string(), "relation \"v1\" does not exist");
}
