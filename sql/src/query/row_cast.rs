//! [`row_cast`]: from one ROW type to another by position, as SQL has it. DataFusion's own cast goes by field name.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayData, ArrayRef, make_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// Whether values of type `from` become values of `to` only when their fields are taken by position.
pub(super) fn is_needed(from: &DataType, to: &DataType) -> bool {
    renamed(from, to).is_some_and(|renamed| renamed != *from)
}

/// The expression as a value of type `to`; its fields are taken by position.
pub(super) fn row_cast(value: Expr, to: &DataType) -> Expr {
    ScalarUDF::new_from_impl(RowCast { to: to.clone(), signature: Signature::any(1, Volatility::Immutable) })
        .call(vec![value])
}

/// The type `from` with the field names of `to`, at every depth. `None` where their shapes differ.
fn renamed(from: &DataType, to: &DataType) -> Option<DataType> {
    let field = |(have, want): (&FieldRef, &FieldRef)| -> Option<Field> {
        let data_type = renamed(have.data_type(), want.data_type())?;
        Some(Field::new(want.name(), data_type, have.is_nullable()))
    };
    match (from, to) {
        (DataType::Struct(have), DataType::Struct(want)) => {
            let fields = have.iter().zip(want).map(field).collect::<Option<Vec<_>>>()?;
            (have.len() == want.len()).then(|| DataType::Struct(fields.into()))
        }
        (DataType::List(have), DataType::List(want)) => Some(DataType::List(Arc::new(field((have, want))?))),
        (DataType::Map(have, sorted), DataType::Map(want, _)) => {
            Some(DataType::Map(Arc::new(field((have, want))?), *sorted))
        }
        (DataType::Struct(_) | DataType::List(_) | DataType::Map(..), DataType::Null) => None,
        _ => Some(from.clone()),
    }
}

#[derive(Debug)]
struct RowCast {
    to: DataType,
    signature: Signature,
}

impl PartialEq for RowCast {
    fn eq(&self, other: &Self) -> bool {
        self.to == other.to
    }
}

impl Eq for RowCast {}

impl Hash for RowCast {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.to.hash(state);
    }
}

impl ScalarUDFImpl for RowCast {
    fn name(&self) -> &str {
        "row_cast"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.to.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value] = ColumnarValue::values_to_arrays(&args.args)?
            .try_into()
            .map_err(|_| DataFusionError::Internal("row_cast takes one argument".into()))?;
        Ok(ColumnarValue::Array(convert(&value, &self.to)?))
    }
}

fn convert(value: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let Some(named) = renamed(value.data_type(), to) else { return Ok(cast(value, to)?) };
    Ok(cast(&make_array(rename_data(value.to_data(), &named)?), to)?)
}

/// The same buffers under other names.
fn rename_data(data: ArrayData, to: &DataType) -> Result<ArrayData> {
    let children = data.child_data().to_vec().into_iter().zip(child_types(to));
    let children = children.map(|(child, data_type)| rename_data(child, &data_type)).collect::<Result<_>>()?;
    Ok(data.into_builder().data_type(to.clone()).child_data(children).build()?)
}

/// The types of the children of an array of this type.
fn child_types(data_type: &DataType) -> Vec<DataType> {
    match data_type {
        DataType::Struct(fields) => fields.iter().map(|field| field.data_type().clone()).collect(),
        DataType::List(field) | DataType::Map(field, _) => vec![field.data_type().clone()],
        _ => Vec::new(),
    }
}
