//! Parts of text: `SPLIT_INDEX` and `REGEXP_EXTRACT`.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, StringBuilder};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, ScalarUDF};

use super::matcher::{Matcher, with_valid_regex};
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

/// The group of the first match; null where nothing matches or the group takes no part.
fn regexp_extract(args: &Args) -> Result<ArrayRef> {
    let mut out = StringBuilder::with_capacity(args.rows, args.rows * 8);
    for_each_text(args, |row| {
        let found = match row {
            Some((text, regex, group)) => regex.group_at(text, 0, group)?.and_then(|(_, part)| text.get(part?)),
            None => None,
        };
        out.append_option(found);
        Ok(())
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
        let found = match row {
            Some((text, regex, group)) if group == 0 || regex.has_all_groups() => {
                group < regex.groups() && regex.is_match(text)?
            }
            Some((text, regex, group)) => regex.group_at(text, 0, group)?.is_some_and(|(_, part)| part.is_some()),
            None => false,
        };
        out.append(found);
        Ok(())
    })?;
    Ok(Arc::new(BooleanArray::new(out.finish(), None)))
}

/// A text, its regular expression, and the group that is asked for.
type Asked<'a> = (&'a str, &'a mut Matcher, usize);

/// Hands each row of `REGEXP_EXTRACT`'s arguments to `visit`; `None` where one of them is null, or the group is none.
fn for_each_text(args: &Args, mut visit: impl FnMut(Option<Asked<'_>>) -> Result<()>) -> Result<()> {
    let column = args.column(0)?;
    let texts = column.as_string::<i32>();
    let (regexes, groups) = (args.text(1)?, args.wholes_if_given(2, 0)?);
    with_valid_regex(&regexes, args.rows, |row, regex| {
        let (true, Some(regex), Some(group)) = (texts.is_valid(row), regex, groups.get(row)) else {
            return visit(None);
        };
        visit(usize::try_from(group).ok().map(|group| (texts.value(row), regex, group)))
    })
}
