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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use arrow::array::{AsArray, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    use super::*;

    /// What messages change, `-` before a row that went; `None` for a message without a value.
    fn changes(upsert: &mut Upsert, messages: &[(&str, Option<i64>)], known: usize) -> Vec<String> {
        let keys: ArrayRef = Arc::new(messages.iter().map(|(key, _)| Some(*key)).collect::<StringArray>());
        let has_value: Vec<bool> = messages.iter().map(|(_, value)| value.is_some()).collect();
        let own = upsert.keys_with_values(&[Arc::clone(&keys)], &has_value).unwrap();
        let values: ArrayRef = Arc::new(messages.iter().filter_map(|(_, value)| *value).collect::<Int64Array>());
        let rows = RecordBatch::try_new(Arc::clone(&upsert.schema), vec![own[0].clone(), values]).unwrap();
        let Some(delta) = upsert.apply(&[keys], &has_value, &rows, known).unwrap() else { return Vec::new() };
        let (keys, values) = (delta.batch.column(0).as_string::<i32>(), delta.batch.column(1));
        let values = values.as_primitive::<Int64Type>();
        let sign = |row| if delta.is_retract(row) { "-" } else { "" };
        (0..delta.rows()).map(|row| format!("{}{}={}", sign(row), keys.value(row), values.value(row))).collect()
    }

    fn empty() -> Upsert {
        let key = Field::new("k", DataType::Utf8, false);
        let schema = Arc::new(Schema::new(vec![key.clone(), Field::new("v", DataType::Int64, true)]));
        Upsert::new(&vec![key].into(), &schema).unwrap()
    }

    #[test]
    fn messages_replace_and_delete_rows() {
        let mut upsert = empty();
        let first = [("a", Some(1)), ("b", Some(2)), ("a", Some(3)), ("a", Some(3)), ("c", None)];
        assert_eq!(changes(&mut upsert, &first, 0), ["a=1", "b=2", "-a=1", "a=3"]);
        assert_eq!(changes(&mut upsert, &[("b", None), ("b", None), ("b", Some(4))], 0), ["-b=2", "b=4"]);
    }

    #[test]
    fn what_an_earlier_run_has_told_is_only_remembered() {
        let mut upsert = empty();
        let again = [("a", Some(1)), ("b", Some(2)), ("c", Some(5)), ("c", None), ("a", Some(3))];
        assert_eq!(changes(&mut upsert, &again, 4), ["-a=1", "a=3"]);
        assert_eq!(changes(&mut upsert, &[("b", None), ("c", Some(6))], 1), ["c=6"]);
        assert_eq!(changes(&mut upsert, &[("b", Some(7))], 0), ["b=7"]);
    }
}
