//! The aggregates of an aggregation: which function over which columns. The operators that hold them are in the parent.

use arrow::datatypes::FieldRef;

use super::SortKey;

/// One aggregate of an aggregation.
#[derive(Debug, Clone)]
pub struct AggregateCall {
    /// What is computed.
    pub function: AggregateFunction,
    /// Columns of the arguments; none for `COUNT(*)`.
    pub args: Vec<usize>,
    /// Order of the rows, for those aggregates that depend on it. Empty: the order of arrival.
    pub order_by: Vec<SortKey>,
    /// Each value (or row of values, of several arguments) counts once.
    pub distinct: bool,
    /// Boolean column: only rows with true count.
    pub filter: Option<usize>,
    /// Name and type of the result.
    pub output: FieldRef,
}

/// The aggregates of the engine. Rows with a null argument are ignored by all but `COUNT(*)` and [`Self::ArrayAgg`].
#[derive(Debug, Clone, PartialEq)]
pub enum AggregateFunction {
    /// Number of rows, or of rows whose arguments are not null.
    Count,
    /// Sum, in the type of the output.
    Sum,
    /// Mean: floating point, or decimal cut to the output's scale, as DataFusion.
    Avg,
    /// Least.
    Min,
    /// Greatest.
    Max,
    /// Argument of the first row in the call's order.
    FirstValue,
    /// Argument of the last row in the call's order.
    LastValue,
    /// Sample standard deviation; null below two rows.
    StddevSamp,
    /// Population standard deviation.
    StddevPop,
    /// Sample variance; null below two rows.
    VarSamp,
    /// Population variance.
    VarPop,
    /// Whether all are true.
    BoolAnd,
    /// Whether one is true.
    BoolOr,
    /// Bits that all integers have.
    BitAnd,
    /// Bits that an integer has.
    BitOr,
    /// Bits that an odd number of integers have.
    BitXor,
    /// Number of distinct values: by HyperLogLog over insertions, exact where rows are retracted.
    ApproxCountDistinct,
    /// The strings one after another in the call's order; null where there is none.
    StringAgg {
        /// What stands between two.
        separator: String,
    },
    /// The values, nulls too, as a list in the call's order; null where there is none.
    ArrayAgg,
    /// The value at a fraction of the ordered values, interpolated between two neighbours.
    PercentileCont(Percentile),
    /// The first of the ordered values at or after a fraction of them.
    PercentileDisc(Percentile),
    /// The middle value, or the mean of the two in the middle, in the argument's type.
    Median,
    /// A statistic of pairs of numbers: arguments `(y, x)`.
    OfPairs(PairStatistic),
}

/// Where a percentile is taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percentile {
    /// From 0 to 1.
    pub fraction: f64,
    /// Counted from the greatest value.
    pub descending: bool,
}

/// A statistic of pairs `(y, x)`; pairs with a null are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairStatistic {
    /// `COVAR_POP`
    CovarPop,
    /// `COVAR_SAMP`; null below two pairs.
    CovarSamp,
    /// `CORR`
    Corr,
    /// `REGR_SLOPE`
    RegrSlope,
    /// `REGR_INTERCEPT`
    RegrIntercept,
    /// `REGR_COUNT`
    RegrCount,
    /// `REGR_R2`
    RegrR2,
    /// `REGR_AVGX`
    RegrAvgX,
    /// `REGR_AVGY`
    RegrAvgY,
    /// `REGR_SXX`
    RegrSxx,
    /// `REGR_SYY`
    RegrSyy,
    /// `REGR_SXY`
    RegrSxy,
}
