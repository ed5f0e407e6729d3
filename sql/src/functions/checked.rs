//! A function of DataFusion's whose arguments are looked at before it is called.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};

/// What is looked at.
pub(super) trait Check: Debug + PartialEq + Eq + Hash + Send + Sync + 'static {
    /// # Errors
    /// Where the function `name` must not be called with these columns. Each has `rows` rows.
    fn check(&self, name: &str, columns: &[ArrayRef], rows: usize) -> Result<()>;

    /// Makes arguments what the function can take.
    ///
    /// # Errors
    /// Where they are none of its.
    fn adjust(&self, _args: &mut [ColumnarValue], _rows: usize) -> Result<()> {
        Ok(())
    }
}

/// The function with the check before it.
pub(super) fn checked(function: &Arc<ScalarUDF>, check: impl Check) -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Checked { inner: Arc::clone(function), check }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked<C> {
    inner: Arc<ScalarUDF>,
    check: C,
}

impl<C: Check> ScalarUDFImpl for Checked<C> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let columns = args.args.iter().map(|value| value.to_array(rows)).collect::<Result<Vec<_>>>()?;
        self.check.check(self.name(), &columns, rows)?;
        self.check.adjust(&mut args.args, rows)?;
        self.inner.invoke_with_args(args)
    }
}
