//! What psql's commands ask that the copy of PostgreSQL's catalog cannot answer: parts of queries that are written
//! otherwise, and functions about functions.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use datafusion::scalar::ScalarValue;

/// Parts of psql's queries, and what is planned in their place: options of tables, members of roles, privileges and types made
/// of tables, of which there are none.
const PARTS: [(&str, &str); 4] = [
    ("pg_catalog.array_to_string(n.nspacl, E'\\n')", "''"),
    ("(SELECT c.relkind = 'c' FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid)", "false"),
    (
        "pg_catalog.array_to_string(c.reloptions || array(select 'toast.' || x from pg_catalog.unnest(tc.reloptions) x), ', ')",
        "''",
    ),
    (
        "ARRAY(SELECT b.rolname
        FROM pg_catalog.pg_auth_members m
        JOIN pg_catalog.pg_roles b ON (m.roleid = b.oid)
        WHERE m.member = r.oid)",
        "'{}'",
    ),
];

/// The text of a query that can be planned.
pub(super) fn plannable(text: &str) -> Cow<'_, str> {
    let text = without_privileges(text).map_or(Cow::Borrowed(text), Cow::Owned);
    PARTS.iter().fold(
        text,
        |text, (part, instead)| {
            if text.contains(part) { Cow::Owned(text.replace(part, instead)) } else { text }
        },
    )
}

/// The query of `\dp` and `\z` with nothing for the privileges and policies of each relation, of which there are none.
fn without_privileges(text: &str) -> Option<String> {
    let starts = ["CASE WHEN pg_catalog.array_length(c.relacl", "pg_catalog.array_to_string(c.relacl"];
    let start = starts.iter().filter_map(|start| text.find(start)).min()?;
    let end = text.rfind("FROM pg_catalog.pg_class c").filter(|end| *end > start)?;
    if !text.contains("AS \"Policies\"") {
        return None;
    }
    let none = r#"'' AS "Access privileges", '' AS "Column privileges", '' AS "Policies" "#;
    Some(format!("{}{none}{}", text.get(..start)?, text.get(end..)?))
}

/// Functions that ask about objects by number. Of functions the catalog has none that is not PostgreSQL's; comments and sizes
/// are not in it.
pub(super) fn functions() -> Vec<ScalarUDF> {
    let of_number = |name: &str, value: ScalarValue| constant(name, vec![DataType::Int64], value);
    let empty = || ScalarValue::Utf8(Some(String::new()));
    let (no_text, no_number) = (ScalarValue::Utf8(None), ScalarValue::Int64(None));
    vec![
        of_number("pg_function_is_visible", ScalarValue::Boolean(Some(true))),
        of_number("pg_type_is_visible", ScalarValue::Boolean(Some(true))),
        of_number("pg_get_function_result", empty()),
        of_number("pg_get_function_arguments", empty()),
        constant("col_description", vec![DataType::Int64, DataType::Int64], no_text.clone()),
        constant("obj_description", vec![DataType::Int64, DataType::Utf8], no_text.clone()),
        constant("shobj_description", vec![DataType::Int64, DataType::Utf8], no_text.clone()),
        // SHOW CREATE VIEW tells it.
        constant("pg_get_viewdef", vec![DataType::Int64, DataType::Boolean], empty()),
        of_number("pg_table_size", no_number.clone()),
        constant("pg_database_size", vec![DataType::Utf8], no_number),
        of_number("pg_size_pretty", no_text),
    ]
}

/// A function that always gives the same.
pub(super) fn constant(name: &str, takes: Vec<DataType>, value: ScalarValue) -> ScalarUDF {
    let returns = value.data_type();
    let give = move |_: &[ColumnarValue]| Ok(ColumnarValue::Scalar(value.clone()));
    create_udf(name, takes, returns, Volatility::Stable, Arc::new(give))
}
