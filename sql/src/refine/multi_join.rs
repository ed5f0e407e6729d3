//! Inner joins of joins on one key become one operator, which keeps the inputs but never what some of them give together.
//!
//! A join takes part where its inputs only insert, nothing is ever forgotten and there is no condition beyond equal keys.

use std::collections::BTreeSet;

use millstream_engine::plan::{
    Dataflow, Input, JoinKind, JoinSpec, MultiJoinSpec, Node, NodeId, OperatorSpec, Partitioning, Step,
};

/// A join of two inputs or more.
#[derive(Debug, Clone)]
struct Joined {
    inputs: Vec<Input>,
    spec: MultiJoinSpec,
}

/// Replaces each join whose inputs are joins on the same key.
pub(super) fn join_at_once(dataflow: &mut Dataflow) {
    let mut spent = BTreeSet::new();
    for at in 0..dataflow.nodes.len() {
        let Some(node) = dataflow.nodes.get(at) else { continue };
        let Some((joined, gone)) = expanded(dataflow, node) else { continue };
        spent.extend(gone);
        if let Some(node) = dataflow.nodes.get_mut(at) {
            node.inputs = joined.inputs;
            node.spec = OperatorSpec::MultiJoin(joined.spec);
        }
    }
    if !spent.is_empty() {
        remove(dataflow, &spent);
    }
}

/// The join with those of its inputs in it, and the nodes that nobody reads then. `None`: no input is one.
fn expanded(dataflow: &Dataflow, node: &Node) -> Option<(Joined, Vec<NodeId>)> {
    let mut joined = of_node(dataflow, node)?;
    let mut gone = Vec::new();
    // From the last, so that the places of those before stay.
    for port in (0..joined.inputs.len()).rev() {
        let found = below(dataflow, joined.inputs.get(port)?)
            .and_then(|(inner, columns, nodes)| Some((joined.with(port, &inner, &columns)?, nodes)));
        if let Some((wider, nodes)) = found {
            joined = wider;
            gone.extend(nodes);
        }
    }
    (!gone.is_empty()).then_some((joined, gone))
}

/// A node as a join of several inputs.
fn of_node(dataflow: &Dataflow, node: &Node) -> Option<Joined> {
    let spec = match &node.spec {
        OperatorSpec::MultiJoin(spec) => spec.clone(),
        OperatorSpec::Join(spec) if only_grows(spec) => {
            let (left, right) = spec.keys.iter().map(|key| (key.left, key.right)).unzip();
            let of_input = |(port, input): (usize, &Input)| {
                let width = dataflow.nodes.get(input.from.0).map_or(0, |from| from.edge.schema.fields().len());
                (0..width).map(move |column| (port, column)).collect::<Vec<_>>()
            };
            let columns = node.inputs.iter().enumerate().flat_map(of_input).collect();
            MultiJoinSpec { keys: vec![left, right], columns }
        }
        _ => return None,
    };
    Some(Joined { inputs: node.inputs.clone(), spec })
}

fn only_grows(spec: &JoinSpec) -> bool {
    let JoinSpec { kind, keys, residual, retracts, null_aware: _, ttl_us } = spec;
    let equal = !keys.is_empty() && keys.iter().all(|key| !key.null_equal);
    *kind == JoinKind::Inner && equal && residual.is_none() && *retracts == (false, false) && *ttl_us == (None, None)
}

/// The join that an input is, alone or with some of its columns taken; where each column of the input is among the join's; and
/// the nodes that it is made of. `None` where others read them too.
fn below(dataflow: &Dataflow, input: &Input) -> Option<(Joined, Vec<usize>, Vec<NodeId>)> {
    let node = sole(dataflow, input)?;
    let OperatorSpec::Stateless(spec) = &node.spec else {
        let columns = (0..node.edge.schema.fields().len()).collect();
        return Some((of_node(dataflow, node)?, columns, vec![node.id]));
    };
    let [before] = &node.inputs[..] else { return None };
    let inner = sole(dataflow, before).filter(|_| before.partitioning == Partitioning::Forward)?;
    let mut columns: Vec<usize> = (0..inner.edge.schema.fields().len()).collect();
    for step in &spec.steps {
        let Step::Project { exprs, .. } = step else { return None };
        columns = exprs.iter().map(|expr| columns.get(expr.as_column()?).copied()).collect::<Option<_>>()?;
    }
    Some((of_node(dataflow, inner)?, columns, vec![node.id, inner.id]))
}

