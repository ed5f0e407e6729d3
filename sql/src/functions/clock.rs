//! `PROCTIME()` and `NOW()`. They are never computed here: the engine reads them from its clock, a batch query from its start.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DataFusionError, Result};
use datafusion::functions::datetime::now::NowFunc;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// Its name.
pub(crate) const PROCTIME: &str = "proctime";

static FUNCTION: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| Arc::new(ScalarUDF::new_from_impl(Proctime::new())));

/// The function.
pub(crate) fn proctime() -> Arc<ScalarUDF> {
    Arc::clone(&FUNCTION)
}

static NOW: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let mut config = ConfigOptions::default();
    config.execution.time_zone = Some("UTC".to_owned());
    Arc::new(ScalarUDF::new_from_impl(NowFunc::new_with_config(&config)))
});

/// `NOW()` as a moment, `TIMESTAMP_LTZ(9)`: DataFusion's own, which has no zone unless it is given one.
pub(crate) fn now() -> Arc<ScalarUDF> {
    Arc::clone(&NOW)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Proctime {
    signature: Signature,
    aliases: Vec<String>,
}

impl Proctime {
    fn new() -> Self {
        let aliases = vec!["current_row_timestamp".to_owned()];
        Self { signature: Signature::nullary(Volatility::Volatile), aliases }
    }
}

impl ScalarUDFImpl for Proctime {
    fn name(&self) -> &str {
        PROCTIME
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())))
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(DataFusionError::Internal("the processing time was not filled in".into()))
    }
}
