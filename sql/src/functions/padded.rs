//! Texts of dates and times with all their digits, as Arrow's casts want them: PostgreSQL and Flink also take `2024-1-2 3:4:5`
//! and white space around it. It has no name that a user can call: casts do it.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, ScalarUDF};

use super::support::{Args, Kernel, Types, function, is_text, write_texts};

static PADDED: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| made("padded", |args| padded(args, Padding::Moment)));
static CLOCK: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| made("padded_clock", |args| padded(args, Padding::Clock)));
static FLINK_CLOCK: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| made("flink_padded_clock", |args| padded(args, Padding::FlinkClock)));
static FLINK_DATE: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| made("flink_padded_date", |args| padded(args, Padding::FlinkDate)));

fn made(name: &'static str, kernel: Kernel) -> Arc<ScalarUDF> {
    let types: Types = |types| match types {
        [text] if is_text(text) => Some((DataType::Utf8, vec![DataType::Utf8])),
        _ => None,
    };
    function(name, &[], "CAST(text AS TIMESTAMP)", types, kernel)
}

/// What a text is to be read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Padding {
    /// A timestamp, or PostgreSQL's date.
    Moment,
    /// A timestamp with its seconds and nothing around it, as `TO_TIMESTAMP` wants it.
    Exact,
    /// A time of the day. Digits alone are none, which Arrow would take for microseconds.
    Clock,
    /// The same; one or two digits alone are an hour.
    FlinkClock,
    /// A date, also without its day, or its month and day: the first.
    FlinkDate,
}

/// Whether a text of a date or time is made ready by [`padded_time`] already.
pub(crate) fn is_padded(text: &Expr) -> bool {
    let names = ["padded", "padded_clock", "flink_padded_clock", "flink_padded_date"];
    matches!(text, Expr::ScalarFunction(call) if names.contains(&call.name()))
}

/// The text of a date or time with two digits for everything but the year.
pub(crate) fn padded_time(text: Expr, padding: Padding) -> Expr {
    let function = match padding {
        Padding::Moment | Padding::Exact => &PADDED,
        Padding::Clock => &CLOCK,
        Padding::FlinkClock => &FLINK_CLOCK,
        Padding::FlinkDate => &FLINK_DATE,
    };
    function.call(vec![text])
}

fn padded(args: &Args, padding: Padding) -> Result<ArrayRef> {
    padded_column(&args.column(0)?, padding)
}

/// The same for a column of texts.
pub(super) fn padded_column(column: &ArrayRef, padding: Padding) -> Result<ArrayRef> {
    let texts = column.as_string::<i32>();
    if texts.iter().flatten().all(is_whole) {
        return Ok(Arc::clone(column));
    }
    Ok(write_texts(texts.len(), |row, out| {
        let text = texts.is_valid(row).then(|| texts.value(row))?;
        let inexact = text.trim().len() < text.len() || text.matches(':').count() == 1;
        if is_whole(text) || padding == Padding::Exact && inexact {
            out.push_str(text);
        } else if push_short(text.trim(), padding, out).is_none() {
            out.clear();
            if push_padded(text.trim(), out).is_none() {
                out.clear();
                out.push_str(text);
                push_refused(text, padding, out);
            }
        }
        Some(())
    }))
}

/// What Flink fills up; `None` where it is nothing of that.
fn push_short(text: &str, padding: Padding, out: &mut String) -> Option<()> {
    match padding {
        Padding::Moment | Padding::Exact | Padding::Clock => return None,
        Padding::FlinkClock => {
            number(text, 2, out).filter(|rest| rest.is_empty())?;
            out.push_str(":00:00");
        }
        Padding::FlinkDate => {
            let rest = number(text, 4, out)?;
            out.push('-');
            match rest.strip_prefix('-') {
                Some(month) => number(month, 2, out).filter(|rest| rest.is_empty())?,
                None if rest.is_empty() => {
                    out.push_str("01");
                    ""
                }
                None => return None,
            };
            out.push_str("-01");
        }
    }
    Some(())
}

/// Lets a number that is no time be refused.
fn push_refused(text: &str, padding: Padding, out: &mut String) {
    let number = text.trim().trim_start_matches(['-', '+']).bytes().all(|byte| byte.is_ascii_digit());
    if number && matches!(padding, Padding::Clock | Padding::FlinkClock) {
        out.push(' ');
    }
}

