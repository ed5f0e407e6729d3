//! Numbers with an exponent, `1e3`, as numbers without.

/// Digits that an exponent may move the point by: more than any DECIMAL has.
const EXPONENT_MAX: i32 = 100;

/// The same number with its point moved; `None` where it has no exponent, or is no number.
pub(super) fn without_exponent(text: &str) -> Option<String> {
    let (number, exponent) = text.trim().split_once(['e', 'E'])?;
    let exponent: i32 = exponent.parse().ok()?;
    let (sign, digits) = match number.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    if all.is_empty() || !all.bytes().all(|digit| digit.is_ascii_digit()) || exponent.abs() > EXPONENT_MAX {
        return None;
    }
    let point = i32::try_from(whole.len()).ok()? + exponent;
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    let length = i32::try_from(all.len()).ok()?;
    Some(if point <= 0 {
        format!("{sign}0.{}{all}", zeros(-point))
    } else if point >= length {
        format!("{sign}{all}{}", zeros(point - length))
    } else {
        let (whole, fraction) = all.split_at_checked(usize::try_from(point).ok()?)?;
        format!("{sign}{whole}.{fraction}")
    })
}
