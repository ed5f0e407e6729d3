//! Statistics of pairs of numbers, and the variance family where rows may be taken back.
//!
//! A slot holds sums over `x - a` and `y - b`, where `(a, b)` is the first pair that came: such sums add and subtract in any
//! order, and lose few digits where the values are near each other. Pairs with an infinity or NaN are only counted, so that
//! they can go again; while one is there the statistics are NaN.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};

use super::accumulator::{Accumulator, Rows};
use crate::error::{EngineError, Result};
use crate::plan::PairStatistic;

/// What the sums are read as.
#[derive(Clone, Copy)]
enum Reading {
    /// Variance or standard deviation of one column, which is both `x` and `y`.
    Deviation { sample: bool, root: bool },
    /// Of pairs.
    Pairs(PairStatistic),
}

/// The sums of one slot.
#[derive(Clone, Copy)]
struct Sums {
    /// `(a, b)`: not numbers before the first pair.
    shift: (f64, f64),
    count: f64,
    x: f64,
    y: f64,
    xx: f64,
    yy: f64,
    xy: f64,
    /// Pairs that are not finite; not in `count`.
    odd: f64,
}

const EMPTY: Sums =
    Sums { shift: (f64::NAN, f64::NAN), count: 0.0, x: 0.0, y: 0.0, xx: 0.0, yy: 0.0, xy: 0.0, odd: 0.0 };

impl Sums {
    fn add(&mut self, x: f64, y: f64, sign: f64) {
        if !x.is_finite() || !y.is_finite() {
            self.odd += sign;
            return;
        }
        if self.shift.0.is_nan() {
            self.shift = (x, y);
        }
        let (x, y) = (x - self.shift.0, y - self.shift.1);
        self.count += sign;
        self.x += sign * x;
        self.y += sign * y;
        self.xx += sign * x * x;
        self.yy += sign * y * y;
        self.xy += sign * x * y;
    }

    /// Adds other sums, written over this shift.
    fn merge(&mut self, other: &Self) {
        self.odd += other.odd;
        if other.shift.0.is_nan() {
            return;
        }
        if self.shift.0.is_nan() {
            *self = Self { odd: self.odd, ..*other };
            return;
        }
        let (a, b) = (other.shift.0 - self.shift.0, other.shift.1 - self.shift.1);
        let n = other.count;
        self.count += n;
        self.x += other.x + n * a;
        self.y += other.y + n * b;
        self.xx += other.xx + 2.0 * a * other.x + n * a * a;
        self.yy += other.yy + 2.0 * b * other.y + n * b * b;
        self.xy += other.xy + a * other.y + b * other.x + n * a * b;
    }

    /// Means of x and y; sums of squared deviations of x and y, and of their products.
    fn centred(&self) -> [f64; 5] {
        let Self { shift, count: n, x, y, xx, yy, xy, odd: _ } = *self;
        let squares = |squares: f64, sum: f64| {
            let of = squares - sum * sum / n;
            // Rounding must not make a square negative.
            if of < 0.0 { 0.0 } else { of }
        };
        [shift.0 + x / n, shift.1 + y / n, squares(xx, x), squares(yy, y), xy - x * y / n]
    }

    fn read(&self, reading: Reading) -> Option<f64> {
        let n = self.count;
        if self.odd > 0.0 {
            return Some(f64::NAN);
        }
        if n < 1.0 {
            return None;
        }
        let [mean_x, mean_y, xx, yy, xy] = self.centred();
        match reading {
            Reading::Deviation { sample, root } => {
                let over = if sample { n - 1.0 } else { n };
                let variance = (over > 0.0).then(|| xx / over)?;
                Some(if root { variance.sqrt() } else { variance })
            }
            Reading::Pairs(statistic) => match statistic {
                PairStatistic::CovarPop => Some(xy / n),
                PairStatistic::CovarSamp => (n > 1.0).then(|| xy / (n - 1.0)),
                PairStatistic::Corr => (n > 1.0 && xx > 0.0 && yy > 0.0).then(|| xy / (xx.sqrt() * yy.sqrt())),
                PairStatistic::RegrSlope => (n > 1.0 && xx != 0.0).then(|| xy / xx),
                PairStatistic::RegrIntercept => (n > 1.0 && xx != 0.0).then(|| mean_y - xy / xx * mean_x),
                PairStatistic::RegrCount => Some(n),
                PairStatistic::RegrR2 => (n > 1.0 && xx != 0.0 && yy != 0.0).then(|| xy * xy / (xx * yy)),
                PairStatistic::RegrAvgX => Some(mean_x),
                PairStatistic::RegrAvgY => Some(mean_y),
                PairStatistic::RegrSxx => Some(xx),
                PairStatistic::RegrSyy => Some(yy),
                PairStatistic::RegrSxy => Some(xy),
            },
        }
    }

