//! The [`Accumulator`] trait, and which one serves which aggregate and type.

use arrow::array::ArrayRef;
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::SortOptions;
use arrow::datatypes::DataType;

use super::multiset::Reading;
use super::sequence::Sequence;
use super::{bits, count, edge, extreme, float_sum, moments, multiset, sequence, sketch, sum, variance};
use crate::error::{EngineError, Result};
use crate::plan::{AggregateFunction, PairStatistic};

/// Rows for an accumulator.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// The arguments, then the columns that order them; none for `COUNT(*)`.
    pub(super) columns: &'a [ArrayRef],
    /// The rows that count; all where it is none.
    pub(super) keep: Option<&'a BooleanBuffer>,
    /// The rows that are taken back; none where it is none.
    pub(super) retracts: Option<&'a BooleanBuffer>,
    /// The slot of each row.
    pub(super) slots: &'a [u32],
    /// The places of the rows in the order of arrival; after all rows so far where it is none.
    pub(super) arrival: Option<Arrival<'a>>,
}

impl<'a> Rows<'a> {
    /// All of these rows, inserted.
    pub(super) fn inserted(columns: &'a [ArrayRef], slots: &'a [u32]) -> Self {
        Self { columns, keep: None, retracts: None, slots, arrival: None }
    }

    /// The first argument.
    pub(super) fn argument(&self) -> Result<&'a ArrayRef> {
        self.columns.first().ok_or_else(|| EngineError::Internal("an aggregate without its argument".into()))
    }

    /// The rows that count and are valid in `nulls`.
    pub(super) fn kept(&self, nulls: Option<&NullBuffer>) -> Option<BooleanBuffer> {
        super::kept(nulls, self.keep)
    }

    /// Visits each row of `keep` with its slot and whether it is retracted.
    #[inline]
    pub(super) fn each(&self, keep: Option<&BooleanBuffer>, mut visit: impl FnMut(usize, usize, bool)) {
        match (keep, self.retracts) {
            (None, None) => self.slots.iter().enumerate().for_each(|(row, &slot)| visit(row, slot as usize, false)),
            (Some(keep), None) => keep.set_indices().for_each(|row| visit(row, self.slots[row] as usize, false)),
            (None, Some(retracts)) => {
                let rows = self.slots.iter().zip(retracts.iter()).enumerate();
                rows.for_each(|(row, (&slot, retract))| visit(row, slot as usize, retract));
            }
            (Some(keep), Some(retracts)) => {
                keep.set_indices().for_each(|row| visit(row, self.slots[row] as usize, retracts.value(row)));
            }
        }
    }

    /// For accumulators that cannot take rows back.
    pub(super) fn insertions_only(&self) -> Result<()> {
        match self.retracts {
            None => Ok(()),
            Some(_) => Err(EngineError::Internal("a row is retracted from an aggregate over insertions".into())),
        }
    }
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
///
/// Over changing input a retraction may come before its insertion: what is held may be negative in between, and is read
/// only when all rows of an epoch have come.
pub(super) trait Accumulator: Send {
    /// Makes room for slots `0 .. slots`.
    fn resize(&mut self, slots: usize);

    /// Adds rows and takes rows back. Slots are within the size.
    fn update(&mut self, rows: &Rows<'_>) -> Result<()>;

    /// What these slots hold, as columns: for merging and for snapshots.
    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>>;

    /// Adds what [`Self::state`] gave, row `i` to `slots[i]`.
    fn merge(&mut self, state: &[ArrayRef], slots: &[u32]) -> Result<()>;

    /// Takes out what [`Self::merge`] added, where the accumulator is invertible.
    fn unmerge(&mut self, _state: &[ArrayRef], _slots: &[u32]) -> Result<()> {
        Err(EngineError::Internal("what was merged into this aggregate cannot be taken back".into()))
    }

    /// Whether [`Self::unmerge`] works, exactly.
    fn is_invertible(&self) -> bool {
        false
    }

    /// The results.
    fn read(&self, slots: &[u32]) -> Result<ArrayRef>;

    /// Empties slots.
    fn clear(&mut self, slots: &[u32]);
}

/// What an accumulator is made for.
pub(super) struct Signature<'a> {
    pub(super) function: &'a AggregateFunction,
    pub(super) args: &'a [DataType],
    /// The columns that order the rows.
    pub(super) order: &'a [(DataType, SortOptions)],
    pub(super) output: &'a DataType,
    /// Rows may be taken back.
    pub(super) retracts: bool,
}

