//! [`RowLayout`]: rows of a partition as bytes that compare in the order asked for, and back; [`RowStore`] keeps them.
//!
//! A row is its sort key followed by the rest: all columns that are neither in the order nor partition columns, so that
//! ties are broken by the whole row. The partition columns are those of its slot.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{SortOptions, take};
use arrow::datatypes::{DataType, Schema};
use arrow::row::{RowConverter, RowParser, Rows, SortField};

use super::arena::RowArena;
use crate::error::{EngineError, Result};
use crate::operators::group_table::GroupTable;
use crate::plan::SortKey;

/// See the module.
pub(crate) struct RowLayout {
    partition: Vec<usize>,
    order: Codec,
    rest: Codec,
    /// Where each input column is found again.
    homes: Vec<Home>,
}

/// Where a column of a row is kept: the position in that part.
#[derive(Clone, Copy)]
enum Home {
    Partition(usize),
    Order(usize),
    Rest(usize),
}

/// Columns as arrow-row bytes. No columns are no bytes.
struct Codec {
    columns: Vec<usize>,
    rows: Option<(RowConverter, RowParser)>,
}

impl Codec {
    fn new(fields: Vec<(usize, SortField)>) -> Result<Self> {
        let (columns, fields): (Vec<usize>, Vec<SortField>) = fields.into_iter().unzip();
        if columns.is_empty() {
            return Ok(Self { columns, rows: None });
        }
        let converter = RowConverter::new(fields)
            .map_err(|error| EngineError::Unsupported(format!("rows kept in order: {error}")))?;
        let parser = converter.parser();
        Ok(Self { columns, rows: Some((converter, parser)) })
    }

    fn encode(&self, batch: &RecordBatch, only: Option<&UInt32Array>) -> Result<Encoded> {
        let Some((converter, _)) = &self.rows else { return Ok(Encoded(None)) };
        let column = |column: &usize| {
            let column = batch.column(*column);
            Ok(match only {
                None => Arc::clone(column),
                Some(rows) => take(column, rows, None)?,
            })
        };
        let columns = self.columns.iter().map(column).collect::<Result<Vec<ArrayRef>>>()?;
        Ok(Encoded(Some(converter.convert_columns(&columns)?)))
    }

    fn decode<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        let Some((converter, parser)) = &self.rows else { return Ok(Vec::new()) };
        Ok(converter.convert_rows(rows.map(|row| parser.parse(row)))?)
    }
}

/// The bytes of some rows.
pub(crate) struct Encoded(Option<Rows>);

impl Encoded {
    /// The bytes of row `row`.
    pub(crate) fn row(&self, row: usize) -> &[u8] {
        self.0.as_ref().map_or(&[], |rows| rows.row(row).data())
    }
}

impl RowLayout {
    /// The layout of rows of `input`.
    ///
    /// # Errors
    /// Where a column has a type that cannot be compared.
    pub(crate) fn new(input: &Schema, partition: &[usize], order: &[SortKey]) -> Result<Self> {
        let data_type = |column: usize| match input.fields().get(column) {
            Some(field) => Ok(field.data_type().clone()),
            None => Err(EngineError::Internal(format!("an order over column {column}, which is not there"))),
        };
        let sorted = |key: &SortKey| {
            let options = SortOptions { descending: key.descending, nulls_first: key.nulls_first };
            Ok((key.column, SortField::new_with_options(data_type(key.column)?, options)))
        };
        let order = order.iter().map(sorted).collect::<Result<Vec<_>>>()?;
        let mut rest = Vec::new();
        let mut homes = Vec::with_capacity(input.fields().len());
        for column in 0..input.fields().len() {
            let ordered = order.iter().position(|(key, _)| *key == column);
            let keyed = partition.iter().position(|key| *key == column);
            homes.push(match (keyed, ordered) {
                (Some(at), _) => Home::Partition(at),
                (None, Some(at)) => Home::Order(at),
                (None, None) => {
                    rest.push((column, SortField::new(data_type(column)?)));
                    Home::Rest(rest.len() - 1)
                }
            });
        }
        Ok(Self { partition: partition.to_vec(), order: Codec::new(order)?, rest: Codec::new(rest)?, homes })
    }

    /// The sort keys of all rows of a batch.
    ///
    /// # Errors
    /// Where a column is not of its declared type.
    pub(crate) fn sort_keys(&self, batch: &RecordBatch) -> Result<Encoded> {
        self.order.encode(batch, None)
    }

    /// What rows have besides their sort keys; of all rows, or only of some.
    ///
    /// # Errors
    /// As [`Self::sort_keys`].
    pub(crate) fn rests(&self, batch: &RecordBatch, only: Option<&UInt32Array>) -> Result<Encoded> {
        self.rest.encode(batch, only)
    }

    /// Rows as the input's columns, given their partition columns.
    fn decode(&self, arena: &RowArena, ids: &[u32], partition: Vec<ArrayRef>) -> Result<Vec<ArrayRef>> {
        let parts = [
            partition,
            self.order.decode(ids.iter().map(|&id| arena.sort_key(id)))?,
            self.rest.decode(ids.iter().map(|&id| arena.rest(id)))?,
        ];
        let column = |home: &Home| {
            let (part, at) = match *home {
                Home::Partition(at) => (0, at),
                Home::Order(at) => (1, at),
                Home::Rest(at) => (2, at),
            };
            let column = parts.get(part).and_then(|columns| columns.get(at)).cloned();
            column.ok_or_else(|| EngineError::Internal("a kept row without one of its columns".into()))
        };
        self.homes.iter().map(column).collect()
    }
}

/// Rows of partitions: the slots of the partitions, and the bytes of the rows.
pub(crate) struct RowStore {
    pub(crate) layout: RowLayout,
    pub(crate) table: GroupTable,
    pub(crate) arena: RowArena,
}

impl RowStore {
    /// No rows yet.
    ///
    /// # Errors
    /// Where a column has a type that cannot be compared.
    pub(crate) fn new(input: &Schema, partition: &[usize], order: &[SortKey]) -> Result<Self> {
        let layout = RowLayout::new(input, partition, order)?;
        let types: Vec<DataType> = partition.iter().map(|&column| input.field(column).data_type().clone()).collect();
        Ok(Self { layout, table: GroupTable::new(&types)?, arena: RowArena::default() })
    }

    /// The slot of the partition of each row.
    ///
    /// # Errors
    /// Where a column is not of its declared type.
    pub(crate) fn slots(&mut self, batch: &RecordBatch) -> Result<Vec<u32>> {
        let columns: Vec<ArrayRef> =
            self.layout.partition.iter().map(|&column| Arc::clone(batch.column(column))).collect();
        let mut slots = Vec::new();
        self.table.intern(&columns, batch.num_rows(), &mut slots)?;
        Ok(slots)
    }

    /// Rows as the input's columns; `slots` has the partition of each.
    ///
    /// # Errors
    /// Where Arrow cannot build a column.
    pub(crate) fn decode(&self, ids: &[u32], slots: &[u32]) -> Result<Vec<ArrayRef>> {
        self.layout.decode(&self.arena, ids, self.table.keys(slots)?)
    }
}
