//! Upserts: a sink that replaces rows by key is not given the old row of an update, where the key is one of the rows
//! themselves and nothing on the way to the sink needs the old row.

use std::collections::BTreeSet;

use millstream_engine::plan::{ChangelogMode, Dataflow, NodeId, OperatorSpec, Partitioning, Step};

use super::unique::unique_keys;

/// Marks the edges on which old rows are left out.
pub(super) fn leave_old_rows_out(dataflow: &mut Dataflow) {
    let replacing = dataflow.nodes.iter().filter_map(|node| {
        let OperatorSpec::Sink(spec) = &node.spec else { return None };
        let changes = node.edge.changelog == ChangelogMode::Retract;
        Some((node.id, spec.sink.upsert_key().filter(|_| changes)?))
    });
    let sinks: Vec<(NodeId, Vec<usize>)> = replacing.collect();
    for (sink, key) in sinks {
        let Some((path, key)) = way(dataflow, sink, key) else { continue };
        if let Some(node) = path.last().and_then(|id| dataflow.nodes.get_mut(id.0)) {
            if let OperatorSpec::GroupAggregate(spec) = &mut node.spec {
                spec.upserts = true;
            }
            node.edge.stream_key = Some(key);
        }
        for id in path {
            if let Some(node) = dataflow.nodes.get_mut(id.0) {
                node.edge.changelog = ChangelogMode::Upsert;
            }
        }
    }
}

/// The nodes from a sink up to the operator whose rows it replaces, and the sink's key in the columns of that operator.
/// `None` where the old rows are needed.
fn way(dataflow: &Dataflow, sink: NodeId, mut key: Vec<usize>) -> Option<(Vec<NodeId>, Vec<usize>)> {
    let mut path = vec![sink];
    loop {
        let reader = dataflow.nodes.get(path.last()?.0)?;
        let [input] = &reader.inputs[..] else { return None };
        let readers = dataflow.nodes.iter().flat_map(|node| &node.inputs).filter(|other| other.from == input.from);
        if readers.count() != 1 || input.partitioning != Partitioning::Forward {
            return None;
        }
        let node = dataflow.nodes.get(input.from.0)?;
        path.push(node.id);
        match &node.spec {
            OperatorSpec::Stateless(spec) => {
                for step in spec.steps.iter().rev() {
                    // A condition may let the old row pass and not the new one.
                    let Step::Project { exprs, .. } = step else { return None };
                    key = key.iter().map(|column| exprs.get(*column)?.as_column()).collect::<Option<_>>()?;
                }
            }
            OperatorSpec::GroupAggregate(_)
            | OperatorSpec::WindowAggregate(_)
            | OperatorSpec::Rank(_)
            | OperatorSpec::Join(_) => {
                let set = |columns: &[usize]| columns.iter().copied().collect::<BTreeSet<_>>();
                let wanted = set(&key);
                let known = unique_keys(dataflow, node).iter().any(|unique| set(unique) == wanted);
                return known.then_some((path, key));
            }
            OperatorSpec::Source(_)
            | OperatorSpec::ViewSource(_)
            | OperatorSpec::Union
            | OperatorSpec::SessionAggregate(_)
            | OperatorSpec::SessionAssign(_)
            | OperatorSpec::IntervalJoin(_)
            | OperatorSpec::TemporalJoin(_)
            | OperatorSpec::CurrentJoin(_)
            | OperatorSpec::LookupJoin(_)
            | OperatorSpec::WindowJoin(_)
            | OperatorSpec::Over(_)
            | OperatorSpec::Materialize(_)
            | OperatorSpec::Sink(_) => return None,
        }
    }
}
