//! Arithmetic of decimals whose results Arrow gives another scale than Flink: quotients, and what would have more than 38
//! digits.
//!
//! Results are rounded half away from zero, as Java's `HALF_UP`. Types: Flink's `LogicalTypeMerging`.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Decimal128Builder};
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, DecimalType, i256};
use arrow::error::ArrowError;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{Operator, ScalarUDF};

use super::support::{Args, Types, function};

/// Digits and scale of a decimal.
pub(crate) type Decimal = (u8, i8);

/// The least scale that is kept where a result has too many digits, as in Flink.
const SCALE_KEPT: i32 = 6;
const DIGITS: i32 = DECIMAL128_MAX_PRECISION as i32;

static DIVIDE: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| made("/", |types| typed(Operator::Divide, types), divide));
static PLUS: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| made("+", |types| typed(Operator::Plus, types), |args| wide(args, sum)));
static MINUS: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    made(
        "-",
        |types| typed(Operator::Minus, types),
        |args| wide(args, |left, right| sum(left, (negated(right.0)?, right.1))),
    )
});
static TIMES: LazyLock<Arc<ScalarUDF>> =
    LazyLock::new(|| made("*", |types| typed(Operator::Multiply, types), |args| wide(args, product)));

fn made(name: &'static str, types: Types, kernel: super::support::Kernel) -> Arc<ScalarUDF> {
    function(name, &[], "decimal arithmetic", types, kernel)
}

/// The function that computes an operator of two decimals; `None` where Arrow's own gives what Flink does.
pub(crate) fn decimal_operator(operator: Operator, left: Decimal, right: Decimal) -> Option<Arc<ScalarUDF>> {
    let digits = |(precision, _): (i32, i32)| precision > DIGITS;
    match operator {
        Operator::Divide => Some(Arc::clone(&DIVIDE)),
        Operator::Plus if digits(exact(operator, left, right)?) => Some(Arc::clone(&PLUS)),
        Operator::Minus if digits(exact(operator, left, right)?) => Some(Arc::clone(&MINUS)),
        Operator::Multiply if digits(exact(operator, left, right)?) => Some(Arc::clone(&TIMES)),
        _ => None,
    }
}

/// Digits and scale that hold every result; of a quotient, those that Flink gives it.
fn exact(operator: Operator, left: Decimal, right: Decimal) -> Option<(i32, i32)> {
    let ((p1, s1), (p2, s2)) = ((i32::from(left.0), i32::from(left.1)), (i32::from(right.0), i32::from(right.1)));
    match operator {
        Operator::Plus | Operator::Minus => {
            let scale = s1.max(s2);
            Some(((p1 - s1).max(p2 - s2) + scale + 1, scale))
        }
        Operator::Multiply => Some((p1 + p2 + 1, s1 + s2)),
        Operator::Divide => {
            let scale = SCALE_KEPT.max(s1 + p2 + 1);
            Some((p1 - s1 + s2 + scale, scale))
        }
        _ => None,
    }
}

/// The type of a result: where it has too many digits, those behind the point go first, but for six.
fn result(operator: Operator, left: Decimal, right: Decimal) -> Option<Decimal> {
    let (precision, scale) = exact(operator, left, right)?;
    let (precision, scale) = if precision <= DIGITS {
        (precision, scale)
    } else {
        (DIGITS, (DIGITS - (precision - scale)).max(scale.min(SCALE_KEPT)))
    };
    Some((u8::try_from(precision).ok()?, i8::try_from(scale).ok()?))
}

fn typed(operator: Operator, types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    match types {
        [DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2)] => {
            let (precision, scale) = result(operator, (*p1, *s1), (*p2, *s2))?;
            Some((DataType::Decimal128(precision, scale), types.to_vec()))
        }
        _ => None,
    }
}

/// Computes row by row; `None` is an overflow.
fn rows(
    args: &Args,
    mut compute: impl FnMut((i128, i32), (i128, i32), i32) -> Result<Option<i128>>,
) -> Result<ArrayRef> {
    let DataType::Decimal128(precision, scale) = args.returns else { return Err(no_decimal()) };
    let (left, right) = (args.column(0)?, args.column(1)?);
    let column = |array: &ArrayRef| array.as_primitive_opt::<Decimal128Type>().cloned().ok_or_else(no_decimal);
    let (left, right): (Decimal128Array, Decimal128Array) = (column(&left)?, column(&right)?);
    let scales = (i32::from(left.scale()), i32::from(right.scale()));
    let mut made = Decimal128Builder::with_capacity(args.rows);
    for row in 0..left.len() {
        if left.is_null(row) || right.is_null(row) {
            made.append_null();
            continue;
        }
        let value = compute((left.value(row), scales.0), (right.value(row), scales.1), i32::from(scale))?;
        match value.filter(|value| Decimal128Type::is_valid_decimal_precision(*value, precision)) {
            Some(value) => made.append_value(value),
            None => return Err(DataFusionError::Execution("numeric out of range".to_owned())),
        }
    }
    Ok(Arc::new(made.finish().with_precision_and_scale(precision, scale)?))
}

