//! What the functions share: a scalar function from a name, a signature and a kernel.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// The types of the result and of the arguments (after casts) for the types that a call gives.
pub(super) type Types = fn(&[DataType]) -> Option<(DataType, Vec<DataType>)>;

/// Computes a column from columns.
pub(super) type Kernel = fn(&Args) -> Result<ArrayRef>;

/// A function of columns.
#[derive(Debug)]
pub(super) struct Function {
    name: &'static str,
    /// How it is called, for errors.
    usage: &'static str,
    types: Types,
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

    fn value(&self, index: usize) -> Result<&ColumnarValue> {
        self.values.get(index).ok_or_else(|| DataFusionError::Internal("an argument is missing".into()))
    }
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

/// A registered function that depends on its arguments only.
pub(super) fn function(
    name: &'static str,
    aliases: &[&str],
    usage: &'static str,
    types: Types,
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
        (self.types)(types).ok_or_else(|| {
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

/// Whether a value of the type can be taken for text.
pub(super) fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null)
}

/// Whether a value of the type can be taken for a whole number.
pub(super) fn is_whole(data_type: &DataType) -> bool {
    data_type.is_integer() || *data_type == DataType::Null
}
