//! Numbers without their digits behind the point: `CEIL`, `FLOOR`, `TRUNCATE`, and `SIGN`, of whole numbers and decimals in
//! their own types, where DataFusion makes doubles of them; `ROUND` of floating point to any number of digits.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, FieldRef, Float32Type, Float64Type, Int64Type};
use datafusion::common::{DataFusionError, Result};
use datafusion::functions::math::round;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use super::support::{Args, function, is_whole};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function("ceil", &[], "CEIL(number)", whole_types, |args| whole(args, f64::ceil, up)),
        function("floor", &[], "FLOOR(number)", whole_types, |args| whole(args, f64::floor, i128::div_euclid)),
        function("trunc", &[], "TRUNCATE(number [, digits])", cut_types, cut),
        function("signum", &[], "SIGN(number)", sign_types, sign),
        Arc::new(ScalarUDF::new_from_impl(Round { inner: round() })),
    ]
}

/// The type that a number of this type is taken as; `None` where it is none.
fn number(given: &DataType) -> Option<DataType> {
    match given {
        DataType::Decimal128(..) | DataType::Float32 => Some(given.clone()),
        of if of.is_signed_integer() => Some(given.clone()),
        of if of.is_numeric() || of.is_null() => Some(DataType::Float64),
        _ => None,
    }
}

fn whole_types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    let [given] = types else { return None };
    let taken = number(given)?;
    let returns = match &taken {
        DataType::Decimal128(precision, 1..) => DataType::Decimal128(*precision, 0),
        other => other.clone(),
    };
    Some((returns, vec![taken]))
}

fn up(value: i128, unit: i128) -> i128 {
    let floor = value.div_euclid(unit);
    if value.rem_euclid(unit) == 0 { floor } else { floor + 1 }
}

fn power(digits: u32) -> Result<i128> {
    10_i128.checked_pow(digits).ok_or_else(|| DataFusionError::Internal("a decimal of too many digits".into()))
}

fn whole(args: &Args, of_float: fn(f64) -> f64, of_decimal: fn(i128, i128) -> i128) -> Result<ArrayRef> {
    let column = args.column(0)?;
    Ok(match column.data_type() {
        DataType::Float64 => Arc::new(column.as_primitive::<Float64Type>().unary::<_, Float64Type>(of_float)),
        DataType::Float32 => {
            let doubles = cast(&column, &DataType::Float64)?;
            cast(&doubles.as_primitive::<Float64Type>().unary::<_, Float64Type>(of_float), &args.returns)?
        }
        DataType::Decimal128(_, scale @ 1..) => {
            let unit = power(u32::from(scale.unsigned_abs()))?;
            let values = column.as_primitive::<Decimal128Type>();
            let made = values.unary::<_, Decimal128Type>(|value| of_decimal(value, unit));
            Arc::new(made.with_data_type(args.returns.clone()))
        }
        _ => column,
    })
}

fn cut_types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    match types {
        [given] => number(given).map(|taken| (taken.clone(), vec![taken])),
        [given, digits] if is_whole(digits) => number(given).map(|taken| (taken.clone(), vec![taken, DataType::Int32])),
        _ => None,
    }
}

/// A function of each value and its number of digits, none where they are not given.
fn by_digits<T: arrow::datatypes::ArrowPrimitiveType>(
    values: &ArrayRef,
    digits: Option<&Int32Array>,
    of: impl Fn(T::Native, i32) -> T::Native,
) -> Result<PrimitiveArray<T>> {
    let values = values.as_primitive::<T>();
    let made = match digits {
        None => values.unary(|value| of(value, 0)),
        Some(digits) => arrow::compute::binary(values, digits, of)?,
    };
    Ok(made.with_data_type(values.data_type().clone()))
}

