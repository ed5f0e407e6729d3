//! The list's examples are run, and `docs/functions.md` is what the list makes. `MILLSTREAM_REWRITE=1` writes it anew.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::DFSchema;
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_expr::create_physical_expr;

use super::listing::{functions_page, listed_functions};
use crate::bound::{BindContext, BoundStatement};
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
    let context = BindContext { catalog: Arc::new(CatalogSnapshot::default()), semantics, time_zone: "UTC".to_owned() };
    let statement = crate::parse(&format!("SELECT {expression}")).map_err(|error| format!("{error:?}"))?;
    let bound = crate::bind(&statement[0], &context).map_err(|error| format!("{error:?}"))?;
    let BoundStatement::Query(query) = bound else { return Err("no query".to_owned()) };
    let mut plan = &query.plan;
    let mut exprs: Vec<Expr> = Vec::new();
    while let LogicalPlan::Projection(projection) = plan {
        if exprs.is_empty() || !matches!(projection.expr.as_slice(), [Expr::Column(_)]) {
            exprs.extend(projection.expr.iter().cloned());
        }
        plan = &projection.input;
    }
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let mut columns: Option<ArrayRef> = None;
    let mut name = String::new();
    for expr in exprs.iter().rev() {
        let (schema, batch) = match &columns {
            None => {
                let schema = Arc::new(Schema::empty());
                (DFSchema::empty(), RecordBatch::try_new_with_options(schema, vec![], &options).unwrap())
            }
            Some(column) => {
                let batch = RecordBatch::try_from_iter([(name.clone(), Arc::clone(column))]).unwrap();
                (DFSchema::try_from(batch.schema()).unwrap(), batch)
            }
        };
        let expr = datafusion::optimizer::simplify_expressions::ExprSimplifier::new(
            datafusion::logical_expr::simplify::SimplifyContext::default().with_schema(Arc::new(schema.clone())),
        )
        .simplify(expr.clone())
        .map_err(|error| error.to_string())?;
        name = expr.schema_name().to_string();
        let physical =
            create_physical_expr(&expr, &schema, &ExecutionProps::new()).map_err(|error| error.to_string())?;
        let value = physical.evaluate(&batch).map_err(|error| error.to_string())?;
        columns = Some(value.into_array(1).map_err(|error| error.to_string())?);
    }
    columns.map(|column| text(&column, 0)).ok_or_else(|| "no columns".to_owned())
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
fn all_listed_functions_are_done_or_say_why_not() {
    for function in listed_functions() {
        let name = function.signature;
        assert!(function.missing.is_none_or(|reason| !reason.is_empty()), "{name}");
        assert!(!function.description.is_empty(), "{name}");
    }
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
