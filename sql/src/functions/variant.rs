//! `VARIANT`: a JSON value with its type. It is kept as its text without white space, in a ROW of one field with a name of
//! its own, so that it is never taken for a text.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, StructArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, ScalarUDF};

use super::json::{element, member, scalar_text};
use super::support::{Args, function, is_text, is_whole};
use crate::types::{is_variant, variant};

/// What `v['key']` and `v[1]` call.
pub(super) const VARIANT_GET: &str = "variant_get";
/// What a cast of a variant calls first.
const VARIANT_TEXT: &str = "variant_text";

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function("parse_json", &[], "PARSE_JSON(text)", parse_types, |args| parse(args, true)),
        function("try_parse_json", &[], "TRY_PARSE_JSON(text)", parse_types, |args| parse(args, false)),
        function(VARIANT_GET, &[], "variant['key']", get_types, get),
        text_function(),
    ]
}

fn text_function() -> Arc<ScalarUDF> {
    let types: super::support::Types = |types| match types {
        [of] if is_variant(of) => Some((DataType::Utf8, types.to_vec())),
        _ => None,
    };
    function(VARIANT_TEXT, &[], "CAST(variant AS STRING)", types, text)
}

/// The text of a variant that can be cast on: a JSON string without its quotes, null for the JSON null.
pub(crate) fn variant_text(value: Expr) -> Expr {
    text_function().call(vec![value])
}

/// The second argument allows for keys that are there twice, as they are here anyway.
fn parse_types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    match types {
        [text] if is_text(text) => Some((variant(), vec![DataType::Utf8])),
        [text, DataType::Boolean] if is_text(text) => Some((variant(), vec![DataType::Utf8, DataType::Boolean])),
        _ => None,
    }
}

fn get_types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    match types {
        [of, key] if is_variant(of) && is_text(key) => Some((variant(), vec![of.clone(), DataType::Utf8])),
        [of, key] if is_variant(of) && is_whole(key) => Some((variant(), vec![of.clone(), DataType::Int64])),
        _ => None,
    }
}

/// Texts of JSON as variants.
fn variants(texts: ArrayRef) -> Result<ArrayRef> {
    let DataType::Struct(fields) = variant() else { return Err(wrong()) };
    let nulls = texts.nulls().cloned();
    Ok(Arc::new(StructArray::try_new(fields, vec![texts], nulls)?))
}

/// The texts of variants.
pub(super) fn texts(column: &ArrayRef) -> Result<StringArray> {
    let rows = column.as_struct_opt().ok_or_else(wrong)?;
    let (_, columns) = rows.flatten();
    let texts = columns.first().and_then(|texts| texts.as_string_opt::<i32>()).ok_or_else(wrong)?;
    Ok(texts.clone())
}

fn wrong() -> DataFusionError {
    DataFusionError::Internal("a variant without its text".into())
}

fn parse(args: &Args, strict: bool) -> Result<ArrayRef> {
    variants(super::json::parse(args, strict)?)
}

fn get(args: &Args) -> Result<ArrayRef> {
    let values = texts(&args.column(0)?)?;
    let value = |row: usize| values.is_valid(row).then(|| values.value(row));
    let keys = args.column(1)?;
    let found = match keys.as_string_opt::<i32>() {
        Some(keys) => args.pick(|row| member(value(row)?, keys.is_valid(row).then(|| keys.value(row))?)),
        None => {
            let keys = keys.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
            args.pick(|row| element(value(row)?, keys.is_valid(row).then(|| keys.value(row))?))
        }
    };
    variants(found)
}

fn text(args: &Args) -> Result<ArrayRef> {
    let values = texts(&args.column(0)?)?;
    Ok(args.write(|row, out| scalar_text(values.is_valid(row).then(|| values.value(row))?, out)))
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{Field, Fields};

    use super::*;

    #[test]
    fn a_row_of_a_text_is_no_variant() {
        let row = DataType::Struct(Fields::from(vec![Field::new("json", DataType::Utf8, true)]));
        assert!(!is_variant(&row) && is_variant(&variant()));
    }
}
