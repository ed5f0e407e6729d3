//! From the description of an operator to the running object.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::Operator;
use super::group_aggregate::GroupAggregate;
use super::join::{CurrentJoin, ForwardJoin, IntervalJoin, Join, LookupJoin, MultiJoin, TemporalJoin, WindowJoin};
use super::over;
use super::rank;
use super::session::{SessionAggregate, SessionAssign, SessionRevise};
use super::stateless::Stateless;
use super::union::Union;
use super::upserts::Upserts;
use super::window_aggregate::{WindowAggregate, WindowUpdates};
use crate::error::{EngineError, Result};
use crate::plan::{AsofMatch, ChangelogMode, Node, OperatorSpec};

/// The operator of a node on one shard. `inputs`: the schema of each port.
///
/// # Errors
/// Where the description cannot work; for sources, views and sinks, which the runtime runs itself.
pub fn build(node: &Node, inputs: &[SchemaRef], shard: usize) -> Result<Box<dyn Operator>> {
    let operator = plain(node, inputs, shard)?;
    match (&node.spec, &node.edge.stream_key) {
        // It leaves the old rows out itself; or it is given none.
        (OperatorSpec::GroupAggregate(_) | OperatorSpec::Stateless(_), _) => Ok(operator),
        (_, Some(key)) if node.edge.changelog == ChangelogMode::Upsert => {
            Ok(Box::new(Upserts::new(operator, key, &node.edge.schema)?))
        }
        _ => Ok(operator),
    }
}

/// The operator that gives old rows and new ones.
fn plain(node: &Node, inputs: &[SchemaRef], shard: usize) -> Result<Box<dyn Operator>> {
    let output = Arc::clone(&node.edge.schema);
    let input = |port: usize| {
        inputs.get(port).ok_or_else(|| EngineError::Internal(format!("node {} has no input {port}", node.id.0)))
    };
    Ok(match &node.spec {
        OperatorSpec::Stateless(spec) => Box::new(Stateless::new(spec, input(0)?)?),
        OperatorSpec::Union => Box::new(Union::new(output)),
        OperatorSpec::WindowAggregate(spec) if spec.emit.updates() => {
            Box::new(WindowUpdates::new(spec, input(0)?, output)?)
        }
        OperatorSpec::WindowAggregate(spec) => Box::new(WindowAggregate::new(spec, input(0)?, output)?),
        OperatorSpec::SessionAggregate(spec) => Box::new(SessionAggregate::new(spec, input(0)?, output)?),
        OperatorSpec::SessionAssign(spec) if spec.retracts || spec.emit.updates() => {
            Box::new(SessionRevise::new(spec, input(0)?, output)?)
        }
        OperatorSpec::SessionAssign(spec) => Box::new(SessionAssign::new(spec, input(0)?, output)?),
        OperatorSpec::GroupAggregate(spec) => Box::new(GroupAggregate::new(spec, input(0)?, output, shard)?),
        OperatorSpec::Join(spec) => Box::new(Join::new(spec, input(0)?, input(1)?, output)?),
        OperatorSpec::MultiJoin(spec) => Box::new(MultiJoin::new(spec, inputs, output)?),
        OperatorSpec::IntervalJoin(spec) => Box::new(IntervalJoin::new(spec, input(0)?, input(1)?, output)?),
        OperatorSpec::TemporalJoin(spec) => {
            let (left, right) = (input(0)?, input(1)?);
            match spec.asof {
                AsofMatch::AtOrBefore => Box::new(TemporalJoin::new(spec, false, left, right, output)?),
                AsofMatch::Before => Box::new(TemporalJoin::new(spec, true, left, right, output)?),
                AsofMatch::AtOrAfter => Box::new(ForwardJoin::new(spec, false, left, right, output)?),
                AsofMatch::After => Box::new(ForwardJoin::new(spec, true, left, right, output)?),
            }
        }
        OperatorSpec::LookupJoin(spec) => Box::new(LookupJoin::new(spec, input(0)?, output)?),
        OperatorSpec::CurrentJoin(spec) => Box::new(CurrentJoin::new(spec, input(0)?, input(1)?, output)?),
        OperatorSpec::WindowJoin(spec) => Box::new(WindowJoin::new(spec, input(0)?, input(1)?, output)?),
        OperatorSpec::Rank(spec) => rank::build(spec, input(0)?, output)?,
        OperatorSpec::Over(spec) => over::build(spec, input(0)?, output)?,
        OperatorSpec::Source(_)
        | OperatorSpec::ViewSource(_)
        | OperatorSpec::Materialize(_)
        | OperatorSpec::Sink(_) => return Err(EngineError::Internal("not an operator: the runtime's own".into())),
    })
}
