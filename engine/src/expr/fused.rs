//! Steps made cheaper before they run: what a filter copies is what is read behind it, field by field of ROW columns.
//!
//! A run of filters and projections that only pick columns or fields becomes one projection of the fields that are
//! read, the filters over them, and one projection of the result. Taking a field of a ROW copies nothing, while a
//! filter over the whole ROW copies every field.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use super::Scalar;
use super::scalar::{NOW_COLUMN, cheaper, evaluate_error, now_field};
use crate::error::Result;
use crate::plan::Step;

/// Steps that do the same as `steps` over rows of `schema`.
///
/// # Errors
/// Where an expression does not fit its input.
pub fn fused(steps: &[Step], schema: &SchemaRef) -> Result<Vec<Step>> {
    let mut done = Vec::with_capacity(steps.len() + 1);
    let mut run = Run::new(schema);
    for step in steps {
        match step {
            Step::Filter(condition) => run.filters.push(run.over_base(condition)?),
            Step::Project { exprs, schema } => {
                let exprs = exprs.iter().map(|expr| run.over_base(expr)).collect::<Result<Vec<_>>>()?;
                let picks = exprs.iter().all(|expr| !expr.reads_clock() && is_pick(&expr.expr, &run.base));
                run.result = Some((exprs, Arc::clone(schema)));
                if !picks {
                    done.extend(run.finish()?);
                    run = Run::new(schema);
                }
            }
            Step::AssignWindows { schema, .. } | Step::Expand { schema, .. } | Step::Unnest { schema, .. } => {
                done.extend(run.finish()?);
                done.push(step.clone());
                run = Run::new(schema);
            }
        }
    }
    done.extend(run.finish()?);
    Ok(done)
}

/// Filters and projections under way, all written over the columns at the start of the run.
struct Run {
    base: SchemaRef,
    filters: Vec<Scalar>,
    /// The columns as they are now, where a projection has changed them.
    result: Option<(Vec<Scalar>, SchemaRef)>,
}

impl Run {
    fn new(base: &SchemaRef) -> Self {
        Self { base: Arc::clone(base), filters: Vec::new(), result: None }
    }

    /// An expression over the columns as they are now, written over those at the start.
    fn over_base(&self, expr: &Scalar) -> Result<Scalar> {
        let Some((columns, schema)) = &self.result else { return Ok(expr.clone()) };
        expr.rewritten(&self.base, |node| {
            let column = node.downcast_ref::<Column>()?;
            if column.index() == schema.fields().len() {
                return Some(clock(&self.base));
            }
            columns.get(column.index()).map(|of| Arc::clone(&of.expr))
        })
    }

    /// The steps that the run comes to.
    fn finish(self) -> Result<Vec<Step>> {
        let Self { base, filters, result } = self;
        let mut picks: Vec<Arc<dyn PhysicalExpr>> = Vec::new();
        let Some((exprs, schema)) = result else { return Ok(filters.into_iter().map(Step::Filter).collect()) };
        let compound = exprs.iter().any(|expr| !is_pick(&expr.expr, &base));
        for expr in filters.iter().chain(&exprs) {
            add_picks(&expr.expr, &base, &mut picks)?;
        }
        // Nothing to gain where no rows are dropped and nothing is computed of fields.
        let fields = picks.iter().any(|pick| pick.downcast_ref::<Column>().is_none());
        let gains = if filters.is_empty() { compound && fields } else { fields || picks.len() < base.fields().len() };
        let mut steps = Vec::with_capacity(filters.len() + 2);
        if !gains {
            steps.extend(filters.into_iter().map(Step::Filter));
            steps.push(Step::Project { exprs, schema });
            return Ok(steps);
        }
        let field = |(index, pick): (usize, &Arc<dyn PhysicalExpr>)| {
            let data_type = pick.data_type(&base).map_err(evaluate_error)?;
            Ok(Field::new(format!("${index}"), data_type, pick.nullable(&base).map_err(evaluate_error)?))
        };
        let narrow = Arc::new(Schema::new(picks.iter().enumerate().map(field).collect::<Result<Vec<_>>>()?));
        let over_narrow = |expr: &Scalar| {
            expr.rewritten(&narrow, |node| {
                if let Some(index) = picks.iter().position(|pick| pick == node) {
                    return Some(Arc::new(Column::new(&format!("${index}"), index)));
                }
                let column = node.downcast_ref::<Column>()?;
                (column.index() == base.fields().len()).then(|| clock(&narrow))
            })
        };
        let conditions = filters.iter().map(over_narrow).collect::<Result<Vec<_>>>()?;
        let results = exprs.iter().map(over_narrow).collect::<Result<Vec<_>>>()?;
        steps.push(Step::Project { exprs: picks.into_iter().map(Scalar::of).collect(), schema: narrow });
        steps.extend(conditions.into_iter().map(Step::Filter));
        steps.push(Step::Project { exprs: results, schema });
        Ok(steps)
    }
}

