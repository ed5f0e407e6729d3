//! Java's date patterns (`yyyy-MM-dd HH:mm:ss`), read once and applied to many timestamps.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use datafusion::common::{DataFusionError, Result};

/// A pattern.
#[derive(Debug)]
pub(super) struct Format {
    parts: Vec<Part>,
    /// The last text and the minute it was made for, for patterns that no finer unit shows in.
    last: Option<(i64, String)>,
    text: String,
    by_minute: bool,
}

#[derive(Debug)]
enum Part {
    Literal(String),
    Field(Field, usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Year,
    Quarter,
    Month,
    Day,
    DayOfYear,
    Weekday,
    Hour,
    /// From 1 to 24.
    HourFromOne,
    HourOfTwelve,
    /// From 0 to 11.
    HourOfTwelveFromZero,
    Minute,
    Second,
    Fraction,
    AmPm,
}

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(super) const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MINUTE_US: i64 = 60_000_000;

impl Format {
    /// Reads a pattern.
    ///
    /// # Errors
    /// Where it has a letter that is not known.
    pub(super) fn parse(pattern: &str) -> Result<Self> {
        let mut parts: Vec<Part> = Vec::new();
        let mut letters = pattern.chars().peekable();
        while let Some(letter) = letters.next() {
            if letter == '\'' {
                parts.push(Part::Literal(quoted(&mut letters)));
                continue;
            }
            if !letter.is_ascii_alphabetic() {
                parts.push(Part::Literal(letter.to_string()));
                continue;
            }
            let mut count = 1;
            while letters.next_if_eq(&letter).is_some() {
                count += 1;
            }
            let field = match letter {
                'y' | 'u' => Field::Year,
                'Q' | 'q' => Field::Quarter,
                'M' | 'L' => Field::Month,
                'd' => Field::Day,
                'D' => Field::DayOfYear,
                'E' => Field::Weekday,
                'H' => Field::Hour,
                'k' => Field::HourFromOne,
                'h' => Field::HourOfTwelve,
                'K' => Field::HourOfTwelveFromZero,
                'm' => Field::Minute,
                's' => Field::Second,
                'S' => Field::Fraction,
                'a' => Field::AmPm,
                other => {
                    let message = format!("the letter {other} of the date pattern '{pattern}' is not known");
                    return Err(DataFusionError::Execution(message));
                }
            };
            parts.push(Part::Field(field, count));
        }
        let fine = |part: &Part| matches!(part, Part::Field(Field::Second | Field::Fraction, _));
        Ok(Self { by_minute: !parts.iter().any(fine), parts, last: None, text: String::new() })
    }

    /// The text of a moment in microseconds since 1970.
    pub(super) fn format(&mut self, us: i64) -> &str {
        let minute = us.div_euclid(MINUTE_US);
        if self.by_minute && self.last.as_ref().is_some_and(|(known, _)| *known == minute) {
            return self.last.as_ref().map_or("", |(_, text)| text.as_str());
        }
        self.text.clear();
        if let Some(at) = DateTime::from_timestamp_micros(us) {
            let at = at.naive_utc();
            for part in &self.parts {
                match part {
                    Part::Literal(text) => self.text.push_str(text),
                    Part::Field(field, count) => push(&mut self.text, *field, *count, &at),
                }
            }
        }
        if self.by_minute {
            self.last = Some((minute, self.text.clone()));
        }
        &self.text
    }

