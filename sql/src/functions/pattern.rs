//! Parts of text: `SPLIT_INDEX` and `REGEXP_EXTRACT`.

use std::cell::RefCell;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, StringBuilder};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, ScalarUDF};
use regex::{CaptureLocations, Regex};

use super::support::{Args, Text, Types, function, is_text, is_whole};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function("split_index", &[], "SPLIT_INDEX(text, delimiter, index)", split_types, split_index),
        function("regexp_extract", &[], "REGEXP_EXTRACT(text, regex [, group])", regex_types, regexp_extract),
    ]
}

fn split_types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    match types {
        [text, delimiter, index] if is_text(text) && is_text(delimiter) && is_whole(index) => {
            Some((DataType::Utf8, vec![DataType::Utf8, DataType::Utf8, DataType::Int64]))
        }
        // The delimiter as the number of its character.
        [text, delimiter, index] if is_text(text) && is_whole(delimiter) && is_whole(index) => {
            Some((DataType::Utf8, vec![DataType::Utf8, DataType::Int64, DataType::Int64]))
        }
        _ => None,
    }
}

/// Delimiters, which may be given by their numbers.
fn delimiters(args: &Args) -> Result<Text> {
    if !is_whole(args.column(1)?.data_type()) {
        return args.text(1);
    }
    let numbers = args.wholes(1)?;
    let texts = args.write(|row, out| {
        out.push(char::from_u32(u32::try_from(numbers.get(row)?).ok()?)?);
        Some(())
    });
    Ok(Text::Column(texts.as_string::<i32>().clone()))
}

/// The part with that number from 0 between delimiters; null where there are fewer, as in an empty text.
fn split_index(args: &Args) -> Result<ArrayRef> {
    let column = args.column(0)?;
    let texts = column.as_string::<i32>();
    let delimiters = delimiters(args)?;
    let indexes = args.column(2)?;
    let indexes = indexes.as_primitive::<Int64Type>();
    let mut out = StringBuilder::with_capacity(texts.len(), texts.len() * 8);
    for row in 0..texts.len() {
        let part = match (texts.is_valid(row), delimiters.get(row), indexes.is_valid(row)) {
            (true, Some(delimiter), true) => nth(texts.value(row), delimiter, indexes.value(row)),
            _ => None,
        };
        out.append_option(part);
    }
    Ok(Arc::new(out.finish()))
}

fn nth<'t>(text: &'t str, delimiter: &str, index: i64) -> Option<&'t str> {
    let index = usize::try_from(index).ok().filter(|_| !text.is_empty())?;
    match delimiter.as_bytes() {
        [] => (index == 0).then_some(text),
        [single] => text.split(char::from(*single)).nth(index),
        _ => text.split(delimiter).nth(index),
    }
}

fn regex_types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    match types {
        [text, regex] if is_text(text) && is_text(regex) => Some((DataType::Utf8, vec![DataType::Utf8; 2])),
        [text, regex, group] if is_text(text) && is_text(regex) && is_whole(group) => {
            Some((DataType::Utf8, vec![DataType::Utf8, DataType::Utf8, DataType::Int64]))
        }
        _ => None,
    }
}

thread_local! {
    /// The last expression of this thread, compiled: it is nearly always the next one too.
    static COMPILED: RefCell<Option<(String, Regex, CaptureLocations)>> = const { RefCell::new(None) };
}

/// The group of the first match; null where nothing matches or the group takes no part.
fn regexp_extract(args: &Args) -> Result<ArrayRef> {
    let mut out = StringBuilder::with_capacity(args.rows, args.rows * 8);
    for_each_text(args, |row| {
        out.append_option(row.and_then(|(text, regex, places, group)| {
            regex.captures_read(places, text)?;
            places.get(group).and_then(|(start, end)| text.get(start..end))
        }));
    })?;
    Ok(Arc::new(out.finish()))
}

static EXTRACTS: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let types: Types = |types| regex_types(types).map(|(_, wanted)| (DataType::Boolean, wanted));
    function("regexp_extracts", &[], "REGEXP_EXTRACT(text, regex [, group]) IS NOT NULL", types, extracts)
});

/// Whether `REGEXP_EXTRACT` of these arguments is not null. It has no name that a user can call.
pub(crate) fn regexp_extracts(args: Vec<Expr>) -> Expr {
    EXTRACTS.call(args)
}

/// To know that there is a match takes a part of what it takes to know where its groups are.
fn extracts(args: &Args) -> Result<ArrayRef> {
    let mut out = BooleanBufferBuilder::new(args.rows);
    for_each_text(args, |row| {
        out.append(row.is_some_and(|(text, regex, places, group)| {
            // Groups of which each takes part in every match.
            let always = regex.static_captures_len() == Some(regex.captures_len());
            if group == 0 || always {
                return group < regex.captures_len() && regex.is_match(text);
            }
            regex.captures_read(places, text).is_some() && places.get(group).is_some()
        }));
    })?;
    Ok(Arc::new(BooleanArray::new(out.finish(), None)))
}

/// A text, its regular expression, room for the places of groups, and the group that is asked for.
type Asked<'a> = (&'a str, &'a Regex, &'a mut CaptureLocations, usize);

/// Hands each row of `REGEXP_EXTRACT`'s arguments to `visit`; `None` where one of them is null, or the group is none.
fn for_each_text(args: &Args, mut visit: impl FnMut(Option<Asked<'_>>)) -> Result<()> {
    let column = args.column(0)?;
    let texts = column.as_string::<i32>();
    let regexes = args.text(1)?;
    let groups = if args.len() > 2 { Some(args.column(2)?) } else { None };
    COMPILED.with_borrow_mut(|compiled| {
        for row in 0..texts.len() {
            let group = match &groups {
                None => Some(0),
                Some(groups) if groups.is_valid(row) => Some(groups.as_primitive::<Int64Type>().value(row)),
                Some(_) => None,
            };
            let (true, Some(regex), Some(group)) = (texts.is_valid(row), regexes.get(row), group) else {
                visit(None);
                continue;
            };
            let (regex, places) = compile(compiled, regex)?;
            visit(usize::try_from(group).ok().map(|group| (texts.value(row), regex, places, group)));
        }
        Ok(())
    })
}

/// Hands the rows of a function's regular expressions to `row`, compiled once for as long as they are the same. An
/// expression that is none gives null, as Flink has it.
pub(super) fn with_regex(regexes: &Text, rows: usize, mut visit: impl FnMut(usize, Option<&Regex>)) {
    COMPILED.with_borrow_mut(|compiled| {
        for row in 0..rows {
            let regex = regexes.get(row).and_then(|regex| compile(compiled, regex).ok());
            visit(row, regex.map(|(regex, _)| regex));
        }
    });
}

fn compile<'c>(
    compiled: &'c mut Option<(String, Regex, CaptureLocations)>,
    text: &str,
) -> Result<(&'c Regex, &'c mut CaptureLocations)> {
    if compiled.as_ref().is_none_or(|(known, ..)| known != text) {
        let regex = Regex::new(text)
            .map_err(|error| DataFusionError::Execution(format!("invalid regular expression '{text}': {error}")))?;
        let places = regex.capture_locations();
        *compiled = Some((text.to_owned(), regex, places));
    }
    match compiled {
        Some((_, regex, places)) => Ok((regex, places)),
        None => Err(DataFusionError::Internal("a regular expression was lost".into())),
    }
}
