//! Intervals of several units: `INTERVAL '1-2' YEAR TO MONTH`, `INTERVAL '1 02:03:04.5' DAY TO SECOND(3)`; and of one with
//! a precision: `INTERVAL '100' DAY(3)`.

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::words;

/// The units, greatest first. Those from `DAY` on go together, and the two before.
const UNITS: [&str; 6] = ["YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND"];

/// An interval that says from which unit to which its text goes, or how precise its unit is, behind the word `INTERVAL`;
/// `None` where it says neither.
///
/// # Errors
/// Where the text has not as many parts as there are units.
pub(super) fn in_units(parser: &mut Parser) -> Result<Option<sp::Expr>, ParserError> {
    let Token::SingleQuotedString(text) = words::peek(parser, 0).clone() else { return Ok(None) };
    let units = parser.maybe_parse(|parser| {
        parser.advance_token();
        let (first, precise) = unit(parser)?;
        if precise && !words::ahead(parser, &["TO"]) {
            return Ok((first, first));
        }
        words::expect(parser, "TO")?;
        Ok((first, unit(parser)?.0))
    })?;
    let Some((first, last)) = units else { return Ok(None) };
    let Some(written) = written(&text, first, last) else {
        let to = if first == last { String::new() } else { format!(" TO {}", name(last)) };
        return Err(ParserError::ParserError(format!("invalid interval \"{text}\" for {}{to}", name(first))));
    };
    Ok(Some(sp::Expr::Interval(sp::Interval {
        value: Box::new(sp::Expr::Value(sp::Value::SingleQuotedString(written).into())),
        leading_field: None,
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    })))
}

fn name(unit: usize) -> &'static str {
    UNITS.get(unit).copied().unwrap_or_default()
}

/// A unit, and whether it has a precision, which is not looked at.
fn unit(parser: &mut Parser) -> Result<(usize, bool), ParserError> {
    let Some(found) = UNITS.iter().position(|unit| words::accept(parser, &[unit])) else {
        return words::unexpected(parser, "a unit of time");
    };
    let precise = parser.consume_token(&Token::LParen);
    if precise {
        parser.parse_literal_uint()?;
        if parser.consume_token(&Token::Comma) {
            parser.parse_literal_uint()?;
        }
        parser.expect_token(&Token::RParen)?;
    }
    Ok((found, precise))
}

/// The interval with the unit behind each number.
fn written(text: &str, first: usize, last: usize) -> Option<String> {
    let months = first < 2;
    if last < first || months != (last < 2) {
        return None;
    }
    let text = text.trim();
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let parts: Vec<&str> = match months {
        true => rest.split('-').collect(),
        false => rest.split([' ', ':']).collect(),
    };
    let numbers = parts.iter().all(|part| part.parse::<f64>().is_ok_and(|number| number >= 0.0));
    if parts.len() != last - first + 1 || !numbers {
        return None;
    }
    let units = UNITS.get(first..=last)?;
    let all = parts.iter().zip(units).map(|(part, unit)| format!("{sign}{part} {}", unit.to_ascii_lowercase()));
    Some(all.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::written;

    #[test]
    fn each_number_gets_its_unit() {
        assert_eq!(written("1-2", 0, 1).as_deref(), Some("1 year 2 month"));
        assert_eq!(written("-1 02:03:04.5", 2, 5).as_deref(), Some("-1 day -02 hour -03 minute -04.5 second"));
        assert_eq!(written("03:04", 4, 5).as_deref(), Some("03 minute 04 second"));
        assert_eq!(written("-100", 2, 2).as_deref(), Some("-100 day"));
        for (text, first, last) in [("1", 0, 1), ("1-2", 1, 0), ("1 2", 2, 5), ("1-x", 0, 1), ("1 2", 1, 2)] {
            assert_eq!(written(text, first, last), None, "{text}");
        }
    }
}
