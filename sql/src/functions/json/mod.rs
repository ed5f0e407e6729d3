//! SQL's functions on JSON text. Documents are never built: paths are followed in the text itself, and what is found is a
//! part of it. [`scan`] knows the grammar, [`path`] the paths, [`build`] turns values into JSON.

mod build;
mod path;
mod scan;

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, ListBuilder, StringBuilder};
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::ScalarUDF;

use super::support::Kind::{Any, Text, Truth};
use super::support::{Args, all, function, is_text, many, shaped};
pub(super) use build::push as push_json;
pub(crate) use build::push_text as push_json_text;
use path::{Found, Path};
pub(super) use path::{element, member};
use scan::{compact, kind, unquoted};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        shaped("is_json", "text IS JSON", all(&[Text, Text], Truth), is_json),
        shaped("json_exists", "JSON_EXISTS(json, path)", all(&[Text, Text, Text], Truth), |args| exists(args, false)),
        shaped("flink_json_exists", "JSON_EXISTS(json, path)", all(&[Text, Text, Text], Truth), |args| {
            exists(args, true)
        }),
        shaped("json_value", "JSON_VALUE(json, path)", all(&[Text; 6], Text), |args| value(args, false)),
        shaped("flink_json_value", "JSON_VALUE(json, path)", all(&[Text; 6], Text), |args| value(args, true)),
        shaped("json_query", "JSON_QUERY(json, path)", all(&[Text, Text, Text, Text, Text], Text), query),
        function("json_texts", &[], "JSON_QUERY(json, path RETURNING ARRAY<STRING>)", texts_types, texts),
        shaped("json_string", "JSON_STRING(value)", all(&[Any], Text), build::string),
        shaped("json_object", "JSON_OBJECT(key VALUE value, …)", many(1, &[Text, Any], Text), build::object),
        shaped(
            "flink_json_object",
            "JSON_OBJECT(key VALUE value, …)",
            many(1, &[Text, Any], Text),
            build::object_of_last,
        ),
        shaped("json_array", "JSON_ARRAY(value, …)", many(1, &[Text, Any], Text), build::array),
        shaped("json_arrayagg", "JSON_ARRAYAGG(value)", all(&[Text, Any], Text), build::array_of_rows),
        shaped("json_objectagg", "JSON_OBJECTAGG(key VALUE value)", all(&[Text, Any], Text), build::object_of_rows),
        shaped(
            "flink_json_objectagg",
            "JSON_OBJECTAGG(key VALUE value)",
            all(&[Text, Any], Text),
            build::object_of_unique_rows,
        ),
        shaped("json_quote", "JSON_QUOTE(text)", all(&[Text], Text), quote),
        shaped("json_unquote", "JSON_UNQUOTE(text)", all(&[Text], Text), unquote),
        shaped("json", "JSON(text)", all(&[Text], Text), |args| parse(args, true)),
    ]
}

fn failed(what: &str) -> DataFusionError {
    DataFusionError::Execution(what.to_owned())
}

/// The start of a text, for an error.
fn shortened(text: &str) -> &str {
    text.char_indices().nth(100).map_or(text, |(end, _)| text.get(..end).unwrap_or(text))
}

/// False for null.
fn is_json(args: &Args) -> Result<ArrayRef> {
    let (texts, kinds) = (args.text(0)?, args.text(1)?);
    let test = |row| {
        let found = texts.get(row).and_then(kind);
        found.is_some_and(|found| match kinds.get(row) {
            Some("ARRAY") => found == scan::Kind::Array,
            Some("OBJECT") => found == scan::Kind::Object,
            Some("SCALAR") => !matches!(found, scan::Kind::Array | scan::Kind::Object),
            _ => true,
        })
    };
    Ok(Arc::new((0..args.rows).map(|row| Some(test(row))).collect::<BooleanArray>()))
}

