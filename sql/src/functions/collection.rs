//! Maps and arrays: the value of a key, maps merged, an element in front, what equals a value.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, ListArray, MapArray, StructArray, UInt32Array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::{cast, concat, take};
use arrow::datatypes::{DataType, Field};
use arrow::row::{RowConverter, SortField};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::ScalarUDF;
use datafusion::logical_expr::type_coercion::binary::type_union_resolution;

use super::support::{Args, function, is_whole};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        function(MAP_VALUE, &[], "map[key]", value_types, value),
        function("map_union", &[], "MAP_UNION(map, …)", union_types, union),
        function("array_mode", &[], "MODE(value)", element_of, mode),
        function("array_prepend", &["list_prepend"], "ARRAY_PREPEND(array, value)", prepend_types, prepend),
        function("array_contains", &[], "ARRAY_CONTAINS(array, value)", contains_types, contains),
        function(
            "array_position",
            &["list_position"],
            "ARRAY_POSITION(array, value [, start])",
            position_types,
            position,
        ),
        function("array_remove", &[], "ARRAY_REMOVE(array, value)", remove_types, remove),
    ]
}

/// What `map[key]` calls.
pub(super) const MAP_VALUE: &str = "map_value";

/// The types of keys and values.
fn entry_types(data_type: &DataType) -> Option<(DataType, DataType)> {
    let DataType::Map(entries, _) = data_type else { return None };
    let DataType::Struct(fields) = entries.data_type() else { return None };
    match fields.as_ref() {
        [key, value] => Some((key.data_type().clone(), value.data_type().clone())),
        _ => None,
    }
}

fn value_types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    let [map, _] = types else { return None };
    let (key, value) = entry_types(map)?;
    Some((value, vec![map.clone(), key]))
}

/// The value of a key; of entries of the same key that of the last.
fn value(args: &Args) -> Result<ArrayRef> {
    let (maps, wanted) = (args.column(0)?, args.column(1)?);
    let maps = maps.as_map();
    let mut rows = Vec::with_capacity(maps.keys().len());
    for (row, ends) in (0_u32..).zip(maps.offsets().windows(2)) {
        let &[start, end] = ends else { continue };
        rows.resize(usize::try_from(start).unwrap_or(0), 0);
        rows.resize(usize::try_from(end).unwrap_or(0), row);
    }
    rows.resize(maps.keys().len(), 0);
    let equal = not_distinct(maps.keys(), &take(&wanted, &UInt32Array::from(rows), None)?)?;
    let place = |(row, ends): (usize, &[i32])| {
        let &[start, end] = ends else { return None };
        let found = (start..end).rev().find(|at| usize::try_from(*at).is_ok_and(|at| equal.value(at)));
        found.filter(|_| maps.is_valid(row) && wanted.is_valid(row)).and_then(|at| u32::try_from(at).ok())
    };
    let places: UInt32Array = maps.offsets().windows(2).enumerate().map(place).collect();
    Ok(take(maps.values(), &places, None)?)
}

fn union_types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    let first = types.iter().find(|data_type| entry_types(data_type).is_some())?;
    let fits = |data_type: &DataType| *data_type == DataType::Null || entry_types(data_type).is_some();
    types.iter().all(fits).then(|| (first.clone(), vec![first.clone(); types.len()]))
}

/// The entries of all maps, each key where it is first and with the value that it has last. Null where a map is.
fn union(args: &Args) -> Result<ArrayRef> {
    let columns = (0..args.len()).map(|index| args.column(index)).collect::<Result<Vec<_>>>()?;
    let maps: Vec<&MapArray> = columns.iter().map(|column| column.as_map()).collect();
    let keys = concat(&maps.iter().map(|map| map.keys().as_ref()).collect::<Vec<_>>())?;
    let values = concat(&maps.iter().map(|map| map.values().as_ref()).collect::<Vec<_>>())?;
    let rows =
        RowConverter::new(vec![SortField::new(keys.data_type().clone())])?.convert_columns(&[Arc::clone(&keys)])?;
    // Where the entries of each map start among those of all.
    let bases: Vec<usize> = maps
        .iter()
        .scan(0, |base, map| {
            let start = *base;
            *base += map.keys().len();
            Some(start)
        })
        .collect();
    let (mut key_places, mut value_places, mut lengths) = (Vec::new(), Vec::new(), Vec::with_capacity(args.rows));
    let mut valid = Vec::with_capacity(args.rows);
    for row in 0..args.rows {
        let before = key_places.len();
        valid.push(maps.iter().all(|map| map.is_valid(row)));
        if valid.last() == Some(&true) {
            let mut known = HashMap::new();
            for (map, base) in maps.iter().zip(&bases) {
                for at in range(map.offsets(), row) {
                    let (at, place) = (base + at, key_places.len());
                    let place = *known.entry(rows.row(at)).or_insert(place);
                    if place == key_places.len() {
                        key_places.push(u32::try_from(at).ok());
                        value_places.push(None);
                    }
                    if let Some(value) = value_places.get_mut(place) {
                        *value = u32::try_from(at).ok();
                    }
                }
            }
        }
        lengths.push(key_places.len() - before);
    }
    let DataType::Map(entries, sorted) = &args.returns else { return Err(wrong()) };
    let DataType::Struct(fields) = entries.data_type() else { return Err(wrong()) };
    let taken = vec![
        take(&keys, &UInt32Array::from(key_places), None)?,
        take(&values, &UInt32Array::from(value_places), None)?,
    ];
    let inner = StructArray::try_new(fields.clone(), taken, None)?;
    let (offsets, nulls) = (OffsetBuffer::from_lengths(lengths), NullBuffer::from(valid));
    Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, inner, Some(nulls), *sorted)?))
}

