//! A `SELECT` over bounded input in streaming mode: the dataflow runs to its end, and its deltas are folded.
//!
//! A dataflow has no order, so `ORDER BY` and `LIMIT` at the top of the query are left out of it and applied to the
//! folded rows.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::Column;
use millstream_engine::message::Delta;
use millstream_engine::runtime::CollectSink;
use millstream_sql::SqlError;
use millstream_sql::bound::BoundQuery;
use millstream_sql::error::{from_arrow, from_datafusion};

use super::job::JobPlan;
use super::query::DATABASE_AND_SCHEMA;
use super::{Outcome, Rows, Session};
use crate::batch::{ReadNotes, conform, fold_deltas};
use crate::catalog::JobKind;

/// Epochs that may wait for the reader before the sources are held back.
const EPOCHS_AHEAD: usize = 16;

impl Session {
    pub(super) async fn streaming_query(&self, query: &BoundQuery) -> Result<Outcome, SqlError> {
        let (inner, top) = split_top(&query.plan);
        let inner_query = dataflow_part(query);
        let dataflow_schema = Arc::clone(&inner_query.schema);
        let folded = self.run_to_end(&inner_query).await?;
        let schema = Arc::clone(&query.schema);
        if top.is_empty() {
            let batches = folded.iter().map(|batch| conform(batch, &schema)).collect::<Result<_, _>>()?;
            return Ok(Outcome::rows(Rows::from_batches(schema, batches, "SELECT")));
        }
        let plan = rebuild(inner, &top, dataflow_schema, folded)?;
        let context = self.database.batch().context(self.settings.time_zone().name(), DATABASE_AND_SCHEMA);
        let batches = self.database.batch().run(context, move || Ok(plan), Arc::clone(&schema)).await?;
        Ok(Outcome::rows(Rows { schema, batches, command: "SELECT", notes: ReadNotes::default() }))
    }

    /// Runs a query as a dataflow over input that ends, and folds what it gave.
    async fn run_to_end(&self, query: &BoundQuery) -> Result<Vec<RecordBatch>, SqlError> {
        let (sink, mut receiver) = CollectSink::channel(EPOCHS_AHEAD);
        let mut plan = JobPlan::collected(JobKind::Query, "select", query, sink);
        self.database.refilled(&query.depends_on).await;
        plan.snapshot = Some(self.scans().snapshot);
        let (job, dataflow) = self.database.start_job(plan).await?;
        // The sink's sender lives in the dataflow; the receiver ends when the engine has dropped it as well.
        drop(dataflow);
        let mut deltas: Vec<Delta> = Vec::new();
        while let Some(mut collected) = receiver.recv().await {
            deltas.append(&mut collected.deltas);
        }
        job.finished().await?;
        let schema = Arc::clone(&query.schema);
        self.database.batch().threads().run(async move { fold_deltas(&schema, &deltas) }).await
    }
}

/// The part of a `SELECT` that its dataflow computes: all but an order and a limit at its top.
pub(super) fn dataflow_part(query: &BoundQuery) -> BoundQuery {
    let (inner, top) = split_top(&query.plan);
    BoundQuery {
        plan: inner.clone(),
        schema: Arc::new(renamed(inner.schema().as_arrow(), query, top.is_empty())),
        ..query.clone()
    }
}

/// The part of a plan that a dataflow can compute, and the steps above it that need all rows, outermost first.
fn split_top(plan: &LogicalPlan) -> (&LogicalPlan, Vec<&LogicalPlan>) {
    let mut below = plan;
    let mut steps = Vec::new();
    let mut last_needed = 0;
    let mut inner = plan;
    loop {
        let input = match below {
            LogicalPlan::Sort(sort) => sort.input.as_ref(),
            LogicalPlan::Limit(limit) => limit.input.as_ref(),
            // A projection over a sort drops the columns that only the sort needs.
            LogicalPlan::Projection(projection) => projection.input.as_ref(),
            _ => break,
        };
        steps.push(below);
        if !matches!(below, LogicalPlan::Projection(_)) {
            last_needed = steps.len();
            inner = input;
        }
        below = input;
    }
    steps.truncate(last_needed);
    (inner, steps)
}

/// The names of the query where its whole plan is the dataflow, else unique ones.
fn renamed(schema: &Schema, query: &BoundQuery, whole: bool) -> Schema {
    if whole {
        return query.schema.as_ref().clone();
    }
    let fields = schema.fields().iter().enumerate();
    Schema::new(fields.map(|(index, field)| field.as_ref().clone().with_name(format!("c{index}"))).collect::<Vec<_>>())
}

/// The steps of `top` over rows that are there.
fn rebuild(
    inner: &LogicalPlan,
    top: &[&LogicalPlan],
    schema: SchemaRef,
    rows: Vec<RecordBatch>,
) -> Result<LogicalPlan, SqlError> {
    // The dataflow's schema may differ in nullability from its batches.
    let rows = rows
        .into_iter()
        .map(|batch| RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec()).map_err(from_arrow))
        .collect::<Result<Vec<_>, _>>()?;
    let table = MemTable::try_new(Arc::clone(&schema), vec![rows]).map_err(from_datafusion)?;
    let scan =
        LogicalPlanBuilder::scan("folded", provider_as_source(Arc::new(table)), None).map_err(from_datafusion)?;
    let names = inner.schema().iter().enumerate().map(|(index, (qualifier, field))| {
        let column = Expr::Column(Column::new(Some("folded"), format!("c{index}")));
        column.alias_qualified(qualifier.cloned(), field.name())
    });
    let mut plan =
        scan.project(names.collect::<Vec<_>>()).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)?;
    for step in top.iter().rev() {
        plan = step.with_new_exprs(step.expressions(), vec![plan]).map_err(from_datafusion)?;
    }
    Ok(plan)
}
