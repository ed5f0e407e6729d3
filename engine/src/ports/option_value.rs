//! The text of options: durations, sizes, numbers, as Flink writes them. Used by whoever checks a table's options and by
//! the connectors that read them.

use super::{OptionType, OptionValues};
use crate::error::{EngineError, Result};

/// Units of durations: name, microseconds.
const DURATIONS: &[(&[&str], i64)] = &[
    (&["d", "day", "days"], 86_400_000_000),
    (&["h", "hour", "hours"], 3_600_000_000),
    (&["min", "m", "minute", "minutes"], 60_000_000),
    (&["s", "sec", "secs", "second", "seconds"], 1_000_000),
    (&["ms", "milli", "millis", "millisecond", "milliseconds", ""], 1_000),
    (&["us", "µs", "micro", "micros", "microsecond", "microseconds"], 1),
];

/// Units of sizes: name, bytes.
const SIZES: &[(&[&str], u64)] = &[
    (&["", "b", "byte", "bytes"], 1),
    (&["k", "kb", "kib", "kibibytes"], 1 << 10),
    (&["m", "mb", "mib", "mebibytes"], 1 << 20),
    (&["g", "gb", "gib", "gibibytes"], 1 << 30),
    (&["t", "tb", "tib", "tebibytes"], 1 << 40),
];

/// Reads a duration (`10 s`, `1min`, `500 ms`; a bare number is milliseconds) as microseconds.
pub fn parse_duration_us(text: &str) -> Option<i64> {
    let (number, unit) = split_unit(text)?;
    let (_, micros) = DURATIONS.iter().find(|(names, _)| names.contains(&unit.as_str()))?;
    number.parse::<i64>().ok()?.checked_mul(*micros)
}

/// Reads a size (`128MB`, `64 kb`; a bare number is bytes) as bytes.
pub fn parse_memory_size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let (_, bytes) = SIZES.iter().find(|(names, _)| names.contains(&unit.as_str()))?;
    number.parse::<u64>().ok()?.checked_mul(*bytes)
}

/// Reads `true` or `false` in any case.
pub fn parse_boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// Whether a text is of a type.
///
/// # Errors
/// What the type takes, for people: `a duration such as '10 s'`.
pub fn check(kind: &OptionType, text: &str) -> Result<(), String> {
    let (good, takes) = match kind {
        OptionType::String => (true, String::new()),
        OptionType::Boolean => (parse_boolean(text).is_some(), "true or false".to_owned()),
        OptionType::Integer => (text.trim().parse::<i64>().is_ok(), "a whole number".to_owned()),
        OptionType::Double => (text.trim().parse::<f64>().is_ok(), "a number".to_owned()),
        OptionType::Duration => (parse_duration_us(text).is_some(), "a duration such as '10 s' or '500 ms'".to_owned()),
        OptionType::MemorySize => (parse_memory_size(text).is_some(), "a size such as '128MB'".to_owned()),
        OptionType::Choice(words) => {
            let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
            let good = words.iter().any(|word| word.eq_ignore_ascii_case(text.trim()));
            (good, format!("one of {}", quoted.join(", ")))
        }
    };
    if good { Ok(()) } else { Err(takes) }
}

impl OptionValues {
    /// The duration of an option in microseconds, or `default_us`.
    ///
    /// # Errors
    /// Where the text is no duration.
    pub fn duration_us(&self, name: &str, default_us: i64) -> Result<i64> {
        self.read(name, default_us, parse_duration_us, "a duration such as '10 s'")
    }

    /// The size of an option in bytes, or `default`.
    ///
    /// # Errors
    /// Where the text is no size.
    pub fn memory_size(&self, name: &str, default: u64) -> Result<u64> {
        self.read(name, default, parse_memory_size, "a size such as '128MB'")
    }

    /// The flag of an option, or `default`.
    ///
    /// # Errors
    /// Where the text is neither `true` nor `false`.
    pub fn boolean(&self, name: &str, default: bool) -> Result<bool> {
        self.read(name, default, parse_boolean, "true or false")
    }

    /// The number of an option, or `default`.
    ///
    /// # Errors
    /// Where the text is no whole number.
    pub fn integer(&self, name: &str, default: i64) -> Result<i64> {
        self.read(name, default, |text| text.trim().parse().ok(), "a whole number")
    }

    fn read<T>(&self, name: &str, default: T, parse: impl Fn(&str) -> Option<T>, takes: &str) -> Result<T> {
        let Some(text) = self.get(name) else { return Ok(default) };
        parse(text).ok_or_else(|| EngineError::config(format!("option '{name}' takes {takes}, not '{text}'")))
    }
}

/// Digits, then a unit in lower case.
fn split_unit(text: &str) -> Option<(&str, String)> {
    let text = text.trim();
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (!number.is_empty()).then(|| (number, unit.trim().to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_as_flink_writes_them() {
        let durations = ["10 s", "1min", "500 ms", "250", "2 h", "1 d", "x", "5 parsecs", "-1 s"];
        let read: Vec<_> = durations.iter().map(|text| parse_duration_us(text)).collect();
        let want = [10_000_000, 60_000_000, 500_000, 250_000, 7_200_000_000, 86_400_000_000];
        assert_eq!(read[..6], want.map(Some));
        assert_eq!(read[6..], [None, None, None]);
        let sizes = ["128MB", "64 kb", "7", "1 g", "much"].map(parse_memory_size);
        assert_eq!(sizes, [Some(128 << 20), Some(64 << 10), Some(7), Some(1 << 30), None]);
    }

    #[test]
    fn a_wrong_text_tells_what_is_taken() {
        let choice = OptionType::Choice(&["json", "csv"]);
        assert_eq!(check(&choice, "JSON"), Ok(()));
        assert_eq!(check(&choice, "xml"), Err("one of 'json', 'csv'".to_owned()));
        assert!(check(&OptionType::Integer, "many").is_err());
    }
}
