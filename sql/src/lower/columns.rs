//! Expressions as columns: operators see columns by index, so that what is computed is appended to their input first.

use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema};
use datafusion::common::{DFSchema, TableReference};
use datafusion::logical_expr::Expr;
use millstream_engine::expr::Scalar;
use millstream_engine::plan::Step;

use super::column_of;
use super::rel::Rel;
use crate::error::Result;
use crate::query::from_datafusion;

/// Rows with computed columns behind their own.
pub(super) struct Extended {
    pub(super) rel: Rel,
    /// The column of each expression.
    pub(super) columns: Vec<usize>,
    /// The columns by name; those that were appended have names that no text has.
    pub(super) schema: DFSchema,
}

/// Appends a column for each expression over `input` that is not a column already.
pub(super) fn extended(rel: Rel, exprs: &[Expr], input: &DFSchema, side: &str) -> Result<Extended> {
    let width = rel.schema.fields().len();
    let mut computed: Vec<(Expr, Scalar, Field)> = Vec::new();
    let mut columns = Vec::with_capacity(exprs.len());
    for expr in exprs {
        let expr = expr.clone().unalias();
        if let Some(column) = column_of(&expr, input) {
            columns.push(column);
            continue;
        }
        let known = computed.iter().position(|(have, ..)| *have == expr);
        columns.push(width + known.unwrap_or(computed.len()));
        if known.is_none() {
            let scalar = Scalar::compile(&expr, input)?;
            let field = Field::new(format!("__{side}{}", computed.len()), scalar.data_type(input.as_arrow())?, true);
            computed.push((expr, scalar, field));
        }
    }
    let mut named: Vec<(Option<TableReference>, FieldRef)> =
        input.iter().map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field))).collect();
    named.extend(computed.iter().map(|(.., field)| (None, Arc::new(field.clone()))));
    let schema = DFSchema::new_with_metadata(named, Default::default()).map_err(from_datafusion)?;
    if computed.is_empty() {
        return Ok(Extended { rel, columns, schema });
    }
    let mut exprs: Vec<Scalar> = (0..width).map(|column| Scalar::column(&rel.schema, column)).collect();
    let mut fields: Vec<Field> = rel.schema.fields().iter().map(|field| field.as_ref().clone()).collect();
    for (_, scalar, field) in computed {
        exprs.push(scalar);
        fields.push(field);
    }
    let from: Vec<Option<usize>> = (0..fields.len()).map(|column| (column < width).then_some(column)).collect();
    let made = Arc::new(Schema::new(fields));
    let mut steps = rel.steps.clone();
    steps.push(Step::Project { exprs, schema: Arc::clone(&made) });
    let mut rel = rel.mapped(&from, made);
    rel.steps = steps;
    Ok(Extended { rel, columns, schema })
}

/// The rows without all but these columns, under the names and types of `schema`.
pub(super) fn narrowed(rel: Rel, columns: &[usize], schema: &Arc<Schema>) -> Rel {
    let identity = columns.len() == rel.schema.fields().len()
        && columns.iter().enumerate().all(|(to, from)| to == *from)
        && rel.schema.fields().iter().zip(schema.fields()).all(|(have, want)| have.name() == want.name());
    if identity {
        return rel;
    }
    let exprs = columns.iter().map(|&column| Scalar::column(&rel.schema, column)).collect();
    let from: Vec<Option<usize>> = columns.iter().copied().map(Some).collect();
    let mut steps = rel.steps.clone();
    steps.push(Step::Project { exprs, schema: Arc::clone(schema) });
    let mut rel = rel.mapped(&from, Arc::clone(schema));
    rel.steps = steps;
    rel
}
