//! The value of a subquery of at most one row. It has no name that a user can call.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::ScalarUDF;

use super::support::{Args, function};

/// What is told where there are several rows; PostgreSQL's words.
pub(crate) const SEVERAL_ROWS: &str = "more than one row returned by a subquery used as an expression";

/// The only value of a list; null of an empty or null one. Further arguments are not looked at.
pub(crate) fn single_row() -> Arc<ScalarUDF> {
    function("single_row", &[], "single_row(list)", of_list, |args| value(args, true))
}

/// The first value of a list; null of an empty or null one. Further arguments are not looked at.
pub(crate) fn first_row() -> Arc<ScalarUDF> {
    function("first_row", &[], "first_row(list)", of_list, |args| value(args, false))
}

fn of_list(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    match types {
        [DataType::List(value), ..] => Some((value.data_type().clone(), types.to_vec())),
        _ => None,
    }
}

/// `only`: there may be no second value.
fn value(args: &Args, only: bool) -> Result<ArrayRef> {
    let lists = args.column(0)?;
    let lists = lists.as_list::<i32>();
    let mut places = Vec::with_capacity(lists.len());
    for (row, ends) in lists.offsets().windows(2).enumerate() {
        let &[start, end] = ends else { continue };
        if lists.is_null(row) || start == end {
            places.push(None);
        } else if only && end - start > 1 {
            return Err(DataFusionError::Execution(SEVERAL_ROWS.to_owned()));
        } else {
            places.push(u32::try_from(start).ok());
        }
    }
    Ok(take(lists.values(), &UInt32Array::from(places), None)?)
}
