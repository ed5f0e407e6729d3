//! Functions that a Rust program gives: of columns, and aggregates that keep an accumulator.
//!
//! An aggregate `f(x)` is the value of its accumulator over `array_agg(x)`: the resolver writes it so, and what is here is a
//! function of that list. So it works wherever `array_agg` does, over rows that are taken back too, and is kept in
//! checkpoints; its state is the rows of each group.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, new_null_array};
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{DataFusionError, Result as PlanResult};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use millstream_engine::EngineError;

use crate::error::{SqlError, SqlState};
use crate::types::flink_name;

/// Computes a column from columns of equal length; what it gives has that length, too.
pub type NativeKernel = Arc<dyn Fn(&[ArrayRef], usize) -> Result<ArrayRef, EngineError> + Send + Sync>;

/// Takes the rows of one group and gives its value.
pub trait NativeAccumulator: Send {
    /// Takes rows: one column for each parameter, of its type. Nulls are not left out.
    ///
    /// # Errors
    /// Where a row cannot be taken; the row is at fault.
    fn accumulate(&mut self, arguments: &[ArrayRef]) -> Result<(), EngineError>;

    /// The value over the rows taken so far, as a column of one row, of the type that the function returns.
    ///
    /// # Errors
    /// Where there is no value.
    fn value(&self) -> Result<ArrayRef, EngineError>;
}

/// Makes an empty accumulator.
pub type NativeAccumulators = Arc<dyn Fn() -> Box<dyn NativeAccumulator> + Send + Sync>;

/// A function of a Rust program, which queries call by name.
#[derive(Clone)]
pub struct NativeFunction {
    name: String,
    parameters: Vec<DataType>,
    returns: DataType,
    body: Body,
}

#[derive(Clone)]
enum Body {
    Scalar(NativeKernel, Volatility),
    Aggregate(NativeAccumulators),
}

impl NativeFunction {
    /// A function of columns that gives the same for the same arguments.
    pub fn scalar(name: impl Into<String>, parameters: Vec<DataType>, returns: DataType, kernel: NativeKernel) -> Self {
        Self { name: name.into(), parameters, returns, body: Body::Scalar(kernel, Volatility::Immutable) }
    }

    /// An aggregate. It has at least one parameter.
    pub fn aggregate(
        name: impl Into<String>,
        parameters: Vec<DataType>,
        returns: DataType,
        accumulators: NativeAccumulators,
    ) -> Self {
        Self { name: name.into(), parameters, returns, body: Body::Aggregate(accumulators) }
    }

    /// A scalar function that may give something else each time, so that it is never computed ahead.
    #[must_use]
    pub fn volatile(mut self) -> Self {
        if let Body::Scalar(_, volatility) = &mut self.body {
            *volatility = Volatility::Volatile;
        }
        self
    }

    /// Its name in lower case, by which it is called.
    pub fn name(&self) -> String {
        self.name.to_lowercase()
    }

    /// The types of its arguments.
    pub fn parameters(&self) -> &[DataType] {
        &self.parameters
    }

    /// Whether it takes the rows of a group.
    pub fn is_aggregate(&self) -> bool {
        matches!(self.body, Body::Aggregate(_))
    }

    /// How it is declared, for people.
    fn usage(&self) -> String {
        let parameters: Vec<String> = self.parameters.iter().map(flink_name).collect();
        format!("{}({})", self.name(), parameters.join(", "))
    }

    /// The function for the planner: of its arguments, or of the list of a group's rows.
    pub(crate) fn planned(self: &Arc<Self>) -> Arc<ScalarUDF> {
        let volatility = match &self.body {
            Body::Scalar(_, volatility) => *volatility,
            Body::Aggregate(_) => Volatility::Immutable,
        };
        let (name, function) = (self.name(), Arc::clone(self));
        let signature = Signature::user_defined(volatility);
        Arc::new(ScalarUDF::new_from_impl(Planned { name, function, signature }))
    }

    /// The types that the planned function takes.
    fn planned_parameters(&self) -> Vec<DataType> {
        match (&self.body, self.parameters.as_slice()) {
            (Body::Scalar(..), parameters) => parameters.to_vec(),
            (Body::Aggregate(_), [one]) => vec![list(one.clone())],
            (Body::Aggregate(_), several) => vec![list(row(several))],
        }
    }

