//! What the functions share: a scalar function from a name, a signature and a kernel.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// The types of the result and of the arguments (after casts) for the types that a call gives.
pub(super) type Types = fn(&[DataType]) -> Option<(DataType, Vec<DataType>)>;

/// Computes a column from columns.
pub(super) type Kernel = fn(&Args) -> Result<ArrayRef>;

/// What an argument or a result is, after casts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// A whole number, as `BIGINT`.
    Whole,
    /// As `INT`: results only.
    Int,
    Truth,
    Bytes,
    /// Text or bytes, as bytes.
    Raw,
    /// Any timestamp or date, as microseconds without a zone.
    Moment,
    /// As `DATE`: results only.
    Date,
    /// Whatever comes, as it is.
    Any,
}

/// The arguments of a function whose types do not depend on each other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// What is taken. Where the call may have more, they are as the last.
    pub(super) params: &'static [Kind],
    /// How many must be there, and how many may.
    pub(super) count: (usize, usize),
    pub(super) returns: Kind,
}

impl Kind {
    fn accepts(self, data_type: &DataType) -> bool {
        match self {
            Self::Text => is_text(data_type),
            Self::Whole | Self::Int => is_whole(data_type),
            Self::Truth => matches!(data_type, DataType::Boolean | DataType::Null),
            Self::Bytes => data_type.is_binary() || *data_type == DataType::Null,
            Self::Raw => data_type.is_binary() || is_text(data_type),
            Self::Moment | Self::Date => {
                matches!(data_type, DataType::Timestamp(..) | DataType::Date32) || is_text(data_type)
            }
            Self::Any => true,
        }
    }

    fn arrow(self, given: &DataType) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Whole => DataType::Int64,
            Self::Int => DataType::Int32,
            Self::Truth => DataType::Boolean,
            Self::Bytes | Self::Raw => DataType::Binary,
            Self::Moment => super::calendar::MICROS,
            Self::Date => DataType::Date32,
            Self::Any => given.clone(),
        }
    }
}

impl Shape {
    fn resolve(&self, types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
        let (least, most) = self.count;
        if types.len() < least || types.len() > most {
            return None;
        }
        let kind = |index: usize| self.params.get(index).or(self.params.last()).copied();
        let mut wanted = Vec::with_capacity(types.len());
        for (index, data_type) in types.iter().enumerate() {
            let kind = kind(index).filter(|kind| kind.accepts(data_type))?;
            wanted.push(kind.arrow(data_type));
        }
        Some((self.returns.arrow(&DataType::Null), wanted))
    }
}

#[derive(Debug)]
enum Typing {
    By(Types),
    Shape(Shape),
}

/// A function of columns.
#[derive(Debug)]
pub(super) struct Function {
    name: &'static str,
    /// How it is called, for errors.
    usage: &'static str,
    types: Typing,
    kernel: Kernel,
    signature: Signature,
    aliases: Vec<String>,
}

/// The arguments of a call.
pub(super) struct Args {
    values: Vec<ColumnarValue>,
    /// Rows of the result.
    pub(super) rows: usize,
    /// Type of the result.
    pub(super) returns: DataType,
}

impl Args {
    /// Number of arguments.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// An argument as a column.
    ///
    /// # Errors
    /// Where there is no such argument.
    pub(super) fn column(&self, index: usize) -> Result<ArrayRef> {
        self.value(index)?.to_array(self.rows)
    }

    /// An argument where it is the same for all rows.
    pub(super) fn constant(&self, index: usize) -> Option<&ScalarValue> {
        match self.values.get(index) {
            Some(ColumnarValue::Scalar(value)) => Some(value),
            Some(ColumnarValue::Array(_)) | None => None,
        }
    }

    /// A text argument.
    ///
    /// # Errors
    /// As [`Self::column`].
    pub(super) fn text(&self, index: usize) -> Result<Text> {
        match self.constant(index) {
            Some(ScalarValue::Utf8(value)) => Ok(Text::Constant(value.clone())),
            Some(_) | None => Ok(Text::Column(self.column(index)?.as_string::<i32>().clone())),
        }
    }

    /// A whole-number argument, as `BIGINT`.
    ///
    /// # Errors
    /// As [`Self::column`].
    pub(super) fn wholes(&self, index: usize) -> Result<Wholes> {
        match self.constant(index) {
            Some(ScalarValue::Int64(value)) => Ok(Wholes::Constant(*value)),
            Some(_) | None => Ok(Wholes::Column(self.column(index)?.as_primitive::<Int64Type>().clone())),
        }
    }

    /// A text argument where it is given.
    ///
    /// # Errors
    /// As [`Self::column`].
    pub(super) fn text_if_given(&self, index: usize, default: &str) -> Result<Text> {
        if index < self.len() { self.text(index) } else { Ok(Text::Constant(Some(default.to_owned()))) }
    }

    /// A whole-number argument where it is given.
    ///
    /// # Errors
    /// As [`Self::column`].
    pub(super) fn wholes_if_given(&self, index: usize, default: i64) -> Result<Wholes> {
        if index < self.len() { self.wholes(index) } else { Ok(Wholes::Constant(Some(default))) }
    }

