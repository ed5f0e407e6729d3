//! What operators are called in checkpoints: names that come from what they compute, not from where they stand.
//!
//! A name is the kind of the operator and a hash over its description and the names of its inputs. So an operator keeps its
//! name, and with it its state, when something else in the query changes. Equal operators are told apart by a number.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_64;

use crate::plan::{Dataflow, Node, OperatorSpec};

/// The name of each node, in their order. Different within a dataflow.
pub fn operator_ids(dataflow: &Dataflow) -> Vec<String> {
    let mut ids: Vec<String> = Vec::with_capacity(dataflow.nodes.len());
    // What the names of readers depend on: of a source also what is done to its rows.
    let mut outputs: Vec<String> = Vec::with_capacity(dataflow.nodes.len());
    let mut taken: HashMap<String, usize> = HashMap::new();
    for node in &dataflow.nodes {
        let (kind, content) = content(node);
        let types: Vec<String> = node.edge.schema.fields().iter().map(|field| field.data_type().to_string()).collect();
        let inputs: Vec<String> = node
            .inputs
            .iter()
            .map(|input| format!("{} {:?}", outputs.get(input.from.0).map_or("", String::as_str), input.partitioning))
            .collect();
        let text = format!("{content}\n{}\n{}", types.join(","), inputs.join("\n"));
        let id = format!("{kind}-{:016x}", xxh3_64(text.as_bytes()));
        let count = taken.entry(id.clone()).or_insert(0);
        *count += 1;
        let id = if *count == 1 { id } else { format!("{id}-{count}") };
        outputs.push(match &node.spec {
            OperatorSpec::Source(spec) => format!("{id} {:?}", spec.steps),
            _ => id.clone(),
        });
        ids.push(id);
    }
    ids
}

/// A hash over the names of all operators: equal plans have equal ones.
pub fn plan_hash(ids: &[String]) -> String {
    format!("{:016x}", xxh3_64(ids.join("\n").as_bytes()))
}

fn content(node: &Node) -> (&'static str, String) {
    match &node.spec {
        // Filters that reach the source do not change where its splits are.
        OperatorSpec::Source(spec) => ("source", spec.table.clone()),
        // Views may get other names.
        OperatorSpec::ViewSource(spec) => ("view", spec.relation.0.to_string()),
        OperatorSpec::Stateless(spec) => ("stateless", format!("{spec:?}")),
        OperatorSpec::Union => ("union", String::new()),
        OperatorSpec::WindowAggregate(spec) => ("window-aggregate", format!("{spec:?}")),
        OperatorSpec::SessionAggregate(spec) => ("session-aggregate", format!("{spec:?}")),
        OperatorSpec::SessionAssign(spec) => ("session-assign", format!("{spec:?}")),
        OperatorSpec::GroupAggregate(spec) => ("group-aggregate", format!("{spec:?}")),
        OperatorSpec::Join(spec) => ("join", format!("{spec:?}")),
        OperatorSpec::IntervalJoin(spec) => ("interval-join", format!("{spec:?}")),
        OperatorSpec::TemporalJoin(spec) => ("temporal-join", format!("{spec:?}")),
        OperatorSpec::LookupJoin(spec) => {
            ("lookup-join", format!("{} {:?} {:?} {:?}", spec.table, spec.kind, spec.keys, spec.residual))
        }
        OperatorSpec::CurrentJoin(spec) => ("current-join", format!("{spec:?}")),
        OperatorSpec::WindowJoin(spec) => ("window-join", format!("{spec:?}")),
        OperatorSpec::Rank(spec) => ("rank", format!("{spec:?}")),
        OperatorSpec::Over(spec) => ("over", format!("{spec:?}")),
        OperatorSpec::Materialize(spec) => ("materialize", spec.relation.0.to_string()),
        OperatorSpec::Sink(spec) => ("sink", spec.table.clone()),
    }
}