/// Follows the paths of a call: one for each row, read once for as long as it is the same.
struct Paths {
    texts: super::support::Text,
    last: Option<(String, Option<Path>)>,
}

impl Paths {
    fn new(args: &Args) -> Result<Self> {
        Ok(Self { texts: args.text(1)?, last: None })
    }

    /// What the path of a row leads to; `None` for a null path.
    ///
    /// # Errors
    /// Where it is no path, whatever is said of errors: that is for what a path meets.
    fn find<'j>(&mut self, row: usize, json: &'j str) -> Result<Option<Found<'j>>> {
        let Some(text) = self.texts.get(row) else { return Ok(None) };
        if self.last.as_ref().is_none_or(|(known, _)| known != text) {
            self.last = Some((text.to_owned(), Path::parse(text)));
        }
        match self.last.as_ref().and_then(|(_, path)| path.as_ref()) {
            Some(path) => Ok(Some(path.find(json))),
            None => Err(failed(&format!("invalid JSON path \"{}\"", shortened(text)))),
        }
    }
}

/// Whether the path leads to something; Flink takes the JSON null for nothing.
fn exists(args: &Args, flink: bool) -> Result<ArrayRef> {
    let (texts, modes, mut paths) = (args.text(0)?, args.text(2)?, Paths::new(args)?);
    let rows = (0..args.rows).map(|row| {
        let Some(found) = texts.get(row).map_or(Ok(None), |json| paths.find(row, json))? else { return Ok(None) };
        Ok(match (found, modes.get(row)) {
            (Found::One(part), _) => Some(!flink || kind(part) != Some(scan::Kind::Null)),
            (Found::Many(found), _) => Some(!found.is_empty()),
            (Found::Nothing, _) => Some(false),
            (Found::Wrong, Some("TRUE")) => Some(true),
            (Found::Wrong, Some("UNKNOWN")) => None,
            (Found::Wrong, Some("ERROR")) => return Err(failed("JSON_EXISTS: the JSON or its path is wrong")),
            (Found::Wrong, _) => Some(false),
        })
    });
    Ok(Arc::new(rows.collect::<Result<BooleanArray>>()?))
}

/// The scalar that the path leads to. The JSON null is null; Flink takes it for an error.
fn value(args: &Args, flink: bool) -> Result<ArrayRef> {
    let (texts, mut paths) = (args.text(0)?, Paths::new(args)?);
    let empty = (args.text(2)?, args.text(3)?);
    let wrong = (args.text(4)?, args.text(5)?);
    args.try_write(|row, out| {
        let Some(found) = texts.get(row).map_or(Ok(None), |json| paths.find(row, json))? else { return Ok(None) };
        let (mode, error) = match found {
            Found::One(part) => match kind(part) {
                Some(scan::Kind::Array | scan::Kind::Object) | None => (&wrong, "JSON_VALUE: the value is no scalar"),
                Some(scan::Kind::Null) if flink => (&wrong, "JSON_VALUE: the value is null"),
                Some(scan::Kind::Null) => return Ok(None),
                Some(scan::Kind::Text) => return Ok(unquoted(part, out)),
                Some(scan::Kind::Number | scan::Kind::Truth) => {
                    out.push_str(part);
                    return Ok(Some(()));
                }
            },
            Found::Nothing => (&empty, "JSON_VALUE: the path leads to nothing"),
            Found::Many(_) | Found::Wrong => (&wrong, "JSON_VALUE: the JSON or its path is wrong"),
        };
        match mode.0.get(row) {
            Some("ERROR") => Err(failed(error)),
            Some("DEFAULT") => Ok(mode.1.get(row).map(|default| out.push_str(default))),
            _ => Ok(None),
        }
    })
}

