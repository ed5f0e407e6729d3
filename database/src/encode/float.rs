//! Floating point as PostgreSQL prints it: the shortest digits that read back the same, with an exponent where the
//! number is long.

use std::fmt::{LowerExp, Write};

/// Digits before the point from which on PostgreSQL writes an exponent.
const DOUBLE_EXPONENT_MAX: i32 = 15;
const REAL_EXPONENT_MAX: i32 = 6;

/// Appends a double.
pub(super) fn write_f64(value: f64, out: &mut String) {
    if !special(value, out) {
        finite(value, DOUBLE_EXPONENT_MAX, out);
    }
}

/// Appends a real.
pub(super) fn write_f32(value: f32, out: &mut String) {
    if !special(f64::from(value), out) {
        finite(value, REAL_EXPONENT_MAX, out);
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

fn finite(value: impl LowerExp, exponent_max: i32, out: &mut String) {
    let shortest = format!("{value:e}");
    let Some((mantissa, exponent)) = shortest.split_once('e') else {
        out.push_str(&shortest);
        return;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    out.push_str(sign);
    if exponent < -4 || exponent >= exponent_max {
        let _ = write!(out, "{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs());
        return;
    }
    let digits: String = mantissa.chars().filter(|digit| *digit != '.').collect();
    if exponent < 0 {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', usize::try_from(-exponent - 1).unwrap_or(0)));
        out.push_str(&digits);
        return;
    }
    let whole = usize::try_from(exponent).unwrap_or(0) + 1;
    if digits.len() <= whole {
        out.push_str(&digits);
        out.extend(std::iter::repeat_n('0', whole - digits.len()));
    } else {
        let (before, after) = digits.split_at(whole);
        out.push_str(before);
        out.push('.');
        out.push_str(after);
    }
}

#[cfg(test)]
mod tests {
    use super::{write_f32, write_f64};

    fn double(value: f64) -> String {
        let mut out = String::new();
        write_f64(value, &mut out);
        out
    }

    #[test]
    fn doubles_are_postgres() {
        let given = [0.0, -0.0, 1.0, -1.5, 0.1, 100.0, 1e14, 1e15, 123_456.75, 1e-4, 1e-5, f64::NAN, f64::INFINITY];
        let text: Vec<String> = given.into_iter().map(double).collect();
        assert_eq!(text.join(" "), "0 -0 1 -1.5 0.1 100 100000000000000 1e+15 123456.75 0.0001 1e-05 NaN Infinity");
    }

    #[test]
    fn reals_turn_to_exponents_early() {
        let mut out = String::new();
        write_f32(100_000.0, &mut out);
        out.push(' ');
        write_f32(1e6, &mut out);
        assert_eq!(out, "100000 1e+06");
    }
}
