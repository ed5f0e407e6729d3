//! Rank: the first rows of each partition, for Top-N, deduplication and `ORDER BY … LIMIT`.
//!
//! Rows are kept as bytes in an arena ([`arena`]), in a layout that compares as the order asks ([`layout`]); a partition is
//! a list of them in order ([`ordered`], [`partitions`]), and a [`ledger`] knows them by number, for checkpoints. [`TopN`] emits
//! net changes at the barrier, and [`Dedup`] does so faster for one row a partition, which it keeps in columns ([`kept`]);
//! [`WindowTopN`] and [`FirstInTime`] emit final rows on watermark, [`FirstArrived`] at once.

pub(crate) mod arena;
mod changes;
mod dedup;
mod expiry;
mod first_arrived;
mod first_in_time;
mod kept;
pub(crate) mod layout;
mod ledger;
pub(crate) mod ordered;
pub(crate) mod partitions;
mod top_n;
pub(crate) mod touched;
mod window_top_n;

use arrow::array::BooleanArray;
use arrow::datatypes::SchemaRef;

use self::dedup::Dedup;
use self::first_arrived::FirstArrived;
use self::first_in_time::FirstInTime;
use self::top_n::TopN;
use self::window_top_n::WindowTopN;
use super::event_time::event_times;
use super::{Context, Operator};
use crate::error::{EngineError, Result};
use crate::message::Delta;
use crate::plan::{RankEmit, RankFunction, RankSpec};

/// The operator that the description asks for.
///
/// # Errors
/// Where the description cannot work.
pub(super) fn build(spec: &RankSpec, input: &SchemaRef, output: SchemaRef) -> Result<Box<dyn Operator>> {
    if spec.from == 0 {
        return Err(EngineError::Internal("ranks start at 1".into()));
    }
    if let Some(end) = spec.window_end {
        return Ok(Box::new(WindowTopN::new(spec, end, input, output)?));
    }
    let single = spec.function == RankFunction::RowNumber && (spec.from, spec.to) == (1, 1) && !spec.retracts;
    let refuse = || Err(EngineError::Internal("a rank by arrival that is not of one row of insertions".into()));
    Ok(match spec.emit {
        RankEmit::OnWatermark { time_column } => Box::new(FirstInTime::new(spec, time_column, input, output)?),
        RankEmit::FirstArrival | RankEmit::LastArrival if !single => return refuse(),
        RankEmit::FirstArrival => Box::new(FirstArrived::new(spec, input, output)?),
        RankEmit::LastArrival => Box::new(Dedup::new(spec, input, output)?),
        RankEmit::NetChange if single => Box::new(Dedup::new(spec, input, output)?),
        RankEmit::NetChange => Box::new(TopN::new(spec, input, output)?),
    })
}

/// The rows whose time is not late, if there are any; the others are counted.
pub(super) fn in_time(
    delta: Delta,
    time_column: usize,
    is_late: impl Fn(i64) -> bool,
    context: &mut Context<'_>,
) -> Result<Option<Delta>> {
    let times = event_times(&delta.batch, time_column)?;
    let late = times.iter().filter(|time| is_late(**time)).count();
    if late == 0 {
        return Ok(Some(delta));
    }
    context.late(&delta, (0_u32..).zip(times.iter()).filter(|(_, time)| is_late(**time)).map(|(row, _)| row))?;
    if late == times.len() {
        return Ok(None);
    }
    let keep: BooleanArray = times.iter().map(|time| Some(!is_late(*time))).collect();
    delta.filter(&keep).map(Some)
}

#[cfg(test)]
mod tests;
