//! Which columns of a node's output no two rows share, as far as its operator tells.

use millstream_engine::plan::{Dataflow, JoinKind, JoinSpec, Node, OperatorSpec, RankFunction, RankSpec};

/// Sets of columns of which each identifies a row at a barrier.
pub(super) fn unique_keys(dataflow: &Dataflow, node: &Node) -> Vec<Vec<usize>> {
    let mut keys: Vec<Vec<usize>> = node.edge.stream_key.clone().into_iter().collect();
    match &node.spec {
        OperatorSpec::Rank(spec) => keys.extend(of_rank(spec, node.edge.schema.fields().len())),
        OperatorSpec::Join(spec) => keys.extend(of_join(dataflow, node, spec)),
        OperatorSpec::Source(_)
        | OperatorSpec::ViewSource(_)
        | OperatorSpec::Stateless(_)
        | OperatorSpec::Union
        | OperatorSpec::WindowAggregate(_)
        | OperatorSpec::SessionAggregate(_)
        | OperatorSpec::SessionAssign(_)
        | OperatorSpec::GroupAggregate(_)
        | OperatorSpec::MultiJoin(_)
        | OperatorSpec::IntervalJoin(_)
        | OperatorSpec::TemporalJoin(_)
        | OperatorSpec::CurrentJoin(_)
        | OperatorSpec::LookupJoin(_)
        | OperatorSpec::WindowJoin(_)
        | OperatorSpec::Over(_)
        | OperatorSpec::Materialize(_)
        | OperatorSpec::Sink(_) => {}
    }
    keys
}

/// One row a partition; or one a number, which is the last column.
fn of_rank(spec: &RankSpec, width: usize) -> Option<Vec<usize>> {
    if spec.function != RankFunction::RowNumber {
        return None;
    }
    let number = match (&spec.rank_column, spec.from == spec.to) {
        (_, true) => None,
        (Some(_), false) => Some(width.checked_sub(1)?),
        (None, false) => return None,
    };
    Some(spec.partition.iter().copied().chain(number).collect())
}

/// A row is that of its side where it has one partner at most; else both sides' together.
fn of_join(dataflow: &Dataflow, node: &Node, spec: &JoinSpec) -> Vec<Vec<usize>> {
    let [left, right] = &node.inputs[..] else { return Vec::new() };
    let of = |input: &millstream_engine::plan::Input| dataflow.nodes.get(input.from.0);
    let (Some(left), Some(right)) = (of(left), of(right)) else { return Vec::new() };
    let width = left.edge.schema.fields().len();
    let joined: (Vec<usize>, Vec<usize>) = spec.keys.iter().map(|key| (key.left, key.right)).unzip();
    let (left_keys, right_keys) = (unique_keys(dataflow, left), unique_keys(dataflow, right));
    let met = |keys: &[Vec<usize>], by: &[usize]| keys.iter().any(|key| key.iter().all(|column| by.contains(column)));
    let (one_left, one_right) = (met(&left_keys, &joined.0), met(&right_keys, &joined.1));
    let right_keys: Vec<Vec<usize>> =
        right_keys.iter().map(|key| key.iter().map(|column| column + width).collect()).collect();
    let mut keys = Vec::new();
    // A side that may be null identifies nothing.
    if one_right && matches!(spec.kind, JoinKind::Inner | JoinKind::Left) {
        keys.extend(left_keys.iter().cloned());
    }
    if one_left && matches!(spec.kind, JoinKind::Inner | JoinKind::Right) {
        keys.extend(right_keys.iter().cloned());
    }
    if spec.kind == JoinKind::Inner {
        for left in &left_keys {
            keys.extend(right_keys.iter().map(|right| [left.as_slice(), right].concat()));
        }
    }
    keys
}
