//! Projections: steps on rows, and what is still known after them.

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::logical_expr::Expr;
use millstream_engine::expr::Scalar;
use millstream_engine::plan::Step;

use super::column_of;
use super::rel::Rel;
use crate::error::Result;

/// Rows of these expressions over `input`.
pub(super) fn project(rel: Rel, exprs: &[Expr], input: &DFSchema, output: &DFSchemaRef) -> Result<Rel> {
    let from: Vec<Option<usize>> = exprs.iter().map(|expr| column_of(expr, input)).collect();
    // What the plan says is never null may be null here: a rank that nobody reads.
    let fields = output.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let identity = from.len() == rel.schema.fields().len()
        && from.iter().enumerate().all(|(to, of)| *of == Some(to))
        && rel.schema.fields().iter().zip(schema.fields()).all(|(have, want)| have.name() == want.name());
    let mut steps = rel.steps.clone();
    if !identity {
        let compiled = exprs.iter().zip(&from).map(|(expr, of)| match of {
            Some(column) => Ok(Scalar::column(&rel.schema, *column)),
            None => Scalar::compile(&unaliased(expr), input).map_err(Into::into),
        });
        steps.push(Step::Project { exprs: compiled.collect::<Result<_>>()?, schema: Arc::clone(&schema) });
    }
    let mut projected = rel.mapped(&from, schema);
    projected.steps = steps;
    let clocks = exprs.iter().enumerate().filter(|(_, expr)| is_proctime(expr)).map(|(index, _)| index);
    projected.proctime.extend(clocks);
    Ok(projected)
}

/// The expression without a name given to it.
fn unaliased(expr: &Expr) -> Expr {
    match expr {
        Expr::Alias(alias) => unaliased(&alias.expr),
        other => other.clone(),
    }
}

/// Whether the expression is `PROCTIME()`.
fn is_proctime(expr: &Expr) -> bool {
    match expr {
        Expr::Alias(alias) => is_proctime(&alias.expr),
        Expr::ScalarFunction(call) => call.name() == "proctime",
        _ => false,
    }
}
