//! From scans of catalog relations to tables that DataFusion can read.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::{FieldRef, Schema};
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::Transformed;
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use millstream_engine::plan::RelationId;
use millstream_engine::rejects::{RejectEntry, RejectLog, RejectOrigin, Rejects};
use millstream_engine::time::{Clock, ProcessingTime};
use millstream_engine::view::GlobalSnapshot;
use millstream_sql::catalog::{Relation, RelationKind};
use millstream_sql::error::from_datafusion;
use millstream_sql::{RelationSource, SqlError, SqlState};

use super::connector_table::ConnectorScan;
use super::endless;
use super::view_table::ViewScan;
use crate::catalog::Catalog;

/// `object_not_in_prerequisite_state`
const OBJECT_NOT_READY: SqlState = SqlState("55000");

/// What the scans of one query read from.
#[derive(Clone)]
pub struct Scans {
    /// Opens connector tables.
    pub catalog: Arc<Catalog>,
    /// The views and internal tables at one moment.
    pub snapshot: Arc<GlobalSnapshot>,
    /// The clock that readers are told.
    pub clock: Arc<dyn Clock>,
    /// Files that stand for relations.
    pub files: Arc<HashMap<RelationId, Arc<dyn TableProvider>>>,
    /// What the scans have to tell when the rows are out.
    pub notes: ReadNotes,
    /// Keeps rows that cannot be parsed, where their table says so.
    pub rejects: Arc<RejectLog>,
}

/// What was read, counted while a query runs. Cheap to clone; clones share the counts.
#[derive(Debug, Clone, Default)]
pub struct ReadNotes(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    rows: AtomicU64,
    bad_rows: AtomicU64,
}

impl ReadNotes {
    /// Rows that could not be parsed and were skipped, as the table declares.
    pub fn bad_rows(&self) -> u64 {
        self.0.bad_rows.load(Ordering::Relaxed)
    }

    /// Rows read from connectors.
    pub fn rows(&self) -> u64 {
        self.0.rows.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, rows: u64, bad_rows: u64) {
        self.0.rows.fetch_add(rows, Ordering::Relaxed);
        self.0.bad_rows.fetch_add(bad_rows, Ordering::Relaxed);
    }
}

/// Keeps what a statement that is no job has rejected.
pub fn keep_rejects(
    log: &RejectLog,
    name: &str,
    relation: Option<&str>,
    operator: &str,
    at: ProcessingTime,
    rejects: &mut Rejects,
) {
    for rejected in rejects.take().1 {
        let (name, operator) = (name.into(), operator.into());
        let (job, relation, origin) = (None, relation.map(Into::into), RejectOrigin::default());
        log.add(RejectEntry { number: 0, job, name, relation, operator, at, rejected, origin });
    }
}

impl fmt::Debug for Scans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scans").finish_non_exhaustive()
    }
}

/// The error for a view whose job has not started since the server has.
pub fn no_rows_yet(relation: &Relation) -> SqlError {
    let message = format!("relation \"{}\" has no rows yet", relation.name);
    SqlError::new(OBJECT_NOT_READY, message).with_hint("SHOW JOBS tells why.")
}

impl Scans {
    /// The plan with every [`RelationSource`] replaced by a readable table.
    ///
    /// # Errors
    /// Where an endless table is read without a `LIMIT`, or a relation is gone.
    pub fn resolve(&self, plan: LogicalPlan) -> Result<LogicalPlan, SqlError> {
        endless::check(&plan)?;
        let resolved = plan.transform_up_with_subqueries(|node| match node {
            LogicalPlan::TableScan(mut scan) => {
                let Some(source) = scan.source.downcast_ref::<RelationSource>() else {
                    return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
                };
                let table = self.table(source).map_err(|error| DataFusionError::External(Box::new(error)))?;
                scan.source = provider_as_source(table);
                Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
            }
            other => Ok(Transformed::no(other)),
        });
        resolved.map(|resolved| resolved.data).map_err(from_datafusion)
    }

    fn table(&self, source: &RelationSource) -> Result<Arc<dyn TableProvider>, SqlError> {
        let relation = &source.relation;
        if let Some(table) = self.files.get(&relation.id) {
            return Ok(Arc::clone(table));
        }
        match &relation.kind {
            RelationKind::ConnectorTable(table) => {
                let Some(connector) = self.catalog.connector(&table.connector) else {
                    let message = format!("connector \"{}\" does not exist", table.connector);
                    return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message));
                };
                Ok(Arc::new(ConnectorScan {
                    connector: Arc::clone(connector),
                    table: table.clone(),
                    schema: Arc::clone(&source.schema),
                    clock: Arc::clone(&self.clock),
                    notes: self.notes.clone(),
                    rejects: Arc::clone(&self.rejects),
                }))
            }
            RelationKind::InternalTable(_) | RelationKind::MaterializedView { .. } => {
                let view = self.snapshot.views.get(&relation.id).ok_or_else(|| no_rows_yet(relation))?;
                if !fits(&view.schema, &source.schema) {
                    let message = format!("\"{}\" was replaced while the query began", relation.name);
                    return Err(SqlError::new(OBJECT_NOT_READY, message).with_hint("Run the query again."));
                }
                Ok(Arc::new(ViewScan { view: Arc::clone(view), schema: Arc::clone(&source.schema) }))
            }
            RelationKind::View { .. } => {
                let message = format!("view \"{}\" was not expanded", relation.name);
                Err(SqlError::new(SqlState::INTERNAL_ERROR, message))
            }
        }
    }
}

/// Whether rows of a view are of the types that a query expects: the view may have got another query since that was bound.
fn fits(view: &Schema, query: &Schema) -> bool {
    let same = |(view, query): (&FieldRef, &FieldRef)| view.data_type() == query.data_type();
    view.fields().len() == query.fields().len() && view.fields().iter().zip(query.fields()).all(same)
}
