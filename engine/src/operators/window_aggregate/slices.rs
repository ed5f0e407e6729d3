//! The arithmetic of slices: the parts of time that windows of one kind share. All in microseconds.

use std::ops::Range;

use crate::error::{EngineError, Result};
use crate::operators::windows::floor_to;
use crate::plan::Window;

/// A window's last millisecond belongs to it; the watermark that reaches it closes the window.
const MILLISECOND: i64 = 1_000;

/// Aligned windows as unions of slices.
///
/// A slice starts at a multiple of `slice` (shifted by `offset`). Windows end every `period` (shifted by `shift`).
#[derive(Debug, Clone, Copy)]
pub(super) struct Slices {
    window: Window,
    /// Length of a slice.
    slice: i64,
    offset: i64,
    /// Distance of window ends.
    period: i64,
    /// A window end is a multiple of `period` plus this.
    shift: i64,
}

impl Slices {
    /// The slices of a window function that is not a session.
    pub(super) fn new(window: Window) -> Result<Self> {
        let slices = match window {
            Window::Tumble { size_us, offset_us } => {
                Self { window, slice: size_us, offset: offset_us, period: size_us, shift: offset_us }
            }
            Window::Hop { slide_us, size_us, offset_us } => {
                let slice = gcd(slide_us, size_us);
                Self { window, slice, offset: offset_us, period: slide_us, shift: offset_us.saturating_add(size_us) }
            }
            Window::Cumulate { step_us, offset_us, .. } => {
                Self { window, slice: step_us, offset: offset_us, period: step_us, shift: offset_us }
            }
            Window::Session { .. } => return Err(EngineError::Internal("a session has no slices".into())),
        };
        if slices.slice <= 0 || slices.period <= 0 {
            return Err(EngineError::Internal("a window without length".into()));
        }
        Ok(slices)
    }

    /// Start of the slice that holds `time`.
    pub(super) fn slice_of(&self, time: i64) -> i64 {
        floor_to(time, self.slice, self.offset)
    }

    /// The slice that starts at `start`.
    pub(super) fn span(&self, start: i64) -> Range<i64> {
        start..start.saturating_add(self.slice)
    }

    /// Start of the window that ends at `end`.
    pub(super) fn window_start(&self, end: i64) -> i64 {
        match self.window {
            Window::Tumble { size_us, .. } | Window::Hop { size_us, .. } => end - size_us,
            Window::Cumulate { size_us, offset_us, .. } => floor_to(end - 1, size_us, offset_us),
            Window::Session { .. } => end,
        }
    }

    /// End of the last window that holds the slice; none where no window does (a HOP whose slide exceeds its size).
    pub(super) fn last_end(&self, slice: i64) -> Option<i64> {
        let (distance, size) = match self.window {
            Window::Tumble { size_us, .. } | Window::Cumulate { size_us, .. } => (size_us, size_us),
            Window::Hop { slide_us, size_us, .. } => (slide_us, size_us),
            Window::Session { .. } => return None,
        };
        let end = floor_to(slice, distance, self.offset).saturating_add(size);
        (end > slice).then_some(end)
    }

    /// The least window end above `after`.
    pub(super) fn end_after(&self, after: i64) -> i64 {
        floor_to(after, self.period, self.shift).saturating_add(self.period)
    }

    /// The greatest window end that a watermark closes.
    pub(super) fn closed_by(&self, watermark: i64) -> i64 {
        floor_to(watermark.saturating_add(MILLISECOND), self.period, self.shift)
    }
}

/// Whether a watermark closes the window that ends at `end`.
pub(super) fn is_closed(end: i64, watermark: i64) -> bool {
    end.saturating_sub(MILLISECOND) <= watermark
}

fn gcd(left: i64, right: i64) -> i64 {
    if right == 0 { left } else { gcd(right, left % right) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hop_whose_size_is_no_multiple_of_the_slide() {
        let slices = Slices::new(Window::Hop { slide_us: 4, size_us: 10, offset_us: 0 }).expect("slices");
        assert_eq!((slices.slice_of(5), slices.span(4)), (4, 4..6));
        assert_eq!(slices.last_end(4), Some(14));
        assert_eq!((slices.end_after(5), slices.end_after(6), slices.window_start(10)), (6, 10, 0));
    }

    #[test]
    fn a_hop_with_gaps() {
        let slices = Slices::new(Window::Hop { slide_us: 10, size_us: 4, offset_us: 0 }).expect("slices");
        assert_eq!((slices.last_end(2), slices.last_end(4), slices.last_end(-6)), (Some(4), None, None));
    }

    #[test]
    fn cumulate_and_negative_times() {
        let slices = Slices::new(Window::Cumulate { step_us: 2, size_us: 10, offset_us: 1 }).expect("slices");
        assert_eq!((slices.slice_of(-1), slices.last_end(-1)), (-1, Some(1)));
        assert_eq!((slices.window_start(1), slices.window_start(3)), (-9, 1));
    }

    #[test]
    fn a_window_closes_at_its_last_millisecond() {
        assert!(!is_closed(10_000, 8_999));
        assert!(is_closed(10_000, 9_000));
        let slices = Slices::new(Window::Tumble { size_us: 10_000, offset_us: 0 }).expect("slices");
        assert_eq!((slices.closed_by(8_999), slices.closed_by(9_000)), (0, 10_000));
        assert!(slices.closed_by(i64::MAX) > i64::MAX - 10_001);
    }
}
