//! Values as bytes whose order is the values', and lists of values as columns: what the states that keep many values a
//! slot are built from.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, new_empty_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field};
use arrow::row::{RowConverter, RowParser, Rows, SortField};

use crate::error::{EngineError, Result};

/// Encodes and decodes rows of some columns.
pub(super) struct Codec {
    converter: RowConverter,
    parser: RowParser,
    types: Vec<DataType>,
}

impl Codec {
    /// A codec for columns of these types, in this order.
    pub(super) fn new(columns: &[(DataType, SortOptions)]) -> Result<Self> {
        let field =
            |(data_type, options): &(DataType, SortOptions)| SortField::new_with_options(data_type.clone(), *options);
        let types: Vec<DataType> = columns.iter().map(|(data_type, _)| data_type.clone()).collect();
        let converter = RowConverter::new(columns.iter().map(field).collect())
            .map_err(|_| EngineError::Unsupported(format!("an aggregate over values of type {types:?}")))?;
        let parser = converter.parser();
        Ok(Self { converter, parser, types })
    }

    /// A codec for one column, ascending.
    pub(super) fn of(data_type: &DataType) -> Result<Self> {
        Self::new(&[(data_type.clone(), SortOptions::default())])
    }

    /// How many columns a row has.
    pub(super) fn width(&self) -> usize {
        self.types.len()
    }

    /// As [`Self::encode`]; none where rows have no columns.
    pub(super) fn encode_or_none(&self, columns: &[ArrayRef]) -> Result<Option<Rows>> {
        if columns.len() != self.width() {
            return Err(form());
        }
        if columns.is_empty() { Ok(None) } else { self.encode(columns).map(Some) }
    }

    /// Rows of these columns as bytes.
    pub(super) fn encode(&self, columns: &[ArrayRef]) -> Result<Rows> {
        Ok(self.converter.convert_columns(columns)?)
    }

    /// The columns of encoded rows.
    pub(super) fn decode<'a>(&self, rows: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        let mut rows = rows.into_iter().map(|row| self.parser.parse(row)).peekable();
        if rows.peek().is_none() {
            return Ok(self.types.iter().map(new_empty_array).collect());
        }
        Ok(self.converter.convert_rows(rows)?)
    }

    /// The one column of encoded rows.
    pub(super) fn decode_one<'a>(&self, rows: impl IntoIterator<Item = &'a [u8]>) -> Result<ArrayRef> {
        self.decode(rows)?.into_iter().next().ok_or_else(form)
    }
}

/// Values cut into lists of these lengths.
pub(super) fn lists(values: ArrayRef, lengths: impl IntoIterator<Item = usize>) -> Result<ArrayRef> {
    let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    Ok(Arc::new(ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), values, None)?))
}

/// A column of lists.
pub(super) fn as_lists(column: &ArrayRef) -> Result<&ListArray> {
    column.as_list_opt::<i32>().ok_or_else(form)
}

/// The row range of each list within the values of the column.
pub(super) fn ranges(lists: &ListArray) -> impl Iterator<Item = std::ops::Range<usize>> {
    lists.value_offsets().windows(2).map(|ends| ends[0] as usize..ends[1] as usize)
}

pub(super) fn form() -> EngineError {
    EngineError::Internal("the state of an aggregate has another form".into())
}
