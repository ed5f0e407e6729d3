//! Floating point as text: as PostgreSQL writes it, and as Java does, and so Flink. Both have the shortest digits that read
//! back the same; they differ in when there is an exponent, and in `1` and `1.0`.

use std::fmt::{LowerExp, Write};

use crate::catalog::Semantics;

/// Digits before the point from which on PostgreSQL writes an exponent.
const DOUBLE_EXPONENT_MAX: i32 = 15;
const SINGLE_EXPONENT_MAX: i32 = 6;

/// Appends the text of a double, as PostgreSQL or Flink writes it.
pub fn push_double(value: f64, semantics: Semantics, out: &mut String) {
    if !special(value, out) {
        finite(value, semantics, DOUBLE_EXPONENT_MAX, out);
    }
}

/// Appends the text of a number of single precision, as PostgreSQL or Flink writes it.
pub fn push_single(value: f32, semantics: Semantics, out: &mut String) {
    if !special(f64::from(value), out) {
        finite(value, semantics, SINGLE_EXPONENT_MAX, out);
    }
}

fn special(value: f64, out: &mut String) -> bool {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    } else {
        return false;
    }
    true
}

fn finite(value: impl LowerExp, semantics: Semantics, exponent_max: i32, out: &mut String) {
    let java = semantics == Semantics::Flink;
    // A sign, seventeen digits, a point and an exponent.
    let mut shortest = String::with_capacity(32);
    // Writing to a string does not fail.
    let _ = write!(shortest, "{value:e}");
    let Some((mantissa, exponent)) = shortest.split_once('e') else {
        out.push_str(&shortest);
        return;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (first, rest) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    out.push_str(sign);
    let zero = mantissa == "0";
    let plain = if java { zero || (-3..7).contains(&exponent) } else { (-4..exponent_max).contains(&exponent) };
    match (plain, java) {
        (false, true) => {
            let _ = write!(out, "{first}.{}E{exponent}", if rest.is_empty() { "0" } else { rest });
        }
        (false, false) => {
            let _ = write!(out, "{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs());
        }
        (true, _) => without_exponent(first, rest, exponent, java, out),
    }
}

/// The digits with the point where the exponent has it.
fn without_exponent(first: &str, rest: &str, exponent: i32, java: bool, out: &mut String) {
    if exponent < 0 {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', usize::try_from(-exponent - 1).unwrap_or(0)));
        out.push_str(first);
        out.push_str(rest);
        return;
    }
    let whole = usize::try_from(exponent).unwrap_or(0);
    out.push_str(first);
    match rest.split_at_checked(whole).filter(|(_, after)| !after.is_empty()) {
        Some((before, after)) => {
            out.push_str(before);
            out.push('.');
            out.push_str(after);
        }
        None => {
            out.push_str(rest);
            out.extend(std::iter::repeat_n('0', whole.saturating_sub(rest.len())));
            out.push_str(if java { ".0" } else { "" });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Semantics, push_double, push_single};

    #[test]
    fn doubles_as_both_write_them() {
        let cases = [
            (0.0, "0", "0.0"),
            (-0.0, "-0", "-0.0"),
            (1.0, "1", "1.0"),
            (-12.5, "-12.5", "-12.5"),
            (120.0, "120", "120.0"),
            (0.1, "0.1", "0.1"),
            (0.001, "0.001", "0.001"),
            (0.0001, "0.0001", "1.0E-4"),
            (0.00012, "0.00012", "1.2E-4"),
            (1e-5, "1e-05", "1.0E-5"),
            (123_456.75, "123456.75", "123456.75"),
            (9_999_999.5, "9999999.5", "9999999.5"),
            (1e7, "10000000", "1.0E7"),
            (1.5e10, "15000000000", "1.5E10"),
            (1e14, "100000000000000", "1.0E14"),
            (1e15, "1e+15", "1.0E15"),
            (1.25e20, "1.25e+20", "1.25E20"),
            (f64::NAN, "NaN", "NaN"),
            (f64::INFINITY, "Infinity", "Infinity"),
            (f64::NEG_INFINITY, "-Infinity", "-Infinity"),
        ];
        for (value, postgres, flink) in cases {
            for (text, semantics) in [(postgres, Semantics::Postgres), (flink, Semantics::Flink)] {
                let mut out = String::new();
                push_double(value, semantics, &mut out);
                assert_eq!(out, text, "{value}");
            }
        }
    }

    #[test]
    fn singles_have_their_own_digits() {
        let cases = [(0.1, "0.1", "0.1"), (100_000.0, "100000", "100000.0"), (1e6, "1e+06", "1000000.0")];
        for (value, postgres, flink) in cases {
            for (text, semantics) in [(postgres, Semantics::Postgres), (flink, Semantics::Flink)] {
                let mut out = String::new();
                push_single(value, semantics, &mut out);
                assert_eq!(out, text, "{value}");
            }
        }
    }
}