fn query(args: &Args) -> Result<ArrayRef> {
    let (texts, mut paths) = (args.text(0)?, Paths::new(args)?);
    let (wrappers, empty, wrong) = (args.text(2)?, args.text(3)?, args.text(4)?);
    args.try_write(|row, out| {
        let Some(found) = texts.get(row).map_or(Ok(None), |json| paths.find(row, json))? else { return Ok(None) };
        let (mode, error) = match found {
            Found::One(part) => {
                let is_array = kind(part) == Some(scan::Kind::Array);
                let scalar = !is_array && kind(part) != Some(scan::Kind::Object);
                let wrap = match wrappers.get(row) {
                    Some("UNCONDITIONAL") => true,
                    Some("CONDITIONAL") => !is_array,
                    _ => false,
                };
                if wrap || !scalar {
                    write_all(&[part], wrap, out);
                    return Ok(Some(()));
                }
                (&wrong, "JSON_QUERY: the value is a scalar")
            }
            Found::Many(parts) => {
                write_all(&parts, true, out);
                if wrappers.get(row) == Some("UNCONDITIONAL") {
                    out.insert(0, '[');
                    out.push(']');
                }
                return Ok(Some(()));
            }
            Found::Nothing => (&empty, "JSON_QUERY: the path leads to nothing"),
            Found::Wrong => (&wrong, "JSON_QUERY: the JSON or its path is wrong"),
        };
        match mode.get(row) {
            Some("ERROR") => return Err(failed(error)),
            Some("EMPTY ARRAY") => out.push_str("[]"),
            Some("EMPTY OBJECT") => out.push_str("{}"),
            _ => return Ok(None),
        }
        Ok(Some(()))
    })
}

fn write_all(parts: &[&str], wrap: bool, out: &mut String) {
    if wrap {
        out.push('[');
    }
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        compact(part, out);
    }
    if wrap {
        out.push(']');
    }
}

fn texts_types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    match types {
        [json] if is_text(json) => Some((DataType::new_list(DataType::Utf8, true), vec![DataType::Utf8])),
        _ => None,
    }
}

/// The elements of a JSON array as texts; null where it is none.
fn texts(args: &Args) -> Result<ArrayRef> {
    let (texts, mut out) = (args.text(0)?, ListBuilder::new(StringBuilder::new()));
    let mut text = String::new();
    for row in 0..args.rows {
        let elements = texts.get(row).and_then(path::elements);
        for element in elements.iter().flatten() {
            text.clear();
            let there = scalar_text(element, &mut text);
            out.values().append_option(there.map(|()| text.as_str()));
        }
        out.append(elements.is_some());
    }
    Ok(Arc::new(out.finish()))
}

fn quote(args: &Args) -> Result<ArrayRef> {
    let texts = args.text(0)?;
    Ok(args.write(|row, out| {
        build::push_text(out, texts.get(row)?);
        Some(())
    }))
}

fn unquote(args: &Args) -> Result<ArrayRef> {
    let texts = args.text(0)?;
    Ok(args.write(|row, out| {
        let text = texts.get(row)?;
        if kind(text) != Some(scan::Kind::Text) || unquoted(text.trim(), out).is_none() {
            out.clear();
            out.push_str(text);
        }
        Some(())
    }))
}

/// Appends a value as a text that can be cast on: a JSON string without its quotes. `None` for the JSON null.
pub(super) fn scalar_text(json: &str, out: &mut String) -> Option<()> {
    match kind(json)? {
        scan::Kind::Null => None,
        scan::Kind::Text => unquoted(json.trim(), out),
        scan::Kind::Object | scan::Kind::Array | scan::Kind::Number | scan::Kind::Truth => {
            out.push_str(json);
            Some(())
        }
    }
}

/// JSON without white space.
pub(super) fn parse(args: &Args, strict: bool) -> Result<ArrayRef> {
    let texts = args.text(0)?;
    args.try_write(|row, out| {
        let Some(text) = texts.get(row) else { return Ok(None) };
        if kind(text).is_some() {
            compact(text, out);
            return Ok(Some(()));
        }
        if strict { Err(failed("the text is no JSON")) } else { Ok(None) }
    })
}
