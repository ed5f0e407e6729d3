//! `RAND(seed)` and `RAND_INTEGER(seed, bound)`: the numbers that Java's `java.util.Random` gives for the seed, as Flink's.
//!
//! A call has its sequence from when its query is bound, over all its rows in the order in which they come; after a restart
//! it begins anew, as in Flink.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, Float64Array, Int32Array};
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// The constants of the generator, from the documentation of `java.util.Random`.
const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const INCREMENT: u64 = 0xB;
const MASK: u64 = (1 << 48) - 1;

/// Numbers each call, for two of them not to be taken for one.
static CALLS: AtomicU64 = AtomicU64::new(0);

/// A call with a sequence of its own: of whole numbers below a bound, or from 0 to below 1.
pub(super) fn call(seed: i64, bound: Option<i32>) -> Expr {
    let state = (seed.cast_unsigned() ^ MULTIPLIER) & MASK;
    let function = Seeded {
        call: CALLS.fetch_add(1, Ordering::Relaxed),
        bound,
        state: AtomicU64::new(state),
        signature: Signature::nullary(Volatility::Volatile),
    };
    Arc::new(ScalarUDF::new_from_impl(function)).call(Vec::new())
}

#[derive(Debug)]
struct Seeded {
    call: u64,
    bound: Option<i32>,
    state: AtomicU64,
    signature: Signature,
}

impl PartialEq for Seeded {
    fn eq(&self, other: &Self) -> bool {
        self.call == other.call
    }
}

impl Eq for Seeded {}

impl Hash for Seeded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.call.hash(state);
    }
}

/// The next bits of the sequence.
fn next(state: &mut u64, bits: u32) -> u64 {
    *state = state.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT) & MASK;
    *state >> (48 - bits)
}

fn fraction(state: &mut u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    let bits = ((next(state, 26) << 27) + next(state, 27)) as f64;
    bits / 9_007_199_254_740_992.0
}

/// Evenly distributed below a bound, which is positive.
fn whole(state: &mut u64, bound: i32) -> i32 {
    let wide = i64::from(bound);
    let mut draw = || i64::try_from(next(state, 31)).unwrap_or(0);
    if wide & -wide == wide {
        return i32::try_from((wide * draw()) >> 31).unwrap_or(0);
    }
    loop {
        let bits = draw();
        let value = bits % wide;
        // The last, incomplete run of values is left out.
        if bits - value + (wide - 1) <= i64::from(i32::MAX) {
            return i32::try_from(value).unwrap_or(0);
        }
    }
}

impl ScalarUDFImpl for Seeded {
    fn name(&self) -> &str {
        if self.bound.is_some() { "rand_integer" } else { "rand" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(if self.bound.is_some() { DataType::Int32 } else { DataType::Float64 })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if self.bound.is_some_and(|bound| bound <= 0) {
            return Err(DataFusionError::Execution("the bound of RAND_INTEGER must be positive".into()));
        }
        // Two threads at once take numbers of the same sequence; the last to finish tells where it goes on.
        let mut state = self.state.load(Ordering::Relaxed);
        let rows = 0..args.number_rows;
        let values: ArrayRef = match self.bound {
            Some(bound) => Arc::new(rows.map(|_| Some(whole(&mut state, bound))).collect::<Int32Array>()),
            None => Arc::new(rows.map(|_| Some(fraction(&mut state))).collect::<Float64Array>()),
        };
        self.state.store(state, Ordering::Relaxed);
        Ok(ColumnarValue::Array(values))
    }
}
