//! Scalars from text: numbers, decimals, dates, times and timestamps, without an allocation.
//!
//! Every function returns `None` where the text is not such a value or does not fit. How values become text again is in
//! [`super::print`].

use arrow::datatypes::TimeUnit;

const DAY_NANOS: i64 = 86_400_000_000_000;

/// `text` without white space at its ends.
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

/// A whole number. Also `12.0` and `1e3`, which are whole; never `1.5`.
pub(crate) fn parse_int(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() {
        return None;
    }
    if digits.len() > 18 {
        return parse_int_slow(text);
    }
    let mut value: i64 = 0;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return parse_int_slow(text);
        }
        value = value * 10 + i64::from(digit - b'0');
    }
    Some(if negative { -value } else { value })
}

fn parse_int_slow(text: &[u8]) -> Option<i64> {
    let (whole, exact) = parse_scaled(text, 0)?;
    if exact { i64::try_from(whole).ok() } else { None }
}

/// A `DECIMAL(precision, scale)` as its unscaled value; digits behind the scale are rounded half away from zero.
pub(crate) fn parse_decimal(text: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let (value, _) = parse_scaled(text, i32::from(scale))?;
    let limit = 10_i128.checked_pow(u32::from(precision))?;
    (value.unsigned_abs() < limit.unsigned_abs()).then_some(value)
}

