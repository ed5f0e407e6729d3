//! PostgreSQL's `TO_CHAR(timestamp, 'YYYY-MM-DD HH24:MI:SS')`. A template with a `%` is one of `strftime`.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, Datelike, NaiveDateTime, Timelike};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::ScalarUDF;

use super::calendar::MICROS;
use super::format::{MONTHS, WEEKDAYS};
use super::support::{Args, function, is_text};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![function("to_char", &[], "TO_CHAR(timestamp, template)", types, to_char)]
}

fn types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    match types {
        [DataType::Timestamp(..) | DataType::Date32, template] if is_text(template) => {
            Some((DataType::Utf8, vec![MICROS, DataType::Utf8]))
        }
        _ => None,
    }
}

/// What stands in a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    /// So many digits at the end of the year.
    Year(usize),
    IsoYear,
    Century,
    Quarter,
    Month,
    /// The name, whole or three letters of it.
    MonthName(bool, Letters),
    Week,
    IsoWeek,
    WeekOfMonth,
    DayOfYear,
    Day,
    /// From 1 for Sunday.
    Weekday,
    /// From 1 for Monday.
    IsoWeekday,
    DayName(bool, Letters),
    Hour,
    HourOfTwelve,
    Minute,
    Second,
    SecondOfDay,
    Millis,
    Micros,
    /// With points, in capitals.
    HalfDay(bool, bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Letters {
    Capitals,
    Capital,
    Small,
}

/// The words of templates; of two of which one begins the other the longer stands first. A word of letters in the case that counts.
const WORDS: [(&str, bool, Field); 42] = [
    ("YYYY", false, Field::Year(4)),
    ("YYY", false, Field::Year(3)),
    ("YY", false, Field::Year(2)),
    ("Y", false, Field::Year(1)),
    ("IYYY", false, Field::IsoYear),
    ("IW", false, Field::IsoWeek),
    ("ID", false, Field::IsoWeekday),
    ("CC", false, Field::Century),
    ("Q", false, Field::Quarter),
    ("MONTH", true, Field::MonthName(true, Letters::Capitals)),
    ("Month", true, Field::MonthName(true, Letters::Capital)),
    ("month", true, Field::MonthName(true, Letters::Small)),
    ("MON", true, Field::MonthName(false, Letters::Capitals)),
    ("Mon", true, Field::MonthName(false, Letters::Capital)),
    ("mon", true, Field::MonthName(false, Letters::Small)),
    ("MM", false, Field::Month),
    ("MI", false, Field::Minute),
    ("MS", false, Field::Millis),
    ("US", false, Field::Micros),
    ("WW", false, Field::Week),
    ("W", false, Field::WeekOfMonth),
    ("DAY", true, Field::DayName(true, Letters::Capitals)),
    ("Day", true, Field::DayName(true, Letters::Capital)),
    ("day", true, Field::DayName(true, Letters::Small)),
    ("DY", true, Field::DayName(false, Letters::Capitals)),
    ("Dy", true, Field::DayName(false, Letters::Capital)),
    ("dy", true, Field::DayName(false, Letters::Small)),
    ("DDD", false, Field::DayOfYear),
    ("DD", false, Field::Day),
    ("D", false, Field::Weekday),
    ("HH24", false, Field::Hour),
    ("HH12", false, Field::HourOfTwelve),
    ("HH", false, Field::HourOfTwelve),
    ("SSSS", false, Field::SecondOfDay),
    ("SS", false, Field::Second),
    ("AM", true, Field::HalfDay(false, true)),
    ("PM", true, Field::HalfDay(false, true)),
    ("am", true, Field::HalfDay(false, false)),
    ("pm", true, Field::HalfDay(false, false)),
    ("A.M.", true, Field::HalfDay(true, true)),
    ("P.M.", true, Field::HalfDay(true, true)),
    ("p.m.", true, Field::HalfDay(true, false)),
];

enum Part<'t> {
    Literal(&'t str),
    /// Without padding where `FM` stands before it.
    Field(Field, bool),
}

enum Template<'t> {
    Parts(Vec<Part<'t>>),
    Strftime(Vec<Item<'t>>),
}

impl<'t> Template<'t> {
    fn parse(text: &'t str) -> Result<Self> {
        if text.contains('%') {
            let items: Vec<Item<'t>> = StrftimeItems::new(text).collect();
            if items.contains(&Item::Error) {
                return Err(DataFusionError::Execution(format!("the template '{text}' is not known")));
            }
            return Ok(Self::Strftime(items));
        }
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some(first) = rest.chars().next() {
            if let Some((literal, behind)) = rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
                parts.push(Part::Literal(literal));
                rest = behind;
                continue;
            }
            let (bare, word) = match rest.strip_prefix("FM").or_else(|| rest.strip_prefix("fm")) {
                Some(behind) => (true, behind),
                None => (false, rest),
            };
            let starts = |&(name, exact, _): &(&str, bool, Field)| {
                word.get(..name.len())
                    .is_some_and(|head| if exact { head == name } else { head.eq_ignore_ascii_case(name) })
            };
            match WORDS.iter().find(|known| starts(known)) {
                Some((name, _, field)) => {
                    parts.push(Part::Field(*field, bare));
                    rest = word.get(name.len()..).unwrap_or_default();
                }
                None => {
                    let (literal, behind) = rest.split_at_checked(first.len_utf8()).unwrap_or((rest, ""));
                    parts.push(Part::Literal(literal));
                    rest = behind;
                }
            }
        }
        Ok(Self::Parts(parts))
    }

    fn push(&self, at: &NaiveDateTime, out: &mut String) {
        match self {
            Self::Strftime(items) => {
                // It fails for what a timestamp without a zone does not have; then that is left out.
                let _ = write!(out, "{}", at.format_with_items(items.iter()));
            }
            Self::Parts(parts) => parts.iter().for_each(|part| match part {
                Part::Literal(text) => out.push_str(text),
                Part::Field(field, bare) => push(*field, *bare, at, out),
            }),
        }
    }
}

fn push(field: Field, bare: bool, at: &NaiveDateTime, out: &mut String) {
    let year = at.year().unsigned_abs();
    let (number, width) = match field {
        Field::Year(4) => (year, 4),
        Field::Year(digits) => (year % 10_u32.pow(u32::try_from(digits).unwrap_or(1)), digits),
        Field::IsoYear => (at.iso_week().year().unsigned_abs(), 4),
        Field::Century => (year.div_ceil(100), 2),
        Field::Quarter => (at.month0() / 3 + 1, 1),
        Field::Month => (at.month(), 2),
        Field::Week => (at.ordinal0() / 7 + 1, 2),
        Field::IsoWeek => (at.iso_week().week(), 2),
        Field::WeekOfMonth => (at.day0() / 7 + 1, 1),
        Field::DayOfYear => (at.ordinal(), 3),
        Field::Day => (at.day(), 2),
        Field::Weekday => (at.weekday().number_from_sunday(), 1),
        Field::IsoWeekday => (at.weekday().number_from_monday(), 1),
        Field::Hour => (at.hour(), 2),
        Field::HourOfTwelve => (at.hour12().1, 2),
        Field::Minute => (at.minute(), 2),
        Field::Second => (at.second(), 2),
        Field::SecondOfDay => (at.num_seconds_from_midnight(), 1),
        Field::Millis => (at.nanosecond() / 1_000_000 % 1_000, 3),
        Field::Micros => (at.nanosecond() / 1_000 % 1_000_000, 6),
        Field::MonthName(whole, letters) => return name(&MONTHS, at.month0(), (whole, letters), bare, out),
        Field::DayName(whole, letters) => {
            return name(&WEEKDAYS, at.weekday().num_days_from_monday(), (whole, letters), bare, out);
        }
        Field::HalfDay(points, capitals) => {
            return out.push_str(match (at.hour12().0, points, capitals) {
                (false, false, true) => "AM",
                (false, false, false) => "am",
                (false, true, true) => "A.M.",
                (false, true, false) => "a.m.",
                (true, false, true) => "PM",
                (true, false, false) => "pm",
                (true, true, true) => "P.M.",
                (true, true, false) => "p.m.",
            });
        }
    };
    let width = if bare { 1 } else { width };
    // Writing to a string does not fail.
    let _ = write!(out, "{number:0width$}");
}

/// Appends a name, blanks behind it up to the longest unless it is to stand bare.
fn name(names: &[&str], index: u32, (whole, letters): (bool, Letters), bare: bool, out: &mut String) {
    let name = names.get(index as usize).copied().unwrap_or_default();
    let shown = if whole { name } else { name.get(..3).unwrap_or(name) };
    out.extend(shown.char_indices().map(|(place, letter)| match letters {
        Letters::Capitals => letter.to_ascii_uppercase(),
        Letters::Capital if place == 0 => letter,
        Letters::Capital | Letters::Small => letter.to_ascii_lowercase(),
    }));
    if whole && !bare {
        out.extend(std::iter::repeat_n(' ', 9_usize.saturating_sub(shown.len())));
    }
}

fn to_char(args: &Args) -> Result<ArrayRef> {
    let column = args.column(0)?;
    let times = column.as_primitive::<TimestampMicrosecondType>();
    let texts = args.text(1)?;
    let mut known: Option<(&str, Template<'_>)> = None;
    args.try_write(|row, out| {
        let (true, Some(text)) = (times.is_valid(row), texts.get(row)) else { return Ok(None) };
        let template = match &mut known {
            Some((read, template)) if *read == text => template,
            other => &mut other.insert((text, Template::parse(text)?)).1,
        };
        let Some(at) = DateTime::from_timestamp_micros(times.value(row)) else { return Ok(None) };
        template.push(&at.naive_utc(), out);
        Ok(Some(()))
    })
}
