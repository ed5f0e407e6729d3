//! Which windows hold a moment: the arithmetic of TUMBLE, HOP and CUMULATE. All in microseconds; boundaries are
//! multiples of the slide (shifted by the offset) since 1970, before it as after.

use crate::plan::Window;

/// The windows that hold a moment, `(start, end)`, in order of their ends. Empty for a session, whose windows depend on
/// other rows, and between the windows of a HOP whose slide exceeds its size.
pub fn windows_of(window: Window, time_us: i64) -> Vec<(i64, i64)> {
    match window {
        Window::Tumble { size_us, offset_us } => {
            let start = floor_to(time_us, size_us, offset_us);
            vec![(start, start.saturating_add(size_us))]
        }
        Window::Hop { slide_us, size_us, offset_us } => {
            let last = floor_to(time_us, slide_us, offset_us);
            // From the oldest window that still holds the moment to the youngest.
            // A timestamp near the least that there is has fewer.
            let oldest = (0_i64..).map_while(|step| last.checked_sub(slide_us.checked_mul(step)?));
            let starts = oldest.take_while(|start| start.saturating_add(size_us) > time_us);
            let mut windows: Vec<_> = starts.map(|start| (start, start.saturating_add(size_us))).collect();
            windows.reverse();
            windows
        }
        Window::Cumulate { step_us, size_us, offset_us } => {
            let start = floor_to(time_us, size_us, offset_us);
            let first = (time_us - start).div_euclid(step_us) + 1;
            let last = size_us / step_us;
            (first..=last).map(|steps| (start, start.saturating_add(steps * step_us))).collect()
        }
        Window::Session { .. } => Vec::new(),
    }
}

/// How many windows hold a moment, at most.
pub fn windows_most(window: Window) -> usize {
    let (size_us, slide_us) = match window {
        Window::Tumble { .. } | Window::Session { .. } => (1, 1),
        Window::Hop { slide_us, size_us, .. } => (size_us, slide_us),
        Window::Cumulate { step_us, size_us, .. } => (size_us, step_us),
    };
    let most = size_us.saturating_add(slide_us.saturating_sub(1)).checked_div(slide_us).unwrap_or(1);
    usize::try_from(most).unwrap_or(1)
}

/// The greatest multiple of `step`, shifted by `offset`, that is not above `value`.
pub(crate) fn floor_to(value: i64, step: i64, offset: i64) -> i64 {
    let from = value.saturating_sub(offset);
    from.saturating_sub(from.rem_euclid(step.max(1))).saturating_add(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tumble_with_offset_and_before_1970() {
        let window = Window::Tumble { size_us: 10, offset_us: 3 };
        assert_eq!(windows_of(window, 2), [(-7, 3)]);
        assert_eq!(windows_of(window, 3), [(3, 13)]);
    }

    #[test]
    fn hop_holds_a_moment_in_every_window() {
        let hop = |slide_us, size_us, at| windows_of(Window::Hop { slide_us, size_us, offset_us: 0 }, at);
        assert_eq!(hop(5, 10, 12), [(5, 15), (10, 20)]);
        assert_eq!(hop(4, 10, 12), [(4, 14), (8, 18), (12, 22)]);
        assert_eq!(hop(10, 4, 5), []);
        assert!(hop(5, 10, i64::MIN).len() < 3);
    }

    #[test]
    fn the_most_windows_of_a_moment() {
        let hop = |slide_us, size_us| windows_most(Window::Hop { slide_us, size_us, offset_us: 0 });
        assert_eq!([hop(5, 10), hop(4, 10), hop(10, 4), hop(0, 4)], [2, 3, 1, 1]);
        assert_eq!(windows_most(Window::Cumulate { step_us: 2, size_us: 6, offset_us: 0 }), 3);
        assert_eq!(windows_most(Window::Tumble { size_us: 6, offset_us: 0 }), 1);
    }

    #[test]
    fn cumulate_grows_by_steps() {
        let window = Window::Cumulate { step_us: 2, size_us: 6, offset_us: 0 };
        assert_eq!(windows_of(window, 8), [(6, 10), (6, 12)]);
        assert_eq!(windows_of(window, -1), [(-6, 0)]);
    }
}
