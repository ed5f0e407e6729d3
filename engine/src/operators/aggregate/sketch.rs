//! `APPROX_COUNT_DISTINCT` over insertions, by HyperLogLog.
//!
//! A slot keeps the hashes of its values while they are few, so that small counts are exact and many small groups take
//! little memory; then 4,096 registers, for a standard error of 1.6 %. The estimate is Ertl's ("New cardinality
//! estimation algorithms for HyperLogLog sketches", 2017), which needs no correction of small or large counts.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use xxhash_rust::xxh3::xxh3_64;

use super::accumulator::{Accumulator, Rows};
use super::codec::{Codec, form};
use crate::error::Result;

/// Bits of a hash that choose the register.
const REGISTER_BITS: u32 = 12;
const REGISTERS: usize = 1 << REGISTER_BITS;
/// The greatest value of a register.
const RANK_MAX: usize = (u64::BITS - REGISTER_BITS) as usize + 1;
/// Hashes that are kept as they are. Less in bytes than the registers.
const FEW: usize = 256;

/// The values of one slot.
enum Sketch {
    /// Hashes, ascending.
    Few(Vec<u64>),
    /// By register the longest run of zeros so far, plus one.
    Many(Box<[u8]>),
}

impl Sketch {
    fn add(&mut self, hash: u64) {
        match self {
            Self::Few(hashes) => {
                let Err(at) = hashes.binary_search(&hash) else { return };
                if hashes.len() < FEW {
                    hashes.insert(at, hash);
                    return;
                }
                let mut registers = vec![0; REGISTERS].into_boxed_slice();
                hashes.iter().chain([&hash]).for_each(|&hash| register(&mut registers, hash));
                *self = Self::Many(registers);
            }
            Self::Many(registers) => register(registers, hash),
        }
    }

    fn count(&self) -> i64 {
        match self {
            Self::Few(hashes) => hashes.len() as i64,
            Self::Many(registers) => estimate(registers),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Few(hashes) => hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect(),
            Self::Many(registers) => registers.to_vec(),
        }
    }

    fn merge(&mut self, bytes: &[u8]) {
        if bytes.len() < REGISTERS {
            let (hashes, _) = bytes.as_chunks::<8>();
            hashes.iter().for_each(|hash| self.add(u64::from_le_bytes(*hash)));
            return;
        }
        let mut registers: Box<[u8]> = bytes.iter().take(REGISTERS).map(|rank| (*rank).min(RANK_MAX as u8)).collect();
        match self {
            Self::Few(hashes) => hashes.iter().for_each(|&hash| register(&mut registers, hash)),
            Self::Many(own) => registers.iter_mut().zip(own.iter()).for_each(|(rank, own)| *rank = (*rank).max(*own)),
        }
        *self = Self::Many(registers);
    }
}

fn register(registers: &mut [u8], hash: u64) {
    let rest = hash << REGISTER_BITS;
    let rank = (rest.leading_zeros().min(u64::BITS - REGISTER_BITS) + 1) as u8;
    let kept = &mut registers[(hash >> (u64::BITS - REGISTER_BITS)) as usize];
    *kept = (*kept).max(rank);
}

fn estimate(registers: &[u8]) -> i64 {
    let registers_count = REGISTERS as f64;
    let mut ranks = [0.0_f64; RANK_MAX + 1];
    registers.iter().for_each(|&rank| ranks[usize::from(rank).min(RANK_MAX)] += 1.0);
    let mut sum = registers_count * tau(1.0 - ranks[RANK_MAX] / registers_count);
    for rank in ranks[1..RANK_MAX].iter().rev() {
        sum = 0.5 * (sum + rank);
    }
    sum += registers_count * sigma(ranks[0] / registers_count);
    (registers_count * registers_count / (2.0 * std::f64::consts::LN_2 * sum)).round() as i64
}

