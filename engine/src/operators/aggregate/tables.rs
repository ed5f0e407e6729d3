//! An [`AggregateSet`] as the tables of a snapshot, and back.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::datatypes::{Field, Int64Type, Schema, UInt32Type};

use super::codec::form;
use super::distinct::{DistinctTable, Entries};
use super::{AggregateSet, add_fresh};
use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};
use crate::message::Epoch;
use crate::operators::OperatorState;

impl AggregateSet {
    /// What the calls without DISTINCT hold: a row for each of these slots.
    ///
    /// # Errors
    /// Where Arrow cannot build a table.
    pub(crate) fn calls_table(&self, slots: &[u32]) -> Result<RecordBatch> {
        let mut columns = Vec::new();
        for call in self.calls.iter().filter(|call| call.distinct.is_none()) {
            columns.extend(call.accumulator.state(slots)?);
        }
        table_of(columns, slots.len())
    }

    /// Whether there are values of DISTINCT.
    pub(crate) fn has_distinct(&self) -> bool {
        !self.distinct.is_empty()
    }

    /// The values of DISTINCT, each with its slot, as tables named with `prefix`: for a checkpoint at `epoch` after that of `base`.
    ///
    /// # Errors
    /// Where Arrow cannot build a table.
    pub(crate) fn capture_distinct(&mut self, prefix: &str, epoch: Epoch, base: Option<Epoch>) -> Result<Vec<Table>> {
        let table = |(index, table): (usize, &mut DistinctTable)| {
            let (telling, told) = table.capture(epoch, base)?;
            Ok(telling.table(format!("{prefix}distinct{index}"), distinct_table(told, table.counted_bits())?))
        };
        self.distinct.iter_mut().enumerate().map(table).collect()
    }

    /// Adds what [`Self::calls_table`] told, row `i` to `slots[i]`, and the values of DISTINCT. These name the slots by the places of
    /// their rows: see [`placed`](crate::checkpoint::numbers::placed).
    ///
    /// # Errors
    /// Where the state is not of these calls.
    pub fn restore(&mut self, prefix: &str, state: &OperatorState, slots: &[u32]) -> Result<()> {
        let calls = find_table(state, &format!("{prefix}calls"))?;
        let mut columns = calls.columns();
        for call in self.calls.iter_mut().filter(|call| call.distinct.is_none()) {
            let width = call.accumulator.state(&[])?.len();
            if columns.len() < width {
                return Err(EngineError::Internal("the state is not of these aggregates".into()));
            }
            let (own, rest) = columns.split_at(width);
            call.accumulator.merge(own, slots)?;
            columns = rest;
        }
        for index in 0..self.distinct.len() {
            let stored = find_table(state, &format!("{prefix}distinct{index}"))?;
            let Some(table) = self.distinct.get_mut(index) else { continue };
            let entries = entries_of(stored, table.columns().len())?;
            let into: Option<Vec<u32>> = entries.slots.iter().map(|&at| slots.get(at as usize).copied()).collect();
            let fresh = table.merge(&entries, &into.ok_or_else(form)?)?;
            add_fresh(&mut self.calls, index, fresh)?;
        }
        Ok(())
    }
}

/// Entries as a table: slot, mask, the values, and a column of counts for each bit that is counted.
fn distinct_table(entries: Entries, counted_bits: usize) -> Result<RecordBatch> {
    let rows = entries.masks.len();
    let uints = |values: Vec<u32>| -> ArrayRef { Arc::new(UInt32Array::from(values)) };
    let mut columns = vec![uints(entries.slots), uints(entries.masks)];
    columns.extend(entries.values);
    for bit in 0..counted_bits {
        let counts = entries.counts.iter().skip(bit).step_by(counted_bits).copied();
        columns.push(Arc::new(Int64Array::from_iter_values(counts)));
    }
    table_of(columns, rows)
}

/// The entries of [`distinct_table`], of so many values.
fn entries_of(table: &RecordBatch, values: usize) -> Result<Entries> {
    let [slots, masks, rest @ ..] = table.columns() else { return Err(form()) };
    let uints = |column: &ArrayRef| {
        column.as_primitive_opt::<UInt32Type>().map(|column| column.values().to_vec()).ok_or_else(form)
    };
    let (values, counts) = rest.split_at_checked(values).ok_or_else(form)?;
    let counts = counts.iter().map(|column| column.as_primitive_opt::<Int64Type>().ok_or_else(form));
    let counts = counts.collect::<Result<Vec<_>>>()?;
    let counts = (0..table.num_rows()).flat_map(|row| counts.iter().map(move |column| column.value(row))).collect();
    Ok(Entries { slots: uints(slots)?, masks: uints(masks)?, values: values.to_vec(), counts })
}

/// The table of that name.
pub(crate) fn find_table<'a>(state: &'a OperatorState, name: &str) -> Result<&'a RecordBatch> {
    table_if_any(state, name)?.ok_or_else(|| EngineError::Internal(format!("the state has no table {name}")))
}

/// The table of that name, where there is one.
pub(crate) fn table_if_any<'a>(state: &'a OperatorState, name: &str) -> Result<Option<&'a RecordBatch>> {
    let mut parts = table_parts(state, name);
    match (parts.next(), parts.next()) {
        (first, None) => Ok(first),
        (_, Some(_)) => {
            Err(EngineError::Unsupported(format!("over 2 GiB of text in a column of the state \"{name}\"")))
        }
    }
}

/// The table of that name, in as many parts as it has.
pub(crate) fn table_parts<'a>(state: &'a OperatorState, name: &str) -> impl Iterator<Item = &'a RecordBatch> {
    state.tables.iter().filter(move |(table, _)| table == name).map(|(_, rows)| rows)
}

/// A table out of columns, named by position.
pub(crate) fn table_of(columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let field = |(index, column): (usize, &ArrayRef)| Field::new(format!("c{index}"), column.data_type().clone(), true);
    let schema = Schema::new(columns.iter().enumerate().map(field).collect::<Vec<_>>());
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::new(schema), columns, &options)?)
}
