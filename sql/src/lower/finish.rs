//! The target under the rows of a query, and whether it takes them.

use millstream_engine::plan::{ChangelogMode, Input, MaterializeSpec, OperatorSpec, Partitioning, SinkSpec};
use millstream_engine::ports::Accepts;

use super::Lowering;
use super::rel::Rel;
use crate::api::Target;
use crate::error::{Result, SqlError};

impl Lowering<'_> {
    /// Puts the target under the rows.
    pub(super) fn finish(&mut self, rel: Rel, target: Target) -> Result<()> {
        let done = rel.clone();
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
                OperatorSpec::Sink(SinkSpec { table, sink })
            }
        };
        let inputs = vec![Input { from, partitioning: Partitioning::Forward }];
        self.node(spec, inputs, Rel { steps: Vec::new(), ..done });
        Ok(())
    }
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
        | OperatorSpec::MultiJoin(_)
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