    /// A text for each row, a part of what is there; null where there is none.
    pub(super) fn pick<'t>(&self, part: impl Fn(usize) -> Option<&'t str>) -> ArrayRef {
        let mut out = StringBuilder::with_capacity(self.rows, self.rows * 8);
        (0..self.rows).for_each(|row| out.append_option(part(row)));
        Arc::new(out.finish())
    }

    /// A text for each row, written into the empty buffer that is handed over; null where nothing comes back.
    pub(super) fn write(&self, write: impl FnMut(usize, &mut String) -> Option<()>) -> ArrayRef {
        write_texts(self.rows, write)
    }

    /// As [`Self::write`], for what may fail.
    ///
    /// # Errors
    /// The first that is met.
    pub(super) fn try_write(
        &self,
        mut write: impl FnMut(usize, &mut String) -> Result<Option<()>>,
    ) -> Result<ArrayRef> {
        let mut failed = None;
        let column = self.write(|row, out| match &failed {
            Some(_) => None,
            None => write(row, out).unwrap_or_else(|error| {
                failed = Some(error);
                None
            }),
        });
        failed.map_or(Ok(column), Err)
    }

    fn value(&self, index: usize) -> Result<&ColumnarValue> {
        self.values.get(index).ok_or_else(|| DataFusionError::Internal("an argument is missing".into()))
    }
}

/// A text for each row, written into the empty buffer that is handed over; null where nothing comes back.
pub(super) fn write_texts(rows: usize, mut write: impl FnMut(usize, &mut String) -> Option<()>) -> ArrayRef {
    let mut out = StringBuilder::with_capacity(rows, rows * 16);
    let mut text = String::new();
    for row in 0..rows {
        text.clear();
        let written = write(row, &mut text);
        out.append_option(written.map(|()| text.as_str()));
    }
    Arc::new(out.finish())
}

/// Text, one for all rows or one a row.
pub(super) enum Text {
    /// The same for all rows.
    Constant(Option<String>),
    /// One a row.
    Column(StringArray),
}

impl Text {
    /// The text of a row.
    pub(super) fn get(&self, row: usize) -> Option<&str> {
        match self {
            Self::Constant(text) => text.as_deref(),
            Self::Column(column) => column.is_valid(row).then(|| column.value(row)),
        }
    }
}

/// Whole numbers, one for all rows or one a row.
pub(super) enum Wholes {
    /// The same for all rows.
    Constant(Option<i64>),
    /// One a row.
    Column(Int64Array),
}

impl Wholes {
    /// The number of a row.
    pub(super) fn get(&self, row: usize) -> Option<i64> {
        match self {
            Self::Constant(number) => *number,
            Self::Column(column) => column.is_valid(row).then(|| column.value(row)),
        }
    }
}

/// A registered function that depends on its arguments only.
pub(super) fn function(
    name: &'static str,
    aliases: &[&str],
    usage: &'static str,
    types: Types,
    kernel: Kernel,
) -> Arc<ScalarUDF> {
    registered(name, aliases, usage, Typing::By(types), kernel)
}

/// A registered function whose arguments each have a type of their own.
pub(super) fn shaped(name: &'static str, usage: &'static str, shape: Shape, kernel: Kernel) -> Arc<ScalarUDF> {
    registered(name, &[], usage, Typing::Shape(shape), kernel)
}

/// Arguments that must all be there.
pub(super) const fn all(params: &'static [Kind], returns: Kind) -> Shape {
    Shape { params, count: (params.len(), params.len()), returns }
}

/// Arguments of which only so many must be there.
pub(super) const fn some(least: usize, params: &'static [Kind], returns: Kind) -> Shape {
    Shape { params, count: (least, params.len()), returns }
}

/// Arguments of which the last may be repeated.
pub(super) const fn many(least: usize, params: &'static [Kind], returns: Kind) -> Shape {
    Shape { params, count: (least, usize::MAX), returns }
}

fn registered(
    name: &'static str,
    aliases: &[&str],
    usage: &'static str,
    types: Typing,
    kernel: Kernel,
) -> Arc<ScalarUDF> {
    let signature = Signature::user_defined(Volatility::Immutable);
    let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
    Arc::new(ScalarUDF::new_from_impl(Function { name, usage, types, kernel, signature, aliases }))
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Function {
    fn resolve(&self, types: &[DataType]) -> Result<(DataType, Vec<DataType>)> {
        let resolved = match &self.types {
            Typing::By(resolve) => resolve(types),
            Typing::Shape(shape) => shape.resolve(types),
        };
        resolved.ok_or_else(|| {
            let given: Vec<String> = types.iter().map(ToString::to_string).collect();
            DataFusionError::Plan(format!(
                "no function matches {}({}); it is called as {}",
                self.name,
                given.join(", "),
                self.usage
            ))
        })
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(self.resolve(types)?.0)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(self.resolve(types)?.1)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let returns = args.return_field.data_type().clone();
        let column = (self.kernel)(&Args { values: args.args, rows, returns })?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&column, 0)?));
        }
        Ok(ColumnarValue::Array(column))
    }
}

/// The type of a call of one of our functions with arguments of these types; `None` for another function or a wrong call.
pub(crate) fn own_type(function: &ScalarUDF, types: &[DataType]) -> Option<DataType> {
    let inner: &dyn std::any::Any = function.inner().as_ref();
    inner.downcast_ref::<Function>()?.resolve(types).ok().map(|(returns, _)| returns)
}

/// Whether a value of the type can be taken for text.
pub(super) fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null)
}

/// Whether a value of the type can be taken for a whole number.
pub(super) fn is_whole(data_type: &DataType) -> bool {
    data_type.is_integer() || *data_type == DataType::Null
}
