//! [`AggregateSet`]: the accumulators of all aggregates of one operator, in columns indexed by slot.
//!
//! Each call is an [`Accumulator`]; calls with DISTINCT on the same argument share one table of the values seen, with a
//! bit a call (`distinct`). Reading does not consume. Results equal DataFusion's for the same SQL and types.

mod accumulator;
mod count;
mod distinct;
mod edge;
mod extreme;
mod sum;
mod variance;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{DataType, Field, Schema};
use std::sync::Arc;

pub(crate) use self::accumulator::Arrival;
use self::accumulator::{Accumulator, Rows};
use self::distinct::DistinctTable;
use super::OperatorState;
use crate::error::{EngineError, Result};
use crate::plan::{AggregateCall, AggregateFunction};

/// The accumulators of one operator.
pub struct AggregateSet {
    calls: Vec<Call>,
    distinct: Vec<DistinctTable>,
    slots: usize,
}

struct Call {
    arg: Option<usize>,
    filter: Option<usize>,
    /// The distinct table and its bit.
    distinct: Option<(usize, u32)>,
    accumulator: Box<dyn Accumulator>,
}

impl AggregateSet {
    /// Accumulators for these calls over rows of `input`.
    ///
    /// # Errors
    /// Where an aggregate is not defined for its argument's type.
    pub fn new(calls: &[AggregateCall], input: &Schema) -> Result<Self> {
        let mut set = Self { calls: Vec::with_capacity(calls.len()), distinct: Vec::new(), slots: 0 };
        for call in calls {
            let arg_type = call.arg.map(|arg| input.field(arg).data_type().clone());
            let accumulator = accumulator::new(call.function, arg_type.as_ref(), call.output.data_type())?;
            let distinct = match (call.distinct, call.arg, arg_type) {
                // A value counts once or often: the same for these.
                (true, Some(arg), Some(arg_type)) if !is_idempotent(call.function) => {
                    Some(set.distinct_bit(arg, &arg_type)?)
                }
                _ => None,
            };
            set.calls.push(Call { arg: call.arg, filter: call.filter, distinct, accumulator });
        }
        Ok(set)
    }

    /// The table for DISTINCT values of a column, and a free bit in it.
    fn distinct_bit(&mut self, arg: usize, arg_type: &DataType) -> Result<(usize, u32)> {
        let found = self.distinct.iter().position(|table| table.arg() == arg && table.has_room());
        let index = match found {
            Some(index) => index,
            None => {
                self.distinct.push(DistinctTable::new(arg, arg_type)?);
                self.distinct.len() - 1
            }
        };
        let Some(table) = self.distinct.get_mut(index) else {
            return Err(EngineError::Internal("a distinct table is missing".into()));
        };
        Ok((index, table.add_bit()))
    }

    /// Makes room for slots `0 .. slots`; new ones are empty.
    pub fn resize(&mut self, slots: usize) {
        if slots > self.slots {
            self.slots = slots;
            self.calls.iter_mut().for_each(|call| call.accumulator.resize(slots));
        }
    }

    /// Adds rows; `slots` has the slot of each.
    ///
    /// # Errors
    /// Where a column is not of its declared type.
    pub fn update(&mut self, batch: &RecordBatch, slots: &[u32]) -> Result<()> {
        self.update_arrived(batch, slots, None)
    }

    /// As [`Self::update`], for sets that are merged later: `arrival` tells which rows of which set came first.
    ///
    /// # Errors
    /// As [`Self::update`].
    pub(crate) fn update_arrived(
        &mut self,
        batch: &RecordBatch,
        slots: &[u32],
        arrival: Option<Arrival<'_>>,
    ) -> Result<()> {
        let filters = self.calls.iter().map(|call| filter_of(batch, call.filter)).collect::<Result<Vec<_>>>()?;
        for (call, filter) in self.calls.iter_mut().zip(&filters) {
            if call.distinct.is_none() {
                let values = call.arg.map(|arg| batch.column(arg));
                call.accumulator.update(&Rows { values, keep: filter.as_ref(), slots, arrival })?;
            }
        }
        for (index, table) in self.distinct.iter_mut().enumerate() {
            let bits: Vec<(u32, Option<&BooleanBuffer>)> = self
                .calls
                .iter()
                .zip(&filters)
                .filter_map(|(call, filter)| match call.distinct {
                    Some((of, bit)) if of == index => Some((bit, filter.as_ref())),
                    Some(_) | None => None,
                })
                .collect();
            let fresh = table.update(batch.column(table.arg()), &bits, slots)?;
            add_fresh(&mut self.calls, index, fresh)?;
        }
        Ok(())
    }

