//! What fails, panics or is canceled touches nothing but itself and what reads from it.

use super::harness::*;
use crate::message::Delta;
use crate::plan::{Partitioning, RelationId};
use crate::runtime::JobState;

#[test]
fn an_error_fails_its_job_and_those_that_read_its_views() {
    for shards in [1, 2] {
        let engine = engine(shards);
        let (bad, good) = (Live::new(2), Live::new(2));
        let base = engine.submit(Plan::default().source(bad.source()).view(1, by_key()).job("base")).unwrap();
        let over = engine.submit(Plan::default().view_source(1).view(2, by_key()).job("over")).unwrap();
        let other = engine.submit(Plan::default().source(good.source()).view(3, by_key()).job("other")).unwrap();
        bad.rows(0, 0..10);
        block_on(engine.flush()).unwrap();
        bad.push(1, Next::Fail);
        let base = finished(&engine, base);
        assert_eq!(base.state, JobState::Failed);
        assert_eq!((base.error.as_deref(), base.hint.as_deref()), (Some("row 7 is bad"), Some("mend it")));
        let over = finished(&engine, over);
        assert_eq!(over.state, JobState::Failed);
        assert_eq!(over.error.as_deref(), Some("relation \"v1\", which the job reads, is gone: its job failed"));
        assert_eq!(keys(&engine.snapshot(), 1), (0..10).collect::<Vec<_>>(), "what was published stays");
        good.rows(0, 0..10);
        block_on(engine.flush()).unwrap();
        assert_eq!(keys(&engine.snapshot(), 3), (0..10).collect::<Vec<_>>());
        assert_eq!(engine.job(other).unwrap().state, JobState::Running);
        let error = engine.submit(Plan::default().view_source(1).view(4, by_key()).job("late")).unwrap_err();
        assert_eq!(error.to_string(), "relation \"v1\" is not kept up to date: its job failed");
    }
}

#[test]
fn a_panic_fails_its_job_only() {
    let engine = engine(2);
    let (bad, good) = (Live::new(1), Live::new(1));
    let base = engine.submit(Plan::default().source(bad.source()).view(1, by_key()).job("bad")).unwrap();
    engine.submit(Plan::default().source(good.source()).view(2, by_key()).job("good")).unwrap();
    bad.push(0, Next::Panic);
    let status = finished(&engine, base);
    assert_eq!(status.state, JobState::Failed);
    assert_eq!(status.error.as_deref(), Some("internal error: panic: a reader that panics"));
    good.rows(0, 0..10);
    block_on(engine.flush()).unwrap();
    assert_eq!(keys(&engine.snapshot(), 2), (0..10).collect::<Vec<_>>());
}

#[test]
fn a_flush_does_not_wait_for_a_job_that_fails_meanwhile() {
    let engine = engine(2);
    let live = Live::new(1);
    let job = engine.submit(Plan::default().source(live.source()).view(1, by_key()).job("live")).unwrap();
    for start in 0..100 {
        live.rows(0, start..start + 1);
    }
    live.push(0, Next::Fail);
    block_on(engine.flush()).unwrap();
    assert_eq!(finished(&engine, job).state, JobState::Failed);
}

#[test]
fn a_canceled_job_stops_and_keeps_its_view() {
    let engine = engine(2);
    let live = Live::new(1);
    let job = engine.submit(Plan::default().source(live.source()).view(1, by_key()).job("live")).unwrap();
    live.rows(0, 0..10);
    block_on(engine.flush()).unwrap();
    engine.cancel(job).unwrap();
    assert_eq!(finished(&engine, job).state, JobState::Canceled);
    live.rows(0, 10..20);
    block_on(engine.flush()).unwrap();
    assert_eq!(keys(&engine.snapshot(), 1), (0..10).collect::<Vec<_>>());
    engine.cancel(job).unwrap();
    assert_eq!(engine.job(job).unwrap().state, JobState::Canceled);
    assert!(engine.cancel(crate::runtime::JobId(99)).is_err());
}

#[test]
fn a_table_survives_the_failure_of_its_readers() {
    let engine = engine(2);
    engine.create_table(RelationId(1), "t", schema()).unwrap();
    let live = Live::new(1);
    let both = Plan::default().view_source(1).source(live.source()).union(&by_key()).view(2, Partitioning::Single);
    let both = engine.submit(both.job("both")).unwrap();
    block_on(engine.insert(RelationId(1), Delta::append(batch([1])))).unwrap();
    live.push(0, Next::Fail);
    assert_eq!(finished(&engine, both).state, JobState::Failed);
    block_on(engine.insert(RelationId(1), Delta::append(batch([2])))).unwrap();
    assert_eq!(keys(&engine.snapshot(), 1), [1, 2]);
    assert_eq!(keys(&engine.snapshot(), 2), [1]);
}

#[test]
fn after_shutdown_everybody_is_told() {
    let engine = engine(2);
    let live = Live::new(1);
    let job = engine.submit(Plan::default().source(live.source()).view(1, by_key()).job("live")).unwrap();
    engine.shutdown();
    assert_eq!(finished(&engine, job).state, JobState::Canceled);
    assert!(block_on(engine.flush()).is_err());
    assert!(engine.create_table(RelationId(5), "t", schema()).is_err());
}
