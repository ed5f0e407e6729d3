//! The functions that batch plans of windows are made of.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, ListArray, RecordBatch, StructArray, TimestampMillisecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, Int64Type, Schema};
use datafusion::common::{DataFusionError, Result as PlanResult};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use millstream_engine::operators::event_time::event_times;
use millstream_engine::operators::windows::windows_of;
use millstream_engine::plan::Window;

use crate::query::nodes::WINDOW_TYPE;

/// The fields of a window.
pub(super) const FIELDS: [&str; 3] = ["start", "end", "time"];

/// The windows of each timestamp, as a list of (start, end, time).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WindowsOf {
    window: Window,
    signature: Signature,
}

impl WindowsOf {
    pub(super) fn new(window: Window) -> Self {
        Self { window, signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl Hash for WindowsOf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        format!("{:?}", self.window).hash(state);
    }
}

fn window_fields() -> Fields {
    FIELDS.into_iter().map(|name| Field::new(name, WINDOW_TYPE, false)).collect()
}

impl ScalarUDFImpl for WindowsOf {
    fn name(&self) -> &str {
        "__millstream_windows_of"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> PlanResult<DataType> {
        Ok(DataType::List(Arc::new(Field::new("item", DataType::Struct(window_fields()), true))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let times = times(&args)?;
        let (mut starts, mut ends, mut lengths) = (Vec::new(), Vec::new(), Vec::with_capacity(times.len()));
        for time in &times {
            let windows = windows_of(self.window, *time);
            lengths.push(windows.len());
            for (start, end) in windows {
                starts.push(start.div_euclid(1_000));
                ends.push(end.div_euclid(1_000));
            }
        }
        let last = ends.iter().map(|end| end - 1).collect();
        let columns = [starts, ends, last].map(|values| Arc::new(TimestampMillisecondArray::from(values)) as ArrayRef);
        let windows = StructArray::try_new(window_fields(), columns.to_vec(), None)?;
        let item = Arc::new(Field::new("item", windows.data_type().clone(), true));
        let list = ListArray::try_new(item, OffsetBuffer::from_lengths(lengths), Arc::new(windows), None)?;
        Ok(ColumnarValue::Array(Arc::new(list)))
    }
}

/// Its argument, of which the planner knows nothing then: it takes the orderings of keys that stand in packed rows as well for
/// orderings of other columns.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Opaque {
    signature: Signature,
}

impl Opaque {
    pub(super) fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Opaque {
    fn name(&self) -> &str {
        "__millstream_opaque"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> PlanResult<DataType> {
        types.first().cloned().ok_or_else(not_a_time)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        args.args.into_iter().next().ok_or_else(not_a_time)
    }
}

/// Conversions between timestamps and microseconds.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) enum TimeFunction {
    /// An event time in microseconds; null is an error.
    Micros(Signature),
    /// Microseconds as `TIMESTAMP(3)`.
    Timestamp(Signature),
}

impl TimeFunction {
    pub(super) fn micros() -> Self {
        Self::Micros(Signature::any(1, Volatility::Immutable))
    }

    pub(super) fn timestamp() -> Self {
        Self::Timestamp(Signature::any(1, Volatility::Immutable))
    }
}

impl ScalarUDFImpl for TimeFunction {
    fn name(&self) -> &str {
        match self {
            Self::Micros(_) => "__millstream_micros",
            Self::Timestamp(_) => "__millstream_timestamp",
        }
    }

    fn signature(&self) -> &Signature {
        match self {
            Self::Micros(signature) | Self::Timestamp(signature) => signature,
        }
    }

    fn return_type(&self, _types: &[DataType]) -> PlanResult<DataType> {
        Ok(match self {
            Self::Micros(_) => DataType::Int64,
            Self::Timestamp(_) => WINDOW_TYPE,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        let values: ArrayRef = match self {
            Self::Micros(_) => Arc::new(Int64Array::from(times(&args)?)),
            Self::Timestamp(_) => {
                let micros = first(&args)?;
                let micros = micros.as_primitive_opt::<Int64Type>().ok_or_else(not_a_time)?;
                Arc::new(micros.unary::<_, arrow::datatypes::TimestampMillisecondType>(|at| at.div_euclid(1_000)))
            }
        };
        Ok(ColumnarValue::Array(values))
    }
}

/// The event times of the argument; null is an error.
fn times(args: &ScalarFunctionArgs) -> PlanResult<Vec<i64>> {
    let column = first(args)?;
    let name = args.arg_fields.first().map_or("", |field| field.name().as_str());
    let name = name.rsplit('.').next().unwrap_or_default();
    let schema = Schema::new(vec![Field::new(name, column.data_type().clone(), true)]);
    let batch = RecordBatch::try_new(Arc::new(schema), vec![column])?;
    let times = event_times(&batch, 0).map_err(|error| DataFusionError::External(Box::new(error)))?;
    Ok(times.to_vec())
}

fn first(args: &ScalarFunctionArgs) -> PlanResult<ArrayRef> {
    match args.args.first() {
        Some(value) => value.to_array(args.number_rows),
        None => Err(not_a_time()),
    }
}

fn not_a_time() -> DataFusionError {
    DataFusionError::Internal("a window function without its time".into())
}
