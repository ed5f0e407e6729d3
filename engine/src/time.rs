//! Event time, processing time and the clock that operators are given.
//!
//! Nothing in the engine asks the operating system for the time but [`SystemClock`]; tests use
//! [`VirtualClock`].

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A moment in event time: microseconds since 1970-01-01 00:00:00.
///
/// As a watermark it promises that no row with a smaller event time comes after. A window fires when the
/// watermark reaches its last millisecond (`window_time`), as in Flink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTime(pub i64);

impl EventTime {
    /// Before everything: no watermark seen yet.
    pub const MIN: Self = Self(i64::MIN);
    /// After everything: the watermark at the end of bounded input.
    pub const MAX: Self = Self(i64::MAX);
}

impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MIN => f.write_str("-∞"),
            Self::MAX => f.write_str("∞"),
            Self(us) => match arrow::temporal_conversions::timestamp_us_to_datetime(us) {
                Some(at) => write!(f, "{}", at.format("%Y-%m-%d %H:%M:%S%.f")),
                None => write!(f, "{us} us"),
            },
        }
    }
}

/// A moment of the wall clock: microseconds since 1970-01-01 00:00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessingTime(pub i64);

impl ProcessingTime {
    /// This moment and `micros` microseconds, saturating.
    #[must_use]
    pub fn plus_us(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }
}

/// Tells the processing time. Injected, so that a simulation decides what time it is.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> ProcessingTime;
}

/// The operating system's wall clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place that asks the system")]
    fn now(&self) -> ProcessingTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        ProcessingTime(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// A clock that moves only when it is told to.
#[derive(Debug, Default)]
pub struct VirtualClock(AtomicI64);

impl VirtualClock {
    /// A clock that stands at `start`.
    pub fn new(start: ProcessingTime) -> Self {
        Self(AtomicI64::new(start.0))
    }

    /// Moves forward by `micros` microseconds.
    pub fn advance_us(&self, micros: i64) {
        self.0.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> ProcessingTime {
        ProcessingTime(self.0.load(Ordering::SeqCst))
    }
}
