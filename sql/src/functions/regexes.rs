//! Counting, finding and collecting matches of regular expressions, and maps from text. What is no regular expression
//! gives null.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, ListBuilder, MapBuilder, StringBuilder};
use arrow::datatypes::{DataType, Field};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;

use super::matcher::{Matcher, with_regex};
use super::support::Kind::{Int, Text};
use super::support::{Args, all, function, is_text, is_whole, shaped};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        shaped("regexp_substr", "REGEXP_SUBSTR(text, regex)", all(&[Text, Text], Text), substr),
        shaped("regexp_instr", "REGEXP_INSTR(text, regex)", all(&[Text, Text], Int), instr),
        function("regexp_extract_all", &[], "REGEXP_EXTRACT_ALL(text, regex [, group])", all_types, extract_all),
        function("str_to_map", &[], "STR_TO_MAP(text [, between pairs, between key and value])", map_types, to_map),
    ]
}

/// The first match.
fn substr(args: &Args) -> Result<ArrayRef> {
    let (texts, regexes) = (args.text(0)?, args.text(1)?);
    let mut out = StringBuilder::with_capacity(args.rows, args.rows * 8);
    with_regex(&regexes, args.rows, |row, regex| {
        let found = match texts.get(row).zip(regex) {
            Some((text, regex)) => regex.find_at(text, 0)?.and_then(|found| text.get(found)),
            None => None,
        };
        out.append_option(found);
        Ok(())
    })?;
    Ok(Arc::new(out.finish()))
}

/// Where the first match starts, in characters from 1; 0 where nothing matches.
fn instr(args: &Args) -> Result<ArrayRef> {
    let (texts, regexes) = (args.text(0)?, args.text(1)?);
    let mut out = Vec::with_capacity(args.rows);
    with_regex(&regexes, args.rows, |row, regex| {
        out.push(match texts.get(row).zip(regex) {
            Some((text, regex)) => match regex.find_at(text, 0)? {
                Some(found) => {
                    text.get(..found.start).and_then(|before| i32::try_from(before.chars().count() + 1).ok())
                }
                None => Some(0),
            },
            None => None,
        });
        Ok(())
    })?;
    Ok(Arc::new(Int32Array::from(out)))
}

fn all_types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    let returns = DataType::new_list(DataType::Utf8, true);
    match types {
        [text, regex] if is_text(text) && is_text(regex) => Some((returns, vec![DataType::Utf8; 2])),
        [text, regex, group] if is_text(text) && is_text(regex) && is_whole(group) => {
            Some((returns, vec![DataType::Utf8, DataType::Utf8, DataType::Int64]))
        }
        _ => None,
    }
}

/// A group (the first, where none is named) of all matches; null where there is no such group.
fn extract_all(args: &Args) -> Result<ArrayRef> {
    let (texts, regexes, groups) = (args.text(0)?, args.text(1)?, args.wholes_if_given(2, 1)?);
    let mut out = ListBuilder::new(StringBuilder::new());
    with_regex(&regexes, args.rows, |row, regex| {
        let group = groups.get(row).and_then(|group| usize::try_from(group).ok());
        let asked = texts.get(row).zip(regex).zip(group).filter(|((_, regex), group)| *group < regex.groups());
        let Some(((text, regex), group)) = asked else {
            out.append(false);
            return Ok(());
        };
        regex.each(text, 0, group, |_, part| {
            out.values().append_option(part.and_then(|part| text.get(part)));
            true
        })?;
        out.append(true);
        Ok(())
    })?;
    Ok(Arc::new(out.finish()))
}

fn map_types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    if !matches!(types.len(), 1 | 3) || !types.iter().all(is_text) {
        return None;
    }
    let fields = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, true)];
    let entries = Field::new("entries", DataType::Struct(fields.into()), false);
    Some((DataType::Map(Arc::new(entries), false), vec![DataType::Utf8; types.len()]))
}

/// Pairs of a text as a map; delimiters are regular expressions, a pair without its delimiter has no value.
fn to_map(args: &Args) -> Result<ArrayRef> {
    let (texts, between, inside) = (args.text(0)?, args.text_if_given(1, ",")?, args.text_if_given(2, "=")?);
    let names =
        arrow::array::MapFieldNames { entry: "entries".to_owned(), key: "key".to_owned(), value: "value".to_owned() };
    let mut out = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    let mut separators: Option<(String, Matcher)> = None;
    with_regex(&between, args.rows, |row, pairs| {
        let inside = inside.get(row);
        if let Some(text) = inside.filter(|text| separators.as_ref().is_none_or(|(known, _)| known != text)) {
            separators = Matcher::new(text).ok().map(|regex| (text.to_owned(), regex));
        }
        let split = separators.as_mut().filter(|_| inside.is_some());
        let (Some(text), Some(pairs), Some((_, split))) = (texts.get(row), pairs, split) else {
            return Ok(out.append(false)?);
        };
        let mut known: Vec<(&str, Option<&str>)> = Vec::new();
        for pair in parts(pairs, text)? {
            let (key, value) = match split.find_at(pair, 0)? {
                Some(found) => (pair.get(..found.start).unwrap_or_default(), pair.get(found.end..)),
                None => (pair, None),
            };
            known.retain(|(other, _)| *other != key);
            known.push((key, value));
        }
        for (key, value) in known {
            out.keys().append_value(key);
            out.values().append_option(value);
        }
        Ok(out.append(true)?)
    })?;
    Ok(Arc::new(out.finish()))
}

/// A text split at the matches; an empty one has no parts.
fn parts<'t>(separator: &mut Matcher, text: &'t str) -> Result<Vec<&'t str>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let (mut parts, mut from) = (Vec::new(), 0);
    separator.each(text, 0, 0, |found, _| {
        parts.extend(text.get(from..found.start));
        from = found.end;
        true
    })?;
    parts.extend(text.get(from..));
    Ok(parts)
}
