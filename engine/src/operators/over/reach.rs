//! [`Reach`]: which rows of a partition window functions look at, and what of it can be computed on the way.

use crate::error::{EngineError, Result};
use crate::plan::{Frame, FrameBound, FrameUnits, OverCall, OverFunction};

/// How far back calls look. Reaches of several calls are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Reach {
    /// Rows before the current one.
    pub(super) rows: u32,
    /// Sort key before the current one's.
    pub(super) range: Option<i64>,
    /// The first rows of the partition.
    pub(super) head: u32,
    /// All rows before.
    pub(super) all: bool,
    /// Rows after the current one and its peers.
    pub(super) forward: bool,
}

impl Reach {
    /// What a list of calls reaches.
    pub(super) fn of<'a>(calls: impl Iterator<Item = &'a OverCall>) -> Self {
        calls.map(Self::of_call).fold(Self::default(), |joined, reach| Self {
            rows: joined.rows.max(reach.rows),
            range: joined.range.max(reach.range),
            head: joined.head.max(reach.head),
            all: joined.all | reach.all,
            forward: joined.forward | reach.forward,
        })
    }

    fn of_call(call: &OverCall) -> Self {
        let skips = call.ignore_nulls || call.filter.is_some();
        match call.function {
            OverFunction::RowNumber | OverFunction::Rank | OverFunction::DenseRank => Self::default(),
            OverFunction::PercentRank | OverFunction::CumeDist | OverFunction::Ntile(_) => {
                Self { forward: true, ..Self::default() }
            }
            OverFunction::Lag { offset, .. } => Self::shift(offset, call.ignore_nulls),
            OverFunction::Lead { offset, .. } => Self::shift(offset.saturating_neg(), call.ignore_nulls),
            OverFunction::Aggregate(_) => Self::of_frame(&call.frame),
            OverFunction::FirstValue if !skips => Self::of_frame(&call.frame).first(1),
            OverFunction::NthValue(n) if !skips => Self::of_frame(&call.frame).first(n),
            OverFunction::LastValue if !skips => Self { all: false, ..Self::of_frame(&call.frame) },
            OverFunction::FirstValue | OverFunction::NthValue(_) | OverFunction::LastValue => {
                Self::of_frame(&call.frame)
            }
        }
    }

    /// So many rows before; below 0 after.
    fn shift(by: i64, skips: bool) -> Self {
        match u32::try_from(by) {
            Ok(rows) => Self { rows, all: skips, ..Self::default() },
            Err(_) => Self { forward: by < 0, all: by > 0, ..Self::default() },
        }
    }

    /// Of a frame from the partition's first row only so many rows are looked at.
    fn first(self, rows: u64) -> Self {
        match u32::try_from(rows) {
            Ok(head) if self.all => Self { head, all: false, ..self },
            Ok(_) | Err(_) => self,
        }
    }

    fn of_frame(frame: &Frame) -> Self {
        let forward = |bound| matches!(bound, FrameBound::Following(_) | FrameBound::UnboundedFollowing);
        let mut reach = Self { forward: forward(frame.start) || forward(frame.end), ..Self::default() };
        match (frame.start, frame.units) {
            (FrameBound::UnboundedPreceding, _) | (FrameBound::Preceding(_), FrameUnits::Groups) => reach.all = true,
            (FrameBound::Preceding(by), FrameUnits::Rows) => match u32::try_from(by) {
                Ok(rows) => reach.rows = rows,
                Err(_) => reach.all = true,
            },
            (FrameBound::Preceding(by), FrameUnits::Range) => reach.range = Some(by),
            (FrameBound::CurrentRow | FrameBound::Following(_) | FrameBound::UnboundedFollowing, _) => {}
        }
        reach
    }
}

/// Refuses calls that rows which come out once and for all cannot have.
///
/// # Errors
/// [`EngineError::Unsupported`] for calls that look forward.
pub(super) fn check_running<'a>(mut calls: impl Iterator<Item = &'a OverCall>) -> Result<()> {
    match calls.find(|call| Reach::of_call(call).forward) {
        None => Ok(()),
        Some(call) => {
            let name = call.output.name();
            Err(EngineError::Unsupported(format!("window function \"{name}\" over rows that come later")))
        }
    }
}

/// Whether a frame has all rows up to the current one: its aggregates go on from those of the row before.
pub(super) fn is_running(frame: &Frame) -> bool {
    frame.start == FrameBound::UnboundedPreceding && frame.end == FrameBound::CurrentRow
}
