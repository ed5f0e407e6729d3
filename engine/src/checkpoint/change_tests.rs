//! Which operators of a changed query keep their state.

use arrow::datatypes::{DataType, Field, Schema};

use super::*;
use crate::expr::Scalar;
use crate::plan::{
    ChangelogMode, Edge, GroupAggregateSpec, Input, JoinKey, MaterializeSpec, Node, NodeId, Partitioning, RelationId,
    StatelessSpec, ViewSourceSpec, WindowAggregateSpec, WindowEmit, WindowInput, WindowTime,
};
use crate::plan::{Step, Window};

/// A dataflow out of operators with the numbers of their inputs.
fn dataflow(nodes: Vec<(OperatorSpec, &[usize])>) -> Dataflow {
    let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, true)]));
    let edge = Edge { schema, changelog: ChangelogMode::Retract, stream_key: None, time_column: None };
    let node = |(id, (spec, inputs)): (usize, (OperatorSpec, &[usize]))| {
        let input = |from: &usize| Input { from: NodeId(*from), partitioning: Partitioning::Forward };
        Node { id: NodeId(id), spec, inputs: inputs.iter().map(input).collect(), edge: edge.clone() }
    };
    Dataflow { nodes: nodes.into_iter().enumerate().map(node).collect() }
}

/// Stands for a source: what it reads does not matter here.
fn source() -> OperatorSpec {
    OperatorSpec::ViewSource(ViewSourceSpec { relation: RelationId(7), name: "v".into(), watermark: None })
}

fn group() -> OperatorSpec {
    let (keys, calls) = (vec![0], Vec::new());
    OperatorSpec::GroupAggregate(GroupAggregateSpec { keys, calls, retracts: true, ttl_us: None, upserts: false })
}

fn join(kind: JoinKind) -> OperatorSpec {
    let keys = vec![JoinKey { left: 0, right: 0, null_equal: false }];
    let (retracts, ttl_us) = ((false, false), (None, None));
    OperatorSpec::Join(JoinSpec { kind, keys, residual: None, retracts, null_aware: false, ttl_us })
}

fn filter() -> OperatorSpec {
    let schema = Schema::new(vec![Field::new("wanted", DataType::Boolean, true)]);
    OperatorSpec::Stateless(StatelessSpec { steps: vec![Step::Filter(Scalar::column(&schema, 0))] })
}

fn view() -> OperatorSpec {
    OperatorSpec::Materialize(MaterializeSpec { relation: RelationId(1), name: "v".into(), replaces: false })
}

/// The fates of the nodes, by their first letters; `new` are those with other names than before.
fn fates(dataflow: &Dataflow, new: &[usize]) -> String {
    let names: Vec<String> = (0..dataflow.nodes.len()).map(|node| node.to_string()).collect();
    let saved = names.iter().enumerate().filter(|(node, _)| !new.contains(node)).map(|(_, name)| name.as_str());
    let change = Change::new(dataflow, &names, &saved.collect());
    let letter = |fate: &Fate| match fate {
        Fate::Kept => 'k',
        Fate::Reissued => 'i',
        Fate::Rebuilt => 'r',
    };
    change.fates.iter().map(letter).collect()
}

#[test]
fn an_aggregate_below_a_new_filter_gives_its_rows_once_more() {
    let plan = dataflow(vec![(source(), &[]), (group(), &[0]), (filter(), &[1]), (view(), &[2])]);
    assert_eq!(fates(&plan, &[]), "kkkk");
    assert_eq!(fates(&plan, &[2, 3]), "kirr");
    assert_eq!(fates(&plan, &[1, 2, 3]), "rrrr", "the source is read again");
    assert_eq!(fates(&plan, &[3]), "kirr", "a filter holds nothing: its rows come through it again");
}

#[test]
fn an_input_that_goes_on_elsewhere_cannot_begin_again_alone() {
    // One aggregate feeds a join that stays and a view that is new.
    let plan = dataflow(vec![
        (source(), &[]),
        (group(), &[0]),
        (join(JoinKind::Inner), &[1, 1]),
        (view(), &[2]),
        (view(), &[1]),
    ]);
    assert_eq!(fates(&plan, &[4]), "rrrrr");
    // Two sources: only that of the new side is read again, and the join below it is new.
    let two = dataflow(vec![
        (source(), &[]),
        (group(), &[0]),
        (source(), &[]),
        (group(), &[2]),
        (join(JoinKind::Inner), &[1, 3]),
        (view(), &[4]),
    ]);
    assert_eq!(fates(&two, &[3, 4, 5]), "kirrrr");
}

#[test]
fn a_join_that_has_forgotten_rows_is_made_anew() {
    let of = |kind| dataflow(vec![(source(), &[]), (source(), &[]), (join(kind), &[0, 1]), (view(), &[2])]);
    assert_eq!(fates(&of(JoinKind::Inner), &[3]), "kkir");
    // Left rows without a key have come out and are gone.
    assert_eq!(fates(&of(JoinKind::Left), &[3]), "rrrr");
    assert_eq!(fates(&of(JoinKind::Semi), &[3]), "rrrr");
}

#[test]
fn rows_that_come_behind_the_watermark_go_to_no_window() {
    let window = OperatorSpec::WindowAggregate(WindowAggregateSpec {
        window: WindowInput::Assign {
            window: Window::Tumble { size_us: 10, offset_us: 0 },
            time: WindowTime::Event(0),
        },
        keys: Vec::new(),
        calls: Vec::new(),
        retracts: false,
        emit: WindowEmit::default(),
    });
    let plan = dataflow(vec![(source(), &[]), (group(), &[0]), (filter(), &[1]), (window, &[2]), (view(), &[3])]);
    assert_eq!(fates(&plan, &[2, 3, 4]), "rrrrr");
}
