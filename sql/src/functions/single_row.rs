//! The value of a subquery of at most one row. It has no name that a user can call.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::ScalarUDF;

use super::support::{Args, Types, function};

/// What is told where there are several rows; PostgreSQL's words.
pub(crate) const SEVERAL_ROWS: &str = "more than one row returned by a subquery used as an expression";

/// The only value of a list; null of an empty or null one. Further arguments are not looked at.
pub(crate) fn single_row() -> Arc<ScalarUDF> {
    let types: Types = |types| match types {
        [list @ DataType::List(value), ..] => {
            let rest = types.iter().skip(1).cloned();
            Some((value.data_type().clone(), std::iter::once(list.clone()).chain(rest).collect()))
        }
        _ => None,
    };
    function("single_row", &[], "single_row(list)", types, only_value)
}

fn only_value(args: &Args) -> Result<ArrayRef> {
    let lists = args.column(0)?;
    let lists = lists.as_list::<i32>();
    let mut places = Vec::with_capacity(lists.len());
    for (row, ends) in lists.offsets().windows(2).enumerate() {
        let &[start, end] = ends else { continue };
        places.push(match end - start {
            _ if lists.is_null(row) => None,
            0 => None,
            1 => u32::try_from(start).ok(),
            _ => return Err(DataFusionError::Execution(SEVERAL_ROWS.to_owned())),
        });
    }
    Ok(take(lists.values(), &UInt32Array::from(places), None)?)
}