/// `text · 10^scale` rounded to a whole number, and whether nothing was lost.
fn parse_scaled(text: &[u8], scale: i32) -> Option<(i128, bool)> {
    let (negative, mut rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let mut exponent: i32 = 0;
    if let Some(at) = rest.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        let (mantissa, tail) = rest.split_at(at);
        exponent = i32::try_from(parse_exponent(tail.get(1..)?)?).ok()?;
        rest = mantissa;
    }
    let (whole, fraction) = match rest.iter().position(|&byte| byte == b'.') {
        Some(at) => (rest.get(..at)?, rest.get(at + 1..)?),
        None => (rest, &[][..]),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    // The digit at index i (counted over whole and fraction together) stands for 10^(point - 1 - i).
    let kept = i64::try_from(whole.len()).ok()? + i64::from(exponent) + i64::from(scale);
    let mut value: i128 = 0;
    let mut round_up = false;
    let mut exact = true;
    let mut index: i64 = 0;
    for &digit in whole.iter().chain(fraction) {
        if !digit.is_ascii_digit() {
            return None;
        }
        let digit = digit - b'0';
        if index < kept {
            value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
        } else if digit != 0 {
            exact = false;
            if index == kept && digit >= 5 {
                round_up = true;
            }
        }
        index += 1;
    }
    if value != 0 && index < kept {
        value = value.checked_mul(10_i128.checked_pow(u32::try_from(kept - index).ok()?)?)?;
    }
    value = value.checked_add(i128::from(round_up))?;
    Some((if negative { -value } else { value }, exact))
}

fn parse_exponent(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    if digits.is_empty() || digits.len() > 6 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    parse_int(text)
}

/// A floating-point number; `NaN` and `Infinity` too.
pub(crate) fn parse_float(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `true` or `false` in any case.
pub(crate) fn parse_bool(text: &[u8]) -> Option<bool> {
    if text.eq_ignore_ascii_case(b"true") {
        Some(true)
    } else if text.eq_ignore_ascii_case(b"false") {
        Some(false)
    } else {
        None
    }
}

/// Days since 1970-01-01 of `2015-07-15`.
pub(crate) fn parse_date(text: &[u8]) -> Option<i32> {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = text else {
        return None;
    };
    let year = two(*y0, *y1)? * 100 + two(*y2, *y3)?;
    let (month, day) = (two(*m0, *m1)?, two(*d0, *d1)?);
    if !(1..=12).contains(&month) || day < 1 || day > month_days(year, month) {
        return None;
    }
    // Days of a calendar whose years begin in March, so that the leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    Some(days + (153 * month + 2) / 5 + day - 1 - 719_468)
}

fn two(tens: u8, ones: u8) -> Option<i32> {
    (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| i32::from(tens - b'0') * 10 + i32::from(ones - b'0'))
}

fn month_days(year: i32, month: i32) -> i32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Nanoseconds since midnight of `12:34`, `12:34:56` or `12:34:56.789`; up to nine digits behind the second.
pub(crate) fn parse_time(text: &[u8]) -> Option<i64> {
    let [h0, h1, b':', m0, m1, rest @ ..] = text else {
        return None;
    };
    let (hour, minute) = (two(*h0, *h1)?, two(*m0, *m1)?);
    let (second, nanos) = match rest {
        [] => (0, 0),
        [b':', s0, s1] => (two(*s0, *s1)?, 0),
        [b':', s0, s1, b'.', fraction @ ..] => (two(*s0, *s1)?, parse_fraction(fraction)?),
        _ => return None,
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(i64::from(hour * 3_600 + minute * 60 + second) * 1_000_000_000 + nanos)
}

fn parse_fraction(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    let mut value: i64 = 0;
    let mut unit: i64 = 1_000_000_000;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        unit /= 10;
        value += i64::from(digit - b'0') * unit;
    }
    Some(value)
}

/// A timestamp in `unit` since 1970-01-01 00:00:00: `2015-07-15 00:00:01.123` or with `T`; digits that the unit does not
/// keep are cut off. A `Z` behind it is allowed; an offset such as `+02:00` only where `zoned`, and is applied.
pub(crate) fn parse_timestamp(text: &[u8], unit: TimeUnit, zoned: bool) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let [b' ' | b'T' | b't', rest @ ..] = rest else {
        return None;
    };
    let days = i64::from(parse_date(date)?);
    // Mostly there is no zone.
    let (nanos, shift_s) = match parse_time(rest) {
        Some(nanos) => (nanos, 0),
        None => {
            let (time, shift_s) = split_zone(rest, zoned)?;
            (parse_time(time)?, shift_s)
        }
    };
    match unit {
        TimeUnit::Second => Some(days * 86_400 + nanos / 1_000_000_000 - shift_s),
        TimeUnit::Millisecond => Some(days * 86_400_000 + nanos / 1_000_000 - shift_s * 1_000),
        TimeUnit::Microsecond => Some(days * 86_400_000_000 + nanos / 1_000 - shift_s * 1_000_000),
        TimeUnit::Nanosecond => days.checked_mul(DAY_NANOS)?.checked_add(nanos)?.checked_sub(shift_s * 1_000_000_000),
    }
}

/// The time without its zone, and the seconds by which the zone is ahead of UTC.
fn split_zone(text: &[u8], zoned: bool) -> Option<(&[u8], i64)> {
    if let [time @ .., b'Z' | b'z'] = text {
        return Some((time, 0));
    }
    let Some(at) = text.iter().position(|byte| matches!(byte, b'+' | b'-')) else {
        return Some((text, 0));
    };
    if !zoned {
        return None;
    }
    let (time, zone) = text.split_at(at);
    let (hours, minutes) = match zone.get(1..)? {
        [h0, h1] => (two(*h0, *h1)?, 0),
        [h0, h1, b':', m0, m1] | [h0, h1, m0, m1] => (two(*h0, *h1)?, two(*m0, *m1)?),
        _ => return None,
    };
    if hours > 18 || minutes > 59 {
        return None;
    }
    let shift = i64::from(hours * 3_600 + minutes * 60);
    Some((time, if zone.first() == Some(&b'-') { -shift } else { shift }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers() {
        assert_eq!(parse_int(b"0"), Some(0));
        assert_eq!(parse_int(b"-42"), Some(-42));
        assert_eq!(parse_int(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(parse_int(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse_int(b"9223372036854775808"), None);
        assert_eq!(parse_int(b"12.0"), Some(12));
        assert_eq!(parse_int(b"1e3"), Some(1000));
        for bad in ["", "-", "1.5", "abc", "1a", "0x10", "1e", "."] {
            assert_eq!(parse_int(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn decimals_are_exact_and_rounded_half_away_from_zero() {
        assert_eq!(parse_decimal(b"12.345", 10, 2), Some(1235));
        assert_eq!(parse_decimal(b"-12.345", 10, 2), Some(-1235));
        assert_eq!(parse_decimal(b"12.344999", 10, 2), Some(1234));
        assert_eq!(parse_decimal(b"0.908", 38, 3), Some(908));
        assert_eq!(parse_decimal(b"1.5e2", 10, 0), Some(150));
        assert_eq!(parse_decimal(b"999.99", 5, 2), Some(99999));
        assert_eq!(parse_decimal(b"999.995", 5, 2), None);
        assert_eq!(parse_decimal(b"12345678901234567890123456789012345678", 38, 0).map(|v| v % 1000), Some(678));
        assert_eq!(parse_decimal(b"0.00000000000000000000000000000000000000000000001", 10, 2), Some(0));
        assert_eq!(parse_decimal(b"1e400", 38, 0), None);
        assert_eq!(parse_decimal(b".5", 3, 1), Some(5));
        assert_eq!(parse_decimal(b".", 3, 1), None);
    }

    #[test]
    fn dates_follow_the_calendar() {
        assert_eq!(parse_date(b"1970-01-01"), Some(0));
        assert_eq!(parse_date(b"2000-02-29"), Some(11_016));
        assert_eq!(parse_date(b"1969-12-31"), Some(-1));
        assert_eq!(parse_date(b"0001-01-01"), Some(-719_162));
        for bad in ["1900-02-29", "2015-13-01", "2015-00-01", "2015-04-31", "2015-4-1", "20150401", ""] {
            assert_eq!(parse_date(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn timestamps_take_both_forms() {
        let millis = |text: &str| parse_timestamp(text.as_bytes(), TimeUnit::Millisecond, false);
        assert_eq!(millis("2015-07-15 00:00:01.123"), Some(1_436_918_401_123));
        assert_eq!(millis("2015-07-15T00:00:01.123Z"), Some(1_436_918_401_123));
        assert_eq!(millis("2015-07-15T00:00:01.123999999"), Some(1_436_918_401_123));
        assert_eq!(millis("1969-12-31 23:59:59.999"), Some(-1));
        assert_eq!(millis("2015-07-15 00:00"), Some(1_436_918_400_000));
        assert_eq!(millis("2015-07-15T00:00:01+02:00"), None);
        for bad in ["2015-07-15", "2015-07-15 24:00:00", "2015-07-15 00:00:60", "1436918401123", "2015-07-15 00:00:01."]
        {
            assert_eq!(millis(bad), None, "{bad}");
        }
        let zoned = |text: &str| parse_timestamp(text.as_bytes(), TimeUnit::Microsecond, true);
        assert_eq!(zoned("2015-07-15T02:00:01+02:00"), Some(1_436_918_401_000_000));
        assert_eq!(zoned("2015-07-14 19:00:01-0500"), Some(1_436_918_401_000_000));
        assert_eq!(parse_timestamp(b"9999-12-31 00:00:00", TimeUnit::Nanosecond, false), None);
    }
}
