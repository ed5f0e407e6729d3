//! `COLLECT` of no rows: a multiset without elements, where `ARRAY_AGG` gives null.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::filter;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;

use super::support::{Args, function};

/// What the list of a group's values is given to. Users call the aggregate of that name.
pub(crate) const COLLECT: &str = "collect";

pub(super) fn collect() -> Arc<ScalarUDF> {
    let list = |types: &[DataType]| match types {
        [list @ DataType::List(_)] => Some((list.clone(), vec![list.clone()])),
        _ => None,
    };
    function(COLLECT, &[], "COLLECT(value)", list, empty_for_null)
}

fn empty_for_null(args: &Args) -> Result<ArrayRef> {
    let column = args.column(0)?;
    let lists = column.as_list::<i32>();
    let (DataType::List(field), Some(_)) = (lists.data_type(), lists.nulls().filter(|nulls| nulls.null_count() > 0))
    else {
        return Ok(column);
    };
    // A null may have elements that nobody sees.
    let mut kept = arrow::array::BooleanBuilder::with_capacity(lists.values().len());
    let mut lengths = Vec::with_capacity(lists.len());
    let mut at = 0;
    for (row, ends) in lists.offsets().windows(2).enumerate() {
        let [start, end] = [ends[0], ends[1]].map(|end| usize::try_from(end).unwrap_or_default());
        kept.append_n(start - at, false);
        kept.append_n(end - start, lists.is_valid(row));
        lengths.push(if lists.is_valid(row) { end - start } else { 0 });
        at = end;
    }
    kept.append_n(lists.values().len() - at, false);
    let values = filter(lists.values(), &kept.finish())?;
    Ok(Arc::new(ListArray::try_new(Arc::clone(field), OffsetBuffer::from_lengths(lengths), values, None)?))
}
