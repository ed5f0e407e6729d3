//! `PRINTF`: Java's format strings with `%s %d %x %X %o %f %e %c %b %%`, width, precision, the flags `-0+ ,(` and the
//! number of a value (`%2$s`).

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::ScalarUDF;

use super::support::Kind::{Any, Text};
use super::support::{Args, many, shaped};

pub(super) fn function() -> Arc<ScalarUDF> {
    shaped("printf", "PRINTF(format, value, …)", many(1, &[Text, Any], Text), printf)
}

/// How a value is shown.
#[derive(Debug, Default)]
struct Directive {
    left: bool,
    zeros: bool,
    plus: bool,
    space: bool,
    groups: bool,
    brackets: bool,
    /// The number of the value, from 1, where it is given.
    value: Option<usize>,
    width: usize,
    precision: Option<usize>,
    letter: char,
}

/// Widths and precisions above this are an error: a format may come from a row.
const WIDTH_MAX: usize = 10_000;

fn directive<'t>(rest: &'t str, format: &str) -> Result<(Directive, &'t str)> {
    let wrong = || DataFusionError::Execution(format!("the format '{format}' is wrong"));
    let (value, rest) = match rest.split_once('$') {
        Some((number, behind)) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
            (Some(number.parse().map_err(|_| wrong())?), behind)
        }
        _ => (None, rest),
    };
    let flags = rest.len() - rest.trim_start_matches(['-', '0', '+', ' ', ',', '(']).len();
    let (flags, rest) = rest.split_at_checked(flags).ok_or_else(wrong)?;
    let number = |text: &'t str| {
        let digits = text.len() - text.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
        text.split_at_checked(digits)
    };
    let (width, mut rest) = number(rest).ok_or_else(wrong)?;
    let mut precision = None;
    if let Some(behind) = rest.strip_prefix('.') {
        let (digits, behind) = number(behind).ok_or_else(wrong)?;
        precision = Some(digits.parse().ok().filter(|digits| *digits <= WIDTH_MAX).ok_or_else(wrong)?);
        rest = behind;
    }
    let letter = rest.chars().next().ok_or_else(wrong)?;
    let width =
        if width.is_empty() { 0 } else { width.parse().ok().filter(|width| *width <= WIDTH_MAX).ok_or_else(wrong)? };
    let has = |flag: char| flags.contains(flag);
    let directive = Directive {
        left: has('-'),
        zeros: has('0'),
        plus: has('+'),
        space: has(' '),
        groups: has(','),
        brackets: has('('),
        value,
        width,
        precision,
        letter,
    };
    Ok((directive, rest.get(letter.len_utf8()..).unwrap_or_default()))
}

/// The digits of a number with its sign, as the flags want it.
fn signed(directive: &Directive, negative: bool, digits: &str) -> String {
    let sign = match negative {
        true if directive.brackets => "(",
        true => "-",
        false if directive.plus => "+",
        false if directive.space => " ",
        false => "",
    };
    let mut out = sign.to_owned();
    let whole = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
    for (index, letter) in digits.char_indices() {
        if directive.groups && index > 0 && index < whole && (whole - index) % 3 == 0 {
            out.push(',');
        }
        out.push(letter);
    }
    if sign == "(" {
        out.push(')');
    }
    out
}

/// The value's text in the form of its letter; `None` where it does not fit.
fn shown(directive: &Directive, text: &str) -> Option<String> {
    Some(match directive.letter {
        's' | 'S' => {
            let text: String = text.chars().take(directive.precision.unwrap_or(usize::MAX)).collect();
            if directive.letter == 'S' { text.to_uppercase() } else { text }
        }
        'b' => (text != "false" && text != "null").to_string(),
        'c' => match text.parse::<u32>().ok().and_then(char::from_u32) {
            Some(letter) if text.len() > 1 => letter.to_string(),
            _ => text.chars().next()?.to_string(),
        },
        'd' => {
            let number: i128 = text.parse().ok()?;
            signed(directive, number < 0, &number.unsigned_abs().to_string())
        }
        'x' => format!("{:x}", text.parse::<i64>().ok()?),
        'X' => format!("{:X}", text.parse::<i64>().ok()?),
        'o' => format!("{:o}", text.parse::<i64>().ok()?),
        'f' => {
            let number: f64 = text.parse().ok()?;
            let digits = format!("{:.*}", directive.precision.unwrap_or(6), number.abs());
            signed(directive, number < 0.0, &digits)
        }
        'e' => {
            let number: f64 = text.parse().ok()?;
            let text = format!("{:.*e}", directive.precision.unwrap_or(6), number.abs());
            let (mantissa, exponent) = text.split_once('e')?;
            signed(directive, number < 0.0, &format!("{mantissa}e{:+03}", exponent.parse::<i32>().ok()?))
        }
        _ => return None,
    })
}

fn pad(out: &mut String, directive: &Directive, text: &str) {
    let missing = directive.width.saturating_sub(text.chars().count());
    let numeric = matches!(directive.letter, 'd' | 'f' | 'e' | 'x' | 'X' | 'o');
    if directive.left {
        // Writing to a string does not fail.
        let _ = write!(out, "{text}{:missing$}", "");
    } else if directive.zeros && numeric {
        let sign = text.len() - text.trim_start_matches(['-', '+', ' ', '(']).len();
        let (sign, digits) = text.split_at(sign);
        out.push_str(sign);
        out.extend(std::iter::repeat_n('0', missing));
        out.push_str(digits);
    } else {
        let _ = write!(out, "{:missing$}{text}", "");
    }
}

fn printf(args: &Args) -> Result<ArrayRef> {
    let formats = args.text(0)?;
    let columns = (1..args.len()).map(|index| args.column(index)).collect::<Result<Vec<_>>>()?;
    let options = FormatOptions::default();
    let mut values = Vec::with_capacity(columns.len());
    for column in &columns {
        values.push(if *column.data_type() == DataType::Null {
            None
        } else {
            Some(ArrayFormatter::try_new(column, &options)?)
        });
    }
    args.try_write(|row, out| {
        let Some(format) = formats.get(row) else { return Ok(None) };
        let mut rest = format;
        let mut next = 0;
        while let Some((literal, behind)) = rest.split_once('%') {
            out.push_str(literal);
            let (directive, behind) = directive(behind, format)?;
            rest = behind;
            match directive.letter {
                '%' => out.push('%'),
                'n' => out.push('\n'),
                letter => {
                    let wrong = || DataFusionError::Execution(format!("PRINTF: no value fits %{letter} of '{format}'"));
                    let place = match directive.value {
                        Some(number) => number.wrapping_sub(1),
                        None => {
                            next += 1;
                            next - 1
                        }
                    };
                    let column = columns.get(place).ok_or_else(wrong)?;
                    let text = match values.get(place) {
                        Some(Some(value)) if column.is_valid(row) => value.value(row).try_to_string()?,
                        _ => "null".to_owned(),
                    };
                    let text = if text == "null" { text } else { shown(&directive, &text).ok_or_else(wrong)? };
                    pad(out, &directive, &text);
                }
            }
        }
        out.push_str(rest);
        Ok(Some(()))
    })
}
