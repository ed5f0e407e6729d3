//! Products of a decimal column and a constant whose types leave no room for an overflow.
//!
//! Arrow multiplies decimals with a check on each row, and makes decimals of whole numbers with another. Where the digits of both
//! factors together fit a decimal nothing can overflow, and a row costs one multiplication.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Decimal128Array, RecordBatch};
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, Int64Type, Schema};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, CastExpr, Literal};

use super::instead::Kernel;

/// See the module.
#[derive(Debug)]
pub(super) struct ExactProduct {
    /// The unscaled value of the constant.
    constant: i128,
    column: Arc<dyn PhysicalExpr>,
    precision: u8,
    scale: i8,
}

impl Kernel for ExactProduct {
    fn of(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Option<Self>> {
        let Some(product) = expr.downcast_ref::<BinaryExpr>().filter(|binary| *binary.op() == Operator::Multiply)
        else {
            return Ok(None);
        };
        let factors = [product.left(), product.right()];
        let [left, right, result] =
            [factors[0].data_type(schema)?, factors[1].data_type(schema)?, expr.data_type(schema)?];
        let (DataType::Decimal128(left, _), DataType::Decimal128(right, _), DataType::Decimal128(precision, scale)) =
            (left, right, result)
        else {
            return Ok(None);
        };
        let (constant, column) = match (constant(factors[0]), constant(factors[1])) {
            (Some(constant), None) => (constant, factors[1]),
            (None, Some(constant)) => (constant, factors[0]),
            (Some(_), Some(_)) | (None, None) => return Ok(None),
        };
        let fits = left + right <= DECIMAL128_MAX_PRECISION.min(precision);
        Ok(fits.then(|| Self { constant, column: Arc::clone(column), precision, scale }))
    }

    fn compute(&self, batch: &RecordBatch) -> Result<Option<ColumnarValue>> {
        if let Some(product) = self.times_whole(batch)? {
            return Ok(Some(product));
        }
        let factor = self.column.evaluate(batch)?.into_array(batch.num_rows())?;
        let values = factor.as_primitive_opt::<Decimal128Type>();
        values.map(|values| self.times(values.values().iter().copied(), &factor)).transpose()
    }
}

impl ExactProduct {
    fn times(&self, values: impl Iterator<Item = i128>, array: &dyn Array) -> Result<ColumnarValue> {
        // A null's value may be anything.
        let values = values.map(|value| value.wrapping_mul(self.constant)).collect();
        let product = Decimal128Array::try_new(values, array.nulls().cloned())?;
        let product = product.with_precision_and_scale(self.precision, self.scale)?;
        Ok(ColumnarValue::Array(Arc::new(product)))
    }

