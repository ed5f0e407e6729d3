//! Values as JSON: `JSON_STRING`, `JSON_OBJECT`, `JSON_ARRAY`, and the last two over the rows of a group.

use std::collections::HashSet;
use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use datafusion::common::Result;

use super::failed;
use super::scan::compact;
use crate::functions::support::Args;
use crate::types::is_variant;

/// Appends a JSON string.
pub(crate) fn push_text(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            letter if letter < ' ' => {
                // Writing to a string does not fail.
                let _ = write!(out, "\\u{:04x}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
}

/// Also for columns of type NULL, which have no bits for it.
fn is_null(array: &dyn Array, row: usize) -> bool {
    *array.data_type() == DataType::Null || array.is_null(row)
}

/// Appends the value of a row as JSON.
///
/// # Errors
/// Where the value has no form in JSON.
pub(crate) fn push(out: &mut String, array: &dyn Array, row: usize) -> Result<()> {
    if is_null(array, row) {
        out.push_str("null");
        return Ok(());
    }
    match array.data_type() {
        DataType::Utf8 => push_text(out, array.as_string::<i32>().value(row)),
        DataType::Utf8View => push_text(out, array.as_string_view().value(row)),
        DataType::LargeUtf8 => push_text(out, array.as_string::<i64>().value(row)),
        DataType::Binary => {
            out.push('"');
            STANDARD.encode_string(array.as_binary::<i32>().value(row), out);
            out.push('"');
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            push_list(out, items.len(), |out, item| push(out, &items, item))?;
        }
        of if is_variant(of) => {
            if let Some(text) = array.as_struct().columns().first() {
                out.push_str(text.as_string::<i32>().value(row));
            }
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            out.push('{');
            for (index, (field, column)) in fields.iter().zip(columns).enumerate() {
                if index > 0 {
                    out.push(',');
                }
                push_text(out, field.name());
                out.push(':');
                push(out, column, row)?;
            }
            out.push('}');
        }
        DataType::Map(..) => push_map(out, array, row)?,
        data_type => {
            let options = FormatOptions::default();
            let text = ArrayFormatter::try_new(array, &options)?.value(row).try_to_string()?;
            match text.as_str() {
                "inf" => push_text(out, "Infinity"),
                "-inf" => push_text(out, "-Infinity"),
                "NaN" => push_text(out, "NaN"),
                text if data_type.is_numeric() || *data_type == DataType::Boolean => out.push_str(text),
                text if matches!(data_type, DataType::Timestamp(..)) => push_text(out, &without_zeros(text)),
                text => push_text(out, text),
            }
        }
    }
    Ok(())
}

/// A timestamp without the zeros at the end of its fraction: `2024-01-01T10:00:00.5Z`.
fn without_zeros(text: &str) -> String {
    let (moment, zone) = text.strip_suffix('Z').map_or((text, ""), |moment| (moment, "Z"));
    let moment = if moment.contains('.') { moment.trim_end_matches('0').trim_end_matches('.') } else { moment };
    format!("{moment}{zone}")
}

fn push_list(out: &mut String, length: usize, mut item: impl FnMut(&mut String, usize) -> Result<()>) -> Result<()> {
    out.push('[');
    for index in 0..length {
        if index > 0 {
            out.push(',');
        }
        item(out, index)?;
    }
    out.push(']');
    Ok(())
}

fn push_map(out: &mut String, array: &dyn Array, row: usize) -> Result<()> {
    let entries = array.as_map().value(row);
    let [keys, values] = entries.columns() else { return Err(failed("a map without keys and values")) };
    let options = FormatOptions::default();
    let names = ArrayFormatter::try_new(keys, &options)?;
    out.push('{');
    for entry in 0..entries.len() {
        if entry > 0 {
            out.push(',');
        }
        push_text(out, &names.value(entry).try_to_string()?);
        out.push(':');
        push(out, values, entry)?;
    }
    out.push('}');
    Ok(())
}

/// A value as JSON; null stays null.
pub(super) fn string(args: &Args) -> Result<ArrayRef> {
    let column = args.column(0)?;
    args.try_write(|row, out| {
        if is_null(&column, row) {
            return Ok(None);
        }
        push(out, &column, row).map(Some)
    })
}

/// The plan that the parser made (see `parse/json.rs`): whether nulls are left out, which values are JSON already.
struct Plan {
    absent: bool,
    raw: Vec<bool>,
}

fn plan(args: &Args) -> Result<Plan> {
    let plan = args.text(0)?;
    let flags = plan.get(0).ok_or_else(|| failed("JSON_OBJECT and JSON_ARRAY need their plan"))?;
    let raw = flags.bytes().skip(1).map(|flag| flag == b'J').collect();
    Ok(Plan { absent: flags.starts_with('A'), raw })
}

fn push_value(out: &mut String, column: &ArrayRef, row: usize, raw: bool) -> Result<()> {
    match column.as_string_opt::<i32>().filter(|column| raw && column.is_valid(row)) {
        Some(json) => {
            compact(json.value(row), out);
            Ok(())
        }
        None => push(out, column, row),
    }
}

pub(super) fn array(args: &Args) -> Result<ArrayRef> {
    let plan = plan(args)?;
    let columns = (1..args.len()).map(|index| args.column(index)).collect::<Result<Vec<_>>>()?;
    args.try_write(|row, out| {
        out.push('[');
        for (index, column) in columns.iter().enumerate() {
            if plan.absent && is_null(column, row) {
                continue;
            }
            if out.len() > 1 {
                out.push(',');
            }
            push_value(out, column, row, plan.raw.get(index) == Some(&true))?;
        }
        out.push(']');
        Ok(Some(()))
    })
}

pub(super) fn object(args: &Args) -> Result<ArrayRef> {
    object_of(args, |_, _| false)
}

/// As Flink has it: of members with the same key the last.
pub(super) fn object_of_last(args: &Args) -> Result<ArrayRef> {
    object_of(args, |pairs, row| match pairs {
        [key, _, later @ ..] => {
            let same = |other: &ArrayRef| match (key.as_string_opt::<i32>(), other.as_string_opt::<i32>()) {
                (Some(keys), Some(others)) => keys.value(row) == others.value(row),
                _ => false,
            };
            later.chunks(2).any(|pair| pair.first().is_some_and(same))
        }
        _ => false,
    })
}

/// Objects without the members that are left out: `skipped` is given the columns of a member and of those after it.
fn object_of(args: &Args, skipped: fn(&[ArrayRef], usize) -> bool) -> Result<ArrayRef> {
    let plan = plan(args)?;
    let columns = (1..args.len()).map(|index| args.column(index)).collect::<Result<Vec<_>>>()?;
    let options = FormatOptions::default();
    args.try_write(|row, out| {
        out.push('{');
        for (index, pair) in columns.chunks(2).enumerate() {
            let [keys, values] = pair else { return Err(failed("JSON_OBJECT needs a value for each key")) };
            if is_null(keys, row) {
                return Err(failed("a key of JSON_OBJECT is null"));
            }
            let rest = columns.get(index * 2..).unwrap_or_default();
            if plan.absent && is_null(values, row) || skipped(rest, row) {
                continue;
            }
            if out.len() > 1 {
                out.push(',');
            }
            match keys.as_string_opt::<i32>() {
                Some(keys) => push_text(out, keys.value(row)),
                None => push_text(out, &ArrayFormatter::try_new(keys, &options)?.value(row).try_to_string()?),
            }
            out.push(':');
            push_value(out, values, row, plan.raw.get(index) == Some(&true))?;
        }
        out.push('}');
        Ok(Some(()))
    })
}

/// The list of the rows of each group: its elements, and where each list begins and ends.
fn rows_of_groups(args: &Args) -> Result<(ArrayRef, ListArray)> {
    let column = args.column(1)?;
    match column.as_list_opt::<i32>() {
        Some(lists) => Ok((Arc::clone(lists.values()), lists.clone())),
        None => Err(failed("a JSON aggregate needs the rows of a group")),
    }
}

/// The places of a list's elements; none of a null list.
fn places(lists: &ListArray, row: usize) -> Option<std::ops::Range<usize>> {
    let (start, end) = (lists.offsets().get(row)?, lists.offsets().get(row + 1)?);
    lists.is_valid(row).then_some(usize::try_from(*start).ok()?..usize::try_from(*end).ok()?)
}

/// Null of a group without rows, as PostgreSQL has it; in Flink's semantics what calls it sees to that.
pub(super) fn array_of_rows(args: &Args) -> Result<ArrayRef> {
    let Plan { absent, raw } = plan(args)?;
    let raw = raw.first() == Some(&true);
    let (values, lists) = rows_of_groups(args)?;
    args.try_write(|row, out| {
        let Some(places) = places(&lists, row) else { return Ok(None) };
        out.push('[');
        for place in places.filter(|place| !(absent && is_null(&values, *place))) {
            if out.len() > 1 {
                out.push(',');
            }
            push_value(out, &values, place, raw)?;
        }
        out.push(']');
        Ok(Some(()))
    })
}

/// Null of a group without rows, as PostgreSQL has it.
pub(super) fn object_of_rows(args: &Args) -> Result<ArrayRef> {
    object_of_group(args, false)
}

/// As Flink has it: a key that is there twice is an error.
pub(super) fn object_of_unique_rows(args: &Args) -> Result<ArrayRef> {
    object_of_group(args, true)
}

fn object_of_group(args: &Args, unique: bool) -> Result<ArrayRef> {
    let Plan { absent, raw } = plan(args)?;
    let raw = raw.first() == Some(&true);
    let (pairs, lists) = rows_of_groups(args)?;
    let [keys, values] = pairs.as_struct_opt().map(StructArray::columns).unwrap_or_default() else {
        return Err(failed("JSON_OBJECTAGG needs keys and values"));
    };
    let options = FormatOptions::default();
    let names = ArrayFormatter::try_new(keys, &options)?;
    let mut seen: HashSet<String> = HashSet::new();
    args.try_write(|row, out| {
        let Some(places) = places(&lists, row) else { return Ok(None) };
        seen.clear();
        out.push('{');
        for place in places {
            if is_null(keys, place) {
                return Err(failed("a key of JSON_OBJECTAGG is null"));
            }
            if unique && !seen.insert(names.value(place).try_to_string()?) {
                let key = names.value(place).try_to_string()?;
                return Err(failed(&format!("key \"{key}\" of JSON_OBJECTAGG is there twice")));
            }
            if absent && is_null(values, place) {
                continue;
            }
            if out.len() > 1 {
                out.push(',');
            }
            push_text(out, &names.value(place).try_to_string()?);
            out.push(':');
            push_value(out, values, place, raw)?;
        }
        out.push('}');
        Ok(Some(()))
    })
}