    /// Adds what other accumulators of the same calls hold: their slot `from[i]` to this `into[i]`.
    ///
    /// # Errors
    /// Where the sets are not of the same calls.
    pub fn merge(&mut self, other: &Self, from: &[u32], into: &[u32]) -> Result<()> {
        for (call, other) in self.calls.iter_mut().zip(&other.calls) {
            if call.distinct.is_none() {
                call.accumulator.merge(&other.accumulator.state(from)?, into)?;
            }
        }
        for index in 0..self.distinct.len() {
            let (Some(table), Some(other)) = (self.distinct.get_mut(index), other.distinct.get(index)) else {
                continue;
            };
            let entries = other.entries(from)?;
            let slots: Vec<u32> = entries.slots.iter().map(|&position| into[position as usize]).collect();
            let fresh = table.merge(&entries.values, &entries.masks, &slots)?;
            add_fresh(&mut self.calls, index, fresh)?;
        }
        Ok(())
    }

    /// Takes out what [`Self::merge`] added.
    ///
    /// # Errors
    /// Where the set is not invertible.
    pub fn unmerge(&mut self, other: &Self, from: &[u32], into: &[u32]) -> Result<()> {
        for (call, other) in self.calls.iter_mut().zip(&other.calls) {
            call.accumulator.unmerge(&other.accumulator.state(from)?, into)?;
        }
        Ok(())
    }

    /// Whether [`Self::unmerge`] works, exactly.
    pub fn is_invertible(&self) -> bool {
        self.distinct.is_empty() && self.calls.iter().all(|call| call.accumulator.is_invertible())
    }

    /// Adds slot `from` to slot `into` and empties it.
    ///
    /// # Errors
    /// As [`Self::merge`].
    pub fn merge_within(&mut self, from: u32, into: u32) -> Result<()> {
        for call in self.calls.iter_mut().filter(|call| call.distinct.is_none()) {
            let state = call.accumulator.state(&[from])?;
            call.accumulator.merge(&state, &[into])?;
        }
        for index in 0..self.distinct.len() {
            let Some(table) = self.distinct.get_mut(index) else { continue };
            let entries = table.entries(&[from])?;
            let slots = vec![into; entries.masks.len()];
            let fresh = table.merge(&entries.values, &entries.masks, &slots)?;
            add_fresh(&mut self.calls, index, fresh)?;
        }
        self.clear(&[from]);
        Ok(())
    }

    /// The results of these slots, one column a call.
    ///
    /// # Errors
    /// Where a result does not fit its type.
    pub fn read(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        self.calls.iter().map(|call| call.accumulator.read(slots)).collect()
    }

    /// Empties slots.
    pub fn clear(&mut self, slots: &[u32]) {
        self.calls.iter_mut().for_each(|call| call.accumulator.clear(slots));
        self.distinct.iter_mut().for_each(|table| table.clear(slots));
    }