/// Digits cut off.
fn cut(args: &Args) -> Result<ArrayRef> {
    let column = args.column(0)?;
    let digits = if args.len() > 1 { Some(args.column(1)?.as_primitive().clone()) } else { None };
    let digits = digits.as_ref();
    Ok(match column.data_type() {
        DataType::Float64 => {
            Arc::new(by_digits::<Float64Type>(&column, digits, |value, digits| scaled(value, digits, true))?)
        }
        DataType::Float32 => {
            #[expect(clippy::cast_possible_truncation, reason = "it has no more digits than it had")]
            let of = |value: f32, digits: i32| scaled(f64::from(value), digits, true) as f32;
            Arc::new(by_digits::<Float32Type>(&column, digits, of)?)
        }
        DataType::Decimal128(_, scale) => {
            let scale = i32::from(*scale);
            Arc::new(by_digits::<Decimal128Type>(&column, digits, |value, digits| {
                cut_whole(value, scale.saturating_sub(digits))
            })?)
        }
        _ => {
            let wide = cast(&column, &DataType::Int64)?;
            #[expect(clippy::cast_possible_truncation, reason = "it is nearer to zero than it was")]
            let of = |value: i64, digits: i32| cut_whole(i128::from(value), digits.saturating_neg()) as i64;
            cast(&by_digits::<Int64Type>(&wide, digits, of)?, &args.returns)?
        }
    })
}

/// A whole number whose last digits are zeros.
fn cut_whole(value: i128, zeros: i32) -> i128 {
    match (u32::try_from(zeros), u32::try_from(zeros).ok().and_then(|zeros| 10_i128.checked_pow(zeros))) {
        (Err(_), _) => value,
        (Ok(_), Some(unit)) => value - value % unit,
        (Ok(_), None) => 0,
    }
}

/// A number with so many digits behind the point, or zeros before it where they are negative: rounded half away from zero
/// as its shortest decimal text would be, so that 1.005 is 1.01, or cut.
fn scaled(value: f64, digits: i32, cuts: bool) -> f64 {
    let factor = 10_f64.powi(digits.saturating_abs());
    let up = |number: f64| if digits < 0 { number * factor } else { number / factor };
    let shifted = if digits < 0 { value.abs() / factor } else { value.abs() * factor };
    if !value.is_finite() || (digits >= 0 && !shifted.is_finite()) {
        return value;
    }
    if !factor.is_finite() {
        return 0.0;
    }
    let (near, below) = (shifted.round(), shifted.floor());
    let whole = if up(near).total_cmp(&value.abs()).is_eq() {
        // It has no more digits than these, whatever the multiplication has made of it.
        near
    } else if !cuts && value.abs() >= up(below + 0.5) {
        below + 1.0
    } else {
        below
    };
    // Nothing has no sign.
    up(whole).copysign(value) + 0.0
}

fn sign_types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    let [given] = types else { return None };
    let taken = number(given)?;
    let returns = match &taken {
        // There must be a digit before the point.
        DataType::Decimal128(precision, scale) => {
            let scale = (*scale).clamp(0, 37);
            DataType::Decimal128((*precision).max(scale.unsigned_abs() + 1), scale)
        }
        other => other.clone(),
    };
    Some((returns, vec![taken]))
}

/// −1, 0 or 1.
fn sign(args: &Args) -> Result<ArrayRef> {
    let column = args.column(0)?;
    let of = |value: f64| if value == 0.0 || value.is_nan() { value } else { value.signum() };
    Ok(match (column.data_type(), &args.returns) {
        (DataType::Float64 | DataType::Float32, _) => {
            let doubles = cast(&column, &DataType::Float64)?;
            cast(&doubles.as_primitive::<Float64Type>().unary::<_, Float64Type>(of), &args.returns)?
        }
        (DataType::Decimal128(..), DataType::Decimal128(_, scale)) => {
            let one = power(u32::from(scale.unsigned_abs()))?;
            let values = column.as_primitive::<Decimal128Type>();
            let made = values.unary::<_, Decimal128Type>(|value| value.signum() * one);
            Arc::new(made.with_data_type(args.returns.clone()))
        }
        _ => {
            let wide = cast(&column, &DataType::Int64)?;
            cast(&wide.as_primitive::<Int64Type>().unary::<_, Int64Type>(i64::signum), &args.returns)?
        }
    })
}

/// DataFusion's `round`, but for floating point with a number of digits, of which it makes `NaN` where they are many.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Round {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for Round {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value, digits] = args.args.as_slice() else { return self.inner.invoke_with_args(args) };
        if !value.data_type().is_floating() || digits.data_type() != DataType::Int32 {
            return self.inner.invoke_with_args(args);
        }
        let column = cast(&value.to_array(args.number_rows)?, &DataType::Float64)?;
        let digits = digits.to_array(args.number_rows)?;
        let rounded = by_digits::<Float64Type>(&column, Some(digits.as_primitive()), |value, digits| {
            scaled(value, digits, false)
        })?;
        Ok(ColumnarValue::Array(cast(&rounded, args.return_field.data_type())?))
    }
}
