//! Functions of this program, for [`create_function`](crate::TableEnvironment::create_function).

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use millstream_engine::EngineError;
use millstream_sql::{NativeAccumulator, NativeFunction};

/// A function of columns.
///
/// ```
/// # use std::sync::Arc;
/// # use arrow::array::{ArrayRef, AsArray, Int64Array};
/// # use arrow::datatypes::{DataType, Int64Type};
/// # use millstream_table::ScalarFunction;
/// let double = ScalarFunction::new("double_it", [DataType::Int64], DataType::Int64, |columns, _rows| {
///     let numbers = columns[0].as_primitive::<Int64Type>();
///     Ok(Arc::new(numbers.iter().map(|number| number.map(|number| number * 2)).collect::<Int64Array>()) as ArrayRef)
/// });
/// ```
#[derive(Debug, Clone)]
pub struct ScalarFunction(NativeFunction);

impl ScalarFunction {
    /// A function of arguments of these types. It is given a column for each, and how many rows they have; it gives a column
    /// of as many. Arguments of other types are cast. It must give the same for the same arguments.
    pub fn new(
        name: impl Into<String>,
        parameters: impl IntoIterator<Item = DataType>,
        returns: DataType,
        body: impl Fn(&[ArrayRef], usize) -> Result<ArrayRef, EngineError> + Send + Sync + 'static,
    ) -> Self {
        Self(NativeFunction::scalar(name, parameters.into_iter().collect(), returns, Arc::new(body)))
    }

    /// It may give something else each time.
    #[must_use]
    pub fn volatile(self) -> Self {
        Self(self.0.volatile())
    }
}

impl From<ScalarFunction> for NativeFunction {
    fn from(function: ScalarFunction) -> Self {
        function.0
    }
}

/// A function of the rows of a group: in `GROUP BY`, windows and `OVER`, with `DISTINCT` and `FILTER`.
///
/// The engine keeps the rows of each group and gives them to a new accumulator when the group has changed, so that rows may
/// be taken back and nothing of the accumulator is kept in checkpoints.
#[derive(Debug, Clone)]
pub struct AggregateFunction(NativeFunction);

impl AggregateFunction {
    /// An aggregate of arguments of these types, at least one. `accumulator` makes an empty accumulator.
    pub fn new<A: NativeAccumulator + 'static>(
        name: impl Into<String>,
        parameters: impl IntoIterator<Item = DataType>,
        returns: DataType,
        accumulator: impl Fn() -> A + Send + Sync + 'static,
    ) -> Self {
        let make = Arc::new(move || Box::new(accumulator()) as Box<dyn NativeAccumulator>);
        Self(NativeFunction::aggregate(name, parameters.into_iter().collect(), returns, make))
    }
}

impl From<AggregateFunction> for NativeFunction {
    fn from(function: AggregateFunction) -> Self {
        function.0
    }
}
