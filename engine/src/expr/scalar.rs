//! [`Scalar`]: one compiled expression.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, Operator};
use datafusion::physical_expr::expressions::{BinaryExpr, CastExpr, Column as PhysicalColumn, Literal};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};

use super::choice::Choice;
use super::instead::replaced;
use super::product::ExactProduct;
use crate::error::{EngineError, Result};
use crate::time::ProcessingTime;

/// Name of the hidden column that holds the processing time during evaluation.
pub const NOW_COLUMN: &str = "__millstream_now";

/// Names of the functions that read the clock.
const NOW_FUNCTIONS: [&str; 6] =
    ["proctime", "now", "current_timestamp", "current_row_timestamp", "transaction_timestamp", "localtimestamp"];

/// What an evaluation may depend on besides the rows.
#[derive(Debug, Clone, Copy)]
pub struct EvalContext {
    /// The processing time of this batch.
    pub now: ProcessingTime,
}

/// A compiled expression over the columns of one schema. Cheap to clone, shared by shards.
#[derive(Clone)]
pub struct Scalar {
    pub(super) expr: Arc<dyn PhysicalExpr>,
    /// The input schema with [`NOW_COLUMN`] appended, where the expression reads the clock.
    pub(super) with_now: Option<SchemaRef>,
    pub(super) text: String,
}

/// The expression with expressions of our own for what they compute in less time.
///
/// # Errors
/// Where it does not fit the schema.
pub(super) fn cheaper(
    expr: Arc<dyn PhysicalExpr>,
    schema: &Schema,
) -> datafusion::common::Result<Arc<dyn PhysicalExpr>> {
    replaced::<Choice>(replaced::<ExactProduct>(expr, schema)?, schema)
}

impl Scalar {
    /// Compiles a logical expression whose columns are those of `schema`.
    ///
    /// # Errors
    /// Where DataFusion cannot compile it (a type without that operation, a subquery).
    pub fn compile(expr: &Expr, schema: &DFSchema) -> Result<Self> {
        let text = expr.to_string();
        let replaced = expr
            .clone()
            .transform(|node| {
                Ok(match &node {
                    Expr::ScalarFunction(call) if call.args.is_empty() && NOW_FUNCTIONS.contains(&call.name()) => {
                        Transformed::yes(Expr::Column(Column::new_unqualified(NOW_COLUMN)))
                    }
                    _ => Transformed::no(node),
                })
            })
            .map_err(evaluate_error)?;
        let (props, planning) = (ExecutionProps::new(), PhysicalPlanningContext::default());
        let physical = |schema: &DFSchema| {
            create_physical_expr(&replaced.data, schema, &props, &planning)
                .and_then(|expr| cheaper(expr, schema.as_arrow()))
                .map_err(evaluate_error)
        };
        if !replaced.transformed {
            return Ok(Self { expr: physical(schema)?, with_now: None, text });
        }
        let now = now_field();
        let extra = DFSchema::from_unqualified_fields(vec![now].into(), Default::default()).map_err(evaluate_error)?;
        let schema = schema.join(&extra).map_err(evaluate_error)?;
        Ok(Self { expr: physical(&schema)?, with_now: Some(Arc::clone(schema.inner())), text })
    }

    /// The column `index` of `schema`.
    pub fn column(schema: &Schema, index: usize) -> Self {
        let name = schema.field(index).name();
        Self { expr: Arc::new(PhysicalColumn::new(name, index)), with_now: None, text: name.clone() }
    }

    /// The index of the column, where the expression is nothing but one.
    pub fn as_column(&self) -> Option<usize> {
        self.expr.downcast_ref::<PhysicalColumn>().map(PhysicalColumn::index)
    }

    /// The index of the column, and the type that it is cast to, where the expression is nothing else.
    pub fn as_cast_column(&self) -> Option<(usize, Option<&DataType>)> {
        let Some(cast) = self.expr.downcast_ref::<CastExpr>() else { return Some((self.as_column()?, None)) };
        let column = cast.expr().downcast_ref::<PhysicalColumn>()?;
        Some((column.index(), Some(cast.cast_type())))
    }

    /// Whether the result depends on the clock.
    pub fn reads_clock(&self) -> bool {
        self.with_now.is_some()
    }

    /// Whether the result never falls while the timestamp column `index` rises, whatever the other columns hold: the
    /// greatest value of the column then gives the greatest result.
    pub fn rises_with(&self, index: usize) -> bool {
        self.with_now.is_none() && rises_with(&self.expr, index)
    }

    /// The type of the result over `schema`.
    ///
    /// # Errors
    /// Where the expression does not fit the schema.
    pub fn data_type(&self, schema: &Schema) -> Result<DataType> {
        let schema = self.with_now.as_deref().unwrap_or(schema);
        self.expr.data_type(schema).map_err(evaluate_error)
    }

    /// The value of each row.
    ///
    /// # Errors
    /// Where a row cannot be evaluated (division by zero, a cast that fails).
    pub fn evaluate(&self, batch: &RecordBatch, context: EvalContext) -> Result<ArrayRef> {
        let rows = batch.num_rows();
        let value = match &self.with_now {
            None => self.expr.evaluate(batch),
            Some(schema) => {
                let now =
                    TimestampMillisecondArray::from_value(context.now.0.div_euclid(1_000), rows).with_timezone("UTC");
                let mut columns = batch.columns().to_vec();
                columns.push(Arc::new(now));
                self.expr.evaluate(&RecordBatch::try_new(Arc::clone(schema), columns)?)
            }
        };
        value.and_then(|value| value.into_array(rows)).map_err(evaluate_error)
    }

    /// The value of each row as a condition: null counts as false.
    ///
    /// # Errors
    /// As [`Self::evaluate`], and where the result is not boolean.
    pub fn evaluate_predicate(&self, batch: &RecordBatch, context: EvalContext) -> Result<BooleanArray> {
        let value = self.evaluate(batch, context)?;
        let Some(flags) = value.as_any().downcast_ref::<BooleanArray>() else {
            return Err(EngineError::Internal(format!("a condition of type {}", value.data_type())));
        };
        if flags.null_count() == 0 {
            return Ok(flags.clone());
        }
        Ok(arrow::compute::prep_null_mask_filter(flags))
    }
}

impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether an expression never falls while the column rises: the column, more or less a constant, in any unit of time.
fn rises_with(expr: &Arc<dyn PhysicalExpr>, column: usize) -> bool {
    if let Some(of) = expr.downcast_ref::<PhysicalColumn>() {
        return of.index() == column;
    }
    if let Some(cast) = expr.downcast_ref::<CastExpr>() {
        return matches!(cast.cast_type(), DataType::Timestamp(_, _)) && rises_with(cast.expr(), column);
    }
    expr.downcast_ref::<BinaryExpr>().is_some_and(|binary| {
        matches!(binary.op(), Operator::Plus | Operator::Minus)
            && binary.right().downcast_ref::<Literal>().is_some()
            && rises_with(binary.left(), column)
    })
}

/// The hidden column of `PROCTIME()`, a `TIMESTAMP_LTZ(3)`.
pub(super) fn now_field() -> Field {
    Field::new(NOW_COLUMN, DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), false)
}

pub(super) fn evaluate_error(error: datafusion::error::DataFusionError) -> EngineError {
    EngineError::Evaluate(match error {
        datafusion::error::DataFusionError::Execution(message) => message,
        other => other.strip_backtrace(),
    })
}
