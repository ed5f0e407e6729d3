//! [`text_cast`]: from text to the types of which PostgreSQL writes more than Arrow reads.

use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::from_text::{cast_text, is_special};

/// Whether values of type `from` become values of `to` by reading PostgreSQL's texts.
pub(super) fn is_needed(from: &DataType, to: &DataType) -> bool {
    matches!(from, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) && is_special(to)
}

/// The expression as a value of type `to`. `safe`: null where it is none.
pub(super) fn text_cast(value: Expr, to: &DataType, safe: bool) -> Expr {
    ScalarUDF::new_from_impl(TextCast { to: to.clone(), safe, signature: Signature::any(1, Volatility::Immutable) })
        .call(vec![value])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TextCast {
    to: DataType,
    safe: bool,
    signature: Signature,
}

impl ScalarUDFImpl for TextCast {
    fn name(&self) -> &str {
        "text_cast"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.to.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [text] = ColumnarValue::values_to_arrays(&args.args)?
            .try_into()
            .map_err(|_| DataFusionError::Internal("text_cast takes one argument".into()))?;
        Ok(ColumnarValue::Array(cast_text(&text, &self.to, self.safe)?))
    }
}
