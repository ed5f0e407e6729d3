//! [`Change`]: what a job that computes something else than before keeps of its state.
//!
//! An operator whose name is the same computes the same out of the same rows, so that its state is right as it is. One that is
//! new needs all rows that its inputs ever gave. Where an input holds what it has given out, it gives it once more; any other
//! input is made anew too, and so on, down to sources, which are read again from their beginning.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use crate::plan::{ChangelogMode, Dataflow, JoinKind, JoinSpec, Node, OperatorSpec, RankEmit, RankSpec};

/// What becomes of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It goes on from its state.
    Kept,
    /// It goes on from its state, and gives out once more what it has given out before.
    Reissued,
    /// It begins without a state. A source is read from its beginning.
    Rebuilt,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What becomes of each node, in their order.
    pub fates: Vec<Fate>,
}

impl Change {
    /// What a dataflow whose nodes have these names keeps of a state with operators named `saved`.
    pub fn new(dataflow: &Dataflow, names: &[String], saved: &BTreeSet<&str>) -> Self {
        let mut draft = Draft::new(dataflow, names, saved);
        while let Some(node) = (0..dataflow.nodes.len()).find(|node| draft.is_stuck(*node)) {
            draft.rebuild(node);
        }
        let fate = |node: usize| match (draft.is_kept(node), draft.feeds_rebuilt(node)) {
            (false, _) => Fate::Rebuilt,
            (true, true) => Fate::Reissued,
            (true, false) => Fate::Kept,
        };
        Self { fates: (0..dataflow.nodes.len()).map(fate).collect() }
    }

    /// What becomes of a node.
    pub fn of(&self, node: usize) -> Fate {
        self.fates.get(node).copied().unwrap_or(Fate::Rebuilt)
    }

    /// Whether nothing is made anew.
    pub fn is_none(&self) -> bool {
        self.fates.iter().all(|fate| *fate == Fate::Kept)
    }
}

/// A [`Change`] that is being found. Whatever reads something that is rebuilt is rebuilt.
struct Draft<'a> {
    dataflow: &'a Dataflow,
    kept: Vec<bool>,
    readers: Vec<Vec<usize>>,
    /// The node, or one behind it, needs its rows before the watermark that they were in time for.
    timed: Vec<bool>,
}

impl<'a> Draft<'a> {
    fn new(dataflow: &'a Dataflow, names: &[String], saved: &BTreeSet<&str>) -> Self {
        let mut readers = vec![Vec::new(); dataflow.nodes.len()];
        for node in &dataflow.nodes {
            for input in &node.inputs {
                if let Some(readers) = readers.get_mut(input.from.0) {
                    readers.push(node.id.0);
                }
            }
        }
        let mut draft = Self { dataflow, kept: vec![true; dataflow.nodes.len()], readers, timed: timed(dataflow) };
        for (node, name) in names.iter().enumerate() {
            if !saved.contains(name.as_str()) {
                draft.rebuild(node);
            }
        }
        draft
    }

    fn is_kept(&self, node: usize) -> bool {
        self.kept.get(node).copied().unwrap_or(false)
    }

    /// Rebuilds a node and all behind it.
    fn rebuild(&mut self, node: usize) {
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            let Some(kept) = self.kept.get_mut(node).filter(|kept| **kept) else { continue };
            *kept = false;
            open.extend(self.readers.get(node).into_iter().flatten());
        }
    }

    fn rebuilt_readers(&self, node: usize) -> impl Iterator<Item = usize> {
        self.readers.get(node).into_iter().flatten().copied().filter(|reader| !self.is_kept(*reader))
    }

    fn feeds_rebuilt(&self, node: usize) -> bool {
        self.rebuilt_readers(node).next().is_some()
    }

    /// Whether a node is kept that would have to give out again what it cannot, or not to all of its readers.
    fn is_stuck(&self, node: usize) -> bool {
        if !self.is_kept(node) || !self.feeds_rebuilt(node) {
            return false;
        }
        let reissues = self.dataflow.nodes.get(node).is_some_and(|node| {
            let from = node.inputs.iter().filter_map(|input| self.dataflow.nodes.get(input.from.0));
            reissues(&node.spec, &from.map(|from| Arc::clone(&from.edge.schema)).collect::<Vec<_>>())
        });
        let mut readers = self.readers.get(node).into_iter().flatten();
        !reissues || readers.any(|reader| self.is_kept(*reader) || self.timed.get(*reader) != Some(&false))
    }
}

