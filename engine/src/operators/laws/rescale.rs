//! Law 4 over another number of shards: a state that is cut by key and put together again is the same state.

use crate::checkpoint::redistribute::{Placement, join, part_of};
use crate::checkpoint::spread::Spread;
use crate::error::Result;
use crate::operators::OperatorState;
use crate::plan::{JoinKey, OperatorSpec, WindowInput};

/// The state after it was dealt to three shards, and from those to one.
pub(super) fn dealt_and_gathered(state: &OperatorState, spec: &OperatorSpec) -> Result<OperatorState> {
    let ports = ports(spec);
    let placement = Placement { spec, ports: &ports };
    let dealt = (0..3).map(|shard| part_of(state, placement, shard, 3)).collect::<Result<Vec<_>>>()?;
    let rows = |state: &OperatorState, table: &str| {
        let found = state.tables.iter().find(|(name, _)| name == table);
        found.map_or(0, |(_, rows)| rows.num_rows())
    };
    for table in ["keys", "rows", "left", "right", "input0", "input2", "sessions", "calls", "kept"] {
        let sum: usize = dealt.iter().map(|part| rows(part, table)).sum();
        assert_eq!(sum, rows(state, table), "rows of table {table}");
    }
    let gathered = dealt.iter().map(|part| part_of(part, placement, 0, 1)).collect::<Result<Vec<_>>>()?;
    join(&gathered, spec)
}

/// How the planner spreads the rows of an operator's inputs.
fn ports(spec: &OperatorSpec) -> Vec<Spread> {
    let by = |keys: &[usize]| if keys.is_empty() { Spread::Single } else { Spread::Hash(keys.to_vec()) };
    let of_join = |keys: Vec<(usize, usize)>| {
        let (left, right): (Vec<usize>, Vec<usize>) = keys.into_iter().unzip();
        vec![by(&left), by(&right)]
    };
    let pairs = |keys: &[JoinKey]| keys.iter().map(|key| (key.left, key.right)).collect();
    match spec {
        OperatorSpec::WindowAggregate(spec) => match (&spec.keys[..], spec.window) {
            ([], WindowInput::Attached { start, end }) => vec![Spread::Hash(vec![start, end])],
            (keys, _) => vec![by(keys)],
        },
        OperatorSpec::SessionAggregate(spec) => vec![by(&spec.keys)],
        OperatorSpec::SessionAssign(spec) => vec![by(&spec.keys)],
        OperatorSpec::GroupAggregate(spec) => vec![by(&spec.keys)],
        OperatorSpec::Join(spec) => of_join(pairs(&spec.keys)),
        OperatorSpec::MultiJoin(spec) => spec.keys.iter().map(|keys| by(keys)).collect(),
        OperatorSpec::IntervalJoin(spec) => of_join(pairs(&spec.keys)),
        OperatorSpec::TemporalJoin(spec) => of_join(pairs(&spec.keys)),
        OperatorSpec::CurrentJoin(spec) => of_join(pairs(&spec.keys)),
        OperatorSpec::WindowJoin(spec) => of_join(spec.keys.clone()),
        OperatorSpec::Rank(spec) => vec![by(&spec.partition)],
        OperatorSpec::Over(spec) => vec![by(&spec.partition)],
        OperatorSpec::Source(_)
        | OperatorSpec::ViewSource(_)
        | OperatorSpec::Stateless(_)
        | OperatorSpec::Union
        | OperatorSpec::LookupJoin(_)
        | OperatorSpec::Materialize(_)
        | OperatorSpec::Sink(_) => vec![Spread::Any; 2],
    }
}
