//! Whole-number arithmetic that fails on overflow as PostgreSQL's does, narrowing that wraps as Flink's does.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray, Datum};
use arrow::compute::kernels::numeric;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Int8Type, Int16Type, Int32Type, Int64Type};
use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, Operator, ScalarUDF};

use super::support::{Args, Types, function};

type Checked = fn(&dyn Datum, &dyn Datum) -> Result<ArrayRef, ArrowError>;

static ADD: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| function("+", &[], "a + b", same, |args| compute(args, numeric::add)));
static SUBTRACT: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| function("-", &[], "a - b", same, |args| compute(args, numeric::sub)));
static MULTIPLY: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| function("*", &[], "a * b", same, |args| compute(args, numeric::mul)));

/// `MOD`, which the binder replaces by the operator `%`; this is what it is called by until then.
pub(super) fn modulo() -> Arc<ScalarUDF> {
    let types: Types = |types| match types {
        [left, right] if left.is_numeric() && right.is_numeric() => Some((left.clone(), types.to_vec())),
        _ => None,
    };
    function("mod", &[], "mod(a, b)", types, |args| Ok(numeric::rem(&args.column(0)?, &args.column(1)?)?))
}

/// The operator as a function that fails on overflow; `None` where it is no operator that can overflow.
pub(crate) fn checked(operator: Operator) -> Option<Arc<ScalarUDF>> {
    match operator {
        Operator::Plus => Some(Arc::clone(&ADD)),
        Operator::Minus => Some(Arc::clone(&SUBTRACT)),
        Operator::Multiply => Some(Arc::clone(&MULTIPLY)),
        _ => None,
    }
}

/// The low bits of a whole number as another type.
pub(crate) fn wrapping(expr: Expr, to: &DataType) -> Expr {
    let (name, types): (&'static str, Types) = match to {
        DataType::Int8 => ("wrap_tinyint", |_| Some((DataType::Int8, vec![DataType::Int64]))),
        DataType::Int16 => ("wrap_smallint", |_| Some((DataType::Int16, vec![DataType::Int64]))),
        _ => ("wrap_int", |_| Some((DataType::Int32, vec![DataType::Int64]))),
    };
    function(name, &[], "wrap(bigint)", types, wrap).call(vec![expr])
}

fn same(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    match types {
        [left, right] if left == right && left.is_integer() => Some((left.clone(), types.to_vec())),
        _ => None,
    }
}

fn compute(args: &Args, kernel: Checked) -> Result<ArrayRef> {
    kernel(&args.column(0)?, &args.column(1)?).map_err(|error| match error {
        ArrowError::ArithmeticOverflow(_) => {
            DataFusionError::Execution(format!("{} out of range", type_name(&args.returns)))
        }
        other => DataFusionError::from(other),
    })
}

/// PostgreSQL's name of a whole-number type.
fn type_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Int8 => "tinyint",
        DataType::Int16 => "smallint",
        DataType::Int32 => "integer",
        _ => "bigint",
    }
}

fn wrap(args: &Args) -> Result<ArrayRef> {
    let column = args.column(0)?;
    let values = column.as_primitive::<Int64Type>();
    #[expect(clippy::cast_possible_truncation, reason = "keeping the low bits is what it is for")]
    let wrapped: ArrayRef = match args.returns {
        DataType::Int8 => Arc::new(values.unary::<_, Int8Type>(|value| value as i8)),
        DataType::Int16 => Arc::new(values.unary::<_, Int16Type>(|value| value as i16)),
        DataType::Int32 => Arc::new(values.unary::<_, Int32Type>(|value| value as i32)),
        _ => cast_with_options(&column, &args.returns, &CastOptions::default())?,
    };
    Ok(wrapped)
}