    fn invoke(&self, columns: &[ArrayRef], rows: usize) -> PlanResult<ArrayRef> {
        let made = match &self.body {
            Body::Scalar(kernel, _) => kernel(columns, rows).map_err(failed)?,
            Body::Aggregate(accumulators) => match columns {
                [lists] => self.of_lists(accumulators, lists)?,
                _ => return Err(DataFusionError::Internal(format!("{} takes one list", self.name))),
            },
        };
        if made.len() != rows {
            let message = format!("function {} gave {} rows for {rows}", self.name, made.len());
            return Err(DataFusionError::Execution(message));
        }
        if made.data_type() == &self.returns { Ok(made) } else { Ok(cast(&made, &self.returns)?) }
    }

    /// The value of each list of rows.
    fn of_lists(&self, accumulators: &NativeAccumulators, lists: &ArrayRef) -> PlanResult<ArrayRef> {
        let lists = lists.as_list::<i32>();
        if lists.is_empty() {
            return Ok(new_null_array(&self.returns, 0));
        }
        let columns: Vec<ArrayRef> = match self.parameters.as_slice() {
            [_] => vec![Arc::clone(lists.values())],
            _ => lists.values().as_struct().columns().to_vec(),
        };
        let mut values = Vec::with_capacity(lists.len());
        for (index, ends) in lists.offsets().windows(2).enumerate() {
            let &[start, end] = ends else { continue };
            let (start, end) = (usize::try_from(start).unwrap_or(0), usize::try_from(end).unwrap_or(0));
            let mut accumulator = accumulators();
            if !lists.is_null(index) && start < end {
                let rows: Vec<ArrayRef> = columns.iter().map(|column| column.slice(start, end - start)).collect();
                accumulator.accumulate(&rows).map_err(failed)?;
            }
            let value = accumulator.value().map_err(failed)?;
            if value.len() != 1 {
                let message = format!("function {} gave {} values for a group", self.name, value.len());
                return Err(DataFusionError::Execution(message));
            }
            values.push(if value.data_type() == &self.returns { value } else { cast(&value, &self.returns)? });
        }
        let values: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
        Ok(concat(&values)?)
    }
}

impl fmt::Debug for NativeFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.usage())
    }
}

/// The type of `array_agg` over a type.
fn list(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

/// The type of a row of several arguments.
fn row(parameters: &[DataType]) -> DataType {
    let field = |(index, kind): (usize, &DataType)| Field::new(format!("c{index}"), kind.clone(), true);
    DataType::Struct(parameters.iter().enumerate().map(field).collect::<Fields>())
}

fn failed(error: EngineError) -> DataFusionError {
    DataFusionError::Execution(error.to_string())
}

/// A function as the planner sees it.
#[derive(Debug)]
struct Planned {
    name: String,
    function: Arc<NativeFunction>,
    signature: Signature,
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.function, &other.function)
    }
}

impl Eq for Planned {}

impl Hash for Planned {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Planned {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> PlanResult<DataType> {
        Ok(self.function.returns.clone())
    }

    fn coerce_types(&self, types: &[DataType]) -> PlanResult<Vec<DataType>> {
        let wanted = self.function.planned_parameters();
        let fits = |(from, to): (&DataType, &DataType)| {
            from == to || *from == DataType::Null || arrow::compute::can_cast_types(from, to)
        };
        if types.len() == wanted.len() && types.iter().zip(&wanted).all(fits) {
            return Ok(wanted);
        }
        let given: Vec<String> = types.iter().map(flink_name).collect();
        let message = format!("function {}({}) does not exist", self.name, given.join(", "));
        let error = SqlError::new(SqlState::UNDEFINED_FUNCTION, message);
        let error = error.with_hint(format!("it is declared as {}", self.function.usage()));
        Err(DataFusionError::External(Box::new(error)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let rows = args.number_rows;
        let columns =
            args.args.into_iter().map(|value| value.into_array(rows)).collect::<PlanResult<Vec<ArrayRef>>>()?;
        self.function.invoke(&columns, rows).map(ColumnarValue::Array)
    }
}
