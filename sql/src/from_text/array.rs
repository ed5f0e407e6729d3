//! Arrays as PostgreSQL writes them: `{1,2,NULL}`, `{"a b","c\"d"}`, `{{1},{2}}`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray, StringArray, StringBuilder};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, FieldRef};
use arrow::error::ArrowError;

use super::cast_text;

/// The arrays that texts stand for, with items of `item`. `safe`: null for a text that is none.
pub(super) fn arrays(texts: &StringArray, item: &FieldRef, safe: bool) -> Result<ArrayRef, ArrowError> {
    let nested = matches!(item.data_type(), DataType::List(_));
    let (mut items, mut lengths) = (StringBuilder::new(), Vec::with_capacity(texts.len()));
    let mut valid = Vec::with_capacity(texts.len());
    for text in texts {
        let found = match text.map(|text| (text, split(text, nested))) {
            None => None,
            Some((_, Some(found))) => Some(found),
            Some(_) if safe => None,
            Some((text, None)) => {
                return Err(ArrowError::CastError(format!("malformed array literal: \"{text}\"")));
            }
        };
        valid.push(found.is_some());
        let found = found.unwrap_or_default();
        lengths.push(found.len());
        found.iter().for_each(|item| items.append_option(item.as_ref()));
    }
    let items = items.finish();
    let values = cast_text(&items, item.data_type(), safe)?;
    if values.null_count() > items.null_count() {
        // An item that is no value makes its array none.
        let mut start = 0;
        for (valid, length) in valid.iter_mut().zip(&lengths) {
            *valid &= (start..start + length).all(|place| items.is_null(place) || !values.is_null(place));
            start += length;
        }
    }
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, values, Some(NullBuffer::from(valid)))?))
}

/// The items of an array; those of an array of arrays are left in their braces. `None`: the text is no array.
fn split(text: &str, nested: bool) -> Option<Vec<Option<String>>> {
    let mut rest = text.trim().strip_prefix('{')?.trim_start();
    let mut items = Vec::new();
    if rest == "}" {
        return Some(items);
    }
    loop {
        let (item, behind) = if nested && rest.starts_with('{') {
            let end = end_of_braces(rest)?;
            (Some(rest.get(..end)?.to_owned()), rest.get(end..)?)
        } else if let Some(quoted) = rest.strip_prefix('"') {
            let (item, behind) = in_quotes(quoted)?;
            (Some(item), behind)
        } else {
            plain(rest)?
        };
        items.push(item);
        let behind = behind.trim_start();
        if behind == "}" {
            return Some(items);
        }
        rest = behind.strip_prefix(',')?.trim_start();
    }
}

/// An item in quotes, and what is behind it.
fn in_quotes(text: &str) -> Option<(String, &str)> {
    let mut item = String::new();
    let mut chars = text.char_indices();
    loop {
        match chars.next()? {
            (_, '\\') => item.push(chars.next()?.1),
            (at, '"') => return Some((item, text.get(at + 1..)?)),
            (_, other) => item.push(other),
        }
    }
}

/// An item without quotes, and what is behind it.
fn plain(text: &str) -> Option<(Option<String>, &str)> {
    let mut item = String::new();
    // White space at the end counts where it is escaped.
    let (mut kept, mut escaped) = (0, false);
    let mut chars = text.char_indices();
    loop {
        match chars.next()? {
            (_, '\\') => {
                item.push(chars.next()?.1);
                (kept, escaped) = (item.len(), true);
            }
            (_, '"' | '{') => return None,
            (at, ',' | '}') => {
                item.truncate(kept);
                let null = !escaped && item.eq_ignore_ascii_case("null");
                let behind = text.get(at..)?;
                return (!item.is_empty()).then_some(((!null).then_some(item), behind));
            }
            (_, other) => {
                item.push(other);
                if !other.is_whitespace() {
                    kept = item.len();
                }
            }
        }
    }
}

/// Where the brace that a text begins with is closed: the byte behind.
fn end_of_braces(text: &str) -> Option<usize> {
    let (mut depth, mut quoted) = (0_usize, false);
    let mut chars = text.char_indices();
    loop {
        match chars.next()? {
            (_, '\\') => {
                chars.next()?;
            }
            (_, '"') => quoted = !quoted,
            (_, '{') if !quoted => depth += 1,
            (at, '}') if !quoted => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
}
