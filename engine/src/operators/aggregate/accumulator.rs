//! The [`Accumulator`] trait, and which one serves which aggregate and type.

use arrow::array::ArrayRef;
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::DataType;

use super::{count, edge, extreme, sum, variance};
use crate::error::Result;
use crate::plan::AggregateFunction;

/// Rows for an accumulator.
pub(super) struct Rows<'a> {
    /// The argument; none for `COUNT(*)`.
    pub(super) values: Option<&'a ArrayRef>,
    /// The rows that pass the filter; all where it is none.
    pub(super) keep: Option<&'a BooleanBuffer>,
    /// The slot of each row.
    pub(super) slots: &'a [u32],
    /// The places of the rows in the order of arrival; after all rows so far where it is none.
    pub(super) arrival: Option<Arrival<'a>>,
}

/// Places of rows in the order of arrival, across all accumulators that may be merged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival<'a> {
    /// Place of the first row of the batch that arrived.
    pub(crate) first: i64,
    /// Which rows of that batch these are; all where it is none.
    pub(crate) rows: Option<&'a [u32]>,
}

impl Arrival<'_> {
    /// The place of row `row`.
    pub(super) fn of(&self, row: usize) -> i64 {
        let within = match self.rows {
            None => row as i64,
            Some(rows) => rows.get(row).map_or(row as i64, |&row| i64::from(row)),
        };
        self.first + within
    }
}

/// One aggregate, for all slots.
pub(super) trait Accumulator: Send {
    /// Makes room for slots `0 .. slots`.
    fn resize(&mut self, slots: usize);

    /// Adds rows. Slots are within the size.
    fn update(&mut self, rows: &Rows<'_>) -> Result<()>;

    /// What these slots hold, as columns: for merging and for snapshots.
    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>>;

    /// Adds what [`Self::state`] gave, row `i` to `slots[i]`.
    fn merge(&mut self, state: &[ArrayRef], slots: &[u32]) -> Result<()>;

    /// Takes out what [`Self::merge`] added, where the accumulator is invertible.
    fn unmerge(&mut self, state: &[ArrayRef], slots: &[u32]) -> Result<()>;

    /// Whether [`Self::unmerge`] works, exactly.
    fn is_invertible(&self) -> bool;

    /// The results.
    fn read(&self, slots: &[u32]) -> Result<ArrayRef>;

    /// Empties slots.
    fn clear(&mut self, slots: &[u32]);
}

/// The accumulator for an aggregate of an argument type and a result type.
pub(super) fn new(
    function: AggregateFunction,
    arg: Option<&DataType>,
    output: &DataType,
) -> Result<Box<dyn Accumulator>> {
    let arg = arg.unwrap_or(&DataType::Int64);
    match function {
        AggregateFunction::Count => Ok(Box::new(count::Count::default())),
        AggregateFunction::Sum => sum::new_sum(output),
        AggregateFunction::Avg => sum::new_avg(arg, output),
        AggregateFunction::Min => extreme::new(arg, extreme::Side::Least),
        AggregateFunction::Max => extreme::new(arg, extreme::Side::Greatest),
        AggregateFunction::FirstValue => Ok(Box::new(edge::Edge::new(arg, edge::Which::First)?)),
        AggregateFunction::LastValue => Ok(Box::new(edge::Edge::new(arg, edge::Which::Last)?)),
        AggregateFunction::StddevSamp => Ok(Box::new(variance::Variance::new(true, true))),
        AggregateFunction::StddevPop => Ok(Box::new(variance::Variance::new(false, true))),
        AggregateFunction::VarSamp => Ok(Box::new(variance::Variance::new(true, false))),
        AggregateFunction::VarPop => Ok(Box::new(variance::Variance::new(false, false))),
    }
}
