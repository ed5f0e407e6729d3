//! `BOOL_AND`, `BOOL_OR`, and `BIT_AND`, `BIT_OR`, `BIT_XOR`.
//!
//! Over insertions the bits of a slot are folded into one integer. Where rows may be taken back, AND and OR keep for each
//! bit how many integers have it; XOR takes a value back as it added it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};

use super::accumulator::{Accumulator, Rows};
use crate::error::{EngineError, Result};

/// How many arguments are true and false.
pub(super) struct Flags {
    trues: Vec<i64>,
    falses: Vec<i64>,
    any: bool,
}

impl Flags {
    /// `any`: one true argument is enough.
    pub(super) fn new(any: bool) -> Self {
        Self { trues: Vec::new(), falses: Vec::new(), any }
    }
}

impl Accumulator for Flags {
    fn resize(&mut self, slots: usize) {
        self.trues.resize(slots, 0);
        self.falses.resize(slots, 0);
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let Some(flags) = rows.argument()?.as_boolean_opt() else { return Err(form()) };
        let keep = rows.kept(flags.nulls());
        rows.each(keep.as_ref(), |row, slot, retract| {
            let counts = if flags.value(row) { &mut self.trues } else { &mut self.falses };
            counts[slot] += if retract { -1 } else { 1 };
        });
        Ok(())
    }

    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![ints(&self.trues, slots), ints(&self.falses, slots)])
    }

    fn merge(&mut self, state: &[ArrayRef], slots: &[u32]) -> Result<()> {
        let [trues, falses] = state else { return Err(form()) };
        add(&mut self.trues, trues, slots, 1)?;
        add(&mut self.falses, falses, slots, 1)
    }

    fn unmerge(&mut self, state: &[ArrayRef], slots: &[u32]) -> Result<()> {
        let [trues, falses] = state else { return Err(form()) };
        add(&mut self.trues, trues, slots, -1)?;
        add(&mut self.falses, falses, slots, -1)
    }

    fn is_invertible(&self) -> bool {
        true
    }

    fn read(&self, slots: &[u32]) -> Result<ArrayRef> {
        let flag = |&slot: &u32| {
            let (trues, falses) = (self.trues[slot as usize], self.falses[slot as usize]);
            (trues > 0 || falses > 0).then_some(if self.any { trues > 0 } else { falses <= 0 })
        };
        Ok(Arc::new(slots.iter().map(flag).collect::<BooleanArray>()))
    }

    fn clear(&mut self, slots: &[u32]) {
        slots.iter().for_each(|&slot| (self.trues[slot as usize], self.falses[slot as usize]) = (0, 0));
    }
}

/// What bits are combined by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// `BIT_AND`
    And,
    /// `BIT_OR`
    Or,
    /// `BIT_XOR`
    Xor,
}

/// How many integers have each bit.
type Ones = [i64; 64];

/// Combined bits, and what is needed to take rows back.
struct Bits {
    operation: Operation,
    data_type: DataType,
    counts: Vec<i64>,
    folded: Vec<i64>,
    /// By slot, where AND and OR have to take rows back.
    ones: Option<Vec<Ones>>,
}

/// The accumulator for integers of a type.
pub(super) fn new(arg: &DataType, operation: Operation, retracts: bool) -> Result<Box<dyn Accumulator>> {
    if !arg.is_signed_integer() {
        return Err(EngineError::Unsupported(format!("bitwise aggregates of {arg}")));
    }
    let ones = (retracts && operation != Operation::Xor).then(Vec::new);
    let (counts, folded) = (Vec::new(), Vec::new());
    Ok(Box::new(Bits { operation, data_type: arg.clone(), counts, folded, ones }))
}

impl Operation {
    /// What combines with any value to that value.
    fn neutral(self) -> i64 {
        match self {
            Self::And => -1,
            Self::Or | Self::Xor => 0,
        }
    }

    fn apply(self, left: i64, right: i64) -> i64 {
        match self {
            Self::And => left & right,
            Self::Or => left | right,
            Self::Xor => left ^ right,
        }
    }
}

