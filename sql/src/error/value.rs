//! Errors of values that DataFusion, Arrow and the regular expressions tell by their texts alone, in PostgreSQL's words.

use super::foreign::sql_type;
use super::{SqlError, SqlState};

/// What errors of other kinds that hold one put before it.
const WRAPPERS: [&str; 5] =
    ["Arrow error: ", "Compute error: ", "Execution error: ", "Invalid argument error: ", "Cast error: "];

/// The text of an error without those of the errors around it.
pub(super) fn unwrapped(mut message: &str) -> &str {
    while let Some(inner) = WRAPPERS.iter().find_map(|wrapper| message.strip_prefix(wrapper)) {
        message = inner;
    }
    message
}

/// The error that a text without wrappers stands for, where it is one of these.
pub(super) fn told(message: &str) -> Option<SqlError> {
    out_of_range(message).or_else(|| wrong_text(message)).or_else(|| no_cast(message)).or_else(|| regex(message))
}

fn out_of_range(message: &str) -> Option<SqlError> {
    let new = |value: &str, of: String| {
        let message = format!("value {value} is out of range for {of}");
        Some(SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, message))
    };
    if let Some(rest) = message.strip_prefix("Can't cast value ").or_else(|| message.strip_prefix("can't cast value "))
    {
        let (value, kind) = rest.split_once(" to type ")?;
        return new(value, format!("type {}", sql_type(kind)));
    }
    if let Some(rest) = message.strip_prefix("Cannot cast to Decimal") {
        let (kind, value) = rest.split_once(". Overflowing on ")?;
        let parameters = kind.split_once('(')?.1.trim_end_matches(')').replace(", ", ",");
        return new(value, format!("type numeric({parameters})"));
    }
    let (value, rest) = ["large", "small"]
        .iter()
        .find_map(|size| message.split_once(&format!(" is too {size} to store in a Decimal")))?;
    let (precision, limit) = rest.split_once(" of precision ")?.1.split_once(". M")?;
    let limit = limit.rsplit(' ').next()?;
    new(value, format!("a numeric of {precision} digits, whose limit is {limit}"))
}

/// `Cannot cast string 'x' to value of Int32 type`, `Error parsing timestamp from 'x': the reason`
fn wrong_text(message: &str) -> Option<SqlError> {
    if let Some((text, reason)) =
        message.strip_prefix("Error parsing timestamp from '").and_then(|rest| rest.rsplit_once("': "))
    {
        let message = format!("invalid input syntax for type timestamp: \"{text}\"");
        return Some(SqlError::new(SqlState::INVALID_DATETIME_FORMAT, message).with_detail(reason));
    }
    let rest = ["Cannot cast string '", "Cannot cast value '"].iter().find_map(|start| message.strip_prefix(start))?;
    let (text, kind) = rest.split_once("' to value of ")?;
    let kind = kind.trim_end_matches(" type");
    let times = ["Timestamp", "Date", "Time"];
    let state = if times.iter().any(|time| kind.starts_with(time)) {
        SqlState::INVALID_DATETIME_FORMAT
    } else {
        SqlState::INVALID_TEXT_REPRESENTATION
    };
    Some(SqlError::new(state, format!("invalid input syntax for type {}: \"{text}\"", sql_type(kind))))
}

/// `Unsupported CAST from Boolean to Date32`
fn no_cast(message: &str) -> Option<SqlError> {
    let (from, to) = message.strip_prefix("Unsupported CAST from ")?.split_once(" to ")?;
    let to = to.lines().next()?;
    Some(SqlError::new(SqlState::CANNOT_COERCE, format!("cannot cast type {} to {}", sql_type(from), sql_type(to))))
}

/// The pattern, a mark below it, and the reason, each on a line of its own.
fn regex(message: &str) -> Option<SqlError> {
    let (_, shown) = message.split_once("regex parse error:")?;
    let pattern = shown.lines().find(|line| !line.trim().is_empty())?.trim();
    let (_, reason) = shown.rsplit_once("error: ")?;
    let message = format!("invalid regular expression \"{pattern}\": {}", reason.trim());
    Some(SqlError::new(SqlState::INVALID_REGULAR_EXPRESSION, message))
}

#[cfg(test)]
mod tests {
    use super::{told, unwrapped};

    #[test]
    fn in_the_words_of_postgres() {
        let cases = [
            ("Can't cast value 300 to type Int8", "22003: value 300 is out of range for type tinyint"),
            (
                "Cannot cast to Decimal128(10, 2). Overflowing on 1e40",
                "22003: value 1e40 is out of range for type numeric(10,2)",
            ),
            (
                "Arrow error: Invalid argument error: 12345.60 is too large to store in a Decimal128 of precision 5. Max is 999.99",
                "22003: value 12345.60 is out of range for a numeric of 5 digits, whose limit is 999.99",
            ),
            ("Cannot cast string 'x' to value of Int32 type", "22P02: invalid input syntax for type integer: \"x\""),
            ("Cannot cast value 'x' to value of Boolean type", "22P02: invalid input syntax for type boolean: \"x\""),
            ("Cannot cast string '1-1' to value of Date32 type", "22007: invalid input syntax for type date: \"1-1\""),
            (
                "Error parsing timestamp from 'x': timestamp must contain at least 10 characters",
                "22007: invalid input syntax for type timestamp: \"x\"",
            ),
            ("Unsupported CAST from Boolean to Date32", "42846: cannot cast type boolean to date"),
            (
                "Compute error: regex parse error:\n    a(\n     ^\nerror: unclosed group",
                "2201B: invalid regular expression \"a(\": unclosed group",
            ),
        ];
        for (message, expected) in cases {
            let error = told(unwrapped(message)).unwrap();
            assert_eq!(format!("{}: {error}", error.parts().state.0), expected);
        }
    }
}
