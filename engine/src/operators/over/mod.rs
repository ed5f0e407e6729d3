//! Window functions (`OVER`).

mod aggregates;
mod block;
mod calls;
mod frames;
mod net_change;
mod positions;
mod reach;

use arrow::datatypes::SchemaRef;

use self::net_change::OverNetChange;
use super::Operator;
use crate::error::{EngineError, Result};
use crate::plan::{OverEmit, OverSpec};

/// The operator that the description asks for.
///
/// # Errors
/// Where the description cannot work.
pub(super) fn build(spec: &OverSpec, input: &SchemaRef, output: SchemaRef) -> Result<Box<dyn Operator>> {
    Ok(match spec.emit {
        OverEmit::NetChange => Box::new(OverNetChange::new(spec, input, output)?),
        OverEmit::OnWatermark { .. } | OverEmit::OnArrival => return Err(EngineError::Unsupported("soon".into())),
    })
}