/// `x + Σ x^(2^k) 2^(k-1)` over `k > 0`; infinite at 1.
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut power, mut sum) = (1.0, x);
    loop {
        x *= x;
        let before = sum;
        sum += x * power;
        power += power;
        if sum == before {
            return sum;
        }
    }
}

/// `(1 - x - Σ (1 - x^(2^-k))² 2^-k) / 3` over `k > 0`.
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut power, mut sum) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = sum;
        power *= 0.5;
        sum -= (1.0 - x) * (1.0 - x) * power;
        if sum == before {
            return sum / 3.0;
        }
    }
}

/// Sketches by slot.
pub(super) struct Sketches {
    codec: Codec,
    sketches: Vec<Sketch>,
    output: DataType,
}

impl Sketches {
    pub(super) fn new(arg: &DataType, output: &DataType) -> Result<Self> {
        Ok(Self { codec: Codec::of(arg)?, sketches: Vec::new(), output: output.clone() })
    }
}

impl Accumulator for Sketches {
    fn resize(&mut self, slots: usize) {
        self.sketches.resize_with(slots, || Sketch::Few(Vec::new()));
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        rows.insertions_only()?;
        let values = rows.argument()?;
        let encoded = self.codec.encode(std::slice::from_ref(values))?;
        let keep = rows.kept(values.logical_nulls().as_ref());
        rows.each(keep.as_ref(), |row, slot, _| self.sketches[slot].add(xxh3_64(encoded.row(row).as_ref())));
        Ok(())
    }

    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let bytes = slots.iter().map(|&slot| self.sketches[slot as usize].bytes());
        Ok(vec![Arc::new(BinaryArray::from_iter_values(bytes))])
    }

    fn merge(&mut self, state: &[ArrayRef], slots: &[u32]) -> Result<()> {
        let sketches = state.first().and_then(|column| column.as_binary_opt::<i32>()).ok_or_else(form)?;
        for (&slot, bytes) in slots.iter().zip(sketches.iter().flatten()) {
            self.sketches[slot as usize].merge(bytes);
        }
        Ok(())
    }

    fn read(&self, slots: &[u32]) -> Result<ArrayRef> {
        let counts = slots.iter().map(|&slot| self.sketches[slot as usize].count());
        Ok(cast(&Int64Array::from_iter_values(counts), &self.output)?)
    }

    fn clear(&mut self, slots: &[u32]) {
        slots.iter().for_each(|&slot| self.sketches[slot as usize] = Sketch::Few(Vec::new()));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use arrow::datatypes::Int64Type;

    use super::*;

    fn counts(sketches: &Sketches, slots: &[u32]) -> Vec<i64> {
        sketches.read(slots).unwrap().as_primitive::<Int64Type>().values().to_vec()
    }

    fn add(sketches: &mut Sketches, values: std::ops::Range<i64>, slot: u32) {
        let slots = vec![slot; (values.end - values.start) as usize];
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values(values));
        sketches.update(&Rows::inserted(&[values], &slots)).unwrap();
    }

    #[test]
    fn few_are_exact_and_many_are_near() {
        for count in [0, 1, FEW as i64, 300, 1_000, 3_000, 12_000, 100_000] {
            let mut sketches = Sketches::new(&DataType::Int64, &DataType::Int64).unwrap();
            sketches.resize(3);
            add(&mut sketches, 0..count, 0);
            add(&mut sketches, 0..count / 2, 0);
            // In two parts, which overlap, merged.
            add(&mut sketches, 0..count / 2, 1);
            add(&mut sketches, count / 3..count, 2);
            let state = sketches.state(&[2]).unwrap();
            sketches.merge(&state, &[1]).unwrap();
            let found = counts(&sketches, &[0, 1]);
            assert_eq!(found[0], found[1], "merged");
            let error = (found[0] - count).abs();
            assert!(error == 0 || count > FEW as i64 && error * 20 < count, "{} for {count}", found[0]);
        }
    }
}