pub(super) fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let at = |row: usize| offsets.get(row).and_then(|at| usize::try_from(*at).ok()).unwrap_or(0);
    at(row)..at(row + 1)
}

fn wrong() -> DataFusionError {
    DataFusionError::Internal("a map without keys and values".into())
}

fn element_of(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    match types {
        [DataType::List(item)] => Some((item.data_type().clone(), types.to_vec())),
        _ => None,
    }
}

/// The element that is there most often; of several the least. Null is not counted.
fn mode(args: &Args) -> Result<ArrayRef> {
    let lists = args.column(0)?;
    let lists = lists.as_list::<i32>();
    let values = lists.values();
    let rows =
        RowConverter::new(vec![SortField::new(values.data_type().clone())])?.convert_columns(&[Arc::clone(values)])?;
    let most = |row: usize| {
        let mut counts: HashMap<_, (usize, usize)> = HashMap::new();
        for at in range(lists.offsets(), row).filter(|at| lists.is_valid(row) && values.is_valid(*at)) {
            counts.entry(rows.row(at)).or_insert((0, at)).0 += 1;
        }
        let best = counts
            .into_iter()
            .max_by(|(left, (more, _)), (right, (less, _))| more.cmp(less).then_with(|| right.cmp(left)));
        best.and_then(|(_, (_, at))| u32::try_from(at).ok())
    };
    let places: UInt32Array = (0..args.rows).map(most).collect();
    Ok(take(values, &places, None)?)
}

/// PostgreSQL has the element first, Flink the array.
fn prepend_types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    let list = |item: &DataType| DataType::List(Arc::new(Field::new("item", item.clone(), true)));
    let [first, second] = types else { return None };
    match (first, second) {
        (DataType::List(item), DataType::List(other)) if other.data_type() != first => {
            Some((first.clone(), vec![first.clone(), item.data_type().clone()]))
        }
        (_, DataType::List(item)) => Some((second.clone(), vec![item.data_type().clone(), second.clone()])),
        (DataType::List(item), _) => Some((first.clone(), vec![first.clone(), item.data_type().clone()])),
        (DataType::Null, DataType::Null) => None,
        (element, DataType::Null) => Some((list(element), vec![element.clone(), list(element)])),
        _ => None,
    }
}

fn prepend(args: &Args) -> Result<ArrayRef> {
    let (first, second) = (args.column(0)?, args.column(1)?);
    let flink = *first.data_type() == args.returns;
    let (lists, elements) = if flink { (first, second) } else { (second, first) };
    let DataType::List(item) = &args.returns else { return Err(wrong()) };
    let elements = cast(&elements, item.data_type())?;
    let lists = lists.as_list::<i32>();
    let both = concat(&[elements.as_ref(), lists.values().as_ref()])?;
    let (mut places, mut lengths) = (Vec::new(), Vec::with_capacity(args.rows));
    for row in 0..args.rows {
        let here = if lists.is_valid(row) { range(lists.offsets(), row) } else { 0..0 };
        lengths.push(here.len() + 1);
        let all = std::iter::once(row).chain(here.map(|at| args.rows + at));
        places.extend(all.map(|at| u32::try_from(at).ok()));
    }
    let values = take(&both, &UInt32Array::from(places), None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    // An array that is not there has no elements for PostgreSQL; for Flink the result is not there either.
    let nulls = if flink { lists.nulls().cloned() } else { None };
    Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, values, nulls)?))
}