    /// The product of whole numbers that the column casts, where they have no more digits than the decimal.
    fn times_whole(&self, batch: &RecordBatch) -> Result<Option<ColumnarValue>> {
        let Some(cast) = self.column.downcast_ref::<CastExpr>() else { return Ok(None) };
        let &DataType::Decimal128(precision, 0) = cast.cast_type() else { return Ok(None) };
        let Some(digits) = digits(&cast.expr().data_type(&batch.schema())?) else { return Ok(None) };
        if digits > precision {
            return Ok(None);
        }
        let whole =
            arrow::compute::cast(&cast.expr().evaluate(batch)?.into_array(batch.num_rows())?, &DataType::Int64)?;
        let values = whole.as_primitive::<Int64Type>().values().iter();
        self.times(values.map(|&value| value.into()), &whole).map(Some)
    }
}

/// The most digits of a type of whole numbers.
fn digits(data_type: &DataType) -> Option<u8> {
    match data_type {
        DataType::Int8 => Some(3),
        DataType::Int16 => Some(5),
        DataType::Int32 => Some(10),
        DataType::Int64 => Some(19),
        _ => None,
    }
}

fn constant(expr: &Arc<dyn PhysicalExpr>) -> Option<i128> {
    match expr.downcast_ref::<Literal>()?.value() {
        ScalarValue::Decimal128(value, _, _) => *value,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use arrow::array::{ArrayRef, Int32Array, Int64Array};
    use arrow::datatypes::Field;
    use datafusion::common::DFSchema;
    use datafusion::logical_expr::execution_props::ExecutionProps;
    use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
    use datafusion::physical_expr::create_physical_expr;
    use datafusion::prelude::{Expr, cast, col, lit};

    use super::super::instead::{Instead, replaced};
    use super::*;

    #[test]
    fn products_are_those_of_datafusion() {
        let decimals = [Some(99_999), None, Some(-1), Some(0)].into_iter().collect::<Decimal128Array>();
        let columns: [(&str, ArrayRef); 3] = [
            ("n", Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(-1), Some(i64::MAX)]))),
            ("i", Arc::new(Int32Array::from(vec![i32::MIN, 0, 1, i32::MAX]))),
            ("d", Arc::new(decimals.with_precision_and_scale(5, 2).unwrap())),
        ];
        let fields: Vec<Field> =
            columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
        let schema = Arc::new(Schema::new(fields));
        let batch =
            RecordBatch::try_new(Arc::clone(&schema), columns.iter().map(|(_, array)| Arc::clone(array)).collect());
        let batch = batch.unwrap();
        let constant = |value, precision, scale| lit(ScalarValue::Decimal128(Some(value), precision, scale));
        let decimal = |name: &str, precision| cast(col(name), DataType::Decimal128(precision, 0));
        let cases: [(Expr, bool); 7] = [
            (constant(908, 3, 3) * decimal("n", 20), true),
            (decimal("n", 19) * constant(-908, 3, 3), true),
            (decimal("i", 10) * constant(7, 1, 0), true),
            (col("d") * constant(15, 2, 1), true),
            // Too many digits for anything to be sure, no constant, nothing but constants.
            (decimal("n", 20) * constant(1, 19, 0), false),
            (col("d") * col("d"), false),
            (constant(2, 1, 0) * constant(3, 1, 0), false),
        ];
        for (expr, exact) in cases {
            let of = DFSchema::try_from(Arc::clone(&schema)).unwrap();
            let (props, planning) = (ExecutionProps::new(), PhysicalPlanningContext::default());
            let plain = create_physical_expr(&expr, &of, &props, &planning).unwrap();
            let replaced = replaced::<ExactProduct>(Arc::clone(&plain), &schema).unwrap();
            assert_eq!(replaced.downcast_ref::<Instead<ExactProduct>>().is_some(), exact, "{expr}");
            assert_eq!(replaced.data_type(&schema).unwrap(), plain.data_type(&schema).unwrap());
            assert_eq!(replaced.to_string(), plain.to_string());
            let [is, should] = [replaced, plain].map(|expr| expr.evaluate(&batch).unwrap().into_array(4).unwrap());
            assert_eq!(&is, &should, "{expr}");
        }
    }

    #[test]
    fn products_within_other_expressions_are_found() {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let product = lit(ScalarValue::Decimal128(Some(908), 3, 3)) * cast(col("n"), DataType::Decimal128(20, 0));
        let of = DFSchema::try_from(Arc::clone(&schema)).unwrap();
        let (props, planning) = (ExecutionProps::new(), PhysicalPlanningContext::default());
        let plain = create_physical_expr(&product.is_null(), &of, &props, &planning).unwrap();
        let replaced = replaced::<ExactProduct>(plain, &schema).unwrap();
        assert!(replaced.children()[0].downcast_ref::<Instead<ExactProduct>>().is_some());
        let batch = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![None, Some(1)]))]).unwrap();
        let nulls = replaced.evaluate(&batch).unwrap().into_array(2).unwrap();
        assert_eq!(nulls.as_boolean().iter().flatten().collect::<Vec<_>>(), [true, false]);
    }
}
