//! [`Calls`]: the window functions of one operator, computed over blocks.

use arrow::array::ArrayRef;
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;

use super::aggregates::{Carried, over_spans};
use super::block::Block;
use super::frames::Spans;
use super::positions::{self, Seen};
use super::reach::is_running;
use crate::error::{EngineError, Result};
use crate::operators::aggregate::AggregateSet;
use crate::plan::{AggregateCall, AggregateFunction, Frame, FrameBound, FrameUnits, OverCall, OverFunction};

/// See the module.
pub(super) struct Calls {
    calls: Vec<OverCall>,
    /// The columns of blocks.
    schema: SchemaRef,
    /// Each frame with the aggregates over it, and which calls they are.
    groups: Vec<Group>,
}

/// Aggregates over one frame.
pub(super) struct Group {
    pub(super) frame: Frame,
    pub(super) aggregates: Vec<AggregateCall>,
    members: Vec<usize>,
}

impl Group {
    /// Whether all rows of the partition up to the current one are aggregated.
    pub(super) fn is_running(&self) -> bool {
        is_running(&self.frame)
    }
}

impl Calls {
    /// The calls over rows of `schema`.
    ///
    /// # Errors
    /// Where a call cannot work.
    pub(super) fn new(calls: &[OverCall], schema: SchemaRef) -> Result<Self> {
        let calls: Vec<OverCall> = calls.iter().cloned().map(as_value).collect();
        let mut groups: Vec<Group> = Vec::new();
        for (index, call) in calls.iter().enumerate() {
            check(call, schema.fields().len())?;
            let OverFunction::Aggregate(function) = &call.function else { continue };
            let aggregate = AggregateCall {
                function: function.clone(),
                args: call.args.clone(),
                order_by: Vec::new(),
                distinct: call.distinct,
                filter: call.filter,
                output: call.output.clone(),
            };
            match groups.iter_mut().find(|group| group.frame == call.frame) {
                Some(group) => {
                    group.aggregates.push(aggregate);
                    group.members.push(index);
                }
                None => groups.push(Group { frame: call.frame, aggregates: vec![aggregate], members: vec![index] }),
            }
        }
        for group in &groups {
            AggregateSet::new(&group.aggregates, &schema, false)?;
        }
        Ok(Self { calls, schema, groups })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &OverCall> {
        self.calls.iter()
    }

    /// The aggregates by frame.
    pub(super) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The columns of blocks.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The results for the computed rows of a block, a column a call. `carried`: what the running groups, in their order,
    /// hold of earlier rows.
    ///
    /// # Errors
    /// Where a result cannot be computed.
    pub(super) fn evaluate(&self, block: &Block, carried: Option<Carried<'_>>) -> Result<Vec<ArrayRef>> {
        let mut results: Vec<Option<ArrayRef>> = vec![None; self.calls.len()];
        let mut running = 0;
        for group in &self.groups {
            let known = carried.filter(|_| group.is_running()).map(|carried| (running, carried));
            running += usize::from(known.is_some());
            let spans = Spans::new(block, group.frame, known.is_some())?;
            let columns = over_spans(&group.aggregates, &self.schema, block, &spans, known)?;
            for (&member, column) in group.members.iter().zip(columns) {
                results[member] = Some(column);
            }
        }
        let targets = block.targets();
        let mut columns = Vec::with_capacity(self.calls.len());
        for (call, known) in self.calls.iter().zip(results) {
            let column = match known {
                Some(column) => column,
                None => positional(call, block, &targets)?,
            };
            columns.push(cast(&column, call.output.data_type())?);
        }
        Ok(columns)
    }
}

/// The aggregates that choose a row, as functions that do: `FIRST_VALUE` of the non-null arguments.
fn as_value(mut call: OverCall) -> OverCall {
    let chosen = match call.function {
        OverFunction::Aggregate(AggregateFunction::FirstValue) => OverFunction::FirstValue,
        OverFunction::Aggregate(AggregateFunction::LastValue) => OverFunction::LastValue,
        _ => return call,
    };
    call.function = chosen;
    call.ignore_nulls = true;
    call
}

fn positional(call: &OverCall, block: &Block, targets: &[u32]) -> Result<ArrayRef> {
    let value = || match call.args.first() {
        Some(arg) => Ok(block.batch.column(*arg)),
        None => Err(EngineError::Internal("a window function without its argument".into())),
    };
    let shifted = |by: i64, default: Option<usize>| {
        let value = value()?;
        let rows = Seen::new(block, value, None, call.ignore_nulls)?.shifted(block, by);
        positions::values(value, &rows, default.map(|column| (block.batch.column(column), targets)))
    };
    let chosen = |choose: &dyn Fn(&Seen, &Spans) -> Vec<Option<u32>>| {
        let value = value()?;
        let seen = Seen::new(block, value, call.filter, call.ignore_nulls)?;
        positions::values(value, &choose(&seen, &Spans::new(block, call.frame, false)?), None)
    };
    match call.function {
        OverFunction::Aggregate(_) => Err(EngineError::Internal("an aggregate without a frame".into())),
        OverFunction::RowNumber => Ok(positions::row_numbers(block)),
        OverFunction::Rank => Ok(positions::ranks(block)),
        OverFunction::DenseRank => Ok(positions::dense_ranks(block)),
        OverFunction::PercentRank => Ok(positions::percent_ranks(block)),
        OverFunction::CumeDist => Ok(positions::cume_dists(block)),
        OverFunction::Ntile(buckets) => Ok(positions::ntiles(block, buckets)),
        OverFunction::Lag { offset, default } => shifted(offset.saturating_neg(), default),
        OverFunction::Lead { offset, default } => shifted(offset, default),
        OverFunction::FirstValue => chosen(&|seen, spans| seen.nth_value(spans, 1)),
        OverFunction::LastValue => chosen(&Seen::last_value),
        OverFunction::NthValue(n) => chosen(&|seen, spans| seen.nth_value(spans, n)),
    }
}

/// Refuses what no partition can answer.
fn check(call: &OverCall, columns: usize) -> Result<()> {
    let named = call.args.iter().chain(&call.filter);
    if named.chain(&default_of(call)).any(|column| *column >= columns) {
        return Err(EngineError::Internal("a window function over a column that is not there".into()));
    }
    let offset = |bound: FrameBound| match bound {
        FrameBound::Preceding(by) | FrameBound::Following(by) => by,
        FrameBound::UnboundedPreceding | FrameBound::CurrentRow | FrameBound::UnboundedFollowing => 0,
    };
    if offset(call.frame.start) < 0 || offset(call.frame.end) < 0 {
        return Err(EngineError::Unsupported("a frame with an offset below 0".into()));
    }
    Ok(())
}

/// The column of the default of `LAG` and `LEAD`.
pub(super) fn default_of(call: &OverCall) -> Option<usize> {
    match call.function {
        OverFunction::Lag { default, .. } | OverFunction::Lead { default, .. } => default,
        OverFunction::Aggregate(_)
        | OverFunction::RowNumber
        | OverFunction::Rank
        | OverFunction::DenseRank
        | OverFunction::PercentRank
        | OverFunction::CumeDist
        | OverFunction::Ntile(_)
        | OverFunction::FirstValue
        | OverFunction::LastValue
        | OverFunction::NthValue(_) => None,
    }
}

/// Whether a frame counts distances of the sort key.
pub(super) fn has_range_offset(frame: &Frame) -> bool {
    let is_offset = |bound: FrameBound| matches!(bound, FrameBound::Preceding(_) | FrameBound::Following(_));
    frame.units == FrameUnits::Range && (is_offset(frame.start) || is_offset(frame.end))
}