/// Whether a job that goes on beside views which have gone on without it ends up with the same as if it had followed them: what
/// changed in between it gets at once, each row as it is by then. That is wrong only for those that look at when rows changed.
pub fn catches_up(dataflow: &Dataflow) -> bool {
    let is_view = |node: &Node| matches!(node.spec, OperatorSpec::ViewSource(_));
    let changing = |node: &Node| is_view(node) && node.edge.changelog == ChangelogMode::Retract;
    !dataflow.nodes.iter().zip(timed(dataflow)).any(|(node, timed)| timed && changing(node))
}

/// Of each node whether it, or one behind it, is timed.
fn timed(dataflow: &Dataflow) -> Vec<bool> {
    let mut timed = vec![false; dataflow.nodes.len()];
    for node in dataflow.nodes.iter().rev() {
        let own = timed.get(node.id.0) == Some(&true) || is_timed(&node.spec);
        for place in std::iter::once(node.id.0).chain(node.inputs.iter().map(|input| input.from.0)) {
            if let Some(timed) = timed.get_mut(place) {
                *timed |= own;
            }
        }
    }
    timed
}

/// Whether an operator can be late for rows: those that it gets again come behind the watermark.
fn is_timed(spec: &OperatorSpec) -> bool {
    match spec {
        OperatorSpec::Rank(spec) => spec.window_end.is_some() || matches!(spec.emit, RankEmit::OnWatermark { .. }),
        OperatorSpec::WindowAggregate(_)
        | OperatorSpec::SessionAggregate(_)
        | OperatorSpec::SessionAssign(_)
        | OperatorSpec::IntervalJoin(_)
        | OperatorSpec::TemporalJoin(_)
        | OperatorSpec::CurrentJoin(_)
        | OperatorSpec::WindowJoin(_)
        | OperatorSpec::Over(_) => true,
        OperatorSpec::Source(_)
        | OperatorSpec::ViewSource(_)
        | OperatorSpec::Stateless(_)
        | OperatorSpec::Union
        | OperatorSpec::GroupAggregate(_)
        | OperatorSpec::Join(_)
        | OperatorSpec::MultiJoin(_)
        | OperatorSpec::LookupJoin(_)
        | OperatorSpec::Materialize(_)
        | OperatorSpec::Sink(_) => false,
    }
}

/// Whether the state of an operator holds all that it has given out and not taken back. `inputs`: the schema of each port.
pub(crate) fn reissues(spec: &OperatorSpec, inputs: &[SchemaRef]) -> bool {
    match spec {
        OperatorSpec::GroupAggregate(spec) => spec.ttl_us.is_none(),
        OperatorSpec::Join(spec) => join_reissues(spec, inputs),
        OperatorSpec::MultiJoin(_) => true,
        OperatorSpec::Rank(spec) => rank_reissues(spec),
        OperatorSpec::Source(_)
        | OperatorSpec::ViewSource(_)
        | OperatorSpec::Stateless(_)
        | OperatorSpec::Union
        | OperatorSpec::WindowAggregate(_)
        | OperatorSpec::SessionAggregate(_)
        | OperatorSpec::SessionAssign(_)
        | OperatorSpec::IntervalJoin(_)
        | OperatorSpec::TemporalJoin(_)
        | OperatorSpec::LookupJoin(_)
        | OperatorSpec::CurrentJoin(_)
        | OperatorSpec::WindowJoin(_)
        | OperatorSpec::Over(_)
        | OperatorSpec::Materialize(_)
        | OperatorSpec::Sink(_) => false,
    }
}

/// A join forgets rows that can meet nothing any more, though they have come out on their own.
fn join_reissues(spec: &JoinSpec, inputs: &[SchemaRef]) -> bool {
    let nullable = |port: usize, column: usize| {
        let field = inputs.get(port).and_then(|schema| schema.fields().get(column));
        field.is_none_or(|field| field.is_nullable())
    };
    let left_alone = spec.retracts.0 || !spec.keys.iter().any(|key| !key.null_equal && nullable(0, key.left));
    let right_alone = spec.retracts.1 || !spec.keys.iter().any(|key| !key.null_equal && nullable(1, key.right));
    let holds = match spec.kind {
        JoinKind::Inner => true,
        JoinKind::Left | JoinKind::Mark => left_alone,
        JoinKind::Right => right_alone,
        JoinKind::Full => left_alone && right_alone,
        JoinKind::Semi | JoinKind::Anti => spec.retracts != (false, false) && left_alone,
    };
    holds && !spec.null_aware && spec.ttl_us == (None, None)
}

fn rank_reissues(spec: &RankSpec) -> bool {
    let at_barriers = matches!(spec.emit, RankEmit::NetChange | RankEmit::LastArrival);
    at_barriers && spec.window_end.is_none() && spec.ttl_us.is_none()
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