    /// The state of these slots as tables, named with `prefix`; row `i` of table `calls` is of `slots[i]`.
    ///
    /// # Errors
    /// Where Arrow cannot build a table.
    pub fn snapshot(&self, prefix: &str, slots: &[u32]) -> Result<OperatorState> {
        let mut columns = Vec::new();
        for call in self.calls.iter().filter(|call| call.distinct.is_none()) {
            columns.extend(call.accumulator.state(slots)?);
        }
        let mut tables = vec![(format!("{prefix}calls"), table_of(columns, slots.len())?)];
        for (index, table) in self.distinct.iter().enumerate() {
            let entries = table.entries(slots)?;
            let rows = entries.masks.len();
            let columns: Vec<ArrayRef> = vec![
                Arc::new(arrow::array::UInt32Array::from(entries.slots)),
                entries.values,
                Arc::new(arrow::array::UInt32Array::from(entries.masks)),
            ];
            tables.push((format!("{prefix}distinct{index}"), table_of(columns, rows)?));
        }
        Ok(OperatorState { tables })
    }

    /// Adds what [`Self::snapshot`] told, row `i` to `slots[i]`.
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
            let [positions, values, masks] = stored.columns() else {
                return Err(EngineError::Internal("a distinct table of another form".into()));
            };
            let uints = |column: &ArrayRef| column.as_primitive::<arrow::datatypes::UInt32Type>().values().to_vec();
            let into: Vec<u32> =
                uints(positions).into_iter().filter_map(|at| slots.get(at as usize).copied()).collect();
            let Some(table) = self.distinct.get_mut(index) else { continue };
            let fresh = table.merge(values, &uints(masks), &into)?;
            add_fresh(&mut self.calls, index, fresh)?;
        }
        Ok(())
    }
}

/// The table of that name.
pub(crate) fn find_table<'a>(state: &'a OperatorState, name: &str) -> Result<&'a RecordBatch> {
    let found = state.tables.iter().find(|(table, _)| table == name);
    found.map(|(_, rows)| rows).ok_or_else(|| EngineError::Internal(format!("the state has no table {name}")))
}

/// A table out of columns, named by position.
pub(crate) fn table_of(columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let field = |(index, column): (usize, &ArrayRef)| Field::new(format!("c{index}"), column.data_type().clone(), true);
    let schema = Schema::new(columns.iter().enumerate().map(field).collect::<Vec<_>>());
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::new(schema), columns, &options)?)
}

/// Feeds values that a call has not seen before to its accumulator.
fn add_fresh(calls: &mut [Call], table: usize, fresh: Vec<distinct::Fresh>) -> Result<()> {
    for fresh in fresh {
        let call = calls.iter_mut().find(|call| call.distinct == Some((table, fresh.bit)));
        if let Some(call) = call {
            let rows = Rows { values: Some(&fresh.values), keep: None, slots: &fresh.slots, arrival: None };
            call.accumulator.update(&rows)?;
        }
    }
    Ok(())
}

/// The rows that pass a filter; null does not.
fn filter_of(batch: &RecordBatch, filter: Option<usize>) -> Result<Option<BooleanBuffer>> {
    let Some(filter) = filter else { return Ok(None) };
    let column = batch.column(filter).as_any().downcast_ref::<BooleanArray>();
    let Some(column) = column else { return Err(EngineError::Internal("a filter that is not boolean".into())) };
    Ok(Some(match column.nulls() {
        None => column.values().clone(),
        Some(nulls) => column.values() & nulls.inner(),
    }))
}

/// The rows that count: those that pass the filter and are not null.
fn kept(nulls: Option<&NullBuffer>, keep: Option<&BooleanBuffer>) -> Option<BooleanBuffer> {
    match (nulls.filter(|nulls| nulls.null_count() > 0), keep) {
        (None, keep) => keep.cloned(),
        (Some(nulls), None) => Some(nulls.inner().clone()),
        (Some(nulls), Some(keep)) => Some(nulls.inner() & keep),
    }
}

fn is_idempotent(function: AggregateFunction) -> bool {
    match function {
        AggregateFunction::Min
        | AggregateFunction::Max
        | AggregateFunction::FirstValue
        | AggregateFunction::LastValue => true,
        AggregateFunction::Count
        | AggregateFunction::Sum
        | AggregateFunction::Avg
        | AggregateFunction::StddevSamp
        | AggregateFunction::StddevPop
        | AggregateFunction::VarSamp
        | AggregateFunction::VarPop => false,
    }
}

#[cfg(test)]
mod tests;
