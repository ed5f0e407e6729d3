//! Whether the text of an option is of its type, as Flink reads such texts.

/// Units of Flink's durations.
const TIME_UNITS: [&str; 33] = [
    "",
    "d",
    "day",
    "days",
    "h",
    "hour",
    "hours",
    "m",
    "min",
    "mins",
    "minute",
    "minutes",
    "s",
    "sec",
    "secs",
    "second",
    "seconds",
    "ms",
    "milli",
    "millis",
    "millisecond",
    "milliseconds",
    "us",
    "µs",
    "micro",
    "micros",
    "microsecond",
    "microseconds",
    "ns",
    "nano",
    "nanos",
    "nanosecond",
    "nanoseconds",
];

/// Units of Flink's sizes.
const SIZE_UNITS: [&str; 20] = [
    "",
    "b",
    "byte",
    "bytes",
    "k",
    "kb",
    "kib",
    "kibibytes",
    "m",
    "mb",
    "mib",
    "mebibytes",
    "g",
    "gb",
    "gib",
    "gibibytes",
    "t",
    "tb",
    "tib",
    "tebibytes",
];

/// `true` or `false`.
pub(super) fn is_boolean(value: &str) -> bool {
    value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false")
}

/// A whole number of 64 bits.
pub(super) fn is_integer(value: &str) -> bool {
    value.trim().parse::<i64>().is_ok()
}

/// A finite number.
pub(super) fn is_double(value: &str) -> bool {
    value.trim().parse::<f64>().is_ok_and(f64::is_finite)
}

/// `10 s`, `1min`, `500` (milliseconds).
pub(super) fn is_duration(value: &str) -> bool {
    is_number_with_unit(value, &TIME_UNITS)
}

/// `128MB`, `64 kb`, `1024` (bytes).
pub(super) fn is_memory_size(value: &str) -> bool {
    is_number_with_unit(value, &SIZE_UNITS)
}

fn is_number_with_unit(value: &str, units: &[&str]) -> bool {
    let value = value.trim();
    let digits = value.find(|next: char| !next.is_ascii_digit()).unwrap_or(value.len());
    let (number, unit) = value.split_at(digits);
    number.parse::<u64>().is_ok() && units.contains(&unit.trim().to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_as_flink_does() {
        for value in ["10 s", "1min", "500", "3 Days", "20 ms", "7ns"] {
            assert!(is_duration(value), "{value}");
        }
        for value in ["", "s", "-1 s", "1.5 s", "10 parsecs"] {
            assert!(!is_duration(value), "{value}");
        }
        for value in ["128MB", "64 kb", "1024", "1 g"] {
            assert!(is_memory_size(value), "{value}");
        }
        assert!(!is_memory_size("12 lightyears"));
        assert!(is_double("0.5") && !is_double("inf") && !is_double("x"));
    }
}