    fn numbers(&self) -> [f64; 9] {
        [self.shift.0, self.shift.1, self.count, self.x, self.y, self.xx, self.yy, self.xy, self.odd]
    }
}

/// Sums by slot.
pub(super) struct Moments {
    sums: Vec<Sums>,
    reading: Reading,
}

impl Moments {
    /// The variance family of one argument.
    pub(super) fn of_one(sample: bool, root: bool) -> Self {
        Self { sums: Vec::new(), reading: Reading::Deviation { sample, root } }
    }

    /// A statistic of arguments `(y, x)`.
    pub(super) fn of_pairs(statistic: PairStatistic) -> Self {
        Self { sums: Vec::new(), reading: Reading::Pairs(statistic) }
    }
}

impl Accumulator for Moments {
    fn resize(&mut self, slots: usize) {
        self.sums.resize(slots, EMPTY);
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let y = cast(rows.argument()?, &DataType::Float64)?;
        let x = match (self.reading, rows.columns.get(1)) {
            (Reading::Deviation { .. }, _) => Arc::clone(&y),
            (Reading::Pairs(_), Some(x)) => cast(x, &DataType::Float64)?,
            (Reading::Pairs(_), None) => return Err(EngineError::Internal("a pair without its second number".into())),
        };
        let keep = rows.kept(NullBuffer::union(y.nulls(), x.nulls()).as_ref());
        let (x, y) = (x.as_primitive::<Float64Type>(), y.as_primitive::<Float64Type>());
        rows.each(keep.as_ref(), |row, slot, retract| {
            self.sums[slot].add(x.values()[row], y.values()[row], if retract { -1.0 } else { 1.0 });
        });
        Ok(())
    }

    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let column = |at: usize| -> ArrayRef {
            let value = |&slot: &u32| self.sums[slot as usize].numbers()[at];
            Arc::new(Float64Array::from_iter_values(slots.iter().map(value)))
        };
        Ok((0..EMPTY.numbers().len()).map(column).collect())
    }

    fn merge(&mut self, state: &[ArrayRef], slots: &[u32]) -> Result<()> {
        let columns: Vec<_> = state.iter().filter_map(|column| column.as_primitive_opt::<Float64Type>()).collect();
        let [a, b, count, x, y, xx, yy, xy, odd] = columns.as_slice() else {
            return Err(EngineError::Internal("the state of a statistic has another form".into()));
        };
        for (row, &slot) in slots.iter().enumerate() {
            let shift = (a.value(row), b.value(row));
            let [count, x, y, xx, yy, xy, odd] = [count, x, y, xx, yy, xy, odd].map(|column| column.value(row));
            self.sums[slot as usize].merge(&Sums { shift, count, x, y, xx, yy, xy, odd });
        }
        Ok(())
    }

    fn read(&self, slots: &[u32]) -> Result<ArrayRef> {
        let value = |&slot: &u32| self.sums[slot as usize].read(self.reading);
        Ok(Arc::new(slots.iter().map(value).collect::<Float64Array>()))
    }

    fn clear(&mut self, slots: &[u32]) {
        slots.iter().for_each(|&slot| self.sums[slot as usize] = EMPTY);
    }
}
