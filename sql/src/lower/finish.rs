//! The target under the rows of a query: whether it takes them, and what it does not need of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use millstream_engine::plan::{
    ChangelogMode, Input, MaterializeSpec, NodeId, OperatorSpec, Partitioning, SinkSpec, Step,
};
use millstream_engine::ports::{Accepts, Sink};

use super::Lowering;
use super::rel::Rel;
use crate::api::Target;
use crate::error::{Result, SqlError};

impl Lowering<'_> {
    /// Puts the target under the rows. `alone`: no other query of the job can read what this one computes.
    pub(super) fn finish(&mut self, rel: Rel, target: Target, alone: bool) -> Result<()> {
        let mut done = rel.clone();
        let from = self.settle(rel);
        let spec = match target {
            Target::View(relation, name) => {
                let replaces = done.stream_key.is_some() && self.nodes.iter().any(|node| forgets(&node.spec));
                OperatorSpec::Materialize(MaterializeSpec { relation, name, replaces })
            }
            Target::Sink(table, sink) => {
                if sink.accepts() == Accepts::Append && done.changelog != ChangelogMode::Append {
                    let message =
                        format!("table \"{table}\" takes new rows only, but the query changes rows it has given");
                    return Err(SqlError::unsupported(message).with_hint(
                        "aggregate in windows, write in a format that tells changes, or keep the result as a \
                         materialized view",
                    ));
                }
                if alone && is_upserted(&done, &sink) && self.leave_old_rows_out(from) {
                    done.changelog = ChangelogMode::Upsert;
                }
                OperatorSpec::Sink(SinkSpec { table, sink })
            }
        };
        let inputs = vec![Input { from, partitioning: Partitioning::Forward }];
        self.node(spec, inputs, Rel { steps: Vec::new(), ..done });
        Ok(())
    }

    /// Has the aggregation that gives the rows of a node leave out those that it replaces, where nothing else reads them
    /// and nothing on the way needs them. Tells whether it does.
    fn leave_old_rows_out(&mut self, from: NodeId) -> bool {
        let mut path = Vec::new();
        let mut next = Some(from);
        while let Some(id) = next {
            let readers = self.nodes.iter().flat_map(|node| &node.inputs).filter(|input| input.from == id).count();
            let Some(node) = self.nodes.get(id.0) else { return false };
            if readers != usize::from(id != from) {
                return false;
            }
            path.push(id);
            next = match &node.spec {
                OperatorSpec::GroupAggregate(_) => None,
                OperatorSpec::Stateless(spec) if spec.steps.iter().all(|step| matches!(step, Step::Project { .. })) => {
                    node.inputs.first().map(|input| input.from)
                }
                _ => return false,
            };
        }
        for id in path {
            let Some(node) = self.nodes.get_mut(id.0) else { continue };
            node.edge.changelog = ChangelogMode::Upsert;
            if let OperatorSpec::GroupAggregate(spec) = &mut node.spec {
                spec.upserts = true;
            }
        }
        true
    }
}

/// Whether a sink replaces rows by what tells the rows apart.
fn is_upserted(rel: &Rel, sink: &Arc<dyn Sink>) -> bool {
    let set = |columns: Vec<usize>| columns.into_iter().collect::<BTreeSet<_>>();
    let key = rel.stream_key.clone().filter(|_| rel.changelog == ChangelogMode::Retract);
    key.is_some_and(|key| sink.upsert_key().is_some_and(|of_sink| set(of_sink) == set(key)))
}

/// Whether an operator drops state that its rows came of.
fn forgets(spec: &OperatorSpec) -> bool {
    match spec {
        OperatorSpec::GroupAggregate(spec) => spec.ttl_us.is_some(),
        OperatorSpec::Rank(spec) => spec.ttl_us.is_some(),
        OperatorSpec::Join(spec) => spec.ttl_us != (None, None),
        OperatorSpec::Source(_)
        | OperatorSpec::ViewSource(_)
        | OperatorSpec::Stateless(_)
        | OperatorSpec::Union
        | OperatorSpec::WindowAggregate(_)
        | OperatorSpec::SessionAggregate(_)
        | OperatorSpec::SessionAssign(_)
        | OperatorSpec::IntervalJoin(_)
        | OperatorSpec::TemporalJoin(_)
        | OperatorSpec::CurrentJoin(_)
        | OperatorSpec::LookupJoin(_)
        | OperatorSpec::WindowJoin(_)
        | OperatorSpec::Over(_)
        | OperatorSpec::Materialize(_)
        | OperatorSpec::Sink(_) => false,
    }
}
