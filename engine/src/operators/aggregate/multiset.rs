//! Aggregates over the ordered values of a slot: `MIN` and `MAX` where rows may be taken back, medians and percentiles.
//!
//! A slot holds each value with how often it is there, which may be negative until the barrier.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, PrimitiveArray, UInt32Array};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};

use super::accumulator::{Accumulator, Rows};
use super::codec::{Codec, as_lists, form, lists, ranges};
use crate::error::Result;
use crate::plan::Percentile;

/// What is read from the ordered values.
#[derive(Clone, Copy)]
pub(super) enum Reading {
    /// `MIN`
    Least,
    /// `MAX`
    Greatest,
    /// `PERCENTILE_CONT`
    Between(Percentile),
    /// `PERCENTILE_DISC`
    At(Percentile),
    /// `MEDIAN`
    Middle,
}

/// The accumulator for an argument type.
pub(super) fn new(arg: &DataType, output: &DataType, reading: Reading) -> Result<Box<dyn Accumulator>> {
    // Types of up to 64 bits are rows of up to 9 bytes, which fit an integer.
    let small = *arg == DataType::Boolean || arg.primitive_width().is_some_and(|width| width <= 8);
    if small {
        Ok(Box::new(Multiset::<u128>::new(arg, output, reading)?))
    } else {
        Ok(Box::new(Multiset::<Box<[u8]>>::new(arg, output, reading)?))
    }
}

/// An encoded value as the key of an ordered map.
trait Key: Ord + Send {
    fn of(row: &[u8]) -> Self;

    /// Calls back with the row, which is `width` bytes long where all are.
    fn append(&self, width: usize, into: &mut Vec<u8>);
}

impl Key for Box<[u8]> {
    fn of(row: &[u8]) -> Self {
        row.into()
    }

    fn append(&self, _width: usize, into: &mut Vec<u8>) {
        into.extend_from_slice(self);
    }
}

impl Key for u128 {
    fn of(row: &[u8]) -> Self {
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(row).for_each(|(byte, of)| *byte = *of);
        Self::from_be_bytes(bytes)
    }

    fn append(&self, width: usize, into: &mut Vec<u8>) {
        into.extend(self.to_be_bytes().into_iter().take(width));
    }
}

/// Values with their counts, by slot.
struct Multiset<K> {
    codec: Codec,
    /// Bytes of a row, where all are as long.
    width: usize,
    data_type: DataType,
    output: DataType,
    values: Vec<BTreeMap<K, i64>>,
    reading: Reading,
}

/// Rows one after another.
#[derive(Default)]
struct Arena {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Arena {
    fn push<K: Key>(&mut self, key: &K, width: usize) {
        key.append(width, &mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    fn rows(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.bytes[start..end])
    }
}

impl<K: Key> Multiset<K> {
    fn new(arg: &DataType, output: &DataType, reading: Reading) -> Result<Self> {
        let codec = Codec::of(arg)?;
        let width = codec.encode(&[arrow::array::new_null_array(arg, 1)])?.row(0).as_ref().len();
        let (data_type, output) = (arg.clone(), output.clone());
        Ok(Self { codec, width, data_type, output, values: Vec::new(), reading })
    }

    fn change(&mut self, slot: usize, row: &[u8], by: i64) {
        use std::collections::btree_map::Entry;
        match self.values[slot].entry(K::of(row)) {
            Entry::Vacant(vacant) => {
                if by != 0 {
                    vacant.insert(by);
                }
            }
            Entry::Occupied(mut held) => {
                *held.get_mut() += by;
                if *held.get() == 0 {
                    held.remove();
                }
            }
        }
    }

    fn merge_times(&mut self, state: &[ArrayRef], slots: &[u32], sign: i64) -> Result<()> {
        let [values, counts] = state else { return Err(form()) };
        let (values, counts) = (as_lists(values)?, as_lists(counts)?);
        let rows = self.codec.encode(std::slice::from_ref(values.values()))?;
        let counts = counts.values().as_primitive_opt::<Int64Type>().ok_or_else(form)?;
        if counts.len() != rows.num_rows() {
            return Err(form());
        }
        for (range, &slot) in ranges(values).zip(slots) {
            range.for_each(|at| self.change(slot as usize, rows.row(at).as_ref(), sign * counts.value(at)));
        }
        Ok(())
    }

