//! `SUM` and `AVG`.
//!
//! A sum is kept in the type of its result: integers wrap as Arrow's do (the binder asks for decimals where an overflow
//! must not wrap). A mean is a sum and a count; a decimal mean is rounded half away from zero
//! to the scale of the result.
//!
//! Rows are taken back by subtraction, which is exact for integers and decimals. For floats see `float_sum`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, AsArray, Int64Array, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Decimal128Type, Float64Type, Int64Type, UInt64Type};

use super::accumulator::{Accumulator, Rows};
use crate::error::{EngineError, Result};

/// What a sum is read as.
#[derive(Clone, Copy)]
enum Reading {
    /// The sum.
    Sum,
    /// The mean of floats.
    Mean,
    /// The mean of decimals: sums are multiplied by this before the division.
    DecimalMean(i128),
}

/// Sums with the count of what was added.
struct Sum<T: ArrowPrimitiveType> {
    sums: Vec<T::Native>,
    counts: Vec<i64>,
    /// Type that arguments are cast to and sums are kept in.
    data_type: DataType,
    output: DataType,
    result: Reading,
    exact: bool,
}

/// A sum whose result has this type.
pub(super) fn new_sum(output: &DataType) -> Result<Box<dyn Accumulator>> {
    match output {
        DataType::Int64 => Ok(Box::new(Sum::<Int64Type>::new(output, output, Reading::Sum))),
        DataType::UInt64 => Ok(Box::new(Sum::<UInt64Type>::new(output, output, Reading::Sum))),
        DataType::Float64 => Ok(Box::new(Sum::<Float64Type>::new(output, output, Reading::Sum))),
        DataType::Decimal128(_, _) => Ok(Box::new(Sum::<Decimal128Type>::new(output, output, Reading::Sum))),
        other => Err(EngineError::Unsupported(format!("sum with a result of type {other}"))),
    }
}

/// A mean of arguments of this type.
pub(super) fn new_avg(arg: &DataType, output: &DataType) -> Result<Box<dyn Accumulator>> {
    match (arg, output) {
        (DataType::Decimal128(_, from), DataType::Decimal128(_, to)) => {
            let power = u32::try_from(i32::from(*to) - i32::from(*from)).ok().and_then(|by| 10_i128.checked_pow(by));
            let factor = power.ok_or_else(|| EngineError::Unsupported(format!("avg of {arg} as {output}")))?;
            let kept = DataType::Decimal128(38, *from);
            Ok(Box::new(Sum::<Decimal128Type>::new(&kept, output, Reading::DecimalMean(factor))))
        }
        (_, DataType::Float64) => Ok(Box::new(Sum::<Float64Type>::new(output, output, Reading::Mean))),
        _ => Err(EngineError::Unsupported(format!("avg of {arg} as {output}"))),
    }
}

impl<T: ArrowPrimitiveType> Sum<T> {
    fn new(data_type: &DataType, output: &DataType, result: Reading) -> Self {
        Self {
            sums: Vec::new(),
            counts: Vec::new(),
            data_type: data_type.clone(),
            output: output.clone(),
            result,
            exact: !data_type.is_floating(),
        }
    }

    /// The argument in the type of the sums.
    fn values(&self, values: &ArrayRef) -> Result<ArrayRef> {
        if *values.data_type() == self.data_type { Ok(Arc::clone(values)) } else { Ok(cast(values, &self.data_type)?) }
    }
}

impl<T: ArrowPrimitiveType> Accumulator for Sum<T>
where
    Sum<T>: ReadSum,
{
    fn resize(&mut self, slots: usize) {
        self.sums.resize(slots, T::default_value());
        self.counts.resize(slots, 0);
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let values = self.values(rows.argument()?)?;
        let values = values.as_primitive::<T>();
        let keep = rows.kept(values.nulls());
        rows.each(keep.as_ref(), |row, slot, retract| {
            let (sum, value) = (self.sums[slot], values.values()[row]);
            self.sums[slot] = if retract { sum.sub_wrapping(value) } else { sum.add_wrapping(value) };
            self.counts[slot] += if retract { -1 } else { 1 };
        });
        Ok(())
    }

    fn state(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let sums = slots.iter().map(|&slot| self.sums[slot as usize]);
        let sums = PrimitiveArray::<T>::from_iter_values(sums).with_data_type(self.data_type.clone());
        let counts = Int64Array::from_iter_values(slots.iter().map(|&slot| self.counts[slot as usize]));
        Ok(vec![Arc::new(sums), Arc::new(counts)])
    }

    fn merge(&mut self, state: &[ArrayRef], slots: &[u32]) -> Result<()> {
        let (sums, counts) = parts::<T>(state)?;
        for (row, &slot) in slots.iter().enumerate() {
            let slot = slot as usize;
            self.sums[slot] = self.sums[slot].add_wrapping(sums.value(row));
            self.counts[slot] += counts.value(row);
        }
        Ok(())
    }

    fn unmerge(&mut self, state: &[ArrayRef], slots: &[u32]) -> Result<()> {
        let (sums, counts) = parts::<T>(state)?;
        for (row, &slot) in slots.iter().enumerate() {
            let slot = slot as usize;
            self.sums[slot] = self.sums[slot].sub_wrapping(sums.value(row));
            self.counts[slot] -= counts.value(row);
        }
        Ok(())
    }

    fn is_invertible(&self) -> bool {
        self.exact
    }

    fn read(&self, slots: &[u32]) -> Result<ArrayRef> {
        self.read_sum(slots)
    }

    fn clear(&mut self, slots: &[u32]) {
        for &slot in slots {
            self.sums[slot as usize] = T::default_value();
            self.counts[slot as usize] = 0;
        }
    }
}

