//! Window functions (`OVER`).
//!
//! All are computed over a [`block`]: rows of some partitions in order, a part of which are computed. [`frames`] says which
//! rows each of them sees, [`aggregates`] and [`positions`] compute the [`calls`]. [`OverNetChange`] keeps whole partitions
//! and emits their net change at the barrier; [`OverOnWatermark`] and [`OverOnArrival`] emit rows once and keep what later
//! frames still reach ([`reach`], [`history`], [`running`]).

mod aggregates;
mod block;
mod calls;
mod frames;
mod history;
mod net_change;
mod on_arrival;
mod on_watermark;
mod positions;
mod reach;
mod running;

use arrow::datatypes::SchemaRef;

use self::net_change::OverNetChange;
use self::on_arrival::OverOnArrival;
use self::on_watermark::OverOnWatermark;
use super::Operator;
use crate::error::Result;
use crate::plan::{OverEmit, OverSpec};

/// The operator that the description asks for.
///
/// # Errors
/// Where the description cannot work.
pub(super) fn build(spec: &OverSpec, input: &SchemaRef, output: SchemaRef) -> Result<Box<dyn Operator>> {
    Ok(match spec.emit {
        OverEmit::NetChange => Box::new(OverNetChange::new(spec, input, output)?),
        OverEmit::OnWatermark { column } => Box::new(OverOnWatermark::new(spec, column, input, output)?),
        OverEmit::OnArrival => Box::new(OverOnArrival::new(spec, input, output)?),
    })
}

#[cfg(test)]
mod tests;
