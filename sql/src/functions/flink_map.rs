//! `MAP[key, value, …]` and `MAP_FROM_ARRAYS` in Flink's semantics: of entries with the same key the last stays; null where
//! the keys or the values are.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, MapArray, StructArray, UInt32Array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field};
use arrow::row::{RowConverter, SortField};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::ScalarUDF;

use super::collection::range;
use super::support::{Args, function};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![function("flink_map", &[], "MAP[key, value, …]", map_types, map)]
}

fn map_types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    let [DataType::List(keys), DataType::List(values)] = types else { return None };
    let fields =
        vec![Field::new("key", keys.data_type().clone(), false), Field::new("value", values.data_type().clone(), true)];
    let entries = Field::new("entries", DataType::Struct(fields.into()), false);
    Some((DataType::Map(Arc::new(entries), false), types.to_vec()))
}

fn failed(message: &str) -> DataFusionError {
    DataFusionError::Execution(message.to_owned())
}

fn map(args: &Args) -> Result<ArrayRef> {
    let (keys, values) = (args.column(0)?, args.column(1)?);
    let (keys, values) = (keys.as_list::<i32>(), values.as_list::<i32>());
    let sort = SortField::new(keys.values().data_type().clone());
    let rows = RowConverter::new(vec![sort])?.convert_columns(&[Arc::clone(keys.values())])?;
    let (mut key_places, mut value_places) = (Vec::new(), Vec::new());
    let (mut lengths, mut valid) = (Vec::with_capacity(args.rows), Vec::with_capacity(args.rows));
    for row in 0..args.rows {
        let before = key_places.len();
        let there = keys.is_valid(row) && values.is_valid(row);
        valid.push(there);
        if there {
            let (of_keys, of_values) = (range(keys.offsets(), row), range(values.offsets(), row));
            if of_keys.len() != of_values.len() {
                return Err(failed("a map needs as many values as keys"));
            }
            let mut known = HashMap::new();
            for (key, value) in of_keys.zip(of_values) {
                if keys.values().is_null(key) {
                    return Err(failed("map key cannot be null"));
                }
                let next = key_places.len();
                let place = *known.entry(rows.row(key)).or_insert(next);
                if place == next {
                    key_places.push(u32::try_from(key).ok());
                    value_places.push(None);
                }
                if let Some(of_key) = value_places.get_mut(place) {
                    *of_key = u32::try_from(value).ok();
                }
            }
        }
        lengths.push(key_places.len() - before);
    }
    let DataType::Map(entries, sorted) = &args.returns else { return Err(failed("a map of another type")) };
    let DataType::Struct(fields) = entries.data_type() else { return Err(failed("a map of another type")) };
    let taken = vec![
        take(keys.values(), &UInt32Array::from(key_places), None)?,
        take(values.values(), &UInt32Array::from(value_places), None)?,
    ];
    let inner = StructArray::try_new(fields.clone(), taken, None)?;
    let (offsets, nulls) = (OffsetBuffer::from_lengths(lengths), NullBuffer::from(valid));
    Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, inner, Some(nulls), *sorted)?))
}
