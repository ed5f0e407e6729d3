//! [`Spans`]: the rows that the frame of each computed row reaches.

use super::block::{Block, Segment};
use crate::error::{EngineError, Result};
use crate::plan::{Frame, FrameBound, FrameUnits};

/// For each computed row of a block the first row of its frame and the end. Never reversed, within the segment.
pub(super) struct Spans {
    pub(super) starts: Vec<u32>,
    pub(super) ends: Vec<u32>,
}

impl Spans {
    /// The spans of a frame. `carried`: what is before the computed rows of a partition is known otherwise, so that frames
    /// from `UNBOUNDED PRECEDING` start with the first computed row.
    ///
    /// # Errors
    /// Where a `RANGE` offset has no keys.
    pub(super) fn new(block: &Block, frame: Frame, carried: bool) -> Result<Self> {
        let mut spans = Self { starts: Vec::new(), ends: Vec::new() };
        for segment in &block.segments {
            let groups = match frame.units {
                FrameUnits::Groups => Groups::new(block, segment),
                FrameUnits::Rows | FrameUnits::Range => Groups::default(),
            };
            for row in segment.rows() {
                let place = Place { block, segment, groups: &groups, row, units: frame.units };
                let start = match frame.start {
                    FrameBound::UnboundedPreceding if carried => segment.from,
                    bound => place.start(bound)?,
                };
                let end = place.end(frame.end)?;
                spans.starts.push(start);
                spans.ends.push(end.max(start));
            }
        }
        Ok(spans)
    }
}

/// The groups of peers of a segment, for offsets in groups.
#[derive(Default)]
struct Groups {
    bounds: Vec<(u32, u32)>,
}

impl Groups {
    fn new(block: &Block, segment: &Segment) -> Self {
        let mut bounds = Vec::new();
        let mut row = segment.start;
        while row < segment.end {
            let group = block.peers[row as usize];
            bounds.push(group);
            row = group.1.max(row + 1);
        }
        Self { bounds }
    }

    /// The group so far from that of a row; none beyond the ends.
    fn at(&self, row: u32, distance: i64) -> Option<(u32, u32)> {
        let own = self.bounds.partition_point(|(_, end)| *end <= row);
        let at = i64::try_from(own).ok()?.checked_add(distance)?;
        self.bounds.get(usize::try_from(at).ok()?).copied()
    }
}

/// A row in its segment.
struct Place<'a> {
    block: &'a Block,
    segment: &'a Segment,
    groups: &'a Groups,
    row: u32,
    units: FrameUnits,
}

impl Place<'_> {
    /// The first row of a frame that starts at this bound.
    fn start(&self, bound: FrameBound) -> Result<u32> {
        let Segment { start, end, .. } = *self.segment;
        Ok(match (bound, self.units) {
            (FrameBound::UnboundedPreceding, _) => start,
            (FrameBound::UnboundedFollowing, _) => end,
            (FrameBound::CurrentRow, FrameUnits::Rows) => self.row,
            (FrameBound::CurrentRow, FrameUnits::Range | FrameUnits::Groups) => self.peers().0,
            (FrameBound::Preceding(by), FrameUnits::Rows) => self.moved(-by),
            (FrameBound::Following(by), FrameUnits::Rows) => self.moved(by),
            (FrameBound::Preceding(by), FrameUnits::Groups) => {
                self.groups.at(self.row, -by).map_or(start, |(at, _)| at)
            }
            (FrameBound::Following(by), FrameUnits::Groups) => self.groups.at(self.row, by).map_or(end, |(at, _)| at),
            (FrameBound::Preceding(by), FrameUnits::Range) => self.ranged(-by, false)?,
            (FrameBound::Following(by), FrameUnits::Range) => self.ranged(by, false)?,
        })
    }

    /// The end of a frame whose last row is at this bound.
    fn end(&self, bound: FrameBound) -> Result<u32> {
        let Segment { start, end, .. } = *self.segment;
        Ok(match (bound, self.units) {
            (FrameBound::UnboundedPreceding, _) => start,
            (FrameBound::UnboundedFollowing, _) => end,
            (FrameBound::CurrentRow, FrameUnits::Rows) => self.row + 1,
            (FrameBound::CurrentRow, FrameUnits::Range | FrameUnits::Groups) => self.peers().1,
            (FrameBound::Preceding(by), FrameUnits::Rows) => self.moved(1_i64.saturating_sub(by)),
            (FrameBound::Following(by), FrameUnits::Rows) => self.moved(by.saturating_add(1)),
            (FrameBound::Preceding(by), FrameUnits::Groups) => {
                self.groups.at(self.row, -by).map_or(start, |(_, to)| to)
            }
            (FrameBound::Following(by), FrameUnits::Groups) => self.groups.at(self.row, by).map_or(end, |(_, to)| to),
            (FrameBound::Preceding(by), FrameUnits::Range) => self.ranged(-by, true)?,
            (FrameBound::Following(by), FrameUnits::Range) => self.ranged(by, true)?,
        })
    }

    fn peers(&self) -> (u32, u32) {
        self.block.peers[self.row as usize]
    }

    /// The row so many after this one, within the segment.
    fn moved(&self, by: i64) -> u32 {
        let at = i64::from(self.row).saturating_add(by);
        let (start, end) = (i64::from(self.segment.start), i64::from(self.segment.end));
        u32::try_from(at.clamp(start, end)).unwrap_or(self.segment.end)
    }

    /// The row where the keys reach this row's key and an offset, or pass it. Null keys have their peers for a frame.
    fn ranged(&self, by: i64, after: bool) -> Result<u32> {
        let Some(keys) = &self.block.keys else {
            return Err(EngineError::Internal("a RANGE with an offset without a sort key".into()));
        };
        Ok(match keys.get(self.row) {
            Some(key) => keys.search(self.segment, key.saturating_add(by), after),
            None if after => self.peers().1,
            None => self.peers().0,
        })
    }
}
