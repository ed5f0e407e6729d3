//! Scans and what has no input: connector tables, views, internal tables, `VALUES`; and watermarks on them.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::{EmptyRelation, Expr, LogicalPlan, TableScan, Values};
use millstream_engine::expr::{EvalContext, Scalar};
use millstream_engine::plan::{
    Alignment, ChangelogMode, NodeId, OperatorSpec, SourceSpec, Step, ViewSourceSpec, WatermarkSpec,
};
use millstream_engine::ports::option_value::parse_duration_us;
use millstream_engine::ports::{MemorySource, ScanColumn, ScanRequest};
use millstream_engine::time::ProcessingTime;

use super::rel::Rel;
use super::{Lowering, broken, column_of};
use crate::catalog::RelationKind;
use crate::ddl::{ALIGNMENT_DRIFT, ALIGNMENT_GROUP, ALIGNMENT_INTERVAL, IDLE_TIMEOUT};
use crate::error::Result;
use crate::query::from_datafusion;
use crate::query::nodes::Watermark;
use crate::relation_source::RelationSource;

impl Lowering<'_> {
    /// The stored columns of a relation.
    pub(super) fn scan(&mut self, plan: &LogicalPlan, scan: &TableScan) -> Result<Rel> {
        let Some(source) = scan.source.downcast_ref::<RelationSource>() else {
            return Err(broken("a scan of something that is no relation"));
        };
        let stored = source.schema.fields().len();
        let columns = scan.projection.clone().unwrap_or_else(|| (0..stored).collect());
        let relation = &source.relation;
        match &relation.kind {
            RelationKind::ConnectorTable(_) => {
                let column = |(output, index): (usize, &usize)| ScanColumn {
                    index: *index,
                    children: self.uses.children(plan, output).filter(|_| self.is_row(source, *index)),
                };
                let request = ScanRequest { columns: columns.iter().enumerate().map(column).collect() };
                let opened = self.opener.source(relation, &request)?;
                let mut rel = Rel::new(NodeId(0), opened.schema());
                rel.changelog = opened.changelog();
                rel.stream_key = opened.stream_key();
                let table = relation.name.clone();
                let spec = SourceSpec { table, source: opened, steps: Vec::new(), watermark: None };
                Ok(self.node(OperatorSpec::Source(spec), Vec::new(), rel))
            }
            RelationKind::InternalTable(_) | RelationKind::MaterializedView { .. } => {
                let mut rel = Rel::new(NodeId(0), Arc::clone(&source.schema));
                let now = self.opener.rows_now(relation, &source.schema)?;
                if let RelationKind::MaterializedView { stream_key, append_only, time_column, .. } = &relation.kind {
                    rel.stream_key.clone_from(stream_key);
                    rel.time_column = *time_column;
                    if !append_only {
                        rel.changelog = ChangelogMode::Retract;
                    }
                }
                if let RelationKind::InternalTable(table) = &relation.kind
                    && table.is_updatable()
                {
                    rel.changelog = ChangelogMode::Retract;
                    rel.stream_key = Some(table.primary_key.clone());
                }
                let name = relation.name.clone();
                let spec = match now {
                    Some(source) => {
                        self.now.insert(NodeId(self.nodes.len()));
                        rel.changelog = ChangelogMode::Append;
                        OperatorSpec::Source(SourceSpec { table: name, source, steps: Vec::new(), watermark: None })
                    }
                    None => OperatorSpec::ViewSource(ViewSourceSpec { relation: relation.id, name, watermark: None }),
                };
                let rel = self.node(spec, Vec::new(), rel);
                if scan.projection.is_none() {
                    return Ok(rel);
                }
                let exprs = columns.iter().map(|&column| Scalar::column(&rel.schema, column)).collect();
                let schema = Arc::new(rel.schema.project(&columns).map_err(millstream_engine::EngineError::from)?);
                let from: Vec<Option<usize>> = columns.into_iter().map(Some).collect();
                let mut narrow = rel.mapped(&from, Arc::clone(&schema));
                narrow.steps.push(Step::Project { exprs, schema });
                Ok(narrow)
            }
            RelationKind::View { .. } => Err(broken("a view was not replaced by its query")),
        }
    }

    fn is_row(&self, source: &RelationSource, column: usize) -> bool {
        matches!(source.schema.field(column).data_type(), arrow::datatypes::DataType::Struct(_))
    }

    /// Event time of the table below: what its steps have done so far becomes part of the source.
    pub(super) fn watermark(&mut self, watermark: &Watermark) -> Result<Rel> {
        let mut rel = self.plan(&watermark.input)?;
        let schema = watermark.input.schema();
        let Some(time_column) = column_of(&watermark.column, schema) else {
            return Err(broken("a watermark on something that is no column"));
        };
        let Declared { idle_timeout_us, alignment } = declared(&watermark.input);
        let idle_timeout_us = match idle_timeout_us {
            Some(micros) => Some(micros).filter(|micros| *micros > 0),
            None => self.idle_timeout_us,
        };
        rel.time_column = Some(time_column);
        let expr = Scalar::compile(&watermark.expr, schema)?;
        let over_output = WatermarkSpec { time_column, expr, idle_timeout_us, alignment };
        let own = over_stored(watermark)?;
        let edge = rel.edge();
        let Some(node) = self.nodes.get_mut(rel.node.0) else { return Err(broken("a node is missing")) };
        match &mut node.spec {
            // All rows are there: none is late, and what waits for event time comes at the end.
            OperatorSpec::Source(_) if self.now.contains(&rel.node) => {}
            OperatorSpec::Source(spec) => {
                spec.steps = std::mem::take(&mut rel.steps);
                spec.watermark = Some(over_output);
                node.edge = edge;
                // The node is no plain scan any more: another reader, with steps of its own, needs another.
                self.known.retain(|_, known| known.node != rel.node);
            }
            OperatorSpec::ViewSource(spec) => {
                let expr = Scalar::compile(&own.0, &own.1)?;
                spec.watermark = Some(WatermarkSpec { time_column, expr, idle_timeout_us, alignment: None });
            }
            _ => return Err(broken("a watermark on something that is no table")),
        }
        Ok(rel)
    }

    /// No rows, or the one row of a query without FROM.
    pub(super) fn empty(&mut self, empty: &EmptyRelation) -> Result<Rel> {
        let schema = Arc::clone(empty.schema.inner());
        let options = RecordBatchOptions::new().with_row_count(Some(usize::from(empty.produce_one_row)));
        let columns = schema.fields().iter().map(|field| arrow::array::new_empty_array(field.data_type())).collect();
        let batch = if empty.produce_one_row {
            RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)
        } else {
            RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)
        };
        self.memory(batch.map_err(millstream_engine::EngineError::from)?)
    }

    /// The rows of `VALUES`.
    pub(super) fn values(&mut self, values: &Values) -> Result<Rel> {
        let schema = Arc::clone(values.schema.inner());
        let nothing = datafusion::common::DFSchema::empty();
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)
            .map_err(millstream_engine::EngineError::from)?;
        let now = EvalContext { now: ProcessingTime(0) };
        let column = |index: usize| -> Result<ArrayRef> {
            let cells = values.values.iter().filter_map(|row| row.get(index));
            let cells = cells.map(|cell| Ok(Scalar::compile(cell, &nothing)?.evaluate(&row, now)?));
            let cells = cells.collect::<Result<Vec<_>>>()?;
            let cells: Vec<_> = cells.iter().map(AsRef::as_ref).collect();
            Ok(arrow::compute::concat(&cells).map_err(millstream_engine::EngineError::from)?)
        };
        let columns = (0..schema.fields().len()).map(column).collect::<Result<Vec<_>>>()?;
        self.memory(RecordBatch::try_new(schema, columns).map_err(millstream_engine::EngineError::from)?)
    }

    fn memory(&mut self, batch: RecordBatch) -> Result<Rel> {
        let schema = batch.schema();
        let source = Arc::new(MemorySource::new(Arc::clone(&schema), vec![vec![batch]]));
        let spec = SourceSpec { table: "values".into(), source, steps: Vec::new(), watermark: None };
        Ok(self.node(OperatorSpec::Source(spec), Vec::new(), Rel::new(NodeId(0), schema)))
    }
}

