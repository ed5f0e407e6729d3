//! The list's examples are run, and `docs/functions.md` is what the list makes. `MILLSTREAM_REWRITE=1` writes it anew.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::logical_expr::LogicalPlan;
use millstream_engine::expr::{EvalContext, Scalar};
use millstream_engine::time::ProcessingTime;

use super::listing::{functions_page, listed_functions};
use crate::bound::{BindContext, BoundStatement, StreamingOptions};
use crate::catalog::{CatalogSnapshot, Semantics};

fn text(array: &dyn Array, row: usize) -> String {
    if array.is_null(row) {
        return "NULL".to_owned();
    }
    match array.data_type() {
        DataType::Boolean => if array.as_boolean().value(row) { "t" } else { "f" }.to_owned(),
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            let items: Vec<String> = (0..items.len()).map(|item| text(&items, item)).collect();
            format!("{{{}}}", items.join(","))
        }
        _ => ArrayFormatter::try_new(array, &FormatOptions::default()).unwrap().value(row).to_string(),
    }
}

/// Evaluates the one expression of `SELECT …`.
pub(super) fn run(expression: &str, semantics: Semantics) -> Result<String, String> {
    let (catalog, streaming) = (Arc::new(CatalogSnapshot::default()), StreamingOptions::default());
    let context = BindContext { catalog, semantics, time_zone: "UTC".to_owned(), streaming, parameters: Vec::new() };
    let statement = crate::parse(&format!("SELECT {expression}")).map_err(|error| format!("{error:?}"))?;
    let bound = crate::bind(&statement[0], &context).map_err(|error| format!("{error:?}"))?;
    let BoundStatement::Query(query) = bound else { return Err("no query".to_owned()) };
    let mut projections = Vec::new();
    let mut plan = &query.plan;
    while let LogicalPlan::Projection(projection) = plan {
        projections.push(projection);
        plan = &projection.input;
    }
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let schema = Arc::new(Schema::empty());
    let mut batch = RecordBatch::try_new_with_options(schema, vec![], &options).map_err(|error| error.to_string())?;
    let context = EvalContext { now: ProcessingTime(1_700_000_000_000_000) };
    for projection in projections.iter().rev() {
        let columns = projection.expr.iter().map(|expr| {
            let scalar = Scalar::compile(expr, projection.input.schema())?;
            scalar.evaluate(&batch, context)
        });
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        let fields: Vec<Field> =
            columns.iter().map(|column| Field::new("value", column.data_type().clone(), true)).collect();
        batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
            .map_err(|error| error.to_string())?;
    }
    batch.columns().first().map(|column| text(column, 0)).ok_or_else(|| "no columns".to_owned())
}

#[test]
fn examples_give_their_results() {
    let mut wrong = Vec::new();
    let mut right = 0;
    for function in listed_functions() {
        for (call, result) in &function.examples {
            match run(call, Semantics::Postgres) {
                Ok(found) if found == *result => right += 1,
                Ok(found) => wrong.push(format!("{call}: {found}, not {result}")),
                Err(error) => wrong.push(format!("{call}: {error}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{right} are right; wrong:\n{}", wrong.join("\n"));
    assert!(right > 150, "only {right} examples were run");
}

#[test]
fn flink_means_another_thing_by_some_names() {
    let cases = [
        ("CONCAT('a', CAST(NULL AS STRING))", "a", "NULL"),
        ("LOG(100)", "2.0", "4.605170185988092"),
        ("REGEXP_REPLACE('foobar', 'oo|ar', '')", "fbar", "fb"),
        ("CHR(353)", "š", "a"),
        ("GREATEST(1, NULL, 2)", "2", "NULL"),
        ("LEAST(1, NULL, 2)", "1", "NULL"),
        ("LEFT('hello', -2)", "hel", ""),
        ("RIGHT('hello', -2)", "llo", ""),
        ("SUBSTR('hello', -2)", "hello", "lo"),
        ("ARRAY_POSITION(ARRAY[1, 2], 3)", "NULL", "0"),
    ];
    let mut wrong = Vec::new();
    for (call, postgres, flink) in cases {
        for (semantics, wanted) in [(Semantics::Postgres, postgres), (Semantics::Flink, flink)] {
            let found = run(call, semantics);
            if found.as_deref() != Ok(wanted) {
                wrong.push(format!("{call}: {found:?}, not {wanted}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn all_listed_functions_are_done_or_say_why_not() {
    for function in listed_functions() {
        let name = function.signature;
        assert!(function.missing.is_none_or(|reason| !reason.is_empty()), "{name}");
        assert!(!function.description.is_empty(), "{name}");
    }
}

/// Every name of Flink's list stands in ours, done or not, and of all names 95 % are done.
#[test]
fn all_functions_of_flink_are_listed() {
    let listed = listed_functions();
    let has = |text: &str, name: &str| text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name);
    let names: Vec<&str> = include_str!("flink_names.txt").split_whitespace().collect();
    let is_of = |name: &str| {
        listed
            .iter()
            .filter(|function| has(function.signature, name) || has(function.description, name))
            .collect::<Vec<_>>()
    };
    let unlisted: Vec<&&str> = names.iter().filter(|name| is_of(name).is_empty()).collect();
    assert!(unlisted.is_empty(), "{unlisted:?}");
    let done = names.iter().filter(|name| is_of(name).iter().any(|function| function.missing.is_none())).count();
    assert!(done * 100 >= names.len() * 95, "{done} of {}", names.len());
}

#[test]
fn the_page_is_what_the_list_makes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/functions.md");
    if std::env::var_os("MILLSTREAM_REWRITE").is_some() {
        std::fs::write(path, functions_page()).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap();
    assert!(found == functions_page(), "docs/functions.md is old: run this test with MILLSTREAM_REWRITE=1");
}
