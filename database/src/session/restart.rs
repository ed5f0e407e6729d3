//! Restart strategies: whether and when a failed job is started again. A pure function of the times at which it failed.
//!
//! Names and defaults are Flink's (<https://nightlies.apache.org/flink/flink-docs-stable/docs/ops/state/task_failure_recovery/>).
//! Who carries the decision out is [`super::supervise`].

use std::collections::VecDeque;

use millstream_engine::time::ProcessingTime;

/// Failures that are remembered: more than any back-off needs to reach its maximum.
const REMEMBERED_MAX: usize = 4_096;

/// What is done about a job that failed.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) enum RestartStrategy {
    /// It stays failed.
    #[default]
    None,
    /// It is started again so many times.
    FixedDelay {
        /// How many times in all.
        attempts: u32,
        /// Microseconds from a failure to the start.
        delay_us: i64,
    },
    /// It is started again for ever, less and less soon.
    ExponentialDelay {
        /// Microseconds from the first failure to the start.
        initial_us: i64,
        /// The longest delay.
        max_us: i64,
        /// From one delay to the next.
        multiplier: f64,
        /// Microseconds without a failure after which the delay is the first again.
        reset_us: i64,
        /// The delay is longer or shorter by up to this part of it.
        jitter: f64,
    },
    /// It is started again unless it failed too often within a time.
    FailureRate {
        /// So many failures are borne …
        failures: u32,
        /// … in so many microseconds.
        interval_us: i64,
        /// Microseconds from a failure to the start.
        delay_us: i64,
    },
}

/// When a job has failed.
#[derive(Debug, Clone, Default)]
pub(super) struct FailureHistory {
    count: u32,
    /// The latest, in order.
    times: VecDeque<ProcessingTime>,
}

/// What is to be done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Start it again.
    Restart {
        /// Not before this.
        at: ProcessingTime,
        /// The number of this try, from 1.
        attempt: u32,
    },
    /// Let it be.
    GiveUp,
}

impl FailureHistory {
    /// Notes a failure.
    pub(super) fn failed(&mut self, now: ProcessingTime) {
        self.count = self.count.saturating_add(1);
        if self.times.len() == REMEMBERED_MAX {
            self.times.pop_front();
        }
        self.times.push_back(now);
    }

    /// What to do about the failure that was noted last. `chance` is a number from −1 to 1 that spreads the jobs.
    pub(super) fn decide(&self, strategy: &RestartStrategy, chance: f64) -> Decision {
        let Some(now) = self.times.back().copied() else { return Decision::GiveUp };
        let restart = |delay_us| Decision::Restart { at: now.plus_us(delay_us), attempt: self.count };
        match *strategy {
            RestartStrategy::None => Decision::GiveUp,
            RestartStrategy::FixedDelay { attempts, delay_us } => {
                if self.count > attempts {
                    Decision::GiveUp
                } else {
                    restart(delay_us)
                }
            }
            RestartStrategy::ExponentialDelay { initial_us, max_us, multiplier, reset_us, jitter } => {
                let grown = |delay: i64| ((delay as f64 * multiplier) as i64).clamp(initial_us, max_us.max(initial_us));
                let mut delay = initial_us;
                for (before, after) in self.times.iter().zip(self.times.iter().skip(1)) {
                    let ran_us = after.0.saturating_sub(before.plus_us(delay).0);
                    delay = if ran_us >= reset_us { initial_us } else { grown(delay) };
                }
                let spread = (delay as f64 * jitter * chance) as i64;
                restart(delay.saturating_add(spread).max(0))
            }
            RestartStrategy::FailureRate { failures, interval_us, delay_us } => {
                let from = now.plus_us(interval_us.saturating_neg());
                let within = self.times.iter().filter(|time| **time > from).count();
                if within > failures as usize { Decision::GiveUp } else { restart(delay_us) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use millstream_engine::time::ProcessingTime;

    use super::{Decision, FailureHistory, RestartStrategy};

    const SECOND: i64 = 1_000_000;

    /// The delay in seconds after each of the failures; `None` where it gives up.
    fn delays(strategy: RestartStrategy, seconds: &[i64]) -> Vec<Option<f64>> {
        let mut history = FailureHistory::default();
        let decide = |at: &i64| {
            let now = ProcessingTime(at * SECOND);
            history.failed(now);
            match history.decide(&strategy, 0.0) {
                Decision::Restart { at, .. } => Some((at.0 - now.0) as f64 / SECOND as f64),
                Decision::GiveUp => None,
            }
        };
        seconds.iter().map(decide).collect()
    }

    #[test]
    fn none_gives_up() {
        assert_eq!(delays(RestartStrategy::None, &[1]), [None]);
    }

    #[test]
    fn fixed_delay_counts_all_failures() {
        let strategy = RestartStrategy::FixedDelay { attempts: 2, delay_us: 3 * SECOND };
        assert_eq!(delays(strategy, &[0, 1_000, 500_000]), [Some(3.0), Some(3.0), None]);
    }

    #[test]
    fn exponential_delay_grows_to_its_maximum_and_starts_over() {
        let strategy = RestartStrategy::ExponentialDelay {
            initial_us: SECOND,
            max_us: 5 * SECOND,
            multiplier: 2.0,
            reset_us: 60 * SECOND,
            jitter: 0.5,
        };
        let failures = [0, 2, 5, 10, 16, 200, 210];
        let expected = [1.0, 2.0, 4.0, 5.0, 5.0, 1.0, 2.0].map(Some);
        assert_eq!(delays(strategy, &failures), expected);
        let mut history = FailureHistory::default();
        history.failed(ProcessingTime(0));
        let at = |chance| history.decide(&strategy, chance);
        assert_eq!(at(1.0), Decision::Restart { at: ProcessingTime(SECOND * 3 / 2), attempt: 1 });
        assert_eq!(at(-1.0), Decision::Restart { at: ProcessingTime(SECOND / 2), attempt: 1 });
    }

    #[test]
    fn failure_rate_bears_what_is_rare() {
        let strategy = RestartStrategy::FailureRate { failures: 2, interval_us: 60 * SECOND, delay_us: SECOND };
        let borne = Some(1.0);
        assert_eq!(delays(strategy, &[0, 50, 100, 140, 150]), [borne, borne, borne, borne, None]);
    }
}
