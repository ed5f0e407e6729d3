//! [`AggregateSet`]: the accumulators of all aggregates of one operator, in columns indexed by slot.
//!
//! Each call is an [`Accumulator`]; calls with DISTINCT on the same columns share one table of the values seen, with a
//! bit a call (`distinct`). Reading does not consume. Results equal DataFusion's for the same SQL and types.
//!
//! | rows may be | sums, counts, flags | min, max | first, last | medians, percentiles | lists |
//! |---|---|---|---|---|---|
//! | inserted | number | value | value | ordered values | rows in order |
//! | taken back too | number | ordered values | rows in order | ordered values | rows in order |
//!
//! An accumulator over rows that may be taken back is also right while a retraction is there and its insertion is not.

mod accumulator;
mod bits;
mod codec;
mod count;
mod distinct;
mod edge;
mod extreme;
mod float_sum;
mod moments;
mod multiset;
mod sequence;
mod sketch;
mod sum;
mod tables;
mod variance;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Schema};
use std::sync::Arc;

pub(crate) use self::accumulator::Arrival;
use self::accumulator::{Accumulator, Rows, Signature};
use self::distinct::DistinctTable;
pub(crate) use self::tables::{find_table, table_if_any, table_of, table_parts};
use crate::error::{EngineError, Result};
use crate::message::{Delta, Sign};
use crate::plan::{AggregateCall, AggregateFunction};

/// The accumulators of one operator.
pub struct AggregateSet {
    calls: Vec<Call>,
    distinct: Vec<DistinctTable>,
    slots: usize,
    retracts: bool,
}

struct Call {
    /// The arguments, then the columns that order them.
    columns: Vec<usize>,
    /// How many of the columns are arguments.
    args: usize,
    filter: Option<usize>,
    /// The distinct table and its bit.
    distinct: Option<(usize, u32)>,
    keeps_nulls: bool,
    accumulator: Box<dyn Accumulator>,
}

impl Call {
    fn rows(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        self.columns.iter().map(|&column| Arc::clone(batch.column(column))).collect()
    }
}

impl AggregateSet {
    /// Accumulators for these calls over rows of `input`. `retracts`: rows may be taken back.
    ///
    /// # Errors
    /// Where an aggregate is not defined for its argument's type.
    pub fn new(calls: &[AggregateCall], input: &Schema, retracts: bool) -> Result<Self> {
        let mut set = Self { calls: Vec::with_capacity(calls.len()), distinct: Vec::new(), slots: 0, retracts };
        for call in calls {
            let order: Vec<usize> = call.order_by.iter().map(|key| key.column).collect();
            let columns = [call.args.clone(), order].concat();
            let types: Vec<DataType> = columns.iter().map(|&column| input.field(column).data_type().clone()).collect();
            let option = |key: &crate::plan::SortKey| SortOptions::new(key.descending, key.nulls_first);
            let sorted = types.iter().skip(call.args.len()).cloned().zip(call.order_by.iter().map(option));
            // Where values may go, a sketch does not help: they are counted.
            let counted = retracts && call.function == AggregateFunction::ApproxCountDistinct;
            let signature = Signature {
                function: if counted { &AggregateFunction::Count } else { &call.function },
                args: &types[..call.args.len()],
                order: &sorted.collect::<Vec<_>>(),
                output: call.output.data_type(),
                retracts,
            };
            let accumulator = accumulator::new(&signature)?;
            let distinct = (call.distinct && !is_idempotent(&call.function)) || counted;
            let distinct = if distinct { Some(set.distinct_bit(&columns, &types)?) } else { None };
            set.calls.push(Call {
                columns,
                args: call.args.len(),
                filter: call.filter,
                distinct,
                keeps_nulls: call.function == AggregateFunction::ArrayAgg,
                accumulator,
            });
        }
        Ok(set)
    }