/// The array and the value with one type of elements.
fn with_value(types: &[DataType]) -> Option<(DataType, DataType)> {
    let list = |item: DataType| DataType::List(Arc::new(Field::new("item", item, true)));
    match types {
        [DataType::List(item), value] if item.data_type() == value || *value == DataType::Null => {
            Some((types.first()?.clone(), item.data_type().clone()))
        }
        [DataType::List(item), value] => {
            let common = type_union_resolution(&[item.data_type().clone(), value.clone()])?;
            Some((list(common.clone()), common))
        }
        [DataType::Null, value] => Some((list(value.clone()), value.clone())),
        _ => None,
    }
}

fn contains_types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    with_value(types).map(|(array, value)| (DataType::Boolean, vec![array, value]))
}

fn remove_types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    with_value(types).map(|(array, value)| (array.clone(), vec![array, value]))
}

fn position_types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    let (pair, start) = types.split_at_checked(2)?;
    let (array, value) = with_value(pair)?;
    match start {
        [] => Some((DataType::Int32, vec![array, value])),
        [start] if is_whole(start) => Some((DataType::Int32, vec![array, value, DataType::Int64])),
        _ => None,
    }
}

/// Where an element is the value, from 1; null where none is.
fn position(args: &Args) -> Result<ArrayRef> {
    let (lists, wanted, starts) = (args.column(0)?, args.column(1)?, args.wholes_if_given(2, 1)?);
    let lists = lists.as_list::<i32>();
    let equal = found(lists, &wanted)?;
    let place = |row| {
        let before = usize::try_from(starts.get(row)?.saturating_sub(1)).unwrap_or(0);
        let mut elements = range(lists.offsets(), row).filter(|_| lists.is_valid(row)).enumerate().skip(before);
        let (place, _) = elements.find(|(_, at)| equal.value(*at))?;
        i32::try_from(place + 1).ok()
    };
    Ok(Arc::new((0..args.rows).map(place).collect::<Int32Array>()))
}

/// Which elements are the value of their row, where two nulls are the same.
fn found(lists: &ListArray, wanted: &ArrayRef) -> Result<BooleanArray> {
    let mut rows = Vec::with_capacity(lists.values().len());
    for (row, ends) in (0_u32..).zip(lists.offsets().windows(2)) {
        let &[_, end] = ends else { continue };
        rows.resize(usize::try_from(end).unwrap_or(0), row);
    }
    rows.resize(lists.values().len(), 0);
    let wanted = take(wanted, &UInt32Array::from(rows), None)?;
    if !lists.values().data_type().is_nested() {
        return Ok(not_distinct(lists.values(), &wanted)?);
    }
    // Arrow compares no arrays and rows.
    let converter = RowConverter::new(vec![SortField::new(wanted.data_type().clone())])?;
    let (left, right) = (
        converter.convert_columns(&[cast(lists.values(), wanted.data_type())?])?,
        converter.convert_columns(&[wanted])?,
    );
    Ok(left.iter().zip(right.iter()).map(|(left, right)| Some(left == right)).collect())
}

/// Whether an element is the value, which may be null.
fn contains(args: &Args) -> Result<ArrayRef> {
    let (lists, wanted) = (args.column(0)?, args.column(1)?);
    let lists = lists.as_list::<i32>();
    let equal = found(lists, &wanted)?;
    let any = |row| lists.is_valid(row).then(|| range(lists.offsets(), row).any(|at| equal.value(at)));
    Ok(Arc::new((0..args.rows).map(any).collect::<BooleanArray>()))
}

/// The elements that are not the value, which may be null.
fn remove(args: &Args) -> Result<ArrayRef> {
    let (lists, wanted) = (args.column(0)?, args.column(1)?);
    let lists = lists.as_list::<i32>();
    let equal = found(lists, &wanted)?;
    let DataType::List(item) = &args.returns else { return Err(wrong()) };
    let (mut places, mut lengths) = (Vec::with_capacity(lists.values().len()), Vec::with_capacity(args.rows));
    for row in 0..args.rows {
        let before = places.len();
        let here = if lists.is_valid(row) { range(lists.offsets(), row) } else { 0..0 };
        places.extend(here.filter(|at| !equal.value(*at)).map(|at| u32::try_from(at).ok()));
        lengths.push(places.len() - before);
    }
    let values = take(lists.values(), &UInt32Array::from(places), None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, values, lists.nulls().cloned())?))
}
