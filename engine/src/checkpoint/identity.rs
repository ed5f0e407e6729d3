//! What operators are called in checkpoints: names that come from what they compute, not from where they stand.
//!
//! A name is the kind of the operator and a hash over its description and the names of its inputs. So an operator keeps its
//! name, and with it its state, when something else in the query changes. Equal operators are told apart by a number.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use xxhash_rust::xxh3::xxh3_64;

use super::canonical::{describe, steps};
use crate::plan::{Dataflow, OperatorSpec, Partitioning};

/// The name of each node, in their order. Different within a dataflow.
pub fn operator_ids(dataflow: &Dataflow) -> Vec<String> {
    let mut ids: Vec<String> = Vec::with_capacity(dataflow.nodes.len());
    // What the names of readers depend on: of a source also what is done to its rows.
    let mut outputs: Vec<String> = Vec::with_capacity(dataflow.nodes.len());
    let mut taken: HashMap<String, usize> = HashMap::new();
    for node in &dataflow.nodes {
        let (kind, content) = describe(&node.spec);
        let types: Vec<String> = node.edge.schema.fields().iter().map(|field| field.data_type().to_string()).collect();
        let inputs: Vec<String> = node
            .inputs
            .iter()
            .map(|input| {
                format!("{} {}", outputs.get(input.from.0).map_or("", String::as_str), spread(&input.partitioning))
            })
            .collect();
        let text = format!("{content}\n{}\n{}", types.join(","), inputs.join("\n"));
        let id = format!("{kind}-{:016x}", xxh3_64(text.as_bytes()));
        let count = taken.entry(id.clone()).or_insert(0);
        *count += 1;
        let id = if *count == 1 { id } else { format!("{id}-{count}") };
        outputs.push(match &node.spec {
            OperatorSpec::Source(spec) => format!("{id} {}", steps(&spec.steps)),
            _ => id.clone(),
        });
        ids.push(id);
    }
    ids
}

fn spread(partitioning: &Partitioning) -> String {
    match partitioning {
        Partitioning::Forward => "forward".into(),
        Partitioning::Single => "single".into(),
        Partitioning::Hash(columns) => {
            format!("hash {}", columns.iter().map(|column| format!("#{column}")).collect::<Vec<_>>().join(" "))
        }
    }
}

/// Our names for the operators of a checkpoint of form 1, whose names were hashes of another text: by their kinds. Left out
/// are those of which there are several of a kind.
pub fn renamed<'a>(old: impl Iterator<Item = &'a str>, new: &'a [String]) -> BTreeMap<&'a str, &'a str> {
    let by_kind = |ids: BTreeSet<&'a str>| {
        let mut kinds: BTreeMap<&str, Vec<&'a str>> = BTreeMap::new();
        ids.into_iter().for_each(|id| kinds.entry(kind_of(id)).or_default().push(id));
        kinds
    };
    let new = by_kind(new.iter().map(String::as_str).collect());
    let pair = |(kind, old): (&str, Vec<&'a str>)| match (&old[..], new.get(kind).map(Vec::as_slice)) {
        ([old], Some([new])) => Some((*old, *new)),
        _ => None,
    };
    by_kind(old.collect()).into_iter().filter_map(pair).collect()
}

/// The kind in the name of an operator.
fn kind_of(id: &str) -> &str {
    let kind = id.trim_end_matches(|letter: char| letter != '-').trim_end_matches('-');
    let is_hash = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match id.rsplit('-').next() {
        Some(last) if is_hash(last) => kind,
        // A number behind the hash tells equal operators apart.
        _ => kind.rsplit_once('-').map_or(kind, |(kind, _)| kind),
    }
}

/// A hash over the names of all operators: equal plans have equal ones.
pub fn plan_hash(ids: &[String]) -> String {
    format!("{:016x}", xxh3_64(ids.join("\n").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_of_form_1_are_known_by_their_kinds() {
        let new = ["source-00000000000000aa", "group-aggregate-00000000000000bb", "view-00000000000000cc"];
        let new: Vec<String> = new.map(str::to_owned).into();
        let old = [
            "source-1111111111111111",
            "group-aggregate-2222222222222222",
            "view-3333333333333333",
            "view-3333333333333333-2",
        ];
        let renamed = renamed(old.into_iter().chain(old), &new);
        assert_eq!(renamed.into_iter().collect::<Vec<_>>(), [(old[1], new[1].as_str()), (old[0], new[0].as_str())]);
        assert_eq!(kind_of("join-0123456789abcdef-12"), "join");
    }
}
