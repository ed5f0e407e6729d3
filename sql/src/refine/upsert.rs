//! Upserts: a sink that replaces rows by key is not given the old row of an update, where the key is one of the rows
//! themselves and nothing on the way to the sink needs the old row.

use std::collections::BTreeSet;

use arrow::datatypes::Schema;
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
                let before = node.inputs.first().and_then(|input| dataflow.nodes.get(input.from.0))?;
                key = under(&spec.steps, &before.edge.schema, key)?;
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
            | OperatorSpec::MultiJoin(_)
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

/// The key of rows in the columns that they had before some steps; `None` where the steps do more than to give columns.
fn under(steps: &[Step], before: &Schema, mut key: Vec<usize>) -> Option<Vec<usize>> {
    let Some((last, others)) = steps.split_last() else { return Some(key) };
    // A condition may let the old row pass and not the new one.
    let Step::Project { exprs, .. } = last else { return None };
    let schema = match others.last() {
        None => before,
        Some(Step::Project { schema, .. }) => schema,
        Some(_) => return None,
    };
    for column in &mut key {
        let (from, cast) = exprs.get(*column)?.as_cast_column()?;
        let given = schema.fields().get(from)?.data_type();
        // Different whole numbers stay different, or the cast fails.
        if cast.is_some_and(|cast| cast != given && !(cast.is_integer() && given.is_integer())) {
            return None;
        }
        *column = from;
    }
    under(others, before, key)
}
