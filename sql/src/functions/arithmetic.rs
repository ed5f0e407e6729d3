//! Arithmetic that fails as PostgreSQL's does: of whole numbers on overflow, of floating point on a division by zero; narrowing
//! that wraps as Flink's does.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Datum, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::compute::kernels::numeric;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, Operator, ScalarUDF};

use super::support::{Args, Types, function};

type Checked = fn(&dyn Datum, &dyn Datum) -> Result<ArrayRef, ArrowError>;

static ADD: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| function("+", &[], "a + b", whole, |args| compute(args, numeric::add)));
static SUBTRACT: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| function("-", &[], "a - b", whole, |args| compute(args, numeric::sub)));
static MULTIPLY: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| function("*", &[], "a * b", whole, |args| compute(args, numeric::mul)));
static DIVIDE: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| function("/", &[], "a / b", floating, |args| divide(args, numeric::div)));
static REMAINDER: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| function("%", &[], "a % b", floating, |args| divide(args, numeric::rem)));

/// `MOD`, which the binder replaces by the operator `%`; this is what it is called by until then.
pub(super) fn modulo() -> Arc<ScalarUDF> {
    let types: Types = |types| match types {
        [left, right] if left.is_numeric() && right.is_numeric() => Some((left.clone(), types.to_vec())),
        _ => None,
    };
    function("mod", &[], "mod(a, b)", types, |args| Ok(numeric::rem(&args.column(0)?, &args.column(1)?)?))
}

/// The operator over two values of this type as a function that fails where PostgreSQL's does; `None` where the operator itself
/// does.
pub(crate) fn checked(operator: Operator, of: &DataType) -> Option<Arc<ScalarUDF>> {
    let function = match operator {
        Operator::Plus if of.is_integer() => &ADD,
        Operator::Minus if of.is_integer() => &SUBTRACT,
        Operator::Multiply if of.is_integer() => &MULTIPLY,
        Operator::Divide if is_floating(of) => &DIVIDE,
        Operator::Modulo if is_floating(of) => &REMAINDER,
        _ => return None,
    };
    Some(Arc::clone(function))
}

fn is_floating(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64)
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

static NEGATED: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| function("wrapping_neg", &[], "-a", signed, negated));
static ABSOLUTE: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| function("wrapping_abs", &[], "ABS(a)", signed, absolute));
static QUOTIENT: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| function("wrapping_div", &[], "a / b", whole, quotient));

/// A whole number negated; the least stays as it is.
pub(crate) fn wrapping_neg(expr: Expr) -> Expr {
    NEGATED.call(vec![expr])
}

/// The absolute value of a whole number; the least stays as it is.
pub(crate) fn wrapping_abs(args: Vec<Expr>) -> Expr {
    ABSOLUTE.call(args)
}

/// The quotient of two whole numbers of one type; that of the least and −1 is the least.
pub(crate) fn wrapping_div(left: Expr, right: Expr) -> Expr {
    QUOTIENT.call(vec![left, right])
}

fn signed(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    match types {
        [of] if of.is_signed_integer() => Some((of.clone(), types.to_vec())),
        _ => None,
    }
}

/// Applies a function of wide numbers, and keeps the low bits.
fn widely(args: &Args, of: fn(i64) -> i64) -> Result<ArrayRef> {
    let wide = cast_with_options(&args.column(0)?, &DataType::Int64, &CastOptions::default())?;
    narrowed(&(Arc::new(wide.as_primitive::<Int64Type>().unary::<_, Int64Type>(of)) as ArrayRef), &args.returns)
}

fn negated(args: &Args) -> Result<ArrayRef> {
    widely(args, i64::wrapping_neg)
}

fn absolute(args: &Args) -> Result<ArrayRef> {
    widely(args, i64::wrapping_abs)
}

fn quotient(args: &Args) -> Result<ArrayRef> {
    let wide = |index| -> Result<ArrayRef> {
        Ok(cast_with_options(&args.column(index)?, &DataType::Int64, &CastOptions::default())?)
    };
    let (left, right) = (wide(0)?, wide(1)?);
    let divided: Int64Array = arrow::compute::try_binary(
        left.as_primitive::<Int64Type>(),
        right.as_primitive::<Int64Type>(),
        |left: i64, right: i64| if right == 0 { Err(ArrowError::DivideByZero) } else { Ok(left.wrapping_div(right)) },
    )?;
    narrowed(&(Arc::new(divided) as ArrayRef), &args.returns)
}

/// The type of an operator over two values of one type, which `is` takes.
fn alike(types: &[DataType], is: fn(&DataType) -> bool) -> Option<(DataType, Vec<DataType>)> {
    match types {
        [left, right] if left == right && is(left) => Some((left.clone(), types.to_vec())),
        _ => None,
    }
}

fn whole(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    alike(types, DataType::is_integer)
}

fn floating(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    alike(types, is_floating)
}

fn divide(args: &Args, kernel: Checked) -> Result<ArrayRef> {
    let (dividend, divisor) = (args.column(0)?, args.column(1)?);
    let nulls = NullBuffer::union(dividend.nulls(), divisor.nulls());
    let by_zero = match divisor.data_type() {
        DataType::Float32 => has_zero::<Float32Type>(&divisor, nulls.as_ref()),
        _ => has_zero::<Float64Type>(&divisor, nulls.as_ref()),
    };
    if by_zero {
        return Err(ArrowError::DivideByZero.into());
    }
    Ok(kernel(&dividend, &divisor)?)
}

/// Whether a value where there are no nulls is zero.
fn has_zero<T: ArrowPrimitiveType>(array: &ArrayRef, nulls: Option<&NullBuffer>) -> bool {
    let (values, zero) = (array.as_primitive::<T>().values(), T::Native::default());
    let mut rows = values.iter().enumerate().filter(|(_, value)| **value == zero).map(|(row, _)| row);
    rows.any(|row| nulls.is_none_or(|nulls| nulls.is_valid(row)))
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
    narrowed(&args.column(0)?, &args.returns)
}

/// The low bits of wide numbers.
fn narrowed(column: &ArrayRef, returns: &DataType) -> Result<ArrayRef> {
    let values = column.as_primitive::<Int64Type>();
    #[expect(clippy::cast_possible_truncation, reason = "keeping the low bits is what it is for")]
    let wrapped: ArrayRef = match returns {
        DataType::Int8 => Arc::new(values.unary::<_, Int8Type>(|value| value as i8)),
        DataType::Int16 => Arc::new(values.unary::<_, Int16Type>(|value| value as i16)),
        DataType::Int32 => Arc::new(values.unary::<_, Int32Type>(|value| value as i32)),
        _ => cast_with_options(column, returns, &CastOptions::default())?,
    };
    Ok(wrapped)
}