/// The hidden column of the clock behind those of `schema`.
fn clock(schema: &Schema) -> Arc<dyn PhysicalExpr> {
    Arc::new(Column::new(NOW_COLUMN, schema.fields().len()))
}

/// Whether an expression takes a column, or a field of a ROW column, as it is: free, and cannot fail.
fn is_pick(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> bool {
    if let Some(column) = expr.downcast_ref::<Column>() {
        return column.index() < schema.fields().len();
    }
    let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>().filter(|call| call.name() == "get_field") else {
        return false;
    };
    let Some((row, names)) = call.args().split_first() else { return false };
    is_pick(row, schema)
        && row.data_type(schema).is_ok_and(|of| matches!(of, DataType::Struct(_)))
        && names.iter().all(|name| name.downcast_ref::<Literal>().is_some())
}

/// Adds the picks that an expression is made of.
fn add_picks(expr: &Arc<dyn PhysicalExpr>, schema: &Schema, picks: &mut Vec<Arc<dyn PhysicalExpr>>) -> Result<()> {
    let visited = expr.apply(|node| {
        if !is_pick(node, schema) {
            return Ok(TreeNodeRecursion::Continue);
        }
        if !picks.contains(node) {
            picks.push(Arc::clone(node));
        }
        Ok(TreeNodeRecursion::Jump)
    });
    visited.map(|_| ()).map_err(evaluate_error)
}

impl Scalar {
    fn of(expr: Arc<dyn PhysicalExpr>) -> Self {
        let text = expr.to_string();
        Self { expr, with_now: None, text }
    }

    /// The expression over `schema`, with the nodes for which `replace` gives something replaced by that, top down.
    fn rewritten(
        &self,
        schema: &SchemaRef,
        replace: impl Fn(&Arc<dyn PhysicalExpr>) -> Option<Arc<dyn PhysicalExpr>>,
    ) -> Result<Self> {
        let replaced = Arc::clone(&self.expr).transform_down(|node| {
            Ok(match replace(&node) {
                Some(new) => Transformed::new(new, true, TreeNodeRecursion::Jump),
                None => Transformed::no(node),
            })
        });
        let with_now = self.with_now.is_some().then(|| {
            let fields = schema.fields().iter().cloned().chain([Arc::new(now_field())]);
            Arc::new(Schema::new(fields.collect::<Vec<_>>()))
        });
        let schema = with_now.as_ref().unwrap_or(schema);
        let expr = replaced.and_then(|replaced| cheaper(replaced.data, schema)).map_err(evaluate_error)?;
        Ok(Self { expr, with_now, text: self.text.clone() })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StructArray};
    use datafusion::common::DFSchema;
    use datafusion::logical_expr::{col, lit};
    use datafusion::prelude::Expr;

    use super::*;
    use crate::expr::EvalContext;
    use crate::message::Delta;
    use crate::operators::stateless::run_steps;
    use crate::time::ProcessingTime;

    fn field_of(name: &str) -> Expr {
        datafusion::functions::core::expr_fn::get_field(col("r"), name)
    }

    fn rows() -> RecordBatch {
        let ints = |from: i64| Arc::new(Int64Array::from_iter_values(from..from + 5)) as ArrayRef;
        let fields = ["a", "b"].map(|name| Field::new(name, DataType::Int64, true));
        let row = StructArray::new(
            fields.to_vec().into(),
            vec![ints(10), ints(20)],
            Some(vec![true, true, false, true, true].into()),
        );
        let schema = Schema::new(vec![
            Field::new("k", DataType::Int64, true),
            Field::new("r", row.data_type().clone(), true),
            Field::new("unread", DataType::Int64, true),
        ]);
        RecordBatch::try_new(Arc::new(schema), vec![ints(0), Arc::new(row), ints(90)]).unwrap()
    }

    fn project(exprs: &[Expr], input: &SchemaRef) -> Step {
        let over = DFSchema::try_from(input.as_ref().clone()).unwrap();
        let compiled: Vec<Scalar> = exprs.iter().map(|expr| Scalar::compile(expr, &over).unwrap()).collect();
        let field = |(index, expr): (usize, &Scalar)| {
            let name = exprs.get(index).map(|expr| expr.schema_name().to_string()).unwrap();
            Field::new(name, expr.data_type(input).unwrap(), true)
        };
        let schema = Schema::new(compiled.iter().enumerate().map(field).collect::<Vec<_>>());
        Step::Project { exprs: compiled, schema: Arc::new(schema) }
    }

    fn filter(expr: &Expr, input: &SchemaRef) -> Step {
        Step::Filter(Scalar::compile(expr, &DFSchema::try_from(input.as_ref().clone()).unwrap()).unwrap())
    }

    fn output(steps: &[Step]) -> Vec<RecordBatch> {
        let mut out = Vec::new();
        run_steps(steps, Delta::append(rows()), ProcessingTime(7_000), &mut |delta| {
            out.push(delta.batch);
            Ok(())
        })
        .unwrap();
        out
    }

    fn schema_of(step: &Step) -> SchemaRef {
        match step {
            Step::Project { schema, .. } => Arc::clone(schema),
            _ => unreachable!("a projection was asked for"),
        }
    }

    #[test]
    fn fields_are_taken_before_rows_are_dropped() {
        let base = rows().schema();
        let narrow = project(&[col("r"), col("k")], &base);
        let narrowed = schema_of(&narrow);
        let proctime = datafusion::functions::datetime::expr_fn::now();
        let steps = vec![
            filter(&col("k").gt(lit(0_i64)), &base),
            narrow,
            filter(&col("k").lt(lit(4_i64)), &narrowed),
            project(&[field_of("b") + col("k"), field_of("a"), proctime], &narrowed),
        ];
        let fused = fused(&steps, &base).unwrap();
        let Some(Step::Project { exprs, .. }) = fused.first() else { unreachable!("it begins with a projection") };
        let picked: Vec<String> = exprs.iter().map(ToString::to_string).collect();
        assert_eq!(picked, ["k@0", "get_field(r@1, b)", "get_field(r@1, a)"]);
        assert_eq!(fused.len(), 4, "{fused:?}");
        assert_eq!(output(&fused), output(&steps));
    }

    #[test]
    fn the_clock_is_still_read() {
        let base = rows().schema();
        let steps = vec![
            filter(&col("k").gt(lit(2_i64)), &base),
            project(&[datafusion::functions::datetime::expr_fn::now(), field_of("a")], &base),
        ];
        let fused = fused(&steps, &base).unwrap();
        assert_eq!(output(&fused), output(&steps));
        assert_eq!(output(&fused).iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
        let context = EvalContext { now: ProcessingTime(0) };
        assert!(
            fused
                .iter()
                .all(|step| !matches!(step, Step::Filter(condition) if condition.evaluate(&rows(), context).is_err()))
        );
    }

    #[test]
    fn whole_rows_are_left_alone() {
        let base = rows().schema();
        let only_filter = vec![filter(&col("k").gt(lit(2_i64)), &base)];
        assert_eq!(fused(&only_filter, &base).unwrap().len(), 1);
        let only_pick = vec![project(&[field_of("a")], &base)];
        assert_eq!(fused(&only_pick, &base).unwrap().len(), 1);
    }
}