    /// The keys of the values at `rank` and the next one, counted from either end.
    fn ranked(&self, slot: usize, rank: i64, descending: bool) -> Option<(&K, &K)> {
        let held = self.values[slot].iter().filter(|(_, count)| **count > 0);
        if descending { neighbours(held.rev(), rank) } else { neighbours(held, rank) }
    }

    /// One value a slot.
    fn read_one<'a>(&'a self, slots: &[u32], of: impl Fn(usize) -> Option<&'a K>) -> Result<ArrayRef> {
        let mut arena = Arena::default();
        let mut present = 0_u32;
        let place = |&slot: &u32| {
            of(slot as usize).map(|key| {
                arena.push(key, self.width);
                present += 1;
                present - 1
            })
        };
        let places: UInt32Array = slots.iter().map(place).collect();
        Ok(take(&self.codec.decode_one(arena.rows())?, &places, None)?)
    }

    /// How many values a slot has.
    fn count(&self, slot: usize) -> i64 {
        self.values[slot].values().filter(|count| **count > 0).sum()
    }

    /// The values around a fraction and how far it is from the first to the second.
    fn read_between(&self, slots: &[u32], at: Percentile) -> Result<(ArrayRef, ArrayRef, Vec<f64>)> {
        let mut weights = Vec::with_capacity(slots.len());
        let mut around = Vec::with_capacity(slots.len());
        for &slot in slots {
            let index = at.fraction.clamp(0.0, 1.0) * (self.count(slot as usize) - 1).max(0) as f64;
            weights.push(quantised(index.fract()));
            around.push(self.ranked(slot as usize, index.floor() as i64, at.descending));
        }
        let side = |second: bool| {
            let mut arena = Arena::default();
            let mut places = Vec::with_capacity(around.len());
            for keys in &around {
                places.push(keys.map(|_| arena.ends.len() as u32));
                if let Some((lower, upper)) = keys {
                    arena.push(if second { *upper } else { *lower }, self.width);
                }
            }
            Ok::<_, crate::error::EngineError>(take(
                &self.codec.decode_one(arena.rows())?,
                &UInt32Array::from(places),
                None,
            )?)
        };
        Ok((side(false)?, side(true)?, weights))
    }
}

/// The key at a rank and the one after it (itself, where it is the last).
fn neighbours<'a, K>(held: impl Iterator<Item = (&'a K, &'a i64)>, rank: i64) -> Option<(&'a K, &'a K)> {
    let (mut before, mut lower) = (0, None);
    for (key, count) in held {
        if let Some(lower) = lower {
            return Some((lower, key));
        }
        before += count;
        if before > rank + 1 {
            return Some((key, key));
        }
        if before > rank {
            lower = Some(key);
        }
    }
    lower.map(|lower| (lower, lower))
}

/// DataFusion's weight: to six digits.
fn quantised(weight: f64) -> f64 {
    (weight * 1e6).trunc() / 1e6
}

/// Interpolates in floating point; a value that is hit exactly stays as it is.
fn interpolated(lower: &ArrayRef, upper: &ArrayRef, weights: &[f64], output: &DataType) -> Result<ArrayRef> {
    let float = |column: &ArrayRef| cast(column, &DataType::Float64);
    let (from, to) = (float(lower)?, float(upper)?);
    let (from, to) = (from.as_primitive::<Float64Type>(), to.as_primitive::<Float64Type>());
    let value = |(row, weight): (usize, &f64)| {
        from.is_valid(row).then(|| from.value(row) + (to.value(row) - from.value(row)) * weight)
    };
    let values: Float64Array = weights.iter().enumerate().map(value).collect();
    let exact: BooleanArray = weights.iter().map(|weight| Some(*weight == 0.0)).collect();
    Ok(zip(&exact, &cast(lower, output)?, &cast(&values, output)?)?)
}

