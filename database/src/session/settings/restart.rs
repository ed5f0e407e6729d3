//! The settings of restart strategies, under Flink's names. They are kept with each job.

use super::known::{Kind, Known, known};
use crate::session::restart::RestartStrategy;
use crate::units::parse_duration_ms;

pub(super) const TYPE: &str = "restart-strategy.type";
const FIXED_ATTEMPTS: &str = "restart-strategy.fixed-delay.attempts";
const FIXED_DELAY: &str = "restart-strategy.fixed-delay.delay";
const INITIAL: &str = "restart-strategy.exponential-delay.initial-backoff";
const MAX: &str = "restart-strategy.exponential-delay.max-backoff";
const MULTIPLIER: &str = "restart-strategy.exponential-delay.backoff-multiplier";
const RESET: &str = "restart-strategy.exponential-delay.reset-backoff-threshold";
const JITTER: &str = "restart-strategy.exponential-delay.jitter-factor";
const FAILURES: &str = "restart-strategy.failure-rate.max-failures-per-interval";
const INTERVAL: &str = "restart-strategy.failure-rate.failure-rate-interval";
const RATE_DELAY: &str = "restart-strategy.failure-rate.delay";

const TYPES: &[&str] = &[
    "none",
    "off",
    "disable",
    "fixed-delay",
    "fixeddelay",
    "exponential-delay",
    "exponentialdelay",
    "failure-rate",
    "failurerate",
];
const COUNT: Kind = Kind::Integer(0, u32::MAX as i64);

/// The strategy where nobody chose one and there are checkpoints to go on from, as in Flink.
pub(super) const WITH_CHECKPOINTS: &str = "exponential-delay";

pub(super) static RESTART: &[Known] = &[
    known(TYPE, "none", Kind::Choice(TYPES), "What is done about a job that failed; kept with each job."),
    known(FIXED_ATTEMPTS, "1", COUNT, "How often a job is started again."),
    known(FIXED_DELAY, "1 s", Kind::Duration, "The time from a failure to the next start."),
    known(INITIAL, "1 s", Kind::Duration, "The time from the first failure to the next start."),
    known(MAX, "1 min", Kind::Duration, "The longest time from a failure to the next start."),
    known(MULTIPLIER, "1.5", Kind::Number(1.0), "How much longer each delay is than the one before."),
    known(RESET, "1 h", Kind::Duration, "The time without a failure after which the delay is the first again."),
    known(JITTER, "0.1", Kind::Number(0.0), "The part of a delay by which it is longer or shorter, at random."),
    known(FAILURES, "1", COUNT, "Failures within the interval that are borne."),
    known(INTERVAL, "1 min", Kind::Duration, "The time in which failures are counted."),
    known(RATE_DELAY, "1 s", Kind::Duration, "The time from a failure to the next start."),
];

/// Whether a setting is one of these.
pub(super) fn is_restart(name: &str) -> bool {
    RESTART.iter().any(|known| known.name == name)
}

/// The strategy that settings amount to; `value` gives the text of each, which has been checked.
pub(super) fn strategy(value: impl Fn(&str) -> String) -> RestartStrategy {
    let micros = |name: &str| {
        let millis = parse_duration_ms(&value(name)).unwrap_or(0);
        i64::try_from(millis).unwrap_or(i64::MAX).saturating_mul(1_000)
    };
    let count = |name: &str| value(name).parse().unwrap_or(0);
    let number = |name: &str| value(name).parse().unwrap_or(1.0);
    match value(TYPE).as_str() {
        "fixed-delay" | "fixeddelay" => {
            RestartStrategy::FixedDelay { attempts: count(FIXED_ATTEMPTS), delay_us: micros(FIXED_DELAY) }
        }
        "exponential-delay" | "exponentialdelay" => RestartStrategy::ExponentialDelay {
            initial_us: micros(INITIAL),
            max_us: micros(MAX),
            multiplier: number(MULTIPLIER),
            reset_us: micros(RESET),
            jitter: number(JITTER),
        },
        "failure-rate" | "failurerate" => RestartStrategy::FailureRate {
            failures: count(FAILURES),
            interval_us: micros(INTERVAL),
            delay_us: micros(RATE_DELAY),
        },
        _ => RestartStrategy::None,
    }
}