/// Whether a text has digits wherever `2024-01-02 03:04:05` or `03:04:05` has: then nothing is to be added.
fn is_whole(text: &str) -> bool {
    let shaped = |text: &[u8], separators: [usize; 2], mark: u8| {
        text.iter().enumerate().all(
            |(at, byte)| {
                if separators.contains(&at) { *byte == mark } else { byte.is_ascii_digit() }
            },
        )
    };
    let bytes = text.as_bytes();
    let time = |bytes: &[u8]| bytes.first_chunk::<8>().is_some_and(|time| shaped(time, [2, 5], b':'));
    let trimmed = bytes.last().is_none_or(|last| !last.is_ascii_whitespace());
    trimmed
        && match bytes.split_first_chunk::<10>() {
            Some((date, [])) => shaped(date, [4, 7], b'-'),
            Some((date, [b' ' | b'T', rest @ ..])) if shaped(date, [4, 7], b'-') => time(rest),
            _ => time(bytes),
        }
}

/// `None` where it is neither a date nor a time.
fn push_padded(text: &str, out: &mut String) -> Option<()> {
    let mut rest = text;
    let is_date = text.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with('-');
    if is_date {
        rest = number(rest, 4, out)?.strip_prefix('-')?;
        out.push('-');
        rest = number(rest, 2, out)?.strip_prefix('-')?;
        out.push('-');
        rest = number(rest, 2, out)?;
        if rest.is_empty() {
            return Some(());
        }
        out.push(' ');
        rest = rest.strip_prefix(['T', ' '])?.trim_start();
    }
    rest = number(rest, 2, out)?.strip_prefix(':')?;
    out.push(':');
    rest = number(rest, 2, out)?;
    out.push(':');
    rest = match rest.strip_prefix(':') {
        Some(seconds) => number(seconds, 2, out)?,
        None => {
            out.push_str("00");
            rest
        }
    };
    // A fraction and a zone are as they are.
    out.push_str(rest);
    Some(())
}

/// Appends the digits at the start of a text, at least so many; what follows them. `None` where there are none, or more.
fn number<'t>(text: &'t str, width: usize, out: &mut String) -> Option<&'t str> {
    let count = text.bytes().take_while(u8::is_ascii_digit).count();
    if count == 0 || count > width {
        return None;
    }
    out.extend(std::iter::repeat_n('0', width - count));
    let (digits, rest) = text.split_at_checked(count)?;
    out.push_str(digits);
    Some(rest)
}

/// A text as a time of the day in milliseconds, rounded; with `trying` null where it is none.
pub(crate) fn rounded_clock(text: Expr, trying: bool) -> Expr {
    let function = if trying { &TRIED_CLOCK } else { &ROUNDED_CLOCK };
    function.call(vec![text])
}

static ROUNDED_CLOCK: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| function("rounded_clock", &[], "CAST(text AS TIME(3))", clock_types, |args| clock(args, false)));
static TRIED_CLOCK: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| function("tried_clock", &[], "CAST(text AS TIME(3))", clock_types, |args| clock(args, true)));

const CLOCK_MS: DataType = DataType::Time32(TimeUnit::Millisecond);

fn clock_types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    match types {
        [text] if is_text(text) => Some((CLOCK_MS, vec![DataType::Utf8])),
        _ => None,
    }
}

fn clock(args: &Args, trying: bool) -> Result<ArrayRef> {
    const LAST_MS: i64 = 86_399_999;
    let options = CastOptions { safe: trying, ..CastOptions::default() };
    let nanos = cast_with_options(&args.column(0)?, &DataType::Time64(TimeUnit::Nanosecond), &options)?;
    let nanos = cast(&nanos, &DataType::Int64)?;
    let millis =
        nanos.as_primitive::<Int64Type>().unary::<_, Int64Type>(|nanos| ((nanos + 500_000) / 1_000_000).min(LAST_MS));
    Ok(cast(&cast(&millis, &DataType::Int32)?, &CLOCK_MS)?)
}

#[cfg(test)]
mod tests {
    use super::{is_whole, push_padded};

    #[test]
    fn digits_are_added_where_they_are_missing() {
        for (text, whole) in [
            ("2024-1-2", "2024-01-02"),
            ("2024-1-2 3:4:5.25", "2024-01-02 03:04:05.25"),
            ("2024-01-02T03:04", "2024-01-02 03:04:00"),
            ("1:2:3", "01:02:03"),
            ("24-01-02 3:04:05+02:00", "0024-01-02 03:04:05+02:00"),
        ] {
            let mut out = String::new();
            assert!(push_padded(text, &mut out).is_some() && !is_whole(text), "{text}");
            assert_eq!(out, whole);
        }
        for text in ["2024-01-02", "2024-01-02 03:04:05.1", "2024-01-02T03:04:05Z", "03:04:05"] {
            assert!(is_whole(text), "{text}");
        }
        for text in ["", "x", "2024-001-02", "2024-01", "2024-01-02 x", "12", "2024-01-02 03"] {
            assert!(push_padded(text, &mut String::new()).is_none(), "{text}");
        }
    }
}
