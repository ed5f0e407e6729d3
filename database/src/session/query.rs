//! `SELECT`: where it is computed, and its rows.

use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use millstream_engine::ports::Boundedness;
use millstream_sql::bound::BoundQuery;
use millstream_sql::catalog::RelationKind;
use millstream_sql::error::from_datafusion;
use millstream_sql::{RelationSource, SqlError, SqlState, batch_plan};

use super::{Notice, Outcome, Rows, RuntimeMode, Session};
use crate::batch::{Batches, ReadNotes};

/// Name of the only database and of its only schema.
pub(crate) const DATABASE_AND_SCHEMA: (&str, &str) = ("millstream", "public");

/// Where a query is computed, and why there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) streaming: bool,
    pub(super) reason: &'static str,
}

/// What a query reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inputs {
    /// The least bounded of its connector tables.
    pub(super) connectors: Option<Boundedness>,
    /// It reads a view or an internal table.
    pub(super) views: bool,
}

impl Session {
    pub(super) async fn query(&mut self, query: &BoundQuery) -> Result<Outcome, SqlError> {
        let mut notices = self.freshness(query)?;
        if self.choose(query)?.streaming {
            match self.streaming_query(query).await {
                Ok(outcome) => return Ok(Outcome { notices, ..outcome }),
                Err(error) if error.parts().state == SqlState::FEATURE_NOT_SUPPORTED => {
                    notices.push(Notice::info(format!("computed in batch: {}", error.parts().message)));
                }
                Err(error) => return Err(error),
            }
        }
        let notes = ReadNotes::default();
        let batches = self.batch_rows(query, &notes).await?;
        let schema = Arc::clone(&query.schema);
        Ok(Outcome { notices, ..Outcome::rows(Rows { schema, batches, command: "SELECT", notes }) })
    }

    /// The rows of a query, read once, now.
    pub(super) async fn batch_rows(&self, query: &BoundQuery, notes: &ReadNotes) -> Result<Batches, SqlError> {
        self.database.refilled(&query.depends_on).await;
        let mut scans = self.scans();
        scans.notes = notes.clone();
        let (query, schema) = (query.clone(), Arc::clone(&query.schema));
        let context = self.database.batch().context(self.settings.time_zone().name(), DATABASE_AND_SCHEMA);
        self.database.batch().run(context, move || scans.resolve(batch_plan(&query)?), schema).await
    }

    /// Where a `SELECT` is computed.
    pub(super) fn choose(&self, query: &BoundQuery) -> Result<Choice, SqlError> {
        let inputs = inputs(&query.plan)?;
        Ok(match self.settings.mode() {
            RuntimeMode::Automatic => Choice { streaming: false, reason: "a SELECT reads once" },
            RuntimeMode::Batch => Choice { streaming: false, reason: "execution.runtime-mode is batch" },
            RuntimeMode::Streaming => match inputs {
                Inputs { connectors: None, views: false } => Choice { streaming: false, reason: "it reads no table" },
                // Of views and internal tables it reads what is there.
                Inputs { connectors: None | Some(Boundedness::Bounded), .. } => {
                    Choice { streaming: true, reason: "execution.runtime-mode is streaming and all input ends" }
                }
                Inputs { connectors: Some(Boundedness::Unbounded | Boundedness::Endless), .. } => {
                    Choice { streaming: false, reason: "it reads a table that does not end" }
                }
            },
        })
    }
}

/// What a plan reads.
pub(super) fn inputs(plan: &LogicalPlan) -> Result<Inputs, SqlError> {
    let mut inputs = Inputs { connectors: None, views: false };
    let visited = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(source) = scan.source.downcast_ref::<RelationSource>()
        {
            match &source.relation.kind {
                RelationKind::ConnectorTable(table) => {
                    let least =
                        inputs.connectors.map_or(table.boundedness, |known| less_bounded(known, table.boundedness));
                    inputs.connectors = Some(least);
                }
                RelationKind::InternalTable(_) | RelationKind::MaterializedView { .. } => inputs.views = true,
                RelationKind::View { .. } => (),
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    visited.map_err(from_datafusion)?;
    Ok(inputs)
}

fn less_bounded(left: Boundedness, right: Boundedness) -> Boundedness {
    match (left, right) {
        (Boundedness::Endless, _) | (_, Boundedness::Endless) => Boundedness::Endless,
        (Boundedness::Unbounded, _) | (_, Boundedness::Unbounded) => Boundedness::Unbounded,
        (Boundedness::Bounded, Boundedness::Bounded) => Boundedness::Bounded,
    }
}
