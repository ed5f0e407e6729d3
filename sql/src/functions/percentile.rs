//! `PERCENTILE(value, percentage, frequency)` as a function of the list of a group's rows: the resolver writes it so.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::ScalarUDF;

use super::support::{Args, function};

/// What the resolver calls: a list of rows of a `DOUBLE` and a `BIGINT`, and the percentage.
pub(crate) const WEIGHTED: &str = "array_percentile";

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![function(WEIGHTED, &[], "PERCENTILE(value, percentage, frequency)", types, weighted)]
}

fn types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    match types {
        [DataType::List(item), share] if share.is_numeric() && matches!(item.data_type(), DataType::Struct(_)) => {
            Some((DataType::Float64, vec![DataType::List(Arc::clone(item)), DataType::Float64]))
        }
        _ => None,
    }
}

fn wrong(message: &str) -> DataFusionError {
    DataFusionError::Execution(message.to_owned())
}

fn weighted(args: &Args) -> Result<ArrayRef> {
    let (lists, shares) = (args.column(0)?, args.column(1)?);
    let (lists, shares) = (lists.as_list::<i32>(), shares.as_primitive::<Float64Type>());
    let rows = lists.values().as_struct();
    let [values, counts] = rows.columns() else { return Err(wrong("PERCENTILE of rows without a frequency")) };
    let (values, counts) = (values.as_primitive::<Float64Type>(), counts.as_primitive::<Int64Type>());
    let mut pairs: Vec<(f64, i64)> = Vec::new();
    let mut made = Float64Array::builder(args.rows);
    for (row, ends) in lists.offsets().windows(2).enumerate() {
        let (&[start, end], true) = (ends, lists.is_valid(row) && shares.is_valid(row)) else {
            made.append_null();
            continue;
        };
        let share = shares.value(row);
        if !(0.0..=1.0).contains(&share) {
            return Err(wrong("the percentage of PERCENTILE must be between 0 and 1"));
        }
        pairs.clear();
        let places = usize::try_from(start).unwrap_or(0)..usize::try_from(end).unwrap_or(0);
        let given = places.filter(|at| values.is_valid(*at) && counts.is_valid(*at));
        pairs.extend(given.map(|at| (values.value(at), counts.value(at))));
        if pairs.iter().any(|(_, count)| *count < 0) {
            return Err(wrong("a frequency of PERCENTILE must not be negative"));
        }
        pairs.sort_unstable_by(|(left, _), (right, _)| left.total_cmp(right));
        made.append_option(percentile(&pairs, share));
    }
    Ok(Arc::new(made.finish()))
}

/// The value at a share of the way from the first to the last, each there as often as is said, in between by proportion.
#[expect(clippy::cast_precision_loss, reason = "of more values than a double counts the places are near enough")]
fn percentile(pairs: &[(f64, i64)], share: f64) -> Option<f64> {
    let total = pairs.iter().fold(0_i64, |total, (_, count)| total.saturating_add(*count));
    let last = total.checked_sub(1).filter(|last| *last >= 0)?;
    let place = last as f64 * share;
    let at = |place: f64| {
        let mut before = 0.0;
        pairs.iter().find(|(_, count)| {
            before += *count as f64;
            place < before
        })
    };
    let (below, above) = (at(place.floor())?.0, at(place.ceil())?.0);
    Some(below + (above - below) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn values_count_as_often_as_is_said() {
        let pairs = [(10.0, 1), (20.0, 2), (30.0, 0), (40.0, 1)];
        let found: Vec<_> = [0.0, 0.25, 0.5, 1.0].iter().map(|share| percentile(&pairs, *share)).collect();
        assert_eq!(found, [Some(10.0), Some(17.5), Some(20.0), Some(40.0)]);
        assert_eq!(percentile(&[(1.0, 0)], 0.5), None);
    }
}