/// The watermark's expression over the stored columns of the table, and those columns.
fn over_stored(watermark: &Watermark) -> Result<(Expr, datafusion::common::DFSchemaRef)> {
    let (mut expr, mut plan) = (watermark.expr.clone(), watermark.input.as_ref());
    loop {
        match plan {
            LogicalPlan::Projection(projection) => {
                let schema = &projection.schema;
                let inlined = expr.transform(|node| {
                    let index = match &node {
                        Expr::Column(column) => schema.maybe_index_of_column(column),
                        _ => None,
                    };
                    Ok(match index.and_then(|index| projection.expr.get(index)) {
                        Some(definition) => Transformed::yes(definition.clone().unalias()),
                        None => Transformed::no(node),
                    })
                });
                expr = inlined.map_err(from_datafusion)?.data;
                plan = projection.input.as_ref();
            }
            LogicalPlan::SubqueryAlias(alias) => plan = alias.input.as_ref(),
            LogicalPlan::TableScan(scan) => {
                let qualified = datafusion::common::DFSchema::try_from_qualified_schema(
                    scan.table_name.clone(),
                    &scan.source.schema(),
                );
                return Ok((expr, Arc::new(qualified.map_err(from_datafusion)?)));
            }
            _ => return Err(broken("a watermark on something that is no table")),
        }
    }
}

/// What the table below a watermark declares of it.
struct Declared {
    /// 0: never.
    idle_timeout_us: Option<i64>,
    alignment: Option<Alignment>,
}

/// See [`Declared`].
fn declared(plan: &LogicalPlan) -> Declared {
    let nothing = Declared { idle_timeout_us: None, alignment: None };
    let relation = match plan {
        LogicalPlan::TableScan(scan) => scan.source.downcast_ref::<RelationSource>().map(|source| &source.relation),
        other => return other.inputs().first().map_or(nothing, |input| declared(input)),
    };
    let Some(RelationKind::ConnectorTable(table)) = relation.map(|relation| &relation.kind) else { return nothing };
    let options = &table.spec.options;
    let duration = |name: &str| options.get(name).and_then(parse_duration_us).filter(|time| *time > 0);
    let group = options.get(ALIGNMENT_GROUP);
    let alignment = group.zip(duration(ALIGNMENT_DRIFT)).map(|(group, max_drift_us)| Alignment {
        group: group.to_owned(),
        max_drift_us,
        interval_us: duration(ALIGNMENT_INTERVAL).unwrap_or(1_000_000),
    });
    Declared { idle_timeout_us: options.get(IDLE_TIMEOUT).and_then(parse_duration_us), alignment }
}