impl Bits {
    fn result(&self, slot: usize) -> Option<i64> {
        let count = self.counts[slot];
        if count <= 0 {
            return None;
        }
        let Some(ones) = &self.ones else { return Some(self.folded[slot]) };
        let least = if self.operation == Operation::And { count } else { 1 };
        let bit = |(bit, &ones): (usize, &i64)| if ones >= least { 1_i64 << bit } else { 0 };
        Some(ones[slot].iter().enumerate().map(bit).fold(0, |all, bit| all | bit))
    }
}

impl Accumulator for Bits {
    fn resize(&mut self, slots: usize) {
        self.counts.resize(slots, 0);
        self.folded.resize(slots, self.operation.neutral());
        if let Some(ones) = &mut self.ones {
            ones.resize(slots, [0; 64]);
        }
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let values = cast(rows.argument()?, &DataType::Int64)?;
        let values = values.as_primitive::<Int64Type>();
        let keep = rows.kept(values.nulls());
        let (operation, counts, folded) = (self.operation, &mut self.counts, &mut self.folded);
        let sign = |retract: bool| if retract { -1 } else { 1 };
        match &mut self.ones {
            None => {
                if operation != Operation::Xor {
                    rows.insertions_only()?;
                }
                rows.each(keep.as_ref(), |row, slot, retract| {
                    counts[slot] += sign(retract);
                    folded[slot] = operation.apply(folded[slot], values.values()[row]);
                });
            }
            Some(ones) => rows.each(keep.as_ref(), |row, slot, retract| {
                counts[slot] += sign(retract);
                let mut left = values.values()[row].cast_unsigned();
                while left != 0 {
                    ones[slot][left.trailing_zeros() as usize] += sign(retract);
                    left &= left - 1;
                }
            }),
        }
        Ok(())
    }

    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut state = vec![ints(&self.counts, slots), ints(&self.folded, slots)];
        if let Some(ones) = &self.ones {
            let bytes =
                |&slot: &u32| ones[slot as usize].iter().flat_map(|ones| ones.to_le_bytes()).collect::<Vec<u8>>();
            state.push(Arc::new(BinaryArray::from_iter_values(slots.iter().map(bytes))));
        }
        Ok(state)
    }

    fn merge(&mut self, state: &[ArrayRef], slots: &[u32]) -> Result<()> {
        let [counts, folded, rest @ ..] = state else { return Err(form()) };
        add(&mut self.counts, counts, slots, 1)?;
        let Some(folded) = folded.as_primitive_opt::<Int64Type>() else { return Err(form()) };
        for (&slot, &value) in slots.iter().zip(folded.values()) {
            self.folded[slot as usize] = self.operation.apply(self.folded[slot as usize], value);
        }
        let Some(ones) = &mut self.ones else { return Ok(()) };
        let Some(stored) = rest.first().and_then(|column| column.as_binary_opt::<i32>()) else { return Err(form()) };
        for (&slot, stored) in slots.iter().zip(stored.iter().flatten()) {
            let (numbers, _) = stored.as_chunks::<8>();
            for (ones, number) in ones[slot as usize].iter_mut().zip(numbers) {
                *ones += i64::from_le_bytes(*number);
            }
        }
        Ok(())
    }

    fn read(&self, slots: &[u32]) -> Result<ArrayRef> {
        let values: Int64Array = slots.iter().map(|&slot| self.result(slot as usize)).collect();
        Ok(cast(&values, &self.data_type)?)
    }

    fn clear(&mut self, slots: &[u32]) {
        for slot in slots.iter().map(|&slot| slot as usize) {
            (self.counts[slot], self.folded[slot]) = (0, self.operation.neutral());
            if let Some(ones) = &mut self.ones {
                ones[slot] = [0; 64];
            }
        }
    }
}

fn ints(values: &[i64], slots: &[u32]) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(slots.iter().map(|&slot| values[slot as usize])))
}

/// Adds a column times `sign`.
fn add(values: &mut [i64], column: &ArrayRef, slots: &[u32], sign: i64) -> Result<()> {
    let Some(column) = column.as_primitive_opt::<Int64Type>() else { return Err(form()) };
    for (&slot, &value) in slots.iter().zip(column.values()) {
        values[slot as usize] += sign * value;
    }
    Ok(())
}

fn form() -> EngineError {
    EngineError::Internal("the state of a bitwise aggregate has another form".into())
}
