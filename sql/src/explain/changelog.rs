//! Which kinds of row changes an edge has, in Flink's letters: `+I` inserts, `-U` and `+U` are the old and the new row of
//! an update, `-D` deletes.

use millstream_engine::plan::{ChangelogMode, Dataflow, JoinKind, Node, OperatorSpec, Step};

/// `changelogMode=[I,UB,UA,D]`
pub(super) fn kinds(dataflow: &Dataflow, node: &Node) -> String {
    let kinds = match &node.spec {
        OperatorSpec::Sink(_) | OperatorSpec::Materialize(_) => "NONE",
        _ => match (node.edge.changelog, deletes(dataflow, node)) {
            (ChangelogMode::Append, _) => "I",
            (ChangelogMode::Retract, true) => "I,UB,UA,D",
            (ChangelogMode::Retract, false) => "I,UB,UA",
            (ChangelogMode::Upsert, true) => "I,UA,D",
            (ChangelogMode::Upsert, false) => "I,UA",
        },
    };
    format!("changelogMode=[{kinds}]")
}

/// Whether a row of the node's output may go without another one in its place.
fn deletes(dataflow: &Dataflow, node: &Node) -> bool {
    let input = node.inputs.first().and_then(|input| dataflow.nodes.get(input.from.0));
    match &node.spec {
        OperatorSpec::GroupAggregate(spec) => spec.retracts && !spec.keys.is_empty(),
        OperatorSpec::WindowAggregate(spec) => spec.retracts,
        // Rows that come out early go to another session one by one.
        OperatorSpec::SessionAssign(_) => true,
        // The row that a partition has is replaced, not deleted.
        OperatorSpec::Rank(spec) => spec.retracts || spec.from > 1,
        OperatorSpec::Join(spec) => match spec.kind {
            JoinKind::Mark => spec.retracts.0,
            _ => true,
        },
        OperatorSpec::Stateless(spec) => {
            let drops = |step: &Step| match step {
                Step::Filter(_) => true,
                Step::Project { .. } | Step::AssignWindows { .. } | Step::Expand { .. } => false,
                // A row may have elements before it changes and none afterwards.
                Step::Unnest { .. } => true,
            };
            spec.steps.iter().any(drops) || input.is_none_or(|input| deletes(dataflow, input))
        }
        OperatorSpec::Source(_)
        | OperatorSpec::ViewSource(_)
        | OperatorSpec::Union
        | OperatorSpec::SessionAggregate(_)
        | OperatorSpec::MultiJoin(_)
        | OperatorSpec::IntervalJoin(_)
        | OperatorSpec::TemporalJoin(_)
        | OperatorSpec::CurrentJoin(_)
        | OperatorSpec::LookupJoin(_)
        | OperatorSpec::WindowJoin(_)
        | OperatorSpec::Over(_)
        | OperatorSpec::Materialize(_)
        | OperatorSpec::Sink(_) => true,
    }
}
