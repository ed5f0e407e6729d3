//! [`RowsOf`]: the lists of rows that `UNNEST` makes of arrays and maps.
//!
//! Both runtimes evaluate this one function, then repeat each row for each element of its list, so that they agree on
//! nulls, on arrays of unequal length and on numbering.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, ListArray, StructArray, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{DataFusionError, Result as PlanResult};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// The name of the column that `WITH ORDINALITY` appends.
const ORDINALITY: &str = "ordinality";
/// The name of a column of elements that are no rows.
const ELEMENT: &str = "unnest";

/// Arrays and maps side by side as a list of rows: an element that is a row gives a column for each of its fields, an
/// entry of a map one for its key and one for its value. The shorter ones are filled with nulls.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct RowsOf {
    /// The number of the element is a last column, from 1.
    ordinality: bool,
    /// Where there is no element, there is a row of nulls.
    outer: bool,
    /// Elements that are rows are one column.
    whole: bool,
    signature: Signature,
}

impl RowsOf {
    fn new(ordinality: bool, outer: bool, whole: bool) -> Self {
        Self { ordinality, outer, whole, signature: Signature::variadic_any(Volatility::Immutable) }
    }

    /// The call over arrays and maps.
    pub(crate) fn call(of: Vec<Expr>, ordinality: bool, outer: bool) -> Expr {
        Arc::new(ScalarUDF::new_from_impl(Self::new(ordinality, outer, false))).call(of)
    }

    /// The call that makes one column of each array, whatever its elements are.
    pub(crate) fn call_whole(of: Vec<Expr>, outer: bool) -> Expr {
        Arc::new(ScalarUDF::new_from_impl(Self::new(false, outer, true))).call(of)
    }

    fn fields(&self, types: &[DataType]) -> PlanResult<Fields> {
        let columns = if self.whole {
            types.iter().map(|of| Some((ELEMENT.to_owned(), elements_of(of)?))).collect()
        } else {
            columns_of(types, self.ordinality)
        };
        let Some(columns) = columns else {
            return Err(DataFusionError::Plan("UNNEST needs arrays or maps".into()));
        };
        Ok(columns.into_iter().enumerate().map(|(index, (_, of))| Field::new(field_name(index), of, true)).collect())
    }
}

/// The columns that come of values of these types, under the names that they have where the query gives none. `None`:
/// one of the types has no elements.
pub(crate) fn columns_of(types: &[DataType], ordinality: bool) -> Option<Vec<(String, DataType)>> {
    let mut columns = Vec::new();
    for data_type in types {
        match elements_of(data_type)? {
            DataType::Struct(fields) => {
                columns.extend(fields.iter().map(|field| (field.name().clone(), field.data_type().clone())));
            }
            other => columns.push((ELEMENT.to_owned(), other)),
        }
    }
    if ordinality {
        columns.push((ORDINALITY.to_owned(), DataType::Int32));
    }
    Some(columns)
}

/// The name of the field of column `index` in the rows.
pub(crate) fn field_name(index: usize) -> String {
    format!("c{index}")
}

/// The type of the elements.
fn elements_of(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Null => Some(DataType::Utf8),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => Some(item.data_type().clone()),
        DataType::Map(entries, _) => Some(entries.data_type().clone()),
        _ => None,
    }
}

fn item(fields: Fields) -> FieldRef {
    Arc::new(Field::new("item", DataType::Struct(fields), true))
}

