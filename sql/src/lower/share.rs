//! A table that a query reads in several places is read once: its scans are widened to the columns that any of them
//! asks for, so that they are equal, and equal sub-plans become one node.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, TableScan, TableScanBuilder};

use crate::catalog::RelationKind;
use crate::query::from_datafusion;
use crate::query::nodes::Watermark;
use crate::relation_source::RelationSource;

/// What is read of a table: its stored columns, and the columns of the projection that computes others of them, where
/// it has a watermark.
#[derive(Debug, Default)]
struct Reads {
    scans: usize,
    stored: BTreeSet<usize>,
    /// By name; columns of the same name are computed alike, for they are declared with the table.
    computed: Vec<Expr>,
}

/// A table, with its watermark.
type Key = (String, Option<(Expr, Expr)>);

/// The plans of one job with equal scans of each table.
pub(super) fn shared(plans: Vec<LogicalPlan>) -> crate::error::Result<Vec<LogicalPlan>> {
    let mut reads: HashMap<Key, Reads> = HashMap::new();
    for plan in &plans {
        let visited = plan.apply(|node| {
            Ok(match Read::of(node) {
                Some(read) => {
                    read.add_to(reads.entry(read.key()).or_default());
                    TreeNodeRecursion::Jump
                }
                None => TreeNodeRecursion::Continue,
            })
        });
        visited.map_err(from_datafusion)?;
    }
    reads.retain(|_, reads| reads.scans > 1);
    if reads.is_empty() {
        return Ok(plans);
    }
    let widened = plans.into_iter().map(|plan| {
        plan.transform_down(|node| {
            let read = Read::of(&node).and_then(|read| Some((reads.get(&read.key())?, read)));
            Ok(match read {
                Some((reads, read)) => Transformed::new(read.widened(reads)?, true, TreeNodeRecursion::Jump),
                None => Transformed::no(node),
            })
        })
    });
    widened.map(|plan| Ok(plan.map_err(from_datafusion)?.data)).collect()
}

/// A place where a table is read: its scan, alone or below its computed columns and its watermark.
struct Read<'a> {
    scan: &'a TableScan,
    timed: Option<(&'a Watermark, Option<&'a Projection>)>,
}

impl<'a> Read<'a> {
    fn of(plan: &'a LogicalPlan) -> Option<Self> {
        if let LogicalPlan::TableScan(scan) = plan {
            return plain(scan).then_some(Self { scan, timed: None });
        }
        let watermark = Watermark::of(plan)?;
        let (projection, below) = match watermark.input.as_ref() {
            LogicalPlan::Projection(projection) => (Some(projection), projection.input.as_ref()),
            other => (None, other),
        };
        match below {
            LogicalPlan::TableScan(scan) if plain(scan) => Some(Self { scan, timed: Some((watermark, projection)) }),
            _ => None,
        }
    }

    fn key(&self) -> Key {
        let watermark = self.timed.map(|(watermark, _)| (watermark.column.clone(), watermark.expr.clone()));
        (self.scan.table_name.to_string(), watermark)
    }

    fn add_to(&self, reads: &mut Reads) {
        reads.scans += 1;
        match &self.scan.projection {
            Some(columns) => reads.stored.extend(columns),
            None => reads.stored.extend(0..self.scan.source.schema().fields().len()),
        }
        let Some((watermark, projection)) = self.timed else { return };
        let exprs = match projection {
            Some(projection) => projection.expr.clone(),
            None => watermark.input.schema().iter().map(Expr::from).collect(),
        };
        for expr in exprs {
            if !reads.computed.iter().any(|known| known.schema_name().to_string() == expr.schema_name().to_string()) {
                reads.computed.push(expr);
            }
        }
    }

    /// The same rows from the scan that all share.
    fn widened(&self, reads: &Reads) -> Result<LogicalPlan> {
        let columns: Vec<usize> = reads.stored.iter().copied().collect();
        let scan = TableScanBuilder::new(self.scan.table_name.clone(), Arc::clone(&self.scan.source))
            .with_projection(Some(columns))
            .build()?;
        let scan = LogicalPlan::TableScan(scan);
        let Some((watermark, _)) = self.timed else { return narrowed(scan, &self.scan.projected_schema) };
        let projection = LogicalPlan::Projection(Projection::try_new(reads.computed.clone(), Arc::new(scan))?);
        let widened = Watermark::plan(projection, watermark.column.clone(), watermark.expr.clone());
        narrowed(widened, watermark.input.schema())
    }
}

/// Whether the scan is of a connector's table, and asks for nothing but columns. Views are in memory as they are.
fn plain(scan: &TableScan) -> bool {
    let source = scan.source.downcast_ref::<RelationSource>();
    let reads_connector = source.is_some_and(|source| match source.relation.kind {
        RelationKind::ConnectorTable(_) => true,
        RelationKind::InternalTable(_) | RelationKind::View { .. } | RelationKind::MaterializedView { .. } => false,
    });
    reads_connector && scan.filters.is_empty() && scan.fetch.is_none()
}

fn narrowed(plan: LogicalPlan, schema: &DFSchema) -> Result<LogicalPlan> {
    if plan.schema().fields() == schema.fields() {
        return Ok(plan);
    }
    let columns = schema.iter().map(Expr::from).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?))
}