    /// The table for DISTINCT values of some columns, and a free bit in it.
    fn distinct_bit(&mut self, columns: &[usize], types: &[DataType]) -> Result<(usize, u32)> {
        let found = self.distinct.iter().position(|table| table.columns() == columns && table.has_room());
        let index = match found {
            Some(index) => index,
            None => {
                self.distinct.push(DistinctTable::new(columns, types, self.retracts)?);
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
        self.update_arrived(batch, None, slots, None)
    }

    /// Adds the inserted rows of a delta and takes the retracted ones back.
    ///
    /// # Errors
    /// As [`Self::update`]; where a row is retracted and the set is over insertions.
    pub fn update_signed(&mut self, delta: &Delta, slots: &[u32]) -> Result<()> {
        let retracts = match &delta.sign {
            Sign::AppendOnly => None,
            Sign::Retracts(bits) => Some(bits),
        };
        self.update_arrived(&delta.batch, retracts, slots, None)
    }

    /// As [`Self::update_signed`], for sets that are merged later: `arrival` tells which rows of which set came first.
    ///
    /// # Errors
    /// As [`Self::update_signed`].
    pub(crate) fn update_arrived(
        &mut self,
        batch: &RecordBatch,
        retracts: Option<&BooleanBuffer>,
        slots: &[u32],
        arrival: Option<Arrival<'_>>,
    ) -> Result<()> {
        if retracts.is_some() && !self.retracts {
            return Err(EngineError::Internal("a row is retracted from aggregates over insertions".into()));
        }
        let filters = self.calls.iter().map(|call| filter_of(batch, call.filter)).collect::<Result<Vec<_>>>()?;
        for (call, filter) in self.calls.iter_mut().zip(&filters) {
            if call.distinct.is_none() {
                let columns = call.rows(batch);
                let rows = Rows { columns: &columns, keep: filter.as_ref(), retracts, slots, arrival };
                call.accumulator.update(&rows)?;
            }
        }
        for (index, table) in self.distinct.iter_mut().enumerate() {
            let of_table = |(call, filter): (&Call, &Option<BooleanBuffer>)| match call.distinct {
                Some((of, bit)) if of == index => Some((bit, counted(call, batch, filter.as_ref()))),
                Some(_) | None => None,
            };
            let bits: Vec<_> = self.calls.iter().zip(&filters).filter_map(of_table).collect();
            let columns: Vec<ArrayRef> =
                table.columns().iter().map(|&column| Arc::clone(batch.column(column))).collect();
            let fresh = table.update(&columns, &bits, retracts, slots)?;
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
            let fresh = table.merge(&entries, &slots)?;
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
            let fresh = table.merge(&entries, &slots)?;
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
}

/// Feeds what came to a call, or went from it, to its accumulator.
fn add_fresh(calls: &mut [Call], table: usize, fresh: Vec<distinct::Fresh>) -> Result<()> {
    for fresh in fresh {
        let call = calls.iter_mut().find(|call| call.distinct == Some((table, fresh.bit)));
        if let Some(call) = call {
            let inserted = Rows::inserted(&fresh.values, &fresh.slots);
            call.accumulator.update(&Rows { retracts: fresh.retracts.as_ref(), ..inserted })?;
        }
    }
    Ok(())
}

/// The rows that count for a call: that pass its filter and have no null argument.
fn counted(call: &Call, batch: &RecordBatch, filter: Option<&BooleanBuffer>) -> Option<BooleanBuffer> {
    let args = call.columns.iter().take(if call.keeps_nulls { 0 } else { call.args });
    let nulls = args.map(|&column| batch.column(column).logical_nulls());
    let nulls = nulls.fold(None, |all, one| NullBuffer::union(all.as_ref(), one.as_ref()));
    kept(nulls.as_ref(), filter)
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

/// Whether it is the same if a value counts once or often.
fn is_idempotent(function: &AggregateFunction) -> bool {
    match function {
        AggregateFunction::Min
        | AggregateFunction::Max
        | AggregateFunction::FirstValue
        | AggregateFunction::LastValue
        | AggregateFunction::BoolAnd
        | AggregateFunction::BoolOr
        | AggregateFunction::BitAnd
        | AggregateFunction::BitOr
        | AggregateFunction::ApproxCountDistinct => true,
        AggregateFunction::Count
        | AggregateFunction::Sum
        | AggregateFunction::Avg
        | AggregateFunction::StddevSamp
        | AggregateFunction::StddevPop
        | AggregateFunction::VarSamp
        | AggregateFunction::VarPop
        | AggregateFunction::BitXor
        | AggregateFunction::StringAgg { .. }
        | AggregateFunction::ArrayAgg
        | AggregateFunction::PercentileCont(_)
        | AggregateFunction::PercentileDisc(_)
        | AggregateFunction::Median
        | AggregateFunction::OfPairs(_) => false,
    }
}

#[cfg(test)]
mod ordered_tests;
#[cfg(test)]
mod tests;
