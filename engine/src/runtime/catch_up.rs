//! How a job goes on that reads a view which has gone on without it: the checkpoint that it continues from has the view too, as
//! the job had read it. Its readers are given those rows, and then read what has changed among them, not all.

use std::sync::Arc;

use arrow::array::RecordBatch;

use super::assemble::{Assembled, Read};
use super::capture::DurablePlan;
use super::graph::NodeKind;
use super::recover::{Continued, states_of};
use super::redeploy::Together;
use super::system::System;
use crate::checkpoint::archive::Archive;
use crate::error::Result;
use crate::plan::{OperatorSpec, RelationId};

impl Read {
    /// Whether the reader has all rows that the view has, when both go on from one checkpoint.
    pub(super) fn has_all(&self) -> bool {
        self.continues && !self.catches_up
    }
}

impl System {
    /// Tells the readers of a job that has not run yet what they had read, where their views do not go on from the same
    /// checkpoint. `together`: what is started with it. A view whose rows the checkpoint does not have is left out.
    ///
    /// # Errors
    /// Where the rows are there and cannot be read.
    pub(super) fn catch_up(&self, assembled: &mut Assembled, continued: &Continued, together: &Together) -> Result<()> {
        let Some(archive) = self.open_archive()? else { return Ok(()) };
        let Assembled { reads, parts, .. } = assembled;
        let is_behind = |read: &&mut Read| {
            read.continues && !read.ended && together.epoch(read.relation) != Some(continued.saved.epoch)
        };
        for read in reads.iter_mut().filter(is_behind) {
            let runs = || self.coordinator.lock().plan_of(read.relation);
            let Some(plan) = together.plan(read.relation).or_else(runs) else { continue };
            let Some(rows) = rows_then(&archive, continued, &plan, read.relation, parts.len())? else { continue };
            for (part, rows) in parts.iter_mut().zip(rows) {
                if let Some(NodeKind::View(view)) = part.graph.nodes.get_mut(read.node).map(|node| &mut node.kind) {
                    view.catch_up_from(rows);
                }
            }
            read.catches_up = true;
        }
        Ok(())
    }
}

/// The rows of a view, by shard, as of the checkpoint that a reader continues from. `plan`: of the job that keeps it now.
fn rows_then(
    archive: &Archive,
    continued: &Continued,
    plan: &Arc<DurablePlan>,
    view: RelationId,
    shards: usize,
) -> Result<Option<Vec<Vec<RecordBatch>>>> {
    let Some(saved) = archive.beside(&continued.saved, &plan.uid)? else { return Ok(None) };
    let saved = saved.renamed(&plan.operators);
    let keeps = |spec: &OperatorSpec| matches!(spec, OperatorSpec::Materialize(spec) if spec.relation == view);
    let Some(node) = plan.dataflow.nodes.iter().position(|node| keeps(&node.spec)) else { return Ok(None) };
    let operator = plan.operators.get(node);
    // A view that had another query has another name.
    if !saved.record.nodes.iter().any(|record| Some(&record.operator) == operator) {
        return Ok(None);
    }
    let states = states_of(plan, node, &saved, shards)?;
    Ok(Some(states.into_iter().map(|state| state.tables.into_iter().map(|(_, rows)| rows).collect()).collect()))
}
