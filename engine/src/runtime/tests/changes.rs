//! Jobs that compute something else than their checkpoint is of.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};

use super::checkpoints::{Ledger, member, simulation_with};
use super::harness::*;
use crate::expr::Scalar;
use crate::plan::{Dataflow, Partitioning, Step};
use crate::ports::{MemoryStateStore, StateStore};
use crate::runtime::{Member, MemberKind, Restore};

/// How often each key is there, as view 1: the key, then this column. View 2 counts the rows of each key.
fn members(live: &Live, shown: usize) -> Vec<Member> {
    let counts = Plan::default().source(live.source()).count_by_key();
    let schema = Arc::new(Schema::new(["k", "n"].map(|name| Field::new(name, DataType::Int64, false)).to_vec()));
    let exprs = [0, shown].map(|column| Scalar::column(&schema, column)).to_vec();
    let counts = counts.step(Step::Project { exprs, schema }).updating().view(1, Partitioning::Forward).updating();
    let reader = Plan::default().view_source(1).updating().count_by_key_of_changes().view(2, by_key()).updating();
    vec![member("counts", counts), member("reader", reader)]
}

#[test]
fn a_changed_projection_keeps_the_counts_below_it() {
    for shards in [1, 2, 4] {
        let store: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
        let live = Live::new(2);
        let mut simulation = simulation_with(&store, 2);
        let deployed = simulation.deploy(&members(&live, 1), &Restore::Latest).unwrap();
        let job = deployed[0].as_ref().unwrap().job;
        live.rows(0, [1, 1, 1, 2, 2, 3]);
        live.rows(1, [1, 4, 4]);
        simulation.run().unwrap();
        simulation.checkpoint(job).unwrap();
        assert_eq!(counts(&simulation.snapshot(), 1), [(1, 4), (2, 2), (3, 1), (4, 2)]);
        drop(simulation);
        // The rows of before cannot be read again: the counts are those of the checkpoint.
        let mut again = simulation_with(&store, shards);
        let deployed = again.deploy(&members(&live, 0), &Restore::Latest).unwrap();
        let restored: Vec<bool> = deployed.iter().map(|of| of.as_ref().unwrap().restored.is_some()).collect();
        assert_eq!(restored, [true, false], "who reads the view is made anew");
        again.run().unwrap();
        again.advance_us(1_000).unwrap();
        assert_eq!(counts(&again.snapshot(), 1), [(1, 1), (2, 2), (3, 3), (4, 4)], "{shards} shards");
        assert_eq!(counts(&again.snapshot(), 2), [(1, 1), (2, 1), (3, 1), (4, 1)]);
        live.rows(0, [3, 2, 5]);
        again.run().unwrap();
        let job = deployed[0].as_ref().unwrap().job;
        again.checkpoint(job).unwrap();
        drop(again);
        // From then on it is a checkpoint of the new query, and another change begins there.
        for (shown, continues) in [(0, true), (1, false)] {
            let mut last = simulation_with(&store, shards);
            let deployed = last.deploy(&members(&live, shown), &Restore::Latest).unwrap();
            assert_eq!(deployed[1].as_ref().unwrap().restored.is_some(), continues);
            last.run().unwrap();
            last.advance_us(1_000).unwrap();
            let expected = match shown {
                0 => [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)],
                _ => [(1, 4), (2, 3), (3, 2), (4, 2), (5, 1)],
            };
            assert_eq!(counts(&last.snapshot(), 1), expected);
        }
    }
}

#[test]
fn what_was_written_elsewhere_is_not_written_again() {
    let store: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
    let (live, ledger) = (Live::new(1), Ledger::default());
    let of = |shown: usize| {
        let reader = Plan::default().view_source(1).updating().sink(Arc::new(ledger.clone()), Partitioning::Forward);
        let mut all = members(&live, shown);
        all.truncate(1);
        // The test is about what is refused, not about what the ledger can take.
        all.push(appending(member("writer", reader)));
        all
    };
    let mut simulation = simulation_with(&store, 1);
    let deployed = simulation.deploy(&of(0), &Restore::Latest).unwrap();
    live.rows(0, [1, 2]);
    simulation.run().unwrap();
    simulation.checkpoint(deployed[0].as_ref().unwrap().job).unwrap();
    drop(simulation);
    let mut again = simulation_with(&store, 1);
    let deployed = again.deploy(&of(1), &Restore::Latest).unwrap();
    assert!(deployed[0].is_ok());
    let error = deployed[1].as_ref().unwrap_err().to_string();
    assert!(error.contains("writes the rows of a view that has another query now"), "{error}");
}

/// The member, whose rows are said to be insertions.
fn appending(mut member: Member) -> Member {
    if let MemberKind::Job(request) = &mut member.kind {
        let mut dataflow = Dataflow::clone(&request.dataflow);
        dataflow.nodes.iter_mut().for_each(|node| node.edge.changelog = crate::plan::ChangelogMode::Append);
        request.dataflow = Arc::new(dataflow);
    }
    member
}
