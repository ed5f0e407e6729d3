//! Text in, text out: parts, searching, padding of Flink's own, and tests of what a text holds.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, ListBuilder, StringBuilder};
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;

use super::support::Kind::{self, Any, Int, Text, Truth, Whole};
use super::support::{Args, all, function, is_text, many, shaped, some};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        shaped("elt", "ELT(index, text, …)", many(2, &[Whole, Text], Text), elt),
        function("concat_ws", &[], "CONCAT_WS(separator, text, …)", texts_types, concat_ws),
        shaped("locate", "LOCATE(part, text [, start])", some(2, &[Text, Text, Whole], Int), locate),
        shaped("is_alpha", "IS_ALPHA(text)", all(&[Text], Truth), |args| holds(args, alphabetic)),
        shaped("is_digit", "IS_DIGIT(text)", all(&[Text], Truth), |args| holds(args, digits)),
        shaped("is_decimal", "IS_DECIMAL(text)", all(&[Any], Truth), is_decimal),
        shaped("startswith", "STARTSWITH(text, start)", all(&[Text, Text], Truth), |args| {
            affix(args, |text, part| text.starts_with(part))
        }),
        shaped("endswith", "ENDSWITH(text, end)", all(&[Text, Text], Truth), |args| {
            affix(args, |text, part| text.ends_with(part))
        }),
        function("split", &[], "SPLIT(text, delimiter)", split_types, split),
        shaped("flink_chr", "CHR(number)", all(&[Whole], Text), chr),
        shaped("flink_substr", "SUBSTRING(text, start [, length])", some(2, &[Text, Whole, Whole], Text), substring),
        shaped("flink_overlay", "OVERLAY(text PLACING new FROM start [FOR length])", some(3, OVERLAID, Text), overlay),
        shaped("flink_initcap", "INITCAP(text)", all(&[Text], Text), initcap),
        shaped("flink_left", "LEFT(text, count)", all(&[Text, Whole], Text), left),
        shaped("flink_right", "RIGHT(text, count)", all(&[Text, Whole], Text), right),
    ]
}

/// The text with that number, from 1.
fn elt(args: &Args) -> Result<ArrayRef> {
    let index = args.wholes(0)?;
    let texts = (1..args.len()).map(|place| args.text(place)).collect::<Result<Vec<_>>>()?;
    Ok(args.pick(|row| {
        let place = usize::try_from(index.get(row)?).ok()?.checked_sub(1)?;
        texts.get(place)?.get(row)
    }))
}

fn texts_types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    (types.len() > 1).then(|| (DataType::Utf8, vec![DataType::Utf8; types.len()]))
}

/// The texts with a separator between them; nulls are left out, and a null separator makes it null.
fn concat_ws(args: &Args) -> Result<ArrayRef> {
    let separators = args.text(0)?;
    let texts = (1..args.len()).map(|place| args.text(place)).collect::<Result<Vec<_>>>()?;
    Ok(args.write(|row, out| {
        let separator = separators.get(row)?;
        for (index, text) in texts.iter().filter_map(|text| text.get(row)).enumerate() {
            if index > 0 {
                out.push_str(separator);
            }
            out.push_str(text);
        }
        Some(())
    }))
}

/// The byte at which the character with that number from 0 starts; the length of the text for the one behind the last.
fn place(text: &str, character: usize) -> Option<usize> {
    if text.is_ascii() {
        return (character <= text.len()).then_some(character);
    }
    text.char_indices().map(|(at, _)| at).chain(std::iter::once(text.len())).nth(character)
}

fn characters(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
}

/// Where a part is found from a position on, from 1; 0 where it is not.
fn locate(args: &Args) -> Result<ArrayRef> {
    let (parts, texts, starts) = (args.text(0)?, args.text(1)?, args.wholes_if_given(2, 1)?);
    let at = |row| {
        let (part, text, start) = (parts.get(row)?, texts.get(row)?, starts.get(row)?);
        // What is not there is found at once; before the start is the start.
        let start = if part.is_empty() { 0 } else { usize::try_from(start.saturating_sub(1)).unwrap_or(0) };
        let found = Some(start).and_then(|start| {
            let from = place(text, start)?;
            let found = text.get(from..)?.find(part)? + from;
            text.get(..found).map(characters)
        });
        i32::try_from(found.map_or(0, |found| found + 1)).ok()
    };
    Ok(Arc::new((0..args.rows).map(at).collect::<Int32Array>()))
}

fn alphabetic(text: &str) -> bool {
    !text.is_empty() && text.chars().all(char::is_alphabetic)
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_ascii_digit())
}

/// False for null, as Flink has it.
fn holds(args: &Args, test: fn(&str) -> bool) -> Result<ArrayRef> {
    let texts = args.text(0)?;
    Ok(Arc::new((0..args.rows).map(|row| Some(texts.get(row).is_some_and(test))).collect::<BooleanArray>()))
}

fn is_decimal(args: &Args) -> Result<ArrayRef> {
    let column = args.column(0)?;
    let number = column.data_type().is_numeric();
    let texts = if is_text(column.data_type()) { Some(arrow::compute::cast(&column, &DataType::Utf8)?) } else { None };
    let test = |row: usize| match &texts {
        Some(texts) => texts.is_valid(row) && texts.as_string::<i32>().value(row).trim().parse::<f64>().is_ok(),
        None => number && column.is_valid(row),
    };
    Ok(Arc::new((0..args.rows).map(|row| Some(test(row))).collect::<BooleanArray>()))
}