impl ScalarUDFImpl for RowsOf {
    fn name(&self) -> &str {
        match (self.ordinality, self.outer) {
            (false, false) => "rows_of",
            (true, false) => "rows_of_with_ordinality",
            (false, true) => "rows_of_or_null",
            (true, true) => "rows_of_with_ordinality_or_null",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> PlanResult<DataType> {
        Ok(DataType::List(item(self.fields(types)?)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let rows = args.number_rows;
        let arrays = args.args.iter().map(|value| value.to_array(rows)).collect::<PlanResult<Vec<_>>>()?;
        let types: Vec<DataType> = arrays.iter().map(|array| array.data_type().clone()).collect();
        let fields = self.fields(&types)?;
        let parts = arrays.iter().map(|array| Part::of(array, self.whole)).collect::<PlanResult<Vec<_>>>()?;
        let lengths: Vec<usize> = (0..rows)
            .map(|row| {
                let longest = parts.iter().map(|part| part.length(row)).max().unwrap_or(0);
                if longest == 0 && self.outer { 1 } else { longest }
            })
            .collect();
        let mut columns = Vec::with_capacity(fields.len());
        for part in &parts {
            part.append_to(&mut columns, &lengths)?;
        }
        if self.ordinality {
            let numbers = lengths.iter().enumerate().flat_map(|(row, length)| {
                let there = parts.iter().any(|part| part.length(row) > 0);
                (1..=*length).map(move |number| i32::try_from(number).ok().filter(|_| there))
            });
            columns.push(Arc::new(numbers.collect::<Int32Array>()));
        }
        let count = lengths.iter().sum();
        let elements = StructArray::try_new_with_length(fields.clone(), columns, None, count)?;
        let lists = ListArray::try_new(item(fields), OffsetBuffer::from_lengths(lengths), Arc::new(elements), None)?;
        Ok(ColumnarValue::Array(Arc::new(lists)))
    }
}

/// One of the arrays or maps: the columns of all its elements, and which of them are a row's.
struct Part {
    columns: Vec<ArrayRef>,
    /// Start and length, row by row.
    ranges: Vec<(usize, usize)>,
}

impl Part {
    fn of(array: &ArrayRef, whole: bool) -> PlanResult<Self> {
        let (values, offsets): (ArrayRef, &[i32]) = match array.data_type() {
            DataType::Map(..) => {
                let map = array.as_map();
                (Arc::new(map.entries().clone()), map.offsets())
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                (Arc::clone(list.values()), list.offsets())
            }
            other => {
                let element = elements_of(other).unwrap_or(DataType::Utf8);
                let list = cast(array, &DataType::List(Arc::new(Field::new("item", element, true))))?;
                return Self::of(&list, whole);
            }
        };
        let ranges = offsets.windows(2).enumerate().map(|(row, ends)| match ends {
            &[start, end] if array.is_valid(row) => {
                (usize::try_from(start).unwrap_or(0), usize::try_from(end - start).unwrap_or(0))
            }
            _ => (0, 0),
        });
        let ranges = ranges.collect();
        let columns = match values.as_struct_opt().filter(|_| !whole) {
            Some(rows) => rows.flatten().1,
            None => vec![values],
        };
        Ok(Self { columns, ranges })
    }

    fn length(&self, row: usize) -> usize {
        self.ranges.get(row).map_or(0, |(_, length)| *length)
    }

    /// Appends its columns, filled up with nulls to these lengths.
    fn append_to(&self, columns: &mut Vec<ArrayRef>, lengths: &[usize]) -> PlanResult<()> {
        let places = self.ranges.iter().zip(lengths).flat_map(|((start, length), upto)| {
            (0..*upto).map(move |index| if index < *length { u32::try_from(start + index).ok() } else { None })
        });
        let places: UInt32Array = places.collect();
        for column in &self.columns {
            columns.push(take(column, &places, None)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use arrow::array::Int64Array;
    use arrow::datatypes::Int64Type;
    use arrow::util::display::array_value_to_string;
    use datafusion::common::config::ConfigOptions;

    use super::*;

    fn rows_of(arrays: Vec<ArrayRef>, ordinality: bool, outer: bool) -> Vec<String> {
        let function = RowsOf::new(ordinality, outer, false);
        let types: Vec<DataType> = arrays.iter().map(|array| array.data_type().clone()).collect();
        let field = |of: &DataType| Arc::new(Field::new("a", of.clone(), true));
        let args = ScalarFunctionArgs {
            number_rows: arrays.first().unwrap().len(),
            arg_fields: types.iter().map(field).collect(),
            args: arrays.into_iter().map(ColumnarValue::Array).collect(),
            return_field: field(&function.return_type(&types).unwrap()),
            config_options: Arc::new(ConfigOptions::default()),
        };
        let lists = function.invoke_with_args(args).unwrap().to_array(0).unwrap();
        (0..lists.len()).map(|row| array_value_to_string(&lists, row).unwrap()).collect()
    }

    fn lists() -> ArrayRef {
        let rows = vec![Some(vec![Some(1), None]), None, Some(vec![]), Some(vec![Some(4)])];
        Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(rows))
    }

    #[test]
    fn elements_are_rows_and_null_has_none() {
        assert_eq!(rows_of(vec![lists()], false, false), ["[{c0: 1}, {c0: }]", "[]", "[]", "[{c0: 4}]"]);
    }

    #[test]
    fn an_outer_one_has_a_row_of_nulls_without_a_number() {
        let found = rows_of(vec![lists()], true, true);
        let empty = "[{c0: , c1: }]";
        assert_eq!(found, ["[{c0: 1, c1: 1}, {c0: , c1: 2}]", empty, empty, "[{c0: 4, c1: 1}]"]);
    }

    #[test]
    fn arrays_side_by_side_are_filled_up_and_rows_have_columns() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![7, 8]));
        let fields = Fields::from(vec![Field::new("x", DataType::Int64, true)]);
        let valid = arrow::buffer::NullBuffer::from(vec![true, false]);
        let rows = StructArray::try_new(fields.clone(), vec![numbers], Some(valid)).unwrap();
        let offsets = OffsetBuffer::from_lengths([2, 0, 0, 0]);
        let lists_of_rows = ListArray::try_new(item(fields), offsets, Arc::new(rows), None).unwrap();
        let found = rows_of(vec![lists().slice(2, 2), Arc::new(lists_of_rows.slice(0, 2))], false, false);
        assert_eq!(found, ["[{c0: , c1: 7}, {c0: , c1: }]", "[{c0: 4, c1: }]"]);
    }
}