/// How sums of a type become results.
trait ReadSum {
    fn read_sum(&self, slots: &[u32]) -> Result<ArrayRef>;
}

impl<T: ArrowPrimitiveType> Sum<T> {
    /// The sums; null where nothing was added.
    fn plain(&self, slots: &[u32]) -> ArrayRef {
        let sum = |&slot: &u32| (self.counts[slot as usize] > 0).then(|| self.sums[slot as usize]);
        let sums: PrimitiveArray<T> = slots.iter().map(sum).collect();
        Arc::new(sums.with_data_type(self.output.clone()))
    }
}

impl ReadSum for Sum<Int64Type> {
    fn read_sum(&self, slots: &[u32]) -> Result<ArrayRef> {
        Ok(self.plain(slots))
    }
}

impl ReadSum for Sum<UInt64Type> {
    fn read_sum(&self, slots: &[u32]) -> Result<ArrayRef> {
        Ok(self.plain(slots))
    }
}

impl ReadSum for Sum<Float64Type> {
    fn read_sum(&self, slots: &[u32]) -> Result<ArrayRef> {
        match self.result {
            Reading::Sum | Reading::DecimalMean(_) => Ok(self.plain(slots)),
            Reading::Mean => {
                let mean = |&slot: &u32| {
                    let count = self.counts[slot as usize];
                    (count > 0).then(|| self.sums[slot as usize] / count as f64)
                };
                Ok(Arc::new(slots.iter().map(mean).collect::<PrimitiveArray<Float64Type>>()))
            }
        }
    }
}

impl ReadSum for Sum<Decimal128Type> {
    fn read_sum(&self, slots: &[u32]) -> Result<ArrayRef> {
        match self.result {
            Reading::Sum | Reading::Mean => Ok(self.plain(slots)),
            Reading::DecimalMean(factor) => {
                let mean = |&slot: &u32| {
                    let (sum, count) = (self.sums[slot as usize], self.counts[slot as usize]);
                    if count <= 0 {
                        return Ok(None);
                    }
                    let mean = rounded_mean(sum, i128::from(count), factor).ok_or_else(|| {
                        EngineError::Evaluate("numeric overflow in avg: the mean has too many digits".into())
                    })?;
                    Ok(Some(mean))
                };
                let means = slots.iter().map(mean).collect::<Result<PrimitiveArray<Decimal128Type>>>()?;
                Ok(Arc::new(means.with_data_type(self.output.clone())))
            }
        }
    }
}

/// `sum * factor / count`, rounded half away from zero; `None` where it has too many digits.
fn rounded_mean(sum: i128, count: i128, factor: i128) -> Option<i128> {
    // Apart from the rest, so that the sum itself may have all digits.
    let (whole, rest) = (sum / count, (sum % count).checked_mul(factor)?);
    let (part, rest) = (rest / count, rest % count);
    let up = if rest.abs() >= count - rest.abs() { rest.signum() } else { 0 };
    whole.checked_mul(factor)?.checked_add(part + up)
}

fn parts<T: ArrowPrimitiveType>(state: &[ArrayRef]) -> Result<(&PrimitiveArray<T>, &Int64Array)> {
    match state {
        [sums, counts] => match (sums.as_primitive_opt::<T>(), counts.as_primitive_opt::<Int64Type>()) {
            (Some(sums), Some(counts)) => Ok((sums, counts)),
            _ => Err(EngineError::Internal("the state of a sum is of another type".into())),
        },
        _ => Err(EngineError::Internal("the state of a sum has another form".into())),
    }
}
