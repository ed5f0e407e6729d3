//! Which splits of a connector table a query need not read: those whose constants (partition columns, the name of a file) its
//! filters exclude.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{FieldRef, Schema};
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, Expr};
use datafusion::physical_plan::PhysicalExpr;
use millstream_engine::EngineError;
use millstream_engine::ports::{Source, Split, TableSpec};

/// Whether a filter can tell of a split that none of its rows is wanted: all its columns may be the same throughout.
pub(super) fn may_exclude(spec: &TableSpec, filter: &Expr) -> bool {
    let constant = |name: &str| {
        let found = spec.schema.fields().iter().enumerate().find(|(_, field)| field.name() == name);
        found.is_some_and(|(index, field)| {
            spec.partitioned_by.contains(&index) || field.metadata().contains_key(TableSpec::METADATA_KEY)
        })
    };
    let columns = filter.column_refs();
    !columns.is_empty() && !filter.is_volatile() && columns.iter().all(|column| constant(&column.name))
}

/// The splits that may have rows for all filters. May wait for files.
///
/// # Errors
/// Where the source cannot tell the constants of a split.
pub(super) fn prune(
    source: &dyn Source,
    splits: Vec<Split>,
    filters: &Filters,
) -> std::result::Result<Vec<Split>, EngineError> {
    if filters.0.is_empty() {
        return Ok(splits);
    }
    let mut kept = Vec::with_capacity(splits.len());
    for split in splits {
        let constants = source.constants(&split)?;
        if !filters.0.iter().any(|filter| filter.excludes(&constants)) {
            kept.push(split);
        }
    }
    Ok(kept)
}

/// The filters of a scan, ready to be asked.
pub(super) struct Filters(Vec<Filter>);

struct Filter {
    condition: Arc<dyn PhysicalExpr>,
    /// The columns of its input: the schema, and where they are in that of the source.
    schema: Arc<Schema>,
    columns: Vec<usize>,
}

impl Filters {
    /// Filters over a source with these columns.
    ///
    /// # Errors
    /// Where DataFusion cannot plan one.
    pub(super) fn new(session: &dyn Session, source: &Schema, filters: &[Expr]) -> Result<Self> {
        let mut ready = Vec::new();
        for filter in filters {
            let names = filter.column_refs();
            let places: Option<Vec<usize>> = names
                .iter()
                .map(|column| source.fields().iter().position(|field| *field.name() == column.name))
                .collect();
            // A column that is not read is no column to ask for.
            let Some(columns) = places else { continue };
            let fields: Vec<FieldRef> = columns.iter().filter_map(|at| source.fields().get(*at).cloned()).collect();
            let schema = Arc::new(Schema::new(fields));
            let condition = session.create_physical_expr(filter.clone(), &DFSchema::try_from(Arc::clone(&schema))?)?;
            ready.push(Filter { condition, schema, columns });
        }
        Ok(Self(ready))
    }
}

impl Filter {
    /// Whether no row of a split with these constants fits. What cannot be computed is for the rows to tell.
    fn excludes(&self, constants: &[Option<ArrayRef>]) -> bool {
        let columns: Option<Vec<ArrayRef>> =
            self.columns.iter().map(|at| constants.get(*at).and_then(Clone::clone)).collect();
        let Some(columns) = columns else { return false };
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let Ok(row) = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options) else {
            return false;
        };
        match self.condition.evaluate(&row) {
            Ok(ColumnarValue::Scalar(ScalarValue::Boolean(fits))) => fits != Some(true),
            Ok(ColumnarValue::Array(fits)) => {
                fits.as_boolean_opt().is_some_and(|fits| fits.len() == 1 && (fits.is_null(0) || !fits.value(0)))
            }
            Ok(ColumnarValue::Scalar(_)) | Err(_) => false,
        }
    }
}
