//! Texts of numbers as Arrow's casts want them: decimals without an exponent, and for Flink whole numbers without what
//! stands behind their point. It has no name that a user can call: casts do it.

use std::sync::{Arc, LazyLock};

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, ScalarUDF};

use super::support::Args;
use super::support::Kind::Text;
use super::support::{all, shaped};

static PLAIN: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| shaped("plain_number", "CAST(text AS DECIMAL)", all(&[Text], Text), |args| written(args, plain)));
static WHOLE: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| shaped("whole_number", "CAST(text AS INT)", all(&[Text], Text), |args| written(args, whole)));

/// The text of a number that is cast to this type, as the cast wants it; `None` where it does already, or is so already.
pub(crate) fn readable_decimal(text: &Expr, to: &DataType) -> Option<Expr> {
    let is_plain = matches!(text, Expr::ScalarFunction(call) if call.name() == "plain_number");
    (!is_plain && matches!(to, DataType::Decimal128(..))).then(|| PLAIN.call(vec![text.clone()]))
}

/// The text of a whole number without what stands behind its point.
pub(crate) fn whole_number(text: Expr) -> Expr {
    WHOLE.call(vec![text])
}

/// Exponents above this are left to be refused: they would be as many digits.
const EXPONENT_MAX: i32 = 100;

fn written(args: &Args, form: fn(&str, &mut String) -> Option<()>) -> Result<ArrayRef> {
    let texts = args.text(0)?;
    Ok(args.write(|row, out| {
        let text = texts.get(row)?;
        if form(text.trim(), out).is_none() {
            out.clear();
            out.push_str(text);
        }
        Some(())
    }))
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `1.5e2` as `150`; `None` where there is no exponent.
fn plain(text: &str, out: &mut String) -> Option<()> {
    let (number, exponent) = text.split_once(['e', 'E'])?;
    let exponent: i32 = exponent.parse().ok().filter(|exponent: &i32| exponent.abs() <= EXPONENT_MAX)?;
    let digits = number.trim_start_matches(['-', '+']);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.len() + fraction.len() == 0 || !is_digits(whole) || !is_digits(fraction) || digits.len() + 1 < number.len()
    {
        return None;
    }
    if number.starts_with('-') {
        out.push('-');
    }
    // Where the point comes to stand among all digits.
    let point = i32::try_from(whole.len()).ok()?.checked_add(exponent)?;
    if point <= 0 {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', usize::try_from(-point).ok()?));
    }
    let mut count = 0;
    for digit in whole.chars().chain(fraction.chars()) {
        if count == point && point > 0 {
            out.push('.');
        }
        out.push(digit);
        count += 1;
    }
    out.extend(std::iter::repeat_n('0', usize::try_from(point - count).unwrap_or(0)));
    Some(())
}

/// `-12.99` as `-12`; `None` where there is no point between digits, or what follows it is none.
fn whole(text: &str, out: &mut String) -> Option<()> {
    let (number, fraction) = text.split_once('.')?;
    let digits = number.strip_prefix(['-', '+']).unwrap_or(number);
    if digits.is_empty() || !is_digits(digits) || !is_digits(fraction) {
        return None;
    }
    out.push_str(number);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::{plain, whole};

    #[test]
    fn numbers_in_their_other_forms() {
        for (text, wanted) in [
            ("1e2", Some("100")),
            ("1.5e-1", Some("0.15")),
            ("-1.25E1", Some("-12.5")),
            ("5e-3", Some("0.005")),
            ("1.50e1", Some("15.0")),
            (".5e1", Some("5")),
            ("1", None),
            ("e2", None),
            ("--1e2", None),
            ("1e", None),
            ("1e1000", None),
        ] {
            let mut out = String::new();
            assert_eq!(plain(text, &mut out).map(|()| out.as_str()), wanted, "{text}");
        }
        for (text, wanted) in [("12.99", Some("12")), ("-1.", Some("-1")), ("1.x", None), (".5", None), ("12", None)] {
            let mut out = String::new();
            assert_eq!(whole(text, &mut out).map(|()| out.as_str()), wanted, "{text}");
        }
    }
}
