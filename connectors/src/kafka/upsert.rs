//! [`Upsert`]: the last row of every key, so that a message that replaces or deletes a row can retract it.
//!
//! Kafka sends all messages of a key to one partition, so each split keeps the keys of its own. The rows are in memory; a
//! reader that goes on where an earlier run was reads the messages before once more to have them ([`Upsert::apply`]).

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter;
use arrow::datatypes::{Fields, SchemaRef};
use arrow::row::{OwnedRow, RowConverter, SortField};
use millstream_engine::error::{EngineError, Result};
use millstream_engine::message::Delta;

/// See the module.
pub(super) struct Upsert {
    keys: RowConverter,
    rows: RowConverter,
    schema: SchemaRef,
    last: HashMap<OwnedRow, Option<OwnedRow>>,
}

impl Upsert {
    /// No rows yet.
    ///
    /// # Errors
    /// Where a column has a type that rows cannot be made of.
    pub(super) fn new(keys: &Fields, schema: &SchemaRef) -> Result<Self> {
        let converter = |fields: &Fields| {
            RowConverter::new(fields.iter().map(|field| SortField::new(field.data_type().clone())).collect())
        };
        Ok(Self {
            keys: converter(keys)?,
            rows: converter(schema.fields())?,
            schema: Arc::clone(schema),
            last: HashMap::new(),
        })
    }

    /// The columns of the keys of messages that have a value.
    ///
    /// # Errors
    /// Where Arrow cannot filter them.
    pub(super) fn keys_with_values(&self, keys: &[ArrayRef], has_value: &[bool]) -> Result<Vec<ArrayRef>> {
        let mask = BooleanArray::from(has_value.to_vec());
        Ok(keys.iter().map(|column| filter(column, &mask)).collect::<std::result::Result<_, _>>()?)
    }

    /// What messages change: `keys` has a row for each, `rows` one for each that has a value. Of the first `known` an
    /// earlier run has told. `None` where nothing changes.
    ///
    /// # Errors
    /// Where Arrow cannot make rows of the columns.
    pub(super) fn apply(
        &mut self,
        keys: &[ArrayRef],
        has_value: &[bool],
        rows: &RecordBatch,
        known: usize,
    ) -> Result<Option<Delta>> {
        let keys = self.keys.convert_columns(keys)?;
        // A scan of no columns: only the number of rows counts, and no row differs from another.
        let converted = match rows.num_columns() {
            0 => None,
            _ => Some(self.rows.convert_columns(rows.columns())?),
        };
        let mut changes: Vec<(bool, Option<OwnedRow>)> = Vec::with_capacity(keys.num_rows());
        let mut next = 0;
        for (index, (key, &has_value)) in keys.iter().zip(has_value).enumerate() {
            let (key, tells) = (key.owned(), index >= known);
            if !has_value {
                if let Some(old) = self.last.remove(&key).filter(|_| tells) {
                    changes.push((true, old));
                }
                continue;
            }
            let row = converted.as_ref().map(|rows| rows.row(next).owned());
            next += 1;
            match self.last.insert(key, row.clone()) {
                _ if !tells => {}
                Some(old) if old == row => {}
                Some(old) => changes.extend([(true, old), (false, row)]),
                None => changes.push((false, row)),
            }
        }
        if changes.is_empty() {
            return Ok(None);
        }
        let retracts: BooleanBuffer = changes.iter().map(|(retract, _)| *retract).collect();
        let changed = changes.iter().filter_map(|(_, row)| row.as_ref().map(OwnedRow::row));
        let columns = if converted.is_some() { self.rows.convert_rows(changed)? } else { Vec::new() };
        let options = RecordBatchOptions::new().with_row_count(Some(retracts.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(EngineError::from)?;
        Ok(Some(Delta::signed(batch, retracts)))
    }
}
