//! [`RelationSource`]: how a relation of the catalog stands in a DataFusion plan.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::logical_expr::TableSource;

use crate::catalog::Relation;

/// A scan of stored columns: physical and metadata columns of a connector table, all columns of an internal table or
/// of a materialised view. The batch path replaces it by something readable, the streaming path lowers it to a source.
#[derive(Debug)]
pub struct RelationSource {
    /// What is read.
    pub relation: Arc<Relation>,
    /// The stored columns.
    pub schema: SchemaRef,
}

impl TableSource for RelationSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}