fn no_decimal() -> DataFusionError {
    DataFusionError::Internal("arithmetic of decimals on something else".to_owned())
}

fn divide(args: &Args) -> Result<ArrayRef> {
    rows(args, |(left, s1), (right, s2), scale| {
        if right == 0 {
            return Err(DataFusionError::from(ArrowError::DivideByZero));
        }
        // left / 10^s1 / (right / 10^s2), with `scale` digits behind the point.
        let shift = scale + s2 - s1;
        if let (Some(numerator), Some(denominator)) = (shifted(left, shift.max(0)), shifted(right, (-shift).max(0))) {
            return Ok(rounded(numerator, denominator));
        }
        let (left, right) = (i256::from_i128(left), i256::from_i128(right));
        let (numerator, denominator) = (power(left, shift.max(0)), power(right, (-shift).max(0)));
        Ok(numerator.zip(denominator).and_then(|(numerator, denominator)| rounded_wide(numerator, denominator)))
    })
}

/// A value of a sum or product, and its scale.
type Exact = (i256, i32);

fn wide(args: &Args, compute: fn(Exact, Exact) -> Option<Exact>) -> Result<ArrayRef> {
    rows(args, |(left, s1), (right, s2), scale| {
        let exact = compute((i256::from_i128(left), s1), (i256::from_i128(right), s2));
        Ok(exact.and_then(|(value, exact)| rounded_wide(value, power(i256::ONE, exact - scale)?)))
    })
}

fn negated(value: i256) -> Option<i256> {
    value.checked_neg()
}

fn sum((left, s1): Exact, (right, s2): Exact) -> Option<Exact> {
    let scale = s1.max(s2);
    Some((power(left, scale - s1)?.checked_add(power(right, scale - s2)?)?, scale))
}

fn product((left, s1): Exact, (right, s2): Exact) -> Option<Exact> {
    Some((left.checked_mul(right)?, s1 + s2))
}

fn shifted(value: i128, digits: i32) -> Option<i128> {
    10_i128.checked_pow(u32::try_from(digits).ok()?)?.checked_mul(value)
}

fn power(value: i256, digits: i32) -> Option<i256> {
    i256::from_i128(10).checked_pow(u32::try_from(digits).ok()?)?.checked_mul(value)
}

fn rounded(numerator: i128, denominator: i128) -> Option<i128> {
    let quotient = numerator.checked_div(denominator)?;
    let rest = numerator.checked_rem(denominator)?;
    if rest.unsigned_abs() < denominator.unsigned_abs() - rest.unsigned_abs() {
        return Some(quotient);
    }
    quotient.checked_add(if (numerator < 0) == (denominator < 0) { 1 } else { -1 })
}

fn rounded_wide(numerator: i256, denominator: i256) -> Option<i128> {
    let quotient = numerator.checked_div(denominator)?;
    let rest = numerator.checked_rem(denominator)?.wrapping_abs();
    let up = rest >= denominator.wrapping_abs().checked_sub(rest)?;
    let same = (numerator < i256::ZERO) == (denominator < i256::ZERO);
    let step = if same { i256::ONE } else { i256::MINUS_ONE };
    let value = if up { quotient.checked_add(step)? } else { quotient };
    value.to_i128()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_have_flinks_types() {
        let of = |operator, left, right| result(operator, left, right);
        assert_eq!(of(Operator::Divide, (10, 2), (10, 2)), Some((23, 13)));
        assert_eq!(of(Operator::Divide, (38, 10), (38, 10)), Some((38, 6)));
        assert_eq!(of(Operator::Divide, (5, 2), (10, 0)), Some((16, 13)));
        assert_eq!(of(Operator::Divide, (1, 0), (1, 0)), Some((7, 6)));
        assert_eq!(of(Operator::Multiply, (30, 10), (30, 10)), Some((38, 6)));
        assert_eq!(of(Operator::Multiply, (20, 18), (20, 18)), Some((38, 33)));
        assert_eq!(of(Operator::Plus, (38, 10), (38, 4)), Some((38, 6)));
        assert_eq!(of(Operator::Plus, (10, 2), (12, 4)), Some((13, 4)));
        assert!(decimal_operator(Operator::Plus, (10, 2), (12, 4)).is_none());
    }

    #[test]
    fn quotients_are_rounded_away_from_zero() {
        for (numerator, denominator, wanted) in [(5, 2, 3), (-5, 2, -3), (5, -2, -3), (4, 3, 1), (-4, 3, -1), (1, 3, 0)]
        {
            assert_eq!(rounded(numerator, denominator), Some(wanted), "{numerator} / {denominator}");
            let (numerator, denominator) = (i256::from_i128(numerator), i256::from_i128(denominator));
            assert_eq!(rounded_wide(numerator, denominator), Some(wanted));
        }
        assert_eq!(rounded(i128::MIN, -1), None);
    }
}
