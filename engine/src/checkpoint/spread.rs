//! [`Spread`]: by which columns the rows that come out of a node are spread over the shards.
//!
//! State that moves to another number of shards must go where the rows of its keys will go. That is decided by the last
//! exchange before the operator, whose columns are followed here through projections, joins and aggregations.

use crate::plan::{ChangelogMode, Dataflow, Input, JoinKind, Node, OperatorSpec, Partitioning, StatelessSpec, Step};

/// How rows are spread over the shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spread {
    /// In no way that their columns tell.
    Any,
    /// All are on shard 0.
    Single,
    /// By the key group of these columns, in this order.
    Hash(Vec<usize>),
}

/// The spread of each node's output, by node.
pub fn spreads(dataflow: &Dataflow) -> Vec<Spread> {
    let mut all: Vec<Spread> = Vec::with_capacity(dataflow.nodes.len());
    for node in &dataflow.nodes {
        let inputs: Vec<Spread> = node.inputs.iter().map(|input| of_input(&all, input)).collect();
        let widths: Vec<usize> = node
            .inputs
            .iter()
            .map(|input| dataflow.nodes.get(input.from.0).map_or(0, |from| from.edge.schema.fields().len()))
            .collect();
        all.push(of_output(node, &inputs, &widths));
    }
    all
}

/// The spread of the rows that a port gets, given those of all nodes.
pub fn of_input(all: &[Spread], input: &Input) -> Spread {
    match &input.partitioning {
        Partitioning::Forward => all.get(input.from.0).cloned().unwrap_or(Spread::Any),
        Partitioning::Hash(keys) if !keys.is_empty() => Spread::Hash(keys.clone()),
        Partitioning::Hash(_) | Partitioning::Single => Spread::Single,
    }
}

/// The dataflow with exchanges before those views whose rows else could not follow their keys to another number of
/// shards: views that retract rows and whose columns do not tell the shard.
#[must_use]
pub fn made_movable(dataflow: &Dataflow) -> Dataflow {
    let all = spreads(dataflow);
    let mut movable = dataflow.clone();
    for node in &mut movable.nodes {
        let OperatorSpec::Materialize(_) = &node.spec else { continue };
        let by_row = || (0..node.edge.schema.fields().len()).collect();
        let key = node.edge.stream_key.clone().unwrap_or_else(by_row);
        for input in &mut node.inputs {
            if node.edge.changelog == ChangelogMode::Retract && of_input(&all, input) == Spread::Any {
                input.partitioning = Partitioning::Hash(key.clone());
            }
        }
    }
    movable
}

fn of_output(node: &Node, inputs: &[Spread], widths: &[usize]) -> Spread {
    let first = || inputs.first().cloned().unwrap_or(Spread::Any);
    match &node.spec {
        OperatorSpec::Source(_) | OperatorSpec::ViewSource(_) => Spread::Any,
        OperatorSpec::Stateless(spec) => after_steps(spec, first()),
        OperatorSpec::Union => {
            if inputs.windows(2).all(|pair| pair.first() == pair.last()) {
                first()
            } else {
                Spread::Any
            }
        }
        OperatorSpec::WindowAggregate(spec) => through(&first(), |column| position(&spec.keys, column)),
        OperatorSpec::SessionAggregate(spec) => through(&first(), |column| position(&spec.keys, column)),
        OperatorSpec::GroupAggregate(spec) => through(&first(), |column| position(&spec.keys, column)),
        // The columns of the input come first.
        OperatorSpec::SessionAssign(_)
        | OperatorSpec::LookupJoin(_)
        | OperatorSpec::Rank(_)
        | OperatorSpec::Over(_) => first(),
        OperatorSpec::Join(spec) => of_join(spec.kind, inputs, widths),
        OperatorSpec::MultiJoin(spec) => {
            through(&first(), |column| spec.columns.iter().position(|from| *from == (0, column)))
        }
        OperatorSpec::IntervalJoin(spec) => of_join(spec.kind, inputs, widths),
        OperatorSpec::TemporalJoin(spec) => of_join(spec.kind, inputs, widths),
        OperatorSpec::CurrentJoin(spec) => of_join(spec.kind, inputs, widths),
        OperatorSpec::WindowJoin(spec) => of_join(spec.kind, inputs, widths),
        OperatorSpec::Materialize(_) | OperatorSpec::Sink(_) => first(),
    }
}

fn after_steps(spec: &StatelessSpec, mut spread: Spread) -> Spread {
    for step in &spec.steps {
        spread = match step {
            // Windows and fields are appended.
            Step::Filter(_) | Step::AssignWindows { .. } | Step::Unnest { .. } => spread,
            Step::Project { exprs, .. } => {
                through(&spread, |column| exprs.iter().position(|expr| expr.as_column() == Some(column)))
            }
            Step::Expand { sets, .. } => {
                let stays = |column: usize| sets.iter().all(|set| !set.left_out.contains(&column));
                through(&spread, |column| stays(column).then_some(column))
            }
        };
    }
    spread
}

/// Rows of a side without a partner have nulls for the other side.
fn of_join(kind: JoinKind, inputs: &[Spread], widths: &[usize]) -> Spread {
    let (Some(left), Some(right), Some(width)) = (inputs.first(), inputs.get(1), widths.first()) else {
        return Spread::Any;
    };
    match kind {
        JoinKind::Inner | JoinKind::Left | JoinKind::Semi | JoinKind::Anti | JoinKind::Mark => left.clone(),
        JoinKind::Right => through(right, |column| Some(width + column)),
        JoinKind::Full => through(left, |_| None),
    }
}

/// The spread after each of its columns has moved; none of them may be gone.
fn through(spread: &Spread, moved: impl Fn(usize) -> Option<usize>) -> Spread {
    match spread {
        Spread::Any => Spread::Any,
        Spread::Single => Spread::Single,
        Spread::Hash(columns) => {
            columns.iter().map(|column| moved(*column)).collect::<Option<_>>().map_or(Spread::Any, Spread::Hash)
        }
    }
}

fn position(keys: &[usize], column: usize) -> Option<usize> {
    keys.iter().position(|key| *key == column)
}
