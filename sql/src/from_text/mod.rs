//! Texts as values where Arrow reads less than PostgreSQL writes: arrays (`{1,2}`), intervals with a time (`1 day 02:03:04`) and
//! numbers with an exponent (`1e3`). All else is Arrow's cast.

mod array;
mod interval;
mod number;

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

/// Whether texts become values of this type otherwise than by Arrow's cast.
pub(crate) fn is_special(to: &DataType) -> bool {
    matches!(to, DataType::List(_) | DataType::Interval(_) | DataType::Decimal128(..) | DataType::Decimal256(..))
}

/// The values that texts stand for. `safe`: null for a text that is none.
///
/// # Errors
/// The first text that is no value of the type, unless `safe`.
pub fn cast_text(texts: &dyn Array, to: &DataType, safe: bool) -> Result<ArrayRef, ArrowError> {
    let options = CastOptions { safe, ..CastOptions::default() };
    if !is_special(to) {
        return cast_with_options(texts, to, &options);
    }
    let texts = cast(texts, &DataType::Utf8)?;
    let texts: &StringArray = texts.as_string();
    match to {
        DataType::List(item) => array::arrays(texts, item, safe),
        DataType::Interval(_) => cast_with_options(&rewritten(texts, interval::in_words), to, &options),
        _ => cast_with_options(&rewritten(texts, number::without_exponent), to, &options),
    }
}

/// The texts as Arrow reads them.
fn rewritten(texts: &StringArray, rewrite: fn(&str) -> Option<String>) -> StringArray {
    if !texts.iter().flatten().any(|text| rewrite(text).is_some()) {
        return texts.clone();
    }
    let text = |text| rewrite(text).map_or(Cow::Borrowed(text), Cow::Owned);
    texts.iter().map(|value| value.map(text)).collect()
}

/// The value of one text.
///
/// # Errors
/// As [`cast_text`].
pub fn value_of_text(text: &str, to: &DataType) -> Result<ArrayRef, ArrowError> {
    cast_text(&(Arc::new(StringArray::from(vec![text])) as ArrayRef), to, false)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use arrow::datatypes::{Field, IntervalUnit};
    use arrow::util::display::array_value_to_string;

    use super::*;

    fn list(item: DataType) -> DataType {
        DataType::List(Arc::new(Field::new_list_field(item, true)))
    }

    fn shown(text: &str, to: &DataType) -> String {
        match value_of_text(text, to) {
            Ok(value) => array_value_to_string(&value, 0).unwrap(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn arrays_in_braces() {
        let (whole, text) = (list(DataType::Int32), list(DataType::Utf8));
        assert_eq!(shown("{1,2}", &whole), "[1, 2]");
        assert_eq!(shown(" { 1 , NULL } ", &whole), "[1, ]");
        assert_eq!(shown("{}", &whole), "[]");
        assert_eq!(shown(r#"{a,"b,\"c\" \\",null,"null",d e}"#, &text), "[a, b,\"c\" \\, , null, d e]");
        assert_eq!(shown(r"{a\,b,}", &text), "Cast error: malformed array literal: \"{a\\,b,}\"");
        assert_eq!(shown("{{1,2},{}}", &list(whole.clone())), "[[1, 2], []]");
        assert_eq!(shown("{{1,2},NULL}", &list(whole.clone())), "[[1, 2], ]");
        for wrong in ["", "1,2", "{1,2", "{1,2}x", "{1,,2}", "{\"a}", "{{1}}", "{1}{2}", "{a\"b\"}"] {
            assert!(value_of_text(wrong, &whole).is_err(), "{wrong}");
        }
        assert!(shown("{1,x}", &whole).contains("'x'"));
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("{1}"), Some("{x}"), Some("x"), None]));
        let values = cast_text(&texts, &whole, true).unwrap();
        assert_eq!((values.null_count(), values.is_null(0)), (3, false));
    }

    #[test]
    fn intervals_with_times() {
        let to = DataType::Interval(IntervalUnit::MonthDayNano);
        assert_eq!(shown("1 day 0:00:05", &to), shown("1 day 5 secs", &to));
        assert_eq!(shown("1 day, 0:00:05.25", &to), shown("1 day 5.25 secs", &to));
        assert_eq!(shown("-1 days +02:03", &to), shown("-1 days 2 hours 3 mins", &to));
        assert_eq!(shown("-02:03:04", &to), shown("-2 hours -3 mins -4 secs", &to));
        assert!(value_of_text("1:2:3:4", &to).is_err() && value_of_text("a:b", &to).is_err());
    }

    #[test]
    fn numbers_with_exponents() {
        let to = DataType::Decimal128(12, 3);
        for (text, value) in
            [("1e3", "1000.000"), ("-1.25E+1", "-12.500"), ("5e-3", "0.005"), ("12.5", "12.500"), (".5e1", "5.000")]
        {
            assert_eq!(shown(text, &to), value);
        }
        for wrong in ["e3", "1e", "1e3x", "1e99999999999", "x"] {
            assert!(value_of_text(wrong, &to).is_err(), "{wrong}");
        }
    }
}
