//! `CASE WHEN c = 1 THEN a WHEN c = 2 THEN b ELSE d END` where `c` is a whole number and the results are columns.
//!
//! DataFusion computes each result for the rows that ask for it alone, and puts the parts together again, because an expression may
//! fail for the other rows. A column never fails: here every row takes its value from the column that it names.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, RecordBatch};
use arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Int32Type, Int64Type, Schema, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::expressions::{BinaryExpr, CaseExpr, Column, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use super::instead::Kernel;

/// Choices beyond which looking at one after another costs too much.
const CHOICES_MAX: usize = 8;

/// See the module.
#[derive(Debug)]
pub(super) struct Choice {
    of: Arc<dyn PhysicalExpr>,
    /// The number that chooses each result but the last.
    numbers: Vec<i64>,
    results: Vec<Arc<dyn PhysicalExpr>>,
    data_type: DataType,
}

impl Kernel for Choice {
    fn of(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Option<Self>> {
        let Some(case) = expr.downcast_ref::<CaseExpr>() else { return Ok(None) };
        let (Some(otherwise), None) = (case.else_expr(), case.expr()) else { return Ok(None) };
        let mut of: Option<&Arc<dyn PhysicalExpr>> = None;
        let (mut numbers, mut results) = (Vec::new(), Vec::new());
        for (when, then) in case.when_then_expr() {
            let Some((column, number)) = equality(when) else { return Ok(None) };
            if of.is_some_and(|of| of != column) {
                return Ok(None);
            }
            of = Some(column);
            numbers.push(number);
            results.push(Arc::clone(then));
        }
        results.push(Arc::clone(otherwise));
        let Some(of) = of.filter(|_| numbers.len() <= CHOICES_MAX) else { return Ok(None) };
        let data_type = expr.data_type(schema)?;
        for result in &results {
            if !never_fails(result) || result.data_type(schema)? != data_type {
                return Ok(None);
            }
        }
        let of_number = matches!(of.data_type(schema)?, DataType::Int32 | DataType::Int64);
        let kept = matches!(
            data_type,
            DataType::Int64 | DataType::Timestamp(TimeUnit::Millisecond | TimeUnit::Microsecond, None)
        );
        Ok((of_number && kept).then(|| Self { of: Arc::clone(of), numbers, results, data_type }))
    }

    fn compute(&self, batch: &RecordBatch) -> Result<Option<ColumnarValue>> {
        let Some(chosen) = self.chosen(batch)? else { return Ok(None) };
        let rows = batch.num_rows();
        let results = self.results.iter().map(|result| result.evaluate(batch)?.into_array(rows));
        let results = results.collect::<Result<Vec<ArrayRef>>>()?;
        match self.data_type {
            DataType::Int64 => self.take::<Int64Type>(&chosen, &results),
            DataType::Timestamp(TimeUnit::Millisecond, _) => self.take::<TimestampMillisecondType>(&chosen, &results),
            DataType::Timestamp(TimeUnit::Microsecond, _) => self.take::<TimestampMicrosecondType>(&chosen, &results),
            _ => Ok(None),
        }
    }
}

impl Choice {
    /// Which result each row has; `None` where a number is null, which equals none.
    fn chosen(&self, batch: &RecordBatch) -> Result<Option<Vec<u8>>> {
        let numbers = self.of.evaluate(batch)?.into_array(batch.num_rows())?;
        if numbers.null_count() > 0 {
            return Ok(None);
        }
        let place = |number: i64| {
            // At most `CHOICES_MAX`.
            self.numbers.iter().position(|of| *of == number).unwrap_or(self.numbers.len()) as u8
        };
        Ok(match (numbers.as_primitive_opt::<Int32Type>(), numbers.as_primitive_opt::<Int64Type>()) {
            (Some(numbers), _) => Some(numbers.values().iter().map(|number| place(i64::from(*number))).collect()),
            (None, Some(numbers)) => Some(numbers.values().iter().map(|number| place(*number)).collect()),
            (None, None) => None,
        })
    }

    fn take<T: ArrowPrimitiveType>(&self, chosen: &[u8], results: &[ArrayRef]) -> Result<Option<ColumnarValue>> {
        let typed: Option<Vec<&PrimitiveArray<T>>> = results.iter().map(|result| result.as_primitive_opt()).collect();
        let Some(typed) = typed else { return Ok(None) };
        let values: Vec<&[T::Native]> = typed.iter().map(|array| &array.values()[..]).collect();
        let value = |(row, from): (usize, &u8)| {
            values.get(usize::from(*from)).and_then(|values| values.get(row)).copied().unwrap_or_default()
        };
        let taken: ScalarBuffer<T::Native> = chosen.iter().enumerate().map(value).collect();
        let nulls = typed.iter().any(|array| array.null_count() > 0).then(|| {
            let valid = |row: usize| {
                let from = chosen.get(row).and_then(|from| typed.get(usize::from(*from)));
                from.is_some_and(|array| array.is_valid(row))
            };
            NullBuffer::new(BooleanBuffer::collect_bool(chosen.len(), valid))
        });
        let taken = PrimitiveArray::<T>::try_new(taken, nulls)?.with_data_type(self.data_type.clone());
        Ok(Some(ColumnarValue::Array(Arc::new(taken))))
    }
}

/// The column and the number that a condition asks to be equal.
fn equality(when: &Arc<dyn PhysicalExpr>) -> Option<(&Arc<dyn PhysicalExpr>, i64)> {
    let equal = when.downcast_ref::<BinaryExpr>().filter(|binary| *binary.op() == Operator::Eq)?;
    let number = match equal.right().downcast_ref::<Literal>()?.value() {
        ScalarValue::Int32(Some(number)) => i64::from(*number),
        ScalarValue::Int64(Some(number)) => *number,
        _ => return None,
    };
    equal.left().downcast_ref::<Column>().map(|_| (equal.left(), number))
}

/// Whether an expression is a column, or a field of one.
fn never_fails(expr: &Arc<dyn PhysicalExpr>) -> bool {
    if expr.downcast_ref::<Column>().is_some() {
        return true;
    }
    let field = expr.downcast_ref::<ScalarFunctionExpr>().filter(|call| call.name() == "get_field");
    field.is_some_and(|call| call.args().first().is_some_and(|of| of.downcast_ref::<Column>().is_some()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use arrow::array::{Int32Array, Int64Array, StringArray, TimestampMillisecondArray};
    use arrow::datatypes::Field;
    use datafusion::common::DFSchema;
    use datafusion::logical_expr::execution_props::ExecutionProps;
    use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
    use datafusion::physical_expr::create_physical_expr;
    use datafusion::prelude::{Expr, col, lit, when};

    use super::super::instead::{Instead, replaced};
    use super::*;

    #[test]
    fn choices_are_those_of_datafusion() {
        let columns: [(&str, ArrayRef); 7] = [
            ("code", Arc::new(Int32Array::from(vec![0, 1, 2, 1]))),
            ("some", Arc::new(Int32Array::from(vec![Some(0), None, Some(2), Some(1)]))),
            ("a", Arc::new(TimestampMillisecondArray::from(vec![Some(10), None, Some(12), None]))),
            ("b", Arc::new(TimestampMillisecondArray::from(vec![Some(20), Some(21), None, None]))),
            ("c", Arc::new(TimestampMillisecondArray::from(vec![30, 31, 32, 33]))),
            ("n", Arc::new(Int64Array::from(vec![1, 0, 1, 0]))),
            ("s", Arc::new(StringArray::from(vec!["x", "y", "z", "w"]))),
        ];
        let fields: Vec<Field> =
            columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let batch =
            RecordBatch::try_new(Arc::clone(&schema), columns.iter().map(|(_, array)| Arc::clone(array)).collect());
        let batch = batch.unwrap();
        let three = |of: &str| {
            let is = |number: i32| col(of).eq(lit(number));
            when(is(0), col("a")).when(is(1), col("b")).otherwise(col("c")).unwrap()
        };
        let cases: [(Expr, bool); 6] = [
            (three("code"), true),
            // Nulls choose the last.
            (three("some"), true),
            (when(col("n").eq(lit(1_i64)), col("n")).otherwise(col("n")).unwrap(), true),
            // A result that may fail, no number, no timestamp.
            (when(col("n").eq(lit(0_i64)), col("n")).otherwise(lit(1_i64) / col("n")).unwrap(), false),
            (when(col("s").eq(lit("x")), col("a")).otherwise(col("b")).unwrap(), false),
            (when(col("code").eq(lit(1)), col("s")).otherwise(col("s")).unwrap(), false),
        ];
        for (expr, chooses) in cases {
            let of = DFSchema::try_from(Arc::clone(&schema)).unwrap();
            let (props, planning) = (ExecutionProps::new(), PhysicalPlanningContext::default());
            let plain = create_physical_expr(&expr, &of, &props, &planning).unwrap();
            let replaced = replaced::<Choice>(Arc::clone(&plain), &schema).unwrap();
            assert_eq!(replaced.downcast_ref::<Instead<Choice>>().is_some(), chooses, "{expr}");
            assert_eq!(replaced.to_string(), plain.to_string());
            let [is, should] = [replaced, plain].map(|expr| expr.evaluate(&batch).unwrap().into_array(4).unwrap());
            assert_eq!(&is, &should, "{expr}");
        }
    }
}