/// The accumulator of a signature.
pub(super) fn new(signature: &Signature<'_>) -> Result<Box<dyn Accumulator>> {
    let Signature { function, args, output, retracts, .. } = *signature;
    let arg = args.first().unwrap_or(&DataType::Int64);
    match function {
        AggregateFunction::Count => Ok(Box::new(count::Count::new(output))),
        AggregateFunction::Sum | AggregateFunction::Avg if retracts && *output == DataType::Float64 => {
            Ok(Box::new(float_sum::FloatSum::new(*function == AggregateFunction::Avg)))
        }
        AggregateFunction::Sum => sum::new_sum(output),
        AggregateFunction::Avg => sum::new_avg(arg, output),
        AggregateFunction::Min if retracts => multiset::new(arg, output, Reading::Least),
        AggregateFunction::Max if retracts => multiset::new(arg, output, Reading::Greatest),
        AggregateFunction::Min => extreme::new(arg, extreme::Side::Least),
        AggregateFunction::Max => extreme::new(arg, extreme::Side::Greatest),
        AggregateFunction::FirstValue => first_or_last(signature, edge::Which::First),
        AggregateFunction::LastValue => first_or_last(signature, edge::Which::Last),
        AggregateFunction::StddevSamp => Ok(deviation(retracts, true, true)),
        AggregateFunction::StddevPop => Ok(deviation(retracts, false, true)),
        AggregateFunction::VarSamp => Ok(deviation(retracts, true, false)),
        AggregateFunction::VarPop => Ok(deviation(retracts, false, false)),
        AggregateFunction::BoolAnd => Ok(Box::new(bits::Flags::new(false))),
        AggregateFunction::BoolOr => Ok(Box::new(bits::Flags::new(true))),
        AggregateFunction::BitAnd => bits::new(arg, bits::Operation::And, retracts),
        AggregateFunction::BitOr => bits::new(arg, bits::Operation::Or, retracts),
        AggregateFunction::BitXor => bits::new(arg, bits::Operation::Xor, retracts),
        AggregateFunction::ApproxCountDistinct => Ok(Box::new(sketch::Sketches::new(arg, output)?)),
        AggregateFunction::StringAgg { separator } => {
            let separator = separator.clone();
            Ok(Box::new(Sequence::new(signature, sequence::Reading::Text { separator, output: output.clone() })?))
        }
        AggregateFunction::ArrayAgg => Ok(Box::new(Sequence::new(signature, sequence::Reading::list(arg, output)?)?)),
        AggregateFunction::PercentileCont(at) => multiset::new(arg, output, Reading::Between(*at)),
        AggregateFunction::PercentileDisc(at) => multiset::new(arg, output, Reading::At(*at)),
        AggregateFunction::Median => multiset::new(arg, output, Reading::Middle),
        AggregateFunction::OfPairs(PairStatistic::RegrCount) => Ok(Box::new(count::Count::new(output))),
        AggregateFunction::OfPairs(statistic) => Ok(Box::new(moments::Moments::of_pairs(*statistic))),
    }
}

/// Over insertions in the order of arrival one value is enough.
fn first_or_last(signature: &Signature<'_>, which: edge::Which) -> Result<Box<dyn Accumulator>> {
    let Signature { args: [arg, ..], order, retracts, .. } = *signature else {
        return Err(EngineError::Internal("an aggregate without its argument".into()));
    };
    if !retracts && order.is_empty() {
        return Ok(Box::new(edge::Edge::new(arg, which)?));
    }
    let reading = match which {
        edge::Which::First => sequence::Reading::First,
        edge::Which::Last => sequence::Reading::Last,
    };
    Ok(Box::new(Sequence::new(signature, reading)?))
}

fn deviation(retracts: bool, sample: bool, root: bool) -> Box<dyn Accumulator> {
    if retracts {
        Box::new(moments::Moments::of_one(sample, root))
    } else {
        Box::new(variance::Variance::new(sample, root))
    }
}