fn affix(args: &Args, test: fn(&str, &str) -> bool) -> Result<ArrayRef> {
    let (texts, parts) = (args.text(0)?, args.text(1)?);
    let answer = |row| Some(test(texts.get(row)?, parts.get(row)?));
    Ok(Arc::new((0..args.rows).map(answer).collect::<BooleanArray>()))
}

fn split_types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    match types {
        [text, delimiter] if is_text(text) && is_text(delimiter) => {
            Some((DataType::new_list(DataType::Utf8, true), vec![DataType::Utf8; 2]))
        }
        _ => None,
    }
}

/// The parts between delimiters; the characters, where the delimiter is empty.
fn split(args: &Args) -> Result<ArrayRef> {
    let (texts, delimiters) = (args.text(0)?, args.text(1)?);
    let mut out = ListBuilder::new(StringBuilder::new());
    for row in 0..args.rows {
        let (Some(text), Some(delimiter)) = (texts.get(row), delimiters.get(row)) else {
            out.append_null();
            continue;
        };
        if delimiter.is_empty() {
            let letters = text.char_indices().map(|(at, letter)| text.get(at..at + letter.len_utf8()));
            letters.for_each(|letter| out.values().append_option(letter));
        } else {
            text.split(delimiter).for_each(|part| out.values().append_value(part));
        }
        out.append(true);
    }
    Ok(Arc::new(out.finish()))
}

/// The character of a number; from 256 on they repeat, below 0 there is none.
fn chr(args: &Args) -> Result<ArrayRef> {
    let numbers = args.wholes(0)?;
    Ok(args.write(|row, out| {
        let number = numbers.get(row)?;
        if let Some(letter) = u8::try_from(number.rem_euclid(256)).ok().filter(|_| number >= 0) {
            out.push(char::from(letter));
        }
        Some(())
    }))
}

/// From a position, which counts from the end where it is negative; 0 counts as 1.
fn substring(args: &Args) -> Result<ArrayRef> {
    let (texts, starts, lengths) = (args.text(0)?, args.wholes(1)?, args.wholes_if_given(2, i64::MAX)?);
    Ok(args.pick(|row| {
        let (text, start, length) = (texts.get(row)?, starts.get(row)?, lengths.get(row)?);
        let length = usize::try_from(length).ok()?;
        let back = usize::try_from(start.unsigned_abs()).ok()?;
        let first = if start < 0 { characters(text).checked_sub(back) } else { Some(back.saturating_sub(1)) };
        let from = first.and_then(|first| place(text, first)).unwrap_or(text.len());
        let rest = text.get(from..)?;
        rest.get(..place(rest, length).unwrap_or(rest.len()))
    }))
}

const OVERLAID: &[Kind] = &[Text, Text, Whole, Whole];

/// A part replaced. A start outside the text leaves it as it is; a length that is not positive or is too great
/// reaches to its end.
fn overlay(args: &Args) -> Result<ArrayRef> {
    let (texts, news, starts) = (args.text(0)?, args.text(1)?, args.wholes(2)?);
    let lengths = if args.len() > 3 { Some(args.wholes(3)?) } else { None };
    Ok(args.write(|row, out| {
        let (text, new, start) = (texts.get(row)?, news.get(row)?, starts.get(row)?);
        let length = match &lengths {
            Some(lengths) => lengths.get(row)?,
            None => i64::try_from(characters(new)).ok()?,
        };
        let first = usize::try_from(start.checked_sub(1)?).ok();
        let Some(from) = first.and_then(|first| place(text, first)).filter(|from| *from < text.len()) else {
            out.push_str(text);
            return Some(());
        };
        let (head, rest) = text.split_at_checked(from)?;
        let end = usize::try_from(length)
            .ok()
            .filter(|length| *length > 0)
            .and_then(|length| place(rest, length))
            .unwrap_or(rest.len());
        out.push_str(head);
        out.push_str(new);
        out.push_str(rest.get(end..)?);
        Some(())
    }))
}

/// Words with a capital first, of the letters of ASCII alone; all others stand between words.
fn initcap(args: &Args) -> Result<ArrayRef> {
    let texts = args.text(0)?;
    Ok(args.write(|row, out| {
        let mut inside = false;
        for letter in texts.get(row)?.chars() {
            out.push(if inside { letter.to_ascii_lowercase() } else { letter.to_ascii_uppercase() });
            inside = letter.is_ascii_alphanumeric();
        }
        Some(())
    }))
}

fn left(args: &Args) -> Result<ArrayRef> {
    let (texts, counts) = (args.text(0)?, args.wholes(1)?);
    Ok(args.pick(|row| {
        let (text, count) = (texts.get(row)?, usize::try_from(counts.get(row)?).unwrap_or(0));
        text.get(..place(text, count).unwrap_or(text.len()))
    }))
}

fn right(args: &Args) -> Result<ArrayRef> {
    let (texts, counts) = (args.text(0)?, args.wholes(1)?);
    Ok(args.pick(|row| {
        let (text, count) = (texts.get(row)?, usize::try_from(counts.get(row)?).unwrap_or(0));
        text.get(place(text, characters(text).saturating_sub(count))?..)
    }))
}