/// The mean of two columns, cut to their type.
fn middle(lower: &ArrayRef, upper: &ArrayRef, output: &DataType) -> Result<ArrayRef> {
    fn mean(lower: i128, upper: i128) -> i128 {
        // Where the sum does not fit, half of each and what the halves lost.
        let halves = || lower / 2 + upper / 2 + (lower % 2 + upper % 2) / 2;
        lower.checked_add(upper).map_or_else(halves, |sum| sum / 2)
    }
    if let (Some(lower), Some(upper)) =
        (lower.as_primitive_opt::<Decimal128Type>(), upper.as_primitive_opt::<Decimal128Type>())
    {
        let rows = lower.iter().zip(upper.iter());
        let means: PrimitiveArray<Decimal128Type> = rows.map(|(lower, upper)| Some(mean(lower?, upper?))).collect();
        return Ok(cast(&means.with_data_type(lower.data_type().clone()), output)?);
    }
    let (lower, upper) = (cast(lower, &DataType::Int64)?, cast(upper, &DataType::Int64)?);
    let rows = lower.as_primitive::<Int64Type>().iter().zip(upper.as_primitive::<Int64Type>().iter());
    let means: Int64Array =
        rows.map(|(lower, upper)| i64::try_from(mean(i128::from(lower?), i128::from(upper?))).ok()).collect();
    Ok(cast(&means, output)?)
}

impl<K: Key> Accumulator for Multiset<K> {
    fn resize(&mut self, slots: usize) {
        self.values.resize_with(slots, BTreeMap::new);
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let values = rows.argument()?;
        let encoded = self.codec.encode(std::slice::from_ref(values))?;
        let keep = rows.kept(values.logical_nulls().as_ref());
        rows.each(keep.as_ref(), |row, slot, retract| {
            self.change(slot, encoded.row(row).as_ref(), if retract { -1 } else { 1 });
        });
        Ok(())
    }

    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let (mut arena, mut counts) = (Arena::default(), Vec::new());
        for &slot in slots {
            for (key, count) in &self.values[slot as usize] {
                arena.push(key, self.width);
                counts.push(*count);
            }
        }
        let lengths = || slots.iter().map(|&slot| self.values[slot as usize].len());
        let values = lists(self.codec.decode_one(arena.rows())?, lengths())?;
        Ok(vec![values, lists(Arc::new(Int64Array::from(counts)), lengths())?])
    }

    fn merge(&mut self, state: &[ArrayRef], slots: &[u32]) -> Result<()> {
        self.merge_times(state, slots, 1)
    }

    fn unmerge(&mut self, state: &[ArrayRef], slots: &[u32]) -> Result<()> {
        self.merge_times(state, slots, -1)
    }

    fn is_invertible(&self) -> bool {
        true
    }

    fn read(&self, slots: &[u32]) -> Result<ArrayRef> {
        let present = |(key, count): (_, &i64)| (*count > 0).then_some(key);
        match self.reading {
            Reading::Least => self.read_one(slots, |slot| self.values[slot].iter().find_map(present)),
            Reading::Greatest => self.read_one(slots, |slot| self.values[slot].iter().rev().find_map(present)),
            Reading::At(at) => {
                let found = self.read_one(slots, |slot| {
                    let rank = (at.fraction.clamp(0.0, 1.0) * self.count(slot) as f64).ceil() as i64 - 1;
                    self.ranked(slot, rank.max(0), at.descending).map(|(key, _)| key)
                })?;
                Ok(cast(&found, &self.output)?)
            }
            Reading::Between(at) => {
                let (lower, upper, weights) = self.read_between(slots, at)?;
                interpolated(&lower, &upper, &weights, &self.output)
            }
            Reading::Middle => {
                let (lower, upper, weights) =
                    self.read_between(slots, Percentile { fraction: 0.5, descending: false })?;
                if self.data_type.is_floating() || self.output.is_floating() {
                    return interpolated(&lower, &upper, &weights, &self.output);
                }
                let exact: BooleanArray = weights.iter().map(|weight| Some(*weight == 0.0)).collect();
                Ok(zip(&exact, &cast(&lower, &self.output)?, &middle(&lower, &upper, &self.output)?)?)
            }
        }
    }

    fn clear(&mut self, slots: &[u32]) {
        slots.iter().for_each(|&slot| self.values[slot as usize].clear());
    }
}
