//! Texts of dates and times with all their digits, as Arrow's casts want them: PostgreSQL and Flink also take `2024-1-2 3:4:5`
//! and white space around it. It has no name that a user can call: casts do it.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, ScalarUDF};

use super::support::{Args, Types, function, is_text};

static PADDED: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let types: Types = |types| match types {
        [text] if is_text(text) => Some((DataType::Utf8, vec![DataType::Utf8])),
        _ => None,
    };
    function("padded", &[], "CAST(text AS TIMESTAMP)", types, padded)
});

/// Whether a text of a date or time is made ready by [`padded_time`] already.
pub(crate) fn is_padded(text: &Expr) -> bool {
    matches!(text, Expr::ScalarFunction(call) if call.name() == "padded")
}

/// The text of a date or time with two digits for everything but the year.
pub(crate) fn padded_time(text: Expr) -> Expr {
    PADDED.call(vec![text])
}

fn padded(args: &Args) -> Result<ArrayRef> {
    let column = args.column(0)?;
    let texts = column.as_string::<i32>();
    if texts.iter().flatten().all(is_whole) {
        return Ok(column);
    }
    Ok(args.write(|row, out| {
        let text = texts.is_valid(row).then(|| texts.value(row))?;
        if is_whole(text) || push_padded(text.trim(), out).is_none() {
            out.clear();
            out.push_str(text);
        }
        Some(())
    }))
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
