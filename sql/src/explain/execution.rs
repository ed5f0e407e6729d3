//! What `EXPLAIN JSON_EXECUTION_PLAN` and `EXPLAIN PLAN_ADVICE` add: the nodes as JSON in Flink's form, and what to heed.

use millstream_engine::plan::{Dataflow, Node, OperatorSpec, Partitioning};

use super::text::readable;
use super::{headline, names, state};
use crate::functions::push_json_text;

/// The nodes with their inputs: `{"nodes": [{"id": 0, "type": …, "predecessors": […]}]}`.
pub(crate) fn json(dataflow: &Dataflow, shards: usize) -> String {
    let nodes: Vec<String> = dataflow.nodes.iter().map(|node| object(dataflow, node, shards)).collect();
    format!("{{\n  \"nodes\" : [ {} ]\n}}", nodes.join(", "))
}

fn object(dataflow: &Dataflow, node: &Node, shards: usize) -> String {
    let text = |value: &str| {
        let mut out = String::new();
        push_json_text(&mut out, value);
        out
    };
    let pact = match &node.spec {
        OperatorSpec::Source(_) | OperatorSpec::ViewSource(_) => "Data Source",
        OperatorSpec::Sink(_) | OperatorSpec::Materialize(_) => "Data Sink",
        _ => "Operator",
    };
    let kind = match node.spec.relation() {
        Some(relation) => format!("{} {relation}", node.spec.name()),
        None => node.spec.name().to_owned(),
    };
    let parallelism =
        if node.inputs.iter().any(|input| input.partitioning == Partitioning::Single) { 1 } else { shards };
    let mut fields = vec![
        format!("\"id\" : {}", node.id.0),
        format!("\"type\" : {}", text(&kind)),
        format!("\"pact\" : \"{pact}\""),
        format!("\"contents\" : {}", text(&readable(&headline(dataflow, node)))),
        format!("\"parallelism\" : {parallelism}"),
    ];
    if !node.inputs.is_empty() {
        let side = |index: usize| if index == 0 { "first" } else { "second" };
        let inputs = node.inputs.iter().enumerate().map(|(index, input)| {
            let strategy = match &input.partitioning {
                Partitioning::Forward => "FORWARD".to_owned(),
                Partitioning::Single => "GLOBAL".to_owned(),
                Partitioning::Hash(columns) => {
                    let of = dataflow.nodes.get(input.from.0).map_or_else(String::new, |from| names(from, columns));
                    format!("HASH[{of}]")
                }
            };
            let (from, side) = (input.from.0, side(index));
            format!(
                "{{\n      \"id\" : {from},\n      \"ship_strategy\" : {},\n      \"side\" : \"{side}\"\n    }}",
                text(&strategy)
            )
        });
        fields.push(format!("\"predecessors\" : [ {} ]", inputs.collect::<Vec<_>>().join(", ")));
    }
    format!("{{\n    {}\n  }}", fields.join(",\n    "))
}

/// One line for each node that keeps what nothing bounds, or that only one shard can work at.
pub(crate) fn advice(dataflow: &Dataflow) -> String {
    let mut lines = Vec::new();
    for node in &dataflow.nodes {
        if let Some(state) = state(node).filter(|state| state.ends_with("(warning)")) {
            let state = state.trim_end_matches("(warning)").trim_end();
            let what = match &node.spec {
                OperatorSpec::Materialize(_) => "aggregate the rows, or keep the last ones with ROW_NUMBER",
                _ => "SET 'table.exec.state.ttl', or bound it by event time: windows, interval joins",
            };
            lines.push(format!("[WARNING] node #{} {} keeps {state}; {what}", node.id.0, node.spec.name()));
        }
        let single = node.inputs.iter().any(|input| input.partitioning == Partitioning::Single);
        if single && !matches!(node.spec, OperatorSpec::Sink(_) | OperatorSpec::Materialize(_)) {
            let name = node.spec.name();
            lines.push(format!(
                "[ADVICE] all rows of node #{} {name} go to one shard; a key would spread them",
                node.id.0
            ));
        }
    }
    if lines.is_empty() {
        return "No available advice...".to_owned();
    }
    lines
        .iter()
        .enumerate()
        .map(|(index, line)| format!("advice[{}]: {line}", index + 1))
        .collect::<Vec<_>>()
        .join("\n")
}