/// The node that an input reads, where nothing else reads it.
fn sole<'a>(dataflow: &'a Dataflow, input: &Input) -> Option<&'a Node> {
    let readers = dataflow.nodes.iter().flat_map(|node| &node.inputs).filter(|other| other.from == input.from);
    dataflow.nodes.get(input.from.0).filter(|_| readers.count() == 1)
}

impl Joined {
    /// This join with the inputs of `inner` in place of the input at `port`, whose columns are these of `inner`. `None` where
    /// the keys are not the same.
    fn with(&self, port: usize, inner: &Self, columns: &[usize]) -> Option<Self> {
        let origin = |column: usize| inner.spec.columns.get(*columns.get(column)?).copied();
        // Which key of `inner` each key of this join is.
        let own_keys = self.spec.keys.get(port)?;
        let place = |column: &usize| {
            let (input, column) = origin(*column)?;
            inner.spec.keys.get(input)?.iter().position(|key| *key == column)
        };
        let places: Vec<usize> = own_keys.iter().map(place).collect::<Option<_>>()?;
        let count = inner.spec.keys.first()?.len();
        if places.len() != count || places.iter().collect::<BTreeSet<_>>().len() != count {
            return None;
        }
        let (mut inputs, mut keys) = (Vec::new(), Vec::new());
        for (at, (input, of_input)) in self.inputs.iter().zip(&self.spec.keys).enumerate() {
            if at == port {
                inputs.extend(inner.inputs.iter().cloned());
                keys.extend(inner.spec.keys.iter().cloned());
                continue;
            }
            let (input, of_input) = in_order(input, of_input, &places)?;
            inputs.push(input);
            keys.push(of_input);
        }
        let widened = |&(at, column): &(usize, usize)| match at.cmp(&port) {
            std::cmp::Ordering::Less => Some((at, column)),
            std::cmp::Ordering::Equal => origin(column).map(|(input, column)| (port + input, column)),
            std::cmp::Ordering::Greater => Some((at + inner.inputs.len() - 1, column)),
        };
        let columns = self.spec.columns.iter().map(widened).collect::<Option<_>>()?;
        Some(Self { inputs, spec: MultiJoinSpec { keys, columns } })
    }
}

/// An input and its keys, the key at `i` moved to `places[i]`: rows are spread by their keys in this order.
fn in_order(input: &Input, keys: &[usize], places: &[usize]) -> Option<(Input, Vec<usize>)> {
    let mut moved = vec![None; keys.len()];
    for (key, place) in keys.iter().zip(places) {
        *moved.get_mut(*place)? = Some(*key);
    }
    let moved: Vec<usize> = moved.into_iter().collect::<Option<_>>()?;
    let same = moved == keys;
    let partitioning = match &input.partitioning {
        Partitioning::Hash(columns) if columns == keys => Partitioning::Hash(moved.clone()),
        other if same => other.clone(),
        _ => return None,
    };
    Some((Input { from: input.from, partitioning }, moved))
}

/// Takes nodes out that nobody reads.
fn remove(dataflow: &mut Dataflow, gone: &BTreeSet<NodeId>) {
    let before = |id: NodeId| NodeId(id.0 - gone.range(..id).count());
    dataflow.nodes.retain(|node| !gone.contains(&node.id));
    for node in &mut dataflow.nodes {
        node.id = before(node.id);
        node.inputs.iter_mut().for_each(|input| input.from = before(input.from));
    }
}
