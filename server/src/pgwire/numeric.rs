//! PostgreSQL's binary `numeric`: groups of four decimal digits.

use bytes::{BufMut, BytesMut};

const NEGATIVE: u16 = 0x4000;

/// Appends a number that is given by its decimal text (`-12.50`).
pub(super) fn write_numeric(text: &str, out: &mut BytesMut) {
    let (sign, text) = text.strip_prefix('-').map_or((0, text), |rest| (NEGATIVE, rest));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut groups: Vec<i16> = Vec::new();
    let lead = whole.len() % 4;
    let (first, rest) = whole.split_at(lead);
    if !first.is_empty() {
        groups.push(group(first));
    }
    groups.extend(rest.as_bytes().chunks(4).map(|digits| group(std::str::from_utf8(digits).unwrap_or(""))));
    let mut weight = i16::try_from(groups.len()).unwrap_or(i16::MAX) - 1;
    for digits in fraction.as_bytes().chunks(4) {
        let digits = std::str::from_utf8(digits).unwrap_or("");
        groups.push(group(&format!("{digits:0<4}")));
    }
    let zeros = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..zeros);
    weight -= i16::try_from(zeros).unwrap_or(0);
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let (weight, sign) = if groups.is_empty() { (0, 0) } else { (weight, sign) };
    out.put_i16(i16::try_from(groups.len()).unwrap_or(i16::MAX));
    out.put_i16(weight);
    out.put_u16(sign);
    out.put_i16(i16::try_from(fraction.len()).unwrap_or(i16::MAX));
    for group in groups {
        out.put_i16(group);
    }
}

fn group(digits: &str) -> i16 {
    digits.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::write_numeric;

    fn words(text: &str) -> Vec<i16> {
        let mut out = BytesMut::new();
        write_numeric(text, &mut out);
        out.chunks(2).map(|pair| pair.iter().fold(0_i16, |word, byte| (word << 8) | i16::from(*byte))).collect()
    }

    #[test]
    fn groups_of_four() {
        // Count, weight, sign, scale, groups.
        assert_eq!(words("12345.678"), [3, 1, 0, 3, 1, 2345, 6780]);
        assert_eq!(words("-0.05"), [1, -1, 0x4000, 2, 500]);
        assert_eq!(words("0.00"), [0, 0, 0, 2]);
        assert_eq!(words("10000"), [1, 1, 0, 0, 1]);
    }
}
