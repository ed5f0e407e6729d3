//! A floating-point number as what it is grouped and joined by. It has no name that a user can call.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::ScalarUDF;

use super::support::{Args, Types, function};

/// What the function is called.
pub(crate) const FLOAT_KEY: &str = "float_key";

/// The same number with one zero and one `NaN`: 0.0 for −0.0, and the one `NaN` for all its bit patterns.
pub(crate) fn float_key() -> Arc<ScalarUDF> {
    let types: Types = |types| match types {
        [number @ (DataType::Float32 | DataType::Float64)] => Some((number.clone(), types.to_vec())),
        _ => None,
    };
    function(FLOAT_KEY, &[], "float_key(number)", types, normalised)
}

fn normalised(args: &Args) -> Result<ArrayRef> {
    let column = args.column(0)?;
    // Adding zero makes the negative one positive.
    match column.data_type() {
        DataType::Float32 => {
            let key = |value: f32| if value.is_nan() { f32::NAN } else { value + 0.0 };
            Ok(Arc::new(column.as_primitive::<Float32Type>().unary::<_, Float32Type>(key)))
        }
        DataType::Float64 => {
            let key = |value: f64| if value.is_nan() { f64::NAN } else { value + 0.0 };
            Ok(Arc::new(column.as_primitive::<Float64Type>().unary::<_, Float64Type>(key)))
        }
        other => Err(DataFusionError::Internal(format!("a key of type {other}"))),
    }
}