    /// The moment of a text in microseconds since 1970; `None` where it does not fit the pattern.
    pub(super) fn read(&self, text: &str) -> Option<i64> {
        let mut rest = text;
        let (mut year, mut month, mut day) = (1970, 1, 1);
        let (mut hour, mut minute, mut second, mut micros, mut afternoon) = (0, 0, 0, 0, None);
        for (index, part) in self.parts.iter().enumerate() {
            let (field, count) = match part {
                Part::Literal(literal) => {
                    rest = rest.strip_prefix(literal.as_str())?;
                    continue;
                }
                Part::Field(field, count) => (*field, *count),
            };
            match field {
                Field::AmPm => {
                    let (word, after) = rest.split_at_checked(2)?;
                    afternoon = Some(word.eq_ignore_ascii_case("pm"));
                    rest = after;
                }
                Field::Month if count > 2 => {
                    let found = MONTHS.iter().position(|name| starts_with(rest, short(name, count)))?;
                    month = u32::try_from(found).ok()? + 1;
                    rest = rest.get(short(MONTHS.get(found)?, count).len()..)?;
                }
                Field::Weekday => {
                    let name = WEEKDAYS.iter().find(|name| starts_with(rest, short(name, count)))?;
                    rest = rest.get(short(name, count).len()..)?;
                }
                _ => {
                    let adjacent = matches!(self.parts.get(index + 1), Some(Part::Field(..)));
                    let (number, digits, after) = digits(rest, if adjacent { count } else { 19 })?;
                    rest = after;
                    match field {
                        // Two digits are of this century.
                        Field::Year if count == 2 && digits == 2 => year = 2_000 + i32::try_from(number).ok()?,
                        Field::Year => year = i32::try_from(number).ok()?,
                        Field::Month => month = number,
                        Field::Day | Field::DayOfYear => day = number,
                        Field::HourFromOne => hour = number % 24,
                        Field::Hour | Field::HourOfTwelve | Field::HourOfTwelveFromZero => hour = number,
                        Field::Minute => minute = number,
                        Field::Second => second = number,
                        Field::Fraction => micros = scaled(number, digits)?,
                        Field::AmPm | Field::Weekday | Field::Quarter => {}
                    }
                }
            }
        }
        if let Some(afternoon) = afternoon {
            hour = hour % 12 + if afternoon { 12 } else { 0 };
        }
        let date = NaiveDate::from_ymd_opt(year, month, day)?;
        let time = NaiveTime::from_hms_micro_opt(hour, minute, second, micros)?;
        rest.is_empty().then(|| NaiveDateTime::new(date, time).and_utc().timestamp_micros())
    }
}

/// The text between quotes; two quotes stand for one.
fn quoted(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut text = String::new();
    while let Some(letter) = letters.next() {
        if letter != '\'' {
            text.push(letter);
        } else if letters.next_if_eq(&'\'').is_some() {
            text.push('\'');
        } else {
            break;
        }
    }
    if text.is_empty() { "'".to_owned() } else { text }
}

fn push(out: &mut String, field: Field, count: usize, at: &NaiveDateTime) {
    match field {
        Field::Year if count == 2 => number(out, at.year().rem_euclid(100).unsigned_abs(), 2),
        Field::Year => number(out, at.year().unsigned_abs(), count),
        Field::Quarter => number(out, at.month0() / 3 + 1, count),
        Field::Month if count > 2 => out.push_str(name(&MONTHS, at.month0(), count)),
        Field::Month => number(out, at.month(), count),
        Field::Day => number(out, at.day(), count),
        Field::DayOfYear => number(out, at.ordinal(), count),
        Field::Weekday => out.push_str(name(&WEEKDAYS, at.weekday().num_days_from_monday(), count)),
        Field::Hour => number(out, at.hour(), count),
        Field::HourFromOne => number(out, (at.hour() + 23) % 24 + 1, count),
        Field::HourOfTwelve => number(out, (at.hour() + 11) % 12 + 1, count),
        Field::HourOfTwelveFromZero => number(out, at.hour() % 12, count),
        Field::Minute => number(out, at.minute(), count),
        Field::Second => number(out, at.second(), count),
        Field::Fraction => {
            let mut digits = String::new();
            number(&mut digits, at.nanosecond() % 1_000_000_000, 9);
            out.extend(digits.chars().chain(std::iter::repeat('0')).take(count));
        }
        Field::AmPm => out.push_str(if at.hour() < 12 { "AM" } else { "PM" }),
    }
}

fn name(names: &[&'static str], index: u32, count: usize) -> &'static str {
    names.get(index as usize).map_or("", |name| short(name, count))
}

fn short(name: &'static str, count: usize) -> &'static str {
    if count > 3 { name } else { name.get(..3).unwrap_or(name) }
}

fn starts_with(text: &str, word: &str) -> bool {
    text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
}

/// Appends a number with zeros in front, up to a width.
fn number(out: &mut String, value: u32, width: usize) {
    let mut digits = [b'0'; 10];
    let mut rest = value;
    let mut first = digits.len();
    while rest > 0 || first == digits.len() {
        first -= 1;
        if let (Some(digit), Ok(value)) = (digits.get_mut(first), u8::try_from(rest % 10)) {
            *digit = b'0' + value;
        }
        rest /= 10;
    }
    let first = first.min(digits.len().saturating_sub(width));
    out.extend(digits.iter().skip(first).map(|digit| char::from(*digit)));
}

/// The digits at the start: their value, how many they are, what follows.
fn digits(text: &str, most: usize) -> Option<(u32, usize, &str)> {
    let count = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at_checked(count)?;
    Some((digits.get(..count.min(9))?.parse().ok()?, count, rest))
}

/// A fraction of a second with so many digits, in microseconds.
fn scaled(number: u32, digits: usize) -> Option<u32> {
    let digits = u32::try_from(digits.min(9)).ok()?;
    if digits <= 6 { number.checked_mul(10_u32.pow(6 - digits)) } else { Some(number / 10_u32.pow(digits - 6)) }
}
