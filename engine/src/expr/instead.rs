//! Expressions that stand in the place of others of DataFusion, for their values alone.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;

/// A quicker way to the values of an expression.
pub(super) trait Kernel: fmt::Debug + Send + Sync + Sized + 'static {
    /// The way for this expression; `None` where there is none.
    ///
    /// # Errors
    /// Where the expression does not fit the schema.
    fn of(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Option<Self>>;

    /// The values that the expression has, in its type; `None` for a batch that only DataFusion can compute.
    ///
    /// # Errors
    /// As those of the expression.
    fn compute(&self, batch: &RecordBatch) -> Result<Option<ColumnarValue>>;
}

/// Puts [`Instead`] in the place of every expression that `K` has a way for.
///
/// # Errors
/// As [`Kernel::of`].
pub(super) fn replaced<K: Kernel>(expr: Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    let replaced = expr.transform_up(|node| {
        let Some(kernel) = K::of(&node, schema)? else { return Ok(Transformed::no(node)) };
        let data_type = node.data_type(schema)?;
        Ok(Transformed::yes(Arc::new(Instead { by_datafusion: node, kernel, data_type }) as Arc<dyn PhysicalExpr>))
    });
    replaced.map(|replaced| replaced.data)
}

/// An expression whose values a kernel computes. All else about it is as DataFusion has it.
#[derive(Debug)]
pub(super) struct Instead<K> {
    by_datafusion: Arc<dyn PhysicalExpr>,
    kernel: K,
    data_type: DataType,
}

impl<K> PartialEq for Instead<K> {
    fn eq(&self, other: &Self) -> bool {
        self.by_datafusion.eq(&other.by_datafusion)
    }
}

impl<K> Eq for Instead<K> {}

impl<K> Hash for Instead<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.by_datafusion.hash(state);
    }
}

impl<K> fmt::Display for Instead<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.by_datafusion.fmt(f)
    }
}

impl<K: Kernel> PhysicalExpr for Instead<K> {
    fn data_type(&self, _schema: &Schema) -> Result<DataType> {
        Ok(self.data_type.clone())
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.by_datafusion.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        match self.kernel.compute(batch)? {
            Some(values) => Ok(values),
            None => self.by_datafusion.evaluate(batch),
        }
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.by_datafusion]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        // What is put below it is computed as DataFusion does; `replaced` may take it up again.
        Ok(children.into_iter().next().unwrap_or_else(|| Arc::clone(&self.by_datafusion)))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.by_datafusion.fmt_sql(f)
    }
}
